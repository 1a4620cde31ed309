//! The gradient of average pooling by rows of the image's gradient: the rows of windows over it are
//! divided and added, and each sum is spread over its window's columns.

use super::Windows;
use super::fold::{Divide, Divisors, Fold, Mean};
use super::gradient::{Comb, MeanGrad};
use crate::dtype::{Arithmetic, Finish, Overflow, Rounding};
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::Simd;
use crate::view::{Block, Blocks, Dst, Src};
use crate::{Error, alloc};
use std::marker::PhantomData;

/// The implementation `spread`.
#[derive(Debug)]
pub struct Spread;

/// Taps of a row from which a window is filled as a run of columns.
const WIDE: usize = 16;

impl Implementation<MeanGrad> for Spread {
    fn name(&self) -> &'static str {
        "spread"
    }

    fn cost(&self, problem: &MeanGrad) -> Result<f64, Reject> {
        let [rows, cols] = &problem.pool.windows;
        let of_result = 4.0 + (rows.taps() + rows.stride().min(rows.taps()) * cols.taps()) as f64;
        let row = if problem.pool.channels == 1 { 150.0 } else { 40.0 };
        Ok(problem.pool.gradient_nanoseconds(of_result, 2.0, row))
    }

    fn run(
        &self,
        problem: &MeanGrad,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        problem.check_arrays(srcs, dsts);
        let pool = &problem.pool;
        if let Some(pool) = pool.stacked()
            && let ([src], [dst]) = (srcs, &mut *dsts)
            && let (Some(src), Some(dst)) = (src.stacked(), dst.stacked())
        {
            return self.run(&MeanGrad { pool }, &[src], &mut [dst], schedule);
        }
        let workers = schedule.workers.worth(self.cost(problem).unwrap_or(0.0));
        let size = pool.gradient_blocking(workers.threads(), pool.arithmetic.size());
        let size = schedule.tile.map_or(size, |[rows, cols]| [rows, cols, size[2]]);
        let blocks = Blocks::new(dsts, size);
        let (workers, isa) = (workers.at_most(blocks.count()), schedule.isa);
        let src = &srcs[0];
        match pool.arithmetic {
            Arithmetic::F32 => workers.drain(
                || blocks.take(),
                |block| isa.dispatch(Task::<f32> { problem, src, block, sum: PhantomData }),
            ),
            _ => workers.drain(
                || blocks.take(),
                |block| isa.dispatch(Task::<f64> { problem, src, block, sum: PhantomData }),
            ),
        }
    }
}

struct Task<'t, A> {
    problem: &'t MeanGrad,
    src: &'t Src<'t>,
    block: Block<'t>,
    sum: PhantomData<A>,
}

impl<A: Divide + std::ops::Add<Output = A>> Kernel for Task<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        block::<S, A>(simd, self.problem, self.src, self.block);
    }
}

fn add<S: Simd, A: Copy + std::ops::Add<Output = A>>(simd: S, from: &[A], into: &mut [A]) {
    simd.vectorize(
        #[inline(always)]
        || {
            for (into, &from) in into.iter_mut().zip(from) {
                *into = *into + from;
            }
        },
    );
}

fn block<S: Simd, A: Divide + std::ops::Add<Output = A>>(
    simd: S,
    problem: &MeanGrad,
    src: &Src<'_>,
    mut block: Block<'_>,
) {
    let pool = &problem.pool;
    let [above, across] = &pool.windows;
    let gradient = src.picture(block.picture);
    let (rows, cols, channels) = (block.rows.clone(), block.cols.clone(), block.channels.clone());
    let [mut to] = block.parts();
    let deep = channels.len();
    let results = across.over_all(&cols);
    let dealt = match across {
        Windows::Sliding(axis) => {
            let runs = deep == 1 && axis.dilation == 1 && axis.taps >= WIDE && axis.stride > 1;
            (!runs && axis.stride <= WIDE && axis.dst > 1).then_some(axis)
        }
        Windows::Stacked(..) | Windows::Adaptive { .. } => None,
    };
    let comb = Comb::new(across, dealt.map_or(1, |axis| axis.stride), &cols, &results, deep);
    let (width, slots) = (results.len() * deep, above.overlap());
    let woven = if comb.is_row() { 0 } else { comb.room() };
    let finish = Finish { rounding: Rounding::HalfEven, overflow: Overflow::Saturate };
    let divisors = Divisors(pool);
    let lengths = [slots * width, width, width, comb.room(), woven];
    alloc::scratch(lengths, |[ring, counts, sum, sums, row]: [&mut [A]; 5]| {
        if width > 0 {
            divisors.row::<Mean<A>>(&results, deep, counts);
        }
        // The windows over the row before, if the row below them would be the same.
        let mut last = None;
        let mut filled = 0;
        for y in rows {
            let over = if width == 0 { 0..0 } else { above.over(y) };
            for o in over.start.max(filled)..over.end {
                let slot = &mut ring[o % slots * width..][..width];
                let (factor, counts) = (divisors.factor(o), &*counts);
                simd.vectorize(
                    #[inline(always)]
                    || {
                        gradient.read(o, &results, &channels, slot);
                        Mean::<A>::finish(slot, counts, factor);
                    },
                );
            }
            filled = filled.max(over.end);
            let taken = over.clone().filter(|&o| above.depth(&above.window(o), y).is_some());
            let same =
                above.dilation() == 1 && last.as_ref() == Some(&over) && taken.clone().count() == over.len();
            if !same {
                last = (taken.clone().count() == over.len()).then_some(over);
                sum.fill(A::default());
                for o in taken {
                    add(simd, &ring[o % slots * width..][..width], sum);
                }
                sums.fill(A::default());
                match dealt {
                    Some(axis) if width > 0 => {
                        for j in 0..axis.taps {
                            add(simd, sum, comb.tooth(j * axis.dilation, sums, width));
                        }
                    }
                    _ => {
                        for (x, sum) in results.clone().zip(sum.chunks_exact(deep)) {
                            let window = across.window(x);
                            let step = across.dilation() * deep;
                            let begin = comb.place(across, x) * deep + window.skipped * step;
                            let run = &mut sums[begin..][..(window.taps - 1) * step + deep];
                            simd.vectorize(
                                #[inline(always)]
                                || {
                                    for into in run.chunks_mut(step) {
                                        for (into, &sum) in into[..deep].iter_mut().zip(sum) {
                                            *into = *into + sum;
                                        }
                                    }
                                },
                            );
                        }
                    }
                }
                if !comb.is_row() {
                    simd.vectorize(
                        #[inline(always)]
                        || comb.weave(sums, row),
                    );
                }
            }
            let whole = if comb.is_row() { &mut *sums } else { &mut *row };
            let whole = &mut whole[comb.held.clone()];
            simd.vectorize(
                #[inline(always)]
                || to.write(y, whole, finish),
            );
        }
    });
}
