//! The greatest samples of windows side by side in a row, and their places.
//!
//! ```text
//! for each vector of results:
//!     for each of the windows' rows, for each two taps of it:
//!         what the vector's windows meet is read once, and dealt out to both taps
//!         a greater sample, or a NaN, wins over the one before it
//! ```
#![expect(unsafe_code, reason = "raw vector access; bounds are checked once a vector")]

use super::{MAX_LANES, Vector, store_tile};

/// Windows of one row of results.
#[derive(Clone, Copy, Debug)]
pub struct Abreast<'a, A> {
    /// The windows' rows, each with the place of its first sample.
    pub rows: &'a [(&'a [A], u32)],
    /// Taps of a row.
    pub taps: usize,
    /// Samples from one window to the next: 1 or 2.
    pub stride: usize,
    /// A sample that none is less than.
    pub least: A,
    /// Of each window, the place where none is greater, less what they have in common.
    pub early: &'a [u32],
    /// What they have in common.
    pub skipped: u32,
    /// What each window's places are counted from, less what the windows have in common.
    pub starts: &'a [i64],
    /// What they have in common.
    pub base: i64,
}

/// Finds them, for as many windows as there are results, a vector's at least. Window `x` has the samples `x * stride + tap`
/// of each row, and a place is the row's and the tap's.
///
/// # Panics
/// If a row is too short, or the lengths differ.
#[inline(always)]
pub fn abreast<V: Vector>(windows: &Abreast<'_, V::Elem>, best: &mut [V::Elem], positions: &mut [i64]) {
    if windows.stride == 1 {
        row::<V, 1>(windows, best, positions);
    } else {
        assert!(windows.stride == 2, "a stride of 1 or 2");
        row::<V, 2>(windows, best, positions);
    }
}

#[inline(always)]
fn row<V: Vector, const STRIDE: usize>(
    windows: &Abreast<'_, V::Elem>,
    best: &mut [V::Elem],
    positions: &mut [i64],
) {
    let n = best.len();
    assert!(
        positions.len() == n && windows.early.len() == n && windows.starts.len() == n && n >= V::LANES,
        "a vector's windows"
    );
    // Whole groups of as many taps as the stride.
    let reach = (windows.taps.div_ceil(STRIDE) - 1 + n) * STRIDE;
    assert!(windows.rows.iter().all(|(row, _)| row.len() >= reach), "the rows cover the windows");
    for x in (0..n).step_by(V::LANES) {
        // The last windows overlap those before, and are the same again.
        let x = x.min(n - V::LANES);
        // SAFETY: just asserted.
        let (greatest, places) = unsafe { vector::<V, STRIDE>(windows, x) };
        store_tile(&[greatest], best, x);
        let mut found = [windows.base; MAX_LANES];
        for l in 0..V::LANES {
            found[l] += windows.starts[x + l] + i64::from(places[l]);
        }
        positions[x..x + V::LANES].copy_from_slice(&found[..V::LANES]);
    }
}

/// # Safety
/// `LANES` windows from `x` on are there, and the rows cover them in whole groups of `STRIDE` taps.
#[inline(always)]
unsafe fn vector<V: Vector, const STRIDE: usize>(
    windows: &Abreast<'_, V::Elem>,
    x: usize,
) -> (V, [u32; MAX_LANES]) {
    let mut early = [0; MAX_LANES];
    for l in 0..V::LANES {
        early[l] = windows.early[x + l] + windows.skipped;
    }
    let mut winners = (V::splat(windows.least), numbered::<V>(&early));
    for &(row, first) in windows.rows {
        for tap in (0..windows.taps).step_by(STRIDE) {
            // SAFETY: the caller's promise.
            unsafe {
                let (from, place) = (row.as_ptr().add(x * STRIDE + tap), first + tap as u32);
                if STRIDE == 1 {
                    winners = join(winners, V::load(from), place);
                } else {
                    let [even, odd] = V::dealt(from);
                    winners = join(winners, even, place);
                    if tap + 1 < windows.taps {
                        winners = join(winners, odd, place + 1);
                    }
                }
            }
        }
    }
    (winners.0, places(winners.1))
}

/// The greatest samples so far and a tap's, with their places.
#[inline(always)]
fn join<V: Vector>((greatest, numbers): (V, V), samples: V, place: u32) -> (V, V) {
    greatest.greatest(samples, numbers, V::splat(number(place)))
}

/// A place as a lane's bits, which are only ever chosen and moved.
#[inline(always)]
fn number<A: Copy>(place: u32) -> A {
    // SAFETY: lanes are numbers of 4 or 8 bytes, any bits of which are one.
    unsafe {
        match size_of::<A>() {
            4 => std::mem::transmute_copy(&place),
            8 => std::mem::transmute_copy(&u64::from(place)),
            _ => unreachable!("lanes of 4 or 8 bytes"),
        }
    }
}

#[inline(always)]
fn numbered<V: Vector>(places: &[u32; MAX_LANES]) -> V {
    let mut lanes = [V::Elem::default(); MAX_LANES];
    for l in 0..V::LANES {
        lanes[l] = number(places[l]);
    }
    V::of_lanes(&lanes)
}

#[inline(always)]
fn places<V: Vector>(numbers: V) -> [u32; MAX_LANES] {
    let (lanes, mut places) = (numbers.lanes(), [0; MAX_LANES]);
    for l in 0..V::LANES {
        // SAFETY: as in `number`; the low half comes first.
        places[l] = unsafe { std::mem::transmute_copy(&lanes[l]) };
    }
    places
}
