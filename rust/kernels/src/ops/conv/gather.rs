//! Implicit matrix products that gather: the layer and its gradient with respect to the input.
//!
//! A block of results first brings the source samples that it reads into scratch, with the zeros
//! around the image: from then on every window is whole, and a window's samples are runs of
//! neighbours. A register tile sums a few pixels by a few vectors of channels at once over all of
//! them ([`gather`](crate::simd::gather)); no matrix of windows is ever made. The transpose of a layer
//! with strides is as many such passes as there are remainders by the strides ([`Phase`]).
//!
//! Every result is one chain of sums in the order of the taps: its bits don't depend on blocks or
//! threads.

use super::pack::{Panel, Part, WARM, halve, lanes, panels, widened};
use super::phase::Phase;
use super::{Conv, Forward, GradInput};
use crate::dtype::Accumulator;
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{Lane, MAX_LANES, MAX_VECTORS, Runs, Simd, Vector, lane, store_tile, with_tile};
use crate::view::{Block, Blocks, Dst, Floats, Src};
use crate::{Error, alloc, simd};
use std::ops::Range;

/// The implementation `gather`.
#[derive(Debug)]
pub struct Gather;

impl Implementation<Forward> for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn cost(&self, problem: &Forward) -> Result<f64, Reject> {
        Ok(nanoseconds(&problem.conv, problem.conv.outputs / problem.conv.groups, false))
    }

    fn run(
        &self,
        problem: &Forward,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        Pass::forward(problem).layer(problem, srcs, dsts, schedule)
    }
}

impl Implementation<GradInput> for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn cost(&self, problem: &GradInput) -> Result<f64, Reject> {
        Ok(nanoseconds(&problem.conv, problem.conv.inputs / problem.conv.groups, false))
    }

    fn run(
        &self,
        problem: &GradInput,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        Pass::transposed(problem).gradient(problem, srcs, dsts, schedule)
    }
}

/// Estimated nanoseconds of one thread: lanes that have no channel of the result are lost.
pub(super) fn nanoseconds(conv: &Conv, wide: usize, diagonal: bool) -> f64 {
    let lost = wide.max(1).next_multiple_of(8) as f64 / wide.max(1) as f64;
    // A sample for each lane is loaded for each multiply-add.
    let rate = if diagonal { 10.0 } else { 25.0 };
    conv.multiply_adds() * lost * conv.arithmetic().size() as f64 / 4.0 / rate
}

/// One of the two problems: what is read and what it becomes.
pub(super) struct Pass<'p> {
    conv: &'p Conv,
    phases: [Vec<Phase>; 2],
    groups: usize,
    /// Channels of a group that are read.
    deep: usize,
    /// Channels of a group that are results.
    wide: usize,
    /// Whether the filters' last axis is summed over.
    transposed: bool,
    /// Whether a channel is summed over by itself.
    diagonal: bool,
    relu: bool,
}

/// A phase of rows with a phase of columns: where its windows' samples stand, and their weights, by
/// group and panel.
struct Pair<'p, A> {
    rows: &'p Phase,
    cols: &'p Phase,
    runs: Runs,
    weights: Vec<A>,
}

/// A pass with its weights packed for an instruction set, ready to be run block by block.
struct Job<'p, A> {
    pass: &'p Pass<'p>,
    src: &'p Src<'p>,
    mask: Option<&'p Src<'p>>,
    pairs: Vec<Pair<'p, A>>,
    panels: Vec<Panel>,
    /// A vector's worth of bias for each vector of results, by group.
    bias: Vec<A>,
    /// Vectors of results of a group.
    vectors: usize,
    /// Numbers of a row of source samples in scratch.
    pitch: usize,
}

impl<'p> Pass<'p> {
    /// The layer.
    pub(super) fn forward(problem: &'p Forward) -> Self {
        let conv = &problem.conv;
        Self {
            conv,
            phases: [0, 1].map(|i| Phase::forward(&conv.windows[i])),
            groups: conv.groups,
            deep: conv.inputs / conv.groups,
            wide: conv.outputs / conv.groups,
            transposed: false,
            diagonal: false,
            relu: problem.relu,
        }
    }

    /// Its transpose.
    pub(super) fn transposed(problem: &'p GradInput) -> Self {
        let conv = &problem.conv;
        Self {
            conv,
            phases: [0, 1].map(|i| Phase::transposed(&conv.windows[i])),
            groups: conv.groups,
            deep: conv.outputs / conv.groups,
            wide: conv.inputs / conv.groups,
            transposed: true,
            diagonal: false,
            relu: problem.relu,
        }
    }

    /// The same for groups of one channel and one result, taken together.
    pub(super) fn diagonal(self) -> Self {
        let channels = self.conv.inputs;
        Self { groups: 1, deep: channels, wide: channels, diagonal: true, ..self }
    }

    /// Computes a layer.
    pub(super) fn layer(
        &self,
        problem: &Forward,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let conv = self.conv;
        assert!(srcs.len() == 2 + usize::from(problem.bias) && dsts.len() == 1, "the layer's arrays");
        assert!(srcs[0].shape() == conv.x_shape() && dsts[0].shape() == conv.y_shape(), "the layer's shapes");
        self.solve([&srcs[0], &srcs[1]], None, srcs.get(2), &mut dsts[0], schedule)
    }

    /// Computes a layer's gradient with respect to its input.
    pub(super) fn gradient(
        &self,
        problem: &GradInput,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let (conv, arrays) = (self.conv, 2 + usize::from(problem.masked) + usize::from(problem.bias));
        assert!(srcs.len() == arrays && dsts.len() == 1, "the gradient's arrays");
        let (mask, bias) = (problem.masked.then(|| &srcs[2]), problem.bias.then(|| &srcs[arrays - 1]));
        assert!(
            srcs[1].shape() == conv.y_shape()
                && mask.is_none_or(|mask| mask.shape() == conv.y_shape())
                && dsts[0].shape() == conv.x_shape(),
            "the layer's shapes"
        );
        self.solve([&srcs[1], &srcs[0]], mask, bias, &mut dsts[0], schedule)
    }

    fn solve(
        &self,
        [src, filters]: [&Src<'_>; 2],
        mask: Option<&Src<'_>>,
        bias: Option<&Src<'_>>,
        dst: &mut Dst<'_>,
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        assert!(filters.shape() == self.conv.filters_shape(), "the filters' shape");
        let workers = Conv::threads(schedule.workers, nanoseconds(self.conv, self.wide, self.diagonal));
        let size = schedule.tile.unwrap_or_else(|| self.blocking(workers.threads()));
        let blocks = Blocks::new(std::slice::from_mut(dst), [size[0], size[1], self.wide]);
        if blocks.count() == 0 {
            return Ok(());
        }
        let workers = workers.at_most(blocks.count());
        macro_rules! solve {
            ($L:ty) => {{
                let job = self.job::<$L>(src, mask, filters, bias, size[1], lanes::<$L>(schedule.isa));
                let run = |block| schedule.isa.dispatch(Task::<$L> { job: &job, block });
                workers.drain(|| blocks.take(), run)
            }};
        }
        match self.conv.arithmetic().size() {
            8 => solve!(lane::F64),
            _ => solve!(lane::F32),
        }
    }

    /// Rows and columns of a block.
    fn blocking(&self, threads: usize) -> [usize; 2] {
        let [rows, cols] = [0, 1].map(|i| self.phases[i].iter().map(|p| p.count).sum::<usize>().max(1));
        let size = self.conv.arithmetic().size();
        let bytes = |height: usize, width: usize| {
            let source = Phase::span(&self.phases[0], &(0..height)).len()
                * Phase::span(&self.phases[1], &(0..width)).len();
            (source * self.deep + height * width * self.wide) * size
        };
        // Whole rows if a few of them fit; what is read twice is then least.
        let few = 4.min(rows);
        let width = halve(cols, |width| bytes(few, width) <= WARM);
        let height = halve(rows, |height| bytes(height, width) <= WARM);
        let across = cols.div_ceil(width) * self.groups * self.conv.pictures.max(1);
        let wanted = if threads == 1 { 1 } else { (4 * threads).div_ceil(across) };
        [height.min(rows.div_ceil(wanted)), width]
    }

    fn job<L: Lane<Elem: Floats>>(
        &'p self,
        src: &'p Src<'p>,
        mask: Option<&'p Src<'p>>,
        filters: &Src<'_>,
        bias: Option<&Src<'_>>,
        width: usize,
        lanes: usize,
    ) -> Job<'p, L::Elem> {
        let vectors = self.wide.div_ceil(lanes);
        let panels = panels(vectors);
        let cols: usize = self.phases[1].iter().map(|p| p.count).sum();
        let spans = (0..cols).step_by(width.max(1)).map(|start| start..(start + width).min(cols));
        let widest = spans.map(|cols| Phase::span(&self.phases[1], &cols).len()).max().unwrap_or(0);
        let pitch = widest * self.deep;
        let filters = widened::<L::Elem>(filters);
        let mut pairs = Vec::new();
        for rows in &self.phases[0] {
            for cols in &self.phases[1] {
                pairs.push(self.pair(rows, cols, pitch, &filters, &panels, lanes));
            }
        }
        let mut padded = vec![L::Elem::default(); self.groups * vectors * lanes];
        if let Some(bias) = bias {
            let bias = widened::<L::Elem>(bias);
            for (into, bias) in padded.chunks_exact_mut(vectors * lanes).zip(bias.chunks_exact(self.wide)) {
                into[..self.wide].copy_from_slice(bias);
            }
        }
        Job { pass: self, src, mask, pairs, panels, bias: padded, vectors, pitch }
    }

    fn pair<A: Accumulator>(
        &self,
        rows: &'p Phase,
        cols: &'p Phase,
        pitch: usize,
        filters: &[A],
        panels: &[Panel],
        lanes: usize,
    ) -> Pair<'p, A> {
        let [_, kw, inner, outer] = self.conv.filters_shape();
        let place = |phase: &Phase, offset: isize| (offset - phase.least()) as usize;
        let taps = || {
            rows.taps
                .iter()
                .flat_map(|&(dy, ky)| cols.taps.iter().map(move |&(dx, kx)| ((dy, dx), ky * kw + kx)))
        };
        let summed = if self.diagonal { 1 } else { self.deep };
        let place = |dy, dx| place(rows, dy) * pitch + place(cols, dx) * self.deep;
        let runs = Runs::new(taps().map(|((dy, dx), _)| (place(dy, dx), summed)));
        let mut weights = Vec::with_capacity(self.groups * runs.depth() * self.wide.next_multiple_of(lanes));
        for group in 0..self.groups {
            for panel in panels {
                let channels = panel.start * lanes..(panel.start + panel.vectors) * lanes;
                for (_, tap) in taps() {
                    let tap = &filters[tap * inner * outer..(tap + 1) * inner * outer];
                    for deep in 0..summed {
                        if self.transposed && !self.diagonal {
                            let at = group * self.deep + deep;
                            weights.extend(channels.clone().map(|wide| {
                                if wide < self.wide { tap[wide * outer + at] } else { A::default() }
                            }));
                        } else {
                            let row = &tap[deep * outer + group * self.wide..][..self.wide];
                            let part = &row[channels.start..channels.end.min(self.wide)];
                            weights.extend_from_slice(part);
                            weights.extend(std::iter::repeat_n(A::default(), channels.len() - part.len()));
                        }
                    }
                }
            }
        }
        Pair { rows, cols, runs, weights }
    }
}

/// A block as a computation to be compiled for each instruction set.
struct Task<'t, L: Lane> {
    job: &'t Job<'t, L::Elem>,
    block: Block<'t>,
}

impl<L: Lane<Elem: Floats>> Kernel for Task<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        block::<S, L>(simd, self.job, self.block);
    }
}

fn block<S: Simd, L: Lane<Elem: Floats>>(simd: S, job: &Job<'_, L::Elem>, mut block: Block<'_>) {
    let pass = job.pass;
    let (rows, cols, wide) = (block.rows.clone(), block.cols.clone(), pass.wide);
    let group = block.channels.start / wide;
    let part = Part {
        rows: Phase::span(&pass.phases[0], &rows),
        cols: Phase::span(&pass.phases[1], &cols),
        channels: group * pass.deep..(group + 1) * pass.deep,
        pitch: job.pitch,
    };
    let results = rows.len() * cols.len() * wide + MAX_VECTORS * MAX_LANES;
    let spare = if job.mask.is_some() { job.pitch } else { 0 };
    let picture = job.src.picture(block.picture);
    let mask = job.mask.map(|mask| mask.picture(block.picture));
    let [mut to] = block.parts();
    // A vector of samples may go on past the last channel.
    let samples = part.len() + MAX_VECTORS * MAX_LANES;
    alloc::scratch([samples, results, spare], |[source, out, spare]: [&mut [L::Elem]; 3]| {
        simd.vectorize(
            #[inline(always)]
            || {
                if job.pitch > 0 {
                    part.bring(&picture, mask.as_ref(), &mut source[..part.len()], spare);
                }
                for pair in &job.pairs {
                    pair.run::<L::Vector<S>>(
                        job,
                        group,
                        source,
                        [&part.rows, &part.cols],
                        out,
                        [&rows, &cols],
                    );
                }
                for (y, row) in rows.clone().zip(out.chunks_exact_mut(cols.len() * wide)) {
                    if pass.relu {
                        for value in row.iter_mut() {
                            // A NaN stays.
                            *value = if *value < L::Elem::default() { L::Elem::default() } else { *value };
                        }
                    }
                    to.narrow(y, row);
                }
            },
        );
    });
}

impl<A: Accumulator> Pair<'_, A> {
    /// The results of this pair of phases that stand in the block.
    #[inline(always)]
    fn run<V: Vector<Elem = A>>(
        &self,
        job: &Job<'_, A>,
        group: usize,
        source: &[A],
        spans: [&Range<isize>; 2],
        out: &mut [A],
        [rows, cols]: [&Range<usize>; 2],
    ) {
        let pass = job.pass;
        let (ys, xs) = (self.rows.within(rows), self.cols.within(cols));
        if ys.is_empty() || xs.is_empty() {
            return;
        }
        // Where a result's window begins in scratch, and where the result goes.
        let from = |phase: &Phase, q: usize, span: &Range<isize>| {
            ((q * phase.stride) as isize + phase.least() - span.start) as usize
        };
        // Results that no sample reaches stand still.
        let from = if self.runs.depth() == 0 {
            [0; 3]
        } else {
            [
                from(self.rows, ys.start, spans[0]) * job.pitch
                    + from(self.cols, xs.start, spans[1]) * pass.deep,
                self.rows.stride * job.pitch,
                self.cols.stride * pass.deep,
            ]
        };
        let walk = Walk {
            results: [ys.len(), xs.len()],
            from,
            to: [
                ((self.rows.first + ys.start * self.rows.step - rows.start) * cols.len()
                    + (self.cols.first + xs.start * self.cols.step - cols.start))
                    * pass.wide,
                self.rows.step * cols.len() * pass.wide,
                self.cols.step * pass.wide,
            ],
        };
        // Results in the order of memory may write past their channels: the next one comes after.
        let alone = job.panels.len() == 1 && job.pairs.len() == 1;
        let room = if alone { pass.wide.next_multiple_of(V::LANES) } else { pass.wide };
        for panel in &job.panels {
            let first = group * job.vectors + panel.start;
            let weights = &self.weights[first * V::LANES * self.runs.depth()..];
            let start = &job.bias[first * V::LANES..];
            let lane = panel.start * V::LANES;
            with_tile!(V, panel.vectors, |R, NV| {
                if pass.diagonal {
                    walk.run::<V, R, NV, true>(&source[lane..], &self.runs, weights, start, out, lane, room);
                } else {
                    walk.run::<V, R, NV, false>(source, &self.runs, weights, start, out, lane, room);
                }
            });
        }
    }
}

/// Rows and columns of results, with the places that they read from and are written to: of the first,
/// and the steps from row to row and from column to column.
struct Walk {
    results: [usize; 2],
    from: [usize; 3],
    to: [usize; 3],
}

impl Walk {
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "both sides of a product, and where it goes")]
    fn run<V: Vector, const R: usize, const NV: usize, const DIAGONAL: bool>(
        &self,
        source: &[V::Elem],
        runs: &Runs,
        weights: &[V::Elem],
        start: &[V::Elem],
        out: &mut [V::Elem],
        channel: usize,
        room: usize,
    ) {
        let [height, width] = self.results;
        let (mut y, mut x) = (0, 0);
        let (mut from, mut to) = ([0; R], [0; R]);
        while y < height {
            let mut filled = 0;
            for r in 0..R {
                if y < height {
                    from[r] = self.from[0] + y * self.from[1] + x * self.from[2];
                    to[r] = self.to[0] + y * self.to[1] + x * self.to[2];
                    filled = r + 1;
                    x += 1;
                    if x == width {
                        (y, x) = (y + 1, 0);
                    }
                } else {
                    from[r] = from[0];
                }
            }
            let sums = simd::gather::<V, R, NV, DIAGONAL>(source, &from, runs, weights, start);
            for r in 0..filled {
                store_tile(&sums[r], &mut out[to[r]..to[r] + room], channel);
            }
        }
    }
}
