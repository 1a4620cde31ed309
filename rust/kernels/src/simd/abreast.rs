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
    /// The column of its first tap; before 0 outside the image.
    column: isize,
    /// Which of the edges it is; beyond them if all its columns are inside the image.
    edge: usize,
}

/// Windows over the rows and columns of pictures that stand below each other, prepared for one kind of vector.
#[derive(Debug)]
pub struct Abreast<A> {
    axes: [Axis; 2],
    channels: usize,
    lanes: usize,
    /// A sample that none is less than.
    least: A,
    /// A row of it, if any row of a window is outside the image.
    outside: Vec<A>,
    /// A picture's rows of results whose windows' rows are all inside the image.
    whole_rows: Range<usize>,
    steps: Vec<Step>,
    /// Of steps at an edge, and of each vector that is read for them, the lanes that are columns of the image, as bits.
    edges: Vec<[u32; MOST_TAPS]>,
    /// The [`number`] of each tap's place.
    places: Vec<A>,
    /// Columns from a step's first window to that of each lane.
    starts: [i64; MAX_LANES],
    /// By how many of a window's rows are above the image: the number of its first place in it, left columns aside.
    early: Vec<A>,
    /// The same of each lane of each edge, `lanes` numbers for as many rows above the image as there are in `early`.
    early_at_edges: Vec<A>,
}

impl<A: Accumulator> Abreast<A> {
    /// Prepares windows over rows and columns for vectors of type `V`; no sample is less than `least`. Of several channels
    /// there are as many as a vector has lanes, at least.
    ///
    /// # Panics
    /// If there are fewer channels, or more than [`MOST_TAPS`] taps along an axis, or if columns of one channel have a stride
    /// above 2, or one of 2 and a dilation.
    pub fn new<V: Vector<Elem = A>>(axes: [Axis; 2], channels: usize, least: A) -> Self {
        let [rows, cols] = axes;
        let deep = channels > 1;
        assert!(rows.taps <= MOST_TAPS && cols.taps <= MOST_TAPS, "up to eight taps");
        assert!(!deep || channels >= V::LANES, "a vector of channels");
        assert!(deep || cols.stride == 1 || (cols.stride == 2 && cols.dilation == 1), "a stride of 1 or 2");
        // Taps that a vector is dealt out to, windows of a step, and columns from its first read to its last.
        let [dealt, windows] = if deep { [1, 1] } else { [cols.stride, V::LANES] };
        let last_group = (cols.taps.next_multiple_of(dealt) - dealt) * cols.dilation;
        let reach = last_group + if deep { 0 } else { dealt * V::LANES - 1 };
        let whole = whole(&cols, windows, reach, cols.dst / windows);
        let most_skipped = rows.before.max(0).unsigned_abs().div_ceil(rows.dilation);
        let above = |skipped: usize| skipped * rows.dilation * cols.src;
        let mut steps = Vec::with_capacity(cols.dst.div_ceil(windows));
        let (mut edges, mut early_at_edges) = (Vec::new(), Vec::new());
        for step in 0..cols.dst.div_ceil(windows) {
            // The last windows overlap those before, and are the same again.
            let window = (step * windows).min(cols.dst.saturating_sub(windows));
            let column = |window: usize| (window * cols.stride) as isize - cols.before;
            let edge = if whole.contains(&step) { usize::MAX } else { edges.len() };
            steps.push(Step { window, column: column(window), edge });
            if whole.contains(&step) {
                continue;
            }
            let mut inside = [0; MOST_TAPS];
            for (read, inside) in (0..cols.taps.next_multiple_of(dealt)).zip(&mut inside) {
                let [group, phase] = [read / dealt * dealt, read % dealt];
                let first = column(window) + (group * cols.dilation + phase * V::LANES) as isize;
                let lanes = |columns: isize| columns.clamp(0, V::LANES as isize) as u32;
                *inside = match deep {
                    true if (0..cols.src as isize).contains(&first) => (1 << V::LANES) - 1,
                    true => 0,
                    false => {
                        let [before, end] = [lanes(-first), lanes(cols.src as isize - first)];
                        ((1_u32 << end) - 1) & !((1_u32 << before) - 1)
                    }
                };
            }
            edges.push(inside);
            for skipped in 0..=most_skipped {
                early_at_edges.extend((0..V::LANES).map(|lane| {
                    let first = column(window + if deep { 0 } else { lane });
                    let left = first.min(0).unsigned_abs().div_ceil(cols.dilation) * cols.dilation;
                    number::<A>((above(skipped) + left) as u32)
                }));
            }
        }
        let whole_rows = self::whole(&rows, 1, rows.span() - 1, rows.dst);
        let outside = if whole_rows == (0..rows.dst) { 0 } else { cols.src * channels };
        let taps = (0..rows.taps).flat_map(|i| (0..cols.taps).map(move |j| [i, j]));
        let places = taps.map(|[i, j]| number((above(i) + j * cols.dilation) as u32)).collect();
        Self {
            axes,
            channels,
            lanes: V::LANES,
            least,
            outside: vec![least; outside],
            whole_rows,
            steps,
            edges,
            places,
            starts: std::array::from_fn(|lane| if deep { 0 } else { (lane * cols.stride) as i64 }),
            early: (0..=most_skipped).map(|skipped| number(above(skipped) as u32)).collect(),
            early_at_edges,
        }
    }

    /// Finds the greatest sample of each window of some rows of results and, if `positions` are asked for, where it is in its
    /// picture, `row * columns + column`: of equal ones the first.
    ///
    /// # Panics
    /// If it was prepared for vectors of other lengths, `samples` end before the rows' windows do, or a length is not that of
    /// the rows of results.
    #[inline(always)]
    pub fn run<V: Vector<Elem = A>>(
        &self,
        samples: &[A],
        rows: Range<usize>,
        best: &mut [A],
        positions: Option<&mut [i64]>,
    ) {
        assert!(self.lanes == V::LANES, "prepared for these vectors");
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
            let (mut skipped, mut together) = (0, 1);
            if self.whole_rows.contains(&y) {
                together = (self.whole_rows.end - y).min(rows.len() - row);
                let reach = (together - 1) * down + (count - 1) * apart + pitch;
                let run = &samples[(begin + first as usize) * pitch..][..reach];
                for (i, tap) in taps[..count].iter_mut().enumerate() {
                    *tap = run.as_ptr().wrapping_add(i * apart);
                }
            } else {
                assert!(self.outside.len() == pitch, "a row outside the image");
                for (i, tap) in taps[..count].iter_mut().enumerate() {
                    let at = first.wrapping_add_unsigned(i * above.dilation) as usize;
                    if at < height {
                        *tap = samples[(begin + at) * pitch..][..pitch].as_ptr();
                    }
                }
                skipped = first.min(0).unsigned_abs().div_ceil(above.dilation);
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
                for &Step { window, column, edge } in &self.steps {
                    let inside = self.edges.get(edge);
                    let from = column * channels as isize + (k * down) as isize;
                    for channel in (0..channels).step_by(V::LANES) {
                        // The last vector of channels overlaps the one before, and is the same again.
                        let channel = channel.min(channels.saturating_sub(V::LANES));
                        let (from, at) = (from + channel as isize, (line + window) * channels + channel);
                        // Code with masks and without, chosen here once: the compiler asked at each read.
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
                        let early = match inside {
                            None => V::splat(self.early[skipped]),
                            Some(_) => {
                                let at = (edge * self.early.len() + skipped) * V::LANES;
                                load_tile::<V, 1>(&self.early_at_edges, at)[0]
                            }
                        };
                        // SAFETY: likewise.
                        let (greatest, found) = unsafe {
                            match inside {
                                None => under.searched::<V, STRIDE>(from, None, early),
                                Some(_) => under.searched::<V, STRIDE>(from, inside, early),
                            }
                        };
                        store_tile(&[greatest], best, at);
                        put(found, &self.starts, base + column as i64, &mut positions[at..]);
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

/// Of some steps of so many windows each those that read nothing outside the image, from their first windows' first taps to
/// `reach` further.
fn whole(axis: &Axis, windows: usize, reach: usize, steps: usize) -> Range<usize> {
    let pace = (windows * axis.stride) as isize;
    let first = (axis.before.max(0) as usize).div_ceil(pace as usize);
    // The last that ends in time.
    let room = axis.src as isize - 1 - reach as isize + axis.before;
    let end = if room < 0 { 0 } else { (room / pace) as usize + 1 };
    let end = end.min(steps);
    first.min(end)..end
}

/// Writes the positions of a vector's windows: what they are counted from, and their places.
#[inline(always)]
fn put<V: Vector>(found: V, starts: &[i64; MAX_LANES], base: i64, into: &mut [i64]) {
    const { assert!(V::LANES <= MAX_LANES) };
    if into.len() >= V::LANES {
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
