//! Sums along a row.
//!
//! ```text
//! out[x] = sum over sources, taps of  w * source[x + offset]
//! ```
//!
//! Nothing is shared between the rows of a block here, and the samples of a tap begin anywhere: a vector of 64 bytes
//! then straddles two cache lines, and takes as long to load as two multiplications. Two taps that are a whole number of
//! vectors apart read the same vectors, each for results as far apart: one load feeds both.
//!
//! ```text
//! acc[v] += w0 * vector[v] + w1 * vector[v + apart]        vector[v] = source[x + offset + v * LANES ..]
//! ```
//!
//! Taps are added in pairs that are [`most_lanes`] taps apart, however far from each other they read and whatever the
//! instruction set's vectors are: the order of the sums, and so their bits, are the same for all.
#![expect(unsafe_code, reason = "the bounds of a whole row are checked once, at its head")]

use super::{Vector, most_lanes, store_tile};
use crate::dtype::Accumulator;

/// Two taps that are [`most_lanes`] taps apart: where they read, and their weights.
#[derive(Clone, Copy, Debug)]
struct Pair<A> {
    offsets: [usize; 2],
    weights: [A; 2],
}

/// The taps of a source: in pairs, then those without a partner.
#[derive(Clone, Debug)]
struct Source<A> {
    pairs: Vec<Pair<A>>,
    alone: Vec<(usize, A)>,
}

/// The weights of sums along a row, in the order in which they are used.
#[derive(Clone, Debug)]
pub struct RowProgram<A> {
    sources: Vec<Source<A>>,
    reach: usize,
    /// Whether the taps of a pair read as many samples apart as they are taps apart.
    near: bool,
}

impl<A: Accumulator> RowProgram<A> {
    /// For taps at `offsets`; `sources` gives the weights of each source.
    ///
    /// # Panics
    /// If a source has not one weight a tap.
    pub fn new(offsets: &[usize], sources: &[&[A]]) -> Self {
        let apart = most_lanes::<A>();
        // Of each two times as many taps the first half have partners.
        let first = |i: usize| (i / apart).is_multiple_of(2);
        let paired = |i: usize| first(i) && i + apart < offsets.len();
        let ordered = |weights: &&[A]| {
            assert_eq!(weights.len(), offsets.len(), "a weight for each tap");
            let pair = |i: usize| Pair {
                offsets: [offsets[i], offsets[i + apart]],
                weights: [weights[i], weights[i + apart]],
            };
            let all = 0..offsets.len();
            let pairs = all.clone().filter(|&i| paired(i)).map(pair).collect();
            let alone = all.filter(|&i| first(i) && !paired(i)).map(|i| (offsets[i], weights[i])).collect();
            Source { pairs, alone }
        };
        let reach = offsets.iter().copied().max().unwrap_or(0);
        let near =
            (0..offsets.len()).filter(|&i| paired(i)).all(|i| offsets[i] + apart == offsets[i + apart]);
        Self { sources: sources.iter().map(ordered).collect(), reach, near }
    }

    /// Computes results `0..width` from a row of each source. `width` is a whole number of vectors; `out` may be
    /// shorter and takes what it has room for.
    ///
    /// # Panics
    /// If a row is missing or too short.
    #[inline(always)]
    pub fn run<V: Vector<Elem = A>>(&self, rows: &[&[A]], width: usize, out: &mut [A]) {
        assert!(width.is_multiple_of(V::LANES), "whole vectors");
        assert!(
            rows.len() == self.sources.len() && rows.iter().all(|row| row.len() >= width + self.reach),
            "the rows cover the results"
        );
        let mut x = 0;
        macro_rules! vectors {
            ($nv:literal) => {
                while x + $nv * V::LANES <= width {
                    // SAFETY: the rows cover `x + NV * LANES + reach`.
                    let sums = unsafe {
                        if self.near {
                            self.sums::<V, $nv, true>(rows, x)
                        } else {
                            self.sums::<V, $nv, false>(rows, x)
                        }
                    };
                    store_tile(&sums, out, x);
                    x += $nv * V::LANES;
                }
            };
        }
        // One vector alone waits for the sum before it, tap after tap.
        vectors!(8);
        vectors!(4);
        vectors!(2);
        vectors!(1);
    }

    /// # Safety
    /// There is a row for each source, with `x + NV * LANES + reach` elements.
    #[inline(always)]
    unsafe fn sums<V: Vector<Elem = A>, const NV: usize, const NEAR: bool>(
        &self,
        rows: &[&[A]],
        x: usize,
    ) -> [V; NV] {
        let apart = const { most_lanes::<A>() / V::LANES };
        let mut sums = [V::splat(A::default()); NV];
        for (Source { pairs, alone }, row) in self.sources.iter().zip(rows) {
            // SAFETY: the caller's promise.
            let row = unsafe { row.as_ptr().add(x) };
            // SAFETY: where it is called, no tap reads beyond the reach, nor does a vector less than `apart` behind the last
            // one that a pair's first tap reads.
            let load = |offset: usize, v: usize| unsafe { V::load(row.add(offset + v * V::LANES)) };
            for &Pair { offsets, weights } in pairs {
                let [first, second] = weights.map(V::splat);
                // What a pair's first tap reads, an earlier vector's second tap has read.
                let shared = NEAR && apart <= 2;
                let mut vectors = [V::splat(A::default()); 2];
                for v in 0..if shared { apart } else { 0 } {
                    vectors[v] = load(offsets[0], v);
                }
                for v in 0..NV {
                    let sample = if shared { vectors[v % apart] } else { load(offsets[0], v) };
                    let next = load(offsets[1], v);
                    sums[v] = sums[v].mul_add(sample, first).mul_add(next, second);
                    if shared {
                        vectors[v % apart] = next;
                    }
                }
            }
            for &(offset, weight) in alone {
                let weight = V::splat(weight);
                for v in 0..NV {
                    sums[v] = sums[v].mul_add(load(offset, v), weight);
                }
            }
        }
        sums
    }
}
