//! Correlation of small integers by products of 16 bits, two to a lane of 32.
//!
//! ```text
//! pair[x]  = (s[x], s[x + d])                                       d: the horizontal dilation
//! sum[y,x] = sum over i, j even of  w[i, j] * s[y + i, x + j d] + w[i, j + 1] * s[y + i, x + (j + 1) d]
//! dst      = half-even rounding of  2^-shift * sum
//! ```
//!
//! One instruction multiplies both halves of a lane and adds the two products, so that a window costs half
//! the loads and multiplications that it costs in `f32`. Where results fit 16 bits, everything in memory has
//! 16 bits too, and samples are paired in registers ([`over`]). Else sums of 32 bits come from the register
//! tile ([`Program`]): a row is paired once when it is brought in; a lane for each sample, not for every
//! other one, lets any result begin at any sample without shuffles.
//!
//! Taps that are integers of 16 bits are taken as they are, and sums are exact. Others are rounded to
//! multiples of `2^-shift` that fit 16 bits (`FixedPoint`), where the sum of all roundings is within the
//! bound for every image of the dtype. An unsigned 16-bit sample is taken less 2^15, and the taps' sum times
//! 2^15 is added at the end; all of it is modulo 2^32, and the sums are not larger.

mod passes;
mod toeplitz;

pub use passes::PairPasses;
pub(crate) use passes::Scaled;
pub(in crate::ops) use passes::{every_other, paired, paired_rows};
pub use toeplitz::Toeplitz;

use super::correlate::{Correlate, LEVELS, Source, Summation};
use super::direct::RegisterTile;
use super::strip::{self, Geometry, Inner, Window};
use crate::Error;
use crate::border::Border;
use crate::dtype::{Accumulator, DType, Kind, Overflow};
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{Program, Rounded, Simd, Two, Vector, lane, over};
use crate::view::{Dst, Rows, Src};

/// The implementation `pairs`.
#[derive(Debug)]
pub struct Pairs;

impl Implementation<Correlate> for Pairs {
    fn name(&self) -> &'static str {
        "pairs"
    }

    fn arithmetic(&self) -> Option<&'static str> {
        Some("i16")
    }

    fn bound(&self, problem: &Correlate) -> Option<String> {
        problem.fixed_point().ok().and_then(FixedPoint::bound)
    }

    fn results(&self, _: &Correlate) -> &'static str {
        FixedPoint::RESULTS
    }

    fn cost(&self, problem: &Correlate) -> Result<f64, Reject> {
        if problem.summation != Summation::Any {
            return Err(Reject("the order of summation shows in the result, and this is another one"));
        }
        problem.one_window()?;
        problem.one_sum()?;
        problem.scratch_fits()?;
        if problem.axes[1].stride != 1 {
            return Err(Reject("needs neighbouring samples side by side: a horizontal stride of 1"));
        }
        let [products, moved] = if problem.fixed_point()?.narrow { NARROW } else { WIDE };
        let [h, w] = problem.output();
        let [rows, cols] = problem.taps.shape();
        Ok((rows * cols.div_ceil(2)) as f64 * h as f64 * w as f64 / products + h as f64 * w as f64 * moved)
    }

    fn run(
        &self,
        problem: &Correlate,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        match problem.fixed_point() {
            Ok(FixedPoint { narrow: true, .. }) => {
                strip::run_in::<lane::I16, HalfTile>(problem, srcs, dsts, schedule)
            }
            _ => strip::run_in::<lane::I16Pairs, PairTile>(problem, srcs, dsts, schedule),
        }
    }
}

/// Pairs of products a nanosecond, and nanoseconds for bringing in, pairing, rounding and writing a result,
/// on the scale of [`Correlate::nanoseconds`]: with results of 16 bits, and of 32.
const NARROW: [f64; 2] = [24.0, 1.0];
const WIDE: [f64; 2] = [20.0, 1.16];

/// Taps as integers of 16 bits: `w = taps * 2^-shift`, to within `error` levels of a result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FixedPoint {
    taps: Vec<i16>,
    shift: u32,
    /// The largest error of a sum, over all images of the dtype; 0 where the taps are integers.
    pub(crate) error: f64,
    /// Whether samples are taken less 2^15.
    unsigned: bool,
    /// Whether samples, as they are, and all results fit 16 bits.
    narrow: bool,
}

impl FixedPoint {
    /// What implementations share that round the exact sum under these taps, once.
    pub(crate) const RESULTS: &str = "fixed point";

    /// The error of a result in words, if there is one.
    pub(crate) fn bound(&self) -> Option<String> {
        let error = self.error;
        (error > 0.0)
            .then(|| format!("within {error:.2e} of a level of the exact sum, before rounding to the dtype"))
    }

    /// The integers that the taps are, and what one of them is worth.
    pub(crate) fn taps(&self) -> (impl Iterator<Item = f64>, f64) {
        (self.taps.iter().map(|&w| f64::from(w)), 2_f64.powi(-(self.shift as i32)))
    }

    /// # Errors
    /// The reason why the problem's taps can't be taken so.
    pub(crate) fn new(problem: &Correlate) -> Result<Self, Reject> {
        let Correlate { src, dst, taps, cval, .. } = problem;
        let Kind::Integer(least, most) = src.kind() else {
            return Err(Reject("needs an image of integers of 16 bits or fewer"));
        };
        if src.size() > 2 || taps.is_complex() || dst.is_complex() {
            return Err(Reject("needs an image of integers of 16 bits or fewer, and real weights"));
        }
        let unsigned = *src == DType::U16;
        let offset = if unsigned { 1 << 15 } else { 0 };
        let mut largest = least.unsigned_abs().max(most.unsigned_abs());
        if problem.border.contains(&Border::Constant) {
            match cval.integer {
                Some(value) if i16::try_from(value - offset).is_ok() => {
                    largest = largest.max(value.unsigned_abs());
                }
                _ => return Err(Reject("needs a cval that is an integer of 16 bits")),
            }
        }
        let largest = largest as f64;
        let outside = if problem.border.contains(&Border::Constant) { cval.integer.unwrap_or(0) } else { 0 };
        let samples = [least.min(outside), most.max(outside)].map(|sample| sample as i64);
        let fits_halves = |taps: &[i16], shift: u32| {
            let results = extremes(taps, samples).map(|sum| i16::try_from((sum >> shift).abs() + 1));
            samples.iter().all(|&sample| i16::try_from(sample).is_ok()) && results.iter().all(Result::is_ok)
        };
        // A sum, and half of the unit that it is rounded to.
        let holds = |sum: f64, shift: u32| sum + 2_f64.powi(shift as i32) < 2_f64.powi(31);
        let modular = problem.finish.overflow == Overflow::Wrap
            && matches!(dst.kind(), Kind::Integer(..))
            && dst.size() <= 4;
        if let Some(integers) = taps.integers() {
            let taps: Option<Vec<i16>> = integers.iter().map(|&w| i16::try_from(w).ok()).collect();
            let taps = taps.ok_or(Reject("needs taps of 16 bits, and these are larger"))?;
            if !modular && !holds(problem.taps.magnitude() * largest, 0) {
                return Err(Reject("the sums may exceed 32 bits"));
            }
            let narrow = fits_halves(&taps, 0);
            return Ok(Self { taps, shift: 0, error: 0.0, unsigned, narrow });
        }
        if !matches!(dst.kind(), Kind::Integer(..)) {
            return Err(Reject("a floating-point result keeps what 16-bit taps would lose"));
        }
        let peak = taps.re().iter().fold(0.0, |peak: f64, w| peak.max(w.abs()));
        let scaled = |w: f64, shift: u32| (w * 2_f64.powi(shift as i32)).round_ties_even();
        let fits = |shift: &u32| {
            scaled(peak, *shift) <= f64::from(i16::MAX)
                && holds(
                    2_f64.powi(*shift as i32) * taps.magnitude() * largest + taps.len() as f64 * largest,
                    *shift,
                )
        };
        let shift = (0..=MOST_SHIFT).rev().find(fits).ok_or(Reject("the sums may exceed 32 bits"))?;
        let unit = 2_f64.powi(-(shift as i32));
        // What roundings up and roundings down amount to, each where the samples are that make the most of it.
        let error = [1.0, -1.0].map(|sign| {
            let left = taps.re().iter().map(|&w| sign * (w - scaled(w, shift) * unit));
            left.map(|left| (left * samples[0] as f64).max(left * samples[1] as f64)).sum::<f64>()
        });
        let error = error[0].max(error[1]);
        // NaN and infinite taps end here too.
        if error <= LEVELS {
            let taps: Vec<i16> = taps.re().iter().map(|&w| scaled(w, shift) as i16).collect();
            let narrow = fits_halves(&taps, shift);
            return Ok(Self { taps, shift, error, unsigned, narrow });
        }
        Err(Reject("taps of 16 bits would err by more than 1/64 of a level"))
    }
}

/// Bits after the point, at most: finer units make no sum of 8-bit samples more exact.
const MOST_SHIFT: u32 = 24;

/// The loop at the head of this file.
enum PairTile {}

/// The least and the largest sum of products of weights with samples of a range.
fn extremes(weights: &[i16], [least, most]: [i64; 2]) -> [i64; 2] {
    weights.iter().fold([0; 2], |[low, high], &w| {
        let (a, b) = (i64::from(w) * least, i64::from(w) * most);
        [low + a.min(b), high + a.max(b)]
    })
}

/// Why a row is known to be of `i16`.
pub(crate) const HALVES: &str = "the lane that this implementation runs in";

/// The loop for results of 16 bits.
enum HalfTile {}

/// Where pairs of taps read, their weights, and what becomes of the sums.
struct Half {
    places: Vec<[usize; 2]>,
    weights: Vec<Two>,
    rounded: Rounded,
}

impl Inner for HalfTile {
    type Prepared<A: Accumulator> = Half;

    const PRODUCTS: bool = true;

    fn prepare<A: Accumulator>(problem: &Correlate, _: &[Source], geometry: &Geometry) -> Half {
        let fixed = problem.fixed_point().expect("a problem that this implementation accepts");
        let cols = problem.taps.shape()[1];
        // A tap without a partner has the one before it, under a 0; or itself, if it is the only one.
        let place = |(k, two): (usize, &[usize])| match *two {
            [first, second] => [first, second],
            [last] => [geometry.offsets[(2 * k).saturating_sub(1)], last],
            _ => unreachable!("one or two"),
        };
        let paired = |two: &[i16]| match *two {
            [first, second] => Two::new(first, second),
            [last] => Two::new(0, last),
            _ => unreachable!("one or two"),
        };
        Half {
            places: geometry.offsets.chunks(2).enumerate().map(place).collect(),
            weights: fixed.taps.chunks_exact(cols).flat_map(|row| row.chunks(2).map(paired)).collect(),
            rounded: Rounded { offset: 0, shift: fixed.shift },
        }
    }

    #[inline(always)]
    fn block<S: Simd, V: Vector<Elem: Rows>, const R: usize>(
        _: S,
        half: &Half,
        window: &Window<'_, V::Elem>,
        _: &mut [V::Elem],
        out: [&mut [V::Elem]; R],
    ) {
        let rows: Vec<&[i16]> = window.rows.iter().map(|row| V::Elem::halves(row).expect(HALVES)).collect();
        let out = out.map(|row| V::Elem::halves_mut(row).expect(HALVES));
        let Half { places, weights, rounded } = half;
        if weights.len() >= R * places.len() {
            return over::<S::I16, R>(&rows, places, weights, window.width, *rounded, out);
        }
        // A window of one row: the rows of a block share nothing.
        for (r, out) in out.into_iter().enumerate() {
            over::<S::I16, 1>(&rows[r..=r], places, weights, window.width, *rounded, [out]);
        }
    }
}

/// Programs of paired taps, and what becomes of the sums.
struct Prepared<A> {
    programs: Vec<Program<A>>,
    dilation: usize,
    shift: u32,
    /// What is added to every sum, and which bits of a sample are turned, for samples less 2^15.
    offset: i32,
    turned: i16,
}

/// Two halves as a lane.
#[inline(always)]
fn lane_of<A: Accumulator>(low: i16, high: i16) -> A {
    A::from_i128(i128::from((low as u16 as i32) | (i32::from(high) << 16)))
}

impl Inner for PairTile {
    type Prepared<A: Accumulator> = Prepared<A>;

    const PRODUCTS: bool = true;

    fn prepare<A: Accumulator>(problem: &Correlate, _: &[Source], geometry: &Geometry) -> Prepared<A> {
        let fixed = problem.fixed_point().expect("a problem that this implementation accepts");
        let cols = problem.taps.shape()[1];
        let pairs = |row: &[i16]| -> Vec<A> {
            row.chunks(2).map(|two| lane_of(two[0], two.get(1).copied().unwrap_or(0))).collect()
        };
        let weights: Vec<A> = fixed.taps.chunks_exact(cols).flat_map(pairs).collect();
        let offsets: Vec<usize> = geometry.offsets.iter().copied().step_by(2).collect();
        let programs = (1..=geometry.height.min(geometry.taps))
            .map(|height| Program::new(height, geometry.taps, &offsets, &[&weights]))
            .collect();
        let sum: i32 = fixed.taps.iter().map(|&w| i32::from(w)).fold(0, i32::wrapping_add);
        Prepared {
            programs,
            dilation: problem.axes[1].dilation,
            shift: fixed.shift,
            offset: if fixed.unsigned { sum.wrapping_mul(1 << 15) } else { 0 },
            turned: if fixed.unsigned { i16::MIN } else { 0 },
        }
    }

    /// Pairs the samples of a row. The last `dilation` of it have no partner, which is read under a zero alone.
    fn brought<S: Simd, A: Accumulator>(simd: S, prepared: &Prepared<A>, row: &mut [A]) {
        let Prepared { dilation, turned, .. } = *prepared;
        // By value: behind a reference, the compiler has to expect that a store changes them.
        simd.vectorize(
            #[inline(always)]
            move || {
                let half = |sample: A| sample.into_i128() as i16 ^ turned;
                let paired = |low: A, high: A| lane_of(half(low), half(high));
                match dilation {
                    // A distance that the compiler knows is one that it makes vectors of.
                    1 => (1..row.len()).for_each(|x| row[x - 1] = paired(row[x - 1], row[x])),
                    far => (far..row.len()).for_each(|x| row[x - far] = paired(row[x - far], row[x])),
                }
                let alone = row.len().saturating_sub(dilation);
                row[alone..].iter_mut().for_each(|sample| *sample = lane_of(half(*sample), 0));
            },
        );
    }

    #[inline(always)]
    fn block<S: Simd, V: Vector<Elem: Rows>, const R: usize>(
        simd: S,
        prepared: &Prepared<V::Elem>,
        window: &Window<'_, V::Elem>,
        scratch: &mut [V::Elem],
        mut out: [&mut [V::Elem]; R],
    ) {
        RegisterTile::block::<S, V, R>(
            simd,
            &prepared.programs,
            window,
            scratch,
            out.each_mut().map(|row| &mut **row),
        );
        for row in out {
            round_all(row, prepared.shift, prepared.offset);
        }
    }
}

/// Adds `offset` to every sum of a row and rounds `2^-shift` of it, as [`half_even`].
#[inline(always)]
fn round_all<A: Accumulator>(row: &mut [A], shift: u32, offset: i32) {
    if shift == 0 && offset == 0 {
        return;
    }
    let sum = |sum: &A| (sum.into_i128() as i32).wrapping_add(offset);
    match shift {
        0 => row.iter_mut().for_each(|a| *a = A::from_i128(sum(a).into())),
        _ => row.iter_mut().for_each(|a| *a = A::from_i128(half_even(sum(a), shift).into())),
    }
}

/// `2^-shift * sum`, rounded to the nearest integer, ties to even, for a shift of 1 at least.
#[inline(always)]
const fn half_even(sum: i32, shift: u32) -> i32 {
    let odd = (sum >> shift) & 1;
    (sum + ((1 << (shift - 1)) - 1) + odd) >> shift
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::correlate::{Spec, Taps};

    fn fixed(src: DType, weights: &[f64]) -> Result<FixedPoint, Reject> {
        FixedPoint::new(
            &Correlate::new(Spec::new(src, [9, 9], Taps::from_f64([1, weights.len()], weights))).unwrap(),
        )
    }

    #[test]
    fn rounding_is_to_the_nearest_and_ties_to_even() {
        for sum in -40..40 {
            for shift in 1..5 {
                let exact = f64::from(sum) / 2_f64.powi(shift);
                assert_eq!(
                    f64::from(half_even(sum, shift as u32)),
                    exact.round_ties_even(),
                    "{sum} >> {shift}"
                );
            }
        }
    }

    #[test]
    fn integers_are_taken_as_they_are() {
        let taken = fixed(DType::I16, &[-3.0, 7.0, 32767.0]).unwrap();
        assert_eq!((taken.taps.as_slice(), taken.shift, taken.error), ([-3, 7, 32767].as_slice(), 0, 0.0));
        assert!(fixed(DType::U8, &[40000.0]).is_err(), "beyond 16 bits");
        assert!(fixed(DType::U16, &[30000.0; 3]).is_err(), "sums beyond 32 bits");
    }

    #[test]
    fn fractions_are_within_their_bound_or_refused() {
        let weights: Vec<f64> = (0..25).map(|i| f64::from(i) / 300.0).collect();
        let taken = fixed(DType::U8, &weights).unwrap();
        let unit = 2_f64.powi(-(taken.shift as i32));
        let left: Vec<f64> = weights.iter().zip(&taken.taps).map(|(w, &t)| w - f64::from(t) * unit).collect();
        // The image that is white under every tap rounded down, and the one under every tap rounded up.
        for sign in [1.0, -1.0] {
            let worst = 255.0 * left.iter().map(|left| (sign * left).max(0.0)).sum::<f64>();
            assert!(worst > 0.0 && worst <= taken.error * (1.0 + 1e-12) && taken.error <= LEVELS);
        }
        assert!(fixed(DType::I8, &weights).unwrap().error > 0.0);
        assert!(fixed(DType::U8, &[0.3; 31]).is_err(), "31 roundings of 2^-18 are too much");
        assert!(fixed(DType::U16, &weights).is_err(), "levels of 16 bits are finer");
        assert!(fixed(DType::U8, &[f64::NAN, 0.5]).is_err());
        assert!(fixed(DType::U8, &[f64::INFINITY, 0.5]).is_err());
    }
}
