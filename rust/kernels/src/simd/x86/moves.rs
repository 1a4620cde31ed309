//! Lanes moved about: transposes, every other lane, loads of some lanes, and stores of lanes widened.
#![expect(unsafe_code, reason = "intrinsics that read and write memory; the callers vouch for it")]

use std::arch::x86_64::*;

/// The quarters in the middle change places.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn crossed_pd(x: __m256d) -> __m256d {
    _mm256_permute4x64_pd::<0b11_01_10_00>(x)
}

/// The quarters in the middle change places.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn crossed_ps(x: __m256) -> __m256 {
    _mm256_castpd_ps(crossed_pd(_mm256_castps_pd(x)))
}

/// # Safety
/// The elements at the bits that are set are valid for reading.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn load_some_f32x8(from: *const f32, which: u32, rest: __m256) -> __m256 {
    let bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    let lanes = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(which.cast_signed()), bits), bits);
    // SAFETY: the caller's promise; the other elements are not read.
    _mm256_blendv_ps(rest, unsafe { _mm256_maskload_ps(from, lanes) }, _mm256_castsi256_ps(lanes))
}

/// # Safety
/// The elements at the bits that are set are valid for reading.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn load_some_f64x4(from: *const f64, which: u32, rest: __m256d) -> __m256d {
    let bits = _mm256_setr_epi64x(1, 2, 4, 8);
    let lanes = _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(i64::from(which)), bits), bits);
    // SAFETY: the caller's promise; the other elements are not read.
    _mm256_blendv_pd(rest, unsafe { _mm256_maskload_pd(from, lanes) }, _mm256_castsi256_pd(lanes))
}

/// # Safety
/// The elements at the bits that are set are valid for reading.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn load_some_f32x16(from: *const f32, which: u32, rest: __m512) -> __m512 {
    // SAFETY: the caller's promise; the other elements are not read.
    unsafe { _mm512_mask_loadu_ps(rest, which as __mmask16, from) }
}

/// # Safety
/// The elements at the bits that are set are valid for reading.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn load_some_f64x8(from: *const f64, which: u32, rest: __m512d) -> __m512d {
    // SAFETY: the caller's promise; the other elements are not read.
    unsafe { _mm512_mask_loadu_pd(rest, which as __mmask8, from) }
}

/// # Safety
/// Eight elements on either side.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn store_sums_32_256(numbers: __m256, starts: *const i64, base: i64, to: *mut i64) {
    let numbers = _mm256_castps_si256(numbers);
    let halves = [_mm256_castsi256_si128(numbers), _mm256_extracti128_si256::<1>(numbers)];
    for (half, numbers) in halves.into_iter().enumerate() {
        let numbers = _mm256_castsi256_pd(_mm256_cvtepu32_epi64(numbers));
        // SAFETY: the caller's promise.
        unsafe { store_sums_64_256(numbers, starts.add(4 * half), base, to.add(4 * half)) }
    }
}

/// # Safety
/// Four elements on either side.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn store_sums_64_256(numbers: __m256d, starts: *const i64, base: i64, to: *mut i64) {
    // SAFETY: the caller's promise.
    unsafe {
        let starts = _mm256_add_epi64(_mm256_loadu_si256(starts.cast()), _mm256_set1_epi64x(base));
        _mm256_storeu_si256(to.cast(), _mm256_add_epi64(_mm256_castpd_si256(numbers), starts));
    }
}

/// # Safety
/// 16 elements on either side.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn store_sums_32_512(numbers: __m512, starts: *const i64, base: i64, to: *mut i64) {
    let numbers = _mm512_castps_si512(numbers);
    let halves = [_mm512_castsi512_si256(numbers), _mm512_extracti64x4_epi64::<1>(numbers)];
    for (half, numbers) in halves.into_iter().enumerate() {
        let numbers = _mm512_castsi512_pd(_mm512_cvtepu32_epi64(numbers));
        // SAFETY: the caller's promise.
        unsafe { store_sums_64_512(numbers, starts.add(8 * half), base, to.add(8 * half)) }
    }
}

/// # Safety
/// Eight elements on either side.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn store_sums_64_512(numbers: __m512d, starts: *const i64, base: i64, to: *mut i64) {
    // SAFETY: the caller's promise.
    unsafe {
        let starts = _mm512_add_epi64(_mm512_loadu_epi64(starts), _mm512_set1_epi64(base));
        _mm512_storeu_epi64(to, _mm512_add_epi64(_mm512_castpd_si512(numbers), starts));
    }
}

macro_rules! every_other {
    ($name:ident, $set:ident, $($lane:expr),*) => {
        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(super) fn $name() -> __m512i {
            $set($($lane),*)
        }
    };
}
every_other!(evens_ps, _mm512_setr_epi32, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
every_other!(odds_ps, _mm512_setr_epi32, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
every_other!(evens_pd, _mm512_setr_epi64, 0, 2, 4, 6, 8, 10, 12, 14);
every_other!(odds_pd, _mm512_setr_epi64, 1, 3, 5, 7, 9, 11, 13, 15);

/// # Safety
/// Eight rows of eight elements on either side.
#[inline]
#[target_feature(enable = "avx")]
pub(super) unsafe fn transpose_f32x8(
    from: *const f32,
    step: usize,
    to: *mut f32,
    to_step: usize,
    _: [usize; 2],
) {
    // SAFETY: the caller's promise.
    let row = |i: usize| unsafe { _mm256_loadu_ps(from.add(i * step)) };
    let (r0, r1, r2, r3, r4, r5, r6, r7) = (row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7));
    // Pairs of rows, then squares of four within each half, then the halves.
    let (a0, a1) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
    let (a2, a3) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
    let (a4, a5) = (_mm256_unpacklo_ps(r4, r5), _mm256_unpackhi_ps(r4, r5));
    let (a6, a7) = (_mm256_unpacklo_ps(r6, r7), _mm256_unpackhi_ps(r6, r7));
    let (b0, b1) = (_mm256_shuffle_ps::<0x44>(a0, a2), _mm256_shuffle_ps::<0xEE>(a0, a2));
    let (b2, b3) = (_mm256_shuffle_ps::<0x44>(a1, a3), _mm256_shuffle_ps::<0xEE>(a1, a3));
    let (b4, b5) = (_mm256_shuffle_ps::<0x44>(a4, a6), _mm256_shuffle_ps::<0xEE>(a4, a6));
    let (b6, b7) = (_mm256_shuffle_ps::<0x44>(a5, a7), _mm256_shuffle_ps::<0xEE>(a5, a7));
    // SAFETY: the caller's promise.
    let put = |j: usize, v: __m256| unsafe { _mm256_storeu_ps(to.add(j * to_step), v) };
    put(0, _mm256_permute2f128_ps::<0x20>(b0, b4));
    put(1, _mm256_permute2f128_ps::<0x20>(b1, b5));
    put(2, _mm256_permute2f128_ps::<0x20>(b2, b6));
    put(3, _mm256_permute2f128_ps::<0x20>(b3, b7));
    put(4, _mm256_permute2f128_ps::<0x31>(b0, b4));
    put(5, _mm256_permute2f128_ps::<0x31>(b1, b5));
    put(6, _mm256_permute2f128_ps::<0x31>(b2, b6));
    put(7, _mm256_permute2f128_ps::<0x31>(b3, b7));
}

/// # Safety
/// Four rows of four elements on either side.
#[inline]
#[target_feature(enable = "avx")]
pub(super) unsafe fn transpose_f64x4(
    from: *const f64,
    step: usize,
    to: *mut f64,
    to_step: usize,
    _: [usize; 2],
) {
    // SAFETY: the caller's promise.
    let row = |i: usize| unsafe { _mm256_loadu_pd(from.add(i * step)) };
    let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
    let (a0, a1) = (_mm256_unpacklo_pd(r0, r1), _mm256_unpackhi_pd(r0, r1));
    let (a2, a3) = (_mm256_unpacklo_pd(r2, r3), _mm256_unpackhi_pd(r2, r3));
    // SAFETY: the caller's promise.
    let put = |j: usize, v: __m256d| unsafe { _mm256_storeu_pd(to.add(j * to_step), v) };
    put(0, _mm256_permute2f128_pd::<0x20>(a0, a2));
    put(1, _mm256_permute2f128_pd::<0x20>(a1, a3));
    put(2, _mm256_permute2f128_pd::<0x31>(a0, a2));
    put(3, _mm256_permute2f128_pd::<0x31>(a1, a3));
}

/// Four squares of half the side, each transposed and put in the other's place; those that don't matter are left out.
macro_rules! transpose_by_quarters {
    ($name:ident, $elem:ty, $side:literal, $quarter:ident) => {
        /// # Safety
        /// As many rows of as many elements as the vector has lanes, on either side.
        #[inline]
        #[target_feature(enable = "avx")]
        pub(super) unsafe fn $name(
            from: *const $elem,
            step: usize,
            to: *mut $elem,
            to_step: usize,
            [rows, cols]: [usize; 2],
        ) {
            for i in [0, $side] {
                for j in [0, $side] {
                    if i < rows && j < cols {
                        let (from, to) = (from.wrapping_add(i * step + j), to.wrapping_add(j * to_step + i));
                        // SAFETY: the caller's promise.
                        unsafe { $quarter(from, step, to, to_step, [$side; 2]) }
                    }
                }
            }
        }
    };
}
transpose_by_quarters!(transpose_f32x16_by_quarters, f32, 8, transpose_f32x8);
transpose_by_quarters!(transpose_f64x8, f64, 4, transpose_f64x4);

/// # Safety
/// 16 rows of 16 elements on either side.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn transpose_f32x16(
    from: *const f32,
    step: usize,
    to: *mut f32,
    to_step: usize,
    size: [usize; 2],
) {
    if size.iter().any(|&n| n <= 8) {
        // SAFETY: the caller's promise.
        return unsafe { transpose_f32x16_by_quarters(from, step, to, to_step, size) };
    }
    for half in [0, 8] {
        // Loads put rows side by side, which takes none of the shuffles that everything here waits for.
        let rows = |i: usize| {
            let row = |i: usize| from.wrapping_add(i * step + half);
            // SAFETY: the caller's promise.
            let [low, high] = [row(i), row(i + 4)].map(|row| unsafe { _mm256_loadu_ps(row) });
            let both = _mm512_castps_pd(_mm512_castps256_ps512(low));
            _mm512_castpd_ps(_mm512_insertf64x4::<1>(both, _mm256_castps_pd(high)))
        };
        let columns = |first: usize| {
            let (r0, r1, r2, r3) = (rows(first), rows(first + 1), rows(first + 2), rows(first + 3));
            let (a0, a1) = (_mm512_unpacklo_ps(r0, r1), _mm512_unpackhi_ps(r0, r1));
            let (a2, a3) = (_mm512_unpacklo_ps(r2, r3), _mm512_unpackhi_ps(r2, r3));
            [
                _mm512_shuffle_ps::<0x44>(a0, a2),
                _mm512_shuffle_ps::<0xEE>(a0, a2),
                _mm512_shuffle_ps::<0x44>(a1, a3),
                _mm512_shuffle_ps::<0xEE>(a1, a3),
            ]
        };
        // Of columns `j` and `j + 4` four rows each, and the next four.
        let (above, below) = (columns(0), columns(8));
        for j in 0..4 {
            let put = |j: usize, v: __m512| {
                // SAFETY: the caller's promise.
                unsafe { _mm512_storeu_ps(to.wrapping_add((half + j) * to_step), v) }
            };
            put(j, _mm512_shuffle_f32x4::<0x88>(above[j], below[j]));
            put(j + 4, _mm512_shuffle_f32x4::<0xDD>(above[j], below[j]));
        }
    }
}
