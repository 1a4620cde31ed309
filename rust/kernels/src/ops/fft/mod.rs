//! Correlation by Fourier transforms of overlapping tiles.
//!
//! ```text
//! tile = N x M samples (complex);   dst[y, x] = IFFT( FFT(tile) * H )[y, x]     for y <= N - kh, x <= M - kw
//! H    = FFT of the window, tap (i, j) at (-i mod N, -j mod M)
//! ```
//!
//! **Two real tiles are one complex tile.** With a real window the real part of the result is the real part's
//! correlation and the imaginary part the imaginary part's, so neighbours are laid into the two parts and
//! nothing is taken apart afterwards: no real transform, no product over mirrored frequencies. A complex image
//! fills both parts by itself.
//!
//! **The grid.** Tiles stand at multiples of `N - kh + 1` and `M - kw + 1` results from the first; `N` and `M`
//! follow from the problem alone, and so do the bits.
//!
//! **Accuracy.** With `u` the unit roundoff, `n = log2(N M)`, a transform's results err
//!
//! ```text
//! at most     (12.8 n + 2.3) u |tile|_2 |w|_2                       (Brent, Percival, Zimmermann 2007, theorem 5.1)
//! in measure  0.43 n u rms(tile) max|FFT(w)|, worst of 10^7 results  (the test `errors_are_below_the_margin`)
//! ```
//!
//! whatever their own terms are, and the contract is `error_bound() * sum |w x|`, each result's own. `trust.rs`
//! finds where a result's terms are large enough. An image whose arithmetic is `f32` is transformed in `f32`
//! where the second line is within the contract everywhere on a tile; else in `f64`, whose guarantee, the first
//! line, is within the `f32` contract unless a window's terms are 10^9 times smaller than the tile's; and what
//! is left (blocks of a dark sky beside a star, blocks that read a NaN or an infinity) is summed directly.
//! An image whose arithmetic is `f64` has the last two steps with the second line. Measured, and not proved,
//! is only that line: rounding errors of a million operations that all conspire were not found.
//!
//! **Integers** with whole-numbered taps are transformed in `f64` where the first line is below 1/4 for every
//! image of the dtype, `(12.8 n + 2.3) 2^-53 sqrt(2 N M) most |w|_2 < 1/4`, and every sum is below 2^53: the
//! nearest integer is then the sum. Of other taps the second line gives an error `e` for each tile. A result that is
//! further than `2 e` from a half is rounded as the exact sum is; the few that are not are summed once more, product by
//! product in an order of their own, so that integers are the same on every instruction set: those of taps in 16-bit
//! fixed point where these are exact enough.

mod samples;
mod spectrum;
#[cfg(test)]
mod tests;
mod tile;
mod trust;

use super::correlate::{Correlate, Summation, Taps};
use super::direct::RegisterTile;
use super::pairs::FixedPoint;
use super::strip;
use crate::Error;
use crate::border::Border;
use crate::dtype::{Arithmetic, Kind, Rounding};
use crate::isa::{Isa, Kernel};
use crate::parallel::Workers;
use crate::registry::{Implementation, Reject, Schedule, single};
use crate::simd::{Lane, Simd, Vector, lane};
use crate::view::{Dst, Src, Tile, Tiles};
use spectrum::Spectrum;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use tile::{Level, Proof, Settled, TileKernel};
use trust::Witness;

/// The implementation `fft`.
#[derive(Debug)]
pub struct Fft;

/// Unit roundoffs that a result is taken to err by, times `n rms(tile) max|FFT(w)|`: half as much again as was
/// measured.
const MARGIN: f64 = 0.65;

/// Points of a side of a tile, at least: whole vectors of every instruction set.
const LEAST: usize = 16;

/// Points of a side of a tile, at most.
const MOST: usize = 1 << 14;

/// Samples of a tile beyond which it is no longer in an L2 cache.
const WARM: usize = 1 << 15;

/// Nanoseconds for bringing in, judging and writing out a result of `f32`.
const MOVED: f64 = 1.6;

/// By how much the direct loop's estimate, with which ours competes, exceeds what it takes.
const PESSIMISM: f64 = 1.85;

/// Nanoseconds for counting magnitudes under a result, and bounding them; more than they take, as the direct loop's
/// estimate is: by 2.5, transforms ran from 13 x 13 to 15 x 15 where `ferroconv bench plan` has direct sums 1.2 to 1.4 times
/// as quick.
const JUDGED: f64 = 3.5;

/// Products that are summed once more for each result, at most: with more, `f64` is quicker; and nanoseconds of one.
const SETTLED: f64 = 1.5;
const SETTLING: f64 = 4.0;

/// Taps below which the measured error is often beyond what can be shown of `sum |w x|`.
const FEW: usize = 150;

/// How an image is cut.
#[derive(Clone, Debug, PartialEq)]
struct Plan {
    /// Rows and columns of points.
    points: [usize; 2],
    /// Rows and columns of results in one part of the complex plane.
    results: [usize; 2],
    /// Whether the two parts hold two tiles of a real image.
    packed: bool,
    /// The axis along which those are neighbours.
    beside: usize,
    /// Estimated nanoseconds on one thread, with `f64` taking twice as long as `f32`.
    nanoseconds: f64,
}

impl Plan {
    /// The cheapest.
    fn new(problem: &Correlate, double: bool) -> Option<Self> {
        let packed = !problem.src.is_complex() && !problem.taps.is_complex();
        let small = problem.output().iter().product::<usize>() < 1 << 12;
        let sides = |axis: usize| {
            let (taps, dst) = (problem.axes[axis].taps, problem.axes[axis].dst.max(1));
            let least = taps.next_power_of_two().max(LEAST);
            let most = (dst + taps - 1).next_power_of_two().clamp(least, MOST.max(least));
            // What is small is one tile: there is nothing to look for.
            let first = if small { most } else { least };
            std::iter::successors(Some(first), move |n| Some(n * 2)).take_while(move |&n| n <= most)
        };
        let mut best: Option<Self> = None;
        for rows in sides(0) {
            for cols in sides(1) {
                let points = [rows, cols];
                let results = [0, 1].map(|i| points[i] + 1 - problem.axes[i].taps);
                let tiles = [0, 1].map(|i| problem.axes[i].dst.div_ceil(results[i]));
                let beside = usize::from(tiles[1] > 1);
                let mut pairs = tiles;
                if packed {
                    pairs[beside] = pairs[beside].div_ceil(2);
                }
                let nanoseconds = (pairs[0] * pairs[1]) as f64 * tile_nanoseconds(points, double);
                if results.iter().all(|&n| n >= 1)
                    && best.as_ref().is_none_or(|b| nanoseconds < b.nanoseconds)
                {
                    best = Some(Self { points, results, packed, beside, nanoseconds });
                }
            }
        }
        best.filter(|plan| plan.points.iter().all(|&n| n <= MOST))
    }

    /// Rows and columns of the tiles that are handed out.
    fn tile(&self) -> [usize; 2] {
        let mut tile = self.results;
        if self.packed {
            tile[self.beside] *= 2;
        }
        tile
    }
}

/// Estimated nanoseconds for a complex tile.
fn tile_nanoseconds(points: [usize; 2], double: bool) -> f64 {
    let (count, size) = ((points[0] * points[1]) as f64, if double { 2.0 } else { 1.0 });
    let levels = count.log2();
    let cold = if count * size > WARM as f64 { 1.25 } else { 1.0 };
    count * size * (0.6 + 0.12 * levels) * cold
}

/// What a result errs by in the worst case, in unit roundoffs times the norms of tile and window: three transforms
/// of `2^n` points, complex products within `sqrt(5) u`, twiddle factors within `u`.
fn worst_case(points: [usize; 2]) -> f64 {
    let n = ((points[0] * points[1]) as f64).log2();
    3.0 * n + 5_f64.sqrt() * (3.0 * n + 1.0) + 3.0 * n
}

/// Sum of the taps' magnitudes, and the root of the sum of their squares.
fn norms(problem: &Correlate) -> [f64; 2] {
    let all = || problem.taps.re().iter().chain(problem.taps.im().unwrap_or_default());
    [all().map(|w| w.abs()).sum(), all().map(|w| w * w).sum::<f64>().sqrt()]
}

/// The largest magnitude that a sample of the continued image has, if the image is of integers.
fn largest_sample(problem: &Correlate) -> Option<f64> {
    let Kind::Integer(least, most) = problem.src.kind() else { return None };
    let most = least.unsigned_abs().max(most.unsigned_abs()) as f64;
    if problem.border.contains(&Border::Constant) {
        return Some(most.max(problem.cval.value.re.abs())).filter(|most| most.is_finite());
    }
    Some(most)
}

/// Whether the constant, if there is one, is a number that `fits`.
fn constant_fits(problem: &Correlate, fits: impl Fn(f64) -> bool) -> bool {
    !problem.border.contains(&Border::Constant) || fits(problem.cval.value.re)
}

/// Whether the result is an integer that has to be the exact sum.
fn is_exact(problem: &Correlate) -> bool {
    matches!(problem.dst.kind(), Kind::Integer(..)) && problem.error_bound() == 0.0
}

impl Fft {
    fn plan(problem: &Correlate) -> Result<Plan, Reject> {
        problem.one_window()?;
        problem.one_sum()?;
        if problem.summation != Summation::Any {
            return Err(Reject(
                "adds in an order of its own; SciPy's was asked for, and shows in the result",
            ));
        }
        if problem.axes.iter().any(|axis| axis.stride != 1 || axis.span() != axis.taps) {
            return Err(Reject("needs stride 1 and dilation 1"));
        }
        let [sum, root] = norms(problem);
        if !sum.is_finite() {
            return Err(Reject("needs finite taps: others belong to their own results only"));
        }
        if !(1e-100..1e100).contains(&sum) {
            return Err(Reject("needs taps whose magnitudes sum up to between 1e-100 and 1e100"));
        }
        let exact = is_exact(problem);
        let large = Reject("needs a window of 16384 x 16384 at most");
        let double = is_double(problem, [LEAST; 2], likely_peak(problem));
        let plan = Plan::new(problem, double).ok_or(large)?;
        if exact {
            let whole = problem.cval.integer.is_some() || constant_fits(problem, |_| false);
            let most = largest_sample(problem).filter(|_| whole);
            let most = most.ok_or(Reject("needs whole numbers for an exact sum"))?;
            let area = (plan.points[0] * plan.points[1]) as f64;
            let error = worst_case(plan.points) * f64::EPSILON / 2.0 * (2.0 * area).sqrt() * most * root;
            if error >= 0.25 || sum * most >= 2_f64.powi(53) {
                return Err(Reject("sums this large are not proved exact: an f64 transform may err by 1/4"));
            }
        }
        Ok(plan)
    }
}

impl Implementation<Correlate> for Fft {
    fn name(&self) -> &'static str {
        "fft"
    }

    fn bound(&self, problem: &Correlate) -> Option<String> {
        is_settled(problem).then(|| problem.fixed_point().ok()?.bound()).flatten()
    }

    fn results(&self, problem: &Correlate) -> &'static str {
        if is_settled(problem) && problem.fixed_point().is_ok() { FixedPoint::RESULTS } else { self.name() }
    }

    fn cost(&self, problem: &Correlate) -> Result<f64, Reject> {
        let plan = Self::plan(problem)?;
        let [h, w] = problem.output();
        let double = is_double(problem, plan.points, likely_peak(problem));
        let size = if double { 2.0 } else { 1.0 };
        let moved = h as f64 * w as f64 * size * problem.src.components() as f64 * MOVED;
        let taps = problem.taps.re().len();
        let judged = !is_exact(problem) && !is_settled(problem);
        // Small windows seldom prove enough: what was transformed in vain is done again.
        let mut again = if taps < FEW && judged { plan.nanoseconds + moved } else { 0.0 };
        // Where taps cancel, few results show by themselves that they are exact enough.
        let [sum, _] = norms(problem);
        if judged && problem.taps.re().iter().sum::<f64>().abs() < sum / 4.0 {
            again += h as f64 * w as f64 * JUDGED;
        }
        if is_settled(problem) && !double {
            again += h as f64 * w as f64 * SETTLING * settling(problem, plan.points, likely_peak(problem));
        }
        // The window's spectrum is a tile's transform in f64; where results are judged a witness is searched for.
        let search = if judged { 40.0 * taps as f64 } else { 0.0 };
        let once = 2.0 * tile_nanoseconds(plan.points, true) + search;
        Ok((plan.nanoseconds + moved + again + once) * PESSIMISM)
    }

    fn run(
        &self,
        problem: &Correlate,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let (src, dst) = single(srcs, dsts);
        let plan = Self::plan(problem).map_err(|Reject(reason)| Error::Unsupported(reason.to_owned()))?;
        let tiles = Tiles::new(dst, plan.tile());
        if tiles.count() == 0 {
            return Ok(());
        }
        let workers: Workers<'_> = schedule.workers.at_most(tiles.count());
        let isa = schedule.isa;
        let job = isa.dispatch(Prepare { problem, src, plan, isa });
        workers.drain(|| tiles.take(), |mut tile| isa.dispatch(TileKernel { job: &job, tile: &mut tile }))
    }
}

/// Gives up the windows' spectra that are kept for the next call; says how many bytes they took.
pub fn clear() -> usize {
    spectrum::clear()
}

/// How near to a half a result may be for its rounding to be in doubt: twice the error, most often a multiple of the root
/// of the tile's sum of squares; but where one sample makes most of a tile and of a result, of the result.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    of_root: f64,
    of_result: f64,
}

impl Doubt {
    fn new(points: [usize; 2], peak: f64, double: bool) -> Self {
        let area = (points[0] * points[1]) as f64;
        let roundoff = if double { f64::EPSILON } else { f64::from(f32::EPSILON) } / 2.0;
        let of_result = area.log2() * roundoff;
        Self { of_root: 2.0 * MARGIN * of_result * peak / area.sqrt(), of_result }
    }
}

/// Whether an integer result is rounded as the exact sum is, with few of the sums made once more.
fn is_settled(problem: &Correlate) -> bool {
    let integers = matches!(problem.dst.kind(), Kind::Integer(..)) && !problem.taps.is_complex();
    let integers = integers && problem.finish.rounding == Rounding::HalfEven;
    let sums = norms(problem)[0] * largest_sample(problem).unwrap_or(f64::INFINITY);
    integers && !is_exact(problem) && sums < 2_f64.powi(40)
}

/// Products that are summed once more for each result, on the average, after transforms in `f32`.
fn settling(problem: &Correlate, points: [usize; 2], peak: f64) -> f64 {
    let most = largest_sample(problem).expect("an image of integers");
    let energy = 2.0 * (points[0] * points[1]) as f64 * (most / 2.0) * (most / 2.0);
    // As many results as the doubt is wide, on either side of a half.
    2.0 * Doubt::new(points, peak, false).of_root * energy.sqrt() * problem.taps.len() as f64
}

/// Whether transforms are made in `f64`; `peak` is the window's largest frequency, or taken to be it.
fn is_double(problem: &Correlate, points: [usize; 2], peak: f64) -> bool {
    if !is_settled(problem) {
        return is_exact(problem) || problem.arithmetic == Arithmetic::F64;
    }
    let sums = norms(problem)[0] * largest_sample(problem).expect("an image of integers");
    let single = constant_fits(problem, |cval| f64::from(cval as f32) == cval);
    !single || sums >= 2_f64.powi(22) || settling(problem, points, peak) > SETTLED
}

/// What the window's largest frequency is taken to be, before it is known: that of a smooth window, or of a random one.
fn likely_peak(problem: &Correlate) -> f64 {
    let [sum, root] = norms(problem);
    (4.0 * root).max(problem.taps.re().iter().sum::<f64>().abs()).min(sum)
}

/// What tiles are transformed in, one after the other.
enum Levels {
    /// `f32`, known to be enough.
    Single(Level<f32>),
    /// `f32` where that is enough, then `f64`.
    Both(Option<Level<f32>>, Box<Later>),
    /// `f64`.
    Double(Level<f64>),
}

/// The level in `f64` of sums in `f32`, made when a tile first needs it.
struct Later {
    level: OnceLock<Level<f64>>,
    spectrum: Arc<Spectrum>,
    lanes: usize,
    factor: f64,
}

impl Later {
    fn level(&self, taps: &Taps) -> &Level<f64> {
        self.level.get_or_init(|| {
            let proof = Proof::Floor { factor: self.factor, witness: Witness::new(taps, true) };
            Level::new(self.spectrum.engine(self.lanes), proof)
        })
    }
}

/// The direct loop, made when a result first needs it.
enum Fallback<'p> {
    Single(OnceLock<strip::Job<'p, f32, RegisterTile>>),
    Double(OnceLock<strip::Job<'p, f64, RegisterTile>>),
}

/// A problem with its spectrum, ready to be run tile by tile.
struct Job<'p> {
    problem: &'p Correlate,
    src: &'p Src<'p>,
    plan: Plan,
    isa: Isa,
    levels: Levels,
    fallback: Fallback<'p>,
}

/// Makes a [`Job`]; a kernel, as the spectrum is laid out by the lanes of the instruction set.
struct Prepare<'p> {
    problem: &'p Correlate,
    src: &'p Src<'p>,
    plan: Plan,
    isa: Isa,
}

impl<'p> Kernel for Prepare<'p> {
    type Output = Job<'p>;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Job<'p> {
        let lanes = [<lane::F32 as Lane>::Vector::<S>::LANES, <lane::F64 as Lane>::Vector::<S>::LANES];
        self.job(lanes)
    }
}

impl<'p> Prepare<'p> {
    fn job(self, [single_lanes, double_lanes]: [usize; 2]) -> Job<'p> {
        let Self { problem, src, plan, isa } = self;
        let settled = is_settled(problem).then(|| Settled::new(problem));
        let taps = settled.as_ref().map_or(&problem.taps, |settled| &settled.taps);
        let spectrum = Spectrum::kept(taps, plan.points, isa);
        let [sum, root] = norms(problem);
        let bound = problem.error_bound();
        let area = (plan.points[0] * plan.points[1]) as f64;
        let measured = |roundoff: f64| MARGIN * area.log2() * roundoff * spectrum.peak / area.sqrt() / bound;
        let floor = |factor: f64| Proof::Floor { factor, witness: Witness::new(&problem.taps, false) };
        let (half, double) = (f64::from(f32::EPSILON) / 2.0, f64::EPSILON / 2.0);
        let levels = if is_exact(problem) {
            Levels::Double(Level::new(spectrum.engine(double_lanes), Proof::Rounding))
        } else if let Some(settled) = settled {
            let is_double = is_double(problem, plan.points, spectrum.peak);
            let proof = Proof::Settled(Box::new(settled), Doubt::new(plan.points, spectrum.peak, is_double));
            if is_double {
                Levels::Double(Level::new(spectrum.engine(double_lanes), proof))
            } else {
                Levels::Single(Level::new(spectrum.engine(single_lanes), proof))
            }
        } else if problem.arithmetic == Arithmetic::F32 {
            let ordinary = (1e-10..1e10).contains(&sum);
            let single = ordinary.then(|| Level::new(spectrum.engine(single_lanes), floor(measured(half))));
            let factor = worst_case(plan.points) * double * root / bound;
            let later = Later { level: OnceLock::new(), spectrum, lanes: double_lanes, factor };
            Levels::Both(single, Box::new(later))
        } else {
            Levels::Double(Level::new(spectrum.engine(double_lanes), floor(measured(double))))
        };
        let fallback = match problem.arithmetic {
            Arithmetic::F32 => Fallback::Single(OnceLock::new()),
            _ => Fallback::Double(OnceLock::new()),
        };
        Job { problem, src, plan, isa, levels, fallback }
    }
}

impl Job<'_> {
    /// Computes rectangles of a tile by the direct loop.
    fn sum_directly(&self, tile: &mut Tile<'_>, rectangles: &[[Range<usize>; 2]]) {
        let width = self.plan.results[1];
        let mut runs: Vec<[Range<usize>; 2]> = Vec::new();
        for [rows, cols] in rectangles {
            // Neighbours of a row as one.
            match runs.last_mut() {
                Some([ys, xs]) if ys == rows && xs.end == cols.start && cols.end - xs.start <= width => {
                    xs.end = cols.end;
                }
                _ => runs.push([rows.clone(), cols.clone()]),
            }
        }
        for [rows, cols] in &runs {
            let mut part = tile.part(rows.clone(), cols.clone());
            match &self.fallback {
                Fallback::Single(job) => job
                    .get_or_init(|| strip::Job::new(self.problem, self.src, width))
                    .compute::<lane::F32>(self.isa, &mut part),
                Fallback::Double(job) => job
                    .get_or_init(|| strip::Job::new(self.problem, self.src, width))
                    .compute::<lane::F64>(self.isa, &mut part),
            }
        }
    }
}
