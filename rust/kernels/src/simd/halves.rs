//! Sums of 16-bit samples by products in pairs: one instruction multiplies two samples of a lane by two
//! weights and adds the products up in 32 bits.
//!
//! Samples of two rows, or of one row at two places, are interleaved in registers just before they are multiplied;
//! what stands in memory stays 16 bits wide. Interleaving and packing undo each other's order of lanes. Samples and their
//! neighbours lie interleaved already, every other one, and so do their sums: what packing did to their order is undone at the
//! end ([`Halves::ordered`]), or an odd one is shifted to where it stands, above an even one.

#![expect(unsafe_code, reason = "raw loads in the innermost loops; bounds are checked once a row")]

use super::{Lanes, Vector};

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
    /// `k` of the samples `2 k` on: from even ones, times the first of `weights[k]`; from the one before odd ones, the second.
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
