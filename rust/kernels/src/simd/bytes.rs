//! Sums of bytes in 16 bits, and the means made of them.
//!
//! A word of 16 bits holds two neighbouring bytes; its lower and its upper byte are dealt to two vectors, and put back side
//! by side at the end. In between a row is two rows of words, of the even places and of the odd ones, and no byte is
//! widened or narrowed by a permutation. Read from another byte on, the same two instructions deal out the samples of
//! another tap. Words are taken for numbers without a sign.

#![expect(unsafe_code, reason = "raw loads in the innermost loops; bounds are checked once a row")]

use super::{Ahead, Halves, Lanes};
use crate::alloc::Plain;

/// A divisor of sums in 16 bits: `floor(n / k) = n multiplier >> (16 + shift)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NarrowDivisor {
    /// The divisor.
    pub k: u16,
    /// Its inverse.
    pub multiplier: u16,
    /// What is left to shift by.
    pub shift: u32,
}

/// A divisor of sums in 32 bits, whose quotients are bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WideDivisor {
    /// The divisor.
    pub k: i32,
    /// `1 / k`.
    pub inverse: f32,
    /// Whether a product with the inverse, rounded, is the quotient, rounded.
    pub is_near: bool,
}

impl WideDivisor {
    /// The quotient, half to even.
    #[inline(always)]
    pub fn of(self, sum: i32) -> i32 {
        let near = (sum as f32 * self.inverse).round_ties_even() as i32;
        if self.is_near {
            return near;
        }
        // The product is a fraction off: what is left tells whether it was rounded to the wrong side.
        // (Lanes beyond a row may hold any number.)
        let left = sum.wrapping_sub(near.wrapping_mul(self.k));
        let (twice, bound) = (left.wrapping_mul(2), self.k - (near & 1));
        near + i32::from(twice > bound) - i32::from(twice.wrapping_neg() > bound)
    }
}

/// A vector of words.
pub trait Bytes: Halves {
    /// The lower byte of every word.
    fn even(self) -> Self;
    /// The upper one.
    fn odd(self) -> Self;
    /// Words of these bytes.
    fn side_by_side(even: Self, odd: Self) -> Self;
    /// Words of even places and of odd ones in turn.
    fn in_turn(even: Self, odd: Self) -> [Self; 2];
    /// Lanes, with a sign, as the nearest bytes.
    fn saturated(self) -> Self;
    /// Lanes times 256, wrapping.
    fn raised(self) -> Self;
    /// The quotients of words, half of the divisor added to each: half to even with `EVEN`, and without it of divisors that
    /// are odd.
    fn quotients<const EVEN: bool>(self, by: NarrowDivisor) -> Self;
    /// Reads sums of words.
    ///
    /// # Safety
    /// - `from` is valid for reading `LANES` sums.
    /// - The CPU has the instruction set (a token of it exists).
    unsafe fn read_sums(from: *const i32) -> Self::Sums;
    /// Writes what [`Self::read_sums`] reads.
    ///
    /// # Safety
    /// - `to` is valid for writing `LANES` sums.
    /// - The CPU has the instruction set (a token of it exists).
    unsafe fn write_sums(sums: Self::Sums, to: *mut i32);
    /// `sums + new - old`.
    fn replace(sums: Self::Sums, new: Self, old: Self) -> Self::Sums;
    /// The quotients of sums, half to even; without `EXACT` those of divisors whose products are [near](WideDivisor).
    fn quotients_of<const EXACT: bool>(sums: Self::Sums, by: WideDivisor) -> Self;
}

impl<const N: usize> Bytes for Lanes<i16, N, false> {
    #[inline(always)]
    fn even(self) -> Self {
        Self(self.0.map(|word| word & 255))
    }
    #[inline(always)]
    fn odd(self) -> Self {
        Self(self.0.map(|word| (word as u16 >> 8) as i16))
    }
    #[inline(always)]
    fn side_by_side(even: Self, odd: Self) -> Self {
        let mut words = even.0;
        for l in 0..N {
            words[l] |= odd.0[l] << 8;
        }
        Self(words)
    }
    #[inline(always)]
    fn in_turn(even: Self, odd: Self) -> [Self; 2] {
        // A word's lower byte is the first one, if this is so of its lower bits.
        let [even, odd] = if cfg!(target_endian = "big") { [odd, even] } else { [even, odd] };
        let word = |i: usize| if i.is_multiple_of(2) { even.0[i / 2] } else { odd.0[i / 2] };
        [0, N].map(|first| Self(std::array::from_fn(|l| word(first + l))))
    }
    #[inline(always)]
    fn saturated(self) -> Self {
        Self(self.0.map(|lane| lane.clamp(0, 255)))
    }
    #[inline(always)]
    fn raised(self) -> Self {
        Self(self.0.map(|lane| lane << 8))
    }
    #[inline(always)]
    fn quotients<const EVEN: bool>(self, by: NarrowDivisor) -> Self {
        Self(self.0.map(|word| {
            let n = word as u16;
            let q = ((u32::from(n) * u32::from(by.multiplier)) >> 16) as u16 >> by.shift;
            let tie = EVEN & (n == q.wrapping_mul(by.k)) & (q & 1 == 1);
            (q - u16::from(tie)) as i16
        }))
    }
    #[inline(always)]
    unsafe fn read_sums(from: *const i32) -> Self::Sums {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[i32; N]>().read() }
    }
    #[inline(always)]
    unsafe fn write_sums(sums: Self::Sums, to: *mut i32) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[i32; N]>().write(sums) }
    }
    #[inline(always)]
    fn replace(mut sums: Self::Sums, new: Self, old: Self) -> Self::Sums {
        for l in 0..N {
            let change = i32::from(new.0[l] as u16) - i32::from(old.0[l] as u16);
            sums[l] = sums[l].wrapping_add(change);
        }
        sums
    }
    #[inline(always)]
    fn quotients_of<const EXACT: bool>(sums: Self::Sums, by: WideDivisor) -> Self {
        Self(sums.map(|sum| by.of(sum) as i16))
    }
}

/// What sums over windows are made in, and what they are divided by.
pub trait Total<V: Bytes>: Copy {
    /// A sum.
    type Elem: Plain;
    /// A vector of them.
    type Sums: Copy;
    /// What is kept for the windows that gain row `unit`: of a ring of rows of `length` words, and of the totals.
    #[inline(always)]
    fn kept<'k>(
        ring: &'k mut [i16],
        totals: &'k mut [Self::Elem],
        length: usize,
        unit: usize,
    ) -> Kept<'k, Self::Elem> {
        let rows = ring.len() / length;
        Kept { row: &mut ring[unit % rows * length..][..length], totals }
    }
    /// What a sum begins with.
    fn start(self) -> Self::Elem;
    /// Reads sums.
    ///
    /// # Safety
    /// As [`Bytes::read_sums`].
    unsafe fn load(from: *const Self::Elem) -> Self::Sums;
    /// Writes them.
    ///
    /// # Safety
    /// As [`Bytes::write_sums`].
    unsafe fn store(sums: Self::Sums, to: *mut Self::Elem);
    /// The sums over windows that gain a row and lose one: `sums + new - old`, or [those of three rows](Three).
    fn replace(sums: Self::Sums, new: V, old: V) -> Self::Sums;
    /// The quotients, half to even.
    fn quotients(self, sums: Self::Sums) -> V;
}

/// Sums in 16 bits; `EVEN` is true if the divisor is.
#[derive(Clone, Copy, Debug)]
pub struct Narrow<const EVEN: bool>(pub NarrowDivisor);

impl<V: Bytes, const EVEN: bool> Total<V> for Narrow<EVEN> {
    type Elem = i16;
    type Sums = V;
    #[inline(always)]
    fn start(self) -> i16 {
        (self.0.k / 2) as i16
    }
    #[inline(always)]
    unsafe fn load(from: *const i16) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::load(from) }
    }
    #[inline(always)]
    unsafe fn store(sums: V, to: *mut i16) {
        // SAFETY: the caller's promise.
        unsafe { sums.store(to) }
    }
    #[inline(always)]
    fn replace(sums: V, new: V, old: V) -> V {
        sums.add(new.sub(old))
    }
    #[inline(always)]
    fn quotients(self, sums: V) -> V {
        sums.quotients::<EVEN>(self.0)
    }
}

/// Sums in 16 bits over windows of three rows, which are made anew of the rows each: what is read as a total is the row
/// between the others, and is not written. That leaves half of the writing.
#[derive(Clone, Copy, Debug)]
pub struct Three<const EVEN: bool>(pub NarrowDivisor);

impl<V: Bytes, const EVEN: bool> Total<V> for Three<EVEN> {
    type Elem = i16;
    type Sums = V;
    #[inline(always)]
    fn kept<'k>(ring: &'k mut [i16], _: &'k mut [i16], length: usize, unit: usize) -> Kept<'k, i16> {
        // Two rows take turns: the one before the last is the one that is lost.
        let (first, second) = ring[..2 * length].split_at_mut(length);
        let [row, totals] = if unit.is_multiple_of(2) { [first, second] } else { [second, first] };
        Kept { row, totals }
    }
    #[inline(always)]
    fn start(self) -> i16 {
        0
    }
    #[inline(always)]
    unsafe fn load(from: *const i16) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::load(from) }
    }
    #[inline(always)]
    unsafe fn store(_: V, _: *mut i16) {}
    #[inline(always)]
    fn replace(between: V, new: V, old: V) -> V {
        between.add(new).add(old)
    }
    #[inline(always)]
    fn quotients(self, sums: V) -> V {
        sums.add(V::splat((self.0.k / 2) as i16)).quotients::<EVEN>(self.0)
    }
}

/// Sums in 32 bits; `EXACT` is false if products are near.
#[derive(Clone, Copy, Debug)]
pub struct Wide<const EXACT: bool>(pub WideDivisor);

impl<V: Bytes, const EXACT: bool> Total<V> for Wide<EXACT> {
    type Elem = i32;
    type Sums = V::Sums;
    #[inline(always)]
    fn start(self) -> i32 {
        0
    }
    #[inline(always)]
    unsafe fn load(from: *const i32) -> V::Sums {
        // SAFETY: the caller's promise.
        unsafe { V::read_sums(from) }
    }
    #[inline(always)]
    unsafe fn store(sums: V::Sums, to: *mut i32) {
        // SAFETY: the caller's promise.
        unsafe { V::write_sums(sums, to) }
    }
    #[inline(always)]
    fn replace(sums: V::Sums, new: V, old: V) -> V::Sums {
        V::replace(sums, new, old)
    }
    #[inline(always)]
    fn quotients(self, sums: V::Sums) -> V {
        V::quotients_of::<EXACT>(sums, self.0)
    }
}

/// Sums of four bytes, `step` apart, of a row: `even` and `odd` places, as many vectors as they have.
///
/// # Panics
/// If the sums are not as many whole vectors of each, or the row is shorter than what they reach.
#[inline(always)]
pub fn fours<V: Bytes>(row: &[u8], step: usize, [even, odd]: [&mut [i16]; 2]) {
    let words = even.len();
    assert!(odd.len() == words && words.is_multiple_of(V::LANES), "whole vectors of both");
    assert!(row.len() >= 2 * words + 3 * step, "the row covers the sums");
    for x in (0..words).step_by(V::LANES) {
        // SAFETY: `2 (x + LANES) + 3 step` bytes and `x + LANES` sums, as asserted.
        unsafe {
            let tap = |t: usize| V::load(row.as_ptr().add(2 * x + t * step).cast());
            let [a, b, c, d] = [tap(0), tap(1), tap(2), tap(3)];
            a.even().add(b.even()).add(c.even().add(d.even())).store(even.as_mut_ptr().add(x));
            a.odd().add(b.odd()).add(c.odd().add(d.odd())).store(odd.as_mut_ptr().add(x));
        }
    }
}

/// Sums of four words of a row, `step` apart.
///
/// # Panics
/// As [`fours`].
#[inline(always)]
pub fn fours_of<V: Bytes>(row: &[i16], step: usize, out: &mut [i16]) {
    assert!(out.len().is_multiple_of(V::LANES), "whole vectors");
    assert!(row.len() >= out.len() + 3 * step, "the row covers the sums");
    for x in (0..out.len()).step_by(V::LANES) {
        // SAFETY: `x + LANES + 3 step` words and `x + LANES` sums, as asserted.
        unsafe {
            let tap = |t: usize| V::load(row.as_ptr().add(x + t * step));
            tap(0).add(tap(1)).add(tap(2).add(tap(3))).store(out.as_mut_ptr().add(x));
        }
    }
}

/// What the sums of a row are made of: the rows begin at the samples of the first result.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Sums of windows, of even places and of odd ones.
    pub sums: &'a [[&'a [i16]; 2]],
    /// Bytes.
    pub bytes: &'a [&'a [u8]],
    /// Bytes that are taken away.
    pub without: Option<&'a [u8]>,
}

impl Terms<'_> {
    /// Whether all rows have so many words.
    fn cover(&self, words: usize) -> bool {
        let mut bytes = self.bytes.iter().chain(&self.without);
        self.sums.iter().flatten().all(|sums| sums.len() >= words) && bytes.all(|b| b.len() >= 2 * words)
    }

    /// The sums of `NV` vectors of words from word `x` on, of even places and of odd ones. `ALONE` is the number of bytes,
    /// where they are all the terms there are.
    ///
    /// # Safety
    /// The rows have `x + NV * LANES` words.
    #[inline(always)]
    unsafe fn at<V: Bytes, const ALONE: usize, const NV: usize>(&self, x: usize) -> [[V; 2]; NV] {
        let words = |bytes: &[u8], v: usize| {
            // SAFETY: the caller's promise.
            unsafe { V::load(bytes.as_ptr().add(2 * (x + v * V::LANES)).cast()) }
        };
        let mut total = [[V::splat(0); 2]; NV];
        if ALONE > 0 {
            for t in 0..ALONE {
                for v in 0..NV {
                    // SAFETY: so many terms.
                    let words = words(unsafe { self.bytes.get_unchecked(t) }, v);
                    total[v] = [total[v][0].add(words.even()), total[v][1].add(words.odd())];
                }
            }
            return total;
        }
        for [even, odd] in self.sums {
            for v in 0..NV {
                let x = x + v * V::LANES;
                // SAFETY: the caller's promise.
                let [e, o] = unsafe { [V::load(even.as_ptr().add(x)), V::load(odd.as_ptr().add(x))] };
                total[v] = [total[v][0].add(e), total[v][1].add(o)];
            }
        }
        for bytes in self.bytes {
            for v in 0..NV {
                let words = words(bytes, v);
                total[v] = [total[v][0].add(words.even()), total[v][1].add(words.odd())];
            }
        }
        if let Some(bytes) = self.without {
            for v in 0..NV {
                let words = words(bytes, v);
                total[v] = [total[v][0].sub(words.even()), total[v][1].sub(words.odd())];
            }
        }
        total
    }
}

/// Vectors of words between which memory that is asked for [`Ahead`] comes nearer.
const PART: usize = 4;

/// Bytes of results for which `ahead` is asked once.
pub const fn bytes_of_part<V: Bytes>() -> usize {
    2 * PART * V::LANES
}

/// Sums of rows and over windows: all have the even places of a vector of words before the odd ones.
#[derive(Debug)]
pub struct Kept<'k, E> {
    /// The sums of a row that its window loses; those of the row that it gains take their place.
    pub row: &'k mut [i16],
    /// The sums over windows, or the row that [`Three`] has there.
    pub totals: &'k mut [E],
}

/// A row of means: windows gain a row, the sums of `terms`, and lose one, and the quotients of their sums are the results.
/// None are made if `out` is empty.
///
/// # Panics
/// If what is kept is not as many whole vectors of each, or more than the terms or less than the results.
#[inline(always)]
pub fn means<V: Bytes, T: Total<V>>(
    terms: &Terms<'_>,
    by: T,
    kept: &mut Kept<'_, T::Elem>,
    ahead: &Ahead,
    out: &mut [u8],
) {
    match (terms.bytes.len(), terms.sums.is_empty() && terms.without.is_none()) {
        (1, true) => means_of::<V, T, 1>(terms, by, kept, ahead, out),
        (2, true) => means_of::<V, T, 2>(terms, by, kept, ahead, out),
        (3, true) => means_of::<V, T, 3>(terms, by, kept, ahead, out),
        (4, true) => means_of::<V, T, 4>(terms, by, kept, ahead, out),
        _ => means_of::<V, T, 0>(terms, by, kept, ahead, out),
    }
}

#[inline(always)]
fn means_of<V: Bytes, T: Total<V>, const ALONE: usize>(
    terms: &Terms<'_>,
    by: T,
    kept: &mut Kept<'_, T::Elem>,
    ahead: &Ahead,
    out: &mut [u8],
) {
    let words = kept.row.len() / 2;
    assert!(kept.totals.len() == 2 * words && words.is_multiple_of(V::LANES), "whole vectors of both");
    assert!(terms.cover(words) && out.len() <= 2 * words, "the terms cover the results");
    let mut x = 0;
    // Whole vectors of results, several at once, and what is left.
    let results = out.len();
    let whole = results / (2 * V::LANES) * V::LANES;
    let most = if ahead.is_done() { whole } else { PART * V::LANES };
    while x < whole {
        let part = whole.min(x + most);
        while x + 2 * V::LANES <= part {
            // SAFETY: so many vectors, as asserted, and room for as many.
            unsafe {
                for (v, made) in means_at::<V, T, ALONE, 2>(terms, by, kept, x).into_iter().enumerate() {
                    made.store(out.as_mut_ptr().add(2 * (x + v * V::LANES)).cast());
                }
            }
            x += 2 * V::LANES;
        }
        if x < part {
            // SAFETY: likewise.
            unsafe {
                let [made] = means_at::<V, T, ALONE, 1>(terms, by, kept, x);
                made.store(out.as_mut_ptr().add(2 * x).cast());
            }
            x += V::LANES;
        }
        ahead.step();
    }
    while x < words {
        let mut all = [0_u8; 64];
        const { assert!(2 * V::LANES <= 64) };
        // SAFETY: so many vectors, as asserted; room for one.
        unsafe {
            let [made] = means_at::<V, T, ALONE, 1>(terms, by, kept, x);
            made.store(all.as_mut_ptr().cast());
        }
        // At most the last vector of them has results: those before it were whole.
        let rest = &mut out[(2 * x).min(results)..];
        rest.copy_from_slice(&all[..rest.len()]);
        x += V::LANES;
    }
}

/// # Safety
/// All rows have `x + NV * LANES` words, and what is kept two sums for each. `ALONE` is 0, or all terms are so many bytes.
#[inline(always)]
unsafe fn means_at<V: Bytes, T: Total<V>, const ALONE: usize, const NV: usize>(
    terms: &Terms<'_>,
    by: T,
    kept: &mut Kept<'_, T::Elem>,
    x: usize,
) -> [V; NV] {
    // SAFETY: the caller's promise.
    let mut made = unsafe { terms.at::<V, ALONE, NV>(x) };
    for (v, made) in made.iter_mut().enumerate() {
        for (half, new) in made.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let at = 2 * (x + v * V::LANES) + half * V::LANES;
                let (row, totals) = (kept.row.as_mut_ptr().add(at), kept.totals.as_mut_ptr().add(at));
                let old = V::load(row);
                new.store(row);
                let sums = T::replace(T::load(totals), *new, old);
                T::store(sums, totals);
                *new = by.quotients(sums);
            }
        }
    }
    let mut bytes = [V::splat(0); NV];
    for v in 0..NV {
        bytes[v] = V::side_by_side(made[v][0], made[v][1]);
    }
    bytes
}
