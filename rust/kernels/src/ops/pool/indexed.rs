//! Max pooling with the place of each maximum: tap after tap in the window's order, the greatest
//! sample so far and its place are kept in two rows of scratch.
//!
//! Places are counted from the window's first tap inside the image's rows, in `u32`, and become
//! positions of the image when a row is written.

use super::fold::{Sample, wins};
use super::separable::{Line, Phases, row_blocking};
use super::{Pool, Windows};
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::Simd;
use crate::view::{Block, Blocks, Dst, Src};
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
        let [rows, cols] = &pool.windows;
        let reach = (rows.taps() * rows.dilation())
            .saturating_mul(cols.src())
            .saturating_add(cols.taps() * cols.dilation());
        if u32::try_from(reach).is_err() {
            return Err(Reject("a window spans more than 2^32 positions"));
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
        let [src] = srcs else { panic!("pooling reads one array") };
        assert!(dsts.len() == 2, "max pooling with indices has two results");
        let workers = pool.threads(schedule.workers, self.cost(pool).unwrap_or(0.0));
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
}

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

fn block<S: Simd, T: Sample>(simd: S, pool: &Pool, src: &Src<'_>, mut block: Block<'_>) {
    let picture = src.picture(block.picture);
    let (rows, cols, channels) = (block.rows.clone(), block.cols.clone(), block.channels.clone());
    let [mut to, mut positions] = block.parts();
    let (deep, [above, across]) = (channels.len(), &pool.windows);
    let (width, line) = (cols.len() * deep, Line::new(across, &cols));
    let held = line.lead * deep..(line.lead + line.cols.len()) * deep;
    let sliding = match across {
        Windows::Sliding(axis) => Some((axis, Phases::new(axis, cols.len(), deep))),
        Windows::Adaptive { .. } => None,
    };
    let room = sliding.as_ref().map_or(0, |(_, phases)| phases.room());
    let image_width = across.src();
    alloc::scratch([width, line.len * deep, room], |[best, row, phases]: [&mut [T]; 3]| {
        alloc::scratch([width; 2], |[places, early]: [&mut [u32]; 2]| {
            alloc::scratch([width; 2], |[found, starts]: [&mut [i64]; 2]| {
                // What each window begins with: its first position in the image, and where it would
                // have begun without the image's edge.
                let begins = early.chunks_exact_mut(deep).zip(starts.chunks_exact_mut(deep));
                for (x, (early, starts)) in cols.clone().zip(begins) {
                    let window = across.window(x);
                    let skipped = window.skipped * across.dilation();
                    early.fill(skipped as u32);
                    starts.fill(window.first as i64 - skipped as i64);
                }
                row.fill(T::LEAST);
                for y in rows {
                    let window = above.window(y);
                    best.fill(T::LEAST);
                    // A window of nothing but the least value has its first position in the image.
                    places.copy_from_slice(early);
                    for i in 0..window.taps {
                        let from = window.first + i * above.dilation();
                        let into = &mut row[held.clone()];
                        simd.vectorize(
                            #[inline(always)]
                            || picture.copy(from, &line.cols, &channels, into),
                        );
                        let place =
                            |j: usize| (i * above.dilation() * image_width + j * across.dilation()) as u32;
                        match &sliding {
                            Some((axis, dealt)) => {
                                dealt.deal(simd, row, phases);
                                for j in 0..axis.taps {
                                    update(simd, dealt.tap(j, row, phases, width), place(j), best, places);
                                }
                            }
                            None => {
                                let results = best.chunks_exact_mut(deep).zip(places.chunks_exact_mut(deep));
                                for (x, (best, places)) in cols.clone().zip(results) {
                                    let window = across.window(x);
                                    let taps = &row[(window.first - line.cols.start) * deep..];
                                    for (j, tap) in taps.chunks_exact(deep).take(window.taps).enumerate() {
                                        update(simd, tap, place(j), best, places);
                                    }
                                }
                            }
                        }
                    }
                    let above = (window.first * image_width) as i64;
                    simd.vectorize(
                        #[inline(always)]
                        || {
                            for ((found, &start), &place) in found.iter_mut().zip(&*starts).zip(&*places) {
                                *found = above + start + i64::from(place);
                            }
                        },
                    );
                    simd.vectorize(
                        #[inline(always)]
                        || to.copy(y, best),
                    );
                    simd.vectorize(
                        #[inline(always)]
                        || positions.copy(y, found),
                    );
                }
            });
        });
    });
}
