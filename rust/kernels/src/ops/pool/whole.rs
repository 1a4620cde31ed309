//! Pooling whole pictures of one channel, as global pooling does: each is a run of samples, joined in lanes and written
//! as one result; in the gradient of the mean, a run that is filled.
//!
//! ```text
//! dst = join over y, x of src[y, x]        dx[y, x] = grad / divisor
//! ```

use super::fold::{
    Divide, Divisors, Fold, Greatest, Mean, dispatch_fold, divides, in_place, join_lanes, join_runs,
};
use super::{F32_SUMS, MeanGrad, Pool, Reduction, Windows};
use crate::dtype::{Arithmetic, DType, Finish, Overflow, Rounding};
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule, single};
use crate::simd::Simd;
use crate::view::{Block, Blocks, Dst, Picture, Src};
use crate::{Error, alloc, dispatch_dtype};
use std::marker::PhantomData;
use std::ops::Range;

/// The implementation `whole`.
#[derive(Debug)]
pub struct Whole;

/// Lanes that a run of `f32` is joined in.
const LANES: usize = 32;

/// Samples of a picture, which is its only window.
fn samples(pool: &Pool) -> Result<usize, Reject> {
    let whole = |windows: &Windows| match windows {
        Windows::Sliding(axis) if axis.dst == 1 && axis.taps == axis.src && axis.span() == axis.src => {
            (axis.before == 0 && axis.after == 0).then_some(axis.src)
        }
        _ => None,
    };
    match (pool.channels, pool.windows.each_ref().map(whole)) {
        (1, [Some(rows), Some(cols)]) => Ok(rows * cols),
        _ => Err(Reject("needs windows that are whole pictures of one channel")),
    }
}

/// Nanoseconds of all pictures: a nanosecond does so many bytes, and each picture costs some besides.
fn nanoseconds(pool: &Pool, samples: usize, bytes: f64) -> f64 {
    pool.pictures as f64 * (6.0 + (samples * pool.size()) as f64 / bytes)
}

/// Pictures of a block.
fn pictures(pool: &Pool, threads: usize) -> usize {
    const MOST: usize = 4096;
    pool.blocking(threads, [1, 1])[0].min(MOST)
}

impl Implementation<Pool> for Whole {
    fn name(&self) -> &'static str {
        "whole"
    }

    fn cost(&self, pool: &Pool) -> Result<f64, Reject> {
        let samples = samples(pool)?;
        if pool.indices() {
            return Err(Reject("gives no indices"));
        }
        let alike = matches!(
            (pool.dtype, pool.arithmetic),
            (DType::F32, Arithmetic::F32) | (DType::F64, Arithmetic::F64)
        );
        if divides(pool) && !alike {
            return Err(Reject("sums where samples stand: needs float32 or float64 as they are"));
        }
        if divides(pool) && pool.arithmetic == Arithmetic::F32 && samples > LANES * F32_SUMS {
            return Err(Reject("adds sample after sample in f32, whose roundings would add up here"));
        }
        Ok(nanoseconds(pool, samples, if divides(pool) { 24.0 } else { 8.0 }))
    }

    fn run(
        &self,
        pool: &Pool,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let (src, dst) = single(srcs, dsts);
        let cost = self.cost(pool).unwrap_or(0.0);
        pool.solve(src, dst, |pool, src, dst| {
            let workers = schedule.workers.worth(cost);
            let blocks = Blocks::new(std::slice::from_mut(dst), [pictures(pool, workers.threads()), 1, 1]);
            let (workers, isa) = (workers.at_most(blocks.count()), schedule.isa);
            dispatch_fold!(pool, |F| {
                let run = |block| isa.dispatch(Join::<F> { pool, src, block, fold: PhantomData });
                workers.drain(|| blocks.take(), run)
            })
        })
    }
}

struct Join<'t, F> {
    pool: &'t Pool,
    src: &'t Src<'t>,
    block: Block<'t>,
    fold: PhantomData<F>,
}

impl<F: Fold> Kernel for Join<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        join::<S, F>(simd, self.pool, &self.src.picture(self.block.picture), self.block);
    }
}

/// Samples that are joined at once: a copy of them stays in the first-level cache.
const CHUNK: usize = 4096;

/// The parts of a picture that are joined one after the other: some rows, or some columns of one.
fn parts(height: usize, width: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let (rows, cols) = ((CHUNK / width).max(1), CHUNK.min(width));
    (0..height).step_by(rows).flat_map(move |y| {
        (0..width).step_by(cols).map(move |x| (y..height.min(y + rows), x..width.min(x + cols)))
    })
}

/// The results `block.rows` of a picture, or of pictures one below the other.
fn join<S: Simd, F: Fold>(simd: S, pool: &Pool, picture: &Picture<'_>, mut block: Block<'_>) {
    let (results, [above, across]) = (block.rows.clone(), &pool.windows);
    let [mut to] = block.parts();
    let (height, width) = (above.taps(), across.src());
    let size = height * width;
    let first = above.window(results.start).first;
    let lent = F::lend_rows(picture, first..first + results.len() * height);
    let divisors = Divisors(pool);
    let copied = if lent.is_some() { 0 } else { CHUNK.min(size) };
    alloc::scratch([results.len(), results.len(), copied], |[out, counts, copy]| {
        if divides(pool) {
            divisors.row::<F>(&(0..1), results.len(), counts);
        }
        simd.vectorize(
            #[inline(always)]
            || {
                if let Some(run) = lent.filter(|_| size <= CHUNK) {
                    join_runs::<F>(run, size, out);
                } else {
                    for (i, out) in out.iter_mut().enumerate() {
                        *out = parts(height, width).fold(F::identity(), |joined, (rows, cols)| {
                            let n = rows.len() * cols.len();
                            let part = match lent {
                                Some(run) => &run[i * size + rows.start * width + cols.start..][..n],
                                None => {
                                    let copies = copy.chunks_exact_mut(cols.len());
                                    for (y, copy) in rows.zip(copies) {
                                        F::bring(picture, first + i * height + y, &cols, &(0..1), copy);
                                    }
                                    &copy[..n]
                                }
                            };
                            F::join(joined, join_lanes::<F>(part))
                        });
                    }
                }
                if divides(pool) {
                    F::finish(out, counts, divisors.factor(results.start));
                }
                if in_place(pool)
                    && let Some(run) = F::lend_results(&mut to, &results)
                {
                    return run.copy_from_slice(out);
                }
                for (y, out) in results.zip(out.chunks_exact_mut(1)) {
                    F::write(&mut to, y, out);
                }
            },
        );
    });
}

impl Implementation<MeanGrad> for Whole {
    fn name(&self) -> &'static str {
        "whole"
    }

    fn cost(&self, problem: &MeanGrad) -> Result<f64, Reject> {
        Ok(nanoseconds(&problem.pool, samples(&problem.pool)?, 24.0))
    }

    fn run(
        &self,
        problem: &MeanGrad,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        problem.check_arrays(srcs, dsts);
        let cost = self.cost(problem).unwrap_or(0.0);
        let (src, dst) = single(srcs, dsts);
        problem.pool.solve(src, dst, |pool, src, dst| {
            let workers = schedule.workers.worth(cost);
            let size = [pictures(pool, workers.threads()) * pool.windows[0].taps(), usize::MAX, 1];
            let blocks = Blocks::new(std::slice::from_mut(dst), size);
            let (workers, isa) = (workers.at_most(blocks.count()), schedule.isa);
            macro_rules! solve {
                ($A:ty) => {{
                    let run = |block| isa.dispatch(Fill::<$A> { pool, src, block, sum: PhantomData });
                    workers.drain(|| blocks.take(), run)
                }};
            }
            match pool.arithmetic {
                Arithmetic::F32 => solve!(f32),
                _ => solve!(f64),
            }
        })
    }
}

struct Fill<'t, A> {
    pool: &'t Pool,
    src: &'t Src<'t>,
    block: Block<'t>,
    sum: PhantomData<A>,
}

impl<A: Divide + std::ops::Add<Output = A>> Kernel for Fill<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        fill::<S, A>(simd, self.pool, &self.src.picture(self.block.picture), self.block);
    }
}

/// Fills whole pictures, one below the other.
fn fill<S: Simd, A: Divide + std::ops::Add<Output = A>>(
    simd: S,
    pool: &Pool,
    gradient: &Picture<'_>,
    mut block: Block<'_>,
) {
    let (rows, [above, across]) = (block.rows.clone(), &pool.windows);
    let [mut to] = block.parts();
    let (height, width) = (above.taps(), across.src());
    let pictures = rows.start / height..rows.end / height;
    let divisors = Divisors(pool);
    let finish = Finish { rounding: Rounding::HalfEven, overflow: Overflow::Saturate };
    alloc::scratch([pictures.len(), pictures.len(), width], |[values, counts, row]: [&mut [A]; 3]| {
        divisors.row::<Mean<A>>(&(0..1), pictures.len(), counts);
        simd.vectorize(
            #[inline(always)]
            || {
                for (o, value) in pictures.clone().zip(values.chunks_exact_mut(1)) {
                    gradient.read(o, &(0..1), &(0..1), value);
                }
                Mean::<A>::finish(values, counts, divisors.factor(pictures.start));
                if let Some(run) = to.lend_run_widened::<A>(&rows) {
                    for (picture, &value) in run.chunks_exact_mut(height * width).zip(&*values) {
                        picture.fill(value);
                    }
                    return;
                }
                for y in rows.clone() {
                    row.fill(values[(y - rows.start) / height]);
                    to.write(y, row, finish);
                }
            },
        );
    });
}
