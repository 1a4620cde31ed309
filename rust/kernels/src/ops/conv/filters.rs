//! The gradient with respect to the filters, as outer products: a sum over pixels of what each pixel's
//! window holds times what its gradient is.
//!
//! The pixels are parted by the problem alone into chunks with sums of their own, which are added in
//! order at the end: the bits don't depend on the number of threads. A chunk brings bands of its
//! pictures into scratch as the layer does ([`gather`](super::gather)) and their gradients beside them,
//! channels padded to vectors; a register tile then adds, for a few taps and a few vectors of
//! channels, over all pixels of the band ([`outer`](crate::simd::outer)).

use super::pack::{Panel, Part, WARM, halve, lanes, panels, share};
use super::pass::with_lane;
use super::phase::Phase;
use super::{GradFilters, nanoseconds};
use crate::alloc::results::Kept;
use crate::dtype::Accumulator;
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{Lane, Line, MAX_LANES, Simd, Vector, load_tile, store_tile, with_tile};
use crate::view::{Blocks, Dst, Floats, Src};
use crate::{Error, alloc, simd};
use std::ops::Range;

/// The implementation `outer`.
#[derive(Debug)]
pub struct Outer;

/// Bytes of all chunks' sums together, at most, unless one chunk has more.
const SUMS: usize = 8 << 20;

/// Chunks, at most.
const CHUNKS: usize = 16;

/// Nanoseconds for bringing a pixel and its window in.
const PIXEL: f64 = 10.0;

/// Pixels of a chunk, at least: what its sums are cleared and added for.
const PIXELS: usize = 256;

impl Implementation<GradFilters> for Outer {
    fn name(&self) -> &'static str {
        "outer"
    }

    fn cost(&self, problem: &GradFilters) -> Result<f64, Reject> {
        let conv = &problem.conv;
        let pixels: f64 = conv.y_shape()[..3].iter().map(|&n| n as f64).product();
        Ok(nanoseconds(conv, conv.outputs / conv.groups) + pixels * PIXEL)
    }

    fn run(
        &self,
        problem: &GradFilters,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let (conv, srcs) = (&problem.conv, problem.sources(srcs, dsts));
        let workers = schedule.workers.worth(nanoseconds(conv, conv.outputs / conv.groups));
        let schedule = Schedule { workers, ..*schedule };
        with_lane!(conv, |L| solve::<L>(problem, &srcs, dsts, &schedule))
    }
}

/// How a gradient is parted: data. The problem alone decides what decides the order of the sums, so that a
/// schedule's tile has no say here, and its threads only in how many parts the panels have.
struct Plan<'p> {
    problem: &'p GradFilters,
    groups: usize,
    phases: [Phase; 2],
    /// Channels of a group of `x`, and of `y`.
    deep: usize,
    wide: usize,
    lanes: usize,
    panels: Vec<Panel>,
    /// Pictures that a band has, and rows and columns of results.
    band: [usize; 3],
    /// Numbers from a sample in scratch to its neighbours: the next picture's, the next row's, the next.
    steps: [usize; 3],
    /// Where each sum's sample stands in a window: rows, columns, channels.
    places: Vec<usize>,
    /// Parts of the pixels with sums of their own, and parts of the panels.
    chunks: usize,
    splits: usize,
}

/// Bytes that a band brings in, at most, for all panels together.
const BAND: usize = 768 << 10;

fn solve<L: Lane<Elem: Floats>>(
    problem: &GradFilters,
    srcs: &[Src<'_>],
    dsts: &mut [Dst<'_>],
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let plan = Plan::new(problem, lanes::<L>(schedule.isa), schedule.workers.threads());
    let groups = plan.groups;
    // One row more than there are taps: the bias's gradient.
    let size = (plan.places.len() + 1) * plan.width();
    let mut sums = Kept::new(plan.chunks * groups * size);
    if size > 0 {
        // A panel's sums stand together, so that a split has its own as a whole.
        let per_task = plan.columns().map(|cols| cols.len() * (plan.places.len() + 1)).collect::<Vec<_>>();
        let mut rest: &mut [L::Elem] = &mut sums;
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
        let tasks = tasks.into_iter();
        let tasks = tasks.map(|(chunk, group, split, sums)| Task::<L> {
            plan: &plan,
            srcs,
            chunk,
            group,
            split,
            sums,
        });
        share(tasks.collect(), f64::INFINITY, schedule)?;
    }
    plan.store(&mut sums, dsts, schedule)
}

impl<'p> Plan<'p> {
    fn new(problem: &'p GradFilters, lanes: usize, threads: usize) -> Self {
        let conv = &problem.conv;
        let groups = conv.groups;
        let phases = [0, 1].map(|i| Phase::forward(&conv.windows[i]).remove(0));
        let (deep, wide) = (conv.inputs / groups, conv.outputs / groups);
        let panels = panels(wide.div_ceil(lanes));
        let width: usize = panels.iter().map(|p| p.vectors * lanes).sum();
        let size = conv.arithmetic().size();
        let span = |i: usize, n: usize| Phase::span(&phases[i..=i], &(0..n)).len();
        let bytes =
            |rows: usize, cols: usize| (span(0, rows) * span(1, cols) * deep + rows * cols * width) * size;
        let [_, height, length, _] = conv.y_shape();
        let sums: usize = phases.iter().map(|p| p.taps.len()).product::<usize>() * deep;
        // All sums are read and written for every band; where they are few, a band may stay near.
        let most = if sums * width * size <= WARM { WARM } else { BAND };
        let few = 4.min(height);
        let cols = halve(length, |cols| bytes(few, cols) <= most);
        let rows = halve(height, |rows| bytes(rows, cols) <= most);
        let whole = rows >= height && cols >= length && bytes(rows, cols) > 0;
        let pictures = if whole { (most / bytes(rows, cols)).clamp(1, conv.pictures.max(1)) } else { 1 };
        // The samples of one channel at neighbouring pixels must not all be in one set of the first-level cache.
        let step = if deep > 0 && (deep * size).is_multiple_of(512) { deep + MAX_LANES } else { deep };
        let down = span(1, cols) * step;
        let steps = [down * span(0, rows), down, step];
        let place = |i: usize, offset: isize| (offset - phases[i].least()) as usize;
        let mut places = Vec::new();
        for &(dy, _) in &phases[0].taps {
            for &(dx, _) in &phases[1].taps {
                places.extend((0..deep).map(|c| place(0, dy) * down + place(1, dx) * step + c));
            }
        }
        let bytes = (sums + 1) * width * groups * size;
        let lines = conv.pictures * height;
        let chunks =
            (SUMS / bytes.max(1)).min(lines * length / PIXELS).min(lines / (2 * conv.windows[0].taps));
        let chunks = chunks.clamp(1, CHUNKS);
        let splits = (2 * threads).div_ceil(chunks * groups).clamp(1, panels.len().max(1));
        let band = [pictures, rows.max(1), cols.max(1)];
        Self { problem, groups, phases, deep, wide, lanes, panels, band, steps, places, chunks, splits }
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

    /// Adds the chunks and stores them.
    fn store<A: Floats>(
        &self,
        sums: &mut [A],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let conv = &self.problem.conv;
        let size = (self.places.len() + 1) * self.width();
        let chunks: Vec<_> = sums.chunks_exact((self.groups * size).max(1)).collect();
        let [_, kw, inner, outputs] = conv.filters_shape();
        // Rows from `first` on of the sums of all groups and chunks, without the padding. A panel's rows stand
        // together.
        let collect = |first: usize, rows: &mut [A]| {
            for (group, panel) in
                (0..self.groups).flat_map(|group| self.panels.iter().map(move |p| (group, p)))
            {
                let [lane, width] = [panel.start, panel.vectors].map(|n| n * self.lanes);
                let from = group * size + lane * (self.places.len() + 1) + first * width;
                let held = group * self.wide + lane..group * self.wide + self.wide.min(lane + width);
                for (r, row) in rows.chunks_exact_mut(outputs.max(1)).enumerate() {
                    for (i, chunk) in chunks.iter().enumerate() {
                        let parts = row[held.clone()].iter_mut().zip(&chunk[from + r * width..]);
                        if i == 0 {
                            parts.for_each(|(sum, &part)| *sum = part);
                        } else {
                            parts.for_each(|(sum, &part)| *sum = sum.plus(part));
                        }
                    }
                }
            }
        };
        let (filters, bias) = dsts.split_at_mut(1);
        // A number takes about as long as one of a packed filter.
        let nanoseconds = self.chunks as f64 * (conv.filters_shape().iter().product::<usize>() as f64) / 2.0;
        let workers = schedule.workers.worth(nanoseconds);
        let tap = Blocks::new(filters, [1, 8, outputs]);
        workers.drain(
            || tap.take(),
            |mut block| {
                let (y, cols) = (block.rows.start, block.cols.clone());
                let first = (block.picture * kw + y) * inner;
                alloc::scratch([cols.len() * outputs], |[rows]: [&mut [A]; 1]| {
                    collect(first + cols.start, rows);
                    block.parts::<1>()[0].narrow(y, rows);
                });
            },
        )?;
        if let [bias] = bias {
            let mut row = vec![A::default(); outputs];
            collect(self.places.len(), &mut row);
            let blocks = Blocks::new(std::slice::from_mut(bias), [1, 1, outputs]);
            while let Some(mut block) = blocks.take() {
                block.parts::<1>()[0].narrow(0, &row);
            }
        }
        Ok(())
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
        // Rows of all pictures.
        let at = |chunk: usize| chunk * (pictures * height) / plan.chunks;
        let (mut row, end) = (at(self.chunk), at(self.chunk + 1));
        let mut fresh = true;
        while row < end {
            let (picture, y) = (row / height, row % height);
            let whole = if y == 0 && rows >= height { ((end - row) / height).min(some) } else { 0 };
            let (pictures, high) =
                if whole > 0 { (whole, height) } else { (1, rows.min(height - y).min(end - row)) };
            for x in (0..length).step_by(cols) {
                let band = Band {
                    pictures: picture..picture + pictures,
                    rows: y..y + high,
                    cols: x..(x + cols).min(length),
                };
                band.add::<S, L>(simd, plan, self.srcs, [self.group, self.split], self.sums, fresh);
                fresh = false;
            }
            row += pictures * high;
        }
        if fresh {
            self.sums.fill(L::Elem::default());
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
        fresh: bool,
    ) {
        let panels = plan.split(split);
        let Some(start) = panels.first().map(|p| p.start * plan.lanes) else { return };
        let width: usize = panels.iter().map(|p| p.vectors * plan.lanes).sum();
        let held = width.min(plan.wide - start);
        let [across, down, step] = plan.steps;
        let source = Part {
            rows: Phase::span(&plan.phases[..1], &self.rows),
            cols: Phase::span(&plan.phases[1..], &self.cols),
            channels: group * plan.deep..(group + 1) * plan.deep,
            step,
            pitch: down,
        };
        let grads = Part {
            rows: self.rows.start as isize..self.rows.end as isize,
            cols: self.cols.start as isize..self.cols.end as isize,
            channels: group * plan.wide + start..group * plan.wide + start + held,
            step: held,
            pitch: self.cols.len() * held,
        };
        let pixels = self.rows.len() * self.cols.len();
        let lengths = [
            // A vector of samples may go on past the last channel.
            self.pictures.len() * across + MAX_TILE,
            self.pictures.len() * pixels * width,
            grads.len() + grads.pitch,
        ];
        let lines = (0..self.pictures.len()).flat_map(|i| (0..self.rows.len()).map(move |y| (i, y)));
        let line = |(i, y)| Line {
            first: i * across + y * plan.phases[0].stride * down,
            step: plan.phases[1].stride * step,
            pixels: self.cols.len(),
        };
        let lines = Line::join(lines.map(line));
        alloc::scratch(lengths, |[samples, gradients, spare]: [&mut [L::Elem]; 3]| {
            simd.vectorize(
                #[inline(always)]
                || {
                    let all = self.pictures.len() * pixels;
                    for (i, index) in self.pictures.clone().enumerate() {
                        if down > 0 {
                            let into = &mut samples[i * across..][..source.len()];
                            source.bring::<L::Vector<S>>(&srcs[0].picture(index), None, into, &mut []);
                        }
                        let mask = srcs.get(2).map(|mask| mask.picture(index));
                        let picture = srcs[1].picture(index);
                        let (dense, spare) = spare.split_at_mut(grads.len());
                        grads.bring::<L::Vector<S>>(&picture, mask.as_ref(), dense, spare);
                        for panel in panels {
                            let [first, n] = [panel.start, panel.vectors].map(|n| n * plan.lanes);
                            let into = &mut gradients[all * (first - start) + i * pixels * n..][..pixels * n];
                            part_of::<L::Vector<S>>(dense, held, first - start, into, n);
                        }
                    }
                    for panel in panels {
                        let [first, n] = [panel.start, panel.vectors].map(|n| n * plan.lanes);
                        let right = &gradients[all * (first - start)..][..all * n];
                        let rows = plan.places.len();
                        let (sums, bias) =
                            sums[(first - start) * (rows + 1)..][..(rows + 1) * n].split_at_mut(rows * n);
                        with_tile!(L::Vector<S>, panel.vectors, |R, NV| {
                            tiles::<L::Vector<S>, R, NV, false>(
                                samples,
                                &plan.places,
                                &lines,
                                (right, n),
                                sums,
                                fresh,
                            );
                        });
                        if fresh {
                            bias.fill(L::Elem::default());
                        }
                        for row in right.chunks_exact(n) {
                            for (sum, &value) in bias.iter_mut().zip(row) {
                                *sum = sum.plus(value);
                            }
                        }
                    }
                },
            );
        });
    }
}

/// Copies `width` numbers, whole vectors, of each row of `held` from column `first` on, zeros where there
/// are none.
#[inline(always)]
fn part_of<V: Vector>(from: &[V::Elem], held: usize, first: usize, into: &mut [V::Elem], width: usize) {
    let there = width.min(held - first);
    for (from, into) in from.chunks_exact(held).zip(into.chunks_exact_mut(width)) {
        let from = &from[first..first + there];
        if there == width {
            for lane in (0..width).step_by(V::LANES) {
                store_tile::<V, 1>(&load_tile(from, lane), into, lane);
            }
        } else {
            // Shorter than a call of `memcpy`.
            for i in 0..width {
                into[i] = if i < there { from[i] } else { V::Elem::default() };
            }
        }
    }
}

/// All sums of one panel, a few at a time ([`simd::outer`]).
#[inline(always)]
pub(super) fn tiles<V: Vector, const R: usize, const NV: usize, const VECTOR: bool>(
    samples: &[V::Elem],
    places: &[usize],
    lines: &[Line],
    (gradients, pitch): (&[V::Elem], usize),
    sums: &mut [V::Elem],
    fresh: bool,
) {
    let width = NV * V::LANES;
    for (some, sums) in places.chunks(R).zip(sums.chunks_mut(R * width)) {
        // A tile that is not full makes the first sum again, for nothing.
        let mut at = [some[0]; R];
        at[..some.len()].copy_from_slice(some);
        simd::outer::<V, R, NV, VECTOR>(samples, &at, lines, gradients, pitch, sums, fresh);
    }
}

/// Numbers of a tile's row, at most.
pub(super) const MAX_TILE: usize = simd::MAX_VECTORS * MAX_LANES;
