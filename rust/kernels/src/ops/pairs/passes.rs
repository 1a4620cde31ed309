//! Correlation of 8-bit images with one outer product of fractions, in two passes of 16-bit products.
//!
//! ```text
//! mid[y, x] = rounding of  2^-between * sum over i of  column[i] * (s[y + i, x] - c)    c: the middle of the range
//! dst[y, x] = nearest integer to  2^-shift * (offset + 1/2 + sum over j of  row[j] * mid[y, x + j])
//! ```
//!
//! Both passes are [`down`] and [`along`]: two products an instruction, everything in memory 16 bits wide.
//!
//! The column is scaled by a factor of its own, the row by what makes the product of all a power of two.
//! [`Scaled`] tries several factors, since the taps' roundings, most of the error, vary by twice. The half keeps any sum
//! from being a tie.

use super::HALVES;
use super::fixed::extremes;
use crate::Error;
use crate::border::Border;
use crate::dtype::{Accumulator, Kind};
use crate::ops::correlate::{Correlate, LEVELS, Source, Summation, Term};
use crate::ops::strip::{self, Geometry, Inner, Window};
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{
    Ending, Halves, Lines, MAX_HALF_ROWS, Nearest, Rounded, RowTaps, Simd, Two, Vector, along, down, lane,
    most_lanes,
};
use crate::view::{Dst, Rows, Src};
use std::array;
use std::ops::Range;

/// The implementation `pair-passes`.
#[derive(Debug)]
pub struct PairPasses;

/// Pairs of products a nanosecond, and nanoseconds for bringing in, rounding twice and writing a result, on
/// the scale of [`Correlate::nanoseconds`].
const PRODUCTS: f64 = 40.0;
const MOVED: f64 = 0.9;

impl Implementation<Correlate> for PairPasses {
    fn name(&self) -> &'static str {
        "pair-passes"
    }

    fn arithmetic(&self) -> Option<&'static str> {
        Some("i16")
    }

    fn cost(&self, problem: &Correlate) -> Result<f64, Reject> {
        if problem.summation != Summation::Any {
            return Err(Reject("the order of summation shows in the result, and this is another one"));
        }
        problem.one_window()?;
        problem.one_sum()?;
        problem.scratch_fits()?;
        let [rows, cols] = &problem.axes;
        if rows.taps == 1 || cols.taps == 1 || rows.stride != 1 || cols.stride != 1 || rows.dilation != 1 {
            return Err(Reject(
                "needs rows and columns in the window, strides of 1 and a vertical dilation of 1",
            ));
        }
        if problem.scaled()?.error > 0.0 && problem.fixed_point().is_ok_and(|taps| taps.error == 0.0) {
            return Err(Reject("rounds between the passes, and the taps are 16-bit numbers as they are"));
        }
        let [h, w] = problem.output();
        let pairs: usize = problem.axes.iter().map(|axis| axis.taps.div_ceil(2)).sum();
        Ok(h as f64 * w as f64 * (pairs as f64 / PRODUCTS + MOVED))
    }

    fn bound(&self, problem: &Correlate) -> Option<String> {
        let error = problem.scaled().map_or(0.0, |scaled| scaled.error);
        (error > 0.0)
            .then(|| format!("within {error:.2e} of a level of the exact sum, before rounding to the dtype"))
    }

    fn run(
        &self,
        problem: &Correlate,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        strip::run_in::<lane::I16, Passes>(problem, srcs, dsts, schedule)
    }
}

/// An outer product as integers of 16 bits: `w[i, j] = column[i] * row[j] * 2^-(between + shift)`, to
/// within `error` levels of a result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scaled {
    column: Vec<i16>,
    row: Vec<i16>,
    /// Bits that are rounded away between the passes, and at the end.
    between: u32,
    shift: u32,
    /// What is added to the sums of either pass, to those of the second beside a half: samples are taken less the middle of
    /// their range.
    offsets: [i32; 2],
    /// The largest error, over all images of the dtype, but that of the last rounding.
    pub(crate) error: f64,
}

/// Factors that are tried, from one power of two to the next.
const FACTORS: u32 = 64;

impl Scaled {
    /// # Errors
    /// The reason why the problem's taps can't be taken so.
    pub(crate) fn new(problem: &Correlate) -> Result<Self, Reject> {
        let Kind::Integer(mut least, mut most) = problem.src.kind() else {
            return Err(Reject("needs an image of 8-bit integers"));
        };
        if problem.src.size() > 1 || problem.taps.is_complex() || problem.dst.is_complex() {
            return Err(Reject("needs an image of 8-bit integers, and real weights"));
        }
        if problem.border.contains(&Border::Constant) {
            match problem.cval.integer {
                Some(value) if value.unsigned_abs() < 1 << 15 => {
                    (least, most) = (least.min(value), most.max(value));
                }
                _ => return Err(Reject("needs a cval that is an integer of 16 bits")),
            }
        }
        let [term] = problem.terms()? else {
            return Err(Reject("needs a window that is one outer product"));
        };
        let centre = (least + most + 1).div_euclid(2);
        let samples = [(least - centre) as i64, (most - centre) as i64];
        if !matches!(problem.dst.kind(), Kind::Integer(..)) {
            return Err(Reject("a floating-point result keeps what 16-bit taps would lose"));
        }
        // NaN and infinite taps have no trial.
        let best = trials([&term.column, &term.row], samples)
            .filter_map(|trial| trial.scaled(term, samples, centre as i64).ok())
            .min_by(|a, b| a.error.total_cmp(&b.error))
            .ok_or(Reject("the sums may exceed 32 bits"))?;
        if best.error <= LEVELS {
            return Ok(best);
        }
        Err(Reject("taps of 16 bits in two passes would err by more than 1/64 of a level"))
    }
}

/// A way to scale a column and a row: `column * factors[0]` and `row * factors[1]`, rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Trial {
    factors: [f64; 2],
    between: u32,
    shift: u32,
}

/// Ways that fit, or nearly: each factor of the column as large as 16 bits allow, and a little less.
fn trials(weights: [&[f64]; 2], samples: [i64; 2]) -> impl Iterator<Item = Trial> {
    let peak = |weights: &[f64]| weights.iter().fold(0.0, |peak: f64, w| peak.max(w.abs()));
    let sum = |weights: &[f64]| weights.iter().map(|w| w.abs()).sum::<f64>();
    let ([high, low], [column, row]) = (weights.map(peak), weights.map(sum));
    let largest = samples[0].abs().max(samples[1]) as f64;
    const HALF: f64 = 32_767.0;
    const SUM: f64 = 2_147_000_000.0;
    let most = (HALF / high).min(SUM / (column * largest));
    (0..FACTORS).flat_map(move |k| {
        // Steps of equal size, not equal ratio: no power whose last bit a library decides.
        let factor = most * f64::from(2 * FACTORS - k) / f64::from(2 * FACTORS);
        let sums = column * factor * largest;
        let least = floor_log2(sums / HALF) + 1;
        (least..least + 3).filter_map(move |between| {
            let unit = factor / 2_f64.powi(between);
            let room = (HALF / low).min(SUM / (row * sums / 2_f64.powi(between)));
            let shift = floor_log2(room * unit).min(30);
            let fits = (0..31).contains(&between) && (1..31).contains(&shift) && sums.is_finite();
            fits.then(|| Trial {
                factors: [factor, 2_f64.powi(shift) / unit],
                between: between as u32,
                shift: shift as u32,
            })
        })
    })
}

/// The exponent of a normal number: exact, unlike a logarithm.
fn floor_log2(x: f64) -> i32 {
    ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023
}

impl Trial {
    /// The taps, and the error of all roundings, if they fit.
    fn scaled(&self, term: &Term, samples: [i64; 2], centre: i64) -> Result<Scaled, Reject> {
        let Self { factors, between, shift } = *self;
        let fit = |weights: &[f64], factor: f64| -> Option<Vec<i16>> {
            let scaled = weights.iter().map(|w| (w * factor).round_ties_even());
            // False for NaN too.
            scaled.map(|w| (w.abs() <= f64::from(i16::MAX)).then_some(w as i16)).collect()
        };
        let large = || Reject("needs taps of 16 bits, and these are larger");
        let column = fit(&term.column, factors[0]).ok_or_else(large)?;
        let row = fit(&term.row, factors[1]).ok_or_else(large)?;
        let half = (1_i64 << between) >> 1;
        let taken: i64 = column.iter().map(|&w| i64::from(w) * -centre).sum();
        // Without the offset, samples are as they stand in the image.
        let raw = extremes(&column, samples.map(|sample| sample + centre));
        let sums = raw.map(|sum| sum + taken);
        let middle = sums.map(|sum| (sum + half) >> between);
        let total = |weights: &[f64]| weights.iter().sum::<f64>();
        let offset = centre as f64 * total(&term.column) * total(&term.row) * 2_f64.powi(shift as i32);
        let offset = (offset - 0.5).round_ties_even() as i64;
        let ends = extremes(&row, middle).map(|sum| sum + offset);
        let rounded = 1_i64 << shift;
        let word = |sums: [i64; 2]| sums.iter().all(|&sum| i32::try_from(sum.abs() + rounded).is_ok());
        let results = ends.map(|sum| (sum >> shift).abs() + 1);
        if results.iter().any(|&result| i16::try_from(result).is_err()) {
            return Err(Reject("the results may exceed 16 bits"));
        }
        if !middle.iter().all(|&sum| i16::try_from(sum).is_ok()) {
            return Err(Reject("the first pass's sums may exceed 16 bits"));
        }
        if ![raw, [taken; 2], sums.map(|sum| sum + half), [offset; 2], ends].into_iter().all(word) {
            return Err(Reject("the sums may exceed 32 bits"));
        }
        let left = |weights: &[f64], taken: &[i16], factor: f64| -> f64 {
            weights.iter().zip(taken).map(|(w, &t)| (w - f64::from(t) / factor).abs()).sum()
        };
        let largest = |range: [i64; 2]| range[0].abs().max(range[1].abs()) as f64;
        let unit = factors[0] / 2_f64.powi(between as i32);
        let row_sum: f64 = term.row.iter().map(|w| w.abs()).sum();
        let error = left(&term.column, &column, factors[0]) * largest(samples) * row_sum
            + if between > 0 { 0.5 / unit * row_sum } else { 0.0 }
            + left(&term.row, &row, factors[1]) * largest(middle) / unit
            + 0.5 / 2_f64.powi(shift as i32);
        Ok(Scaled { column, row, between, shift, offsets: [taken as i32, offset as i32], error })
    }
}

/// The weights of both passes, in pairs, and what becomes of their sums.
struct Prepared {
    column: Vec<Two>,
    row: RowTaps,
    /// Samples that the second pass reads beyond one a result, and from one tap to the next.
    reach: usize,
    dilation: usize,
    between: Nearest<false>,
    end: Nearest<false>,
}

/// Weights in pairs; an odd one has a 0 beside it.
pub(in crate::ops) fn paired(weights: &[i16]) -> Vec<Two> {
    weights.chunks(2).map(|two| Two::new(two[0], two.get(1).copied().unwrap_or(0))).collect()
}

/// The loop at the head of this file.
enum Passes {}

/// Vectors of a row after which the next block's rows come a little nearer.
const STEP: usize = 16;

impl Inner for Passes {
    type Prepared<A: Accumulator> = Prepared;

    const PRODUCTS: bool = true;
    const WHOLE: bool = true;

    fn prepare<A: Accumulator>(problem: &Correlate, _: &[Source], geometry: &Geometry) -> Prepared {
        let scaled = problem.scaled().expect("a problem that this implementation accepts");
        let [taken, offset] = scaled.offsets;
        Prepared {
            column: paired(&scaled.column),
            row: RowTaps::new(&scaled.row, problem.axes[1].dilation),
            reach: geometry.reach,
            dilation: problem.axes[1].dilation,
            between: Nearest(Rounded { offset: taken, shift: scaled.between }),
            end: Nearest(Rounded { offset, shift: scaled.shift }),
        }
    }

    fn scratch<A: Accumulator>(prepared: &Prepared, geometry: &Geometry, width: usize) -> usize {
        geometry.height * prepared.pitch(width)
    }

    #[inline(always)]
    fn block<S: Simd, V: Vector<Elem: Rows>, const R: usize>(
        _: S,
        prepared: &Prepared,
        window: &Window<'_, V::Elem>,
        scratch: &mut [V::Elem],
        out: [&mut [V::Elem]; R],
    ) {
        const { assert!(R <= 2 * MAX_HALF_ROWS) };
        let (length, pitch) = (window.width + prepared.reach, prepared.pitch(window.width));
        let middle = V::Elem::halves_mut(scratch).expect(HALVES);
        let middle = &mut middle[..R * pitch];
        let mut between = prepared.between;
        for parity in 0..R.min(2) {
            let rows = paired_rows(window, parity);
            every_other::<S::I16, R>(
                Lines::new(&rows),
                &prepared.column,
                0..length,
                &mut between,
                (middle, pitch, parity),
            );
        }
        let step = STEP * S::I16::LANES;
        window.ahead.spread(R * window.width.div_ceil(step));
        for (row, out) in middle.chunks_exact(pitch).zip(out) {
            let out = V::Elem::halves_mut(out).expect(HALVES);
            let mut end = prepared.end;
            for start in (0..window.width).step_by(step) {
                let cols = start..window.width.min(start + step);
                along::<S::I16>(row, &prepared.row, cols, &mut end, out);
                window.ahead.step();
            }
        }
    }
}

impl Prepared {
    /// From one row between the passes to the next: the last pair of an odd number of taps that are apart reads beyond it.
    const fn pitch(&self, width: usize) -> usize {
        width + self.reach + self.dilation.next_multiple_of(most_lanes::<i16>())
    }
}

/// The rows that every other result row of a block reads, from its row `parity` on. Such rows share their pairs; the
/// last one's partner may be any, under a 0.
#[inline(always)]
pub(in crate::ops) fn paired_rows<'r, A: Rows>(window: &Window<'r, A>, parity: usize) -> Vec<&'r [i16]> {
    let rows = A::halves(window.rows).expect(HALVES);
    rows[parity..].iter().chain(rows.last()).copied().collect()
}

/// [`down`] for rows `parity, parity + 2, ...` of a block of `R`, which are `pitch` apart in `out`.
#[inline(always)]
pub(in crate::ops) fn every_other<V: Halves, const R: usize>(
    lines: Lines<'_>,
    weights: &[Two],
    cols: Range<usize>,
    ending: &mut impl Ending<V>,
    (out, pitch, parity): (&mut [i16], usize, usize),
) {
    let mut out = out.chunks_exact_mut(pitch).skip(parity).step_by(2);
    macro_rules! heights {
        ($($height:literal)*) => {
            match (R - parity).div_ceil(2) {
                $($height => {
                    let out = array::from_fn(|_| out.next().expect("a row for each"));
                    down::<V, $height>(lines, weights, cols, ending, out);
                })*
                _ => unreachable!("half of a block's rows"),
            }
        };
    }
    heights!(1 2 3);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;
    use crate::ops::correlate::{Spec, Taps};

    fn scaled(src: DType, column: &[f64], row: &[f64]) -> Result<Scaled, Reject> {
        let term = Term { column: column.to_vec(), row: row.to_vec() };
        Scaled::new(&Correlate::new(Spec::new(src, [99, 99], Taps::from_terms(vec![term]))).unwrap())
    }

    fn gaussian(sigma: f64) -> Vec<f64> {
        let radius = (4.0 * sigma + 0.5) as i32;
        let weights = (-radius..=radius).map(|x| (-0.5 * f64::from(x * x) / (sigma * sigma)).exp());
        let weights: Vec<f64> = weights.collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|w| w / sum).collect()
    }

    #[test]
    fn gaussians_are_within_their_bound_or_refused() {
        for sigma in [0.4, 1.0, 2.0] {
            let taken = scaled(DType::U8, &gaussian(sigma), &gaussian(sigma)).unwrap();
            assert!(taken.error <= LEVELS, "{sigma}: {}", taken.error);
        }
        assert!(scaled(DType::U8, &gaussian(20.0), &gaussian(20.0)).is_err(), "roundings add up");
        assert!(scaled(DType::U16, &gaussian(1.0), &gaussian(1.0)).is_err(), "levels of 16 bits are finer");
        assert!(scaled(DType::U8, &[f64::NAN, 0.5], &[0.5; 2]).is_err());
        assert!(scaled(DType::U8, &[0.0; 2], &[0.5; 2]).is_err());
    }
}
