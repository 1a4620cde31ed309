//! The gradient of max pooling over small windows, which may overlap: a row of windows is searched
//! once, for the number of the tap that wins, and each sample then sums up, in registers, the
//! gradients of the windows over it whose winner's number is its own. Nothing is scattered, and every
//! row of the image's gradient is written once.
//!
//! ```text
//! winner[o] = i * kw + j of the first greatest sample of window o; or, where its position is given,
//!             i * dh * width + j * dw, its distance from the window's first place
//! dx[p] = sum over the windows o that hold p as their tap t, in order, of (winner[o] == t ? grad[o] : 0)
//! ```
//!
//! Where there are several channels, they are the lanes, and rows stay where they are. Else the lanes
//! are neighbouring windows, and the columns are dealt out by the windows' stride.

use super::gradient::{Comb, MaxGrad};
use super::positions::check_positions;
use super::separable::{Line, Phases};
use super::{Pool, Windows};
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule};
use crate::shape::Axis;
use crate::simd::{Lane, MAX_LANES, Place, Simd, Vector, lane, search, take};
use crate::view::{Block, BlockRows, Blocks, Dst, Floats, Picture, Src};
use crate::{Error, alloc};
use std::marker::PhantomData;
use std::ops::Range;

/// The implementation `numbered`.
#[derive(Debug)]
pub struct Numbered;

/// Samples that a window may span, and samples from one to the next, on each axis.
const MOST: usize = 16;

/// Samples of a row up to which a window's places are numbers of `f32`, row after row.
const MOST_WIDE: usize = 1 << 19;

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
        let Some([rows, cols]) = axes(pool) else {
            return Err(Reject("needs windows that span 16 samples at most, and are as near to each other"));
        };
        if problem.indices && cols.src > MOST_WIDE {
            return Err(Reject("numbers places in f32: needs rows of 2^19 samples at most"));
        }
        // Rows of few numbers cost as much as long ones.
        let taps = if problem.indices {
            4.0 + 400.0 / pool.channels.max(1) as f64
        } else {
            (rows.taps * cols.taps) as f64
        };
        if pool.channels < MAX_LANES {
            return Ok(pool.gradient_nanoseconds(2.0 * taps, 2.0, 200.0));
        }
        // So does a pixel of few channels.
        let pixel = if problem.indices { 0.0 } else { 20.0 };
        Ok(pool.gradient_nanoseconds(2.0 * taps, 1.0, 60.0 + pixel * cols.src as f64))
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
        let workers = schedule.workers.worth(self.cost(problem).unwrap_or(0.0));
        if problem.indices {
            check_positions(pool, &srcs[1], schedule, workers)?;
        }
        let size = pool.gradient_blocking(workers.threads(), problem.arithmetic().size());
        let size = schedule.tile.map_or(size, |[rows, cols]| [rows, cols, size[2]]);
        let blocks = Blocks::new(dsts, size);
        let (workers, isa) = (workers.at_most(blocks.count()), schedule.isa);
        macro_rules! solve {
            ($L:ty) => {{
                let run = |block| isa.dispatch(Task::<$L> { problem, axes, srcs, block, lane: PhantomData });
                workers.drain(|| blocks.take(), run)
            }};
        }
        match problem.arithmetic().size() {
            8 => solve!(lane::F64),
            _ => solve!(lane::F32),
        }
    }
}

struct Task<'t, L> {
    problem: &'t MaxGrad,
    axes: &'t [Axis; 2],
    srcs: &'t [Src<'t>],
    block: Block<'t>,
    lane: PhantomData<L>,
}

impl<L: Lane<Elem: Floats>> Kernel for Task<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        block::<S, L::Vector<S>>(simd, self.problem, self.axes, [&self.srcs[0], &self.srcs[1]], self.block);
    }
}

/// A tap's number, or a part of it.
fn number<A: Floats>(n: usize) -> A {
    A::from_i128(n as i128)
}

/// Where window `o` begins, inside the image or before it.
fn begins(axis: &Axis, o: usize) -> i64 {
    (o * axis.stride) as i64 - axis.before as i64
}

/// The tap of window `o` at sample `at`, if it has one there.
fn tap(axis: &Axis, o: usize, at: usize) -> Option<usize> {
    let depth = (at + axis.before as usize).checked_sub(o * axis.stride)?;
    (depth.is_multiple_of(axis.dilation) && depth / axis.dilation < axis.taps).then(|| depth / axis.dilation)
}

/// Lists of places, one after the other.
struct Lists<A> {
    places: Vec<Place<A>>,
    ends: Vec<usize>,
}

impl<A: Floats> Lists<A> {
    fn new() -> Self {
        Self { places: Vec::new(), ends: Vec::new() }
    }

    /// A list of places, each with a tap of the window's columns.
    fn push(&mut self, places: impl Iterator<Item = (usize, usize)>) {
        self.places.extend(places.map(|(place, tap)| (place, number(tap))));
        self.ends.push(self.places.len());
    }

    #[inline(always)]
    fn iter(&self) -> impl Iterator<Item = &[Place<A>]> {
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
struct Plan<A> {
    channels: Range<usize>,
    /// Result columns whose windows reach into the block.
    results: Range<usize>,
    /// Their samples.
    line: Line,
    /// For each group of windows that are lanes together, where their taps are in a row of samples.
    searched: Lists<A>,
    /// Lanes of such a group.
    wide: usize,
    /// For each group of samples that are lanes together, where the windows over them are in a row of
    /// windows.
    gathered: Lists<A>,
    /// Lanes of such a group.
    broad: usize,
    /// Numbers of a row of windows: before the first one, and in all.
    lead: usize,
    room: usize,
    /// How columns are dealt out, where the lanes are neighbouring windows.
    dealt: Option<(Phases, Comb)>,
}

impl<A: Floats> Plan<A> {
    /// `unit` is from a tap's number to the next one's; `lanes` are a vector's.
    fn new(
        windows: &Windows,
        across: &Axis,
        cols: &Range<usize>,
        channels: &Range<usize>,
        unit: usize,
        lanes: usize,
    ) -> Self {
        let (deep, results) = (channels.len(), windows.over_all(cols));
        let (line, width) = (Line::new(windows, &results), results.len() * deep);
        let (mut searched, mut gathered) = (Lists::new(), Lists::new());
        if deep >= lanes {
            for x in results.clone() {
                let window = windows.window(x);
                searched.push((0..window.taps).map(|j| {
                    let at = window.first + j * across.dilation - line.cols.start;
                    (at * deep, window.skipped + j)
                }));
            }
            for x in cols.clone() {
                let over = windows.over(x);
                gathered
                    .push(over.filter_map(|o| Some(((o - results.start) * deep, tap(across, o, x)? * unit))));
            }
            let (channels, dealt) = (channels.clone(), None);
            let (wide, broad, lead, room) = (deep, deep, 0, width);
            return Self { channels, results, line, searched, wide, gathered, broad, lead, room, dealt };
        }
        let phases = Phases::new(across, results.len(), deep);
        let comb = Comb::new(windows, across.stride, cols, &results, deep);
        searched.push((0..across.taps).map(|j| (phases.place(j), j)));
        // A sample is over the window that begins in its stride, and over so many before.
        let before = (across.span() - 1) / across.stride;
        for phase in 0..across.stride {
            gathered.push((0..=before).rev().filter_map(|strides| {
                let depth = phase + strides * across.stride;
                let tap = depth / across.dilation;
                let held = depth.is_multiple_of(across.dilation) && tap < across.taps;
                held.then_some(((before - strides) * deep, tap * unit))
            }));
        }
        let broad = comb.room() / across.stride;
        let lead = (comb.first + before) * deep;
        // The last vector may go on behind the last window, and the last sample.
        let room = (before * deep + broad).max(lead + width) + MAX_LANES;
        let (channels, dealt) = (channels.clone(), Some((phases, comb)));
        Self { channels, results, line, searched, wide: width.max(lanes), gathered, broad, lead, room, dealt }
    }

    /// Numbers of a row of samples as it is searched.
    fn row(&self) -> usize {
        let whole = self.line.len * self.channels.len();
        self.dealt.as_ref().map_or(whole, |(phases, _)| phases.room().max(whole)) + MAX_LANES
    }

    /// A row of samples where it stands, if it can be searched there.
    #[inline(always)]
    fn lend<'a>(&self, image: &Picture<'a>, y: usize) -> Option<&'a [A]> {
        let (cols, deep) = (&self.line.cols, self.channels.len());
        let whole = match &self.dealt {
            None => true,
            Some((phases, _)) => {
                phases.room() == 0 && self.line.len == cols.len() && self.results.len() * deep >= MAX_LANES
            }
        };
        if whole { image.lend_widened(y, cols, &self.channels) } else { None }
    }

    /// Brings a row of samples into scratch, as it is searched.
    #[inline(always)]
    fn bring<S: Simd>(&self, simd: S, image: &Picture<'_>, y: usize, line: &mut [A], into: &mut [A]) {
        let (cols, deep) = (&self.line.cols, self.channels.len());
        let part = |lead: usize| lead * deep..(lead + cols.len()) * deep;
        match &self.dealt {
            None => image.widen(y, cols, &self.channels, &mut into[part(0)]),
            Some((phases, _)) if phases.room() == 0 => {
                image.widen(y, cols, &self.channels, &mut into[part(self.line.lead)]);
            }
            Some((phases, _)) => {
                image.widen(y, cols, &self.channels, &mut line[part(self.line.lead)]);
                phases.deal(simd, line, into);
            }
        }
    }

    /// A row of gradients where it stands, if they stand there as in a row of winners.
    #[inline(always)]
    fn lend_gradient<'a>(&self, gradient: &Picture<'a>, o: usize) -> Option<&'a [A]> {
        match self.dealt {
            None => gradient.lend_widened(o, &self.results, &self.channels),
            Some(_) => None,
        }
    }
}

/// Rows of windows in their ring: those over one sample. A power of two, for a division takes as long as
/// a short row.
fn slots(windows: &[Windows; 2]) -> usize {
    windows[0].overlap().next_power_of_two()
}

/// Rows of samples in theirs: those that a window spans.
fn ring(above: &Axis) -> usize {
    above.span().next_power_of_two()
}

/// The scratch rows of a block.
struct Scratch<'s, A> {
    /// A ring of rows of samples, as they are searched; one that is brought but not dealt yet.
    samples: &'s mut [A],
    line: &'s mut [A],
    /// A ring of rows of winners' numbers, with their gradients.
    winners: &'s mut [A],
    grads: &'s mut [A],
    /// The number of each window's first column in the image; less its first column, where positions are given.
    early: &'s mut [A],
    /// A row of positions.
    positions: &'s mut [i64],
    /// A row of results dealt out, and put together.
    phases: &'s mut [A],
    row: &'s mut [A],
}

/// A block: what it reads, and how.
struct Work<'t, A> {
    windows: &'t [Windows; 2],
    axes: &'t [Axis; 2],
    winners: Winners<'t>,
    gradient: Picture<'t>,
    /// From a tap's number to that of the next row's.
    unit: usize,
    plan: Plan<A>,
}

/// What says where the winners are.
enum Winners<'t> {
    /// The image, to be searched.
    Image(Picture<'t>),
    /// Their positions.
    Positions(Picture<'t>),
}

impl<A: Floats> Work<'_, A> {
    /// No window's winner.
    const NONE: f64 = -1.0;
    /// What no sample is less than.
    const LEAST: f64 = f64::NEG_INFINITY;

    /// Fills what stays: what is around the image, and where windows begin.
    fn begin(&self, rows: &mut Scratch<'_, A>) {
        let (plan, windows) = (&self.plan, &self.windows[1]);
        if plan.dealt.is_some() {
            rows.samples.fill(A::from_f64(Self::LEAST));
            rows.line.fill(A::from_f64(Self::LEAST));
            rows.winners.fill(A::from_f64(Self::NONE));
        }
        let early = rows.early.chunks_exact_mut(plan.channels.len());
        for (x, early) in plan.results.clone().zip(early) {
            early.fill(match self.winners {
                Winners::Image(_) => number(windows.window(x).skipped),
                Winners::Positions(_) => A::from_i128((-begins(&self.axes[1], x)).into()),
            });
        }
    }

    /// Makes numbers of the positions of row `o` of windows.
    fn number<S: Simd>(&self, simd: S, o: usize, positions: &Picture<'_>, rows: &mut Scratch<'_, A>) {
        let Self { windows, axes, plan, .. } = self;
        let slot = (o & (slots(windows) - 1)) * plan.room;
        let first = begins(&axes[0], o) * axes[1].src as i64;
        let (winners, early) = (&mut rows.winners[slot..][..plan.room], &*rows.early);
        let (numbers, rest) = winners[plan.lead..].split_at_mut(rows.positions.len());
        let found = &mut *rows.positions;
        simd.vectorize(
            #[inline(always)]
            || {
                positions.copy(o, &plan.results, &plan.channels, found);
                for ((number, &position), &early) in numbers.iter_mut().zip(&*found).zip(early) {
                    // A few rows' worth.
                    *number = A::from_i128(i128::from((position - first) as i32)).plus(early);
                }
            },
        );
        if plan.dealt.is_some() {
            rest.fill(A::from_f64(Self::NONE));
        }
    }

    /// Brings the gradients of row `o` of windows.
    #[inline(always)]
    fn bring_gradient(&self, o: usize, rows: &mut Scratch<'_, A>) {
        let Self { windows, gradient, plan, .. } = self;
        if plan.lend_gradient(gradient, o).is_none() {
            let slot = (o & (slots(windows) - 1)) * plan.room + plan.lead;
            let width = plan.results.len() * plan.channels.len();
            gradient.widen(o, &plan.results, &plan.channels, &mut rows.grads[slot..][..width]);
        }
    }

    /// Searches row `o` of windows. Rows of samples up to `brought` are in their ring.
    fn find<S: Simd, V: Vector<Elem = A>>(
        &self,
        simd: S,
        o: usize,
        image: &Picture<'_>,
        brought: &mut usize,
        rows: &mut Scratch<'_, A>,
    ) {
        let Self { windows, axes: [above, across], plan, .. } = self;
        let (slots, ring, len) = (slots(windows), ring(above), plan.row());
        let window = windows[0].window(o);
        let slot = (o & (slots - 1)) * plan.room;
        let width = plan.results.len() * plan.channels.len();
        let end = window.first + (window.taps - 1) * above.dilation + 1;
        if plan.lend(image, window.first).is_none() {
            // Not from the window's first sample: with a dilation, that of a window over the image's edge
            // may come after the next window's.
            let start = (o * above.stride).saturating_sub(above.before as usize);
            for y in start.max(*brought)..end {
                plan.bring(simd, image, y, rows.line, &mut rows.samples[(y & (ring - 1)) * len..][..len]);
            }
            *brought = end;
        }
        let mut samples: [(&[A], A); MOST] = [(&[], A::default()); MOST];
        for i in 0..window.taps {
            let y = window.first + i * above.dilation;
            let row = plan.lend(image, y).unwrap_or(&rows.samples[(y & (ring - 1)) * len..][..len]);
            samples[i] = (row, number((window.skipped + i) * across.taps));
        }
        let (samples, first) = (&samples[..window.taps], number::<A>(window.skipped * across.taps));
        let winners = &mut rows.winners[slot..][..plan.room];
        let early = &rows.early[..width];
        simd.vectorize(
            #[inline(always)]
            || {
                for (winner, &early) in winners[plan.lead..][..width].iter_mut().zip(early) {
                    *winner = first.plus(early);
                }
                let groups = winners[plan.lead..].chunks_exact_mut(plan.wide);
                for (taps, winners) in plan.searched.iter().zip(groups) {
                    search::<V>(samples, taps, A::from_f64(Self::LEAST), winners);
                }
            },
        );
        if plan.dealt.is_some() {
            winners[plan.lead + width..].fill(A::from_f64(Self::NONE));
        }
    }

    /// Sums up row `y` of the image's gradient from the rows `over` of windows.
    fn sum<S: Simd, V: Vector<Elem = A>>(
        &self,
        simd: S,
        y: usize,
        over: Range<usize>,
        rows: &mut Scratch<'_, A>,
        to: &mut BlockRows<'_>,
    ) {
        let Self { windows, axes: [above, _], gradient, unit, plan, .. } = self;
        let slots = slots(windows);
        let mut found: [(&[A], &[A], A); MOST] = [(&[], &[], A::default()); MOST];
        let mut count = 0;
        for o in over {
            if let Some(i) = tap(above, o, y) {
                let slot = (o & (slots - 1)) * plan.room..((o & (slots - 1)) + 1) * plan.room;
                let grads = plan.lend_gradient(gradient, o).unwrap_or(&rows.grads[slot.clone()]);
                found[count] = (&rows.winners[slot], grads, number(i * unit));
                count += 1;
            }
        }
        let found = &found[..count];
        let each = |sums: &mut [A]| {
            simd.vectorize(
                #[inline(always)]
                || {
                    let mut place = 0;
                    for windows in plan.gathered.iter() {
                        // Lanes behind the group's are written over by the next group.
                        take::<V>(found, windows, &mut sums[place..][..plan.broad.max(V::LANES)]);
                        place += plan.broad;
                    }
                },
            );
        };
        match &plan.dealt {
            None => {
                if let Some(row) = to.lend_widened(y) {
                    return each(row);
                }
                each(rows.row);
                to.narrow(y, rows.row);
            }
            Some((_, comb)) => {
                each(rows.phases);
                if comb.is_row() {
                    return to.narrow(y, &rows.phases[comb.held.clone()]);
                }
                let (phases, row) = (&rows.phases[..comb.room()], &mut *rows.row);
                simd.vectorize(
                    #[inline(always)]
                    || comb.weave(phases, row),
                );
                to.narrow(y, &row[comb.held.clone()]);
            }
        }
    }
}

fn block<S: Simd, V: Vector<Elem: Floats>>(
    simd: S,
    problem: &MaxGrad,
    axes: &[Axis; 2],
    srcs: [&Src<'_>; 2],
    mut block: Block<'_>,
) {
    let pool = &problem.pool;
    let [first, second] = srcs.map(|src| src.picture(block.picture));
    let [above, across] = axes;
    let (winners, gradient, units) = match problem.indices {
        false => (Winners::Image(first), second, [across.taps, 1]),
        true => (Winners::Positions(second), first, [above.dilation * across.src, across.dilation]),
    };
    let (lines, cols, channels) = (block.rows.clone(), block.cols.clone(), block.channels.clone());
    let [mut to] = block.parts();
    let (windows, held) = (&pool.windows, cols.len() * channels.len());
    if windows[1].over_all(&cols).is_empty() {
        return alloc::scratch([held], |[zeros]: [&mut [V::Elem]; 1]| {
            zeros.fill(V::Elem::default());
            lines.for_each(|y| to.narrow(y, zeros));
        });
    }
    let plan = Plan::new(&windows[1], across, &cols, &channels, units[1], V::LANES);
    let (ring, slots) = (slots(windows) * plan.room, ring(above) * plan.row());
    let (line, width) = (plan.line.len * channels.len(), plan.results.len() * channels.len());
    let comb = plan.dealt.as_ref().map_or(0, |(_, comb)| comb.room());
    let lengths = [slots, line, ring, ring, width, comb + MAX_LANES, comb.max(held)];
    let work = Work { windows, axes, winners, gradient, unit: units[0], plan };
    let positions = if problem.indices { width } else { 0 };
    alloc::scratch(lengths, |[samples, line, winners, grads, early, phases, row]: [&mut [V::Elem]; 7]| {
        alloc::scratch([positions], |[positions]: [&mut [i64]; 1]| {
            let mut rows = Scratch { samples, line, winners, grads, early, positions, phases, row };
            work.begin(&mut rows);
            let (mut found, mut brought) = (0, 0);
            for y in lines {
                let over = windows[0].over(y);
                for o in over.start.max(found)..over.end {
                    work.bring_gradient(o, &mut rows);
                    match &work.winners {
                        Winners::Image(image) => work.find::<S, V>(simd, o, image, &mut brought, &mut rows),
                        Winners::Positions(positions) => work.number(simd, o, positions, &mut rows),
                    }
                }
                found = found.max(over.end);
                work.sum::<S, V>(simd, y, over, &mut rows, &mut to);
            }
        });
    });
}
