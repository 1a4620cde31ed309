//! The gradient of max pooling from the positions of the maxima: each gradient is added where its position
//! says, window after window in their order.
//!
//! ```text
//! dx[position[o]] += grad[o]
//! ```
//!
//! A block is a band of a picture's rows, summed in scratch that stays in the second-level cache. It looks at every
//! window that reaches into the band and leaves out positions that are another band's.

use super::gathered::check_positions;
use super::gradient::MaxGrad;
use crate::dtype::{DType, Element};
use crate::registry::{Implementation, Reject, Schedule};
use crate::view::{Block, Blocks, Dst, Picture, Src};
use crate::{Error, alloc};
use std::ops::{AddAssign, Range};

/// The implementation `scattered`.
#[derive(Debug)]
pub struct Scattered;

/// Bytes of a band's sums.
const BAND: usize = 128 << 10;

impl Implementation<MaxGrad> for Scattered {
    fn name(&self) -> &'static str {
        "scattered"
    }

    fn cost(&self, problem: &MaxGrad) -> Result<f64, Reject> {
        if !problem.indices {
            return Err(Reject("needs the positions of the maxima"));
        }
        if !matches!(problem.pool.dtype, DType::F32 | DType::F64) {
            return Err(Reject("sums in the image's dtype: needs float32 or float64"));
        }
        Ok(problem.pool.gradient_nanoseconds(70.0, 1.0, 10.0))
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
        let workers = pool.gradient_threads(schedule.workers, self.cost(problem).unwrap_or(0.0));
        check_positions(pool, &srcs[1], schedule, workers)?;
        let [rows, cols] = [pool.windows[0].src(), pool.windows[1].src()];
        let row = (cols * pool.channels * pool.dtype.size()).max(1);
        // Enough bands for every thread, none so low that its windows are mostly its neighbours'.
        let bands =
            if workers.threads() == 1 { 1 } else { (4 * workers.threads()).div_ceil(pool.pictures.max(1)) };
        let height = rows.div_ceil(bands).max(4 * pool.windows[0].overlap()).min(BAND / row).max(1);
        let height = schedule.tile.map_or(height, |[rows, _]| rows.max(1));
        let blocks = Blocks::new(dsts, [height, cols.max(1), pool.channels.max(1)]);
        let workers = workers.at_most(blocks.count());
        let task = |block: Block<'_>| match pool.dtype {
            DType::F64 => band::<f64>(problem, srcs, block),
            _ => band::<f32>(problem, srcs, block),
        };
        workers.drain(|| blocks.take(), task)
    }
}

/// A row of all results: as it stands in the array, if its numbers are neighbours, else copied.
fn row<'r, T: Element>(
    picture: &Picture<'r>,
    y: usize,
    cols: &Range<usize>,
    deep: usize,
    copy: &'r mut [T],
) -> &'r [T] {
    if let Some(row) = picture.lend::<T>(y, cols, &(0..deep)) {
        return row;
    }
    picture.copy(y, cols, &(0..deep), copy);
    copy
}

fn band<T: Element + Default + AddAssign>(problem: &MaxGrad, srcs: &[Src<'_>], mut block: Block<'_>) {
    let [above, across] = &problem.pool.windows;
    let (rows, deep) = (block.rows.clone(), block.channels.len());
    let (gradient, positions) = (srcs[0].picture(block.picture), srcs[1].picture(block.picture));
    let (results, width) = (0..across.dst(), across.src() * deep);
    let over = match results.is_empty() {
        true => 0..0,
        false => above.over_all(&rows),
    };
    let [mut to] = block.parts();
    let numbers = results.len() * deep;
    alloc::scratch([rows.len() * width, numbers], |[sums, grads]: [&mut [T]; 2]| {
        alloc::scratch([numbers], |[places]: [&mut [i64]; 1]| {
            sums.fill(T::default());
            let first = (rows.start * across.src()) as i64;
            for o in over {
                let grads = row(&gradient, o, &results, deep, grads);
                let places = row(&positions, o, &results, deep, places);
                for (places, grads) in places.chunks_exact(deep).zip(grads.chunks_exact(deep)) {
                    for (c, (&place, &grad)) in places.iter().zip(grads).enumerate() {
                        // Of another band: before this one (a huge number) or behind it.
                        let at = ((place - first) as usize).wrapping_mul(deep).wrapping_add(c);
                        if let Some(sum) = sums.get_mut(at).filter(|_| place >= first) {
                            *sum += grad;
                        }
                    }
                }
            }
            for (y, sums) in rows.zip(sums.chunks_exact(width)) {
                to.copy(y, sums);
            }
        });
    });
}
