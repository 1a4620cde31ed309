//! Sums of 16-bit samples by products in pairs: one instruction multiplies two samples of a lane by two
//! weights and adds the products up in 32 bits.
//!
//! Samples of two rows, or of one row and the same row one sample on, are interleaved in registers just
//! before they are multiplied; what stands in memory stays 16 bits wide. Interleaving and packing undo each
//! other's order of lanes.

#![expect(unsafe_code, reason = "raw loads in the innermost loops; bounds are checked once a row")]

use super::{Lanes, MAX_ROWS, Vector, store_tile};

/// Two weights, the first in the low half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Two(pub i32);

impl Two {
    /// The weights of a sample and of its partner.
    pub fn new(first: i16, second: i16) -> Self {
        Self(i32::from(first as u16) | (i32::from(second) << 16))
    }
}

/// How sums become 16-bit numbers: `2^-shift * (sum + offset)`, rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounded {
    /// What is added.
    pub offset: i32,
    /// Bits to drop.
    pub shift: u32,
}

/// A vector of `i16`, whose products with pairs of weights are summed in `i32`.
pub trait Halves: Vector<Elem = i16> {
    /// The lanes of two vectors, side by side.
    type Pairs: Copy;
    /// A sum of `i32` for every lane.
    type Sums: Copy;

    /// The lanes of `a` and `b`, side by side.
    fn pairs(a: Self, b: Self) -> Self::Pairs;
    /// Zeros.
    fn no_sums() -> Self::Sums;
    /// Adds `a * weights.first + b * weights.second`, wrapping.
    fn dot(sums: Self::Sums, pairs: Self::Pairs, weights: Two) -> Self::Sums;
    /// The sums as 16-bit numbers, saturated; ties go up, or with `EVEN` to the even number, for a shift of 1
    /// at least.
    fn narrowed<const EVEN: bool>(sums: Self::Sums, rounded: Rounded) -> Self;
}

impl<const N: usize> Halves for Lanes<i16, N, false> {
    type Pairs = [[i16; N]; 2];
    type Sums = [i32; N];

    #[inline(always)]
    fn pairs(a: Self, b: Self) -> Self::Pairs {
        [a.0, b.0]
    }
    #[inline(always)]
    fn no_sums() -> Self::Sums {
        [0; N]
    }
    #[inline(always)]
    fn dot(mut sums: Self::Sums, [a, b]: Self::Pairs, Two(weights): Two) -> Self::Sums {
        let (first, second) = (i32::from(weights as i16), weights >> 16);
        for l in 0..N {
            let products = (i32::from(a[l]) * first).wrapping_add(i32::from(b[l]) * second);
            sums[l] = sums[l].wrapping_add(products);
        }
        sums
    }
    #[inline(always)]
    fn narrowed<const EVEN: bool>(sums: Self::Sums, Rounded { offset, shift }: Rounded) -> Self {
        let half = (1 << shift) >> 1;
        Self(sums.map(|sum| {
            let sum = sum.wrapping_add(offset);
            let up = if EVEN { half - 1 + ((sum >> shift) & 1) } else { half };
            (sum.wrapping_add(up) >> shift).clamp(i16::MIN.into(), i16::MAX.into()) as i16
        }))
    }
}

/// Sums over a window: result row `r` is the sum over rows `i` of the window and pairs `k` of the samples at
/// `places[k]` of row `r + i`, times `weights[i * places.len() + k]`.
///
/// # Panics
/// If a row is shorter than `width`, a whole number of vectors, and what the places reach; if there are too few
/// rows or weights.
#[inline(always)]
pub fn over<V: Halves, const R: usize>(
    rows: &[&[i16]],
    places: &[[usize; 2]],
    weights: &[Two],
    width: usize,
    rounded: Rounded,
    mut out: [&mut [i16]; R],
) {
    const { assert!(R <= MAX_ROWS) };
    let (count, taps) = (places.len(), weights.len() / places.len());
    let reach = places.iter().flatten().max().map_or(0, |&place| place);
    assert!(
        taps * count == weights.len() && taps >= R && rows.len() >= taps + R - 1,
        "a weight for every pair, and rows that results share"
    );
    assert!(
        width.is_multiple_of(V::LANES) && rows.iter().all(|row| row.len() >= width + reach),
        "the rows cover the block"
    );
    for x in (0..width).step_by(V::LANES) {
        let mut sums = [V::no_sums(); R];
        // As in the register tile, each range of result rows is a loop of its own: the sums stay in registers.
        macro_rules! row {
            ($j:expr, $rows:expr) => {{
                let j = $j;
                for k in 0..count {
                    // SAFETY: `j < taps + R - 1`, `x + LANES <= width`, and the rest was asserted; `j - r < taps`.
                    unsafe {
                        let (row, place) = (rows.get_unchecked(j).as_ptr().add(x), places.get_unchecked(k));
                        let pair = V::pairs(V::load(row.add(place[0])), V::load(row.add(place[1])));
                        for r in $rows {
                            sums[r] = V::dot(sums[r], pair, *weights.get_unchecked((j - r) * count + k));
                        }
                    }
                }
            }};
        }
        macro_rules! first { ($($hi:literal)*) => { $(if R > $hi { row!($hi - 1, 0..$hi); })* }; }
        macro_rules! last { ($($lo:literal)*) => { $(if R > $lo { row!(taps + $lo - 1, $lo..R); })* }; }
        first!(1 2 3 4 5);
        for j in R - 1..taps {
            row!(j, 0..R);
        }
        last!(1 2 3 4 5);
        for (sums, out) in sums.into_iter().zip(&mut out) {
            let results = if rounded.shift == 0 {
                V::narrowed::<false>(sums, rounded)
            } else {
                V::narrowed::<true>(sums, rounded)
            };
            store_tile(&[results], out, x);
        }
    }
}

/// Result rows that [`down`] computes at once, at most.
pub const MAX_HALF_ROWS: usize = 3;

/// Sums down columns: row `h` of the result is the sum over pairs `k` of rows `2 (h + k)` and the next,
/// times `weights[k]`.
///
/// # Panics
/// If a row is shorter than `width`, a whole number of vectors; if there are too few rows or weights.
#[inline(always)]
pub fn down<V: Halves, const H: usize>(
    rows: &[&[i16]],
    weights: &[Two],
    width: usize,
    rounded: Rounded,
    mut out: [&mut [i16]; H],
) {
    const { assert!(H <= MAX_HALF_ROWS) };
    let pairs = weights.len();
    assert!(
        pairs + 1 >= H && rows.len() >= 2 * (pairs + H - 1) && width.is_multiple_of(V::LANES),
        "two rows for every pair"
    );
    assert!(rows.iter().all(|row| row.len() >= width), "the rows cover the block");
    for x in (0..width).step_by(V::LANES) {
        let mut sums = [V::no_sums(); H];
        // As in the register tile, each range of result rows is a loop of its own: the sums stay in registers.
        macro_rules! step {
            ($q:expr, $rows:expr) => {{
                let q = $q;
                // SAFETY: `q < pairs + H - 1`, `x + LANES <= width`, and both were asserted; `q - h < pairs`.
                unsafe {
                    let a = V::load(rows.get_unchecked(2 * q).as_ptr().add(x));
                    let b = V::load(rows.get_unchecked(2 * q + 1).as_ptr().add(x));
                    let pair = V::pairs(a, b);
                    for h in $rows {
                        sums[h] = V::dot(sums[h], pair, *weights.get_unchecked(q - h));
                    }
                }
            }};
        }
        if H > 1 {
            step!(0, 0..1);
        }
        if H > 2 {
            step!(1, 0..2);
        }
        for q in H - 1..pairs {
            step!(q, 0..H);
        }
        if H > 1 {
            step!(pairs, 1..H);
        }
        if H > 2 {
            step!(pairs + 1, 2..H);
        }
        for (sums, out) in sums.into_iter().zip(&mut out) {
            store_tile(&[V::narrowed::<false>(sums, rounded)], out, x);
        }
    }
}

/// Sums along a row: over pairs `k` of the samples `2 k step` on from the result's place and a step further, times
/// `weights[k]`.
///
/// # Panics
/// If there are no weights, or the row is shorter than `width`, a whole number of vectors, and what they reach.
#[inline(always)]
pub fn along<V: Halves>(
    row: &[i16],
    weights: &[Two],
    [width, step]: [usize; 2],
    rounded: Rounded,
    out: &mut [i16],
) {
    assert!(
        row.len() >= width + (2 * weights.len() - 1) * step && width.is_multiple_of(V::LANES),
        "the row covers the block"
    );
    let mut x = 0;
    while x + 4 * V::LANES <= width {
        // SAFETY: the row goes on behind the block for what the pairs reach.
        unsafe { along_at::<V, 4>(row, weights, step, rounded, out, x) }
        x += 4 * V::LANES;
    }
    while x < width {
        // SAFETY: likewise; `width` is a whole number of vectors.
        unsafe { along_at::<V, 1>(row, weights, step, rounded, out, x) }
        x += V::LANES;
    }
}

/// # Safety
/// `row` has `x + NV * LANES + (2 * weights.len() - 1) * step` samples.
#[inline(always)]
unsafe fn along_at<V: Halves, const NV: usize>(
    row: &[i16],
    weights: &[Two],
    step: usize,
    rounded: Rounded,
    out: &mut [i16],
    x: usize,
) {
    let mut sums = [V::no_sums(); NV];
    for (k, &weights) in weights.iter().enumerate() {
        for v in 0..NV {
            // SAFETY: the caller's promise.
            let (a, b) = unsafe {
                let from = row.as_ptr().add(x + 2 * k * step + v * V::LANES);
                (V::load(from), V::load(from.add(step)))
            };
            sums[v] = V::dot(sums[v], V::pairs(a, b), weights);
        }
    }
    for (v, &sums) in sums.iter().enumerate() {
        let x = x + v * V::LANES;
        if x < out.len() {
            store_tile(&[V::narrowed::<true>(sums, rounded)], out, x);
        }
    }
}
