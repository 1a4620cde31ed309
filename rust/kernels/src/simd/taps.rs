//! The two loops of max pooling's gradient, over lanes that stay in registers: [`search`] finds which tap
//! of a window holds its greatest sample, [`take`] sums up what a sample takes from the windows that it
//! is the greatest of.
//!
//! A window's taps are numbered row by row, in the lanes' own type, so that a window's winner is one
//! lane. Both loops go over rows that are given and places in them: a window's samples for one, the
//! windows over a sample for the other.
#![expect(unsafe_code, reason = "raw loads in the innermost loops; bounds are checked once a vector's row")]

use super::Vector;

/// A place in a row, and the number that belongs to its column.
pub type Place<A> = (usize, A);

/// Vectors at once: what 16 registers hold of winners and their numbers beside what comes.
const MANY: usize = 4;

/// Windows side by side in the lanes, `found.len()` of them: the number of the tap that wins in each.
///
/// Window `l` has the samples `row[place + l]` for each of `rows` and each place of `cols`, in their
/// order, with the sum of the row's and the place's number. A window in which nothing is greater than
/// `least` keeps the number that it has.
///
/// # Panics
/// If a sample is outside its row; if there are fewer windows than a vector has lanes.
#[inline(always)]
pub fn search<V: Vector>(
    rows: &[(&[V::Elem], V::Elem)],
    cols: &[Place<V::Elem>],
    least: V::Elem,
    found: &mut [V::Elem],
) {
    let n = found.len();
    let mut l = 0;
    while l + MANY * V::LANES <= n {
        search_at::<V, MANY>(rows, cols, least, found, l);
        l += MANY * V::LANES;
    }
    while l < n {
        // The last ones overlap those before, which stay as they are.
        search_at::<V, 1>(rows, cols, least, found, l.min(n - V::LANES));
        l += V::LANES;
    }
}

#[inline(always)]
fn search_at<V: Vector, const N: usize>(
    rows: &[(&[V::Elem], V::Elem)],
    cols: &[Place<V::Elem>],
    least: V::Elem,
    found: &mut [V::Elem],
    l: usize,
) {
    let found = &mut found[l..][..N * V::LANES];
    let mut best = [V::splat(least); N];
    let mut numbers = best;
    for v in 0..N {
        // SAFETY: inside `found`.
        numbers[v] = unsafe { V::load(found.as_ptr().add(v * V::LANES)) };
    }
    for &(row, first) in rows {
        for &(place, number) in cols {
            let samples = &row[place + l..][..N * V::LANES];
            let number = V::splat(crate::dtype::Accumulator::plus(first, number));
            for v in 0..N {
                // SAFETY: inside `samples`.
                let sample = unsafe { V::load(samples.as_ptr().add(v * V::LANES)) };
                (best[v], numbers[v]) = best[v].greatest(sample, numbers[v], number);
            }
        }
    }
    for v in 0..N {
        // SAFETY: inside `found`.
        unsafe { numbers[v].store(found.as_mut_ptr().add(v * V::LANES)) };
    }
}

/// Windows of a row: the winners' numbers, their gradients, and the number of the sample's row as a tap.
pub type Windows<'a, A> = (&'a [A], &'a [A], A);

/// Samples side by side in the lanes, `sums.len()` of them: what each takes from the windows over it.
///
/// For each of `rows`, the winners' numbers, their gradients, and the number of the sample's row as a
/// tap, and for each place of `cols`, sample `l` takes `gradients[place + l]` where
/// `winners[place + l]` is the sum of both numbers; in their order.
///
/// # Panics
/// If a place is outside its row; if there are fewer samples than a vector has lanes.
#[inline(always)]
pub fn take<V: Vector>(rows: &[Windows<'_, V::Elem>], cols: &[Place<V::Elem>], sums: &mut [V::Elem]) {
    let n = sums.len();
    let mut l = 0;
    while l + MANY * V::LANES <= n {
        take_at::<V, MANY>(rows, cols, sums, l);
        l += MANY * V::LANES;
    }
    while l < n {
        // The last ones overlap those before, and are the same again.
        take_at::<V, 1>(rows, cols, sums, l.min(n - V::LANES));
        l += V::LANES;
    }
}

#[inline(always)]
fn take_at<V: Vector, const N: usize>(
    rows: &[Windows<'_, V::Elem>],
    cols: &[Place<V::Elem>],
    sums: &mut [V::Elem],
    l: usize,
) {
    let mut sum = [V::splat(V::Elem::default()); N];
    for &(winners, gradients, first) in rows {
        for &(place, number) in cols {
            let winners = &winners[place + l..][..N * V::LANES];
            let gradients = &gradients[place + l..][..N * V::LANES];
            let number = V::splat(crate::dtype::Accumulator::plus(first, number));
            for v in 0..N {
                // SAFETY: inside `winners` and `gradients`.
                let (winner, gradient) = unsafe {
                    (
                        V::load(winners.as_ptr().add(v * V::LANES)),
                        V::load(gradients.as_ptr().add(v * V::LANES)),
                    )
                };
                sum[v] = sum[v].add(winner.where_equal(number, gradient));
            }
        }
    }
    let sums = &mut sums[l..][..N * V::LANES];
    for v in 0..N {
        // SAFETY: inside `sums`.
        unsafe { sum[v].store(sums.as_mut_ptr().add(v * V::LANES)) };
    }
}
