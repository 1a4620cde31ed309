//! The register tile: `R` result rows by `NV` vectors, fed one source row at a time.
//!
//! ```text
//! for each step (source row j, result rows lo..hi, its taps):
//!     for each tap (offset, one weight for each of lo..hi):
//!         load NV vectors of row j at x + offset
//!         acc[r][v] += w[r] * vector[v]       lo <= r < hi
//! ```
//!
//! Every vector loaded feeds `hi - lo` result rows, so that the loads, half of which straddle a
//! cache line, stay below the two a cycle that x86 cores can do while both FMA units are busy. One
//! row by twelve vectors reached 40 % of the FMA peak where four by six reached 78 % (AVX-512).
//!
//! With 16 registers the tile is 6 x 2 and not 4 x 3: 12 sums, 2 samples and a weight leave one
//! register free, where 4 x 3 leaves none and the compiler spilt sums in the inner loop (37 against
//! 49 GFLOP/s at 11 x 11). The weights of a tap lie side by side, so that one pointer walks them; a
//! pointer for each result row spilt those.
#![expect(unsafe_code, reason = "the bounds of a whole block are checked once, at its head")]

use super::{MAX_LANES, Vector};
use crate::dtype::Accumulator;

/// Result rows that use one source row, and the taps with which they do.
#[derive(Clone, Copy, Debug)]
struct Step {
    row: usize,
    lo: usize,
    hi: usize,
    /// Where its taps end in the program's list.
    taps_end: usize,
}

/// The order of work for a block of result rows: which source row meets which taps. Checked when it
/// is made, so that running it needs no check but that of the rows' lengths.
#[derive(Clone, Debug)]
pub struct Program<A> {
    steps: Vec<Step>,
    /// Where each tap reads, relative to the result's position.
    offsets: Vec<usize>,
    /// `hi - lo` weights a tap.
    weights: Vec<A>,
    result_rows: usize,
    source_rows: usize,
    reach: usize,
}

impl<A: Accumulator> Program<A> {
    /// A program for blocks of `result_rows`, with no steps yet.
    pub fn new(result_rows: usize) -> Self {
        Self {
            steps: Vec::new(),
            offsets: Vec::new(),
            weights: Vec::new(),
            result_rows,
            source_rows: 0,
            reach: 0,
        }
    }

    /// Appends a step: source row `row` meets result rows `lo..hi` with a tap at each of `offsets`,
    /// whose weight for result row `r` is `weight(r, index of the tap)`.
    ///
    /// # Panics
    /// If `lo..hi` is not a range of the block's rows.
    pub fn push(&mut self, row: usize, lo: usize, hi: usize, offsets: &[usize], weight: impl Fn(usize, usize) -> A) {
        assert!(lo < hi && hi <= self.result_rows, "a range of the block's rows");
        self.source_rows = self.source_rows.max(row + 1);
        for (tap, &offset) in offsets.iter().enumerate() {
            self.reach = self.reach.max(offset);
            self.offsets.push(offset);
            self.weights.extend((lo..hi).map(|r| weight(r, tap)));
        }
        self.steps.push(Step { row, lo, hi, taps_end: self.offsets.len() });
    }

    /// Runs the program for results `0..width` of `R` rows. `width` is a whole number of vectors;
    /// an `out` row may be shorter and takes what it has room for.
    ///
    /// # Panics
    /// If the program is for another number of rows, or a source row is missing or too short.
    #[inline(always)]
    pub fn run<V: Vector<Elem = A>, const NV: usize, const R: usize>(
        &self,
        rows: &[&[A]],
        width: usize,
        mut out: [&mut [A]; R],
    ) {
        assert!(self.result_rows == R && width % V::LANES == 0, "a block of the program");
        assert!(
            rows.len() >= self.source_rows && rows.iter().all(|row| row.len() >= width + self.reach),
            "the source rows cover the block"
        );
        let mut x = 0;
        while x + NV * V::LANES <= width {
            // SAFETY: the rows cover `x + NV * LANES + reach`.
            let tile = unsafe { self.tile::<V, NV, R>(rows, x) };
            tile.iter().zip(&mut out).for_each(|(tile, row)| store_tile(tile, row, x));
            x += NV * V::LANES;
        }
        while x < width {
            // SAFETY: `width` is a whole number of vectors, so the rows cover `x + LANES + reach`.
            let tile = unsafe { self.tile::<V, 1, R>(rows, x) };
            tile.iter().zip(&mut out).for_each(|(tile, row)| store_tile(tile, row, x));
            x += V::LANES;
        }
    }

    /// # Safety
    /// `rows` has every row of the program's steps, each with `x + NV * LANES + reach` elements.
    #[inline(always)]
    unsafe fn tile<V: Vector<Elem = A>, const NV: usize, const R: usize>(&self, rows: &[&[A]], x: usize) -> [[V; NV]; R] {
        let mut acc = [[V::splat(A::default()); NV]; R];
        let mut weights = self.weights.as_ptr();
        let mut taps = 0;
        for step in &self.steps {
            // SAFETY: by `push`, row < source_rows and the step's taps are in the list.
            let (row, offsets) = unsafe {
                (rows.get_unchecked(step.row).as_ptr().add(x), self.offsets.get_unchecked(taps..step.taps_end))
            };
            macro_rules! ranges {
                ($(($lo:literal, $hi:literal))*) => {
                    match (step.lo, step.hi) {
                        // SAFETY: the caller's promise for the row; by `push`, hi - lo weights a tap.
                        $(($lo, $hi) if $hi <= R => unsafe {
                            weights = accumulate::<V, R, NV, $lo, $hi>(&mut acc, row, offsets, weights);
                        })*
                        _ => unreachable!("`push` admits ranges of the block's rows"),
                    }
                };
            }
            // Each range is a loop of its own, so that the sums stay in registers.
            ranges!(
                (0, 6) (0, 1) (0, 2) (0, 3) (0, 4) (0, 5) (1, 6) (2, 6) (3, 6) (4, 6) (5, 6)
                (1, 2) (1, 3) (1, 4) (1, 5) (2, 3) (2, 4) (2, 5) (3, 4) (3, 5) (4, 5)
            );
            taps = step.taps_end;
        }
        acc
    }
}

/// Adds a source row's part to result rows `LO..HI`; returns where the next step's weights are.
///
/// # Safety
/// `row` has `NV` vectors at every offset; `weights` has `HI - LO` elements for every offset.
#[inline(always)]
unsafe fn accumulate<V: Vector, const R: usize, const NV: usize, const LO: usize, const HI: usize>(
    acc: &mut [[V; NV]; R],
    row: *const V::Elem,
    offsets: &[usize],
    mut weights: *const V::Elem,
) -> *const V::Elem {
    for &offset in offsets {
        // SAFETY: the caller's promise.
        unsafe {
            let from = row.add(offset);
            let samples: [V; NV] = std::array::from_fn(|v| V::load(from.add(v * V::LANES)));
            for r in LO..HI {
                let w = V::splat(*weights.add(r - LO));
                for v in 0..NV {
                    acc[r][v] = acc[r][v].mul_add(samples[v], w);
                }
            }
            weights = weights.add(HI - LO);
        }
    }
    weights
}

/// Reads `NV` vectors of `row` from `x` on.
///
/// # Panics
/// If the row is too short.
#[inline(always)]
pub fn load_tile<V: Vector, const NV: usize>(row: &[V::Elem], x: usize) -> [V; NV] {
    assert!(row.len() >= x + NV * V::LANES, "the row covers the tile");
    // SAFETY: the last lane read is below `row.len()`.
    std::array::from_fn(|v| unsafe { V::load(row.as_ptr().add(x + v * V::LANES)) })
}

/// Writes a row of the tile to `out[x..]`, cut off where `out` ends.
///
/// # Panics
/// If `x` is beyond the row.
#[inline(always)]
pub fn store_tile<V: Vector, const NV: usize>(tile: &[V; NV], out: &mut [V::Elem], x: usize) {
    let room = out.len() - x;
    if room >= NV * V::LANES {
        for (v, lanes) in tile.iter().enumerate() {
            // SAFETY: `x + NV * LANES <= out.len()`.
            unsafe { lanes.store(out.as_mut_ptr().add(x + v * V::LANES)) }
        }
    } else {
        for (v, lanes) in tile.iter().enumerate() {
            let mut whole = [V::Elem::default(); MAX_LANES];
            assert!(V::LANES <= MAX_LANES, "a vector fits the buffer");
            // SAFETY: the buffer holds LANES elements.
            unsafe { lanes.store(whole.as_mut_ptr()) }
            let from = (v * V::LANES).min(room);
            let to = ((v + 1) * V::LANES).min(room);
            out[x + from..x + to].copy_from_slice(&whole[..to - from]);
        }
    }
}
