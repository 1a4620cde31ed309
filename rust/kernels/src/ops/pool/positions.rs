//! Whether positions of maxima are in their windows: they are the caller's, and are looked at before anything is
//! written by them.
//!
//! ```text
//! 0 <= position - first < reach,   0 <= position - first - i * width < taps for one of the window's rows i
//! ```
//!
//! `first` is the window's first position inside the image, `taps` are its columns there. What they are depends on the
//! window alone: it is found once for several rows of a picture's windows and holds in all pictures.

use super::Pool;
use crate::isa::Kernel;
use crate::parallel::{Queue, Workers};
use crate::registry::Schedule;
use crate::simd::Simd;
use crate::view::{Picture, Src};
use crate::{Error, alloc};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Windows whose places are found at once: they stay in the first-level cache.
const KNOWN: usize = 1024;

/// Positions that a thread looks at in one go.
const TASK: usize = 1 << 15;

/// Positions of small pictures that are looked at together.
const TOGETHER: usize = 256;

/// Channels from which on they are looked at window by window.
const DEEP: usize = 64;

/// Rows of a window that the compiler is to know the number of.
const MOST: usize = 8;

/// Refuses a position that is not one of its window's.
pub(super) fn check_positions(
    pool: &Pool,
    positions: &Src<'_>,
    schedule: &Schedule<'_>,
    workers: Workers<'_>,
) -> Result<(), Error> {
    let [rows, cols] = pool.output();
    let row = cols * pool.channels;
    if row == 0 {
        return Ok(());
    }
    // So many rows at once, of so many pictures.
    let band = (KNOWN / row).clamp(1, rows.max(1));
    let (bands, group) = (rows.div_ceil(band), (TASK / (band * row)).max(1));
    let count = bands * pool.pictures.div_ceil(group);
    let (queue, wrong) = (Queue::new(count), AtomicBool::new(false));
    workers.at_most(count).drain(
        || queue.take(),
        |task| {
            let (first, pictures) = (task % bands * band, task / bands * group);
            let rows = first..(first + band).min(rows);
            let pictures = pictures..(pictures + group).min(pool.pictures);
            if schedule.isa.dispatch(Check { pool, positions, rows, pictures }) {
                wrong.store(true, Ordering::Relaxed);
            }
        },
    )?;
    if !wrong.into_inner() {
        return Ok(());
    }
    let places = (0..pool.pictures).flat_map(|picture| (0..rows).map(move |y| (picture, y)));
    match { places }.find_map(|(picture, y)| misplaced(pool, &positions.picture(picture), y)) {
        None => Ok(()),
        Some((position, [y, x])) => Err(Error::Value(format!(
            "indices must be those of the forward pass with the same arguments: y * width + x inside each \
             window. Received: {position} for the window of result row {y}, column {x}, over an image of \
             {} rows and {} columns.",
            pool.windows[0].src(),
            pool.windows[1].src()
        ))),
    }
}

/// A position of a row of results that is not in its window, and that result's row and column.
fn misplaced(pool: &Pool, picture: &Picture<'_>, y: usize) -> Option<(i64, [usize; 2])> {
    let [above, across] = &pool.windows;
    let (width, window, deep) = (across.src(), above.window(y), pool.channels);
    alloc::scratch([across.dst() * deep], |[found]: [&mut [i64]; 1]| {
        picture.copy(y, &(0..across.dst()), &(0..deep), found);
        for (x, found) in found.chunks_exact(deep).enumerate() {
            let beside = across.window(x);
            for &position in found.iter() {
                let inside = usize::try_from(position).is_ok_and(|position| {
                    above.depth(&window, position / width).is_some()
                        && across.depth(&beside, position % width).is_some()
                });
                if !inside {
                    return Some((position, [y, x]));
                }
            }
        }
        None
    })
}

/// Whether a position of some rows of results of some pictures is not in its window.
struct Check<'t> {
    pool: &'t Pool,
    positions: &'t Src<'t>,
    rows: Range<usize>,
    pictures: Range<usize>,
}

/// A window: its first position, the columns of its rows, and its end behind the first position.
type Known = [u32; 3];

impl Kernel for Check<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> bool {
        let Self { pool, positions, rows, mut pictures } = self;
        let [above, across] = &pool.windows;
        let dilated = above.dilation() > 1 || across.dilation() > 1;
        let vast = above.src().checked_mul(across.src()).is_none_or(|n| i32::try_from(n).is_err());
        if dilated || vast || above.taps() > MOST {
            return pictures.any(|picture| {
                let picture = positions.picture(picture);
                rows.clone().any(|y| misplaced(pool, &picture, y).is_some())
            });
        }
        let (deep, results) = (pool.channels, across.dst());
        let known = |y: usize, x: usize| {
            let (down, beside) = (above.window(y), across.window(x));
            let first = down.first * across.src() + beside.first;
            [first, beside.taps, down.taps * across.src()].map(|n| n as u32)
        };
        let (row, step) = (results * deep, across.src() as u32);
        let numbers = rows.len() * row;
        // Whole pictures in a run repeat their windows.
        let tall = (rows == (0..above.dst())).then(|| positions.stacked()).flatten();
        let tall = tall.as_ref().map(|tall| tall.picture(0));
        let run =
            tall.and_then(|tall| tall.lend_rows_of(pictures.start * rows.len()..pictures.end * rows.len()));
        let repeated =
            if run.is_some() && deep < DEEP { TOGETHER.div_ceil(numbers).min(pictures.len()) } else { 1 };
        let table = if deep < DEEP { repeated * numbers } else { 0 };
        alloc::scratch([table; 3], |[firsts, taps, reaches]: [&mut [u32]; 3]| {
            for (i, y) in rows.clone().enumerate().filter(|_| table > 0) {
                for x in 0..results {
                    let [first, columns, reach] = known(y, x);
                    let at = (i * results + x) * deep;
                    firsts[at..][..deep].fill(first);
                    taps[at..][..deep].fill(columns);
                    reaches[at..][..deep].fill(reach);
                }
            }
            for table in [&mut *firsts, &mut *taps, &mut *reaches] {
                for at in (numbers..table.len()).step_by(numbers) {
                    table.copy_within(..numbers, at);
                }
            }
            let (firsts, taps, reaches) = (&*firsts, &*taps, &*reaches);
            let wrong = |found: &[i64]| {
                if table > 0 {
                    let n = found.len();
                    let (firsts, taps, reaches) = (&firsts[..n], &taps[..n], &reaches[..n]);
                    return astray(simd, above.taps(), step, found, |l| [firsts[l], taps[l], reaches[l]]);
                }
                (found.chunks_exact(row).zip(rows.clone())).any(|(found, y)| {
                    let mut windows = found.chunks_exact(deep).enumerate();
                    windows.any(|(x, found)| {
                        let known = known(y, x);
                        astray(simd, above.taps(), step, found, |_| known)
                    })
                })
            };
            if let Some(run) = run {
                return run.chunks(repeated * numbers).any(wrong);
            }
            alloc::scratch([numbers], |[copy]: [&mut [i64]; 1]| {
                pictures.any(|picture| {
                    let picture = positions.picture(picture);
                    if let Some(found) = picture.lend_rows_of(rows.clone()) {
                        return wrong(found);
                    }
                    for (y, copy) in rows.clone().zip(copy.chunks_exact_mut(row)) {
                        picture.copy(y, &(0..results), &(0..deep), copy);
                    }
                    wrong(copy)
                })
            })
        })
    }
}

/// Whether one of the positions is outside its window, of up to so many rows.
#[inline(always)]
fn astray<S: Simd>(
    simd: S,
    rows: usize,
    step: u32,
    found: &[i64],
    window: impl Fn(usize) -> Known + Copy,
) -> bool {
    macro_rules! rows {
        ($($rows:literal)*) => {
            match rows {
                $($rows => simd.vectorize(#[inline(always)] || astray_of::<$rows>(step, found, window)),)*
                _ => unreachable!("one to eight rows"),
            }
        };
    }
    rows!(1 2 3 4 5 6 7 8)
}

#[inline(always)]
fn astray_of<const R: usize>(step: u32, found: &[i64], window: impl Fn(usize) -> Known) -> bool {
    let mut wrong = 0_u32;
    for (l, &position) in found.iter().enumerate() {
        let [first, taps, reach] = window(l);
        let at = (position as u32).wrapping_sub(first);
        let mut inside = false;
        for i in 0..R as u32 {
            inside |= at.wrapping_sub(i * step) < taps;
        }
        // The upper half of a position is zero.
        wrong |= (position >> 32) as u32 | u32::from(!(inside & (at < reach)));
    }
    wrong != 0
}
