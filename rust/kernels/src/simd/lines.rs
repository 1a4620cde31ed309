//! Sums of 16-bit samples down columns and along rows: the passes of outer products.

#![expect(unsafe_code, reason = "raw loads in the innermost loops; bounds are checked once a row")]

use super::halves::{Ending, Halves, Two};
use super::store_tile;
use std::marker::PhantomData;
use std::ops::Range;

/// Rows, and how long the shortest of them is.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a> {
    rows: &'a [&'a [i16]],
    length: usize,
}

impl<'a> Lines<'a> {
    /// Measures the rows.
    pub fn new(rows: &'a [&'a [i16]]) -> Self {
        Self { rows, length: rows.iter().map(|row| row.len()).min().unwrap_or(0) }
    }

    /// All but the first so many.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn skip(self, rows: usize) -> Self {
        Self { rows: &self.rows[rows..], ..self }
    }
}

/// The samples that a vector of results is the sum of: a vector of them for each tap.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a, V> {
    lines: Lines<'a>,
    x: usize,
    taps: usize,
    /// Rows and columns from one tap to the next.
    step: [usize; 2],
    vector: PhantomData<V>,
}

impl<'a, V: Halves> Samples<'a, V> {
    /// Those from column `x` on.
    ///
    /// # Panics
    /// If there are no taps, or the rows are too few or too short.
    #[inline(always)]
    pub fn new(lines: Lines<'a>, x: usize, taps: usize, step: [usize; 2]) -> Self {
        assert!(taps > 0, "a sum of something");
        let [rows, reach] = step.map(|step| (taps - 1) * step);
        assert!(
            lines.rows.len() > rows && lines.length >= x + reach + V::LANES,
            "the rows cover the samples"
        );
        Self { lines, x, taps, step, vector: PhantomData }
    }

    /// Those of a tap.
    #[inline(always)]
    pub fn of(self, tap: usize) -> &'a [i16] {
        &self.lines.rows[tap * self.step[0]][self.x + tap * self.step[1]..]
    }

    /// # Safety
    /// There is such a tap.
    #[inline(always)]
    unsafe fn load(self, tap: usize) -> V {
        // SAFETY: the rows cover the samples, which was asserted when these were made.
        unsafe {
            let row = self.lines.rows.get_unchecked(tap * self.step[0]).as_ptr();
            V::load(row.add(self.x + tap * self.step[1]))
        }
    }

    /// Sums under two windows, whose weights come in pairs; a tap without a partner is beside itself.
    ///
    /// # Panics
    /// If there are too few weights.
    #[inline(always)]
    pub fn sums(self, weights: [&[Two]; 2]) -> [V::Sums; 2] {
        let mut sums = [V::sums_of(0); 2];
        let [first, second] = weights.map(|weights| &weights[..self.taps.div_ceil(2)]);
        let last = self.taps - 1;
        for (k, (&first, &second)) in first.iter().zip(second).enumerate() {
            // SAFETY: both are taps.
            let pair = unsafe { V::pairs(self.load(2 * k), self.load(last.min(2 * k + 1))) };
            sums = [V::dot(sums[0], pair, first), V::dot(sums[1], pair, second)];
        }
        sums
    }

    /// The samples of a tap, if those of every other are the same.
    #[inline(always)]
    pub fn if_equal(self) -> Option<V> {
        let last = self.taps - 1;
        // SAFETY: all are taps.
        let (first, middle, end) = unsafe { (self.load(0), self.load(last / 2), self.load(last)) };
        // Where they are not the same, most often three of them tell.
        let mut apart = V::splat(0).apart(first, middle).apart(first, end);
        if apart.is_zero() {
            for tap in 1..last {
                // SAFETY: likewise.
                apart = apart.apart(first, unsafe { self.load(tap) });
            }
        }
        apart.is_zero().then_some(first)
    }
}

/// Result rows that [`down`] computes at once, at most.
pub const MAX_HALF_ROWS: usize = 3;

/// Sums down columns: row `h` of the result is the sum over pairs `k` of rows `2 (h + k)` and the next,
/// times `weights[k]`, ended by `ending`.
///
/// # Panics
/// If the columns are not a whole number of vectors, or a row is shorter; if there are too few rows or weights.
#[inline(always)]
pub fn down<V: Halves, const H: usize>(
    lines: Lines<'_>,
    weights: &[Two],
    cols: Range<usize>,
    ending: &mut impl Ending<V>,
    mut out: [&mut [i16]; H],
) {
    const { assert!(H <= MAX_HALF_ROWS) };
    let (rows, pairs) = (lines.rows, weights.len());
    assert!(
        pairs + 1 >= H && rows.len() >= 2 * (pairs + H - 1) && cols.len().is_multiple_of(V::LANES),
        "two rows for every pair"
    );
    assert!(lines.length >= cols.end, "the rows cover the block");
    assert!(out.iter().all(|out| out.len() >= cols.end), "there is room for the results");
    for x in cols.step_by(V::LANES) {
        let mut sums = [V::sums_of(ending.first()); H];
        // As in the register tile, each range of result rows is a loop of its own: the sums stay in registers.
        macro_rules! step {
            ($q:expr, $rows:expr) => {{
                let q = $q;
                // SAFETY: `q < pairs + H - 1`, `x + LANES <= cols.end`, and both were asserted; `q - h < pairs`.
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
        for (h, (sums, out)) in sums.into_iter().zip(&mut out).enumerate() {
            // SAFETY: `x + LANES <= cols.end`, for which there is room, as asserted.
            unsafe { ending.end(sums, h, x).store(out.as_mut_ptr().add(x)) }
        }
    }
}

/// The taps of a row, `step` samples apart, in pairs.
#[derive(Clone, Debug)]
pub struct RowTaps {
    /// The weights of pairs: of even results, and of odd ones, which [share](Two::shared) them where the step is 1.
    weights: Vec<[Two; 2]>,
    step: usize,
}

impl RowTaps {
    /// Pairs the weights.
    pub fn new(weights: &[i16], step: usize) -> Self {
        let tap = |i: usize| weights.get(i).copied().unwrap_or(0);
        let pair = |k: usize| match step {
            1 => Two::shared(weights, k),
            _ => [Two::new(tap(2 * k), tap(2 * k + 1)); 2],
        };
        let pairs = if step == 1 { weights.len() / 2 + 1 } else { weights.len().div_ceil(2) };
        Self { weights: (0..pairs).map(pair).collect(), step }
    }

    /// Samples that results read beyond one each: what an even one takes beyond the next one's is under a 0.
    fn reach(&self) -> usize {
        let pairs = self.weights.len();
        if self.step == 1 { 2 * pairs - 2 } else { (2 * pairs - 1) * self.step }
    }
}

/// Sums along a row: over the taps `k` of the samples `k step` on from the result's place, ended by `ending`.
///
/// # Panics
/// If the columns are not a whole number of vectors, or the row is shorter than they and what the taps reach: an even number
/// of neighbours one sample more, an odd number of others one step more.
#[inline(always)]
pub fn along<V: Halves>(
    row: &[i16],
    taps: &RowTaps,
    cols: Range<usize>,
    ending: &mut impl Ending<V>,
    out: &mut [i16],
) {
    match taps.step {
        1 => along_by::<V, 1>(row, taps, cols, ending, out),
        _ => along_by::<V, 0>(row, taps, cols, ending, out),
    }
}

/// [`along`]; `STEP` is 1 if the step is.
#[inline(always)]
fn along_by<V: Halves, const STEP: usize>(
    row: &[i16],
    taps: &RowTaps,
    cols: Range<usize>,
    ending: &mut impl Ending<V>,
    out: &mut [i16],
) {
    assert!(cols.len().is_multiple_of(V::LANES), "whole vectors");
    assert!(row.len() >= cols.end + taps.reach(), "the row covers the block");
    let Range { start: mut x, end } = cols;
    while x + 4 * V::LANES <= end {
        // SAFETY: the row goes on behind the block for what the taps reach.
        unsafe { along_at::<V, STEP, 4>(row, taps, ending, out, x) }
        x += 4 * V::LANES;
    }
    while x < end {
        // SAFETY: likewise; the columns are a whole number of vectors.
        unsafe { along_at::<V, STEP, 1>(row, taps, ending, out, x) }
        x += V::LANES;
    }
}

/// # Safety
/// `row` has `x + NV * LANES` samples and what the taps reach.
#[inline(always)]
unsafe fn along_at<V: Halves, const STEP: usize, const NV: usize>(
    row: &[i16],
    RowTaps { weights, step }: &RowTaps,
    ending: &mut impl Ending<V>,
    out: &mut [i16],
    x: usize,
) {
    let mut sums = [V::sums_of(ending.first()); NV];
    // SAFETY: the caller's promise.
    let from = unsafe { row.as_ptr().add(x) };
    if STEP == 1 {
        // SAFETY: likewise.
        sums = unsafe { V::dot_along(sums, from, row.len() - x, weights) };
    } else {
        for (k, &[weights, _]) in weights.iter().enumerate() {
            for v in 0..NV {
                // SAFETY: likewise.
                let pairs = unsafe {
                    let from = from.add(2 * k * step + v * V::LANES);
                    V::pairs(V::load(from), V::load(from.add(*step)))
                };
                sums[v] = V::dot(sums[v], pairs, weights);
            }
        }
    }
    for (v, &sums) in sums.iter().enumerate() {
        let x = x + v * V::LANES;
        if x < out.len() {
            let results = if STEP == 1 { ending.end_beside(sums, 0, x) } else { ending.end(sums, 0, x) };
            store_tile(&[results], out, x);
        }
    }
}
