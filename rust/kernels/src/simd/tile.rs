//! The register tile: `R` result rows by `NV` vectors, fed one source row at a time.
//!
//! ```text
//! for each source row j of the block (the window's rows and R - 1 more):
//!     for each tap (its offset, a weight for each result row r that uses row j):
//!         load NV vectors of row j at x + offset
//!         acc[r][v] += w[r] * vector[v]
//! ```
//!
//! Result row `r` uses source rows `r .. r + taps`. The first `R - 1` source rows therefore meet the
//! result rows `0..1`, `0..2`, ..., those in the middle all of them, the last `1..R`, `2..R`, ...
//! Each of these ranges is a loop of its own, written out one after the other, so that the sums stay
//! in registers from the first to the last; choosing the range at run time put them on the stack
//! (a third of the time at 5 x 5).
//!
//! Every vector loaded feeds several result rows, so that the loads, half of which straddle a cache
//! line, stay below the two a cycle that x86 cores can do while both FMA units are busy. One row by
//! twelve vectors reached 40 % of the FMA peak where four by six reached 78 % (AVX-512).
//!
//! With 16 registers the largest tile is 6 x 2 and not 4 x 3: 12 sums, 2 samples and a weight leave
//! one register free, where 4 x 3 leaves none and the compiler spills sums in the inner loop (40
//! against 77 GFLOP/s at 15 x 15). The weights lie in the order in which they are used, so that one
//! pointer walks them; a pointer for each result row spilt those.
//!
//! Tried and left: tiles that slide down the image, whose `R` rows are all in use from top to bottom.
//! They walk down columns, which neither prefetchers nor caches of few ways can follow (42 against
//! 50 GFLOP/s at 5 x 5, and no better with software prefetch). Stores past the caches, for results larger than
//! those: up to a tenth less time from 4 x 4 on and none less in the passes of a separable window, but four times
//! as much at 3 x 3, whose bursts of three vectors leave lines half written.
#![expect(unsafe_code, reason = "the bounds of a whole block are checked once, at its head")]

use super::{Ahead, MAX_LANES, Vector};
use crate::dtype::Accumulator;

/// Result rows that a block has, at most.
pub const MAX_ROWS: usize = 6;

/// The weights of blocks of a certain height, in the order in which the register tile uses them.
#[derive(Clone, Debug)]
pub struct Program<A> {
    height: usize,
    /// Rows of each source's window.
    taps: usize,
    sources: usize,
    /// Where each horizontal tap reads, relative to the result's position.
    offsets: Vec<usize>,
    reach: usize,
    weights: Vec<A>,
}

impl<A: Accumulator> Program<A> {
    /// For blocks of `height` rows and windows of `taps` rows, each row with a tap at every one of
    /// `offsets`. `sources` gives the weights of each source, in C order.
    ///
    /// # Panics
    /// If `height` is not `1..=MAX_ROWS` and at most `taps`, or a source has not one weight a tap.
    pub fn new(height: usize, taps: usize, offsets: &[usize], sources: &[&[A]]) -> Self {
        assert!((1..=MAX_ROWS.min(taps)).contains(&height), "a height that the window covers");
        let cols = offsets.len();
        let mut weights = Vec::with_capacity(sources.len() * taps * height * cols);
        for source in sources {
            assert_eq!(source.len(), taps * cols, "a weight for each tap");
            for j in 0..taps + height - 1 {
                let users = (j + 1).saturating_sub(taps)..height.min(j + 1);
                for tap in 0..cols {
                    weights.extend(users.clone().map(|r| source[(j - r) * cols + tap]));
                }
            }
        }
        let reach = offsets.iter().copied().max().unwrap_or(0);
        Self { height, taps, sources: sources.len(), offsets: offsets.to_vec(), reach, weights }
    }

    /// Computes results `0..width` of `R` rows from the sources' rows, one source after the other, and brings `ahead` near
    /// meanwhile.
    /// `width` is a whole number of vectors; an `out` row may be shorter and takes what it has room
    /// for.
    ///
    /// # Panics
    /// If the program is for another height, or a source row is missing or too short.
    #[inline(always)]
    pub fn run<V: Vector<Elem = A>, const R: usize>(
        &self,
        rows: &[&[A]],
        ahead: &Ahead,
        width: usize,
        out: [&mut [A]; R],
    ) {
        assert!(self.height == R && width.is_multiple_of(V::LANES), "a block of the program");
        assert!(
            rows.len() == self.sources * (self.taps + R - 1)
                && rows.iter().all(|row| row.len() >= width + self.reach),
            "the source rows cover the block"
        );
        macro_rules! widths {
            ($($r:pat => $narrow:literal, $wide:literal;)*) => {
                match R {
                    // SAFETY: just asserted.
                    $($r => unsafe {
                        if V::REGISTERS == 32 {
                            self.columns::<V, $wide, R>(rows, ahead, width, out);
                        } else {
                            self.columns::<V, $narrow, R>(rows, ahead, width, out);
                        }
                    })*
                }
            };
        }
        // Vectors a row: what the registers hold of R sums, a sample for each, and a weight.
        widths! { 1 => 8, 8; 2 => 4, 8; 3 => 3, 6; 4 => 2, 5; _ => 2, 4; }
    }

    /// # Safety
    /// `rows` has `taps + R - 1` rows a source, each with `width + reach` elements; `width` is a
    /// whole number of vectors.
    #[inline(always)]
    unsafe fn columns<V: Vector<Elem = A>, const NV: usize, const R: usize>(
        &self,
        rows: &[&[A]],
        ahead: &Ahead,
        width: usize,
        mut out: [&mut [A]; R],
    ) {
        let mut x = 0;
        ahead.spread(width / (NV * V::LANES));
        while x + NV * V::LANES <= width {
            // SAFETY: the rows cover `x + NV * LANES + reach`.
            let tile = unsafe { self.tile::<V, NV, R>(rows, x) };
            ahead.step();
            for (tile, row) in tile.iter().zip(&mut out) {
                store_tile(tile, row, x);
            }
            x += NV * V::LANES;
        }
        while x < width {
            // SAFETY: `width` is a whole number of vectors, so the rows cover `x + LANES + reach`.
            let tile = unsafe { self.tile::<V, 1, R>(rows, x) };
            for (tile, row) in tile.iter().zip(&mut out) {
                store_tile(tile, row, x);
            }
            x += V::LANES;
        }
    }

    /// # Safety
    /// `rows` has `taps + R - 1` rows a source, each with `x + NV * LANES + reach` elements.
    #[inline(always)]
    unsafe fn tile<V: Vector<Elem = A>, const NV: usize, const R: usize>(
        &self,
        rows: &[&[A]],
        x: usize,
    ) -> [[V; NV]; R] {
        let mut acc = [[V::splat(A::default()); NV]; R];
        let mut weights = self.weights.as_ptr();
        let mut rows = rows.iter();
        for _ in 0..self.sources {
            macro_rules! row {
                ($lo:expr, $hi:expr) => {
                    // SAFETY: the caller's promise for the rows; the weights are in this order.
                    unsafe {
                        let row = rows.next().unwrap_unchecked().as_ptr().add(x);
                        weights =
                            accumulate::<V, R, NV, { $lo }, { $hi }>(&mut acc, row, &self.offsets, weights);
                    }
                };
            }
            macro_rules! first { ($($hi:literal)*) => { $(if R > $hi { row!(0, $hi); })* }; }
            macro_rules! last { ($($lo:literal)*) => { $(if R > $lo { row!($lo, R); })* }; }
            first!(1 2 3 4 5);
            for _ in R - 1..self.taps {
                row!(0, R);
            }
            last!(1 2 3 4 5);
        }
        acc
    }
}

/// Adds a source row's part to result rows `LO..HI`; returns where the next row's weights are.
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
            weights = weights.add(HI.saturating_sub(LO));
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
    let room = out.len().checked_sub(x).expect("a place in the row");
    if room >= NV * V::LANES {
        for (v, lanes) in tile.iter().enumerate() {
            // SAFETY: `x + NV * LANES <= out.len()`.
            unsafe { lanes.store(out.as_mut_ptr().add(x + v * V::LANES)) }
        }
    } else {
        // Vectors of 16-bit numbers have twice the lanes.
        let mut whole = [[V::Elem::default(); 2 * MAX_LANES]; NV];
        assert!(V::LANES <= 2 * MAX_LANES, "a vector fits the buffer");
        let buffer = whole.as_flattened_mut();
        for (v, lanes) in tile.iter().enumerate() {
            // SAFETY: the buffer holds NV vectors.
            unsafe { lanes.store(buffer.as_mut_ptr().add(v * V::LANES)) }
        }
        copy_part(buffer, &mut out[x..]);
    }
}

/// Writes `n` vectors that stand `from_step` apart, `to_step` apart, one after the other: each over what of the one before
/// goes beyond its `to_step`; the last ones are cut off where `to` ends.
///
/// # Panics
/// If a vector is beyond the end of `from`, or begins beyond that of `to`.
#[inline(always)]
pub fn store_each<V: Vector>(
    from: &[V::Elem],
    from_step: usize,
    to: &mut [V::Elem],
    to_step: usize,
    n: usize,
) {
    assert!(n == 0 || from.len() >= (n - 1) * from_step + V::LANES, "all vectors");
    let whole = (to.len() + to_step).saturating_sub(V::LANES) / to_step.max(1);
    for i in 0..n.min(whole) {
        // SAFETY: `i * to_step + LANES <= to.len()`, and the vector was asserted.
        unsafe { V::load(from.as_ptr().add(i * from_step)).store(to.as_mut_ptr().add(i * to_step)) }
    }
    for i in n.min(whole)..n {
        store_tile(&load_tile::<V, 1>(from, i * from_step), to, i * to_step);
    }
}

/// Writes the transpose of a square of `LANES` rows, `step` apart, to rows `to_step` apart; what is beyond `size`, rows and
/// columns that matter, may be left out.
///
/// # Panics
/// If a row is beyond the end.
#[inline(always)]
pub fn transpose<V: Vector>(
    from: &[V::Elem],
    step: usize,
    to: &mut [V::Elem],
    to_step: usize,
    size: [usize; 2],
) {
    let reach = |step: usize| (V::LANES - 1) * step + V::LANES;
    assert!(from.len() >= reach(step) && to.len() >= reach(to_step), "a square of rows");
    // SAFETY: just asserted; the one is read and the other written.
    unsafe { V::transpose(from.as_ptr(), step, to.as_mut_ptr(), to_step, size) }
}

/// Copies as many elements as there is room for. A function of its own, as every tile ends in it.
#[inline(never)]
fn copy_part<A: Copy>(from: &[A], to: &mut [A]) {
    to.copy_from_slice(&from[..to.len()]);
}
