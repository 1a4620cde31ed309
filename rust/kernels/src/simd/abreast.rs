//! The greatest samples of windows side by side in rows of results, and their places.
//!
//! ```text
//! for each row of results, for each vector of it:
//!     for each of the windows' rows, for each `stride` taps of it:
//!         what the vector's windows meet is read once, the least sample where that is no column of the image,
//!         and dealt out to the taps
//!         a greater sample, or a NaN, wins over the one before it
//! ```
//!
//! Where places don't matter, the windows' rows are joined before they are dealt out.
#![expect(unsafe_code, reason = "raw vector access; bounds are settled once a row, not once a load")]

use super::{Vector, load_tile, store_tile};
use crate::dtype::Accumulator;
use crate::shape::Axis;
use std::ops::Range;

/// Taps of a window's row or column, at most.
pub const MOST_TAPS: usize = 8;

/// A vector's windows in a row of results.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The first.
    window: usize,
    /// The column of its first tap.
    column: isize,
    /// Of each vector that is read the lanes that are columns of the image, as bits.
    inside: [u32; MOST_TAPS],
    /// Whether all are.
    whole: bool,
}

/// Windows over the rows and columns of pictures of one channel that stand below each other.
#[derive(Debug)]
pub struct Abreast<A> {
    axes: [Axis; 2],
    /// A sample that none is less than.
    least: A,
    /// A row of it.
    outside: Vec<A>,
    steps: Vec<Step>,
    /// The column of each window's first tap.
    starts: Vec<i64>,
    /// The [`number`] of each window's first place in the image, where none of its rows is outside, one, and so on.
    early: Vec<A>,
}

impl<A: Accumulator> Abreast<A> {
    /// Prepares windows over rows and columns for vectors of type `V`; no sample is less than `least`.
    ///
    /// # Panics
    /// If there are more than [`MOST_TAPS`] taps along an axis, or columns have a stride above 2 or a dilation.
    pub fn new<V: Vector<Elem = A>>(axes: [Axis; 2], least: A) -> Self {
        let [rows, cols] = axes;
        assert!(rows.taps <= MOST_TAPS && cols.taps <= MOST_TAPS, "up to eight taps");
        assert!(matches!(cols.stride, 1 | 2) && cols.dilation == 1, "a stride of 1 or 2");
        let columns = |window: usize| (window * cols.stride) as isize - cols.before;
        let steps = (0..cols.dst).step_by(V::LANES).map(|x| {
            // The last windows overlap those before, and are the same again.
            let window = x.min(cols.dst.saturating_sub(V::LANES));
            let mut step = Step { window, column: columns(window), inside: [0; MOST_TAPS], whole: true };
            for (read, inside) in (0..cols.taps.next_multiple_of(cols.stride)).zip(&mut step.inside) {
                let first = step.column + offset::<V>(read, cols.stride) as isize;
                let is_inside = |&lane: &usize| (0..cols.src as isize).contains(&(first + lane as isize));
                *inside = (0..V::LANES).filter(is_inside).map(|lane| 1 << lane).sum();
                step.whole &= inside.count_ones() as usize == V::LANES;
            }
            step
        });
        let windows = 0..cols.dst.max(V::LANES);
        let columns_skipped = |window: usize| columns(window).min(0).unsigned_abs();
        let most_skipped = rows.before.max(0).unsigned_abs().div_ceil(rows.dilation);
        let early = (0..=most_skipped).flat_map(|skipped| {
            let rows = skipped * rows.dilation * cols.src;
            windows.clone().map(move |window| number((rows + columns_skipped(window)) as u32))
        });
        Self {
            axes,
            least,
            outside: vec![least; cols.src],
            steps: steps.collect(),
            early: early.collect(),
            starts: windows.map(|window| columns(window) as i64).collect(),
        }
    }

    /// Finds the greatest sample of each window of some rows of results and, if `positions` are asked for, where it is in its
    /// picture, `row * columns + column`: of equal ones the first.
    ///
    /// # Panics
    /// If `samples` end before the rows' windows do, or a length is not that of the rows of results.
    #[inline(always)]
    pub fn run<V: Vector<Elem = A>>(
        &self,
        samples: &[A],
        rows: Range<usize>,
        best: &mut [A],
        positions: Option<&mut [i64]>,
    ) {
        // Loops of which the compiler knows the turns, where windows are those of most networks.
        let [above, across] = &self.axes;
        match (across.stride, above.taps, across.taps) {
            (1, 3, 3) => self.rows::<V, 1, 3, 3>(samples, rows, best, positions),
            (1, ..) => self.rows::<V, 1, 0, 0>(samples, rows, best, positions),
            (_, 2, 2) => self.rows::<V, 2, 2, 2>(samples, rows, best, positions),
            (_, 3, 3) => self.rows::<V, 2, 3, 3>(samples, rows, best, positions),
            _ => self.rows::<V, 2, 0, 0>(samples, rows, best, positions),
        }
    }

    #[inline(always)]
    fn rows<V: Vector<Elem = A>, const STRIDE: usize, const ROWS: usize, const TAPS: usize>(
        &self,
        samples: &[A],
        rows: Range<usize>,
        best: &mut [A],
        mut positions: Option<&mut [i64]>,
    ) {
        let [above, across] = &self.axes;
        let (height, pitch, width) = (above.src, across.src, across.dst);
        assert!(best.len() == rows.len() * width, "rows of results");
        assert!(positions.as_ref().is_none_or(|to| to.len() == best.len()), "a position for each result");
        let count = if ROWS > 0 { ROWS } else { above.taps };
        let apart = above.dilation * pitch;
        let [mut begin, mut y] = [rows.start / above.dst.max(1) * height, rows.start % above.dst.max(1)];
        for row in 0..rows.len() {
            let first = (y * above.stride) as isize - above.before;
            let mut taps = [self.outside.as_ptr(); MOST_TAPS];
            let mut early = &*self.early;
            if first >= 0 && first as usize + above.span() <= height {
                let run = &samples[(begin + first as usize) * pitch..][..(count - 1) * apart + pitch];
                for (i, tap) in taps[..count].iter_mut().enumerate() {
                    *tap = run.as_ptr().wrapping_add(i * apart);
                }
            } else {
                for (i, tap) in taps[..count].iter_mut().enumerate() {
                    let at = first.wrapping_add_unsigned(i * above.dilation) as usize;
                    if at < height {
                        *tap = samples[(begin + at) * pitch..][..pitch].as_ptr();
                    }
                }
                let skipped = first.min(0).unsigned_abs().div_ceil(above.dilation);
                early = &early[skipped * self.starts.len()..];
            }
            let windows = Row { taps: &taps[..count], least: self.least, apart };
            for step in &self.steps {
                let at = row * width + step.window;
                let Some(positions) = positions.as_deref_mut() else {
                    // SAFETY: rows of the image's width, for which the step was made.
                    let greatest = unsafe { windows.joined::<V, STRIDE, TAPS>(step, across.taps) };
                    // What a vector has beyond a short row is the next one's, which comes later.
                    store_tile(&[greatest], best, at);
                    continue;
                };
                let early = load_tile::<V, 1>(early, step.window)[0];
                // SAFETY: likewise.
                let (greatest, found) =
                    unsafe { windows.searched::<V, STRIDE, TAPS>(step, across.taps, early) };
                store_tile(&[greatest], best, at);
                let (starts, into) = (&self.starts[step.window..], &mut positions[at..]);
                let base = first as i64 * pitch as i64;
                if into.len() >= V::LANES && starts.len() >= V::LANES {
                    // SAFETY: just looked at.
                    unsafe { found.store_sums(starts.as_ptr(), base, into.as_mut_ptr()) }
                } else {
                    let numbers = found.lanes();
                    for ((into, start), &number) in into.iter_mut().zip(starts).zip(&numbers[..V::LANES]) {
                        *into = base + start + i64::from(place(number));
                    }
                }
            }
            y += 1;
            if y == above.dst {
                (begin, y) = (begin + height, 0);
            }
        }
    }
}

/// Columns from the first tap's to the first of a vector that is read: after `stride` of them come those of the next taps.
#[inline(always)]
const fn offset<V: Vector>(read: usize, stride: usize) -> usize {
    read / stride * stride + read % stride * V::LANES
}

/// The rows of samples under a row of results.
struct Row<'r, A> {
    /// Where they begin.
    taps: &'r [*const A],
    least: A,
    /// Positions from one to the next.
    apart: usize,
}

impl<A: Accumulator> Row<'_, A> {
    /// A vector that is read, of a row.
    ///
    /// # Safety
    /// Rows are as long as those that the step was made for.
    #[inline(always)]
    unsafe fn read<V: Vector<Elem = A>, const STRIDE: usize>(
        &self,
        row: *const A,
        step: &Step,
        read: usize,
    ) -> V {
        let from = row.wrapping_offset(step.column).wrapping_add(offset::<V>(read, STRIDE));
        // SAFETY: columns of the row, all of them or those inside.
        unsafe {
            if step.whole {
                V::load(from)
            } else {
                V::load_some(from, step.inside[read], V::splat(self.least))
            }
        }
    }

    /// The greatest samples.
    ///
    /// # Safety
    /// As in `read`.
    #[inline(always)]
    unsafe fn joined<V: Vector<Elem = A>, const STRIDE: usize, const TAPS: usize>(
        &self,
        step: &Step,
        taps: usize,
    ) -> V {
        let taps = if TAPS > 0 { TAPS } else { taps };
        let mut greatest = V::splat(self.least);
        for tap in (0..taps).step_by(STRIDE) {
            let mut phases = [greatest; STRIDE];
            for (phase, joined) in phases.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                let read = |row: *const A| unsafe { self.read::<V, STRIDE>(row, step, tap + phase) };
                *joined = read(self.taps[0]);
                for &row in &self.taps[1..] {
                    *joined = joined.greater(read(row));
                }
            }
            let mut join = |later: V, tap: usize| {
                greatest = if tap == 0 { later } else { greatest.greater(later) };
            };
            if STRIDE == 2 {
                let [even, odd] = phases[0].deal(phases[1]);
                join(even, tap);
                if tap + 1 < taps {
                    join(odd, tap + 1);
                }
            } else {
                join(phases[0], tap);
            }
        }
        greatest
    }

    /// The greatest samples, and the [`number`]s of their places.
    ///
    /// # Safety
    /// As in `read`.
    #[inline(always)]
    unsafe fn searched<V: Vector<Elem = A>, const STRIDE: usize, const TAPS: usize>(
        &self,
        step: &Step,
        taps: usize,
        early: V,
    ) -> (V, V) {
        let taps = if TAPS > 0 { TAPS } else { taps };
        let (mut greatest, mut found) = (V::splat(self.least), early);
        for (i, &row) in self.taps.iter().enumerate() {
            for tap in (0..taps).step_by(STRIDE) {
                // SAFETY: the caller's promise.
                let read = |phase: usize| unsafe { self.read::<V, STRIDE>(row, step, tap + phase) };
                let mut wins = |samples: V, tap: usize| {
                    let place = V::splat(number((i * self.apart + tap) as u32));
                    (greatest, found) = greatest.greatest(samples, found, place);
                };
                if STRIDE == 2 {
                    let [even, odd] = read(0).deal(read(1));
                    wins(even, tap);
                    if tap + 1 < taps {
                        wins(odd, tap + 1);
                    }
                } else {
                    wins(read(0), tap);
                }
            }
        }
        (greatest, found)
    }
}

/// A place as a lane's bits, which are only ever chosen and moved.
#[inline(always)]
fn number<A: Accumulator>(place: u32) -> A {
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
