//! The gradient with respect to the filters, as outer products: a sum over pixels of what each pixel's
//! window holds times what its gradient is.
//!
//! The pixels are parted by the problem alone into chunks with sums of their own, which are added in
//! order at the end: the bits don't depend on the number of threads. A chunk brings bands of its
//! pictures into scratch as the layer does ([`gather`](super::gather)) and their gradients beside them,
//! channels padded to vectors; a register tile then adds, for a few taps and a few vectors of
//! channels, over all pixels of the band ([`outer`](crate::simd::outer)).

use super::pack::{Panel, Part, WARM, halve, lanes, panels};
use super::pass::with_lane;
use super::phase::Phase;
use super::{Conv, GradFilters, nanoseconds};
use crate::dtype::Accumulator;
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{Lane, Line, Simd, Vector, with_tile};
use crate::view::{Blocks, Dst, Floats, Src};
use crate::{Error, alloc, simd};
use std::ops::Range;
use std::sync::Mutex;

/// The implementation `outer`.
#[derive(Debug)]
pub struct Outer;

/// Bytes of all chunks' sums together, at most, unless one chunk has more.
const SUMS: usize = 8 << 20;

/// Chunks, at most, and tasks that are wanted: for twice as many threads as most machines have.
const CHUNKS: usize = 16;

impl Implementation<GradFilters> for Outer {
    fn name(&self) -> &'static str {
        "outer"
    }

    fn cost(&self, problem: &GradFilters) -> Result<f64, Reject> {
        Ok(nanoseconds(&problem.conv, problem.conv.outputs / problem.conv.groups, false))
    }

    fn run(
        &self,
        problem: &GradFilters,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        compute(problem, false, srcs, dsts, schedule)
    }
}

/// Computes the gradient; `diagonal` takes groups of one channel and one result together.
pub(super) fn compute(
    problem: &GradFilters,
    diagonal: bool,
    srcs: &[Src<'_>],
    dsts: &mut [Dst<'_>],
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let conv = &problem.conv;
    assert!(
        srcs.len() == 2 + usize::from(problem.masked) && dsts.len() == 1 + usize::from(problem.bias),
        "the gradient's arrays"
    );
    assert!(
        srcs[0].shape() == conv.x_shape()
            && srcs[1..].iter().all(|src| src.shape() == conv.y_shape())
            && dsts[0].shape() == conv.filters_shape(),
        "the layer's shapes"
    );
    let wide = conv.outputs / if diagonal { 1 } else { conv.groups };
    let workers = Conv::threads(schedule.workers, nanoseconds(conv, wide, diagonal));
    let schedule = Schedule { workers, ..*schedule };
    with_lane!(conv, |L| solve::<L>(problem, diagonal, srcs, dsts, &schedule))
}

/// How a gradient is parted: data, made from the problem alone, as it decides the order of the sums (so
/// that a schedule's tile has no say here).
struct Plan<'p> {
    problem: &'p GradFilters,
    /// Whether a channel of `x` meets its own channel of `y` alone.
    diagonal: bool,
    groups: usize,
    phases: [Phase; 2],
    /// Channels of a group of `x`, and of `y`.
    deep: usize,
    wide: usize,
    lanes: usize,
    panels: Vec<Panel>,
    /// Pictures that a band has, and rows and columns of results.
    band: [usize; 3],
    /// Numbers of a row, and of a picture, of source samples in scratch.
    pitch: [usize; 2],
    /// Where each sum's sample stands in a window: rows, columns, channels.
    places: Vec<usize>,
    /// Parts of the pixels, and parts of the panels.
    chunks: usize,
    splits: usize,
}

fn solve<L: Lane<Elem: Floats>>(
    problem: &GradFilters,
    diagonal: bool,
    srcs: &[Src<'_>],
    dsts: &mut [Dst<'_>],
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let plan = Plan::new(problem, diagonal, lanes::<L>(schedule.isa));
    let groups = plan.groups;
    // One row more than there are taps: the bias's gradient.
    let size = (plan.places.len() + 1) * plan.width();
    let mut sums = vec![L::Elem::default(); plan.chunks * groups * size];
    if plan.bands() > 0 && size > 0 {
        // Panels of a split are columns of a chunk's sums: tasks of one chunk are given out as wholes.
        let per_task = plan.columns().map(|cols| cols.len() * (plan.places.len() + 1)).collect::<Vec<_>>();
        let mut rest = sums.as_mut_slice();
        let mut tasks = Vec::new();
        for chunk in 0..plan.chunks {
            for group in 0..groups {
                for (split, &n) in per_task.iter().enumerate() {
                    let (head, tail) = rest.split_at_mut(n);
                    rest = tail;
                    tasks.push((chunk, group, split, head));
                }
            }
        }
        let workers = schedule.workers.at_most(tasks.len());
        let tasks = Mutex::new(tasks.into_iter());
        let next = || tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
        workers.drain(next, |(chunk, group, split, sums)| {
            let task = Task::<L> { plan: &plan, srcs, chunk, group, split, sums };
            schedule.isa.dispatch(task);
        })?;
    }
    plan.store(&mut sums, dsts);
    Ok(())
}

impl<'p> Plan<'p> {
    fn new(problem: &'p GradFilters, diagonal: bool, lanes: usize) -> Self {
        let conv = &problem.conv;
        let groups = if diagonal { 1 } else { conv.groups };
        let phases = [0, 1].map(|i| Phase::forward(&conv.windows[i]).remove(0));
        let (deep, wide) = (conv.inputs / groups, conv.outputs / groups);
        let panels = panels(wide.div_ceil(lanes));
        let width: usize = panels.iter().map(|p| p.vectors * lanes).sum();
        let size = conv.arithmetic().size();
        let span = |i: usize, n: usize| Phase::span(&phases[i..=i], &(0..n)).len();
        let bytes =
            |rows: usize, cols: usize| (span(0, rows) * span(1, cols) * deep + rows * cols * width) * size;
        let [_, height, length, _] = conv.y_shape();
        let few = 4.min(height);
        let cols = halve(length, |cols| bytes(few, cols) <= WARM);
        let rows = halve(height, |rows| bytes(rows, cols) <= WARM);
        let whole = rows >= height && cols >= length && bytes(rows, cols) > 0;
        let pictures = if whole { (WARM / bytes(rows, cols)).clamp(1, conv.pictures.max(1)) } else { 1 };
        let pitch = span(1, cols) * deep;
        let pitch = [pitch, pitch * span(0, rows)];
        let place = |i: usize, offset: isize| (offset - phases[i].least()) as usize;
        let mut places = Vec::new();
        for &(dy, _) in &phases[0].taps {
            for &(dx, _) in &phases[1].taps {
                let summed = if diagonal { 1 } else { deep };
                places.extend((0..summed).map(|c| place(0, dy) * pitch[0] + place(1, dx) * deep + c));
            }
        }
        let sums = (places.len() + 1) * width * groups * size;
        let chunks = (SUMS / sums.max(1)).clamp(1, CHUNKS).min(conv.pictures.max(1));
        let splits = (CHUNKS / 2).div_ceil(chunks * groups).clamp(1, panels.len().max(1));
        let band = [pictures.min(conv.pictures.div_ceil(chunks).max(1)), rows.max(1), cols.max(1)];
        Self {
            problem,
            diagonal,
            groups,
            phases,
            deep,
            wide,
            lanes,
            panels,
            band,
            pitch,
            places,
            chunks,
            splits,
        }
    }

    /// Padded channels of a group of `y`.
    fn width(&self) -> usize {
        self.panels.iter().map(|p| p.vectors * self.lanes).sum()
    }

    /// The panels of a split.
    fn split(&self, split: usize) -> &[Panel] {
        let at = |i: usize| i * self.panels.len() / self.splits;
        &self.panels[at(split)..at(split + 1)]
    }

    /// The padded channels of each split.
    fn columns(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        (0..self.splits).map(|split| {
            let panels = self.split(split);
            let start = panels.first().map_or(0, |p| p.start);
            let vectors: usize = panels.iter().map(|p| p.vectors).sum();
            start * self.lanes..(start + vectors) * self.lanes
        })
    }

    /// Results of a picture.
    fn bands(&self) -> usize {
        self.problem.conv.y_shape().iter().product()
    }

    /// Adds the chunks and stores them.
    fn store<A: Floats>(&self, sums: &mut [A], dsts: &mut [Dst<'_>]) {
        let conv = &self.problem.conv;
        let size = (self.places.len() + 1) * self.width();
        let (total, others) = sums.split_at_mut(self.groups * size);
        for other in others.chunks_exact((self.groups * size).max(1)) {
            for (sum, &part) in total.iter_mut().zip(other) {
                *sum = sum.plus(part);
            }
        }
        let [_, kw, inner, outputs] = conv.filters_shape();
        let columns: Vec<_> = self.columns().collect();
        let mut row = vec![A::default(); outputs];
        // Row `at` of the sums of all groups, without the padding.
        let collect = |at: usize, row: &mut [A]| {
            for (group, row) in row.chunks_exact_mut(self.wide.max(1)).enumerate() {
                let mut base = group * size;
                for cols in &columns {
                    let to = cols.start..cols.end.min(self.wide);
                    row[to.clone()].copy_from_slice(&total[base + at * cols.len()..][..to.len()]);
                    base += (self.places.len() + 1) * cols.len();
                }
            }
        };
        let (filters, bias) = dsts.split_at_mut(1);
        let blocks = Blocks::new(filters, [1, 1, outputs]);
        let mut block_row = vec![A::default(); outputs];
        while let Some(mut block) = blocks.take() {
            let at = (block.picture * kw + block.rows.start) * inner + block.cols.start;
            collect(at, &mut block_row);
            let y = block.rows.start;
            block.parts::<1>()[0].narrow(y, &block_row);
        }
        if let [bias] = bias {
            collect(self.places.len(), &mut row);
            let blocks = Blocks::new(std::slice::from_mut(bias), [1, 1, outputs]);
            while let Some(mut block) = blocks.take() {
                block.parts::<1>()[0].narrow(0, &row);
            }
        }
    }
}

/// The sums of one chunk of pixels, one group and one split of the panels.
struct Task<'t, L: Lane> {
    plan: &'t Plan<'t>,
    srcs: &'t [Src<'t>],
    chunk: usize,
    group: usize,
    split: usize,
    sums: &'t mut [L::Elem],
}

impl<L: Lane<Elem: Floats>> Kernel for Task<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let plan = self.plan;
        let [pictures, height, length, _] = plan.problem.conv.y_shape();
        let [some, rows, cols] = plan.band;
        let at = |chunk: usize| chunk * pictures / plan.chunks;
        let (first, end) = (at(self.chunk), at(self.chunk + 1));
        for picture in (first..end).step_by(some) {
            for y in (0..height).step_by(rows) {
                for x in (0..length).step_by(cols) {
                    let band = Band {
                        pictures: picture..(picture + some).min(end),
                        rows: y..(y + rows).min(height),
                        cols: x..(x + cols).min(length),
                    };
                    band.add::<S, L>(simd, plan, self.srcs, [self.group, self.split], self.sums);
                }
            }
        }
    }
}

/// Pixels that are in scratch together.
struct Band {
    pictures: Range<usize>,
    rows: Range<usize>,
    cols: Range<usize>,
}

impl Band {
    fn add<S: Simd, L: Lane<Elem: Floats>>(
        &self,
        simd: S,
        plan: &Plan<'_>,
        srcs: &[Src<'_>],
        [group, split]: [usize; 2],
        sums: &mut [L::Elem],
    ) {
        let panels = plan.split(split);
        let Some(start) = panels.first().map(|p| p.start * plan.lanes) else { return };
        let width: usize = panels.iter().map(|p| p.vectors * plan.lanes).sum();
        let held = width.min(plan.wide - start);
        let source = Part {
            rows: Phase::span(&plan.phases[..1], &self.rows),
            cols: Phase::span(&plan.phases[1..], &self.cols),
            channels: group * plan.deep..(group + 1) * plan.deep,
            pitch: plan.pitch[0],
        };
        let grads = Part {
            rows: self.rows.start as isize..self.rows.end as isize,
            cols: self.cols.start as isize..self.cols.end as isize,
            channels: group * plan.wide + start..group * plan.wide + start + held,
            pitch: self.cols.len() * held,
        };
        let pixels = self.rows.len() * self.cols.len();
        let lengths = [
            // A vector of samples may go on past the last channel.
            self.pictures.len() * plan.pitch[1] + MAX_TILE,
            self.pictures.len() * pixels * width,
            grads.len() + grads.pitch,
        ];
        let mut lines = Vec::with_capacity(self.pictures.len() * self.rows.len());
        for i in 0..self.pictures.len() {
            for y in 0..self.rows.len() {
                lines.push(Line {
                    first: i * plan.pitch[1] + y * plan.phases[0].stride * plan.pitch[0],
                    step: plan.phases[1].stride * plan.deep,
                    pixels: self.cols.len(),
                });
            }
        }
        alloc::scratch(lengths, |[samples, gradients, spare]: [&mut [L::Elem]; 3]| {
            simd.vectorize(
                #[inline(always)]
                || {
                    for (i, index) in self.pictures.clone().enumerate() {
                        let picture = srcs[0].picture(index);
                        if plan.pitch[0] > 0 {
                            let into = &mut samples[i * plan.pitch[1]..][..source.len()];
                            source.bring(&picture, None, into, &mut []);
                        }
                        let into = &mut gradients[i * pixels * width..(i + 1) * pixels * width];
                        let mask = srcs.get(2).map(|mask| mask.picture(index));
                        let picture = srcs[1].picture(index);
                        if held == width {
                            grads.bring(&picture, mask.as_ref(), into, spare);
                            continue;
                        }
                        let (dense, spare) = spare.split_at_mut(grads.len());
                        grads.bring(&picture, mask.as_ref(), dense, spare);
                        spread(dense, held, into, width);
                    }
                    let places = plan.places.len();
                    for panel in panels {
                        let lane = panel.start * plan.lanes - start;
                        let (right, sums) = (&gradients[lane..], &mut sums[..places * width]);
                        let at = [width, lane];
                        with_tile!(L::Vector<S>, panel.vectors, |R, NV| {
                            if plan.diagonal {
                                let own = &samples[panel.start * plan.lanes..];
                                tiles::<L::Vector<S>, R, NV, true>(
                                    own,
                                    &plan.places,
                                    &lines,
                                    right,
                                    sums,
                                    at,
                                );
                            } else {
                                tiles::<L::Vector<S>, R, NV, false>(
                                    samples,
                                    &plan.places,
                                    &lines,
                                    right,
                                    sums,
                                    at,
                                );
                            }
                        });
                    }
                    let bias = &mut sums[places * width..];
                    for row in gradients.chunks_exact(width) {
                        for (sum, &value) in bias.iter_mut().zip(row) {
                            *sum = sum.plus(value);
                        }
                    }
                },
            );
        });
    }
}

/// Copies rows of `held` numbers to rows of `width`, with zeros after them.
#[inline(always)]
fn spread<A: Accumulator>(from: &[A], held: usize, into: &mut [A], width: usize) {
    for (from, into) in from.chunks_exact(held).zip(into.chunks_exact_mut(width)) {
        for i in 0..width {
            into[i] = if i < held { from[i] } else { A::default() };
        }
    }
}

/// All taps of one panel, a few at a time.
#[inline(always)]
fn tiles<V: Vector, const R: usize, const NV: usize, const DIAGONAL: bool>(
    samples: &[V::Elem],
    places: &[usize],
    lines: &[Line],
    gradients: &[V::Elem],
    sums: &mut [V::Elem],
    [width, lane]: [usize; 2],
) {
    let mut places = places.chunks(R);
    let mut sums = sums.chunks_mut(R * width);
    let mut unused = [[V::Elem::default(); MAX_TILE]; 8];
    while let (Some(some), Some(sums)) = (places.next(), sums.next()) {
        let mut at = [some[0]; R];
        at[..some.len()].copy_from_slice(some);
        let mut rows = sums.chunks_exact_mut(width);
        let mut unused = unused.iter_mut();
        let rows: [&mut [V::Elem]; R] = std::array::from_fn(
            #[inline(always)]
            |_| match rows.next() {
                Some(row) => &mut row[lane..],
                None => unused.next().expect("as many as a tile has").as_mut_slice(),
            },
        );
        simd::outer::<V, R, NV, DIAGONAL>(samples, &at, lines, gradients, width, rows);
    }
}

/// Numbers of a tile's row, at most.
const MAX_TILE: usize = simd::MAX_VECTORS * simd::MAX_LANES;
