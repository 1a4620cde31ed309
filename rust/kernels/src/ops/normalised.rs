//! Correlation that leaves samples out, row by row: normalised convolution.
//!
//! ```text
//! dst = sum(w x p) * sum(w) / sum(w p)        p: 1 where a sample is there, 0 where it is left out
//! ```
//!
//! Any loop over one window becomes one over two sources: what is there of the samples, and which of them are. Both
//! sums are a block's, so that the image is walked over once and neither source is ever stored. A result whose window is
//! whole is the plain one, to the bit; one whose window is empty is NaN.

use super::correlate::{Correlate, Source};
use super::strip::{Geometry, Inner, Window, sums};
use crate::dtype::Accumulator;
use crate::simd::{Simd, Vector, most_lanes};
use crate::view::Rows;
use std::marker::PhantomData;

/// The loop `I` over both sources.
pub(super) struct Normalised<I>(PhantomData<I>);

/// What `I` makes of the window, and of which results it is to make up for something.
pub(super) struct Prepared<P> {
    window: P,
    masked: bool,
    nan: bool,
    /// The sum of the weights, and how far a sum of those that are left may be from it for all to be left.
    total: f64,
    slack: f64,
    /// How large it may be for none to be left.
    empty: f64,
}

/// Roundings that a sum of weights is allowed, a weight.
const ROUNDINGS: f64 = 8.0;

impl<I: Inner> Inner for Normalised<I> {
    type Prepared<A: Accumulator> = Prepared<I::Prepared<A>>;

    const WHOLE: bool = I::WHOLE;
    const JOINED: bool = true;

    fn prepare<A: Accumulator>(
        problem: &Correlate,
        sources: &[Source],
        geometry: &Geometry,
    ) -> Self::Prepared<A> {
        let left_out = problem.left_out.expect("a problem that leaves samples out");
        let weights = problem.taps.re();
        let magnitude: f64 = weights.iter().map(|w| w.abs()).sum();
        let terms = problem.taps.shape().iter().sum::<usize>().min(weights.len());
        let slack = ROUNDINGS * terms as f64 * problem.arithmetic.unit_roundoff() * magnitude;
        Prepared {
            window: I::prepare::<A>(problem, &sources[..1], geometry),
            masked: left_out.masked,
            nan: left_out.nan,
            total: weights.iter().sum(),
            slack,
            // Positive weights that are left have a sum, however small.
            empty: if weights.iter().all(|&w| w >= 0.0) { 0.0 } else { slack },
        }
    }

    fn joined<S: Simd, A: Accumulator>(
        simd: S,
        prepared: &Self::Prepared<A>,
        [samples, there]: [&mut [A]; 2],
    ) {
        let Prepared { masked, nan, .. } = *prepared;
        simd.vectorize(
            #[inline(always)]
            || match (masked, nan) {
                (true, true) => join(samples, there, |sample, marked| unmarked(marked) & is_number(sample)),
                (true, false) => join(samples, there, |_, marked| unmarked(marked)),
                (false, true) => join(samples, there, |sample, _| is_number(sample)),
                (false, false) => there.fill(A::from_i128(1)),
            },
        );
    }

    fn scratch<A: Accumulator>(prepared: &Self::Prepared<A>, geometry: &Geometry, width: usize) -> usize {
        geometry.height * width.next_multiple_of(most_lanes::<A>())
            + I::scratch(&prepared.window, geometry, width)
    }

    #[inline(always)]
    fn block<S: Simd, V: Vector<Elem: Rows>, const R: usize>(
        simd: S,
        prepared: &Self::Prepared<V::Elem>,
        window: &Window<'_, V::Elem>,
        scratch: &mut [V::Elem],
        mut out: [&mut [V::Elem]; R],
    ) {
        let (beside, scratch) = scratch.split_at_mut(R * window.width);
        let mut rows = beside.chunks_exact_mut(window.width);
        let weights = std::array::from_fn(|_| rows.next().expect("a row for each"));
        let (first, second) = window.rows.split_at(window.rows.len() / 2);
        let of =
            |rows| Window { rows, width: window.width, inside: window.inside.clone(), ahead: window.ahead };
        let results = out.each_mut().map(|row| &mut **row);
        sums::<I, S, V, R>(simd, &prepared.window, &of(first), scratch, results);
        sums::<I, S, V, R>(simd, &prepared.window, &of(second), scratch, weights);
        for (row, weights) in out.into_iter().zip(beside.chunks_exact(window.width)) {
            make_up(prepared, row, weights);
        }
    }
}

/// Puts zeros for samples that are left out, and ones and zeros for what is there.
#[inline(always)]
fn join<A: Accumulator>(samples: &mut [A], there: &mut [A], left: impl Fn(A, A) -> bool) {
    let one = A::from_i128(1);
    let choose = |(sample, there): (&mut A, &mut A)| {
        let (value, zero) = (*sample, A::default());
        let left = left(value, *there);
        *sample = if left { value } else { zero };
        *there = if left { one } else { zero };
    };
    samples.iter_mut().zip(there).for_each(choose);
}

#[inline(always)]
fn unmarked<A: Accumulator>(marked: A) -> bool {
    marked == A::default()
}

/// Whether a number is one, and no NaN.
#[inline(always)]
#[expect(clippy::eq_op, reason = "a NaN is the one number that is not itself")]
fn is_number<A: Accumulator>(a: A) -> bool {
    a == a
}

/// Results that are looked at together: in many of an image's parts every window is whole.
const CHUNK: usize = 64;

/// Multiplies results by what their weights lack, where they do.
#[inline(always)]
fn make_up<P, A: Accumulator>(prepared: &Prepared<P>, row: &mut [A], weights: &[A]) {
    let &Prepared { total, slack, empty, .. } = prepared;
    let [whole, lack, none] = [total, slack, empty].map(|limit| [A::from_f64(limit), A::from_f64(-limit)]);
    let nan = A::from_f64(f64::NAN);
    let outside = |a: A, limit: [A; 2]| (a > limit[0]) | (a < limit[1]);
    let lacks = |weight: A| outside(weight.plus(whole[1]), lack);
    for (row, weights) in row.chunks_mut(CHUNK).zip(weights.chunks(CHUNK)) {
        if !weights.iter().fold(false, |any, &weight| any | lacks(weight)) {
            continue;
        }
        for (a, &weight) in row.iter_mut().zip(weights) {
            let (result, lacks) = (*a, lacks(weight));
            let made_up = result.made_up(whole[0], weight);
            let made_up = if outside(weight, none) { made_up } else { nan };
            *a = if lacks { made_up } else { result };
        }
    }
}
