//! The magnitude of two correlations of one image, row by row: a gradient's, if the windows are derivatives.
//!
//! ```text
//! dst = finish( sqrt( a^2 + b^2 ) )        a, b: the sums over either window
//! ```
//!
//! Any loop over one window becomes one over two: both read the same source rows, and what they make of a block is
//! combined before it is written, so that the image is walked over once and neither derivative is ever stored.

use super::correlate::{Correlate, Source};
use super::strip::{Geometry, Inner, Window, sums};
use crate::dtype::Accumulator;
use crate::simd::{Simd, Vector, most_lanes};
use crate::view::Rows;
use std::marker::PhantomData;

/// The loop `I` over both windows.
pub(super) struct Magnitude<I>(PhantomData<I>);

/// What `I` makes of either window, and the scratch that it needs.
pub(super) struct Prepared<P> {
    windows: [P; 2],
}

impl<I: Inner> Inner for Magnitude<I> {
    type Prepared<A: Accumulator> = Prepared<I::Prepared<A>>;

    const WHOLE: bool = I::WHOLE;
    const PRODUCTS: bool = I::PRODUCTS;

    fn prepare<A: Accumulator>(
        problem: &Correlate,
        sources: &[Source],
        geometry: &Geometry,
    ) -> Self::Prepared<A> {
        let second = problem.second().expect("a magnitude has two windows");
        Prepared { windows: [problem, &second].map(|problem| I::prepare::<A>(problem, sources, geometry)) }
    }

    fn scratch<A: Accumulator>(prepared: &Self::Prepared<A>, geometry: &Geometry, width: usize) -> usize {
        let windows = prepared.windows.each_ref().map(|window| I::scratch(window, geometry, width));
        geometry.height * width.next_multiple_of(most_lanes::<A>()) + windows[0].max(windows[1])
    }

    #[inline(always)]
    fn block<S: Simd, V: Vector<Elem: Rows>, const R: usize>(
        simd: S,
        prepared: &Self::Prepared<V::Elem>,
        window: &Window<'_, V::Elem>,
        scratch: &mut [V::Elem],
        mut out: [&mut [V::Elem]; R],
    ) {
        let [first, second] = &prepared.windows;
        let (beside, scratch) = scratch.split_at_mut(R * window.width);
        let mut rows = beside.chunks_exact_mut(window.width);
        let others = std::array::from_fn(|_| rows.next().expect("a row for each"));
        sums::<I, S, V, R>(simd, first, window, scratch, out.each_mut().map(|row| &mut **row));
        sums::<I, S, V, R>(simd, second, window, scratch, others);
        for (row, other) in out.into_iter().zip(beside.chunks_exact(window.width)) {
            row.iter_mut().zip(other).for_each(|(a, &b)| *a = a.norm(b));
        }
    }
}
