//! Sums along a row.
//!
//! ```text
//! out[x] = sum over sources, taps of  w * source[x + offset]
//! ```
//!
//! Nothing is shared between the rows of a block here, and the samples of a tap begin anywhere: a vector of 64 bytes
//! then straddles two cache lines, and half as many are loaded as are multiplied. Two taps that are a whole number of
//! vectors apart read the same vectors, each for results as far apart: one load feeds both.
//!
//! ```text
//! acc[v] += w0 * vector[v] + w1 * vector[v + apart]        vector[v] = source[x + offset + v * LANES ..]
//! ```
//!
//! Pairs are [`most_lanes`] apart, whatever the instruction set's vectors are: the order of the sums, and so their bits,
//! are the same on all.
#![expect(unsafe_code, reason = "the bounds of a whole row are checked once, at its head")]

use super::{Vector, most_lanes, store_tile};
use crate::dtype::Accumulator;

/// Two taps that are [`most_lanes`] apart: where the first reads, and their weights.
#[derive(Clone, Copy, Debug)]
struct Pair<A> {
    offset: usize,
    weights: [A; 2],
}

/// The weights of sums along a row, in the order in which they are used.
#[derive(Clone, Debug)]
pub struct RowProgram<A> {
    /// Of each source: taps in pairs, then those without a partner.
    sources: Vec<(Vec<Pair<A>>, Vec<(usize, A)>)>,
    reach: usize,
}

impl<A: Accumulator> RowProgram<A> {
    /// For taps at ascending `offsets`; `sources` gives the weights of each source.
    ///
    /// # Panics
    /// If a source has not one weight a tap.
    pub fn new(offsets: &[usize], sources: &[&[A]]) -> Self {
        let ordered = |weights: &&[A]| {
            assert_eq!(weights.len(), offsets.len(), "a weight for each tap");
            let mut paired = vec![false; offsets.len()];
            let (mut pairs, mut alone) = (Vec::new(), Vec::new());
            for (i, &offset) in offsets.iter().enumerate() {
                if paired[i] {
                    continue;
                }
                match offsets.binary_search(&(offset + most_lanes::<A>())) {
                    Ok(j) => {
                        paired[j] = true;
                        pairs.push(Pair { offset, weights: [weights[i], weights[j]] });
                    }
                    Err(_) => alone.push((offset, weights[i])),
                }
            }
            (pairs, alone)
        };
        let reach = offsets.iter().copied().max().unwrap_or(0);
        Self { sources: sources.iter().map(ordered).collect(), reach }
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
                    let sums = unsafe { self.sums::<V, $nv>(rows, x) };
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
    unsafe fn sums<V: Vector<Elem = A>, const NV: usize>(&self, rows: &[&[A]], x: usize) -> [V; NV] {
        let apart = const { most_lanes::<A>() / V::LANES };
        let mut sums = [V::splat(A::default()); NV];
        for ((pairs, alone), row) in self.sources.iter().zip(rows) {
            // SAFETY: the caller's promise, here and below; a pair's second tap reads within the reach too.
            let row = unsafe { row.as_ptr().add(x) };
            for &Pair { offset, weights } in pairs {
                let [first, second] = weights.map(V::splat);
                let load = |v: usize| unsafe { V::load(row.add(offset + v * V::LANES)) };
                let mut vectors = [V::splat(A::default()); 2];
                for v in 0..apart.min(2) {
                    vectors[v] = load(v);
                }
                for v in 0..NV {
                    // What a pair's first tap reads, an earlier vector's second tap has read.
                    let (sample, next) = match apart {
                        1 | 2 => (vectors[v % apart], load(v + apart)),
                        _ => (load(v), load(v + apart)),
                    };
                    sums[v] = sums[v].mul_add(sample, first).mul_add(next, second);
                    if apart <= 2 {
                        vectors[v % apart] = next;
                    }
                }
            }
            for &(offset, weight) in alone {
                let weight = V::splat(weight);
                for v in 0..NV {
                    let sample = unsafe { V::load(row.add(offset + v * V::LANES)) };
                    sums[v] = sums[v].mul_add(sample, weight);
                }
            }
        }
        sums
    }
}
