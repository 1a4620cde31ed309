//! Where each window of a row of results has its greatest sample: tap after tap in the window's
//! order, the greatest sample so far and its place are kept in two rows of scratch.
//!
//! Places are counted in `u32` from the window's first tap inside the image's rows: row by row of
//! the image, columns from where the window would begin without the image's edge.

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

    pub(super) fn new(pool: &'p Pool, cols: &Range<usize>, channels: &Range<usize>) -> Self {
        let across = &pool.windows[1];
        let sliding = match across {
            Windows::Sliding(axis) => Some((axis, Phases::new(axis, cols.len(), channels.len()))),
            Windows::Adaptive { .. } => None,
        };
        let line = Line::new(across, cols);
        Self { pool, cols: cols.clone(), channels: channels.clone(), line, sliding }
    }

    /// Numbers of the scratch row, which must be filled with the least sample, and of its phases.
    pub(super) fn room(&self) -> [usize; 2] {
        let phases = self.sliding.as_ref().map_or(0, |(_, phases)| phases.room());
        [self.line.len * self.channels.len(), phases]
    }

    /// What each window begins with: the place of its first position in the image, and the column
    /// where it would have begun without the image's edge.
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

    /// The greatest samples of the windows of result row `y`, and their places.
    pub(super) fn find<S: Simd, T: Sample>(
        &self,
        simd: S,
        picture: &Picture<'_>,
        y: usize,
        [row, phases, best]: [&mut [T]; 3],
        early: &[u32],
        places: &mut [u32],
    ) {
        let [above, across] = &self.pool.windows;
        let (deep, width, line) = (self.channels.len(), best.len(), &self.line);
        let held = line.lead * deep..(line.lead + line.cols.len()) * deep;
        let window = above.window(y);
        best.fill(T::LEAST);
        // A window of nothing but the least value has its first position in the image.
        places.copy_from_slice(early);
        for i in 0..window.taps {
            let from = window.first + i * above.dilation();
            let into = &mut row[held.clone()];
            simd.vectorize(
                #[inline(always)]
                || picture.copy(from, &line.cols, &self.channels, into),
            );
            let place = |j: usize| (i * above.dilation() * across.src() + j * across.dilation()) as u32;
            match &self.sliding {
                Some((axis, dealt)) => {
                    dealt.deal(simd, row, phases);
                    for j in 0..axis.taps {
                        update(simd, dealt.tap(j, row, phases, width), place(j), best, places);
                    }
                }
                None => {
                    let results = best.chunks_exact_mut(deep).zip(places.chunks_exact_mut(deep));
                    for (x, (best, places)) in self.cols.clone().zip(results) {
                        let window = across.window(x);
                        let taps = &row[(window.first - line.cols.start) * deep..];
                        for (j, tap) in taps.chunks_exact(deep).take(window.taps).enumerate() {
                            update(simd, tap, place(j), best, places);
                        }
                    }
                }
            }
        }
    }
}

/// Takes the samples that win, with their place.
fn update<S: Simd, T: Sample>(simd: S, samples: &[T], place: u32, best: &mut [T], places: &mut [u32]) {
    const L: usize = 8;
    simd.vectorize(
        #[inline(always)]
        || {
            let n = best.len();
            let (samples, places) = (&samples[..n], &mut places[..n]);
            let mut at = 0;
            while at + L <= n {
                winners::<T, L>(samples, place, best, places, at);
                at += L;
            }
            while at < n {
                winners::<T, 1>(samples, place, best, places, at);
                at += 1;
            }
        },
    );
}

#[inline(always)]
fn winners<T: Sample, const L: usize>(
    samples: &[T],
    place: u32,
    best: &mut [T],
    places: &mut [u32],
    at: usize,
) {
    let samples: &[T; L] = samples[at..at + L].try_into().expect("L lanes");
    let best: &mut [T; L] = (&mut best[at..at + L]).try_into().expect("L lanes");
    let places: &mut [u32; L] = (&mut places[at..at + L]).try_into().expect("L lanes");
    let (mut greatest, mut found) = (*best, *places);
    for l in 0..L {
        let won = wins(samples[l], greatest[l]);
        greatest[l] = if won { samples[l] } else { greatest[l] };
        found[l] = if won { place } else { found[l] };
    }
    (*best, *places) = (greatest, found);
}
