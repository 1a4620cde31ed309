//! Sums of 16-bit samples by products in pairs: one instruction multiplies two samples of a lane by two
//! weights and adds the products up in 32 bits.
//!
//! Samples of two rows, or of one row at two places, are interleaved in registers just before they are multiplied;
//! what stands in memory stays 16 bits wide. Interleaving and packing undo each other's order of lanes. Samples and their
//! neighbours lie interleaved already, every other one, and so do their sums: what packing did to their order is undone at the
//! end ([`Halves::ordered`]), or an odd one is shifted to where it stands, above an even one.

#![expect(unsafe_code, reason = "raw loads in the innermost loops; bounds are checked once a row")]

use super::{Lanes, Vector, store_tile};
use std::marker::PhantomData;
use std::ops::Range;

/// Two weights, the first in the low half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Two(pub i32);

impl Two {
    /// The weights of a sample and of its partner.
    pub fn new(first: i16, second: i16) -> Self {
        Self(i32::from(first as u16) | (i32::from(second) << 16))
    }

    /// The weights of the two samples `2 pair` on from an even result, and from the one before an odd result: of the taps
    /// of a row, which both read there.
    pub fn shared(taps: &[i16], pair: usize) -> [Self; 2] {
        let tap = |i: usize| taps.get(i).copied().unwrap_or(0);
        let last = tap((2 * pair).wrapping_sub(1));
        [Self::new(tap(2 * pair), tap(2 * pair + 1)), Self::new(last, tap(2 * pair))]
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

/// How sums become 16-bit numbers: `unit * (sum + offset)`, the sum rounded to `f32` and their product to an integer, ties
/// to even: the same on every instruction set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Multiplied {
    /// What is added.
    pub offset: i32,
    /// What 1 is worth.
    pub unit: f32,
}

impl Multiplied {
    /// What becomes of a sum.
    #[inline(always)]
    pub fn of(self, sum: i32) -> i32 {
        (sum.wrapping_add(self.offset) as f32 * self.unit).round_ties_even() as i32
    }
}

/// How sums are cut off after the point: `2^-shift * sum`, truncated, for a shift of 1 at least; and how far another sum
/// may be from such a one. Where both differ in their integers, or may, the sum is in doubt. The two bounds lie less than
/// `2^shift` apart; of bounds that are -1 apart none is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// Bits to drop.
    pub shift: u32,
    /// The other sum is no greater than a sum and this.
    pub above: i32,
    /// Nor is it less than a sum less this.
    pub below: i32,
}

/// A vector of `i16`, whose products with pairs of weights are summed in `i32`.
pub trait Halves: Vector<Elem = i16> {
    /// The lanes of two vectors, side by side.
    type Pairs: Copy;
    /// A sum of `i32` for every lane.
    type Sums: Copy;

    /// The lanes of `a` and `b`, side by side.
    fn pairs(a: Self, b: Self) -> Self::Pairs;
    /// Reads `LANES` bytes, a lane each.
    ///
    /// # Safety
    /// - `from` is valid for reading `LANES` bytes.
    /// - The CPU has the instruction set (a token of it exists).
    #[expect(unsafe_code, reason = "raw vector access; bounds are checked once a row")]
    unsafe fn widened(from: *const u8) -> Self;
    /// Writes lanes and those of `next`, as the nearest bytes.
    ///
    /// # Safety
    /// - `to` is valid for writing `2 * LANES` bytes.
    /// - The CPU has the instruction set (a token of it exists).
    #[expect(unsafe_code, reason = "raw vector access; bounds are checked once a row")]
    unsafe fn store_bytes(self, next: Self, to: *mut u8);
    /// Samples with the one after each, in an order of lanes that [`Halves::ordered`] undoes.
    fn beside(samples: Self, next: Self) -> Self::Pairs;
    /// Adds products of every two samples, wrapping, to sums of [`Halves::beside`]: by the first weights to that of the
    /// first of both samples, by the second ones to that of the second.
    fn dot_twos(sums: Self::Sums, samples: Self, weights: [Two; 2]) -> Self::Sums;
    /// Adds `samples * weight`, wrapping, to sums of [`Halves::beside`].
    fn dot_alone(sums: Self::Sums, samples: Self, weight: i16) -> Self::Sums;
    /// Adds products of samples side by side along a row: to the sums of `NV` vectors of [`Halves::beside`] over pairs
    /// `k` of the samples `2 k` on from even ones, or from the one before an odd one, times `weights[k]`.
    ///
    /// # Safety
    /// - `row` is valid for reading `length` samples, `NV * LANES + 2 * weights.len() - 2` at least.
    /// - The CPU has the instruction set (a token of it exists).
    #[expect(unsafe_code, reason = "raw vector access; bounds are checked once a row")]
    #[inline(always)]
    unsafe fn dot_along<const NV: usize>(
        mut sums: [Self::Sums; NV],
        row: *const i16,
        _length: usize,
        weights: &[[Two; 2]],
    ) -> [Self::Sums; NV] {
        for (k, &weights) in weights.iter().enumerate() {
            for v in 0..NV {
                // SAFETY: the caller's promise.
                let samples = unsafe { Self::load(row.add(2 * k + v * Self::LANES)) };
                sums[v] = Self::dot_twos(sums[v], samples, weights);
            }
        }
        sums
    }
    /// What sums of [`Halves::beside`] became, in the order of the row.
    fn ordered(self) -> Self;
    /// `self`, and all bits in which `a` and `b` differ.
    fn apart(self, a: Self, b: Self) -> Self;
    /// Whether all lanes are 0.
    fn is_zero(self) -> bool;
    /// The same sum in all lanes.
    fn sums_of(sum: i32) -> Self::Sums;
    /// Adds `a * weights.first + b * weights.second`, wrapping.
    fn dot(sums: Self::Sums, pairs: Self::Pairs, weights: Two) -> Self::Sums;
    /// `sums + 2^-shift * parts`, rounded down, wrapping.
    fn plus_parts(sums: Self::Sums, parts: Self::Sums, shift: u32) -> Self::Sums;
    /// The sums as 16-bit numbers, saturated, and whether the other sum of one of them may have another integer.
    fn truncated(sums: Self::Sums, truncated: Truncated) -> (Self, bool);
    /// `2^-shift * sum`, rounded down, where 16 bits hold that. With `EVEN` an integer is made even, for a shift of 1 at
    /// least: of sums that have a half added to them, the nearest, and of ties the even one.
    fn narrowed<const EVEN: bool>(sums: Self::Sums, shift: u32) -> Self;
    /// The same of sums of [`Halves::beside`], in the order of the row.
    fn narrowed_beside<const EVEN: bool>(sums: Self::Sums, shift: u32) -> Self;
    /// The sums, as `f32`, times `unit`, as 16-bit numbers, saturated; what a number is of 32 bits at most.
    fn multiplied(sums: Self::Sums, unit: f32) -> Self;
}

impl<const N: usize> Halves for Lanes<i16, N, false> {
    type Pairs = [[i16; N]; 2];
    type Sums = [i32; N];

    #[inline(always)]
    fn pairs(a: Self, b: Self) -> Self::Pairs {
        [a.0, b.0]
    }
    #[inline(always)]
    unsafe fn widened(from: *const u8) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { from.cast::<[u8; N]>().read() }.map(i16::from))
    }
    #[inline(always)]
    unsafe fn store_bytes(self, next: Self, to: *mut u8) {
        let bytes = [self.0, next.0].map(|lanes| lanes.map(|lane| lane.clamp(0, 255) as u8));
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[[u8; N]; 2]>().write(bytes) }
    }
    #[inline(always)]
    fn beside(samples: Self, next: Self) -> Self::Pairs {
        [samples.0, next.0]
    }
    #[inline(always)]
    fn dot_twos(mut sums: Self::Sums, samples: Self, weights: [Two; 2]) -> Self::Sums {
        for l in 0..N {
            let Two(weights) = weights[l % 2];
            let [first, second] = [samples.0[l / 2 * 2], samples.0[l / 2 * 2 + 1]].map(i32::from);
            let products = (first * i32::from(weights as i16)).wrapping_add(second * (weights >> 16));
            sums[l] = sums[l].wrapping_add(products);
        }
        sums
    }
    #[inline(always)]
    fn dot_alone(sums: Self::Sums, samples: Self, weight: i16) -> Self::Sums {
        Self::dot(sums, Self::pairs(samples, samples), Two::new(weight, 0))
    }
    #[inline(always)]
    fn ordered(self) -> Self {
        self
    }
    #[inline(always)]
    fn apart(mut self, a: Self, b: Self) -> Self {
        for l in 0..N {
            self.0[l] |= a.0[l] ^ b.0[l];
        }
        self
    }
    #[inline(always)]
    fn is_zero(self) -> bool {
        self.0 == [0; N]
    }
    #[inline(always)]
    fn sums_of(sum: i32) -> Self::Sums {
        [sum; N]
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
    fn plus_parts(mut sums: Self::Sums, parts: Self::Sums, shift: u32) -> Self::Sums {
        sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum = sum.wrapping_add(part >> shift));
        sums
    }
    #[inline(always)]
    fn truncated(sums: Self::Sums, Truncated { shift, above, below }: Truncated) -> (Self, bool) {
        let fraction = (1 << shift) - 1;
        let doubted = |sum: &i32| {
            let most = sum.wrapping_add(above);
            (most & fraction) <= above + below && most & !fraction != 0
        };
        let cut = |sum: i32| (sum.wrapping_add((sum >> 31) & fraction)) >> shift;
        let narrow = |sum| cut(sum).clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        (Self(sums.map(narrow)), sums.iter().any(doubted))
    }
    #[inline(always)]
    fn narrowed<const EVEN: bool>(sums: Self::Sums, shift: u32) -> Self {
        Self(sums.map(|sum| {
            let tie = EVEN && sum & ((1 << shift) - 1) == 0;
            ((sum >> shift) & !i32::from(tie)) as i16
        }))
    }
    #[inline(always)]
    fn narrowed_beside<const EVEN: bool>(sums: Self::Sums, shift: u32) -> Self {
        Self::narrowed::<EVEN>(sums, shift)
    }
    #[inline(always)]
    fn multiplied(sums: Self::Sums, unit: f32) -> Self {
        let unit = Multiplied { offset: 0, unit };
        Self(sums.map(|sum| unit.of(sum).clamp(i16::MIN.into(), i16::MAX.into()) as i16))
    }
}

/// What becomes of sums: results, in a vector.
pub trait Ending<V: Halves> {
    /// What sums begin with.
    fn first(&self) -> i32 {
        0
    }
    /// The results of the sums of row `row` of those that are computed at once, from column `x` on.
    fn end(&mut self, sums: V::Sums, row: usize, x: usize) -> V;
    /// The same of sums of [`Halves::beside`].
    #[inline(always)]
    fn end_beside(&mut self, sums: V::Sums, row: usize, x: usize) -> V {
        self.end(sums, row, x).ordered()
    }
}

/// Rounds to the nearest, where 16 bits hold that; ties go up, or with `EVEN` to the even number, for a shift of 1 at least.
#[derive(Clone, Copy, Debug)]
pub struct Nearest<const EVEN: bool>(pub Rounded);

impl<V: Halves, const EVEN: bool> Ending<V> for Nearest<EVEN> {
    #[inline(always)]
    fn first(&self) -> i32 {
        self.0.offset.wrapping_add((1 << self.0.shift) >> 1)
    }
    #[inline(always)]
    fn end(&mut self, sums: V::Sums, _: usize, _: usize) -> V {
        V::narrowed::<EVEN>(sums, self.0.shift)
    }
    #[inline(always)]
    fn end_beside(&mut self, sums: V::Sums, _: usize, _: usize) -> V {
        V::narrowed_beside::<EVEN>(sums, self.0.shift)
    }
}

impl<V: Halves> Ending<V> for Multiplied {
    #[inline(always)]
    fn first(&self) -> i32 {
        self.offset
    }
    #[inline(always)]
    fn end(&mut self, sums: V::Sums, _: usize, _: usize) -> V {
        V::multiplied(sums, self.unit)
    }
}

/// Vectors of results whose doubts can be noted at once.
pub const MAX_NOTES: usize = 255;

/// Rows and columns of vectors; one more than can be noted, which is written to and not counted.
pub type Notes = [(u32, u32); MAX_NOTES + 1];

/// Truncates, and notes which vectors are in doubt.
#[derive(Debug)]
pub struct Noted<'n> {
    truncated: Truncated,
    notes: &'n mut Notes,
    count: usize,
}

impl<'n> Noted<'n> {
    /// Nothing is noted yet.
    pub fn new(truncated: Truncated, notes: &'n mut Notes) -> Self {
        Self { truncated, notes, count: 0 }
    }

    /// The rows and columns where vectors in doubt begin, in the order in which they were ended.
    pub fn notes(&self) -> impl Iterator<Item = (usize, usize)> {
        self.notes[..self.count].iter().map(|&(row, x)| (row as usize, x as usize))
    }
}

impl<V: Halves> Ending<V> for Noted<'_> {
    #[inline(always)]
    fn end(&mut self, sums: V::Sums, row: usize, x: usize) -> V {
        let (results, doubted) = V::truncated(sums, self.truncated);
        // Always written, and counted only if it is one: there is no branch to be guessed wrong.
        self.notes[self.count] = (row as u32, x as u32);
        self.count += usize::from(doubted);
        results
    }
}

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

    /// Samples from that of the first tap to the last that is read, for one result.
    fn reach(&self) -> usize {
        let pairs = self.weights.len();
        if self.step == 1 { 2 * pairs - 2 } else { (2 * pairs - 1) * self.step }
    }
}

/// Sums along a row: over the taps `k` of the samples `k step` on from the result's place, ended by `ending`.
///
/// # Panics
/// If the columns are not a whole number of vectors, or the row is shorter than they and what the taps reach, an odd
/// number of which reaches one more.
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
