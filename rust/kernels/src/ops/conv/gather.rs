//! Implicit matrix products that gather: the layer and its gradient with respect to the input.
//!
//! A block of results first brings the source samples that it reads into scratch, with the zeros
//! around the image: from then on every window is whole, and a window's samples are runs of
//! neighbours. A register tile sums a few pixels by a few vectors of channels at once over all of
//! them ([`gather`](crate::simd::gather)); no matrix of windows is ever made. The transpose of a layer
//! with strides is as many such passes as there are remainders by the strides ([`Phase`]).
//!
//! Every result is one chain of sums in the order of the taps: its bits don't depend on blocks or
//! threads. Two kinds of pass have pixels for lanes instead of channels: pointwise ones over planes
//! (`planes`), and those to few results (`narrow`).

use super::blockwise::Blockwise;
use super::finish::Finish;
use super::narrow;
use super::pack::{Panel, Part, Piece, Taps, WARM, halve, lanes, padded, panels, pieces, share};
use super::packed::Packed;
use super::pass::{Pass, Sources, passes, with_lane};
use super::phase::Phase;
use super::{pictures, planes};
use crate::alloc::Plain;
use crate::alloc::results::Kept;
use crate::dtype::Accumulator;
use crate::isa::Kernel;
use crate::registry::Schedule;
use crate::simd::{Lane, MAX_LANES, MAX_VECTORS, Runs, Simd, Vector, load_tile, store_tile, with_tile};
use crate::view::{Block, Blocks, Dst, Floats};
use crate::{Error, alloc, simd};
use std::ops::Range;
use std::sync::Arc;

/// The implementation `gather`.
#[derive(Debug)]
pub struct Gather;

passes!(
    Gather,
    "gather",
    |_| None,
    |pass: Pass<'_>| Ok(pass.nanoseconds()),
    |pass: Pass<'_>, sources, dst, schedule| solve(&pass, sources, dst, schedule)
);

/// A phase of rows with a phase of columns, and where its windows' samples stand.
struct Pair<'p> {
    rows: &'p Phase,
    cols: &'p Phase,
    runs: Runs,
}

/// The weights of every pair, by group and panel.
struct Weights<A: Plain>(Vec<Kept<A>>);

/// A pass with its weights packed for an instruction set, ready to be run block by block.
pub(super) struct Job<'p, A: Plain> {
    pass: &'p Pass<'p>,
    sources: &'p Sources<'p>,
    pairs: Vec<Pair<'p>>,
    weights: Arc<Weights<A>>,
    panels: Vec<Panel>,
    /// A vector's worth of bias for each vector of results, by group.
    bias: Vec<A>,
    /// Vectors of results of a group.
    vectors: usize,
    /// Numbers of a row of source samples in scratch.
    pitch: usize,
}

/// Computes a pass.
pub(super) fn solve(
    pass: &Pass<'_>,
    sources: &Sources<'_>,
    dst: &mut Dst<'_>,
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let workers = schedule.workers.worth(pass.nanoseconds());
    if planes::takes(pass, &sources.src, dst) {
        let schedule = Schedule { workers, ..*schedule };
        return with_lane!(pass.conv, |L| planes::solve::<L>(pass, sources, dst, &schedule));
    }
    let lanes = with_lane!(pass.conv, |L| lanes::<L>(schedule.isa));
    let apart = sources.src.has_planes();
    if pictures::takes(pass, lanes, apart) {
        let schedule = Schedule { workers, ..*schedule };
        return with_lane!(pass.conv, |L| pictures::solve::<L>(pass, sources, dst, lanes, &schedule));
    }
    if narrow::takes(pass, lanes, apart) {
        let schedule = Schedule { workers, ..*schedule };
        return with_lane!(pass.conv, |L| narrow::solve::<L>(pass, sources, dst, &schedule));
    }
    let size = schedule.tile.unwrap_or_else(|| pass.blocking(workers.threads()));
    let blocks = Blocks::new(std::slice::from_mut(dst), [size[0], size[1], pass.wide]);
    if blocks.count() == 0 {
        return Ok(());
    }
    with_lane!(pass.conv, |L| {
        let job = Job::new::<L>(pass, sources, size[1], schedule)?;
        Blockwise::<L>::compute(&job, &blocks, workers, schedule.isa)
    })
}

/// Bytes that a block of a pointwise pass reads, and bytes that it computes: what it reads is mostly lent.
const NEAR: usize = 256 << 10;

impl<'p> Pass<'p> {
    /// Rows and columns of a block.
    pub(super) fn blocking(&self, threads: usize) -> [usize; 2] {
        let ([rows, cols], size) = (self.results(), self.conv.arithmetic().size());
        if self.pointwise() {
            let near = |pixels: usize| pixels * self.deep.max(self.wide) * size <= NEAR;
            return self.rows(threads, near);
        }
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

    /// Where a window's samples stand, `pitch` numbers a row.
    fn runs(&self, [rows, cols]: [&Phase; 2], pitch: usize) -> Runs {
        let place = |phase: &Phase, offset: isize| (offset - phase.least()) as usize;
        let places = rows.taps.iter().flat_map(|&(dy, _)| {
            cols.taps.iter().map(move |&(dx, _)| place(rows, dy) * pitch + place(cols, dx) * self.step())
        });
        Runs::new(places.map(|place| (place, self.deep)))
    }
}

/// Weights of a pair, to be packed.
struct Pack<'t, L: Lane> {
    pass: &'t Pass<'t>,
    taps: &'t Taps<'t, L::Elem>,
    phases: [&'t Phase; 2],
    piece: Piece<'t, L::Elem>,
}

/// Channels whose weights are packed at once: what panels share is then read while it is near.
const ROWS: usize = MAX_LANES;

impl<L: Lane<Elem: Floats>> Kernel for Pack<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { pass, taps, phases: [rows, cols], piece: Piece { group, panels, into } } = self;
        let summed = pass.deep;
        let order = || rows.taps.iter().flat_map(|&(_, ky)| cols.taps.iter().map(move |&(_, kx)| [ky, kx]));
        let count = rows.taps.len() * cols.taps.len();
        simd.vectorize(
            #[inline(always)]
            || {
                for (i, tap) in order().enumerate() {
                    for deep in (0..summed).step_by(ROWS) {
                        let n = ROWS.min(summed - deep);
                        let mut done = 0;
                        for &panel in panels {
                            let width = panel.vectors * L::Vector::<S>::LANES;
                            let into = &mut into[done + (i * summed + deep) * width..][..n * width];
                            done += count * summed * width;
                            taps.bring::<L::Vector<S>>(pass, tap, group, panel, deep, into);
                        }
                    }
                }
            },
        );
    }
}

impl<'p, A: Floats> Job<'p, A> {
    /// Packs a pass for blocks of at most `width` columns that begin at multiples of `width`.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the caller asked to give up.
    pub(super) fn new<L: Lane<Elem = A>>(
        pass: &'p Pass<'p>,
        sources: &'p Sources<'p>,
        width: usize,
        schedule: &Schedule<'_>,
    ) -> Result<Self, Error> {
        let lanes = lanes::<L>(schedule.isa);
        let vectors = pass.wide.div_ceil(lanes);
        let panels = panels(vectors);
        let cols: usize = pass.phases[1].iter().map(|p| p.count).sum();
        let spans = (0..cols).step_by(width.max(1)).map(|start| start..(start + width).min(cols));
        let widest = spans.map(|cols| Phase::span(&pass.phases[1], &cols).len()).max().unwrap_or(0);
        let pitch = widest * pass.step();
        let mut pairs = Vec::new();
        for rows in &pass.phases[0] {
            for cols in &pass.phases[1] {
                pairs.push(Pair { rows, cols, runs: pass.runs([rows, cols], pitch) });
            }
        }
        let weights = Packed::get(schedule.filters, pass, schedule.isa, || {
            let room = |pair: &Pair<'_>| Kept::new(pass.groups * pair.runs.depth() * vectors * lanes);
            let mut weights: Vec<_> = pairs.iter().map(room).collect();
            let taps = Taps::new(sources.filters);
            let mut tasks = Vec::new();
            for (pair, weights) in pairs.iter().zip(&mut weights) {
                let (phases, each) = ([pair.rows, pair.cols], pair.runs.depth() * lanes);
                let threads = schedule.workers.threads();
                for piece in pieces(weights, [pass.groups, each], &panels, threads) {
                    tasks.push(Pack::<L> { pass, taps: &taps, phases, piece });
                }
            }
            share(tasks, pass.packing(), schedule)?;
            Ok(Weights(weights))
        })?;
        let bias = padded(sources.bias, [pass.groups, pass.wide], vectors * lanes);
        Ok(Job { pass, sources, pairs, weights, panels, bias, vectors, pitch })
    }

    /// Where the samples of a rectangle of results stand.
    fn part(&self, [rows, cols]: [&Range<usize>; 2], group: usize) -> Part {
        let pass = self.pass;
        Part {
            rows: Phase::span(&pass.phases[0], rows),
            cols: Phase::span(&pass.phases[1], cols),
            channels: group * pass.deep..(group + 1) * pass.deep,
            step: pass.step(),
            pitch: self.pitch,
        }
    }

    /// Numbers of scratch for the samples of a rectangle of results, and of a row of a mask.
    pub(super) fn scratch(&self, place: [&Range<usize>; 2]) -> [usize; 2] {
        // A vector of samples may go on past the last channel.
        let samples = self.part(place, 0).len() + MAX_VECTORS * MAX_LANES;
        [samples, if self.sources.mask.is_some() { self.pitch } else { 0 }]
    }

    /// Sums for a rectangle of a picture: pixels in C order, `wide` numbers each. What comes after them in `out` may
    /// be written to.
    #[inline(always)]
    pub(super) fn sums<V: Vector<Elem = A>>(
        &self,
        picture: usize,
        place: [&Range<usize>; 2],
        group: usize,
        [source, spare]: [&mut [A]; 2],
        out: &mut [A],
    ) {
        let part = self.part(place, group);
        let mask = self.sources.mask.map(|mask| mask.picture(picture));
        let picture = self.sources.src.picture(picture);
        let lent = if mask.is_none() { part.lend(&picture) } else { None };
        let source = if let Some(lent) = lent {
            lent
        } else {
            if self.pitch > 0 {
                part.bring::<V>(&picture, mask.as_ref(), &mut source[..part.len()], spare);
            }
            source
        };
        for (pair, weights) in self.pairs.iter().zip(&self.weights.0) {
            pair.run::<V>(self, weights, group, source, [&part.rows, &part.cols], out, place);
        }
    }
}

impl<L: Lane<Elem: Floats>> Blockwise<L> for Job<'_, L::Elem> {
    fn block<S: Simd>(&self, simd: S, mut block: Block<'_>) {
        let wide = self.pass.wide;
        let (picture, rows, cols) = (block.picture, block.rows.clone(), block.cols.clone());
        let (channels, group) = (block.channels.clone(), block.channels.start / wide);
        let [mut to] = block.parts();
        // Results are made in place where a pixel's whole vectors end where the next pixel begins, and one panel has
        // them all: to write to memory far away a few vectors a pixel takes longer than to copy the results (measured:
        // 36 in place of 57 GFLOP/s for 64 channels to 256).
        let whole = self.panels.len() == 1 && wide.is_multiple_of(L::Vector::<S>::LANES);
        let lends = whole && to.lend_all::<L::Elem>().is_some();
        let results = if lends { 0 } else { rows.len() * cols.len() * wide + MAX_VECTORS * MAX_LANES };
        let [samples, mask] = self.scratch([&rows, &cols]);
        let finish = Finish::new(self.pass, self.sources);
        let lengths = [samples, mask, finish.room(cols.len() * wide), results];
        alloc::scratch(lengths, |[source, spare, line, out]: [&mut [L::Elem]; 4]| {
            simd.vectorize(
                #[inline(always)]
                || {
                    let into = match to.lend_all() {
                        Some(into) if lends => into,
                        _ => &mut *out,
                    };
                    self.sums::<L::Vector<S>>(picture, [&rows, &cols], group, [source, spare], into);
                    for (y, row) in rows.clone().zip(into.chunks_exact_mut(cols.len() * wide)) {
                        finish.row::<L::Vector<S>>([picture, y], &cols, &channels, line, row);
                    }
                    if !lends {
                        to.narrow_with::<L::Vector<S>>(&rows, &out[..rows.len() * cols.len() * wide]);
                    }
                },
            );
        });
    }
}

impl Pair<'_> {
    /// The results of this pair of phases that stand in the block.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "both sides of a product, and where it goes")]
    fn run<V: Vector<Elem: Accumulator>>(
        &self,
        job: &Job<'_, V::Elem>,
        weights: &[V::Elem],
        group: usize,
        source: &[V::Elem],
        spans: [&Range<isize>; 2],
        out: &mut [V::Elem],
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
                    + from(self.cols, xs.start, spans[1]) * pass.step(),
                self.rows.stride * job.pitch,
                self.cols.stride * pass.step(),
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
            let weights = &weights[first * V::LANES * self.runs.depth()..];
            let start = &job.bias[first * V::LANES..];
            let lane = panel.start * V::LANES;
            with_tile!(V, panel.vectors, |R, NV| {
                walk.run::<V, R, NV>(source, &self.runs, weights, Some(start), out, lane, room);
            });
        }
    }
}

/// Rows and columns of results, with the places that they read from and are written to: of the first,
/// and the steps from row to row and from column to column.
pub(super) struct Walk {
    pub(super) results: [usize; 2],
    pub(super) from: [usize; 3],
    pub(super) to: [usize; 3],
}

impl Walk {
    /// Computes them: adds to `start` or, without it, to what stands there.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "both sides of a product, and where it goes")]
    pub(super) fn run<V: Vector, const R: usize, const NV: usize>(
        &self,
        source: &[V::Elem],
        runs: &Runs,
        weights: &[V::Elem],
        start: Option<&[V::Elem]>,
        out: &mut [V::Elem],
        channel: usize,
        room: usize,
    ) {
        let [height, width] = self.results;
        let (mut y, mut x) = (0, 0);
        let (mut from, mut to) = ([0; R], [0; R]);
        let place = |steps: &[usize; 3], y: usize, x: usize| steps[0] + y * steps[1] + x * steps[2];
        while y < height {
            let (first_from, first_to) = (place(&self.from, y, x), place(&self.to, y, x));
            let mut filled = R;
            if x + R <= width {
                for r in 0..R {
                    from[r] = first_from + r * self.from[2];
                    to[r] = first_to + r * self.to[2];
                }
                x += R;
                (y, x) = if x < width { (y, x) } else { (y + 1, 0) };
            } else {
                // No division: rows are short here, and so are the sums of few channels.
                filled = R.min((height - y) * width - x);
                let (mut at_from, mut at_to) = (first_from, first_to);
                for r in 0..R {
                    (from[r], to[r]) = if r < filled { (at_from, at_to) } else { (first_from, first_to) };
                    x += 1;
                    if x == width {
                        (y, x) = (y + 1, 0);
                        (at_from, at_to) = (place(&self.from, y, 0), place(&self.to, y, 0));
                    } else {
                        (at_from, at_to) = (at_from + self.from[2], at_to + self.to[2]);
                    }
                }
            }
            let mut sums = [[V::splat(V::Elem::default()); NV]; R];
            for r in 0..R {
                sums[r] = match start {
                    Some(start) => load_tile(start, 0),
                    None => load_tile(&out[to[r]..to[r] + room], channel),
                };
            }
            let sums = simd::gather::<V, R, NV>(source, &from, runs, weights, sums);
            for r in 0..filled {
                store_tile(&sums[r], &mut out[to[r]..to[r] + room], channel);
            }
        }
    }
}
