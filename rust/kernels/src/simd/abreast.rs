//! The greatest samples of windows in rows of results, and their places.
//!
//! ```text
//! for each row of results, for each vector of it:
//!     for each of the windows' rows, for each tap of it:
//!         what the vector's windows meet is read, the least sample where that is no column of the image
//!         a greater sample, or a NaN, wins over the one before it
//! ```
//!
//! A vector is one window's channels or, of one channel, windows side by side: under a stride what they meet is read once and
//! dealt out to the taps. Where places don't matter, the windows' rows are joined before that.
#![expect(unsafe_code, reason = "raw vector access; bounds are settled once a row, not once a load")]

use super::{MAX_LANES, Vector, load_tile, store_tile};
use crate::dtype::Accumulator;
use crate::shape::Axis;
use std::ops::Range;

/// Taps of a window's row or column, at most.
pub const MOST_TAPS: usize = 8;

/// A step along a row of results: a vector's windows or, of several channels, one window.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The first window.
    window: usize,
    /// Its first sample's place in a row of the image.
    from: isize,
    /// What is inside, among the edges; beyond them if everything is.
    edge: usize,
}

/// Windows over the rows and columns of pictures that stand below each other.
#[derive(Debug)]
pub struct Abreast<A> {
    axes: [Axis; 2],
    channels: usize,
    /// A sample that none is less than.
    least: A,
    /// A row of it.
    outside: Vec<A>,
    steps: Vec<Step>,
    /// A picture's rows of results whose windows' rows are all inside the image.
    whole: Range<usize>,
    /// Of some steps, and of each vector that is read for them, the lanes that are columns of the image, as bits.
    edges: Vec<[u32; MOST_TAPS]>,
    /// The [`number`] of each tap's place.
    places: Vec<A>,
    /// The column of each window's first tap.
    starts: Vec<i64>,
    /// The [`number`] of each window's first place in the image, where none of its rows is outside, one, and so on.
    early: Vec<A>,
}

impl<A: Accumulator> Abreast<A> {
    /// Prepares windows over rows and columns for vectors of type `V`; no sample is less than `least`. Of several channels
    /// there are as many as a vector has lanes, at least.
    ///
    /// # Panics
    /// If there are fewer, or more than [`MOST_TAPS`] taps along an axis, or if columns of one channel have a stride above 2,
    /// or one of 2 and a dilation.
    pub fn new<V: Vector<Elem = A>>(axes: [Axis; 2], channels: usize, least: A) -> Self {
        let [rows, cols] = axes;
        let (deep, stride) = (channels > 1, phases(&cols, channels));
        assert!(rows.taps <= MOST_TAPS && cols.taps <= MOST_TAPS, "up to eight taps");
        assert!(!deep || channels >= V::LANES, "a vector of channels");
        assert!(deep || cols.stride == 1 || (cols.stride == 2 && cols.dilation == 1), "a stride of 1 or 2");
        let columns = |window: usize| (window * cols.stride) as isize - cols.before;
        let (mut steps, mut edges) = (Vec::new(), Vec::new());
        for window in (0..cols.dst).step_by(if deep { 1 } else { V::LANES }) {
            // The last windows overlap those before, and are the same again.
            let window = if deep { window } else { window.min(cols.dst.saturating_sub(V::LANES)) };
            let (mut inside, mut whole, first) = ([0_u32; MOST_TAPS], true, columns(window));
            for (read, inside) in (0..cols.taps.next_multiple_of(stride)).zip(&mut inside) {
                let [group, phase] = [read / stride * stride, read % stride];
                let first = first + (group * cols.dilation + phase * V::LANES) as isize;
                let column = |lane: usize| first + if deep { 0 } else { lane as isize };
                let is_inside = |&lane: &usize| (0..cols.src as isize).contains(&column(lane));
                *inside = (0..V::LANES).filter(is_inside).map(|lane| 1 << lane).sum();
                whole &= inside.count_ones() as usize == V::LANES;
            }
            let edge = if whole { usize::MAX } else { edges.len() };
            steps.push(Step { window, from: first * channels as isize, edge });
            if !whole {
                edges.push(inside);
            }
        }
        let is_whole = |y: &usize| {
            let first = (y * rows.stride) as isize - rows.before;
            first >= 0 && first as usize + rows.span() <= rows.src
        };
        let whole = (0..rows.dst).find(is_whole).map_or(0..0, |first| {
            // Those that end in time are the first ones.
            first..first + (first..rows.dst).take_while(is_whole).count()
        });
        let windows = 0..cols.dst.max(V::LANES);
        let columns_skipped = |window: usize| {
            (columns(window).min(0).unsigned_abs().div_ceil(cols.dilation) * cols.dilation) as u32
        };
        let most_skipped = rows.before.max(0).unsigned_abs().div_ceil(rows.dilation);
        let early = (0..=most_skipped).flat_map(|skipped| {
            let rows = (skipped * rows.dilation * cols.src) as u32;
            windows.clone().map(move |window| number(rows + columns_skipped(window)))
        });
        let taps = (0..rows.taps).flat_map(|i| (0..cols.taps).map(move |j| [i, j]));
        Self {
            axes,
            channels,
            places: taps
                .map(|[i, j]| number((i * rows.dilation * cols.src + j * cols.dilation) as u32))
                .collect(),
            least,
            outside: vec![least; cols.src * channels],
            steps,
            whole,
            edges,
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
        let [above, across] = &self.axes;
        // Loops of which the compiler knows the turns, where windows are those of most networks.
        match (self.channels > 1, across.stride, above.taps, across.taps) {
            (true, _, 2, 2) => self.rows::<V, true, 1, 2, 2>(samples, rows, best, positions),
            (true, _, 3, 3) => self.rows::<V, true, 1, 3, 3>(samples, rows, best, positions),
            (true, ..) => self.rows::<V, true, 1, 0, 0>(samples, rows, best, positions),
            (_, 1, 3, 3) => self.rows::<V, false, 1, 3, 3>(samples, rows, best, positions),
            (_, 1, ..) => self.rows::<V, false, 1, 0, 0>(samples, rows, best, positions),
            (_, _, 2, 2) => self.rows::<V, false, 2, 2, 2>(samples, rows, best, positions),
            (_, _, 3, 3) => self.rows::<V, false, 2, 3, 3>(samples, rows, best, positions),
            _ => self.rows::<V, false, 2, 0, 0>(samples, rows, best, positions),
        }
    }

    #[inline(always)]
    fn rows<
        V: Vector<Elem = A>,
        const DEEP: bool,
        const STRIDE: usize,
        const ROWS: usize,
        const TAPS: usize,
    >(
        &self,
        samples: &[A],
        rows: Range<usize>,
        best: &mut [A],
        mut positions: Option<&mut [i64]>,
    ) {
        let [above, across] = &self.axes;
        let channels = if DEEP { self.channels } else { 1 };
        let (height, width, pitch) = (above.src, across.dst, across.src * channels);
        assert!(best.len() == rows.len() * width * channels, "rows of results");
        assert!(positions.as_ref().is_none_or(|to| to.len() == best.len()), "a position for each result");
        let count = if ROWS > 0 { ROWS } else { above.taps };
        let across_taps = if TAPS > 0 { TAPS } else { across.taps };
        let places = &self.places[..count * across_taps];
        let [apart, down] = [above.dilation, above.stride].map(|rows| rows * pitch);
        let [mut begin, mut y] = [rows.start / above.dst.max(1) * height, rows.start % above.dst.max(1)];
        let mut row = 0;
        while row < rows.len() {
            let first = (y * above.stride) as isize - above.before;
            let mut taps = [self.outside.as_ptr(); MOST_TAPS];
            let (mut early, mut together) = (&*self.early, 1);
            if self.whole.contains(&y) {
                together = (self.whole.end - y).min(rows.len() - row);
                let reach = (together - 1) * down + (count - 1) * apart + pitch;
                let run = &samples[(begin + first as usize) * pitch..][..reach];
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
            let under = Under {
                rows: &taps[..count],
                taps: across_taps,
                pace: across.dilation * channels,
                places,
                least: self.least,
            };
            for k in 0..together {
                let base = (first as i64 + (k * above.stride) as i64) * across.src as i64;
                let line = (row + k) * width;
                for &Step { window, from, edge } in &self.steps {
                    let (inside, from) = (self.edges.get(edge), from + (k * down) as isize);
                    for channel in (0..channels).step_by(V::LANES) {
                        // The last vector of channels overlaps the one before, and is the same again.
                        let channel = channel.min(channels.saturating_sub(V::LANES));
                        let (from, at) = (from + channel as isize, (line + window) * channels + channel);
                        let Some(positions) = positions.as_deref_mut() else {
                            // SAFETY: rows of the image, and what is inside for this step.
                            let greatest = unsafe {
                                match inside {
                                    None => under.joined::<V, STRIDE>(from, None),
                                    Some(_) => under.joined::<V, STRIDE>(from, inside),
                                }
                            };
                            // What a vector has beyond a short row is the next one's, which comes later.
                            store_tile(&[greatest], best, at);
                            continue;
                        };
                        let early =
                            if DEEP { V::splat(early[window]) } else { load_tile::<V, 1>(early, window)[0] };
                        // SAFETY: likewise.
                        let (greatest, found) = unsafe {
                            match inside {
                                None => under.searched::<V, STRIDE>(from, None, early),
                                Some(_) => under.searched::<V, STRIDE>(from, inside, early),
                            }
                        };
                        store_tile(&[greatest], best, at);
                        let (starts, into) = (&self.starts[window..], &mut positions[at..]);
                        match DEEP {
                            true => put(found, &[0; MAX_LANES], base + starts[0], into),
                            false => put(found, starts, base, into),
                        }
                    }
                }
            }
            (row, y) = (row + together, y + together);
            if y == above.dst {
                (begin, y) = (begin + height, 0);
            }
        }
    }
}

/// Taps that a vector is dealt out to: of one channel as many as the stride.
fn phases(cols: &Axis, channels: usize) -> usize {
    if channels > 1 { 1 } else { cols.stride }
}

/// Writes the positions of a vector's windows: what they are counted from, and their places.
#[inline(always)]
fn put<V: Vector>(found: V, starts: &[i64], base: i64, into: &mut [i64]) {
    if into.len() >= V::LANES && starts.len() >= V::LANES {
        // SAFETY: just looked at.
        return unsafe { found.store_sums(starts.as_ptr(), base, into.as_mut_ptr()) };
    }
    for ((into, start), &number) in into.iter_mut().zip(starts).zip(&found.lanes()[..V::LANES]) {
        *into = base + start + i64::from(place(number));
    }
}

/// The rows of samples under a row of results.
struct Under<'r, A> {
    /// Where they begin.
    rows: &'r [*const A],
    /// Taps of each.
    taps: usize,
    /// Samples from one tap to the next.
    pace: usize,
    /// The [`number`]s of the taps' places.
    places: &'r [A],
    least: A,
}

impl<A: Accumulator> Under<'_, A> {
    /// A vector of a row, for the taps from `tap` on.
    ///
    /// # Safety
    /// From `from` on the row has the samples of these taps, those that are `inside` at least.
    #[inline(always)]
    unsafe fn read<V: Vector<Elem = A>>(
        &self,
        row: *const A,
        from: isize,
        [tap, phase]: [usize; 2],
        inside: Option<&[u32; MOST_TAPS]>,
    ) -> V {
        let from = row.wrapping_offset(from).wrapping_add(tap * self.pace + phase * V::LANES);
        // SAFETY: the caller's promise.
        unsafe {
            match inside {
                None => V::load(from),
                Some(inside) => V::load_some(from, inside[tap + phase], V::splat(self.least)),
            }
        }
    }

    /// The greatest samples.
    ///
    /// # Safety
    /// As in `read`, for all rows and taps.
    #[inline(always)]
    unsafe fn joined<V: Vector<Elem = A>, const STRIDE: usize>(
        &self,
        from: isize,
        inside: Option<&[u32; MOST_TAPS]>,
    ) -> V {
        let mut greatest = V::splat(self.least);
        for tap in (0..self.taps).step_by(STRIDE) {
            let mut phases = [greatest; STRIDE];
            for (phase, joined) in phases.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                let read = |row: *const A| unsafe { self.read::<V>(row, from, [tap, phase], inside) };
                *joined = read(self.rows[0]);
                for &row in &self.rows[1..] {
                    *joined = joined.greater(read(row));
                }
            }
            let mut join = |later: V, tap: usize| {
                greatest = if tap == 0 { later } else { greatest.greater(later) };
            };
            if STRIDE == 2 {
                let [even, odd] = phases[0].deal(phases[1]);
                join(even, tap);
                if tap + 1 < self.taps {
                    join(odd, tap + 1);
                }
            } else {
                join(phases[0], tap);
            }
        }
        greatest
    }

    /// The greatest samples, and the [`number`]s of their places; each row's first, which don't wait for each other.
    ///
    /// # Safety
    /// As in `read`, for all rows and taps.
    #[inline(always)]
    unsafe fn searched<V: Vector<Elem = A>, const STRIDE: usize>(
        &self,
        from: isize,
        inside: Option<&[u32; MOST_TAPS]>,
        early: V,
    ) -> (V, V) {
        let (mut greatest, mut found) = (V::splat(self.least), early);
        for (i, &row) in self.rows.iter().enumerate() {
            let (mut of_row, mut found_there) = (greatest, found);
            for tap in (0..self.taps).step_by(STRIDE) {
                // SAFETY: the caller's promise.
                let read = |phase: usize| unsafe { self.read::<V>(row, from, [tap, phase], inside) };
                let mut wins = |samples: V, tap: usize| {
                    let place = V::splat(self.places[i * self.taps + tap]);
                    (of_row, found_there) = match tap {
                        0 => (samples, place),
                        _ => of_row.greatest(samples, found_there, place),
                    };
                };
                if STRIDE == 2 {
                    let [even, odd] = read(0).deal(read(1));
                    wins(even, tap);
                    if tap + 1 < self.taps {
                        wins(odd, tap + 1);
                    }
                } else {
                    wins(read(0), tap);
                }
            }
            (greatest, found) = greatest.greatest(of_row, found, found_there);
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
