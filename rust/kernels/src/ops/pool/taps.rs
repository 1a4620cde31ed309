//! The two loops of max pooling's gradient, over lanes that stay in registers: which tap of a window
//! holds its greatest sample, and what a sample takes from the windows that it is the greatest of.
//!
//! A window's taps are numbered row by row, so that a window's winner is one number. Both loops go
//! over rows that are given and offsets into them: a window's samples for one, the windows over a
//! sample for the other.

use super::fold::{Sample, wins};
use crate::dtype::Accumulator;
use std::ops::AddAssign;

/// Where a row is looked at, and the number that belongs to the place.
pub(super) type Place = (usize, u32);

/// The tap that wins, of each of `found.len()` windows side by side: window `l` has the samples
/// `rows[i].0[at + l]` for the `at` of `cols`, each with the number of its row and its column together.
/// A window of nothing but the least sample keeps what `found` holds.
#[inline(always)]
pub(super) fn search<T: Sample>(rows: &[(&[T], u32)], cols: &[Place], found: &mut [u32]) {
    by_lanes(
        found,
        #[inline(always)]
        |found: &mut [u32; LONG], l| search_lanes(rows, cols, found, l),
        #[inline(always)]
        |found: &mut [u32; SHORT], l| search_lanes(rows, cols, found, l),
        #[inline(always)]
        |found: &mut [u32; 1], l| search_lanes(rows, cols, found, l),
    );
}

#[inline(always)]
fn search_lanes<T: Sample, const L: usize>(
    rows: &[(&[T], u32)],
    cols: &[Place],
    found: &mut [u32; L],
    l: usize,
) {
    let (mut best, mut places) = ([T::LEAST; L], *found);
    for &(row, first) in rows {
        for &(at, tap) in cols {
            let samples: &[T; L] = row[at + l..][..L].try_into().expect("L lanes");
            let tap = first + tap;
            for l in 0..L {
                let won = wins(samples[l], best[l]);
                best[l] = if won { samples[l] } else { best[l] };
                places[l] = if won { tap } else { places[l] };
            }
        }
    }
    *found = places;
}

/// A row of windows: the winners' numbers, their gradients, and the number of the tap's row.
pub(super) type Winners<'r, A> = (&'r [u32], &'r [A], u32);

/// The gradient of each of `sums.len()` samples side by side: sample `l` takes `rows[o].1[at + l]` for
/// the `at` of `cols`, where the winner there is the tap of that row and column; in their order.
#[inline(always)]
pub(super) fn gather<A: Accumulator + AddAssign>(rows: &[Winners<'_, A>], cols: &[Place], sums: &mut [A]) {
    by_lanes(
        sums,
        #[inline(always)]
        |sums: &mut [A; LONG], l| gather_lanes(rows, cols, sums, l),
        #[inline(always)]
        |sums: &mut [A; SHORT], l| gather_lanes(rows, cols, sums, l),
        #[inline(always)]
        |sums: &mut [A; 1], l| gather_lanes(rows, cols, sums, l),
    );
}

#[inline(always)]
fn gather_lanes<A: Accumulator + AddAssign, const L: usize>(
    rows: &[Winners<'_, A>],
    cols: &[Place],
    sums: &mut [A; L],
    l: usize,
) {
    let mut sum = [A::default(); L];
    for &(winners, grads, first) in rows {
        for &(at, tap) in cols {
            let winners: &[u32; L] = winners[at + l..][..L].try_into().expect("L lanes");
            let grads: &[A; L] = grads[at + l..][..L].try_into().expect("L lanes");
            let tap = first + tap;
            for l in 0..L {
                sum[l] += if winners[l] == tap { grads[l] } else { A::default() };
            }
        }
    }
    *sums = sum;
}

/// Lanes at once: a few vectors, and one of 32 bytes.
const LONG: usize = 32;
pub(super) const SHORT: usize = 8;

/// Runs over `out` by so many lanes as are left; the last ones overlap those before where there are
/// enough. To run over a lane twice must not change it.
#[inline(always)]
fn by_lanes<O>(
    out: &mut [O],
    mut long: impl FnMut(&mut [O; LONG], usize),
    mut short: impl FnMut(&mut [O; SHORT], usize),
    mut single: impl FnMut(&mut [O; 1], usize),
) {
    let n = out.len();
    let mut l = 0;
    while let Some(lanes) = out[l..].first_chunk_mut() {
        long(lanes, l);
        l += LONG;
    }
    while let Some(lanes) = out[l..].first_chunk_mut() {
        short(lanes, l);
        l += SHORT;
    }
    if l < n
        && let Some(lanes) = out.last_chunk_mut()
    {
        return short(lanes, n - SHORT);
    }
    while let Some(lanes) = out[l..].first_chunk_mut() {
        single(lanes, l);
        l += 1;
    }
}
