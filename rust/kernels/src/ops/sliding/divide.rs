//! Quotients of whole numbers, exact, in vectors.
//!
//! A quotient `s / k` that is no integer is `1 / k` or more away from the next one, and no tie is nearer
//! than `1 / (2 k)`; a float of `p` bits is that fine while `s` and `k` stay below `2^(p - 1)`.

use crate::dtype::{Accumulator, Rounding};
use crate::simd::{NarrowDivisor, WideDivisor};

/// Below this `f32` divides whole numbers exactly.
const F32: u128 = 1 << 22;
/// Below this a multiplication by the inverse of an odd divisor rounds as the quotient does: it is `2^-22` of the
/// quotient off at the most, and the nearest tie, which an odd divisor never hits, `1 / (2 k)` away.
const ODD: u128 = 1 << 20;
/// Below this `f64` does.
const F64: u128 = 1 << 51;

/// The division of sums that no magnitude exceeds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Divisor {
    k: u64,
    rounding: Rounding,
    /// Sums and divisor stay below this.
    below: u128,
}

impl Divisor {
    /// For sums of magnitude `most` at the most.
    pub(super) fn new(k: u64, rounding: Rounding, most: u128) -> Self {
        Self { k, rounding, below: most.max(u128::from(k)).saturating_add(1) }
    }

    /// Whether anything is divided at all.
    pub(super) fn is_one(self) -> bool {
        self.k == 1
    }
}

/// A number in which sums are made.
pub(super) trait Divide: Accumulator {
    /// Whether sums are exact, so that what was added can be taken away.
    const EXACT: bool;
    /// The difference (modulo an integer's width).
    fn minus(self, other: Self) -> Self;
    /// Divides every sum.
    fn divide(sums: &mut [Self], divisor: &Divisor);
}

macro_rules! divide_floats {
    ($($t:ty),*) => {$(
        impl Divide for $t {
            const EXACT: bool = false;
            #[inline(always)]
            fn minus(self, other: Self) -> Self { self - other }
            #[inline(always)]
            fn divide(sums: &mut [Self], divisor: &Divisor) {
                let k = divisor.k as Self;
                for sum in sums {
                    *sum /= k;
                }
            }
        }
    )*};
}
divide_floats!(f32, f64);

/// Whole numbers through a float: `1.5 * 2^p` added to a number makes its low bits that number, rounded
/// half to even.
macro_rules! through {
    ($sums:expr, $divisor:expr, $int:ty, $float:ty, $shift:literal, $bits:ty) => {{
        const SHIFT: $float = $shift;
        let k = $divisor.k as $float;
        match $divisor.rounding {
            Rounding::HalfEven => {
                for sum in $sums {
                    let quotient = *sum as $float / k;
                    *sum = ((quotient + SHIFT).to_bits() as $bits).wrapping_sub(SHIFT.to_bits() as $bits)
                        as $int;
                }
            }
            Rounding::Truncate => {
                for sum in $sums {
                    let quotient = (*sum as $float / k).trunc();
                    *sum = ((quotient + SHIFT).to_bits() as $bits).wrapping_sub(SHIFT.to_bits() as $bits)
                        as $int;
                }
            }
        }
    }};
}

/// One quotient in 128 bits.
#[inline(always)]
fn exact(sum: i128, k: i128, rounding: Rounding) -> i128 {
    match rounding {
        Rounding::Truncate => sum / k,
        Rounding::HalfEven => {
            let (floor, rest) = (sum.div_euclid(k), 2 * sum.rem_euclid(k));
            floor + i128::from(rest > k || (rest == k && floor & 1 == 1))
        }
    }
}

impl Divide for i32 {
    const EXACT: bool = true;
    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }
    #[inline(always)]
    fn divide(sums: &mut [Self], divisor: &Divisor) {
        if divisor.below <= ODD && divisor.k % 2 == 1 && divisor.rounding == Rounding::HalfEven {
            const SHIFT: f32 = 12_582_912.0;
            let inverse = 1.0 / divisor.k as f32;
            for sum in sums {
                let quotient = *sum as f32 * inverse;
                *sum = ((quotient + SHIFT).to_bits() as Self).wrapping_sub(SHIFT.to_bits() as Self);
            }
        } else if divisor.below <= F32 {
            through!(sums, divisor, Self, f32, 12_582_912.0, Self);
        } else {
            through!(sums, divisor, Self, f64, 6_755_399_441_055_744.0, i64);
        }
    }
}

impl Divide for i64 {
    const EXACT: bool = true;
    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }
    #[inline(always)]
    fn divide(sums: &mut [Self], divisor: &Divisor) {
        if divisor.below <= F64 {
            through!(sums, divisor, Self, f64, 6_755_399_441_055_744.0, Self);
        } else {
            for sum in sums {
                *sum = exact((*sum).into(), divisor.k.into(), divisor.rounding) as Self;
            }
        }
    }
}

impl Divide for i128 {
    const EXACT: bool = true;
    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }
    fn divide(sums: &mut [Self], divisor: &Divisor) {
        for sum in sums {
            *sum = exact(*sum, divisor.k.into(), divisor.rounding);
        }
    }
}

/// The division of sums of `255 k` and a half of `k` at the most, if there is such a multiplier: with
/// `m = ceil(2^(16 + s) / k)` it is exact for every `n` with `n e < 2^(16 + s)`, `e = m k - 2^(16 + s) < k`.
pub(super) fn narrow(k: u64) -> Option<NarrowDivisor> {
    let k = u16::try_from(k).ok().filter(|&k| (2..=256).contains(&k))?;
    // A power of two would need the multiplier 2^16.
    let shift = k.ilog2() - u32::from(k.is_power_of_two());
    let power = 1_u32 << (16 + shift);
    let multiplier = power.div_ceil(k.into());
    let excess = multiplier * u32::from(k) - power;
    let most = 255 * u32::from(k) + u32::from(k) / 2;
    let fits = multiplier < 1 << 16 && u64::from(most) * u64::from(excess) < power.into();
    fits.then_some(NarrowDivisor { k, multiplier: multiplier as u16, shift })
}

/// The division of sums below 2^31 whose quotients are bytes.
///
/// # Panics
/// If the divisor is one of more than 31 bits.
pub(super) fn wide(k: u64) -> WideDivisor {
    let is_near = k % 2 == 1 && 255 * u128::from(k) < ODD;
    WideDivisor { k: i32::try_from(k).expect("a divisor of 31 bits"), inverse: 1.0 / k as f32, is_near }
}

/// The quotients, cut off, each as what is wanted.
#[inline(always)]
pub(super) fn cut_off<T>(sums: &[u16], by: NarrowDivisor, into: &mut [T], wanted: impl Fn(u16) -> T) {
    let n = into.len();
    let sums = &sums[..n];
    for x in 0..n {
        let upper = ((u32::from(sums[x]) * u32::from(by.multiplier)) >> 16) as u16;
        into[x] = wanted(upper >> by.shift);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_divide_as_whole_numbers_do() {
        let mut found = 0;
        for k in 2..=256_u64 {
            let Some(divisor) = narrow(k) else { continue };
            found += 1;
            let sums: Vec<u16> = (0..=255 * k as u16).collect();
            let mut quotients = vec![0_u8; sums.len()];
            cut_off(&sums, divisor, &mut quotients, |q| q as u8);
            for (i, &sum) in sums.iter().enumerate() {
                assert_eq!(
                    i128::from(quotients[i]),
                    exact(sum.into(), k.into(), Rounding::Truncate),
                    "{sum} / {k}"
                );
            }
        }
        assert!(found > 200 && (2..=128).all(|k| narrow(k).is_some()));
    }

    #[test]
    fn sums_round_to_bytes_as_whole_numbers_do() {
        for k in [1, 2, 3, 10, 255, 257, 961, 2601, 4111, 4113, 22_500, 66_049, 8_421_504] {
            let divisor = wide(k);
            let halves = (0..=510).flat_map(|q| (-1..=1).map(move |by| (q * k as i64 / 2 + by).max(0)));
            for sum in halves.filter(|&sum| sum <= 255 * k as i64) {
                let expected = exact(sum.into(), k.into(), Rounding::HalfEven);
                assert_eq!(i128::from(divisor.of(sum as i32)), expected, "{sum} / {k}");
            }
        }
    }

    #[test]
    fn floats_divide_whole_numbers_exactly_below_their_bounds() {
        for k in [1_u64, 2, 3, 7, 9, 10, 49, 961, 2601, 4_194_303] {
            for rounding in [Rounding::Truncate, Rounding::HalfEven] {
                let near: Vec<i64> = (0..400)
                    .map(|i| (i - 200) * k as i64 / 2 + i % 3 - 1)
                    .chain((0..50).map(|i| 4_194_303 - i))
                    .collect();
                for limit in [F32 as i64, F64 as i64, i64::MAX] {
                    let scaled: Vec<i64> =
                        near.iter().map(|&s| s.clamp(1 - F32 as i64, F32 as i64 - 1)).collect();
                    let divisor = Divisor::new(k, rounding, limit as u128 - 1);
                    let mut wide = scaled.clone();
                    i64::divide(&mut wide, &divisor);
                    let mut narrow: Vec<i32> = scaled.iter().map(|&s| s as i32).collect();
                    i32::divide(&mut narrow, &divisor);
                    for (i, &sum) in scaled.iter().enumerate() {
                        let expected = exact(sum.into(), k.into(), rounding);
                        assert_eq!(i128::from(wide[i]), expected, "{sum} / {k} {rounding:?}");
                        assert_eq!(i128::from(narrow[i]), expected, "{sum} / {k} {rounding:?}");
                    }
                }
            }
        }
    }
}
