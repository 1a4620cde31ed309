//! AVX2 with FMA (`x86-64-v3`) and AVX-512 (`x86-64-v4`): with the folder beside it, the vectors' intrinsics.
//!
//! The features that `detect` asks for and those that `vectorize` enables are the same tokens.
#![expect(unsafe_code, reason = "intrinsics; each is reached through a token that detection made")]

use super::portable::Lanes;
use super::{Simd, Vector};
use moves::{
    crossed_pd, crossed_ps, evens_pd, evens_ps, load_some_f32x8, load_some_f32x16, load_some_f64x4,
    load_some_f64x8, odds_pd, odds_ps, store_sums_32_256, store_sums_32_512, store_sums_64_256,
    store_sums_64_512, transpose_f32x8, transpose_f32x16, transpose_f64x4, transpose_f64x8,
};
use std::arch::x86_64::*;

mod bytes;
mod halves;
mod moves;

macro_rules! token {
    ($(#[$doc:meta])* $token:ident, [$($feature:tt),*],
     $f32:ty, $f64:ty, $unfused:ty, $i16:ty, $i32:ty, $i64:ty, $pairs:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $token(());

        impl Simd for $token {
            type F32 = $f32;
            type F64 = $f64;
            type F64Unfused = $unfused;
            type I16 = $i16;
            type I32 = $i32;
            type I64 = $i64;
            type I128 = Lanes<i128, 1, false>;
            type I16Pairs = $pairs;

            #[inline]
            fn detect() -> Option<Self> {
                ($(is_x86_feature_detected!($feature))&&*).then_some(Self(()))
            }
            #[inline(always)]
            fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
                $(#[target_feature(enable = $feature)])*
                fn enter<R>(f: impl FnOnce() -> R) -> R {
                    f()
                }
                // SAFETY: a token is made by `detect` alone, which found every feature.
                unsafe { enter(f) }
            }
        }
    };
}

token! {
    /// AVX2, FMA, F16C and BMI.
    V3, ["avx2", "fma", "f16c", "bmi1", "bmi2"],
    F32x8, F64x4, F64x4Unfused, I16x16, I32x8, I64x4, I16x16Pairs
}
token! {
    /// AVX-512 F, BW, DQ and VL, on top of `x86-64-v3`.
    V4, ["avx2", "fma", "f16c", "bmi1", "bmi2", "avx512f", "avx512bw", "avx512dq", "avx512vl"],
    F32x16, F64x8, F64x8Unfused, I16x32, I32x16, I64x8, I16x32Pairs
}

token! {
    /// AVX-512 VNNI, on top of `x86-64-v4`.
    V4Vnni, ["avx2", "fma", "f16c", "bmi1", "bmi2", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"],
    F32x16, F64x8, F64x8Unfused, I16x32Vnni, I32x16, I64x8, I16x32PairsVnni
}

macro_rules! vector {
    ($name:ident, $elem:ty, $lanes:literal, $reg:ty, $ptr:ty, $splat:ident, $load:ident, $store:ident,
     $add:ident, $sub:ident, |$acc:ident, $a:ident, $b:ident| $mul_add:expr
     $(, $mul_sub:ident, $transpose:ident, |$x:ident, $y:ident| stays $stays:expr, nan $nan:expr, equal $equal:expr,
     |$mask:ident, $off:ident, $on:ident| choose $choose:expr, $zero:ident, $max:ident,
     |$low:ident, $high:ident| dealt $even:expr, $odd:expr, $load_some:ident, $store_sums:ident)?) => {
        #[doc = concat!(stringify!($lanes), " lanes of `", stringify!($elem), "`.")]
        #[derive(Clone, Copy, Debug)]
        pub struct $name($reg);

        // SAFETY, for each block below: a vector type is only named through a token's associated
        // types, inside `vectorize`, so the CPU has the instruction.
        impl Vector for $name {
            type Elem = $elem;
            const LANES: usize = $lanes;
            // AVX-512 doubles the number of registers along with their width.
            const REGISTERS: usize = size_of::<$reg>() / 2;

            #[inline(always)]
            fn splat(x: $elem) -> Self {
                // SAFETY: see the note on this impl.
                Self(unsafe { $splat(x) })
            }
            #[inline(always)]
            unsafe fn load(from: *const $elem) -> Self {
                // SAFETY: the caller vouches for the elements; an unaligned load.
                Self(unsafe { $load(from.cast::<$ptr>()) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $elem) {
                // SAFETY: the caller vouches for the elements; an unaligned store.
                unsafe { $store(to.cast::<$ptr>(), self.0) }
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                let ($acc, $a, $b) = (self.0, a.0, b.0);
                // SAFETY: see the note on this impl.
                Self(unsafe { $mul_add })
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: see the note on this impl.
                Self(unsafe { $add(self.0, other.0) })
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                // SAFETY: see the note on this impl.
                Self(unsafe { $sub(self.0, other.0) })
            }
            $(
                #[inline(always)]
                fn mul_sub(self, a: Self, b: Self) -> Self {
                    // SAFETY: see the note on this impl.
                    Self(unsafe { $mul_sub(a.0, b.0, self.0) })
                }
                #[inline(always)]
                unsafe fn transpose(
                    from: *const $elem,
                    step: usize,
                    to: *mut $elem,
                    to_step: usize,
                    size: [usize; 2],
                ) {
                    // SAFETY: the caller vouches for the squares; see the note on this impl.
                    unsafe { $transpose(from, step, to, to_step, size) }
                }
                #[inline(always)]
                unsafe fn load_some(from: *const $elem, which: u32, rest: Self) -> Self {
                    // SAFETY: the caller vouches for the elements; see the note on this impl.
                    Self(unsafe { $load_some(from, which, rest.0) })
                }
                #[inline(always)]
                fn deal(self, further: Self) -> [Self; 2] {
                    let ($low, $high) = (self.0, further.0);
                    // SAFETY: see the note on this impl.
                    unsafe { [Self($even), Self($odd)] }
                }
                #[inline(always)]
                fn where_equal(self, other: Self, value: Self) -> Self {
                    let ($x, $y) = (self.0, other.0);
                    // SAFETY: see the note on this impl.
                    Self(unsafe {
                        let ($mask, $off, $on) = ($equal, $zero(), value.0);
                        $choose
                    })
                }
                #[inline(always)]
                fn greatest(self, later: Self, mine: Self, its: Self) -> (Self, Self) {
                    let ($x, $y) = (self.0, later.0);
                    // SAFETY: see the note on this impl.
                    unsafe {
                        let $mask = $stays;
                        let ($off, $on) = ($y, $x);
                        let greater = $choose;
                        let ($off, $on) = (its.0, mine.0);
                        (Self(greater), Self($choose))
                    }
                }
                #[inline(always)]
                fn greater(self, later: Self) -> Self {
                    let $y = later.0;
                    // SAFETY: see the note on this impl.
                    unsafe {
                        // Of equals, and where either is a NaN, the instruction gives the second.
                        let ($mask, $off, $on) = ($nan, $max($y, self.0), $y);
                        Self($choose)
                    }
                }
                #[inline(always)]
                unsafe fn store_sums(self, starts: *const i64, base: i64, to: *mut i64) {
                    // SAFETY: the caller vouches for the elements; see the note on this impl.
                    unsafe { $store_sums(self.0, starts, base, to) }
                }
            )?
        }
    };
}

/// The low 64 bits of 64-bit products, which AVX2 has no instruction for:
/// `lo(a) lo(b) + ((lo(a) hi(b) + hi(a) lo(b)) << 32)`.
#[inline]
#[target_feature(enable = "avx2")]
fn mullo_epi64_avx2(a: __m256i, b: __m256i) -> __m256i {
    let cross = _mm256_mullo_epi32(a, _mm256_shuffle_epi32::<0b10_11_00_01>(b));
    let cross = _mm256_add_epi32(cross, _mm256_srli_epi64::<32>(cross));
    _mm256_add_epi64(_mm256_mul_epu32(a, b), _mm256_slli_epi64::<32>(cross))
}

vector!(
    F32x8,
    f32,
    8,
    __m256,
    f32,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    |acc, a, b| _mm256_fmadd_ps(a, b, acc),
    _mm256_fnmadd_ps,
    transpose_f32x8,
    |x, y| stays _mm256_and_ps(_mm256_cmp_ps::<_CMP_NGT_UQ>(y, x), _mm256_cmp_ps::<_CMP_ORD_Q>(y, y)),
    nan _mm256_cmp_ps::<_CMP_UNORD_Q>(y, y),
    equal _mm256_cmp_ps::<_CMP_EQ_OQ>(x, y),
    |mask, off, on| choose _mm256_blendv_ps(off, on, mask),
    _mm256_setzero_ps,
    _mm256_max_ps,
    |low, high| dealt crossed_ps(_mm256_shuffle_ps::<0x88>(low, high)), crossed_ps(_mm256_shuffle_ps::<0xDD>(low, high)),
    load_some_f32x8,
    store_sums_32_256
);
vector!(
    F64x4,
    f64,
    4,
    __m256d,
    f64,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_add_pd,
    _mm256_sub_pd,
    |acc, a, b| _mm256_fmadd_pd(a, b, acc),
    _mm256_fnmadd_pd,
    transpose_f64x4,
    |x, y| stays _mm256_and_pd(_mm256_cmp_pd::<_CMP_NGT_UQ>(y, x), _mm256_cmp_pd::<_CMP_ORD_Q>(y, y)),
    nan _mm256_cmp_pd::<_CMP_UNORD_Q>(y, y),
    equal _mm256_cmp_pd::<_CMP_EQ_OQ>(x, y),
    |mask, off, on| choose _mm256_blendv_pd(off, on, mask),
    _mm256_setzero_pd,
    _mm256_max_pd,
    |low, high| dealt crossed_pd(_mm256_unpacklo_pd(low, high)), crossed_pd(_mm256_unpackhi_pd(low, high)),
    load_some_f64x4,
    store_sums_64_256
);
vector!(
    F64x4Unfused,
    f64,
    4,
    __m256d,
    f64,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_add_pd,
    _mm256_sub_pd,
    |acc, a, b| _mm256_add_pd(acc, _mm256_mul_pd(a, b))
);
vector!(
    I16x16,
    i16,
    16,
    __m256i,
    __m256i,
    _mm256_set1_epi16,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_add_epi16,
    _mm256_sub_epi16,
    |acc, a, b| _mm256_add_epi16(acc, _mm256_mullo_epi16(a, b))
);
vector!(
    I32x8,
    i32,
    8,
    __m256i,
    __m256i,
    _mm256_set1_epi32,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_add_epi32,
    _mm256_sub_epi32,
    |acc, a, b| _mm256_add_epi32(acc, _mm256_mullo_epi32(a, b))
);
vector!(
    I16x16Pairs,
    i32,
    8,
    __m256i,
    __m256i,
    _mm256_set1_epi32,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_add_epi32,
    _mm256_sub_epi32,
    |acc, a, b| _mm256_add_epi32(acc, _mm256_madd_epi16(a, b))
);
vector!(
    I64x4,
    i64,
    4,
    __m256i,
    __m256i,
    _mm256_set1_epi64x,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_add_epi64,
    _mm256_sub_epi64,
    |acc, a, b| _mm256_add_epi64(acc, mullo_epi64_avx2(a, b))
);

vector!(
    F32x16,
    f32,
    16,
    __m512,
    f32,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    |acc, a, b| _mm512_fmadd_ps(a, b, acc),
    _mm512_fnmadd_ps,
    transpose_f32x16,
    |x, y| stays _mm512_mask_cmp_ps_mask::<_CMP_NGT_UQ>(_mm512_cmp_ps_mask::<_CMP_ORD_Q>(y, y), y, x),
    nan _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(y, y),
    equal _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(x, y),
    |mask, off, on| choose _mm512_mask_blend_ps(mask, off, on),
    _mm512_setzero_ps,
    _mm512_max_ps,
    |low, high| dealt _mm512_permutex2var_ps(low, evens_ps(), high), _mm512_permutex2var_ps(low, odds_ps(), high),
    load_some_f32x16,
    store_sums_32_512
);
vector!(
    F64x8,
    f64,
    8,
    __m512d,
    f64,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_add_pd,
    _mm512_sub_pd,
    |acc, a, b| _mm512_fmadd_pd(a, b, acc),
    _mm512_fnmadd_pd,
    transpose_f64x8,
    |x, y| stays _mm512_mask_cmp_pd_mask::<_CMP_NGT_UQ>(_mm512_cmp_pd_mask::<_CMP_ORD_Q>(y, y), y, x),
    nan _mm512_cmp_pd_mask::<_CMP_UNORD_Q>(y, y),
    equal _mm512_cmp_pd_mask::<_CMP_EQ_OQ>(x, y),
    |mask, off, on| choose _mm512_mask_blend_pd(mask, off, on),
    _mm512_setzero_pd,
    _mm512_max_pd,
    |low, high| dealt _mm512_permutex2var_pd(low, evens_pd(), high), _mm512_permutex2var_pd(low, odds_pd(), high),
    load_some_f64x8,
    store_sums_64_512
);
vector!(
    F64x8Unfused,
    f64,
    8,
    __m512d,
    f64,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_add_pd,
    _mm512_sub_pd,
    |acc, a, b| _mm512_add_pd(acc, _mm512_mul_pd(a, b))
);
vector!(
    I16x32,
    i16,
    32,
    __m512i,
    __m512i,
    _mm512_set1_epi16,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_add_epi16,
    _mm512_sub_epi16,
    |acc, a, b| _mm512_add_epi16(acc, _mm512_mullo_epi16(a, b))
);
vector!(
    I16x32Vnni,
    i16,
    32,
    __m512i,
    __m512i,
    _mm512_set1_epi16,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_add_epi16,
    _mm512_sub_epi16,
    |acc, a, b| _mm512_add_epi16(acc, _mm512_mullo_epi16(a, b))
);
vector!(
    I32x16,
    i32,
    16,
    __m512i,
    __m512i,
    _mm512_set1_epi32,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_add_epi32,
    _mm512_sub_epi32,
    |acc, a, b| _mm512_add_epi32(acc, _mm512_mullo_epi32(a, b))
);
vector!(
    I16x32Pairs,
    i32,
    16,
    __m512i,
    __m512i,
    _mm512_set1_epi32,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_add_epi32,
    _mm512_sub_epi32,
    |acc, a, b| _mm512_add_epi32(acc, _mm512_madd_epi16(a, b))
);
vector!(
    I16x32PairsVnni,
    i32,
    16,
    __m512i,
    __m512i,
    _mm512_set1_epi32,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_add_epi32,
    _mm512_sub_epi32,
    |acc, a, b| _mm512_dpwssd_epi32(acc, a, b)
);
vector!(
    I64x8,
    i64,
    8,
    __m512i,
    __m512i,
    _mm512_set1_epi64,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_add_epi64,
    _mm512_sub_epi64,
    |acc, a, b| _mm512_add_epi64(acc, _mm512_mullo_epi64(a, b))
);
