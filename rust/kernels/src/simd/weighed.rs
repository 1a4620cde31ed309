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

use super::{Ahead, Bytes, Lane, Lanes, Simd};

/// Bytes as they stand in an image, in vectors that are whole ones of any instruction set.
#[derive(Debug)]
pub enum ByteLane {}

impl Lane for ByteLane {
    type Elem = u8;
    type Vector<S: Simd> = Lanes<u8, 64, false>;
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

    /// Computes as many results as `out` has room for, the nearest bytes of the sums; `rows` are the window's. Brings
    /// `ahead` near meanwhile, a step for [`bytes_at_once`].
    ///
    /// # Panics
    /// If a row is missing, or does not cover whole vectors of results.
    #[inline(always)]
    pub fn run<V: Bytes>(&self, rows: &[&[u8]], ahead: &Ahead, out: &mut [u8]) {
        let step = 2 * V::LANES;
        let length = out.len().next_multiple_of(step) + self.reach;
        assert!(rows[..self.rows].iter().all(|row| row.len() >= length), "the rows cover the results");
        let mut x = 0;
        while x + bytes_at_once::<V>() <= out.len() {
            // SAFETY: just asserted, and room for as many.
            unsafe {
                let made = self.at::<V, MANY>(rows, x);
                for v in 0..MANY {
                    made[v].store(out.as_mut_ptr().add(x + v * step).cast());
                }
            }
            x += bytes_at_once::<V>();
            ahead.step();
        }
        while x < out.len() {
            let mut all = [0_u8; 64];
            const { assert!(2 * V::LANES <= 64) };
            // SAFETY: likewise; room for a vector.
            unsafe { self.at::<V, 1>(rows, x)[0].store(all.as_mut_ptr().cast()) }
            let room = step.min(out.len() - x);
            out[x..x + room].copy_from_slice(&all[..room]);
            x += step;
        }
    }

    /// # Safety
    /// Every row that has a tap has `NV` vectors of words from `x` and the tap's offset on.
    #[inline(always)]
    unsafe fn at<V: Bytes, const NV: usize>(&self, rows: &[&[u8]], x: usize) -> [V; NV] {
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
        for v in 0..NV {
            let even = all[v].sub(odd[v].raised());
            all[v] = V::side_by_side(even.saturated(), odd[v].saturated());
        }
        all
    }
}
