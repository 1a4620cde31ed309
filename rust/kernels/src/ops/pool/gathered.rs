//! The gradient of max pooling by rows of the image's gradient: each row gathers from the few rows
//! of windows over it, whose maxima's places stay in a ring of scratch rows.
//!
//! A narrow window adds tap by tap, many windows at once, where the tap is the window's greatest; a
//! wide one adds window by window.

use super::Windows;
use super::gradient::{Comb, MaxGrad, Smooth, dispatch_smooth};
use super::positions::check_positions;
use super::winners::Winners;
use crate::dtype::{Accumulator, DType, Finish, Overflow, Rounding};
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::Simd;
use crate::view::{Block, Blocks, Dst, Src};
use crate::{Error, alloc};
use std::marker::PhantomData;

/// The implementation `gathered`.
#[derive(Debug)]
pub struct Gathered;

/// Taps of a row up to which each is tried for many windows at once.
const NARROW: usize = 16;

impl Implementation<MaxGrad> for Gathered {
    fn name(&self) -> &'static str {
        "gathered"
    }

    fn cost(&self, problem: &MaxGrad) -> Result<f64, Reject> {
        let pool = &problem.pool;
        Winners::check(pool)?;
        let [rows, cols] = &pool.windows;
        let search = if problem.indices { 4 } else { 3 * rows.taps() * (cols.taps() + cols.stride()) };
        let gather = 2 * rows.taps() * cols.taps().min(NARROW);
        Ok(pool.gradient_nanoseconds((search + gather) as f64, 2.0, 60.0))
    }

    fn run(
        &self,
        problem: &MaxGrad,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        problem.check_arrays(srcs, dsts);
        let pool = &problem.pool;
        if !problem.indices
            && let Some(pool) = pool.stacked()
            && let ([x, grad], [dst]) = (srcs, &mut *dsts)
            && let (Some(x), Some(grad), Some(dst)) = (x.stacked(), grad.stacked(), dst.stacked())
        {
            let tall = MaxGrad { pool, indices: false };
            return self.run(&tall, &[x, grad], &mut [dst], schedule);
        }
        let workers = schedule.workers.worth(self.cost(problem).unwrap_or(0.0));
        if problem.indices {
            check_positions(pool, &srcs[1], schedule, workers)?;
        }
        let size = pool.gradient_blocking(workers.threads(), 2 * problem.arithmetic().size());
        let size = schedule.tile.map_or(size, |[rows, cols]| [rows, cols, size[2]]);
        let blocks = Blocks::new(dsts, size);
        let (workers, isa) = (workers.at_most(blocks.count()), schedule.isa);
        dispatch_smooth!(pool.dtype, |T| {
            workers.drain(
                || blocks.take(),
                |block| isa.dispatch(Task::<T> { problem, srcs, block, sample: PhantomData }),
            )
        })
    }
}

struct Task<'t, T> {
    problem: &'t MaxGrad,
    srcs: &'t [Src<'t>],
    block: Block<'t>,
    sample: PhantomData<T>,
}

impl<T: Smooth> Kernel for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        block::<S, T>(simd, self.problem, self.srcs, self.block);
    }
}

/// Adds the gradients of the windows whose greatest sample has the place `at`.
fn add_where<S: Simd, A: Accumulator + std::ops::AddAssign>(
    simd: S,
    places: &[u32],
    at: u32,
    grads: &[A],
    into: &mut [A],
) {
    simd.vectorize(
        #[inline(always)]
        || {
            let n = into.len();
            let (places, grads) = (&places[..n], &grads[..n]);
            for l in 0..n {
                into[l] += if places[l] == at { grads[l] } else { A::default() };
            }
        },
    );
}

fn block<S: Simd, T: Smooth>(simd: S, problem: &MaxGrad, srcs: &[Src<'_>], mut block: Block<'_>) {
    let pool = &problem.pool;
    let [above, across] = &pool.windows;
    let (rows, cols, channels) = (block.rows.clone(), block.cols.clone(), block.channels.clone());
    let [image, grads] = if problem.indices { [1, 0] } else { [0, 1] };
    let (image, gradient) = (srcs[image].picture(block.picture), srcs[grads].picture(block.picture));
    let [mut to] = block.parts();
    let deep = channels.len();
    let results = across.over_all(&cols);
    let narrow = match across {
        Windows::Sliding(axis) if axis.taps <= NARROW && axis.stride <= NARROW => Some(axis),
        _ => None,
    };
    let comb = Comb::new(across, narrow.map_or(1, |axis| axis.stride), &cols, &results, deep);
    let winners = (!results.is_empty()).then(|| Winners::new(pool, &results, &channels, 1));
    let (width, slots) = (results.len() * deep, above.overlap());
    let [len, room] = match &winners {
        Some(winners) if !problem.indices => winners.room(),
        _ => [0, 0],
    };
    let best = if problem.indices { 0 } else { width };
    let woven = if comb.is_row() { 0 } else { comb.room() };
    let finish = Finish { rounding: Rounding::HalfEven, overflow: Overflow::Saturate };
    alloc::scratch([best, len, room], |[best, line, phases]: [&mut [T]; 3]| {
        alloc::scratch([slots * width, width], |[places, early]: [&mut [u32]; 2]| {
            alloc::scratch([width; 2], |[found, starts]: [&mut [i64]; 2]| {
                alloc::scratch(
                    [slots * width, comb.room(), woven],
                    |[ring, sums, row]: [&mut [T::Sum]; 3]| {
                        line.fill(T::LEAST);
                        if let Some(winners) = &winners {
                            winners.begin(early, starts);
                        }
                        let mut filled = 0;
                        for y in rows {
                            let over = if width == 0 { 0..0 } else { above.over(y) };
                            for o in over.start.max(filled)..over.end {
                                let slot = o % slots * width..(o % slots + 1) * width;
                                let (places, ring) = (&mut places[slot.clone()], &mut ring[slot]);
                                simd.vectorize(
                                    #[inline(always)]
                                    || gradient.read(o, &results, &channels, ring),
                                );
                                if problem.indices {
                                    let first = winners
                                        .as_ref()
                                        .map_or(0, |winners| winners.base((0, above.window(o))));
                                    simd.vectorize(
                                        #[inline(always)]
                                        || {
                                            image.copy(o, &results, &channels, found);
                                            for ((place, &found), &start) in
                                                places.iter_mut().zip(&*found).zip(&*starts)
                                            {
                                                *place = (found - first - start) as u32;
                                            }
                                        },
                                    );
                                } else if let Some(winners) = &winners {
                                    let rows = [(0, above.window(o))];
                                    winners.find(simd, &image, &rows, [line, phases, best], early, places);
                                }
                            }
                            filled = filled.max(over.end);
                            sums.fill(T::Sum::default());
                            for o in over {
                                let window = above.window(o);
                                let Some(depth) = above.depth(&window, y) else { continue };
                                let depth = window.skipped * above.dilation() + depth;
                                let slot = o % slots * width..(o % slots + 1) * width;
                                let (places, ring) = (&places[slot.clone()], &ring[slot]);
                                let at = (depth * across.src()) as u32;
                                if let Some(axis) = narrow {
                                    for j in 0..axis.taps {
                                        let aside = j * axis.dilation;
                                        let tooth = comb.tooth(aside, sums, width);
                                        add_where(simd, places, at + aside as u32, ring, tooth);
                                    }
                                    continue;
                                }
                                let each = places.chunks_exact(deep).zip(ring.chunks_exact(deep));
                                for (x, (places, grads)) in results.clone().zip(each) {
                                    let window = across.window(x);
                                    let limit = (window.skipped + window.taps - 1) * across.dilation();
                                    let begin = comb.place(across, x) * deep;
                                    for (c, (&place, &grad)) in places.iter().zip(grads).enumerate() {
                                        let aside = place.wrapping_sub(at) as usize;
                                        if aside <= limit {
                                            sums[begin + aside * deep + c] += grad;
                                        }
                                    }
                                }
                            }
                            let whole = if comb.is_row() {
                                &mut *sums
                            } else {
                                simd.vectorize(
                                    #[inline(always)]
                                    || comb.weave(sums, row),
                                );
                                &mut *row
                            };
                            let whole = &mut whole[comb.held.clone()];
                            simd.vectorize(
                                #[inline(always)]
                                || to.write(y, whole, finish),
                            );
                        }
                    },
                );
            });
        });
    });
}
