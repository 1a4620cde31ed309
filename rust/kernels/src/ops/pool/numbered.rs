//! The gradient of max pooling over small windows, which may overlap: a row of windows is searched
//! once, for the number of the tap that wins, and each sample then sums up, in registers, the
//! gradients of the windows over it whose winner's number is its own. Nothing is scattered, and every
//! row of the image's gradient is written once.
//!
//! ```text
//! winner[o] = i * kw + j of the first greatest sample of window o
//! dx[p] = sum over the windows o that hold p as their tap t, in order, of (winner[o] == t ? grad[o] : 0)
//! ```
//!
//! Where there are several channels, they are the lanes, and rows stay where they are. Else the lanes
//! are neighbouring windows, and the columns are dealt out by the windows' stride.

use super::gradient::{Comb, MaxGrad, Smooth, dispatch_smooth};
use super::separable::{Line, Phases};
use super::taps::{Place, SHORT, Winners, gather, search};
use super::{Pool, Windows};
use crate::dtype::{Accumulator, DType, Finish, Overflow, Rounding};
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule};
use crate::shape::Axis;
use crate::simd::Simd;
use crate::view::{Block, BlockRows, Blocks, Dst, Picture, Src};
use crate::{Error, alloc};
use std::marker::PhantomData;
use std::ops::Range;

/// The implementation `numbered`.
#[derive(Debug)]
pub struct Numbered;

/// Samples that a window may span, and samples from one to the next, on each axis.
const MOST: usize = 16;

/// The two axes, if their windows are small.
fn axes(pool: &Pool) -> Option<[Axis; 2]> {
    let [Windows::Sliding(rows), Windows::Sliding(cols)] = pool.windows else { return None };
    let small = |axis: &Axis| axis.span() <= MOST && axis.stride <= MOST && axis.before >= 0;
    (small(&rows) && small(&cols)).then_some([rows, cols])
}

impl Implementation<MaxGrad> for Numbered {
    fn name(&self) -> &'static str {
        "numbered"
    }

    fn cost(&self, problem: &MaxGrad) -> Result<f64, Reject> {
        let pool = &problem.pool;
        if problem.indices {
            return Err(Reject("reads the image, not indices"));
        }
        let Some([rows, cols]) = axes(pool) else {
            return Err(Reject("needs windows that span 16 samples at most, and are as near to each other"));
        };
        let taps = (rows.taps * cols.taps) as f64;
        let dealt = if pool.channels < SHORT { 2.0 } else { 1.0 };
        Ok(pool.gradient_nanoseconds(2.0 * taps, dealt, 60.0))
    }

    fn run(
        &self,
        problem: &MaxGrad,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        problem.check_arrays(srcs, dsts);
        let pool = &problem.pool;
        let axes = &axes(pool).expect("refused");
        let workers = pool.gradient_threads(schedule.workers, self.cost(problem).unwrap_or(0.0));
        let size = pool.gradient_blocking(workers.threads(), problem.arithmetic().size());
        let size = schedule.tile.map_or(size, |[rows, cols]| [rows, cols, size[2]]);
        let blocks = Blocks::new(dsts, size);
        let (workers, isa) = (workers.at_most(blocks.count()), schedule.isa);
        dispatch_smooth!(pool.dtype, |T| {
            workers.drain(
                || blocks.take(),
                |block| isa.dispatch(Task::<T> { pool, axes, srcs, block, sample: PhantomData }),
            )
        })
    }
}

struct Task<'t, T> {
    pool: &'t Pool,
    axes: &'t [Axis; 2],
    srcs: &'t [Src<'t>],
    block: Block<'t>,
    sample: PhantomData<T>,
}

impl<T: Smooth> Kernel for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        block::<S, T>(simd, self.pool, self.axes, [&self.srcs[0], &self.srcs[1]], self.block);
    }
}

/// The tap of window `o` at sample `at`, if it has one there.
fn tap(axis: &Axis, o: usize, at: usize) -> Option<usize> {
    let depth = (at + axis.before as usize).checked_sub(o * axis.stride)?;
    (depth.is_multiple_of(axis.dilation) && depth / axis.dilation < axis.taps).then(|| depth / axis.dilation)
}

/// Lists of places, one after the other.
#[derive(Default)]
struct Lists {
    places: Vec<Place>,
    ends: Vec<usize>,
}

impl Lists {
    fn push(&mut self, places: impl Iterator<Item = Place>) {
        self.places.extend(places);
        self.ends.push(self.places.len());
    }

    #[inline(always)]
    fn iter(&self) -> impl Iterator<Item = &[Place]> {
        let mut start = 0;
        self.ends.iter().map(
            #[inline(always)]
            move |&end| {
                let list = &self.places[start..end];
                start = end;
                list
            },
        )
    }
}

/// Where the lanes of a block of the image's gradient look for their samples and their windows.
struct Plan {
    channels: Range<usize>,
    /// Result columns whose windows reach into the block.
    results: Range<usize>,
    /// Their samples.
    line: Line,
    /// For each group of windows that are lanes together, where their taps are in a row of samples.
    searched: Lists,
    /// Lanes of such a group.
    wide: usize,
    /// For each group of samples that are lanes together, where the windows over them are in a row of
    /// windows.
    gathered: Lists,
    /// Lanes of such a group.
    broad: usize,
    /// Numbers of a row of windows: before the first one, and in all.
    lead: usize,
    room: usize,
    /// How columns are dealt out, where the lanes are neighbouring windows.
    dealt: Option<(Phases, Comb)>,
}

impl Plan {
    fn new(windows: &Windows, across: &Axis, cols: &Range<usize>, channels: &Range<usize>) -> Self {
        let (deep, results) = (channels.len(), windows.over_all(cols));
        let (line, width) = (Line::new(windows, &results), results.len() * deep);
        let (mut searched, mut gathered) = (Lists::default(), Lists::default());
        if deep >= SHORT {
            for x in results.clone() {
                let window = windows.window(x);
                searched.push((0..window.taps).map(|j| {
                    let at = window.first + j * across.dilation - line.cols.start;
                    (at * deep, (window.skipped + j) as u32)
                }));
            }
            for x in cols.clone() {
                let over = windows.over(x);
                gathered
                    .push(over.filter_map(|o| Some(((o - results.start) * deep, tap(across, o, x)? as u32))));
            }
            let (channels, dealt) = (channels.clone(), None);
            let (wide, broad, lead, room) = (deep, deep, 0, width);
            return Self { channels, results, line, searched, wide, gathered, broad, lead, room, dealt };
        }
        let phases = Phases::new(across, results.len(), deep);
        let comb = Comb::new(windows, across.stride, cols, &results, deep);
        searched.push((0..across.taps).map(|j| (phases.place(j), j as u32)));
        // A sample is over the window that begins in its stride, and over so many before.
        let before = (across.span() - 1) / across.stride;
        for phase in 0..across.stride {
            gathered.push((0..=before).rev().filter_map(|strides| {
                let depth = phase + strides * across.stride;
                let tap = depth / across.dilation;
                let held = depth.is_multiple_of(across.dilation) && tap < across.taps;
                held.then_some(((before - strides) * deep, tap as u32))
            }));
        }
        let broad = comb.room() / across.stride;
        let lead = (comb.first + before) * deep;
        let room = (before * deep + broad).max(lead + width);
        let (channels, dealt) = (channels.clone(), Some((phases, comb)));
        Self { channels, results, line, searched, wide: width, gathered, broad, lead, room, dealt }
    }

    /// Numbers of a row of samples as it is searched.
    fn row(&self) -> usize {
        let whole = self.line.len * self.channels.len();
        self.dealt.as_ref().map_or(whole, |(phases, _)| phases.room().max(whole))
    }

    /// A row of samples where it stands, if it can be searched there.
    #[inline(always)]
    fn lend<'a, T: Smooth>(&self, image: &Picture<'a>, y: usize) -> Option<&'a [T]> {
        let whole = match &self.dealt {
            None => true,
            Some((phases, _)) => phases.room() == 0 && self.line.len == self.line.cols.len(),
        };
        if whole { image.lend(y, &self.line.cols, &self.channels) } else { None }
    }

    /// A row of samples, brought into scratch as it is searched.
    #[inline(always)]
    fn bring<S: Simd, T: Smooth>(
        &self,
        simd: S,
        image: &Picture<'_>,
        y: usize,
        line: &mut [T],
        into: &mut [T],
    ) {
        let (cols, deep) = (&self.line.cols, self.channels.len());
        let copy = |into: &mut [T], lead: usize| {
            let into = &mut into[lead * deep..][..cols.len() * deep];
            simd.vectorize(
                #[inline(always)]
                || image.copy(y, cols, &self.channels, into),
            );
        };
        match &self.dealt {
            None => copy(into, 0),
            Some((phases, _)) if phases.room() == 0 => copy(into, self.line.lead),
            Some((phases, _)) => {
                copy(line, self.line.lead);
                phases.deal(simd, line, into);
            }
        }
    }

    /// A row of gradients where it stands, if windows are found there as in a row of winners.
    #[inline(always)]
    fn lend_gradient<'a, A: Accumulator>(&self, gradient: &Picture<'a>, o: usize) -> Option<&'a [A]> {
        match self.dealt {
            None => gradient.lend_widened(o, &self.results, &self.channels),
            Some(_) => None,
        }
    }
}

/// The scratch rows of a block.
struct Rows<'s, T: Smooth> {
    /// A ring of rows of samples, as they are searched; one that is brought but not dealt yet.
    samples: &'s mut [T],
    line: &'s mut [T],
    /// A ring of rows of winners' numbers, with their gradients.
    winners: &'s mut [u32],
    grads: &'s mut [T::Sum],
    /// The number of each window's first column in the image.
    early: &'s mut [u32],
    /// Rows of results dealt out, and put together.
    phases: &'s mut [T::Sum],
    row: &'s mut [T::Sum],
}

/// A block: where it reads, and by what plan.
struct Work<'t> {
    windows: &'t [Windows; 2],
    axes: &'t [Axis; 2],
    image: Picture<'t>,
    gradient: Picture<'t>,
    plan: Plan,
}

impl Work<'_> {
    /// Fills what stays: what is around the image, and where windows begin.
    fn begin<T: Smooth>(&self, rows: &mut Rows<'_, T>) {
        let (plan, windows) = (&self.plan, &self.windows[1]);
        if plan.dealt.is_some() {
            rows.samples.fill(T::LEAST);
            rows.line.fill(T::LEAST);
            // No tap has this number.
            rows.winners.fill(u32::MAX);
        }
        let early = rows.early.chunks_exact_mut(plan.channels.len());
        for (x, early) in plan.results.clone().zip(early) {
            early.fill(windows.window(x).skipped as u32);
        }
    }

    /// Searches row `o` of windows. Rows of samples up to `brought` are in their ring.
    fn find<S: Simd, T: Smooth>(&self, simd: S, o: usize, brought: &mut usize, rows: &mut Rows<'_, T>) {
        let Self { windows, axes: [above, across], image, gradient, plan } = self;
        let (slots, ring, len) = (windows[0].overlap(), above.span(), plan.row());
        let window = windows[0].window(o);
        let slot = o % slots * plan.room + plan.lead;
        let width = plan.results.len() * plan.channels.len();
        if plan.lend_gradient::<T::Sum>(gradient, o).is_none() {
            let into = &mut rows.grads[slot..][..width];
            simd.vectorize(
                #[inline(always)]
                || gradient.read(o, &plan.results, &plan.channels, into),
            );
        }
        let end = window.first + (window.taps - 1) * above.dilation + 1;
        if plan.lend::<T>(image, window.first).is_none() {
            for y in window.first.max(*brought)..end {
                plan.bring(simd, image, y, rows.line, &mut rows.samples[y % ring * len..][..len]);
            }
            *brought = end;
        }
        let mut samples: [(&[T], u32); MOST] = [(&[], 0); MOST];
        for i in 0..window.taps {
            let y = window.first + i * above.dilation;
            let row = plan.lend(image, y).unwrap_or(&rows.samples[y % ring * len..][..len]);
            samples[i] = (row, ((window.skipped + i) * across.taps) as u32);
        }
        let (samples, first) = (&samples[..window.taps], (window.skipped * across.taps) as u32);
        let (winners, early) = (&mut rows.winners[slot..][..width], &rows.early[..width]);
        simd.vectorize(
            #[inline(always)]
            || {
                for (winner, &early) in winners.iter_mut().zip(early) {
                    *winner = first + early;
                }
                for (taps, winners) in plan.searched.iter().zip(winners.chunks_exact_mut(plan.wide)) {
                    search(samples, taps, winners);
                }
            },
        );
    }

    /// Sums up row `y` of the image's gradient from the rows `over` of windows.
    fn sum<S: Simd, T: Smooth>(
        &self,
        simd: S,
        y: usize,
        over: Range<usize>,
        rows: &mut Rows<'_, T>,
        to: &mut BlockRows<'_>,
    ) {
        let Self { windows, axes: [above, across], gradient, plan, .. } = self;
        let slots = windows[0].overlap();
        let mut found: [Winners<'_, T::Sum>; MOST] = [(&[], &[], 0); MOST];
        let mut count = 0;
        for o in over {
            if let Some(i) = tap(above, o, y) {
                let slot = o % slots * plan.room..(o % slots + 1) * plan.room;
                let grads = plan.lend_gradient(gradient, o).unwrap_or(&rows.grads[slot.clone()]);
                found[count] = (&rows.winners[slot], grads, (i * across.taps) as u32);
                count += 1;
            }
        }
        let found = &found[..count];
        let each = |sums: &mut [T::Sum]| {
            simd.vectorize(
                #[inline(always)]
                || {
                    for (places, sums) in plan.gathered.iter().zip(sums.chunks_exact_mut(plan.broad)) {
                        gather(found, places, sums);
                    }
                },
            );
        };
        let row = match &plan.dealt {
            None => {
                if let Some(row) = to.lend_widened(y) {
                    return each(row);
                }
                each(rows.row);
                &mut *rows.row
            }
            Some((_, comb)) => {
                each(rows.phases);
                if comb.is_row() {
                    &mut rows.phases[comb.held.clone()]
                } else {
                    simd.vectorize(
                        #[inline(always)]
                        || comb.weave(rows.phases, rows.row),
                    );
                    &mut rows.row[comb.held.clone()]
                }
            }
        };
        simd.vectorize(
            #[inline(always)]
            || to.write(y, row, FINISH),
        );
    }
}

const FINISH: Finish = Finish { rounding: Rounding::HalfEven, overflow: Overflow::Saturate };

fn block<S: Simd, T: Smooth>(
    simd: S,
    pool: &Pool,
    axes: &[Axis; 2],
    [image, gradient]: [&Src<'_>; 2],
    mut block: Block<'_>,
) {
    let (image, gradient) = (image.picture(block.picture), gradient.picture(block.picture));
    let (lines, cols, channels) = (block.rows.clone(), block.cols.clone(), block.channels.clone());
    let [mut to] = block.parts();
    let (windows, held) = (&pool.windows, cols.len() * channels.len());
    if windows[1].over_all(&cols).is_empty() {
        return alloc::scratch([held], |[zeros]: [&mut [T::Sum]; 1]| {
            zeros.fill(T::Sum::default());
            lines.for_each(|y| to.write(y, zeros, FINISH));
        });
    }
    let plan = Plan::new(&windows[1], &axes[1], &cols, &channels);
    let width = plan.results.len() * plan.channels.len();
    let (ring, slots) = (windows[0].overlap() * plan.room, axes[0].span() * plan.row());
    let comb = plan.dealt.as_ref().map_or(0, |(_, comb)| comb.room());
    let lengths = [slots, plan.line.len * channels.len()];
    let work = Work { windows, axes, image, gradient, plan };
    alloc::scratch(lengths, |[samples, line]: [&mut [T]; 2]| {
        alloc::scratch([ring, width], |[winners, early]: [&mut [u32]; 2]| {
            alloc::scratch([ring, comb, comb.max(held)], |[grads, phases, row]: [&mut [T::Sum]; 3]| {
                let mut rows = Rows::<T> { samples, line, winners, grads, early, phases, row };
                work.begin(&mut rows);
                let (mut found, mut brought) = (0, 0);
                for y in lines {
                    let over = windows[0].over(y);
                    for o in over.start.max(found)..over.end {
                        work.find(simd, o, &mut brought, &mut rows);
                    }
                    found = found.max(over.end);
                    work.sum(simd, y, over, &mut rows, &mut to);
                }
            });
        });
    });
}
