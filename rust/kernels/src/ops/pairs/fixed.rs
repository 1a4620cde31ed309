//! Taps in fixed point: integers, all in one unit.
//!
//! ```text
//! w = unit * taps + left          sum w s = unit * (sum taps s + offset) + sum left (s - middle)
//! ```
//!
//! `middle` is that of the samples' range, and `offset` what all the taps' remainders are worth there: no image errs by
//! more than half of the range times `sum |left|`. Where something is left, the unit is a power of two and `offset` an
//! integer and a half, no sum is a tie: the nearest integer is a sum of integers, shifted. The unit is a power of two where that is good enough, which leaves
//! nothing of taps that are multiples of it. Else it is what makes the largest tap fill 16 bits or, if too much is left
//! then, exceed them: the few taps that do are split.

use crate::border::Border;
use crate::dtype::{DType, Kind, Overflow};
use crate::ops::correlate::{Correlate, LEVELS};
use crate::registry::Reject;
use crate::simd::{Multiplied, Rounded};

/// How a sum of products becomes a result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// Integers in a power of two. Of sums among which there are no `ties`, half of a unit is a part.
    Bits { rounded: Rounded, ties: bool },
    /// Or in any unit.
    Unit(Multiplied),
}

impl Scale {
    /// The result.
    #[inline(always)]
    pub(crate) fn of(self, sum: i32) -> i32 {
        match self {
            Self::Bits { rounded: Rounded { offset, shift }, ties } => {
                nearest(sum.wrapping_add(offset), shift, ties)
            }
            Self::Unit(unit) => unit.of(sum),
        }
    }

    /// The same with so much more added to every sum.
    pub(super) fn plus(mut self, more: i32) -> Self {
        let (Self::Bits { rounded: Rounded { offset, .. }, .. } | Self::Unit(Multiplied { offset, .. })) =
            &mut self;
        *offset = offset.wrapping_add(more);
        self
    }

    /// What a sum of 1 is worth, and what is added to every sum.
    pub(crate) fn unit_and_offset(self) -> [f64; 2] {
        match self {
            Self::Bits { rounded: Rounded { offset, shift }, ties } => {
                [2_f64.powi(-(shift as i32)), f64::from(offset) + if ties { 0.0 } else { 0.5 }]
            }
            Self::Unit(Multiplied { offset, unit }) => [unit.into(), offset.into()],
        }
    }
}

/// `2^-shift * sum`, rounded to the nearest integer, `ties` to even. Without them, half of `2^-shift` is added to it.
#[inline(always)]
const fn nearest(sum: i32, shift: u32, ties: bool) -> i32 {
    let half = (1 << shift) >> 1;
    let tie = ties && shift > 0 && sum & ((1 << shift) - 1) == half;
    (sum.wrapping_add(half) >> shift) & !(tie as i32)
}

/// What is added to the tap of a row and a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) row: usize,
    pub(super) col: usize,
    pub(super) weight: i16,
}

/// Taps as integers, to within `error` levels of a result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FixedPoint {
    /// Each is what 16 bits hold of it ([`held`]), but where there are `splits`.
    pub(super) taps: Vec<i32>,
    /// What is beyond 16 bits in them.
    pub(super) splits: Vec<Split>,
    pub(crate) scale: Scale,
    /// The largest error of a sum, over all images of the dtype; 0 where the taps are such integers.
    pub(crate) error: f64,
    /// What of it is the rounding's, not the taps'.
    pub(crate) slack: f64,
    /// Whether samples are taken less 2^15.
    pub(super) unsigned: bool,
    /// Whether samples, as they are, and all results fit 16 bits.
    pub(super) narrow: bool,
}

/// Bits after the point, at most.
const MOST_SHIFT: u32 = 24;

/// How many times as large as 16 bits allow taps may be, and from one trial to the next.
const MOST_LARGER: f64 = 8.0;
const LARGER: f64 = 1.02;

/// Relative error of a result that was `f32` on its way: of the sum, of the product, and of another sum that is compared.
const SINGLE: f64 = f32::EPSILON as f64 * 1.5;

/// The largest number of 16 bits.
const HALF: i32 = i16::MAX as i32;

impl FixedPoint {
    /// What implementations share that round the exact sum under these taps, once.
    pub(crate) const RESULTS: &str = "fixed point";

    /// The error of a result in words, if there is one.
    pub(crate) fn bound(&self) -> Option<String> {
        let error = self.error;
        (error > 0.0)
            .then(|| format!("within {error:.2e} of a level of the exact sum, before rounding to the dtype"))
    }

    /// The taps as multiples of the unit.
    pub(crate) fn multiples(&self) -> impl Iterator<Item = f64> {
        self.taps.iter().map(|&w| f64::from(w))
    }

    /// # Errors
    /// The reason why the problem's taps can't be taken so.
    pub(crate) fn new(problem: &Correlate) -> Result<Self, Reject> {
        let Correlate { dst, taps, .. } = problem;
        let range = Range::new(problem)?;
        if let Some(integers) = taps.integers() {
            let taps: Option<Vec<i32>> =
                integers.iter().map(|&w| i16::try_from(w).ok().map(i32::from)).collect();
            let taps = taps.ok_or(Reject("needs taps of 16 bits, and these are larger"))?;
            let modular = problem.finish.overflow == Overflow::Wrap
                && matches!(dst.kind(), Kind::Integer(..))
                && dst.size() <= 4;
            if !modular && !range.holds(problem.taps.magnitude(), 1.0) {
                return Err(Reject("the sums may exceed 32 bits"));
            }
            let scale = Scale::Bits { rounded: Rounded { offset: 0, shift: 0 }, ties: true };
            return Ok(range.taken(taps, Vec::new(), scale, [0.0; 2]));
        }
        if !matches!(dst.kind(), Kind::Integer(..)) {
            return Err(Reject("a floating-point result keeps what 16-bit taps would lose"));
        }
        let weights = taps.re();
        let peak = weights.iter().fold(0.0, |peak: f64, w| peak.max(w.abs()));
        let (sum, count) = (taps.magnitude(), taps.len() as f64);
        let fits = |unit: f64| range.holds(sum / unit + count, 1.0 / unit);
        let shift = (0..=MOST_SHIFT).rev().find(|&shift| {
            let unit = 2_f64.powi(-(shift as i32));
            peak / unit <= f64::from(HALF) && fits(unit)
        });
        // No tap is NaN or infinite then.
        let shift = shift.ok_or(Reject("the taps exceed 16 bits, or sums may exceed 32"))?;
        let power = 2_f64.powi(-(shift as i32));
        let bits = Trial::new(weights, power, &range, if shift > 0 { 0.5 } else { 0.0 });
        if bits.error <= LEVELS {
            let rounded = Rounded { offset: bits.offset, shift };
            let scale = Scale::Bits { rounded, ties: bits.beside == 0.0 };
            return Ok(range.taken(bits.taps, Vec::new(), scale, [bits.error, 0.0]));
        }
        let cols = taps.shape()[1];
        let pairs = weights.len() / cols * cols.div_ceil(2);
        let most = match (problem.finish.overflow, dst.kind()) {
            (Overflow::Saturate, Kind::Integer(least, most)) => (most - least) as f64,
            _ => f64::INFINITY,
        };
        let slack = SINGLE * most.min(sum * range.largest);
        let mut larger = 1.0;
        while larger <= MOST_LARGER && slack <= LEVELS {
            let unit = (peak / (f64::from(HALF) * larger)) as f32;
            if !(fits(unit.into()) && unit.is_normal()) {
                break;
            }
            let trial = Trial::new(weights, unit.into(), &range, 0.0);
            let error = trial.error + slack;
            if error <= LEVELS {
                let splits = splits(&trial.taps, cols);
                let scale = Scale::Unit(Multiplied { offset: trial.offset, unit });
                let taken = range.taken(trial.taps, splits, scale, [error, slack]);
                if taken.splits.is_empty() || taken.narrow && taken.splits.len() <= pairs {
                    return Ok(taken);
                }
                break;
            }
            larger *= LARGER.max(0.9 * error / LEVELS);
        }
        Err(Reject("taps of 16 bits would err by more than 1/64 of a level"))
    }
}

/// Taps in a unit.
struct Trial {
    taps: Vec<i32>,
    /// What is added to sums: an integer, and what is beside it.
    offset: i32,
    beside: f64,
    error: f64,
}

impl Trial {
    /// With so much beside an integer added to sums, if anything is left of the taps.
    fn new(weights: &[f64], unit: f64, range: &Range, beside: f64) -> Self {
        let taps: Vec<i32> = weights.iter().map(|w| (w / unit).round_ties_even() as i32).collect();
        let (mut sum, mut total) = (0.0, 0.0);
        for (w, &tap) in weights.iter().zip(&taps) {
            let left = w - f64::from(tap) * unit;
            (sum, total) = (sum + left, total + left.abs());
        }
        let offset = range.middle() * sum / unit;
        let beside = if total > 0.0 { beside } else { 0.0 };
        let rounded = (offset - beside).round_ties_even();
        let error = total * range.half() + (offset - beside - rounded).abs() * unit;
        Self { taps, offset: rounded as i32, beside, error }
    }
}

/// The samples that a window may meet.
struct Range {
    /// Those of the image, and what lies outside.
    samples: [i64; 2],
    /// The largest of them, without its sign.
    largest: f64,
    unsigned: bool,
}

impl Range {
    fn new(problem: &Correlate) -> Result<Self, Reject> {
        let Correlate { src, dst, taps, cval, .. } = problem;
        let Kind::Integer(mut least, mut most) = src.kind() else {
            return Err(Reject("needs an image of integers of 16 bits or fewer"));
        };
        if src.size() > 2 || taps.is_complex() || dst.is_complex() {
            return Err(Reject("needs an image of integers of 16 bits or fewer, and real weights"));
        }
        let unsigned = *src == DType::U16;
        let offset = if unsigned { 1 << 15 } else { 0 };
        if problem.border.contains(&Border::Constant) {
            match cval.integer {
                Some(value) if i16::try_from(value - offset).is_ok() => {
                    (least, most) = (least.min(value), most.max(value));
                }
                _ => return Err(Reject("needs a cval that is an integer of 16 bits")),
            }
        }
        let largest = least.unsigned_abs().max(most.unsigned_abs()) as f64;
        Ok(Self { samples: [least as i64, most as i64], largest, unsigned })
    }

    fn middle(&self) -> f64 {
        (self.samples[0] + self.samples[1]) as f64 / 2.0
    }

    fn half(&self) -> f64 {
        (self.samples[1] - self.samples[0]) as f64 / 2.0
    }

    /// Whether 32 bits hold a sum under taps of such a sum, and half of what it is rounded to.
    fn holds(&self, taps: f64, level: f64) -> bool {
        taps * self.largest + level < 2_f64.powi(31)
    }

    fn taken(
        &self,
        taps: Vec<i32>,
        splits: Vec<Split>,
        scale: Scale,
        [error, slack]: [f64; 2],
    ) -> FixedPoint {
        let [unit, offset] = scale.unit_and_offset();
        let ends = extremes(&taps, self.samples).map(|sum| (sum as f64 + offset) * unit);
        let narrow = self.samples.iter().all(|&sample| i16::try_from(sample).is_ok())
            && ends.iter().all(|end| end.abs() < f64::from(HALF) - 1.0);
        FixedPoint { taps, splits, scale, error, slack, unsigned: self.unsigned, narrow }
    }
}

/// The least and the largest sum of products of weights with samples of a range.
pub(super) fn extremes<W: Copy + Into<i64>>(weights: &[W], [least, most]: [i64; 2]) -> [i64; 2] {
    weights.iter().fold([0; 2], |[low, high], &w| {
        let (a, b) = (w.into() * least, w.into() * most);
        [low + a.min(b), high + a.max(b)]
    })
}

/// What 16 bits hold of a tap.
pub(super) fn held(tap: i32) -> i16 {
    tap.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// What taps lack, as [`held`].
fn splits(taps: &[i32], cols: usize) -> Vec<Split> {
    let mut splits = Vec::new();
    for (i, &tap) in taps.iter().enumerate() {
        let mut left = tap - i32::from(held(tap));
        while left != 0 {
            splits.push(Split { row: i / cols, col: i % cols, weight: held(left) });
            left -= i32::from(held(left));
        }
    }
    splits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::correlate::{Spec, Taps};

    fn fixed(src: DType, shape: [usize; 2], weights: &[f64]) -> Result<FixedPoint, Reject> {
        FixedPoint::new(&Correlate::new(Spec::new(src, [9, 9], Taps::from_f64(shape, weights))).unwrap())
    }

    fn row(src: DType, weights: &[f64]) -> Result<FixedPoint, Reject> {
        fixed(src, [1, weights.len()], weights)
    }

    #[test]
    fn rounding_is_to_the_nearest_and_ties_to_even() {
        for sum in -40..40 {
            for shift in 0..5 {
                for ties in [false, true] {
                    let scale = Scale::Bits { rounded: Rounded { offset: 3, shift }, ties };
                    let [unit, offset] = scale.unit_and_offset();
                    let exact = unit * (f64::from(sum) + offset);
                    let nearest = if shift == 0 { exact.floor() } else { exact.round_ties_even() };
                    assert_eq!(f64::from(scale.of(sum)), nearest, "{sum} >> {shift}");
                }
            }
        }
    }

    #[test]
    fn integers_and_binary_fractions_are_taken_as_they_are() {
        let taken = row(DType::I16, &[-3.0, 7.0, 32767.0]).unwrap();
        let scale = |shift| Scale::Bits { rounded: Rounded { offset: 0, shift }, ties: true };
        assert_eq!(
            (taken.taps.as_slice(), taken.scale, taken.error),
            ([-3, 7, 32767].as_slice(), scale(0), 0.0)
        );
        assert_eq!(held(row(DType::U8, &[-32768.0]).unwrap().taps[0]), i16::MIN);
        assert!(row(DType::U8, &[40000.0]).is_err(), "beyond 16 bits");
        assert!(row(DType::U16, &[30000.0; 3]).is_err(), "sums beyond 32 bits");
        let taken = row(DType::U8, &[0.25, 0.5, 0.25]).unwrap();
        assert!(taken.error == 0.0 && taken.scale.unit_and_offset()[1] == 0.0, "{taken:?}");
    }

    /// The error of a sum that is least (-1) or greatest (1), for the worst image of bytes.
    fn worst(taken: &FixedPoint, weights: &[f64], sign: f64) -> f64 {
        let [unit, offset] = taken.scale.unit_and_offset();
        let left = weights.iter().zip(&taken.taps).map(|(w, &t)| sign * (w - f64::from(t) * unit));
        left.map(|left| 255.0 * left.max(0.0)).sum::<f64>() - sign * offset * unit
    }

    #[test]
    fn fractions_are_within_their_bound_or_refused() {
        let ramp: Vec<f64> = (0..25).map(|i| f64::from(i) / 300.0).collect();
        for weights in [ramp.clone(), vec![1.0 / 49.0; 49], vec![0.3; 31]] {
            let taken = row(DType::U8, &weights).unwrap();
            for sign in [1.0, -1.0] {
                assert!(worst(&taken, &weights, sign) <= taken.error * (1.0 + 1e-12), "{taken:?}");
            }
            assert!(taken.error > 0.0 && taken.error <= LEVELS);
        }
        assert!(row(DType::I8, &ramp).unwrap().error > 0.0);
        assert!(row(DType::U16, &ramp).is_err(), "levels of 16 bits are finer");
        assert!(row(DType::U8, &[f64::NAN, 0.5]).is_err());
        assert!(row(DType::U8, &[f64::INFINITY, 0.5]).is_err());
    }

    #[test]
    fn taps_beyond_16_bits_are_split() {
        let mut weights: Vec<f64> = (0..81).map(|i| (f64::from(i) * 0.7).sin() / 60.0).collect();
        // In the middle of a row, beside one another, and where a row ends.
        for (i, w) in [(4, 0.21), (30, -0.17), (31, 0.2), (53, 0.19), (80, -0.18)] {
            weights[i] = w;
        }
        let taken = fixed(DType::U8, [9, 9], &weights).unwrap();
        assert!(!taken.splits.is_empty() && taken.narrow, "{taken:?}");
        for sign in [1.0, -1.0] {
            assert!(worst(&taken, &weights, sign) <= taken.error && taken.error <= LEVELS);
        }
        let mut sums: Vec<i32> = taken.taps.iter().map(|&tap| held(tap).into()).collect();
        for Split { row, col, weight } in &taken.splits {
            sums[9 * row + col] += i32::from(*weight);
        }
        assert_eq!(sums, taken.taps);
    }
}
