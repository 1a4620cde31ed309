//! One tile: gathered (`samples.rs`), judged, transformed, written, and what may not come from the transform summed directly.

use super::samples::{Part, clean, count, gather};
use super::spectrum::Engine;
use super::trust::{Cells, Witness};
use super::{Doubt, Job, Levels, Plan};
use crate::alloc;
use crate::dtype::Accumulator;
use crate::isa::Kernel;
use crate::ops::correlate::{Correlate, Taps};
use crate::ops::pairs::Scale;
use crate::ops::rows;
use crate::simd::fft::{Plane, convolve_rows, forward_columns, inverse_columns, row_buffer};
use crate::simd::{Lane, MAX_LANES, Simd, Vector, lane, load_tile, store_tile};
use crate::view::{Rows, Tile};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rows from one that is brought in or written to the one that is asked for meanwhile: a tile's runs are too short for
/// a prefetcher.
pub(super) const AHEAD: usize = 4;

/// Results of a side of the blocks that are summed directly.
const BLOCK: usize = 32;

/// What transforms are made in.
pub(super) trait Real: Rows {
    fn magnitude(self) -> Self;
    fn times(self, other: Self) -> Self;
    /// Samples beyond it are not transformed. Its square, times a tile, is far from overflow.
    const LARGEST: f64;
    /// A smaller sum of squares may have lost terms to underflow; so may a product's low bits.
    const SMALLEST_ENERGY: f64;
}

impl Real for f32 {
    #[inline(always)]
    fn magnitude(self) -> Self {
        self.abs()
    }
    #[inline(always)]
    fn times(self, other: Self) -> Self {
        self * other
    }
    const LARGEST: f64 = 1e10;
    const SMALLEST_ENERGY: f64 = 1e-20;
}

impl Real for f64 {
    #[inline(always)]
    fn magnitude(self) -> Self {
        self.abs()
    }
    #[inline(always)]
    fn times(self, other: Self) -> Self {
        self * other
    }
    const LARGEST: Self = 1e100;
    const SMALLEST_ENERGY: Self = 1e-200;
}

/// One arithmetic of the transforms, and what is asked of a result before it is taken from them.
pub(super) struct Level<A> {
    pub(super) engine: Engine<A>,
    pub(super) proof: Proof,
    /// Whether the results of the last tile did not show by themselves that they are good enough: the next one's samples
    /// are then counted as they are brought in, not brought in again.
    pub(super) judged: AtomicBool,
}

impl<A> Level<A> {
    pub(super) fn new(engine: Engine<A>, proof: Proof) -> Self {
        Self { engine, proof, judged: AtomicBool::new(false) }
    }
}

/// Why a result of the transforms is good enough.
pub(super) enum Proof {
    /// Every sum is an integer that the transforms err from by less than 1/4.
    Rounding,
    /// A result is rounded as the exact sum is, but one that is a half, or so near to it.
    Settled(Box<Settled>, Doubt),
    /// A result's `sum |w x|` is at least `factor` times the root of the tile's sum of squares.
    Floor { factor: f64, witness: Option<Witness> },
}

/// The window of integer results, some of which are summed once more.
pub(super) struct Settled {
    /// What is transformed.
    pub(super) taps: Taps,
    /// The same, or multiples of a unit where there is a fixed point: every sum of them is exact. Rows of whole `SIDE`s,
    /// with zeros at their ends.
    multiples: Vec<f64>,
    fixed: Option<Scale>,
    /// What the fixed point adds to every result, and how far its rounding, and this sum, may be from the exact sum.
    offset: f64,
    slack: f64,
}

/// Sums of a result that are made side by side, of every so-manieth column of taps: the order of the sums, on every
/// instruction set.
const SIDE: usize = 8;

/// Results of a group in doubt, at most, that are summed one by one.
const ALONE: u32 = 3;

impl Settled {
    pub(super) fn new(problem: &Correlate) -> Self {
        let fixed = problem.fixed_point().ok();
        let multiples: Vec<f64> =
            fixed.map_or_else(|| problem.taps.re().to_vec(), |fixed| fixed.multiples().collect());
        let [unit, offset] = fixed.map_or([1.0, 0.0], |fixed| fixed.scale.unit_and_offset());
        let scaled: Vec<f64> = multiples.iter().map(|w| w * unit).collect();
        let taps = Taps::from_f64(problem.taps.shape(), &scaled);
        let [rows, cols] = taps.shape();
        let width = cols.next_multiple_of(SIDE);
        let mut padded = vec![0.0; rows * width];
        for (padded, row) in padded.chunks_exact_mut(width).zip(multiples.chunks_exact(cols)) {
            padded[..cols].copy_from_slice(row);
        }
        let slack = fixed.map_or(0.0, |fixed| fixed.slack);
        Self { taps, multiples: padded, fixed: fixed.map(|fixed| fixed.scale), offset: offset * unit, slack }
    }

    /// Puts the exact sum's rounding for the results of row `y` of a part that may be no further from a half than `doubt`,
    /// and the part of themselves that comes with it.
    #[inline(always)]
    fn settle<S: Simd, A: Real>(
        &self,
        simd: S,
        part: &Part<'_, A>,
        [doubt, of_result]: [f64; 2],
        y: usize,
        row: &mut [A],
    ) {
        let (sure, minus) = (A::from_f64(0.5 - doubt - self.slack), A::from_f64(-1.0));
        let of_result = A::from_f64(of_result);
        let doubted = |a: A| {
            let apart = a.plus(a.round_half_even().times(minus)).magnitude();
            apart.plus(a.magnitude().times(of_result)) >= sure
        };
        let rounded = |sum: f64| {
            A::from_f64(match self.fixed {
                Some(scale) => scale.of(sum as i32).into(),
                None => sum.round_ties_even(),
            })
        };
        let offset = A::from_f64(self.offset);
        let (groups, rest) = row.as_chunks_mut::<MAX_LANES>();
        let first = groups.len() * MAX_LANES;
        for (i, group) in groups.iter_mut().enumerate() {
            let mut flags = [0_u32; MAX_LANES];
            for l in 0..MAX_LANES {
                group[l] = group[l].plus(offset);
                flags[l] = u32::from(doubted(group[l]));
            }
            // Most groups end here: cheaper than to count.
            if flags.iter().fold(0, |any, flag| any | flag) == 0 {
                continue;
            }
            match flags.iter().sum::<u32>() {
                ..=ALONE => {
                    for l in (0..MAX_LANES).filter(|&l| flags[l] != 0) {
                        group[l] = rounded(self.sum(simd, part, [y, i * MAX_LANES + l]));
                    }
                }
                _ => {
                    let sums = self.sums(simd, part, [y, i * MAX_LANES]);
                    group.iter_mut().zip(sums).for_each(|(a, sum)| *a = rounded(sum));
                }
            }
        }
        for (l, a) in rest.iter_mut().enumerate() {
            *a = a.plus(offset);
            if doubted(*a) {
                *a = rounded(self.sum(simd, part, [y, first + l]));
            }
        }
    }

    /// A result in units: products rounded and added in the order of [`SIDE`], on every instruction set.
    #[inline(never)]
    fn sum<S: Simd, A: Real>(&self, simd: S, part: &Part<'_, A>, at: [usize; 2]) -> f64 {
        let cols = self.taps.shape()[1];
        let width = cols.next_multiple_of(SIDE);
        let (mut samples, mut wide) = (vec![A::default(); cols], vec![0.0; width]);
        let window = part.from(at);
        let line = window.line(cols);
        let mut sums = [0.0; SIDE];
        for (i, weights) in self.multiples.chunks_exact(width).enumerate() {
            window.bring(simd, &line, i, &mut samples);
            simd.vectorize(
                #[inline(always)]
                || {
                    wide.iter_mut().zip(&samples).for_each(|(wide, sample)| *wide = sample.into_f64());
                    add_columns::<S::F64Unfused>(&wide, weights, &mut sums);
                },
            );
        }
        added(sums)
    }

    /// The same of neighbouring results.
    #[inline(never)]
    fn sums<S: Simd, A: Real>(&self, simd: S, part: &Part<'_, A>, at: [usize; 2]) -> [f64; MAX_LANES] {
        let cols = self.taps.shape()[1];
        let (mut samples, mut wide) =
            (vec![A::default(); cols + MAX_LANES - 1], vec![0.0; cols + MAX_LANES - 1]);
        let window = part.from(at);
        let line = window.line(samples.len());
        let mut sums = [[0.0; MAX_LANES]; SIDE];
        for (i, weights) in self.multiples.chunks_exact(cols.next_multiple_of(SIDE)).enumerate() {
            window.bring(simd, &line, i, &mut samples);
            simd.vectorize(
                #[inline(always)]
                || {
                    wide.iter_mut().zip(&samples).for_each(|(wide, sample)| *wide = sample.into_f64());
                    for (side, sums) in sums.iter_mut().enumerate() {
                        add_row::<S::F64Unfused>(&wide, &weights[..cols], side, sums);
                    }
                },
            );
        }
        std::array::from_fn(|l| added(sums.map(|side| side[l])))
    }
}

/// What stands side by side, added up.
fn added([a, b, c, d, e, f, g, h]: [f64; SIDE]) -> f64 {
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// Adds the products of a window's row to the sums of a result.
#[inline(always)]
fn add_columns<V: Vector<Elem = f64>>(samples: &[f64], weights: &[f64], sums: &mut [f64; SIDE]) {
    let vectors = const { SIDE / V::LANES };
    let mut all = [V::splat(0.0); SIDE];
    for v in 0..vectors {
        [all[v]] = load_tile(sums, v * V::LANES);
    }
    for at in (0..weights.len()).step_by(SIDE) {
        for v in 0..vectors {
            let ([sample], [weight]) =
                (load_tile(samples, at + v * V::LANES), load_tile(weights, at + v * V::LANES));
            all[v] = all[v].mul_add(sample, weight);
        }
    }
    for v in 0..vectors {
        store_tile(&[all[v]], sums, v * V::LANES);
    }
}

/// Adds the products of a window's row with every `SIDE`-th column of taps, from `side` on, to sums of neighbouring results.
#[inline(always)]
fn add_row<V: Vector<Elem = f64>>(
    samples: &[f64],
    weights: &[f64],
    side: usize,
    sums: &mut [f64; MAX_LANES],
) {
    let vectors = const { MAX_LANES / V::LANES };
    let mut all = [V::splat(0.0); MAX_LANES];
    for v in 0..vectors {
        [all[v]] = load_tile(sums, v * V::LANES);
    }
    for (j, &w) in weights.iter().enumerate().skip(side).step_by(SIDE) {
        let samples = &samples[j..j + MAX_LANES];
        for v in 0..vectors {
            let [sample] = load_tile(samples, v * V::LANES);
            all[v] = all[v].mul_add(sample, V::splat(w));
        }
    }
    for v in 0..vectors {
        store_tile(&[all[v]], sums, v * V::LANES);
    }
}

/// The results of a tile that stand in one part of the complex plane.
pub(super) type Half = [Range<usize>; 2];

/// A tile as a computation to be compiled for each instruction set.
pub(super) struct TileKernel<'k, 'p, 't> {
    pub(super) job: &'k Job<'p>,
    pub(super) tile: &'k mut Tile<'t>,
}

impl Kernel for TileKernel<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { job, tile } = self;
        match &job.levels {
            Levels::Both(single, double) => {
                let done = single
                    .as_ref()
                    .is_some_and(|single| attempt::<S, lane::F32>(simd, job, single, false, tile));
                if !done {
                    attempt::<S, lane::F64>(simd, job, double.level(&job.problem.taps), true, tile);
                }
            }
            Levels::Single(single) => {
                attempt::<S, lane::F32>(simd, job, single, true, tile);
            }
            Levels::Double(double) => {
                attempt::<S, lane::F64>(simd, job, double, true, tile);
            }
        }
    }
}

/// Computes the tile, unless some of it may not come from this level's transforms and it is not the last.
fn attempt<S: Simd, L: Lane<Elem: Real>>(
    simd: S,
    job: &Job<'_>,
    level: &Level<L::Elem>,
    last: bool,
    tile: &mut Tile<'_>,
) -> bool {
    let [rows, cols] = job.plan.points;
    // Rows an odd number of cache lines apart: columns spread over the sets of a cache.
    let step = cols + 64 / size_of::<L::Elem>();
    let halves = job.plan.halves(tile);
    alloc::scratch([rows * step, rows * step, row_buffer(cols), row_buffer(cols)], |[re, im, br, bi]| {
        let size = match &level.proof {
            Proof::Floor { witness, .. } => witness.as_ref().map_or(1, |witness| witness.cell),
            _ => 1,
        };
        let mut cells = Vec::new();
        let counted = level.judged.load(Ordering::Relaxed);
        let mut totals = simd.vectorize(
            #[inline(always)]
            || {
                let cells = counted.then_some((&mut cells, size));
                gather(simd, job, &halves, tile.plane, [&mut *re, &mut *im], step, cells)
            },
        );
        let usable = totals.energy.is_finite() && totals.most <= L::Elem::LARGEST;
        if !usable && !last {
            return false;
        }
        if !usable && matches!(level.proof, Proof::Floor { .. }) {
            (cells, totals) = clean(job, &halves, [&mut *re, &mut *im], step, size);
        }
        simd.vectorize(
            #[inline(always)]
            || {
                let cols = halves[0][1].len();
                transform::<L::Vector<S>>(&level.engine, [&mut *re, &mut *im], step, [br, bi], cols);
            },
        );
        let mut blocks = Blocks::default();
        if let Proof::Floor { factor, witness } = &level.proof {
            let lost = totals.energy < L::Elem::SMALLEST_ENERGY && totals.most > 0.0;
            let floor = if lost { f64::INFINITY } else { factor * totals.energy.sqrt() };
            // No sum is larger than `sum |w x|`.
            let evident = usable && job.plan.packed && {
                let least = simd.vectorize(
                    #[inline(always)]
                    || least_magnitude(&halves, [&*re, &*im], step),
                );
                least.into_f64() >= EVIDENT * floor
            };
            level.judged.store(!evident, Ordering::Relaxed);
            if !evident {
                if usable && !counted {
                    cells = simd.vectorize(
                        #[inline(always)]
                        || count(simd, job, &halves, tile.plane, size),
                    );
                }
                blocks = simd.vectorize(
                    #[inline(always)]
                    || classify(job, &halves, cells, witness.as_ref(), [floor, totals.most], !usable),
                );
            }
            if !blocks.doubtful.is_empty() && !last {
                return false;
            }
        }
        if blocks.doubtful.len() <= blocks.good.len() {
            simd.vectorize(
                #[inline(always)]
                || write(simd, job, (&level.proof, totals.energy), &halves, tile, [&mut *re, &mut *im], step),
            );
        } else {
            blocks.doubtful.append(&mut blocks.good);
        }
        job.sum_directly(tile, &blocks.doubtful);
        for [ys, xs] in &blocks.zeros {
            let mut row = vec![L::Elem::default(); xs.len()];
            for y in ys.clone() {
                for component in 0..job.problem.dst.components() {
                    rows::narrow(simd, &mut row, tile, component, [y, xs.start], job.problem.finish);
                }
            }
        }
        true
    })
}

/// How much larger than what is asked of `sum |w x|` a result has to be to show it by itself: its own error,
/// which is `error_bound()` times that, and the rounding of this comparison.
const EVIDENT: f64 = 1.01;

/// The smallest magnitude of the results of the halves.
#[inline(always)]
fn least_magnitude<A: Real>(halves: &[Half], parts: [&[A]; 2], step: usize) -> A {
    // As many minima as a vector has lanes: one would be a chain.
    let mut least = [A::from_f64(f64::INFINITY); MAX_LANES];
    let smaller = |a: A, b: A| if a < b { a } else { b };
    for ([ys, xs], part) in halves.iter().zip(parts) {
        for row in part.chunks_exact(step).take(ys.len()) {
            let (chunks, rest) = row[..xs.len()].as_chunks::<MAX_LANES>();
            for chunk in chunks {
                for l in 0..MAX_LANES {
                    least[l] = smaller(chunk[l].magnitude(), least[l]);
                }
            }
            rest.iter().for_each(|a| least[0] = smaller(a.magnitude(), least[0]));
        }
    }
    least.into_iter().fold(least[0], smaller)
}

/// The blocks of a tile's results.
#[derive(Default)]
struct Blocks {
    /// Those that may come from the transform (all, where nothing was asked).
    good: Vec<Half>,
    /// Those with a result that may not.
    doubtful: Vec<Half>,
    /// Those that read nothing but zeros.
    zeros: Vec<Half>,
}

/// Tells the blocks apart: `floor` is what is asked of `sum |w x|`, and no magnitude is more than `most`.
#[inline(always)]
fn classify<A: Real>(
    job: &Job<'_>,
    halves: &[Half],
    cells: Vec<Cells<A>>,
    witness: Option<&Witness>,
    [floor, most]: [f64; 2],
    spoilt: bool,
) -> Blocks {
    let taps = job.problem.taps.shape();
    // A complex magnitude is no more than those of its parts together.
    let most = if job.plan.packed { most } else { cells.len() as f64 * most };
    let cells = if job.plan.packed { cells } else { vec![Cells::merged(&cells)] };
    let mut blocks = Blocks::default();
    for ([ys, xs], cells) in halves.iter().zip(&cells) {
        let results = [ys.len(), xs.len()];
        let size = witness.map_or(1, |w| w.cell);
        let mut trusted = match witness {
            Some(witness) => witness.judge(cells, [floor, most], results),
            None => vec![false; results[0] * results[1]],
        };
        if spoilt {
            for (trusted, spoilt) in trusted.iter_mut().zip(cells.spoilt(taps, results)) {
                *trusted &= !spoilt;
            }
        }
        let across = results[1].div_ceil(size);
        for y in (0..results[0]).step_by(BLOCK) {
            let rows = y..(y + BLOCK).min(results[0]);
            for x in (0..results[1]).step_by(BLOCK) {
                let cols = x..(x + BLOCK).min(results[1]);
                let squares = cols.start / size..cols.end.div_ceil(size);
                let good = (rows.start / size..rows.end.div_ceil(size))
                    .all(|row| trusted[row * across..][squares.clone()].iter().all(|&t| t));
                let block =
                    [ys.start + rows.start..ys.start + rows.end, xs.start + cols.start..xs.start + cols.end];
                if cells.empty(&rows, &cols, taps) {
                    blocks.zeros.push(block);
                } else if good {
                    blocks.good.push(block);
                } else {
                    blocks.doubtful.push(block);
                }
            }
        }
    }
    blocks
}

/// The circular convolution, in place.
#[inline(always)]
pub(super) fn transform<V: Vector>(
    engine: &Engine<V::Elem>,
    parts: [&mut [V::Elem]; 2],
    step: usize,
    buffer: [&mut [V::Elem]; 2],
    cols: usize,
) {
    let [re, im] = parts;
    let mut plane = Plane { re, im, step };
    let [rows, all] = [engine.twiddles[0].length(), engine.twiddles[1].length()];
    forward_columns::<V>(&engine.twiddles[0], &mut plane, all);
    let [sr, si] = &engine.spectrum;
    convolve_rows::<V>(&engine.twiddles[1], &mut plane, rows, [sr, si], buffer);
    inverse_columns::<V>(&engine.twiddles[0], &mut plane, cols.next_multiple_of(V::LANES));
}

/// Writes the results.
#[inline(always)]
fn write<S: Simd, A: Real>(
    simd: S,
    job: &Job<'_>,
    (proof, energy): (&Proof, f64),
    halves: &[Half],
    tile: &mut Tile<'_>,
    parts: [&mut [A]; 2],
    step: usize,
) {
    let finish = job.problem.finish;
    for (i, part) in parts.into_iter().enumerate() {
        let (half, component) = if job.plan.packed { (halves.get(i), 0) } else { (halves.first(), i) };
        let Some([ys, xs]) = half.filter(|_| component < job.problem.dst.components()) else { continue };
        let mut whole = vec![0_i64; if matches!(proof, Proof::Rounding) { xs.len() } else { 0 }];
        let source = Part::new(job, halves, tile.plane, i);
        for (y, row) in ys.clone().zip(part.chunks_exact_mut(step)) {
            tile.fetch(y + AHEAD, xs.clone());
            let row = &mut row[..xs.len()];
            match (proof, &source) {
                (Proof::Rounding, _) => {
                    for (whole, &a) in whole.iter_mut().zip(&*row) {
                        *whole = a.into_f64().round_ties_even() as i64;
                    }
                    rows::narrow(simd, &mut whole, tile, component, [y, xs.start], finish);
                    continue;
                }
                (Proof::Settled(settled, doubt), Some(source)) => {
                    let doubt = [doubt.of_root * energy.sqrt(), doubt.of_result];
                    settled.settle(simd, source, doubt, y - ys.start, row);
                }
                _ => (),
            }
            rows::narrow(simd, row, tile, component, [y, xs.start], finish);
        }
    }
}

impl Plan {
    /// The one or two rectangles of results that a tile covers.
    fn halves(&self, tile: &Tile<'_>) -> Vec<Half> {
        let ranges = [tile.rows.clone(), tile.cols.clone()];
        let middle = ranges[self.beside].start + self.results[self.beside];
        let mut first = ranges.clone();
        if !self.packed || middle >= ranges[self.beside].end {
            return vec![first];
        }
        let mut second = ranges;
        first[self.beside].end = middle;
        second[self.beside].start = middle;
        vec![first, second]
    }
}
