//! Where each window of some rows of results has its greatest sample: tap after tap in the window's
//! order, the greatest sample so far and its place are kept in two rows of scratch.
//!
//! Places are counted in `u32` from the window's first tap inside the image's rows: row by row of
//! the image, columns from where the window would begin without the image's edge.
//!
//! Short rows of results are searched together, as one long row: the rows of samples under each stand one
//! after the other, so far apart that no window reaches from one into the next where it counts.

use super::fold::{Sample, wins};
use super::separable::{Line, Phases};
use super::{Pool, Windows};
use crate::registry::Reject;
use crate::shape::Axis;
use crate::simd::Simd;
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

    /// What each window begins with: the place of its first position in the image, in each of the rows that
    /// are searched together, and the column where it would have begun without the image's edge.
    pub(super) fn begin(&self, early: &mut [u32], starts: &mut [i64]) {
        let (across, deep) = (&self.pool.windows[1], self.channels.len());
        let (row, rows) = early.split_at_mut(self.apart[1].min(early.len()));
        let begins = row.chunks_exact_mut(deep).zip(starts.chunks_exact_mut(deep));
        for (x, (early, starts)) in self.cols.clone().zip(begins) {
            let window = across.window(x);
            let skipped = window.skipped * across.dilation();
            early.fill(skipped as u32);
            starts.fill(window.first as i64 - skipped as i64);
        }
        rows.chunks_exact_mut(row.len()).for_each(|early| early.copy_from_slice(row));
    }

    /// The rows of `ys` from the first on that may be searched together: those whose windows have as many rows
    /// of the image.
    pub(super) fn together(&self, ys: &Range<usize>) -> Range<usize> {
        let above = &self.pool.windows[0];
        let taps = above.window(ys.start).taps;
        let most = ys.end.min(ys.start + self.rows);
        ys.start..(ys.start + 1..most).find(|&y| above.window(y).taps != taps).unwrap_or(most)
    }

    /// The greatest samples of the windows of the result rows `ys`, and their places.
    pub(super) fn find<S: Simd, T: Sample>(
        &self,
        simd: S,
        picture: &Picture<'_>,
        ys: Range<usize>,
        [row, phases, best]: [&mut [T]; 3],
        early: &[u32],
        places: &mut [u32],
    ) {
        let [above, across] = &self.pool.windows;
        let (deep, width, line) = (self.channels.len(), best.len(), &self.line);
        let held = line.lead * deep..(line.lead + line.cols.len()) * deep;
        let window = above.window(ys.start);
        best.fill(T::LEAST);
        // A window of nothing but the least value has its first position in the image.
        places.copy_from_slice(early);
        for i in 0..window.taps {
            simd.vectorize(
                #[inline(always)]
                || {
                    for (y, row) in ys.clone().zip(row.chunks_mut(self.apart[0])) {
                        let from = above.window(y).first + i * above.dilation();
                        picture.copy(from, &line.cols, &self.channels, &mut row[held.clone()]);
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

/// Takes the samples of up to four taps that win, with their places. A tap may occur twice.
fn update<S: Simd, T: Sample>(simd: S, taps: &[&[T]], place: [u32; 4], best: &mut [T], places: &mut [u32]) {
    simd.vectorize(
        #[inline(always)]
        || match *taps {
            // Of a single tap the compiler makes masked stores, which some CPUs are slow at.
            [a] => winners([a, a], [place[0], place[0]], best, places),
            [a, b] => winners([a, b], [place[0], place[1]], best, places),
            [a, b, c] => winners([a, b, c], [place[0], place[1], place[2]], best, places),
            [a, b, c, d] => winners([a, b, c, d], place, best, places),
            _ => unreachable!("one to four taps"),
        },
    );
}

#[inline(always)]
fn winners<T: Sample, const R: usize>(taps: [&[T]; R], place: [u32; R], best: &mut [T], places: &mut [u32]) {
    let n = best.len();
    let (taps, places) = (taps.map(|tap| &tap[..n]), &mut places[..n]);
    for l in 0..n {
        let (mut greatest, mut found) = (best[l], places[l]);
        for r in 0..R {
            let won = wins(taps[r][l], greatest);
            greatest = if won { taps[r][l] } else { greatest };
            found = if won { place[r] } else { found };
        }
        (best[l], places[l]) = (greatest, found);
    }
}

/// Does the same with any number of taps, the `t`-th being `tap(t)`.
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
        let now = (count - done).min(4);
        let (mut taps, mut place): ([&[T]; 4], [u32; 4]) = ([&[]; 4], [0; 4]);
        for r in 0..now {
            (taps[r], place[r]) = tap(done + r);
        }
        update(simd, &taps[..now], place, best, places);
        done += now;
    }
}
