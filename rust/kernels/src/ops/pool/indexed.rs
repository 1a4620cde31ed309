//! Max pooling with the position of each maximum: the places that [`Winners`] finds become positions
//! of the image when a row is written.

use super::Pool;
use super::fold::Sample;
use super::separable::row_blocking;
use super::winners::Winners;
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
        Winners::check(pool)?;
        let [rows, cols] = &pool.windows;
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

/// Results that are searched together, where rows are shorter.
const LONG: usize = 256;

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

fn block<S: Simd, T: Sample>(simd: S, pool: &Pool, src: &Src<'_>, mut block: Block<'_>) {
    let picture = src.picture(block.picture);
    let (rows, cols, channels) = (block.rows.clone(), block.cols.clone(), block.channels.clone());
    let [mut to, mut positions] = block.parts();
    let width = cols.len() * channels.len();
    let winners = Winners::new(pool, &cols, &channels, (LONG / width).min(rows.len()));
    let ([len, room], [together, apart]) = (winners.room(), winners.results());
    let (all, image_width) = (together * apart, pool.windows[1].src());
    alloc::scratch([all, len, room], |[best, row, phases]: [&mut [T]; 3]| {
        alloc::scratch([all; 2], |[places, early]: [&mut [u32]; 2]| {
            alloc::scratch([width; 2], |[found, starts]: [&mut [i64]; 2]| {
                early.fill(0);
                winners.begin(early, starts);
                row.fill(T::LEAST);
                let mut left = rows;
                while !left.is_empty() {
                    let ys = winners.together(&left);
                    left.start = ys.end;
                    let numbers = ys.len() * apart;
                    let (best, places) = (&mut best[..numbers], &mut places[..numbers]);
                    winners.find(simd, &picture, ys.clone(), [row, phases, best], &early[..numbers], places);
                    simd.vectorize(
                        #[inline(always)]
                        || {
                            let results = best.chunks_exact(apart).zip(places.chunks_exact(apart));
                            for (y, (best, places)) in ys.zip(results) {
                                let above = (pool.windows[0].window(y).first * image_width) as i64;
                                let each = found.iter_mut().zip(&*starts).zip(&places[..width]);
                                for ((found, &start), &place) in each {
                                    *found = above + start + i64::from(place);
                                }
                                to.copy(y, &best[..width]);
                                positions.copy(y, found);
                            }
                        },
                    );
                }
            });
        });
    });
}
