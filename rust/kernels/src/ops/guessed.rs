//! SciPy's two passes over 8-bit images, guessed in `f32` and made sure of where the guess is close.
//!
//! ```text
//! for each pass:
//!     g = sum of w x in f32, of any order                       |g - SciPy's f64 sum| <= doubt
//!     no integer but 0 within `doubt` of g:   trunc(g)          is then trunc of SciPy's sum too
//!     all samples under the window equal:     what SciPy's sum makes of that sample, from a table
//!     else:                                   SciPy's sum, truncated
//! ```
//!
//! SciPy truncates after each pass, so a result depends on roundings only where a sum is next to an
//! integer: about one in four hundred under a wide Gaussian. Even regions, where every sum is one, have
//! their table; a ramp is summed twice, and costs a fifth more than without the guess.
//!
//! The doubt: `n + 2` roundings of 2^-24 relative to `sum |w x|`, and one more for those of the `f64` sum.

use super::correlate::{Correlate, Source, Summation};
use super::folded::PairedTaps;
use super::rows;
use super::strip::{self, Geometry, Inner, Window};
use crate::Error;
use crate::border::Border;
use crate::dtype::{Accumulator, DType, Finish, Kind, Rounding};
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{Lanes, MAX_LANES, Program, Simd, Vector, lane, load_tile};
use crate::view::{Dst, Rows, Src};
use std::array;

/// The implementation `guessed`.
#[derive(Debug)]
pub struct Guessed;

/// The largest doubt that leaves few sums in doubt.
const MOST_DOUBT: f64 = 1.0 / 256.0;

impl Implementation<Correlate> for Guessed {
    fn name(&self) -> &'static str {
        "guessed"
    }

    fn arithmetic(&self) -> Option<&'static str> {
        Some("f32")
    }

    fn cost(&self, problem: &Correlate) -> Result<f64, Reject> {
        if problem.summation != Summation::Folded || !problem.passes {
            return Err(Reject("two passes in SciPy's order were not asked for, or can't be seen"));
        }
        let integer = |dtype: DType| matches!(dtype.kind(), Kind::Integer(..)) && dtype != DType::Bool;
        if !integer(problem.src) || problem.src.size() > 1 || !integer(problem.dst) {
            return Err(Reject("needs an image of 8-bit integers, and integer results"));
        }
        if problem.axes.iter().any(|axis| axis.stride != 1) || problem.axes[0].dilation != 1 {
            return Err(Reject("strides and the vertical dilation are 1 here"));
        }
        if problem.finish.rounding != Rounding::Truncate {
            return Err(Reject("needs results that are truncated"));
        }
        problem.scratch_fits()?;
        // False for NaN too.
        if !doubts(problem)?.iter().all(|&doubt| doubt <= MOST_DOUBT) {
            return Err(Reject("too many sums in f32 would leave the result in doubt"));
        }
        let [h, w] = problem.output();
        let products = problem.axes.iter().map(|axis| axis.taps).sum::<usize>();
        Ok(h as f64 * w as f64 * (products as f64 * 5.0 / 100.0 + 2.0))
    }

    fn run(
        &self,
        problem: &Correlate,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        strip::run_in::<lane::F32, Passes>(problem, srcs, dsts, schedule)
    }
}

/// How far a sum in `f32` may be from SciPy's, in each pass.
fn doubts(problem: &Correlate) -> Result<[f64; 2], Reject> {
    let term = &problem.terms()?[0];
    let magnitude = |dtype: DType| match dtype.kind() {
        Kind::Integer(least, most) => least.unsigned_abs().max(most.unsigned_abs()) as f64,
        _ => f64::INFINITY,
    };
    let mut outside = 0.0;
    if problem.border.contains(&Border::Constant) {
        match problem.cval.integer {
            Some(value) if value.unsigned_abs() < 1 << 20 => outside = value.unsigned_abs() as f64,
            _ => return Err(Reject("needs a cval that is an integer below 2^20")),
        }
    }
    let sum = |weights: &[f64], most: f64| weights.iter().map(|w| w.abs()).sum::<f64>() * most;
    let doubt = |weights: &[f64], sum: f64| (weights.len() + 3) as f64 * sum / 2_f64.powi(24);
    let first = sum(&term.column, magnitude(problem.src).max(outside));
    // Wrapped or not, what was stored is no larger than either.
    let second = sum(&term.row, first.min(magnitude(problem.dst)).max(outside));
    Ok([doubt(&term.column, first), doubt(&term.row, second)])
}

/// Sums that are looked at together: few of so many are in doubt.
const CHUNK: usize = 64;

/// One of the passes, to be made sure of.
struct Pass<A> {
    taps: PairedTaps<f64>,
    doubt: A,
    /// What becomes of a window of equal samples, for `least`, `least + 1`, ...
    even: Vec<A>,
    least: f64,
}

impl<A: Accumulator> Pass<A> {
    fn new(taps: PairedTaps<f64>, doubt: f64, dtype: DType) -> Self {
        let (least, most) = match dtype.kind() {
            Kind::Integer(least, most) if dtype.size() == 1 => (least as i32, most as i32),
            _ => (0, -1),
        };
        let sum = |x: i32| {
            let [sum] = taps.at::<Lanes<f64, 1, false>, 1>(|_| [Lanes::splat(f64::from(x))]);
            A::from_f64(sum.lanes()[0].trunc())
        };
        let even = (least..=most).map(sum).collect();
        // Rounded up: the comparison is in `A`.
        Self { taps, doubt: A::from_f64(doubt * 1.001), even, least: f64::from(least) }
    }

    /// Puts what SciPy's sum becomes where `sums`, over `rows`, are in doubt.
    #[inline(always)]
    fn make_sure<S: Simd, V: Vector<Elem = A>>(&self, simd: S, rows: &[&[A]], sums: &mut [A]) {
        // Of `f32` the conversions are none.
        let doubt = self.doubt.into_f64() as f32;
        let doubted = |sum: &A| {
            let sum = sum.into_f64() as f32;
            ((sum - sum.round_ties_even()).abs() <= doubt) & (sum.abs() > 0.5)
        };
        for at in (0..sums.len()).step_by(CHUNK) {
            let length = CHUNK.min(sums.len() - at);
            let chunk = &mut sums[at..][..length];
            let mut flags = [0_u32; CHUNK];
            flags.iter_mut().zip(&*chunk).for_each(|(flag, sum)| *flag = u32::from(doubted(sum)));
            if flags.iter().fold(0, |any, flag| any | flag) == 0 {
                continue;
            }
            for (g, group) in chunk.chunks_exact_mut(V::LANES).enumerate() {
                let flags = &flags[g * V::LANES..][..V::LANES];
                if flags.iter().fold(0, |any, flag| any | flag) != 0 {
                    self.sum_exactly::<S, V>(simd, rows, at + g * V::LANES, group);
                }
            }
        }
    }

    /// The results at `x` as SciPy has them. Once, not in every loop: it is seldom needed.
    #[inline(never)]
    fn sum_exactly<S: Simd, V: Vector<Elem = A>>(&self, simd: S, rows: &[&[A]], x: usize, group: &mut [A]) {
        const { assert!(V::LANES == 2 * S::F64Unfused::LANES, "a vector of f32 is two of f64") };
        simd.vectorize(
            #[inline(always)]
            || {
                let samples = |(line, offset): (usize, usize)| &rows[line][x + offset..][..V::LANES];
                if let Some(known) = self.known::<V>(samples) {
                    group.copy_from_slice(&known[..V::LANES]);
                    return;
                }
                let half = S::F64Unfused::LANES;
                let sums: [S::F64Unfused; 2] = self.taps.at(
                    #[inline(always)]
                    |place| {
                        let (low, high) = samples(place).split_at(half);
                        [widened(low), widened(high)]
                    },
                );
                for (sums, group) in sums.iter().zip(group.chunks_exact_mut(half)) {
                    let truncated = group.iter_mut().zip(sums.lanes());
                    truncated.for_each(|(to, sum)| *to = A::from_f64(sum.trunc()));
                }
            },
        );
    }

    /// What windows of equal samples become, if all are, and are in the table.
    #[inline(always)]
    fn known<'r, V: Vector<Elem = A>>(
        &self,
        samples: impl Fn((usize, usize)) -> &'r [A],
    ) -> Option<[A; MAX_LANES]>
    where
        A: 'r,
    {
        let places = self.taps.places();
        let [first] = load_tile::<V, 1>(samples(places[0]), 0);
        // Sums of squares of small integers: 0 if all are.
        let mut apart = V::splat(A::default());
        for half in [&places[places.len() / 2..], &places[..places.len() / 2]] {
            for &place in half {
                let [sample] = load_tile::<V, 1>(samples(place), 0);
                let difference = sample.sub(first);
                apart = apart.mul_add(difference, difference);
            }
            if apart.lanes()[..V::LANES].iter().any(|&apart| apart != A::default()) {
                return None;
            }
        }
        let mut known = first.lanes();
        for sample in &mut known[..V::LANES] {
            *sample = self.of_even(*sample)?;
        }
        Some(known)
    }

    /// What becomes of a window of nothing but `sample`, if that is in the table.
    #[inline(always)]
    fn of_even(&self, sample: A) -> Option<A> {
        let index = sample.into_f64() - self.least;
        (index >= 0.0).then(|| self.even.get(index as usize).copied()).flatten()
    }
}

/// A vector of `f64` from as many samples.
#[inline(always)]
fn widened<A: Accumulator, V: Vector<Elem = f64>>(samples: &[A]) -> V {
    let samples = &samples[..V::LANES];
    let mut wide = [0.0; MAX_LANES];
    for l in 0..V::LANES {
        wide[l] = samples[l].into_f64();
    }
    V::of_lanes(&wide)
}

/// The loop at the head of this file.
enum Passes {}

/// Both passes.
struct Prepared<A> {
    /// A program for each height that a block may have, and one for its rows.
    columns: Vec<Program<A>>,
    rows: Program<A>,
    passes: [Pass<A>; 2],
    /// Samples that the second pass reads beyond one a result.
    reach: usize,
    stored: (DType, Finish),
    /// What continues the first pass's results, if it is not what they are themselves.
    outside: Option<A>,
}

impl Inner for Passes {
    type Prepared<A: Accumulator> = Prepared<A>;

    const WHOLE: bool = true;

    fn prepare<A: Accumulator>(problem: &Correlate, sources: &[Source], geometry: &Geometry) -> Prepared<A> {
        let term = &problem.terms().expect("two passes")[0];
        let typed = |weights: &[f64]| -> Vec<A> { weights.iter().map(|&w| A::from_f64(w)).collect() };
        let (column, row) = (typed(&term.column), typed(&term.row));
        let [first, second] = doubts(problem).expect("a problem that this implementation accepts");
        let taps = |weights: &[f64], row: bool| {
            PairedTaps::new(weights.to_vec(), |i| if row { (0, geometry.offsets[i]) } else { (i, 0) })
        };
        Prepared {
            columns: (1..=geometry.height)
                .map(|height| Program::new(height, geometry.taps, &[0], &[&column]))
                .collect(),
            rows: Program::new(1, 1, &geometry.offsets, &[&row]),
            passes: [
                Pass::new(taps(&term.column, false), first, problem.src),
                Pass::new(taps(&term.row, true), second, problem.dst),
            ],
            reach: geometry.reach,
            stored: (problem.dst, problem.finish),
            outside: (problem.border[1] == Border::Constant).then(|| problem.outside(sources[0].component)),
        }
    }

    fn scratch<A: Accumulator>(prepared: &Prepared<A>, geometry: &Geometry, width: usize) -> usize {
        geometry.height * (width + prepared.reach)
    }

    #[inline(always)]
    fn block<S: Simd, V: Vector<Elem: Rows>, const R: usize>(
        simd: S,
        prepared: &Prepared<V::Elem>,
        window: &Window<'_, V::Elem>,
        scratch: &mut [V::Elem],
        out: [&mut [V::Elem]; R],
    ) {
        let length = window.width + prepared.reach;
        let [first, second] = &prepared.passes;
        let (middle, _) = scratch.split_at_mut(R * length);
        let mut split = middle.chunks_exact_mut(length);
        let columns = array::from_fn(|_| split.next().expect("a row for each"));
        prepared.columns[R - 1].run::<V, R>(window.rows, length, columns);
        for (r, row) in middle.chunks_exact_mut(length).enumerate() {
            first.make_sure::<S, V>(simd, &window.rows[r..], row);
        }
        let (dtype, finish) = prepared.stored;
        rows::keep(simd, middle, dtype, finish);
        for (row, out) in middle.chunks_exact_mut(length).zip(out) {
            if let Some(outside) = prepared.outside {
                row[..window.inside.start.min(length)].fill(outside);
                row[window.inside.end.min(length)..].fill(outside);
            }
            prepared.rows.run::<V, 1>(&[&*row], window.width, [&mut *out]);
            second.make_sure::<S, V>(simd, &[row], out);
        }
    }
}
