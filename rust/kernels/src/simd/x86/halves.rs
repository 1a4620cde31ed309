//! Products of 16 bits in pairs: `vpmaddwd`, and `vpdpwssd`, which adds to the sums too.

use super::{I16x16, I16x32, I16x32Vnni};
use crate::simd::{Halves, Truncated, Two, Vector};
use std::arch::asm;
use std::arch::x86_64::*;

/// A register of integers.
///
/// # Safety
/// Of every method: the CPU has the instruction set whose register it is. What is loaded is valid for reading a register.
pub(super) trait Register: Copy {
    unsafe fn load(from: *const i16) -> Self;
    unsafe fn store(self, to: *mut i16);
    unsafe fn zero() -> Self;
    unsafe fn splat(x: i32) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn and(self, other: Self) -> Self;
    unsafe fn or(self, other: Self) -> Self;
    unsafe fn xor(self, other: Self) -> Self;
    /// Shifts of lanes of 32 bits.
    unsafe fn left(self, by: __m128i) -> Self;
    unsafe fn right(self, by: __m128i) -> Self;
    unsafe fn right_signed(self, by: __m128i) -> Self;
    /// Of lanes of 16 bits: a shift, the upper and the lower half of a product, all bits where lanes are equal.
    unsafe fn right_words(self, by: __m128i) -> Self;
    unsafe fn high_words(self, other: Self) -> Self;
    unsafe fn low_words(self, other: Self) -> Self;
    unsafe fn equal_words(self, other: Self) -> Self;
    /// All bits of a lane of 32 bits, if `self` is greater there.
    unsafe fn greater(self, other: Self) -> Self;
    unsafe fn is_zero(self) -> bool;
    /// Lanes of 32 bits, without the bit of `odd` where they have none of those of `fraction`.
    unsafe fn made_even(self, fraction: Self, odd: Self) -> Self;
    /// The lower halves of lanes of 32 bits, below the upper ones of `other`.
    unsafe fn below(self, other: Self) -> Self;
    /// Lanes of 16 bits of both, side by side; of each 16 bytes the lower half, and the upper one.
    unsafe fn low_pairs(self, other: Self) -> Self;
    unsafe fn high_pairs(self, other: Self) -> Self;
    /// Undoes them for lanes of 32 bits, saturated to 16.
    unsafe fn pack(self, other: Self) -> Self;
    /// Bytes as lanes of 16 bits.
    unsafe fn widened(from: *const u8) -> Self;
    /// Lanes of 16 bits of both, one after the other, as the nearest bytes.
    unsafe fn bytes(self, other: Self) -> Self;
    /// Within each 16 bytes.
    unsafe fn shuffle(self, order: __m128i) -> Self;
    unsafe fn dot(self, other: Self) -> Self;
    /// Numbers of 32 bits, as `f32`, times `unit`, rounded to numbers of 32 bits again.
    unsafe fn multiplied(self, unit: f32) -> Self;
}

macro_rules! register {
    ($reg:ty { $($method:ident: $intrinsic:path,)* } $load:path, $store:path, $zero:path, $splat:path, $broadcast:path, $shuffle:path,
     |$a:ident, $b:ident| $greater:expr, $equal:expr, $is_zero:expr, $bytes:expr,
     |$of:ident, $fraction:ident, $odd:ident| $made_even:expr, |$low:ident, $high:ident| $below:expr,
     |$c:ident, $unit:ident| $multiplied:expr,
     $widened:path, $half:ty) => {
        // SAFETY, for each block below: the promise of whoever calls a method.
        impl Register for $reg {
            #[inline(always)]
            unsafe fn load(from: *const i16) -> Self {
                // SAFETY: see the note on this impl.
                unsafe { $load(from.cast()) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut i16) {
                // SAFETY: see the note on this impl.
                unsafe { $store(to.cast(), self) }
            }
            #[inline(always)]
            unsafe fn zero() -> Self {
                // SAFETY: see the note on this impl.
                unsafe { $zero() }
            }
            #[inline(always)]
            unsafe fn splat(x: i32) -> Self {
                // SAFETY: see the note on this impl.
                unsafe { $splat(x) }
            }
            #[inline(always)]
            unsafe fn shuffle(self, order: __m128i) -> Self {
                // SAFETY: see the note on this impl.
                unsafe { $shuffle(self, $broadcast(order)) }
            }
            #[inline(always)]
            unsafe fn greater(self, other: Self) -> Self {
                let ($a, $b) = (self, other);
                // SAFETY: see the note on this impl.
                unsafe { $greater }
            }
            #[inline(always)]
            unsafe fn equal_words(self, other: Self) -> Self {
                let ($a, $b) = (self, other);
                // SAFETY: see the note on this impl.
                unsafe { $equal }
            }
            #[inline(always)]
            unsafe fn bytes(self, other: Self) -> Self {
                let ($a, $b) = (self, other);
                // SAFETY: see the note on this impl.
                unsafe { $bytes }
            }
            #[inline(always)]
            unsafe fn made_even(self, fraction: Self, odd: Self) -> Self {
                let ($of, $fraction, $odd) = (self, fraction, odd);
                // SAFETY: see the note on this impl.
                unsafe { $made_even }
            }
            #[inline(always)]
            unsafe fn below(self, other: Self) -> Self {
                let ($low, $high) = (self, other);
                // SAFETY: see the note on this impl.
                unsafe { $below }
            }
            #[inline(always)]
            unsafe fn widened(from: *const u8) -> Self {
                // SAFETY: see the note on this impl.
                unsafe { $widened(from.cast::<$half>().read_unaligned()) }
            }
            #[inline(always)]
            unsafe fn is_zero(self) -> bool {
                let $a = self;
                // SAFETY: see the note on this impl.
                unsafe { $is_zero }
            }
            #[inline(always)]
            unsafe fn multiplied(self, unit: f32) -> Self {
                let ($c, $unit) = (self, unit);
                // SAFETY: see the note on this impl.
                unsafe { $multiplied }
            }
            $(register!(@ $method, $intrinsic);)*
        }
    };
    (@ left, $intrinsic:path) => { register!(@shift left, $intrinsic); };
    (@ right, $intrinsic:path) => { register!(@shift right, $intrinsic); };
    (@ right_words, $intrinsic:path) => { register!(@shift right_words, $intrinsic); };
    (@ right_signed, $intrinsic:path) => { register!(@shift right_signed, $intrinsic); };
    (@shift $method:ident, $intrinsic:path) => {
        #[inline(always)]
        unsafe fn $method(self, by: __m128i) -> Self {
            // SAFETY: see the note on this impl.
            unsafe { $intrinsic(self, by) }
        }
    };
    (@ $method:ident, $intrinsic:path) => {
        #[inline(always)]
        unsafe fn $method(self, other: Self) -> Self {
            // SAFETY: see the note on this impl.
            unsafe { $intrinsic(self, other) }
        }
    };
}

/// The upper halves of products of words. The intrinsics are products of 32 bits to the compiler, which it makes one
/// instruction of only where neither factor is the same for a whole loop.
macro_rules! mulhi {
    ($name:ident, $reg:ty, $class:ident, $feature:literal) => {
        #[inline]
        #[target_feature(enable = $feature)]
        fn $name(a: $reg, b: $reg) -> $reg {
            let made: $reg;
            // SAFETY: registers in, a register out; the CPU has the instruction, as it has the feature.
            unsafe {
                asm!(
                    "vpmulhuw {made}, {a}, {b}",
                    made = lateout($class) made, a = in($class) a, b = in($class) b,
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
            made
        }
    };
}
mulhi!(mulhi_epu16_256, __m256i, ymm_reg, "avx2");
mulhi!(mulhi_epu16_512, __m512i, zmm_reg, "avx512bw");

register!(
    __m256i {
        add: _mm256_add_epi32,
        sub: _mm256_sub_epi32,
        mul: _mm256_mullo_epi32,
        and: _mm256_and_si256,
        or: _mm256_or_si256,
        xor: _mm256_xor_si256,
        left: _mm256_sll_epi32,
        right: _mm256_srl_epi32,
        right_signed: _mm256_sra_epi32,
        right_words: _mm256_srl_epi16,
        high_words: mulhi_epu16_256,
        low_words: _mm256_mullo_epi16,
        low_pairs: _mm256_unpacklo_epi16,
        high_pairs: _mm256_unpackhi_epi16,
        pack: _mm256_packs_epi32,
        dot: _mm256_madd_epi16,
    }
    _mm256_loadu_si256, _mm256_storeu_si256, _mm256_setzero_si256, _mm256_set1_epi32, _mm256_broadcastsi128_si256, _mm256_shuffle_epi8,
    |a, b| _mm256_cmpgt_epi32(a, b), _mm256_cmpeq_epi16(a, b), _mm256_testz_si256(a, a) == 1,
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi16(a, b)),
    |of, fraction, odd| _mm256_andnot_si256(
        _mm256_and_si256(_mm256_cmpeq_epi32(_mm256_and_si256(of, fraction), _mm256_setzero_si256()), odd),
        of
    ),
    |low, high| _mm256_blend_epi16::<0b1010_1010>(low, high),
    |a, unit| _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(a), _mm256_set1_ps(unit))),
    _mm256_cvtepu8_epi16, __m128i
);
register!(
    __m512i {
        add: _mm512_add_epi32,
        sub: _mm512_sub_epi32,
        mul: _mm512_mullo_epi32,
        and: _mm512_and_si512,
        or: _mm512_or_si512,
        xor: _mm512_xor_si512,
        left: _mm512_sll_epi32,
        right: _mm512_srl_epi32,
        right_signed: _mm512_sra_epi32,
        right_words: _mm512_srl_epi16,
        high_words: mulhi_epu16_512,
        low_words: _mm512_mullo_epi16,
        low_pairs: _mm512_unpacklo_epi16,
        high_pairs: _mm512_unpackhi_epi16,
        pack: _mm512_packs_epi32,
        dot: _mm512_madd_epi16,
    }
    _mm512_loadu_si512, _mm512_storeu_si512, _mm512_setzero_si512, _mm512_set1_epi32, _mm512_broadcast_i32x4, _mm512_shuffle_epi8,
    |a, b| _mm512_movm_epi32(_mm512_cmpgt_epi32_mask(a, b)), _mm512_movm_epi16(_mm512_cmpeq_epi16_mask(a, b)),
    _mm512_test_epi32_mask(a, a) == 0,
    _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), _mm512_packus_epi16(a, b)),
    |of, fraction, odd| _mm512_mask_andnot_epi32(of, _mm512_testn_epi32_mask(of, fraction), odd, of),
    |low, high| _mm512_mask_blend_epi16(0xaaaa_aaaa, low, high),
    |a, unit| _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(a), _mm512_set1_ps(unit))),
    _mm512_cvtepu8_epi16, __m256i
);

/// Pairs that a register has.
const TURN: usize = 16;

/// [`Halves::dot_along`] for registers of 64 bytes: samples further on are turned together from two registers. Nearly all
/// loads of them would straddle cache lines.
macro_rules! dot_along {
    () => {
        #[inline(always)]
        unsafe fn dot_along<const NV: usize>(
            mut sums: [Self::Sums; NV],
            row: *const i16,
            length: usize,
            weights: &[[Two; 2]],
        ) -> [Self::Sums; NV] {
            for (turn, weights) in weights.chunks(TURN).enumerate() {
                let done = 2 * turn * TURN;
                // SAFETY: the samples are the caller's promise.
                let row = unsafe { row.add(done) };
                if NV > MOST_TURNED || length < done + (NV + 1) * Self::LANES {
                    for (k, &weights) in weights.iter().enumerate() {
                        for v in 0..NV {
                            // SAFETY: likewise.
                            let samples = unsafe { Self::load(row.add(2 * k + v * Self::LANES)) };
                            sums[v] = Self::dot_twos(sums[v], samples, weights);
                        }
                    }
                    continue;
                }
                // SAFETY: see the note on this impl.
                let mut read = unsafe { [_mm512_setzero_si512(); MOST_TURNED + 1] };
                for v in 0..=NV {
                    // SAFETY: there are so many samples, as was just found.
                    read[v] = unsafe { Register::load(row.add(v * Self::LANES)) };
                }
                macro_rules! turned {
                    ($k:literal) => {
                        if let Some(&weights) = weights.get($k) {
                            for v in 0..NV {
                                // SAFETY: see the note on this impl.
                                let samples = unsafe { _mm512_alignr_epi32::<$k>(read[v + 1], read[v]) };
                                sums[v] = Self::dot_twos(sums[v], Self(samples), weights);
                            }
                        }
                    };
                }
                turned!(0);
                turned!(1);
                turned!(2);
                turned!(3);
                turned!(4);
                turned!(5);
                turned!(6);
                turned!(7);
                turned!(8);
                turned!(9);
                turned!(10);
                turned!(11);
                turned!(12);
                turned!(13);
                turned!(14);
                turned!(15);
            }
            sums
        }
    };
}

/// Vectors whose pairs are turned together.
const MOST_TURNED: usize = 4;

macro_rules! halves {
    ($name:ident, $reg:ty, |$sum:ident, $pair:ident, $weights:ident| $dot:expr $(, $dot_along:ident)?) => {
        // SAFETY, for each block below: as for `vector!`.
        impl Halves for $name {
            type Pairs = [$reg; 2];
            type Sums = [$reg; 2];

            #[inline(always)]
            fn pairs(a: Self, b: Self) -> Self::Pairs {
                // SAFETY: see the note on this impl.
                unsafe { [a.0.low_pairs(b.0), a.0.high_pairs(b.0)] }
            }
            $($dot_along!();)?
            #[inline(always)]
            unsafe fn widened(from: *const u8) -> Self {
                // SAFETY: the caller's promise.
                unsafe { Self(Register::widened(from)) }
            }
            #[inline(always)]
            unsafe fn store_bytes(self, next: Self, to: *mut u8) {
                // SAFETY: the caller's promise.
                unsafe { self.0.bytes(next.0).store(to.cast()) }
            }
            #[inline(always)]
            fn beside(samples: Self, next: Self) -> Self::Pairs {
                [samples.0, next.0]
            }
            #[inline(always)]
            fn dot_twos(sums: Self::Sums, samples: Self, weights: [Two; 2]) -> Self::Sums {
                // SAFETY: see the note on this impl.
                unsafe {
                    let dot = |$sum: $reg, $weights: Two| {
                        let ($pair, $weights) = (samples.0, <$reg>::splat($weights.0));
                        $dot
                    };
                    [dot(sums[0], weights[0]), dot(sums[1], weights[1])]
                }
            }
            #[inline(always)]
            fn dot_alone(sums: Self::Sums, samples: Self, weight: i16) -> Self::Sums {
                // A lane holds a sample of an even sum, and in its upper half one of an odd sum.
                // SAFETY: see the note on this impl.
                unsafe {
                    let dot = |$sum: $reg, $weights: Two| {
                        let ($pair, $weights) = (samples.0, <$reg>::splat($weights.0));
                        $dot
                    };
                    [dot(sums[0], Two::new(weight, 0)), dot(sums[1], Two::new(0, weight))]
                }
            }
            #[inline(always)]
            fn ordered(self) -> Self {
                // Packing left the four even samples before the four odd ones in every 16 bytes.
                // SAFETY: see the note on this impl.
                unsafe {
                    let order = _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
                    Self(self.0.shuffle(order))
                }
            }
            #[inline(always)]
            fn apart(self, a: Self, b: Self) -> Self {
                // SAFETY: see the note on this impl.
                unsafe { Self(self.0.or(a.0.xor(b.0))) }
            }
            #[inline(always)]
            fn is_zero(self) -> bool {
                // SAFETY: see the note on this impl.
                unsafe { self.0.is_zero() }
            }
            #[inline(always)]
            fn sums_of(sum: i32) -> Self::Sums {
                // SAFETY: see the note on this impl.
                unsafe { [Register::splat(sum); 2] }
            }
            #[inline(always)]
            fn dot(sums: Self::Sums, pairs: Self::Pairs, weights: Two) -> Self::Sums {
                // SAFETY: see the note on this impl.
                unsafe {
                    let $weights = <$reg>::splat(weights.0);
                    let dot = |$sum: $reg, $pair: $reg| $dot;
                    [dot(sums[0], pairs[0]), dot(sums[1], pairs[1])]
                }
            }
            #[inline(always)]
            fn plus_parts(sums: Self::Sums, parts: Self::Sums, shift: u32) -> Self::Sums {
                // SAFETY: see the note on this impl.
                unsafe {
                    let shift = _mm_cvtsi32_si128(shift as i32);
                    [sums[0].add(parts[0].right_signed(shift)), sums[1].add(parts[1].right_signed(shift))]
                }
            }
            #[inline(always)]
            fn truncated(sums: Self::Sums, Truncated { shift, above, below }: Truncated) -> (Self, bool) {
                let half = 1 << (shift - 1);
                let width = above + below + 1;
                // SAFETY: see the note on this impl.
                unsafe {
                    // The fraction less a half stands in a lane's upper bits: below the width, if one with a sign is.
                    let (most, centred) = (<$reg>::splat(above), <$reg>::splat(above + half));
                    let width = <$reg>::splat((width - half) << (32 - shift));
                    let (sign, fraction) = (_mm_cvtsi32_si128(31), _mm_cvtsi32_si128(32 - shift as i32));
                    let shift = _mm_cvtsi32_si128(shift as i32);
                    let (mut doubted, mut cut) = (<$reg>::zero(), sums);
                    for sum in &mut cut {
                        let near = width.greater(sum.add(centred).left(fraction));
                        // An integer of 0 is none that a sum could be cut off on either side of.
                        doubted = doubted.or(near.and(sum.add(most).right_signed(shift)));
                        // Toward zero: a negative sum goes up by all but one.
                        let up = sum.right_signed(sign).right(fraction);
                        *sum = sum.add(up).right_signed(shift);
                    }
                    (Self(cut[0].pack(cut[1])), !doubted.is_zero())
                }
            }
            #[inline(always)]
            fn narrowed<const EVEN: bool>(sums: Self::Sums, shift: u32) -> Self {
                let [low, high] = Self::made_even::<EVEN>(sums, shift);
                // SAFETY: see the note on this impl.
                unsafe {
                    let shift = _mm_cvtsi32_si128(shift as i32);
                    Self(low.right_signed(shift).pack(high.right_signed(shift)))
                }
            }
            #[inline(always)]
            fn narrowed_beside<const EVEN: bool>(sums: Self::Sums, shift: u32) -> Self {
                let [even, odd] = Self::made_even::<EVEN>(sums, shift);
                // Every odd result is shifted to where it stands, in the upper half of a lane.
                // SAFETY: see the note on this impl.
                unsafe {
                    let odd = match shift.checked_sub(16) {
                        Some(down) => odd.right_signed(_mm_cvtsi32_si128(down as i32)),
                        None => odd.left(_mm_cvtsi32_si128(16 - shift as i32)),
                    };
                    Self(even.right_signed(_mm_cvtsi32_si128(shift as i32)).below(odd))
                }
            }
            #[inline(always)]
            fn multiplied(sums: Self::Sums, unit: f32) -> Self {
                // SAFETY: see the note on this impl.
                unsafe { Self(sums[0].multiplied(unit).pack(sums[1].multiplied(unit))) }
            }
        }

        impl $name {
            /// With `EVEN`, sums whose integers are even if they have no fraction.
            #[inline(always)]
            fn made_even<const EVEN: bool>(mut sums: [$reg; 2], shift: u32) -> [$reg; 2] {
                if EVEN {
                    // SAFETY: see the note on this impl.
                    unsafe {
                        let (fraction, odd) = (<$reg>::splat((1 << shift) - 1), <$reg>::splat(1 << shift));
                        sums = [sums[0].made_even(fraction, odd), sums[1].made_even(fraction, odd)];
                    }
                }
                sums
            }
        }
    };
}

halves!(I16x16, __m256i, |sum, pair, weights| sum.add(pair.dot(weights)));
halves!(I16x32, __m512i, |sum, pair, weights| sum.add(pair.dot(weights)), dot_along);
halves!(I16x32Vnni, __m512i, |sum, pair, weights| dpwssd(sum, pair, weights), dot_along);

/// Adds products to sums. The compiler makes two instructions of some that the intrinsic stands for, where sums are
/// added to again and again, for less latency: none is waited for here.
#[inline]
#[target_feature(enable = "avx512vnni")]
fn dpwssd(sum: __m512i, pair: __m512i, weights: __m512i) -> __m512i {
    let mut sum = sum;
    // SAFETY: registers in, a register out; the CPU has the instruction, as it has the feature.
    unsafe {
        asm!(
            "vpdpwssd {sum}, {pair}, {weights}",
            sum = inlateout(zmm_reg) sum, pair = in(zmm_reg) pair, weights = in(zmm_reg) weights,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}
