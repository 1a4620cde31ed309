//! Max pooling with the position of each maximum: the places that [`Winners`] finds become positions
//! of the image when a row is written.

use super::Pool;
use super::fold::Sample;
use super::separable::row_blocking;
use super::winners::{Winners, greatest};
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::Simd;
use crate::view::{Block, Blocks, Dst, Picture, Src};
use crate::{Error, alloc, dispatch_dtype};

/// The implementation `indexed`.
#[derive(Debug)]
pub struct Indexed;

impl Implementation<Pool> for Indexed {
    fn name(&self) -> &'static str {
        "indexed"
    }

    fn cost(&self, pool: &Pool) -> Result<f64, Reject> {
        if !pool.indices() {
            return Err(Reject("gives indices, which were not asked for"));
        }
        Winners::check(pool)?;
        let [rows, cols] = &pool.windows;
        if pool.channels * pool.dtype.size() >= DEEP {
            // Each window costs some nanoseconds besides.
            let window = 12.0 * 20.0 / (pool.channels * pool.dtype.size()) as f64;
            return Ok(pool.nanoseconds((rows.taps() * cols.taps()) as f64 + window, 20.0, 60.0));
        }
        let taps = (rows.taps() * (cols.taps() + cols.stride())) as f64;
        Ok(pool.nanoseconds(taps * 3.0, 40.0, 60.0))
    }

    fn run(
        &self,
        pool: &Pool,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let ([src], [maxima, positions]) = (srcs, &mut *dsts) else {
            panic!("max pooling with indices reads one array and has two results")
        };
        let nanoseconds = self.cost(pool).unwrap_or(0.0);
        if let Some(tall) = pool.stacked()
            && let (Some(src), Some(maxima), Some(positions)) =
                (src.stacked(), maxima.stacked(), positions.stacked())
        {
            return solve(&tall, &src, &mut [maxima, positions], schedule, nanoseconds);
        }
        solve(pool, src, dsts, schedule, nanoseconds)
    }
}

fn solve(
    pool: &Pool,
    src: &Src<'_>,
    dsts: &mut [Dst<'_>],
    schedule: &Schedule<'_>,
    nanoseconds: f64,
) -> Result<(), Error> {
    let workers = schedule.workers.worth(nanoseconds);
    let size = pool.blocking(workers.threads(), row_blocking(pool));
    let size = schedule.tile.map_or(size, |[rows, cols]| [rows, cols, size[2]]);
    let blocks = Blocks::new(dsts, size);
    let (workers, isa) = (workers.at_most(blocks.count()), schedule.isa);
    dispatch_dtype!(pool.dtype, |T| {
        workers.drain(
            || blocks.take(),
            |block| isa.dispatch(Task::<T> { pool, src, block, sample: std::marker::PhantomData }),
        )
    })
}

/// Results that are searched together, where rows are shorter.
const LONG: usize = 256;

/// Rows of results that are searched together, at most.
const MOST: usize = 64;

struct Task<'t, T> {
    pool: &'t Pool,
    src: &'t Src<'t>,
    block: Block<'t>,
    sample: std::marker::PhantomData<T>,
}

impl<T: Sample> Kernel for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        block::<S, T>(simd, self.pool, self.src, self.block);
    }
}

/// Bytes of channels from which on a window is searched by itself: its taps are runs long enough.
const DEEP: usize = 32;

fn block<S: Simd, T: Sample>(simd: S, pool: &Pool, src: &Src<'_>, block: Block<'_>) {
    let picture = src.picture(block.picture);
    let deep = block.channels.len();
    let whole = picture.lend_rows_of::<T>(0..picture.shape()[0]);
    match whole.filter(|_| deep == picture.shape()[2] && deep * size_of::<T>() >= DEEP) {
        Some(samples) => by_channels::<S, T>(simd, pool, samples, block),
        None => by_rows::<S, T>(simd, pool, &picture, block),
    }
}

/// Window by window, the channels side by side in the lanes.
fn by_channels<S: Simd, T: Sample>(simd: S, pool: &Pool, samples: &[T], mut block: Block<'_>) {
    let (rows, cols, deep) = (block.rows.clone(), block.cols.clone(), block.channels.len());
    let [mut to, mut positions] = block.parts();
    let [above, across] = &pool.windows;
    let width = cols.len() * deep;
    alloc::scratch([width], |[row]: [&mut [T]; 1]| {
        alloc::scratch([deep, above.taps() * across.taps()], |[places, steps]: [&mut [u32]; 2]| {
            alloc::scratch([width], |[copy]: [&mut [i64]; 1]| {
                for y in rows {
                    let down = above.window(y);
                    let first = ((down.first - above.picture(y).0) * across.src()) as i64;
                    let (mut lent, mut lent_positions) = (to.lend::<T>(y), positions.lend::<i64>(y));
                    let best = lent.as_deref_mut().unwrap_or(&mut *row);
                    let found = lent_positions.as_deref_mut().unwrap_or(&mut *copy);
                    let results = best.chunks_exact_mut(deep).zip(found.chunks_exact_mut(deep));
                    let mut known = 0;
                    for (x, (best, found)) in cols.clone().zip(results) {
                        let beside = across.window(x);
                        if beside.taps != known {
                            known = beside.taps;
                            for (i, steps) in steps.chunks_exact_mut(known).take(down.taps).enumerate() {
                                for (j, step) in steps.iter_mut().enumerate() {
                                    *step =
                                        (i * above.dilation() * across.src() + j * across.dilation()) as u32;
                                }
                            }
                        }
                        let samples = &samples[(down.first * across.src() + beside.first) * deep..];
                        let tap = |t: usize| (&samples[steps[t] as usize * deep..][..deep], steps[t]);
                        let begin = first + beside.first as i64;
                        simd.vectorize(
                            #[inline(always)]
                            || {
                                greatest(down.taps * beside.taps, tap, best, places);
                                for (found, &place) in found.iter_mut().zip(&*places) {
                                    *found = begin + i64::from(place);
                                }
                            },
                        );
                    }
                    let copies = [lent.is_none(), lent_positions.is_none()];
                    simd.vectorize(
                        #[inline(always)]
                        || {
                            if copies[0] {
                                to.copy(y, row);
                            }
                            if copies[1] {
                                positions.copy(y, copy);
                            }
                        },
                    );
                }
            });
        });
    });
}

/// Some rows at a time, neighbouring windows side by side in the lanes.
fn by_rows<S: Simd, T: Sample>(simd: S, pool: &Pool, picture: &Picture<'_>, mut block: Block<'_>) {
    let (rows, cols, channels) = (block.rows.clone(), block.cols.clone(), block.channels.clone());
    let [mut to, mut positions] = block.parts();
    let width = cols.len() * channels.len();
    let winners = Winners::new(pool, &cols, &channels, (LONG / width).clamp(1, MOST).min(rows.len()));
    let ([len, room], [together, apart]) = (winners.room(), winners.results());
    let (all, above) = (together * apart, &pool.windows[0]);
    let mut windows = [Default::default(); MOST];
    alloc::scratch([all, len, room], |[best, row, phases]: [&mut [T]; 3]| {
        alloc::scratch([all, width], |[places, early]: [&mut [u32]; 2]| {
            alloc::scratch([width; 2], |[found, starts]: [&mut [i64]; 2]| {
                winners.begin(early, starts);
                row.fill(T::LEAST);
                let mut left = rows;
                while !left.is_empty() {
                    let ys = left.start..left.end.min(left.start + together);
                    left.start = ys.end;
                    let windows = &mut windows[..ys.len()];
                    for (known, window) in windows.iter_mut().zip(above.along(ys.clone())) {
                        *known = window;
                    }
                    let numbers = ys.len() * apart;
                    let (best, places) = (&mut best[..numbers], &mut places[..numbers]);
                    winners.find(simd, picture, windows, [row, phases, best], early, places);
                    if let Some(lent) = positions.lend_run_widened(&ys) {
                        winners.positions(simd, windows, places, starts, lent);
                    } else {
                        let rows = windows.chunks(1).zip(places.chunks_exact(apart));
                        for (y, (window, places)) in ys.clone().zip(rows) {
                            winners.positions(simd, window, places, starts, found);
                            positions.copy(y, found);
                        }
                    }
                    let best = &*best;
                    simd.vectorize(
                        #[inline(always)]
                        || {
                            for (y, best) in ys.zip(best.chunks_exact(apart)) {
                                to.copy(y, &best[..width]);
                            }
                        },
                    );
                }
            });
        });
    });
}
