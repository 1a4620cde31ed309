//! Pooling with vectors along the channels: each window is joined from its taps, which are runs of
//! channels. Nothing is copied, and windows may be of any size and at any distance.

use super::fold::{Divisors, Fold, Greatest, Mean, dispatch_fold, divides, in_place, join_all};
use super::{F32_SUMS, Pool, Reduction};
use crate::dtype::Arithmetic;
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule, single};
use crate::simd::Simd;
use crate::view::{Block, Blocks, Dst, Src};
use crate::{Error, alloc, dispatch_dtype};

/// The implementation `channels`.
#[derive(Debug)]
pub struct Channels;

/// Bytes of channels below which a tap is too short a run.
const LEAST: usize = 32;

/// Taps of a window whose places are found once: those of rows, and all.
const FEW: usize = 16;

/// Channels of a block: a row of them stays in the first-level cache.
const DEEP: usize = 2048;

impl Implementation<Pool> for Channels {
    fn name(&self) -> &'static str {
        "channels"
    }

    fn cost(&self, pool: &Pool) -> Result<f64, Reject> {
        if pool.indices() {
            return Err(Reject("gives no indices"));
        }
        if pool.channels * pool.size() < LEAST {
            return Err(Reject("needs 32 bytes of channels at least"));
        }
        let taps = pool.windows.iter().map(|w| w.taps() as f64).product::<f64>();
        if divides(pool)
            && pool.arithmetic == Arithmetic::F32
            && pool.error_bound() > 0.0
            && taps > F32_SUMS as f64
        {
            return Err(Reject("adds tap after tap in f32, whose roundings would add up here"));
        }
        // A tap costs 4 ns besides, and its samples are read once for each window that they are in.
        let joins = taps * (1.15 + 4.0 * 40.0 / (pool.channels * pool.size()) as f64);
        Ok(pool.nanoseconds(joins, 40.0, 20.0))
    }

    fn run(
        &self,
        pool: &Pool,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let (src, dst) = single(srcs, dsts);
        pool.solve(src, dst, |pool, src, dst| {
            let workers = schedule.workers.worth(self.cost(pool).unwrap_or(0.0));
            let size = pool.blocking(workers.threads(), [(1 << 14) / pool.channels.clamp(1, DEEP), DEEP]);
            let size = schedule.tile.map_or(size, |[rows, cols]| [rows, cols, size[2]]);
            let blocks = Blocks::new(std::slice::from_mut(dst), size);
            let (workers, isa) = (workers.at_most(blocks.count()), schedule.isa);
            dispatch_fold!(pool, |F| {
                workers.drain(
                    || blocks.take(),
                    |block| isa.dispatch(Task::<F> { pool, src, block, fold: std::marker::PhantomData }),
                )
            })
        })
    }
}

struct Task<'t, F> {
    pool: &'t Pool,
    src: &'t Src<'t>,
    block: Block<'t>,
    fold: std::marker::PhantomData<F>,
}

impl<F: Fold> Kernel for Task<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        block::<S, F>(simd, self.pool, self.src, self.block);
    }
}

fn block<S: Simd, F: Fold>(simd: S, pool: &Pool, src: &Src<'_>, mut block: Block<'_>) {
    let picture = src.picture(block.picture);
    let (rows, cols, channels) = (block.rows.clone(), block.cols.clone(), block.channels.clone());
    let [mut to] = block.parts();
    let (deep, [above, across]) = (channels.len(), &pool.windows);
    let width = cols.len() * deep;
    let divisors = Divisors(pool);
    alloc::scratch([width, width, 4 * deep], |[counts, out, copies]: [&mut [F::Elem]; 3]| {
        if divides(pool) {
            divisors.row::<F>(&cols, deep, counts);
        }
        for y in rows {
            let vertical = above.window(y);
            // The picture's rows, if they can be lent and are few.
            let mut lent: [&[F::Elem]; FEW] = [&[]; FEW];
            for (i, row) in lent.iter_mut().take(vertical.taps).enumerate() {
                let y = vertical.first + i * above.dilation();
                *row = F::lend(&picture, y, &(0..across.src()), &channels).unwrap_or(&[]);
            }
            let lends = vertical.taps <= FEW && !lent[0].is_empty();
            let mut fold = |out: &mut [F::Elem]| {
                for (x, out) in cols.clone().zip(out.chunks_exact_mut(deep)) {
                    let horizontal = across.window(x);
                    if lends && vertical.taps * horizontal.taps <= FEW {
                        let (mut taps, mut count): ([&[F::Elem]; FEW], _) = ([&[]; FEW], 0);
                        for row in &lent[..vertical.taps] {
                            for j in 0..horizontal.taps {
                                let at = horizontal.first + j * across.dilation();
                                taps[count] = &row[at * deep..][..deep];
                                count += 1;
                            }
                        }
                        join_all::<S, F>(simd, count, |t| taps[t], out);
                        continue;
                    }
                    let place = |t: usize| {
                        let at = horizontal.first + t % horizontal.taps * across.dilation();
                        (vertical.first + t / horizontal.taps * above.dilation(), at..at + 1)
                    };
                    let taps = vertical.taps * horizontal.taps;
                    let (y, x) = place(0);
                    if F::lend(&picture, y, &x, &channels).is_some() {
                        let tap = |t| {
                            let (y, x) = place(t);
                            F::lend(&picture, y, &x, &channels).unwrap_or(&[])
                        };
                        join_all::<S, F>(simd, taps, tap, out);
                        continue;
                    }
                    out.fill(F::identity());
                    for t in 0..taps {
                        let (y, x) = place(t);
                        let copy = &mut copies[..deep];
                        simd.vectorize(
                            #[inline(always)]
                            || F::bring(&picture, y, &x, &channels, copy),
                        );
                        super::fold::join_rows::<S, F>(simd, &[copy], true, out);
                    }
                }
                let rows = divisors.factor(y);
                let counts = &*counts;
                if divides(pool) {
                    simd.vectorize(
                        #[inline(always)]
                        || F::finish(out, counts, rows),
                    );
                }
            };
            if in_place(pool)
                && let Some(row) = F::lend_results(&mut to, &(y..y + 1))
            {
                fold(row);
                continue;
            }
            fold(out);
            simd.vectorize(
                #[inline(always)]
                || F::write(&mut to, y, out),
            );
        }
    });
}
