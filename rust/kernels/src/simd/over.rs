//! Sums of samples of 16 bits, or of 8, over windows, by products in pairs of neighbours in a row.
//!
//! A tap beyond 16 bits is the sum of several: what one lacks is added alone ([`Further`]). Result rows don't share such
//! samples; they are few.

#![expect(unsafe_code, reason = "raw loads in the innermost loop; bounds are checked once a block")]

use super::{Ahead, Ending, Halves, MAX_ROWS, Two, store_tile};
use crate::dtype::Accumulator;

/// What a row is made of: 16-bit samples, or bytes, which are widened as they are read.
pub trait Sample: Accumulator {
    /// Reads `LANES` samples.
    ///
    /// # Safety
    /// - `from` is valid for reading them.
    /// - The CPU has the instruction set (a token of it exists).
    unsafe fn load<V: Halves>(from: *const Self) -> V;
    /// Writes results to `out[x..]`, cut off where `out` ends; what is behind them there may be overwritten.
    fn store<V: Halves, const NV: usize>(results: &[V; NV], out: &mut [Self], x: usize);
}

impl Sample for i16 {
    #[inline(always)]
    unsafe fn load<V: Halves>(from: *const Self) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::load(from) }
    }
    #[inline(always)]
    fn store<V: Halves, const NV: usize>(results: &[V; NV], out: &mut [Self], x: usize) {
        store_tile(results, out, x);
    }
}

/// Bytes of the longest two vectors.
const MOST_BYTES: usize = 64;

impl Sample for u8 {
    #[inline(always)]
    unsafe fn load<V: Halves>(from: *const Self) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::widened(from) }
    }
    #[inline(always)]
    fn store<V: Halves, const NV: usize>(results: &[V; NV], out: &mut [Self], x: usize) {
        const { assert!(2 * V::LANES <= MOST_BYTES) };
        for v in (0..NV).step_by(2) {
            let (first, next) = (results[v], results[(v + 1).min(NV - 1)]);
            let Some(out) = out.get_mut(x + v * V::LANES..) else { return };
            if out.len() >= 2 * V::LANES {
                // SAFETY: there is room for both.
                unsafe { first.store_bytes(next, out.as_mut_ptr()) }
            } else {
                let mut bytes = [0; MOST_BYTES];
                // SAFETY: likewise.
                unsafe { first.store_bytes(next, bytes.as_mut_ptr()) }
                let room = out.len();
                out.copy_from_slice(&bytes[..room]);
            }
        }
    }
}

/// Where the samples of pairs stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Anywhere.
    Apart,
    /// Neighbours: a vector of samples is read, and again from the next sample on.
    Beside,
    /// Neighbours, and those of pair `k` are `2 k` on from a result, or from the one before it: under weights of its own
    /// every other result takes the vectors of its neighbour, and half as many are read.
    Shared,
}

/// A tap beside those of [`Paired`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Further {
    /// Of the window.
    pub row: usize,
    /// Samples from a result to that of the tap.
    pub place: usize,
    /// Of the tap.
    pub weight: i16,
}

/// The taps of a window, in pairs.
#[derive(Clone, Copy, Debug)]
pub struct Paired<'a> {
    /// Samples from a result, an even one where they are [shared](Reading::Shared), to those of each pair of a row: the same
    /// in all rows.
    pub places: &'a [[usize; 2]],
    /// How they are read.
    pub reading: Reading,
    /// Row by row: of even results, and of odd ones. They differ where both [share](Reading::Shared) what is read.
    pub weights: &'a [[Two; 2]],
    /// What is added to them.
    pub further: &'a [Further],
}

impl Paired<'_> {
    /// Rows of the window.
    pub fn rows(&self) -> usize {
        self.weights.len() / self.places.len()
    }

    /// The farthest sample.
    #[inline(always)]
    fn reach(&self) -> usize {
        let mut reach = 0;
        for &[first, second] in self.places {
            // What only the result after an even one takes is no farther from it.
            let second = if self.reading == Reading::Shared { second - 1 } else { second };
            reach = reach.max(first).max(second);
        }
        self.further.iter().fold(reach, |reach, further| reach.max(further.place))
    }
}

/// Sums over a window: result row `r` is the sum over rows `i` of the window and pairs `k` of the samples at
/// `places[k]` of row `r + i`, times `weights[i * places.len() + k]`, the second of them for every other result, and over
/// the further taps; ended by `ending`. `ahead` comes near meanwhile.
///
/// # Panics
/// If a row is shorter than `width`, a whole number of vectors, and what the places reach; if there are too few
/// rows or weights; if shared samples are not side by side.
#[inline(always)]
pub fn over<V: Halves, T: Sample, const R: usize>(
    rows: &[&[T]],
    taps: Paired<'_>,
    ahead: &Ahead,
    width: usize,
    ending: impl Ending<V> + Copy,
    mut out: [&mut [T]; R],
) {
    const { assert!(R <= MAX_ROWS && V::LANES.is_multiple_of(2)) };
    let height = taps.rows();
    let reach = taps.reach();
    assert!(
        height * taps.places.len() == taps.weights.len() && height + 1 >= R && rows.len() >= height + R - 1,
        "a weight for every pair, and rows that results share"
    );
    assert!(taps.further.iter().all(|further| further.row < height), "further taps of the same rows");
    assert!(
        taps.reading != Reading::Shared || taps.places.iter().enumerate().all(|(k, place)| place[0] == 2 * k),
        "shared samples stand side by side"
    );
    assert!(
        width.is_multiple_of(V::LANES) && rows.iter().all(|row| row.len() >= width + reach),
        "the rows cover the block"
    );
    let mut x = 0;
    macro_rules! vectors {
        ($nv:literal) => {
            ahead.spread((width - x) / ($nv * V::LANES));
            while x + $nv * V::LANES <= width {
                // SAFETY: `x + NV * LANES <= width`, and the rest was asserted.
                unsafe {
                    match taps.reading {
                        Reading::Shared if taps.places.len() == 2 => {
                            over_at::<V, T, R, $nv, SHARED, 2>(rows, taps, x, ending, &mut out);
                        }
                        Reading::Shared => {
                            over_at::<V, T, R, $nv, SHARED, 0>(rows, taps, x, ending, &mut out);
                        }
                        Reading::Beside => {
                            over_at::<V, T, R, $nv, BESIDE, 0>(rows, taps, x, ending, &mut out);
                        }
                        Reading::Apart => {
                            over_at::<V, T, R, $nv, APART, 0>(rows, taps, x, ending, &mut out);
                        }
                    }
                }
                ahead.step();
                x += $nv * V::LANES;
            }
        };
    }
    // What 32 registers hold of two times two R sums, as many pairs, and a weight.
    if V::REGISTERS == 32 {
        vectors!(2);
    }
    vectors!(1);
}

/// A [`Reading`] as a parameter.
const APART: u8 = Reading::Apart as u8;
const BESIDE: u8 = Reading::Beside as u8;
const SHARED: u8 = Reading::Shared as u8;

/// [`over`] for `NV` vectors from column `x` on. `PAIRS` is the number of pairs that are shared, whose loop is then none, or 0.
///
/// # Safety
/// There is a weight for every pair, there are the rows of `R` results, and they have `x + NV * LANES` samples and
/// what the places reach.
#[inline(always)]
unsafe fn over_at<
    V: Halves,
    T: Sample,
    const R: usize,
    const NV: usize,
    const READING: u8,
    const PAIRS: usize,
>(
    rows: &[&[T]],
    taps: Paired<'_>,
    x: usize,
    mut ending: impl Ending<V> + Copy,
    out: &mut [&mut [T]; R],
) {
    let Paired { places, further, .. } = taps;
    // Two weights read as one were broadcast from two halves of a scalar register: twice as slow as from memory.
    let weights = taps.weights.as_flattened();
    let count = if PAIRS > 0 { PAIRS } else { places.len() };
    let height = taps.rows();
    let mut sums = [[V::sums_of(ending.first()); NV]; R];
    // As in the register tile, each range of result rows is a loop of its own: the sums stay in registers.
    macro_rules! row {
        ($j:expr, $rows:expr) => {{
            let j = $j;
            for k in 0..count {
                // SAFETY: `j < height + R - 1` and `j - r < height`; the rest is the caller's promise.
                unsafe {
                    let (row, [first, second]) = (
                        rows.get_unchecked(j).as_ptr().add(x),
                        if PAIRS > 0 { [2 * k; 2] } else { *places.get_unchecked(k) },
                    );
                    let (mut samples, mut partners) = ([V::splat(0); NV], [V::splat(0); NV]);
                    for v in 0..NV {
                        let row = row.add(v * V::LANES);
                        samples[v] = T::load(row.add(first));
                        if READING != SHARED {
                            partners[v] = T::load(row.add(second));
                        }
                    }
                    for r in $rows {
                        let at = 2 * ((j - r) * count + k);
                        let weights = [*weights.get_unchecked(at), *weights.get_unchecked(at + 1)];
                        for v in 0..NV {
                            sums[r][v] = match READING {
                                SHARED => V::dot_twos(sums[r][v], samples[v], weights),
                                BESIDE => V::dot(sums[r][v], V::beside(samples[v], partners[v]), weights[0]),
                                _ => V::dot(sums[r][v], V::pairs(samples[v], partners[v]), weights[0]),
                            };
                        }
                    }
                }
            }
        }};
    }
    macro_rules! first { ($($hi:literal)*) => { $(if R > $hi { row!($hi - 1, 0..$hi); })* }; }
    macro_rules! last { ($($lo:literal)*) => { $(if R > $lo { row!(height + $lo - 1, $lo..R); })* }; }
    first!(1 2 3 4 5);
    for j in R - 1..height {
        row!(j, 0..R);
    }
    last!(1 2 3 4 5);
    for &Further { row, place, weight } in further {
        for r in 0..R {
            for v in 0..NV {
                // SAFETY: `row < height`; the rest is the caller's promise.
                let samples = unsafe {
                    T::load::<V>(rows.get_unchecked(row + r).as_ptr().add(x + place + v * V::LANES))
                };
                sums[r][v] = if READING != APART {
                    V::dot_alone(sums[r][v], samples, weight)
                } else {
                    V::dot(sums[r][v], V::pairs(samples, samples), Two::new(weight, 0))
                };
            }
        }
    }
    for (r, (sums, out)) in sums.into_iter().zip(out).enumerate() {
        let mut results = [V::splat(0); NV];
        for v in 0..NV {
            let x = x + v * V::LANES;
            results[v] =
                if READING == APART { ending.end(sums[v], r, x) } else { ending.end_beside(sums[v], r, x) };
        }
        T::store(&results, out, x);
    }
}
