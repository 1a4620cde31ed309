//! Quotients of whole numbers, exact, in vectors.
//!
//! A quotient `s / k` that is no integer is `1 / k` or more away from the next one, and no tie is nearer
//! than `1 / (2 k)`; a float of `p` bits is that fine while `s` and `k` stay below `2^(p - 1)`.

use crate::dtype::{Accumulator, Rounding};

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

/// Sums of bytes in 16 bits, divided by a multiplication: `floor(n / k) = n m >> (16 + s)` with
/// `m = ceil(2^(16 + s) / k)`, exact for every `n` with `n e < 2^(16 + s)`, `e = m k - 2^(16 + s) < k`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByteDivisor {
    k: u16,
    multiplier: u16,
    shift: u32,
    rounding: Rounding,
}

impl ByteDivisor {
    /// For sums of `255 k` at the most, if there is such a multiplier.
    pub(super) fn new(k: u64, rounding: Rounding) -> Option<Self> {
        let k = u16::try_from(k).ok().filter(|&k| (1..=256).contains(&k))?;
        let shift = k.ilog2();
        let power = 1_u32 << (16 + shift);
        let multiplier = power.div_ceil(k.into());
        let excess = multiplier * u32::from(k) - power;
        let most = 255 * u32::from(k) + u32::from(k) / 2;
        // A power of two would need the multiplier 2^16: it shifts alone.
        let fits = k.is_power_of_two()
            || (multiplier < 1 << 16 && u64::from(most) * u64::from(excess) < power.into());
        fits.then_some(Self {
            k,
            multiplier: if k.is_power_of_two() { 0 } else { multiplier as u16 },
            shift,
            rounding,
        })
    }

    #[inline(always)]
    fn floor(self, n: u16) -> u16 {
        ((u32::from(n) * u32::from(self.multiplier)) >> 16) as u16 >> self.shift
    }

    /// The quotients.
    #[inline(always)]
    pub(super) fn divide(self, sums: &[u16], into: &mut [u8]) {
        self.each(
            sums,
            into,
            #[inline(always)]
            |q| q as u8,
        );
    }

    /// `n / 2^s`, half to even.
    #[inline(always)]
    fn shifted(self, n: u16) -> u16 {
        let half = (self.k >> 1).wrapping_sub(u16::from(self.k > 1));
        (n + half + ((n >> self.shift) & u16::from(self.k > 1))) >> self.shift
    }

    #[inline(always)]
    fn nearest(self, n: u16) -> u16 {
        let n = n + self.k / 2;
        let q = self.floor(n);
        // A tie: the even one of two.
        let tie = u16::from(n == q.wrapping_mul(self.k)) & q & 1;
        q - tie
    }

    /// The quotients, each made by `narrow` into what is wanted.
    #[inline(always)]
    pub(super) fn each<T>(self, sums: &[u16], into: &mut [T], narrow: impl Fn(u16) -> T) {
        let n = into.len();
        let sums = &sums[..n];
        match (self.multiplier, self.rounding) {
            (0, Rounding::Truncate) => {
                for x in 0..n {
                    into[x] = narrow(sums[x] >> self.shift);
                }
            }
            (0, Rounding::HalfEven) => {
                for x in 0..n {
                    into[x] = narrow(self.shifted(sums[x]));
                }
            }
            (_, Rounding::Truncate) => {
                for x in 0..n {
                    into[x] = narrow(self.floor(sums[x]));
                }
            }
            // An odd divisor has no ties.
            (_, Rounding::HalfEven) if self.k % 2 == 1 => {
                for x in 0..n {
                    into[x] = narrow(self.floor(sums[x] + self.k / 2));
                }
            }
            (_, Rounding::HalfEven) => {
                for x in 0..n {
                    into[x] = narrow(self.nearest(sums[x]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_divide_as_whole_numbers_do() {
        for k in 1..=256_u64 {
            for rounding in [Rounding::Truncate, Rounding::HalfEven] {
                let Some(divisor) = ByteDivisor::new(k, rounding) else { continue };
                let sums: Vec<u16> = (0..=255 * k as u16).collect();
                let mut quotients = vec![0_u8; sums.len()];
                divisor.divide(&sums, &mut quotients);
                for (i, &sum) in sums.iter().enumerate() {
                    let expected = exact(sum.into(), k.into(), rounding);
                    assert_eq!(i128::from(quotients[i]), expected, "{sum} / {k} {rounding:?}");
                }
            }
        }
        assert!((1..=128).all(|k| ByteDivisor::new(k, Rounding::HalfEven).is_some()));
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
