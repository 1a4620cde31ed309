//! The greatest samples of windows side by side in rows of results, and their places.
//!
//! ```text
//! for each row of results, for each vector of it:
//!     for each of the windows' rows, for each two taps of it:
//!         what the vector's windows meet is read once, and dealt out to both taps
//!         a greater sample, or a NaN, wins over the one before it
//! ```
#![expect(unsafe_code, reason = "raw vector access; bounds are checked once a block of rows")]

use super::{Vector, store_tile};
use crate::dtype::Accumulator;

/// Windows of some rows of results, which stand one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Abreast<'a, A> {
    /// The rows of the first results' windows, each with the place of its first sample.
    pub rows: &'a [(&'a [A], u32)],
    /// Taps of a row.
    pub taps: usize,
    /// Samples from one window to the next: 1 or 2.
    pub stride: usize,
    /// Rows of results, samples of a row from one to the next, and positions.
    pub down: [usize; 3],
    /// Results of a row.
    pub width: usize,
    /// A sample that none is less than.
    pub least: A,
    /// Of each window of a row, the place where no sample is greater, as a [`number`].
    pub early: &'a [A],
    /// What the places of each window of a row are counted from, less what the windows have in common.
    pub starts: &'a [i64],
    /// What those of the first row have in common.
    pub base: i64,
}

impl<A> Abreast<'_, A> {
    /// Windows of a row for which there are places to begin with, and samples of each row that are read: a vector's at least.
    pub const fn room(width: usize, lanes: usize, taps: usize, stride: usize) -> [usize; 2] {
        let windows = if width < lanes { lanes } else { width };
        [windows, (windows - 1 + taps.div_ceil(stride)) * stride]
    }
}

/// Finds them, with room for a row's places to `spare`. Window `x` has the samples `x * stride + tap` of each row, and a
/// place is the row's and the tap's.
///
/// # Panics
/// If a row is too short, or the lengths differ.
#[inline(always)]
pub fn abreast<V: Vector>(
    windows: &Abreast<'_, V::Elem>,
    spare: &mut [V::Elem],
    best: &mut [V::Elem],
    positions: &mut [i64],
) {
    // Loops of which the compiler knows the turns, where windows are those of most networks.
    match (windows.stride, windows.rows.len(), windows.taps) {
        (1, 3, 3) => block::<V, 1, 3, 3>(windows, spare, best, positions),
        (1, ..) => block::<V, 1, 0, 0>(windows, spare, best, positions),
        (2, 2, 2) => block::<V, 2, 2, 2>(windows, spare, best, positions),
        (2, 3, 3) => block::<V, 2, 3, 3>(windows, spare, best, positions),
        (2, ..) => block::<V, 2, 0, 0>(windows, spare, best, positions),
        _ => panic!("a stride of 1 or 2"),
    }
}

#[inline(always)]
fn block<V: Vector, const STRIDE: usize, const ROWS: usize, const TAPS: usize>(
    windows: &Abreast<'_, V::Elem>,
    spare: &mut [V::Elem],
    best: &mut [V::Elem],
    positions: &mut [i64],
) {
    let Abreast { rows, taps, down: [count, step, further], width, early, starts, .. } = *windows;
    let [places, reads] = Abreast::<V::Elem>::room(width, V::LANES, taps, STRIDE);
    let reach = count.saturating_sub(1) * step + reads;
    assert!(best.len() == count * width && rows.iter().all(|(row, _)| row.len() >= reach), "rows of windows");
    assert!(positions.len() == best.len(), "a position for each result");
    let (starts, numbers, early) = (&starts[..places], &mut spare[..places], &early[..places]);
    for y in 0..count {
        let mut x = 0;
        while x < width {
            // The last windows overlap those before, and are the same again.
            let from = x.min(places - V::LANES);
            // SAFETY: just asserted.
            unsafe {
                let (greatest, found) = vector::<V, STRIDE, ROWS, TAPS>(windows, y * step, early, from);
                found.store(numbers.as_mut_ptr().add(from));
                // What a vector has beyond a short row is the next one's, which comes later.
                store_tile(&[greatest], best, y * width + from);
            }
            x += V::LANES;
        }
        let into = &mut positions[y * width..];
        let base = windows.base + (y * further) as i64;
        for ((into, &start), &number) in into.iter_mut().zip(starts).zip(&*numbers) {
            *into = base + start + i64::from(place(number));
        }
    }
}

/// # Safety
/// `LANES` windows from `x` on, of the results that begin `row` samples on, are there, and the rows cover them in whole groups of
/// `STRIDE` taps. There are `ROWS` rows of `TAPS` taps, or any number if that is 0.
#[inline(always)]
unsafe fn vector<V: Vector, const STRIDE: usize, const ROWS: usize, const TAPS: usize>(
    windows: &Abreast<'_, V::Elem>,
    row: usize,
    early: &[V::Elem],
    x: usize,
) -> (V, V) {
    // SAFETY: the caller's promise.
    let mut winners = (V::splat(windows.least), unsafe { V::load(early.as_ptr().add(x)) });
    let rows = if ROWS > 0 { &windows.rows[..ROWS] } else { windows.rows };
    let taps = if TAPS > 0 { TAPS } else { windows.taps };
    for &(samples, first) in rows {
        for tap in (0..taps).step_by(STRIDE) {
            // SAFETY: the caller's promise.
            unsafe {
                let from = samples.as_ptr().add(row + x * STRIDE + tap);
                let place = first + tap as u32;
                if STRIDE == 1 {
                    winners = join(winners, V::load(from), place);
                } else {
                    let [even, odd] = V::dealt(from);
                    winners = join(winners, even, place);
                    if tap + 1 < taps {
                        winners = join(winners, odd, place + 1);
                    }
                }
            }
        }
    }
    winners
}

/// The greatest samples so far and a tap's, with their places.
#[inline(always)]
fn join<V: Vector>((greatest, numbers): (V, V), samples: V, place: u32) -> (V, V) {
    greatest.greatest(samples, numbers, V::splat(number(place)))
}

/// A place as a lane's bits, which are only ever chosen and moved.
#[inline(always)]
pub fn number<A: Accumulator>(place: u32) -> A {
    // SAFETY: lanes are numbers of 4 or 8 bytes, any bits of which are one.
    unsafe {
        match size_of::<A>() {
            4 => std::mem::transmute_copy(&place),
            8 => std::mem::transmute_copy(&u64::from(place)),
            _ => unreachable!("lanes of 4 or 8 bytes"),
        }
    }
}

/// The place of [`number`].
#[inline(always)]
fn place<A: Accumulator>(number: A) -> u32 {
    // SAFETY: as in `number`.
    unsafe {
        match size_of::<A>() {
            4 => std::mem::transmute_copy(&number),
            8 => std::mem::transmute_copy::<A, u64>(&number) as u32,
            _ => unreachable!("lanes of 4 or 8 bytes"),
        }
    }
}
