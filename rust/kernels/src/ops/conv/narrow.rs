//! Passes to few results, whose windows stand side by side: the lanes are neighbouring pixels.
//!
//! ```text
//! y[r][pixel] = sum over the taps t and the channels c of  x_c[pixel + place of t] * w[t][c][r]
//! ```
//!
//! Six results fill six lanes of eight where results are the lanes ([`gather`](super::gather)), and one fills one. Here a
//! channel of a block is a plane in scratch, with the zeros around the image, and a row goes on into the next (results
//! between rows are made in vain). The sums are the same chains, but for products with zeros around the image: rows of
//! taps that none of a tile's pixels needs are left out, and no sum is -0.

use super::blockwise::Blockwise;
use super::finish::Finish;
use super::pack::{Part, Taps, share, turn, widened};
use super::packed::Packed;
use super::pass::{Pass, Sources};
use super::phase::Phase;
use crate::alloc::Plain;
use crate::alloc::results::Kept;
use crate::isa::Kernel;
use crate::registry::Schedule;
use crate::simd::{
    Lane, MAX_LANES, MAX_RESULTS, Simd, Vector, Window, beside, load_tile, store_each, store_tile, transpose,
    with_results,
};
use crate::view::{Block, Blocks, Dst, Floats};
use crate::{Error, alloc};
use std::ops::Range;
use std::sync::Arc;

/// Results at most; more fill the lanes of their vectors well enough.
const FEW: usize = 24;

/// Pixels that are computed at once, at most.
const PIXELS: usize = 8 * MAX_LANES;

/// Whether a pass is one that this is quicker for, where vectors have so many lanes, and channels are `planes` or not. Measured:
/// a fifth of the lanes without a result is more than what is lost between rows and by smaller tiles; but to turn pixels
/// about takes longer than the products of one tap.
pub(super) fn takes(pass: &Pass<'_>, lanes: usize, planes: bool) -> bool {
    let neighbours = |phases: &Vec<Phase>| phases.iter().all(|phase| phase.stride == 1);
    let (wide, taps) = (pass.wide, pass.conv.windows.iter().map(|w| w.taps).product::<usize>());
    pass.deep > 0
        && wide <= FEW
        && 5 * wide < 4 * wide.next_multiple_of(lanes)
        && (taps > 1 || planes && wide <= MAX_RESULTS)
        && pass.phases.iter().all(neighbours)
}

/// Nanoseconds for bringing a sample or a result.
const MOVED: f64 = 0.2;

/// Estimated nanoseconds of one thread: no lane is lost, but a sample is loaded for each product of a single result.
pub(super) fn nanoseconds(pass: &Pass<'_>) -> f64 {
    let conv = pass.conv;
    let moved: f64 =
        [conv.x_shape(), conv.y_shape()].map(|shape| shape.iter().product::<usize>() as f64).iter().sum();
    super::nanoseconds(conv, 8) * if pass.wide == 1 { 2.5 } else { 1.2 } + moved * MOVED
}

/// Weights by pair of phases, group, part of the results, tap, channel and result; and whether all are finite, so that
/// zeros times them are zeros.
pub(super) struct Weights<A: Plain> {
    pub(super) pairs: Vec<Kept<A>>,
    pub(super) finite: bool,
}

/// A pass to few results with its weights packed, ready to be run block by block.
pub(super) struct Job<'p, A: Plain> {
    pub(super) pass: &'p Pass<'p>,
    pub(super) sources: &'p Sources<'p>,
    /// Phases of rows and of columns, in the order of the weights.
    pub(super) pairs: Vec<[&'p Phase; 2]>,
    pub(super) weights: Arc<Weights<A>>,
    /// Results that are summed at once.
    pub(super) parts: Vec<Range<usize>>,
    /// A number to start from for each result of each group.
    pub(super) bias: Vec<A>,
    /// Whether results are planes.
    pub(super) planes: bool,
}

impl<'p, A: Floats> Job<'p, A> {
    pub(super) fn new<L: Lane<Elem = A>>(
        pass: &'p Pass<'p>,
        sources: &'p Sources<'p>,
        planes: bool,
        schedule: &Schedule<'_>,
    ) -> Result<Self, Error> {
        let [rows, cols] = &pass.phases;
        let pairs: Vec<_> = rows.iter().flat_map(|rows| cols.iter().map(move |cols| [rows, cols])).collect();
        // As alike as can be.
        let n = pass.wide.div_ceil(MAX_RESULTS);
        let parts: Vec<_> = (0..n).map(|i| i * pass.wide / n..(i + 1) * pass.wide / n).collect();
        let weights = Weights::new::<L>(pass, sources, &pairs, &parts, schedule)?;
        let bias = sources.bias.map_or_else(|| vec![A::default(); pass.groups * pass.wide], widened);
        Ok(Self { pass, sources, pairs, weights, parts, bias, planes })
    }
}

pub(super) fn solve<L: Lane<Elem: Floats>>(
    pass: &Pass<'_>,
    sources: &Sources<'_>,
    dst: &mut Dst<'_>,
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let size = schedule.tile.unwrap_or_else(|| pass.blocking(schedule.workers.threads()));
    let planes = dst.has_planes();
    let blocks = Blocks::new(std::slice::from_mut(dst), [size[0], size[1], pass.wide]);
    if blocks.count() == 0 {
        return Ok(());
    }
    let job = Job::new::<L>(pass, sources, planes, schedule)?;
    Blockwise::<L>::compute(&job, &blocks, schedule.workers, schedule.isa)
}

impl<A: Floats> Weights<A> {
    fn new<L: Lane<Elem = A>>(
        pass: &Pass<'_>,
        sources: &Sources<'_>,
        pairs: &[[&Phase; 2]],
        parts: &[Range<usize>],
        schedule: &Schedule<'_>,
    ) -> Result<Arc<Self>, Error> {
        Packed::get(schedule.filters, pass, schedule.isa, || {
            let taps = Taps::new(sources.filters);
            let size = |[rows, cols]: &[&Phase; 2]| rows.taps.len() * cols.taps.len() * pass.deep * pass.wide;
            let mut weights: Vec<_> = pairs.iter().map(|pair| Kept::new(pass.groups * size(pair))).collect();
            let mut tasks = Vec::new();
            for (phases, weights) in pairs.iter().zip(&mut weights) {
                for (group, into) in weights.chunks_exact_mut(size(phases).max(1)).enumerate() {
                    tasks.push(Pack::<L> { pass, taps: &taps, phases: *phases, group, parts, into });
                }
            }
            share(tasks, pass.packing(), schedule)?;
            let finite =
                weights.iter().flat_map(|pair| pair.iter()).all(|weight| weight.into_f64().is_finite());
            Ok(Self { pairs: weights, finite })
        })
    }
}

/// Weights of a pair of phases and a group, to be packed.
struct Pack<'t, L: Lane> {
    pass: &'t Pass<'t>,
    taps: &'t Taps<'t, L::Elem>,
    phases: [&'t Phase; 2],
    group: usize,
    parts: &'t [Range<usize>],
    into: &'t mut [L::Elem],
}

impl<L: Lane<Elem: Floats>> Kernel for Pack<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { pass, taps, phases: [rows, cols], group, parts, into } = self;
        let mut into = into.iter_mut();
        for part in parts {
            for (&(_, ky), &(_, kx)) in
                rows.taps.iter().flat_map(|ky| cols.taps.iter().map(move |kx| (ky, kx)))
            {
                for c in 0..pass.deep {
                    for (r, into) in part.clone().zip(&mut into) {
                        *into = taps.weight(pass, [ky, kx], group, [c, r]);
                    }
                }
            }
        }
    }
}

impl<L: Lane<Elem: Floats>> Blockwise<L> for Job<'_, L::Elem> {
    fn block<S: Simd>(&self, simd: S, mut block: Block<'_>) {
        let (pass, wide) = (self.pass, self.pass.wide);
        let (picture, rows, cols) = (block.picture, block.rows.clone(), block.cols.clone());
        let (channels, group) = (block.channels.clone(), block.channels.start / wide);
        let reads = [Phase::span(&pass.phases[0], &rows), Phase::span(&pass.phases[1], &cols)];
        // An odd number of cache lines: the planes of a pixel must not all be in one set of the first-level cache.
        let (pitch, plane) =
            (reads[1].len(), ((reads[0].len() * reads[1].len()).div_ceil(MAX_LANES) | 1) * MAX_LANES);
        let finish = Finish::new(pass, self.sources);
        // Rows of planes are brought channel by channel, and pixels of several channels turned about.
        let turned = pass.deep > 1 && !self.sources.src.has_planes();
        let deep = if turned { pass.deep.next_multiple_of(L::Vector::<S>::LANES) } else { 1 };
        let pixels = rows.len() * cols.len();
        let [mut to] = block.parts();
        let lends = !self.planes && to.lend_all::<L::Elem>().is_some();
        let lengths = [
            // The last pixels' vectors may go on.
            pass.deep.max(deep) * plane + PIXELS,
            if turned { plane * deep } else { 0 },
            if self.sources.mask.is_some() { pitch * deep } else { 0 },
            if lends { 0 } else { pixels * wide },
            finish.room(cols.len() * if self.planes { 1 } else { wide }),
            MAX_LANES * PIXELS,
            PIXELS * MAX_LANES,
        ];
        alloc::scratch(lengths, |[samples, brought, spare, out, line, sums, square]: [&mut [L::Elem]; 7]| {
            simd.vectorize(
                #[inline(always)]
                || {
                    let place = [&rows, &cols];
                    let buffers = [&mut *samples, brought, spare];
                    self.bring::<L::Vector<S>>(picture, &reads, group, buffers, [plane, deep]);
                    let into = match to.lend_all() {
                        Some(into) if lends => into,
                        _ => &mut *out,
                    };
                    for (pair, weights) in self.pairs.iter().zip(&self.weights.pairs) {
                        let results = Results { job: self, pair, reads: &reads, place, pitch, plane };
                        let buffers = Buffers { sums: &mut *sums, pixels: &mut *square };
                        results.compute::<L::Vector<S>>(group, samples, weights, buffers, into);
                    }
                    if self.planes {
                        for (r, plane) in out.chunks_exact_mut(pixels).take(wide).enumerate() {
                            let channel = channels.start + r..channels.start + r + 1;
                            let lines = if finish.is_none() { 0..0 } else { rows.clone() };
                            for (y, row) in lines.zip(plane.chunks_exact_mut(cols.len())) {
                                finish.row::<L::Vector<S>>([picture, y], &cols, &channel, line, row);
                            }
                            to.narrow_plane(r, plane);
                        }
                        return;
                    }
                    for (y, row) in rows.clone().zip(into.chunks_exact_mut(cols.len() * wide)) {
                        finish.row::<L::Vector<S>>([picture, y], &cols, &channels, line, row);
                    }
                    if !lends {
                        to.narrow_with::<L::Vector<S>>(&rows, out);
                    }
                },
            );
        });
    }
}

impl<A: Floats> Job<'_, A> {
    /// Brings in what a block reads, a plane for each channel; where they come last, `step` numbers a pixel, squares of
    /// them are turned about.
    #[inline(always)]
    fn bring<V: Vector<Elem = A>>(
        &self,
        picture: usize,
        reads: &[Range<isize>; 2],
        group: usize,
        [samples, pixels, spare]: [&mut [A]; 3],
        [plane, step]: [usize; 2],
    ) {
        let (first, deep) = (group * self.pass.deep, self.pass.deep);
        let (height, width) = (reads[0].len(), reads[1].len());
        if height * width == 0 {
            return;
        }
        let mask = self.sources.mask.map(|mask| mask.picture(picture));
        let picture = self.sources.src.picture(picture);
        let part = |channels: Range<usize>| Part {
            rows: reads[0].clone(),
            cols: reads[1].clone(),
            channels,
            step,
            pitch: width * step,
        };
        if step > 1 {
            let part = part(first..first + deep);
            part.bring::<V>(&picture, mask.as_ref(), &mut pixels[..part.len()], spare);
            let whole = (height * width).next_multiple_of(V::LANES);
            turn::<V>(pixels, step, [whole, step], samples, plane);
            return;
        }
        for (c, plane) in samples.chunks_exact_mut(plane).take(deep).enumerate() {
            let part = part(first + c..first + c + 1);
            part.bring::<V>(&picture, mask.as_ref(), &mut plane[..part.len()], spare);
        }
    }
}

/// The results of a pair of phases that stand in a block.
struct Results<'t, A: Plain> {
    job: &'t Job<'t, A>,
    pair: &'t [&'t Phase; 2],
    /// Rows and columns that the block reads, and that it has.
    reads: &'t [Range<isize>; 2],
    place: [&'t Range<usize>; 2],
    /// Samples of a row, and of a plane.
    pitch: usize,
    plane: usize,
}

/// Sums of pixels that are computed at once: result by result, and pixel by pixel.
struct Buffers<'b, A> {
    sums: &'b mut [A],
    pixels: &'b mut [A],
}

impl<A: Floats> Results<'_, A> {
    /// Computes them.
    #[inline(always)]
    fn compute<V: Vector<Elem = A>>(
        &self,
        group: usize,
        samples: &[A],
        weights: &[A],
        mut buffers: Buffers<'_, A>,
        out: &mut [A],
    ) {
        let Self { job, pair: [rows, cols], reads, place, pitch, plane } = *self;
        let (ys, xs) = (rows.within(place[0]), cols.within(place[1]));
        if ys.is_empty() || xs.is_empty() {
            return;
        }
        let at =
            |axis: usize, first: usize, offset: isize| (first as isize + offset - reads[axis].start) as usize;
        let (pass, mut run) = (job.pass, [job.pass.deep, plane]);
        let (row, finite) = (cols.taps.len() * pass.deep, job.weights.finite);
        let taps = rows.taps.len() * row;
        // The taps of a row of one channel are a run as channels are.
        let offsets = if pass.deep == 1 { cols.taps.as_slice() } else { &[] };
        let step = offsets.get(1).map_or(1, |second| second.0 - offsets[0].0);
        let joined = !offsets.is_empty() && offsets.windows(2).all(|pair| pair[1].0 - pair[0].0 == step);
        let mut firsts = cols.taps.as_slice();
        if joined {
            (run, firsts) = ([firsts.len(), step as usize], &firsts[..1]);
        }
        let mut places = Vec::with_capacity(rows.taps.len() * firsts.len());
        for &(dy, _) in &rows.taps {
            places
                .extend(firsts.iter().map(|&(dx, _)| [at(0, ys.start, dy) * pitch + at(1, xs.start, dx), 0]));
        }
        // Without taps there is nothing between rows.
        let pitch = if places.is_empty() { xs.len() } else { pitch };
        let weights = &weights[group * taps * pass.wide..];
        let height = job.sources.src.shape()[1] as isize;
        // Rows of taps before one by whose offset a row reads `at` or beyond.
        let before = |y: usize, at: isize| {
            rows.taps.iter().take_while(|tap| ((ys.start + y) as isize + tap.0) < at).count()
        };
        // What reads zeros alone is left out.
        let met = |rows: Range<usize>| {
            let first = before(rows.end - 1, 0);
            first..before(rows.start, height).max(first)
        };
        let all = 0..rows.taps.len();
        let last = (ys.len() - 1) * pitch + xs.len();
        for part in &job.parts {
            let weights = &weights[taps * part.start..][..taps * part.len()];
            let start = &job.bias[group * pass.wide + part.start..][..part.len()];
            with_results!(part.len(), |R, NV| {
                places.iter_mut().enumerate().for_each(|(t, place)| place[1] = t * run[0] * R);
                let window = Window::new(&places, run, V::LANES);
                let (mut pixel, mut y, mut x) = (0, 0, 0);
                while pixel < last {
                    let mut tile = [[V::splat(A::default()); NV]; R];
                    for r in 0..R {
                        tile[r] = [V::splat(start[r]); NV];
                    }
                    let n = (NV * V::LANES).min(last - pixel);
                    let met = if finite { met(y..y + (x + n - 1) / pitch + 1) } else { all.clone() };
                    if taps > 0 {
                        let window = window.some(met.start * firsts.len()..met.end * firsts.len());
                        tile = beside::<V, R, NV>(&samples[pixel..], window, weights, tile);
                    }
                    for r in 0..R {
                        // No -0, which further products with zeros would make 0.
                        let sums = tile[r].map(|sum| sum.add(V::splat(A::default())));
                        store_tile(&sums, &mut buffers.sums[r * PIXELS..], 0);
                    }
                    self.put::<V>([&ys, &xs], [&mut y, &mut x], pitch, &mut buffers, [n, part.start, R], out);
                    pixel += n;
                }
            });
        }
    }

    /// Puts the sums of `n` pixels from `y`, `x` on where they belong, without those between rows; goes on to the next pixel.
    #[inline(always)]
    fn put<V: Vector<Elem = A>>(
        &self,
        [ys, xs]: [&Range<usize>; 2],
        [y, x]: [&mut usize; 2],
        pitch: usize,
        Buffers { sums, pixels: turned }: &mut Buffers<'_, A>,
        [n, first, results]: [usize; 3],
        out: &mut [A],
    ) {
        let Self { job, pair: [rows, cols], place, .. } = *self;
        let (width, wide) = (place[1].len(), job.pass.wide);
        let pixels = place[0].len() * width;
        // Pixel by pixel, where no others stand between them: a vector's worth each, the next one over what is not wanted.
        let planes = job.planes || wide == 1;
        let alone = job.pairs.len() == 1;
        let whole = !planes && alone && results == wide && results <= V::LANES;
        if whole {
            for i in (0..n).step_by(V::LANES) {
                let size = [results, V::LANES];
                transpose::<V>(&sums[i..], PIXELS, &mut turned[i * MAX_LANES..], MAX_LANES, size);
            }
        }
        let mut i = 0;
        while i < n {
            let some = (pitch - *x).min(n - i);
            let held = xs.len().saturating_sub(*x).min(some);
            let row = rows.first + (ys.start + *y) * rows.step - place[0].start;
            let col = cols.first + (xs.start + *x) * cols.step - place[1].start;
            let to = row * width + col;
            if held == 0 {
                // Between rows, all of them.
            } else if whole {
                store_each::<V>(&turned[i * MAX_LANES..], MAX_LANES, &mut out[to * wide..], wide, held);
            } else if planes {
                for r in 0..results {
                    let (sums, plane) = (&sums[r * PIXELS + i..], &mut out[(first + r) * pixels..][..pixels]);
                    if alone && cols.step == 1 {
                        // What goes beyond them is written after them.
                        for k in (0..held).step_by(V::LANES) {
                            store_tile(&load_tile::<V, 1>(sums, k), plane, to + k);
                        }
                    } else {
                        let into = plane[to..].iter_mut().step_by(cols.step);
                        into.zip(&sums[..held]).for_each(|(into, &sum)| *into = sum);
                    }
                }
            } else {
                for k in 0..held {
                    let into = &mut out[(to + k * cols.step) * wide + first..][..results];
                    let sums = sums[i + k..].iter().step_by(PIXELS);
                    into.iter_mut().zip(sums).for_each(|(into, &sum)| *into = sum);
                }
            }
            (i, *x) = (i + some, *x + some);
            (*y, *x) = if *x < pitch { (*y, *x) } else { (*y + 1, 0) };
        }
    }
}
