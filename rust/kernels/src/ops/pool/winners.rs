//! Where each window of some rows of results has its greatest sample: tap after tap in the window's
//! order, the greatest sample so far and its place are kept in two rows of scratch.
//!
//! Places are counted in `u32` from where the window would begin without the image's edges: row by row of the image.
//!
//! Short rows of results are searched together, as one long row: the rows of samples under each stand one
//! after the other, so far apart that no window reaches from one into the next where it counts.

use super::fold::{Sample, copy_run, wins};
use super::separable::{AHEAD, Line, Phases};
use super::{Inside, Pool, Windows};
use crate::registry::Reject;
use crate::shape::Axis;
use crate::simd::{Simd, fetch};
use crate::view::Picture;
use std::ops::Range;

/// The search for the winners of some result columns and channels.
pub(super) struct Winners<'p> {
    pool: &'p Pool,
    cols: Range<usize>,
    channels: Range<usize>,
    line: Line,
    /// Rows of results that may be searched together.
    rows: usize,
    /// Numbers from one of them to the next, among samples and among results.
    apart: [usize; 2],
    sliding: Option<(&'p Axis, Phases)>,
}

impl<'p> Winners<'p> {
    /// Refuses windows whose places are too many.
    pub(super) fn check(pool: &Pool) -> Result<(), Reject> {
        let [rows, cols] = &pool.windows;
        let reach = (rows.taps() * rows.dilation())
            .saturating_mul(cols.src())
            .saturating_add(cols.taps() * cols.dilation());
        if i32::try_from(reach).is_err() {
            Err(Reject("a window spans more than 2^31 positions"))
        } else {
            Ok(())
        }
    }

    /// The search for up to `rows` rows of results at once.
    pub(super) fn new(pool: &'p Pool, cols: &Range<usize>, channels: &Range<usize>, rows: usize) -> Self {
        let (across, deep) = (&pool.windows[1], channels.len());
        let line = Line::new(across, cols);
        let (mut together, mut apart) = (1, [line.len * deep, cols.len() * deep]);
        let sliding = match across {
            // A few wide windows are searched one by one.
            Windows::Sliding(axis) if deep > 1 || axis.taps < 4 * cols.len() => {
                let wide = line.len.div_ceil(axis.stride).max(cols.len());
                // A stride may be as long as it likes.
                if rows > 1 && axis.stride <= line.len {
                    (together, apart) = (rows, [wide * axis.stride * deep, wide * deep]);
                }
                Some((axis, Phases::new(axis, together * apart[1] / deep, deep)))
            }
            _ => None,
        };
        let (cols, channels) = (cols.clone(), channels.clone());
        Self { pool, cols, channels, line, rows: together, apart, sliding }
    }

    /// Rows that may be searched together, and numbers from one's results to the next.
    pub(super) fn results(&self) -> [usize; 2] {
        [self.rows, self.apart[1]]
    }

    /// Numbers of the scratch row, which must be filled with the least sample, and of its phases.
    pub(super) fn room(&self) -> [usize; 2] {
        let phases = self.sliding.as_ref().map_or(0, |(_, phases)| phases.room());
        // Behind the last row, what the windows that do not count read.
        [self.rows * self.apart[0] + self.line.len * self.channels.len(), phases]
    }

    /// What each window begins with: the place of its first column inside the image, and the column where it would
    /// have begun without the image's edge.
    pub(super) fn begin(&self, early: &mut [u32], starts: &mut [i64]) {
        let (across, deep) = (&self.pool.windows[1], self.channels.len());
        let begins = early.chunks_exact_mut(deep).zip(starts.chunks_exact_mut(deep));
        for (x, (early, starts)) in self.cols.clone().zip(begins) {
            let window = across.window(x);
            let skipped = window.skipped * across.dilation();
            early.fill(skipped as u32);
            starts.fill(window.first as i64 - skipped as i64);
        }
    }

    /// What the places of a row of results are counted from: the position of its windows' beginning, less the
    /// column's part. The row's window comes with where its picture begins.
    #[inline(always)]
    pub(super) fn base(&self, (begin, window): (usize, Inside)) -> i64 {
        let [above, across] = &self.pool.windows;
        let row = window.first as i64 - (window.skipped * above.dilation()) as i64;
        (row - begin as i64) * across.src() as i64
    }

    /// The positions of some rows of results, one row after the other, from their places.
    pub(super) fn positions<S: Simd>(
        &self,
        simd: S,
        rows: &[(usize, Inside)],
        places: &[u32],
        starts: &[i64],
        into: &mut [i64],
    ) {
        let places = places.chunks(self.apart[1]);
        simd.vectorize(
            #[inline(always)]
            || {
                for ((&row, places), into) in rows.iter().zip(places).zip(into.chunks_exact_mut(starts.len()))
                {
                    let base = self.base(row);
                    for ((into, &start), &place) in into.iter_mut().zip(starts).zip(places) {
                        *into = base + start + i64::from(place);
                    }
                }
            },
        );
    }

    /// The greatest samples of some rows of results, whose windows over rows are given, and their places.
    pub(super) fn find<S: Simd, T: Sample>(
        &self,
        simd: S,
        picture: &Picture<'_>,
        rows: &[(usize, Inside)],
        [row, phases, best]: [&mut [T]; 3],
        early: &[u32],
        places: &mut [u32],
    ) {
        let [above, across] = &self.pool.windows;
        let (deep, width, line) = (self.channels.len(), best.len(), &self.line);
        let held = line.lead * deep..(line.lead + line.cols.len()) * deep;
        best.fill(T::LEAST);
        // A window of nothing but the least value has its first position in the image.
        simd.vectorize(
            #[inline(always)]
            || {
                for ((_, window), places) in rows.iter().zip(places.chunks_mut(self.apart[1])) {
                    let skipped = window.skipped * above.dilation() * across.src();
                    for (place, &early) in places.iter_mut().zip(early) {
                        *place = early + skipped as u32;
                    }
                }
            },
        );
        let whole = picture.lend_rows_of::<T>(0..picture.shape()[0]).filter(|_| deep == picture.shape()[2]);
        let (pitch, start) = (across.src() * deep, line.cols.start * deep);
        let taps = match rows {
            [(_, window)] => window.skipped..window.skipped + window.taps,
            _ => 0..above.taps(),
        };
        for i in taps {
            simd.vectorize(
                #[inline(always)]
                || {
                    for ((_, window), row) in rows.iter().zip(row.chunks_mut(self.apart[0])) {
                        let row = &mut row[held.clone()];
                        let Some(depth) = i.checked_sub(window.skipped).filter(|&depth| depth < window.taps)
                        else {
                            // Outside the image.
                            row.fill(T::LEAST);
                            continue;
                        };
                        let from = window.first + depth * above.dilation();
                        match whole {
                            Some(whole) => {
                                let samples = &whole[from * pitch + start..];
                                copy_run(samples, row);
                                if let Some(ahead) = samples.get(AHEAD..) {
                                    fetch(&ahead[..ahead.len().min(row.len())]);
                                }
                            }
                            None => picture.copy(from, &line.cols, &self.channels, row),
                        }
                    }
                },
            );
            let place = |j: usize| (i * above.dilation() * across.src() + j * across.dilation()) as u32;
            if let Some((axis, dealt)) = &self.sliding {
                dealt.deal(simd, row, phases);
                let (row, phases) = (&*row, &*phases);
                let tap = |j: usize| (dealt.tap(j, row, phases, width), place(j));
                update_all(simd, axis.taps, tap, best, places);
                continue;
            }
            let results = best.chunks_exact_mut(deep).zip(places.chunks_exact_mut(deep));
            for (x, (best, places)) in self.cols.clone().zip(results) {
                let window = across.window(x);
                let samples = &row[(line.lead + window.first - line.cols.start) * deep..];
                let step = across.dilation() * deep;
                if deep == 1 {
                    for (j, &sample) in samples.iter().step_by(step).take(window.taps).enumerate() {
                        if wins(sample, best[0]) {
                            (best[0], places[0]) = (sample, place(window.skipped + j));
                        }
                    }
                    continue;
                }
                let tap = |j: usize| (&samples[j * step..][..deep], place(window.skipped + j));
                update_all(simd, window.taps, tap, best, places);
            }
        }
    }
}

/// The greatest samples of one window of several channels, and their places, in the caller's own instructions; its taps
/// are runs of channels.
#[inline(always)]
pub(super) fn greatest<'r, T: Sample>(
    count: usize,
    tap: impl Fn(usize) -> (&'r [T], u32),
    best: &mut [T],
    places: &mut [u32],
) {
    let mut done = together(count);
    join::<T, false>(done, &tap, best, places);
    while done < count {
        let now = together(count - done);
        join::<T, true>(now, |t| tap(done + t), best, places);
        done += now;
    }
}

/// Does the same with more taps: what stands there stays where it is not less.
#[inline(always)]
fn update_all<'r, S: Simd, T: Sample>(
    simd: S,
    count: usize,
    tap: impl Fn(usize) -> (&'r [T], u32),
    best: &mut [T],
    places: &mut [u32],
) {
    let mut done = 0;
    while done < count {
        let now = together(count - done);
        simd.vectorize(
            #[inline(always)]
            || join::<T, true>(now, |t| tap(done + t), best, places),
        );
        done += now;
    }
}

/// How many of so many taps are joined at once: up to four, and rather three times three than four, four and one.
const fn together(count: usize) -> usize {
    match count {
        0..=4 => count,
        _ if count.is_multiple_of(3) => 3,
        _ => 4,
    }
}

#[inline(always)]
fn join<'r, T: Sample, const KEEP: bool>(
    count: usize,
    tap: impl Fn(usize) -> (&'r [T], u32),
    best: &mut [T],
    places: &mut [u32],
) {
    match count {
        // Of a single tap the compiler makes masked stores, which some CPUs are slow at. A tap may occur twice.
        1 => winners::<T, 2, KEEP>([tap(0), tap(0)], best, places),
        2 => winners::<T, 2, KEEP>([tap(0), tap(1)], best, places),
        3 => winners::<T, 3, KEEP>([tap(0), tap(1), tap(2)], best, places),
        4 => winners::<T, 4, KEEP>([tap(0), tap(1), tap(2), tap(3)], best, places),
        _ => unreachable!("one to four taps"),
    }
}

/// Vectors are arrays of 32 bytes, whose lanes the compiler turns into registers; of plain loops it did the last
/// numbers, as many as a vector holds, one by one and in branches. The last vector overlaps the one before: there the
/// same samples win again.
#[inline(always)]
fn winners<T: Sample, const R: usize, const KEEP: bool>(
    taps: [(&[T], u32); R],
    best: &mut [T],
    places: &mut [u32],
) {
    match size_of::<T>() {
        1 => winners_by::<T, R, KEEP, 32>(&taps, best, places),
        2 => winners_by::<T, R, KEEP, 16>(&taps, best, places),
        4 => winners_by::<T, R, KEEP, 8>(&taps, best, places),
        _ => winners_by::<T, R, KEEP, 4>(&taps, best, places),
    }
}

#[inline(always)]
fn winners_by<T: Sample, const R: usize, const KEEP: bool, const L: usize>(
    taps: &[(&[T], u32); R],
    best: &mut [T],
    places: &mut [u32],
) {
    let n = best.len();
    let mut at = 0;
    while at + L <= n {
        lanes::<T, R, KEEP, L>(taps, at, best, places);
        at += L;
    }
    if at < n && n >= L {
        return lanes::<T, R, KEEP, L>(taps, n - L, best, places);
    }
    while at < n {
        lanes::<T, R, KEEP, 1>(taps, at, best, places);
        at += 1;
    }
}

#[inline(always)]
fn lanes<T: Sample, const R: usize, const KEEP: bool, const L: usize>(
    taps: &[(&[T], u32); R],
    at: usize,
    best: &mut [T],
    places: &mut [u32],
) {
    let best: &mut [T; L] = (&mut best[at..at + L]).try_into().expect("L lanes");
    let places: &mut [u32; L] = (&mut places[at..at + L]).try_into().expect("L lanes");
    let tap = |r: usize| -> &[T; L] { taps[r].0[at..at + L].try_into().expect("L lanes") };
    let (mut greatest, mut found) = if KEEP { (*best, *places) } else { (*tap(0), [taps[0].1; L]) };
    for r in usize::from(!KEEP)..R {
        let (tap, place) = (tap(r), taps[r].1);
        for l in 0..L {
            let won = wins(tap[l], greatest[l]);
            greatest[l] = if won { tap[l] } else { greatest[l] };
            found[l] = if won { place } else { found[l] };
        }
    }
    (*best, *places) = (greatest, found);
}
