//! Sums of bytes under small whole weights, in 16 bits.
//!
//! ```text
//! odd  = sum of  w * (word >> 8)
//! even = sum of  w * word  -  2^8 odd        modulo 2^16, in which sums fit
//! ```
//!
//! A word holds two neighbouring bytes ([`Bytes`]): its upper one is shifted out, its lower one is what the upper one's
//! share in the sum of words leaves. Weights of 1 and -1 need no product.
#![expect(unsafe_code, reason = "the bounds of a whole row are checked once, at its head")]

use super::{Ahead, Bytes, MAX_LANES};
use crate::dtype::Accumulator;

/// What becomes of sums.
pub trait OfWords: Accumulator {
    /// Writes the sums of a vector's even places and of its odd ones.
    ///
    /// # Safety
    /// `to` is valid for writing `2 * LANES` results.
    #[expect(unsafe_code, reason = "raw vector access; bounds are checked once a row")]
    unsafe fn store<V: Bytes>(even: V, odd: V, to: *mut Self);
}

impl OfWords for u8 {
    #[inline(always)]
    unsafe fn store<V: Bytes>(even: V, odd: V, to: *mut Self) {
        let bytes = V::side_by_side(even.saturated(), odd.saturated());
        // SAFETY: the caller's promise.
        unsafe { bytes.store(to.cast()) }
    }
}

impl OfWords for i16 {
    #[inline(always)]
    unsafe fn store<V: Bytes>(even: V, odd: V, to: *mut Self) {
        let [first, second] = V::in_turn(even, odd);
        // SAFETY: the caller's promise.
        unsafe {
            first.store(to);
            second.store(to.add(V::LANES));
        }
    }
}

/// Where a tap reads: the row of the window, and the offset in it.
type Tap = (usize, usize);

/// Taps by their weights.
#[derive(Clone, Debug, Default)]
pub struct Weighed {
    /// Weights of 1.
    plus: Vec<Tap>,
    /// Weights of -1.
    minus: Vec<Tap>,
    /// Any others.
    times: Vec<(Tap, i16)>,
    /// Rows that have taps, and the largest offset.
    rows: usize,
    reach: usize,
}

/// Vectors of words at once.
const MANY: usize = 4;

/// Bytes of results that are computed at once.
pub const fn bytes_at_once<V: Bytes>() -> usize {
    2 * MANY * V::LANES
}

impl Weighed {
    /// Those taps.
    pub fn new(taps: impl IntoIterator<Item = (usize, usize, i16)>) -> Self {
        let mut all = Self::default();
        for (row, offset, weight) in taps {
            (all.rows, all.reach) = (all.rows.max(row + 1), all.reach.max(offset));
            match weight {
                1 => all.plus.push((row, offset)),
                -1 => all.minus.push((row, offset)),
                _ => all.times.push(((row, offset), weight)),
            }
        }
        all
    }

    /// Computes as many results as `out` has room for, the sums or the nearest bytes of them; `rows` are the window's. Brings
    /// `ahead` near meanwhile, a step for [`bytes_at_once`].
    ///
    /// # Panics
    /// If a row is missing, or does not cover whole vectors of results.
    #[inline(always)]
    pub fn run<V: Bytes, T: OfWords>(&self, rows: &[&[u8]], ahead: &Ahead, out: &mut [T]) {
        let step = 2 * V::LANES;
        let length = out.len().next_multiple_of(step) + self.reach;
        assert!(rows[..self.rows].iter().all(|row| row.len() >= length), "the rows cover the results");
        let mut x = 0;
        while x + bytes_at_once::<V>() <= out.len() {
            // SAFETY: just asserted, and room for as many.
            unsafe {
                for (v, [even, odd]) in self.at::<V, MANY>(rows, x).into_iter().enumerate() {
                    T::store(even, odd, out.as_mut_ptr().add(x + v * step));
                }
            }
            x += bytes_at_once::<V>();
            ahead.step();
        }
        while x < out.len() {
            let mut all = [T::default(); 4 * MAX_LANES];
            const { assert!(2 * V::LANES <= 4 * MAX_LANES) };
            // SAFETY: likewise; room for a vector.
            unsafe {
                let [[even, odd]] = self.at::<V, 1>(rows, x);
                T::store(even, odd, all.as_mut_ptr());
            }
            let room = step.min(out.len() - x);
            out[x..x + room].copy_from_slice(&all[..room]);
            x += step;
        }
    }

    /// # Safety
    /// Every row that has a tap has `NV` vectors of words from `x` and the tap's offset on.
    #[inline(always)]
    unsafe fn at<V: Bytes, const NV: usize>(&self, rows: &[&[u8]], x: usize) -> [[V; 2]; NV] {
        // SAFETY: the rows were indexed by the caller's check; the caller's promise for the words.
        let words = |&(row, offset): &Tap, v: usize| unsafe {
            V::load(rows.get_unchecked(row).as_ptr().add(x + offset + 2 * v * V::LANES).cast())
        };
        let (mut all, mut odd) = ([V::splat(0); NV], [V::splat(0); NV]);
        for tap in &self.plus {
            for v in 0..NV {
                let words = words(tap, v);
                (all[v], odd[v]) = (all[v].add(words), odd[v].add(words.odd()));
            }
        }
        for tap in &self.minus {
            for v in 0..NV {
                let words = words(tap, v);
                (all[v], odd[v]) = (all[v].sub(words), odd[v].sub(words.odd()));
            }
        }
        for (tap, weight) in &self.times {
            let weight = V::splat(*weight);
            for v in 0..NV {
                let words = words(tap, v);
                (all[v], odd[v]) = (all[v].mul_add(words, weight), odd[v].mul_add(words.odd(), weight));
            }
        }
        let mut sums = [[V::splat(0); 2]; NV];
        for v in 0..NV {
            sums[v] = [all[v].sub(odd[v].raised()), odd[v]];
        }
        sums
    }
}
