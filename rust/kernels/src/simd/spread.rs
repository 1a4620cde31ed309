//! Sums over taps that stand anywhere: one result row, a few vectors at a time.
//!
//! Each tap is a load and a multiply-add; the sums stay in registers.
#![expect(unsafe_code, reason = "the bounds of a whole row are checked once, at its head")]

use super::{Vector, store_tile};
use crate::dtype::Accumulator;

/// Taps of a source: the row of the window, the offset in it, the weight.
#[derive(Clone, Debug)]
pub struct Spread<A> {
    taps: Vec<(usize, usize, A)>,
}

/// Vectors of sums: enough for the latency of a multiply-add.
const MANY: usize = 8;

impl<A: Accumulator> Spread<A> {
    /// Those taps, in the order in which they are added.
    pub fn new(taps: impl IntoIterator<Item = (usize, usize, A)>) -> Self {
        Self { taps: taps.into_iter().collect() }
    }

    /// Computes results `0..width`, a whole number of vectors; `rows` gives the window's rows for each source. `out` may be
    /// shorter and takes what it has room for.
    ///
    /// # Panics
    /// If a row is missing or too short.
    #[inline(always)]
    pub fn run<'r, V: Vector<Elem = A>>(
        sources: &[Self],
        rows: impl Fn(usize) -> &'r [&'r [A]],
        width: usize,
        out: &mut [A],
    ) where
        A: 'r,
    {
        assert!(width.is_multiple_of(V::LANES), "whole vectors");
        for (s, source) in sources.iter().enumerate() {
            let rows = rows(s);
            let covered = |&(row, offset, _): &(usize, usize, A)| rows[row].len() >= width + offset;
            assert!(source.taps.iter().all(covered), "the rows cover the results");
        }
        let mut x = 0;
        while x + MANY * V::LANES <= width {
            // SAFETY: just asserted.
            unsafe { Self::at::<V, MANY>(sources, &rows, x, out) }
            x += MANY * V::LANES;
        }
        while x < width {
            // SAFETY: likewise.
            unsafe { Self::at::<V, 1>(sources, &rows, x, out) }
            x += V::LANES;
        }
    }

    /// # Safety
    /// Every row that has a tap has `x + NV * LANES` elements from the tap's offset on.
    #[inline(always)]
    unsafe fn at<'r, V: Vector<Elem = A>, const NV: usize>(
        sources: &[Self],
        rows: &impl Fn(usize) -> &'r [&'r [A]],
        x: usize,
        out: &mut [A],
    ) where
        A: 'r,
    {
        let mut sums = [V::splat(A::default()); NV];
        for (s, source) in sources.iter().enumerate() {
            let rows = rows(s);
            for &(row, offset, weight) in &source.taps {
                // SAFETY: `rows[row]` was indexed by the caller's check; the caller's promise for the elements.
                let from = unsafe { rows.get_unchecked(row).as_ptr().add(x + offset) };
                let weight = V::splat(weight);
                for v in 0..NV {
                    // SAFETY: as above.
                    sums[v] = sums[v].mul_add(unsafe { V::load(from.add(v * V::LANES)) }, weight);
                }
            }
        }
        if x < out.len() {
            store_tile(&sums, out, x);
        }
    }
}
