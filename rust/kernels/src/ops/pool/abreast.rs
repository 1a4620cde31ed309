//! Max pooling whose samples are compared in registers: of several channels those of a window, of one channel windows side by
//! side in a row of results.
//!
//! What a vector's windows meet is read where it stands, once, and dealt out to the taps ([`simd::Abreast`]).

use super::fold::Sample;
use super::winners::Winners;
use super::{Pool, Reduction, Windows, any_layout};
use crate::Error;
use crate::dtype::DType;
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule};
use crate::shape::Axis;
use crate::simd::{self, Lane, MOST_TAPS, Simd, lane};
use crate::view::{Block, Blocks, Dst, Src};
use std::marker::PhantomData;

/// The implementation `abreast`.
#[derive(Debug)]
pub struct Abreast;

/// Bytes of the longest vector: channels fill one at least, and estimates count in it.
const VECTOR: usize = 64;

/// Nanoseconds for preparing a vector of a row of results.
const STEP: f64 = 3.0;

/// Bytes of a row of the image, at most: there may be another one, of what is outside.
const MOST_ROW: usize = 16 << 20;

/// Bytes of the samples of a task.
const TASK: usize = 4 << 20;

impl Implementation<Pool> for Abreast {
    fn name(&self) -> &'static str {
        "abreast"
    }

    fn cost(&self, pool: &Pool) -> Result<f64, Reject> {
        if !matches!(pool.reduction, Reduction::Max { .. }) {
            return Err(Reject("finds maxima"));
        }
        if !matches!(pool.dtype, DType::F32 | DType::F64) {
            return Err(Reject("compares vectors of float32 or float64"));
        }
        if pool.channels != 1 && pool.channels * pool.dtype.size() < VECTOR {
            return Err(Reject("needs one channel, or 64 bytes of them"));
        }
        let Some([rows, cols]) = axes(pool) else {
            return Err(Reject("needs windows of one size"));
        };
        if rows.taps.max(cols.taps) > MOST_TAPS {
            return Err(Reject("needs up to eight taps each way"));
        }
        if pool.channels == 1 && cols.stride > 1 && (cols.stride > 2 || cols.dilation > 1) {
            return Err(Reject("needs, of one channel, a stride of 1, or 2 and neighbouring columns"));
        }
        let size = pool.dtype.size();
        if cols.src.saturating_mul(pool.channels * size) > MOST_ROW {
            return Err(Reject("needs rows of the image of up to 16 MiB"));
        }
        Winners::check(pool)?;
        // Nanoseconds of a vector of a row of results, and of a row besides. Long chains of taps leave less to do side by side.
        let taps = (rows.taps * cols.taps) as f64;
        let [vector, row] = if pool.indices() {
            [3.0 + taps * (1.4 + 0.025 * taps), 4.5]
        } else {
            [1.5 + taps * (0.75 + 0.01 * taps), 3.5]
        };
        let vectors = match pool.channels {
            1 => (cols.dst * size).div_ceil(VECTOR),
            channels => cols.dst * (channels * size).div_ceil(VECTOR),
        };
        let rows = (pool.pictures * pool.output()[0]) as f64;
        Ok(rows * (row + vectors as f64 * vector) + vectors as f64 * STEP)
    }

    fn run(
        &self,
        pool: &Pool,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        if !(srcs.iter().all(Src::is_run) && dsts.iter().all(Dst::is_run)) {
            return any_layout(pool).run(pool, srcs, dsts, schedule);
        }
        if let Some(tall) = pool.stacked()
            && let Some(src) = srcs[0].stacked()
            && let Some(mut dsts) = dsts.iter_mut().map(Dst::stacked).collect::<Option<Vec<_>>>()
        {
            return solve(&tall, &src, &mut dsts, schedule);
        }
        solve(pool, &srcs[0], dsts, schedule)
    }
}

fn solve(pool: &Pool, src: &Src<'_>, dsts: &mut [Dst<'_>], schedule: &Schedule<'_>) -> Result<(), Error> {
    let workers = schedule.workers.worth(Abreast.cost(pool).unwrap_or(0.0));
    // Whole rows, which are runs; of a single thread some at a time too, between which it can be interrupted.
    let row = pool.windows[0].stride() * pool.windows[1].src() * pool.channels * pool.dtype.size();
    let [rows, _, _] = pool.blocking(workers.threads(), [usize::MAX; 2]);
    let rows = rows.min((TASK / row.max(1)).max(1));
    let rows = schedule.tile.map_or(rows, |[rows, _]| rows);
    let blocks = Blocks::new(dsts, [rows, usize::MAX, usize::MAX]);
    let (workers, isa) = (workers.at_most(blocks.count()), schedule.isa);
    macro_rules! solve {
        ($lane:ty) => {{
            let windows = isa.dispatch(Prepare::<$lane> { pool, lane: PhantomData });
            workers.drain(
                || blocks.take(),
                |block| {
                    isa.dispatch(Task::<$lane> { indices: pool.indices(), windows: &windows, src, block })
                },
            )
        }};
    }
    if pool.dtype == DType::F32 { solve!(lane::F32) } else { solve!(lane::F64) }
}

/// The windows over rows, of each picture, and over columns, if they slide.
fn axes(pool: &Pool) -> Option<[Axis; 2]> {
    let axis = |windows: &Windows| match windows {
        Windows::Sliding(axis) | Windows::Stacked(axis, _) => Some(*axis),
        Windows::Adaptive { .. } => None,
    };
    Some([axis(&pool.windows[0])?, axis(&pool.windows[1])?])
}

/// What all rows of results have in common.
struct Prepare<'t, L> {
    pool: &'t Pool,
    lane: PhantomData<L>,
}

impl<L: Lane<Elem: Sample>> Kernel for Prepare<'_, L> {
    type Output = simd::Abreast<L::Elem>;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Self::Output {
        let axes = axes(self.pool).expect("windows that slide");
        simd::Abreast::new::<L::Vector<S>>(axes, self.pool.channels, L::Elem::LEAST)
    }
}

/// Some rows of results.
struct Task<'t, L: Lane> {
    indices: bool,
    windows: &'t simd::Abreast<L::Elem>,
    src: &'t Src<'t>,
    block: Block<'t>,
}

const RUN: &str = "an array that is a run";

impl<L: Lane<Elem: Sample>> Kernel for Task<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { indices, windows, src, mut block } = self;
        let (picture, rows) = (src.picture(block.picture), block.rows.clone());
        let samples = picture.lend_rows_of::<L::Elem>(0..picture.shape()[0]).expect(RUN);
        if indices {
            let [mut to, mut positions] = block.parts();
            let best = to.lend_run(&rows).expect(RUN);
            let positions = positions.lend_run_widened(&rows).expect(RUN);
            simd.vectorize(
                #[inline(always)]
                || windows.run::<L::Vector<S>>(samples, rows, best, Some(positions)),
            );
        } else {
            let [mut to] = block.parts();
            let best = to.lend_run(&rows).expect(RUN);
            simd.vectorize(
                #[inline(always)]
                || windows.run::<L::Vector<S>>(samples, rows, best, None),
            );
        }
    }
}
