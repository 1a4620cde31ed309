//! Words of two bytes, and quotients: a multiplication by the inverse, in 16 bits or through `f32`.

use super::halves::Register;
use super::{I16x16, I16x32, I16x32Vnni};
use crate::simd::{Bytes, NarrowDivisor, Vector, WideDivisor};
use std::arch::x86_64::*;

macro_rules! bytes {
    ($name:ident, $reg:ty, $min:ident, $max:ident, $left:ident,
     |$even:ident, $odd:ident| $in_turn:expr) => {
        // SAFETY, for each block below: as for `vector!`.
        impl Bytes for $name {
            #[inline(always)]
            fn even(self) -> Self {
                // SAFETY: see the note on this impl.
                unsafe { Self(self.0.and(<$reg>::splat(0x00FF_00FF))) }
            }
            #[inline(always)]
            fn odd(self) -> Self {
                // SAFETY: see the note on this impl.
                unsafe { Self(self.0.right_words(_mm_cvtsi32_si128(8))) }
            }
            #[inline(always)]
            fn side_by_side(even: Self, odd: Self) -> Self {
                // Bytes leave the upper half of a word free: shifts of 32 bits do.
                // SAFETY: see the note on this impl.
                unsafe { Self(even.0.or(odd.0.left(_mm_cvtsi32_si128(8)))) }
            }
            #[inline(always)]
            fn in_turn(even: Self, odd: Self) -> [Self; 2] {
                let ($even, $odd) = (even.0, odd.0);
                // SAFETY: see the note on this impl.
                let [low, high] = unsafe { $in_turn };
                [Self(low), Self(high)]
            }
            #[inline(always)]
            fn saturated(self) -> Self {
                // SAFETY: see the note on this impl.
                unsafe { Self($min($max(self.0, <$reg>::zero()), Self::splat(255).0)) }
            }
            #[inline(always)]
            fn raised(self) -> Self {
                // SAFETY: see the note on this impl.
                unsafe { Self($left(self.0, _mm_cvtsi32_si128(8))) }
            }
            #[inline(always)]
            fn quotients<const EVEN: bool>(self, by: NarrowDivisor) -> Self {
                // SAFETY: see the note on this impl.
                unsafe {
                    let shift = _mm_cvtsi32_si128(by.shift as i32);
                    let floor = self.0.high_words(Self::splat(by.multiplier as i16).0).right_words(shift);
                    if !EVEN {
                        return Self(floor);
                    }
                    // A tie: the even one of two.
                    let tie = self.0.equal_words(floor.low_words(Self::splat(by.k as i16).0));
                    Self(floor).sub(Self(tie.and(floor.and(Self::splat(1).0))))
                }
            }
            #[inline(always)]
            unsafe fn read_sums(from: *const i32) -> Self::Sums {
                // SAFETY: the caller's promise.
                unsafe { [Register::load(from.cast()), Register::load(from.add(Self::LANES / 2).cast())] }
            }
            #[inline(always)]
            unsafe fn write_sums(sums: Self::Sums, to: *mut i32) {
                // SAFETY: the caller's promise.
                unsafe {
                    sums[0].store(to.cast());
                    sums[1].store(to.add(Self::LANES / 2).cast());
                }
            }
            #[inline(always)]
            fn replace(sums: Self::Sums, new: Self, old: Self) -> Self::Sums {
                // Words are dealt to sums as bytes are to words.
                // SAFETY: see the note on this impl.
                unsafe {
                    let (lower, by) = (<$reg>::splat(0xFFFF), _mm_cvtsi32_si128(16));
                    [
                        sums[0].add(new.0.and(lower)).sub(old.0.and(lower)),
                        sums[1].add(new.0.right(by)).sub(old.0.right(by)),
                    ]
                }
            }
            #[inline(always)]
            fn quotients_of<const EXACT: bool>(sums: Self::Sums, by: WideDivisor) -> Self {
                // SAFETY: see the note on this impl.
                unsafe {
                    let (mut near, k) = (sums, <$reg>::splat(by.k));
                    for near in &mut near {
                        let sum = *near;
                        *near = sum.multiplied(by.inverse);
                        if EXACT {
                            // As `WideDivisor::of`; what is greater is -1.
                            let left = sum.sub(near.mul(k));
                            let (twice, bound) = (left.add(left), k.sub(near.and(<$reg>::splat(1))));
                            let up = twice.greater(bound);
                            *near = near.sub(up).add(<$reg>::zero().sub(twice).greater(bound));
                        }
                    }
                    let [even, odd] = near;
                    Self(even.or(odd.left(_mm_cvtsi32_si128(16))))
                }
            }
        }
    };
}

/// Places of words in turn from two registers, from one on.
const fn places(first: i16) -> [i16; 32] {
    let mut places = [0; 32];
    let mut l = 0;
    while l < 32 {
        places[l as usize] = first + l / 2 + if l % 2 == 1 { 32 } else { 0 };
        l += 1;
    }
    places
}

/// The words of two registers in turn.
#[inline]
#[target_feature(enable = "avx512bw")]
fn in_turn_512(even: __m512i, odd: __m512i) -> [__m512i; 2] {
    const PLACES: [[i16; 32]; 2] = [places(0), places(16)];
    PLACES.map(
        #[inline(always)]
        |places| {
            // SAFETY: an array of the register's size.
            let places = unsafe { _mm512_loadu_si512(places.as_ptr().cast()) };
            _mm512_permutex2var_epi16(even, places, odd)
        },
    )
}

/// The same.
#[inline]
#[target_feature(enable = "avx2")]
fn in_turn_256(even: __m256i, odd: __m256i) -> [__m256i; 2] {
    // Within 16 bytes, whose halves are then put side by side.
    let (low, high) = (_mm256_unpacklo_epi16(even, odd), _mm256_unpackhi_epi16(even, odd));
    [_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high)]
}

bytes!(I16x16, __m256i, _mm256_min_epi16, _mm256_max_epi16, _mm256_sll_epi16, |even, odd| in_turn_256(
    even, odd
));
bytes!(I16x32, __m512i, _mm512_min_epi16, _mm512_max_epi16, _mm512_sll_epi16, |even, odd| in_turn_512(
    even, odd
));
bytes!(I16x32Vnni, __m512i, _mm512_min_epi16, _mm512_max_epi16, _mm512_sll_epi16, |even, odd| in_turn_512(
    even, odd
));
