//! Max pooling with positions of one channel: windows side by side in a row of results ([`abreast`]).

use super::fold::{Sample, copy_run};
use super::separable::Line;
use super::winners::Winners;
use super::{Pool, Windows, indexed};
use crate::alloc;
use crate::dtype::{Accumulator, DType};
use crate::isa::Kernel;
use crate::shape::Axis;
use crate::simd::{Abreast, Lane, Simd, Vector, abreast, most_lanes};
use crate::view::{Block, Src};
use std::marker::PhantomData;
use std::ops::Range;

/// Rows of a window, at most.
const MOST_ROWS: usize = 8;

/// The windows' axis over columns, if they are such that this search takes them.
pub(super) fn across(pool: &Pool) -> Option<&Axis> {
    let above = &pool.windows[0];
    match &pool.windows[1] {
        Windows::Sliding(axis)
            if pool.channels == 1
                && matches!(pool.dtype, DType::F32 | DType::F64)
                && axis.dst >= most_lanes::<f32>()
                && axis.stride <= 2
                && axis.dilation == 1
                && above.taps() <= MOST_ROWS =>
        {
            Some(axis)
        }
        _ => None,
    }
}

/// Estimated nanoseconds of one thread.
pub(super) fn nanoseconds(pool: &Pool) -> f64 {
    let [rows, cols] = pool.windows.map(|windows| windows.taps() as f64);
    pool.nanoseconds(0.35 + 0.2 * rows * cols, 4.0, 34.0 * rows)
}

/// A block of results.
pub(super) struct Task<'t, L> {
    pub(super) pool: &'t Pool,
    pub(super) axis: &'t Axis,
    pub(super) src: &'t Src<'t>,
    pub(super) block: Block<'t>,
    pub(super) lane: PhantomData<L>,
}

impl<L: Lane<Elem: Sample>> Kernel for Task<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { pool, axis, src, mut block, .. } = self;
        let picture = src.picture(block.picture);
        let (rows, cols) = (block.rows.clone(), block.cols.clone());
        let whole = picture.lend_rows_of::<L::Elem>(0..picture.shape()[0]);
        let [mut to, mut positions] = block.parts();
        let lent = (to.lend_run::<L::Elem>(&rows), positions.lend_run_widened::<i64>(&rows));
        if let (Some(samples), (Some(maxima), Some(positions))) = (whole, lent)
            && cols.len() >= L::Vector::<S>::LANES
        {
            let search = Search { pool, axis, samples, rows, cols };
            simd.vectorize(
                #[inline(always)]
                || search.run::<L::Vector<S>>(maxima, positions),
            );
            return;
        }
        indexed::by_rows::<S, L::Elem>(simd, pool, &picture, block);
    }
}

/// A block whose samples and results are runs.
struct Search<'s, T> {
    pool: &'s Pool,
    axis: &'s Axis,
    /// The whole picture's.
    samples: &'s [T],
    rows: Range<usize>,
    cols: Range<usize>,
}

impl<T: Sample + Accumulator> Search<'_, T> {
    /// Finds the greatest samples and their positions.
    #[inline(always)]
    fn run<V: Vector<Elem = T>>(&self, maxima: &mut [T], positions: &mut [i64]) {
        let Self { pool, axis, samples, .. } = *self;
        let (above, width) = (&pool.windows[0], self.cols.len());
        let winners = Winners::new(pool, &self.cols, &(0..1), 1);
        let line = Line::new(&pool.windows[1], &self.cols);
        // What the last vector reads of a row, and the row with its edges.
        let reads = (width - 1 + axis.taps.div_ceil(axis.stride)) * axis.stride;
        let room = reads.max(line.len);
        let inside = line.lead == 0 && line.cols.len() == line.len;
        alloc::scratch([MOST_ROWS * room], |[edged]: [&mut [T]; 1]| {
            alloc::scratch([width], |[early]: [&mut [u32]; 1]| {
                alloc::scratch([width], |[starts]: [&mut [i64]; 1]| {
                    winners.begin(early, starts);
                    edged.fill(T::LEAST);
                    let results = maxima.chunks_exact_mut(width).zip(positions.chunks_exact_mut(width));
                    for ((begin, window), (best, found)) in above.along(self.rows.clone()).zip(results) {
                        let step = above.dilation() * axis.src;
                        let row = |depth: usize| {
                            &samples[window.first * axis.src + depth * step + line.cols.start..]
                        };
                        let lends = |depth: usize| inside && row(depth).len() >= reads;
                        for depth in 0..window.taps {
                            if !lends(depth) {
                                let into = &mut edged[depth * room + line.lead..][..line.cols.len()];
                                copy_run(row(depth), into);
                            }
                        }
                        let mut rows: [(&[T], u32); MOST_ROWS] = [(&[], 0); MOST_ROWS];
                        for depth in 0..window.taps {
                            let samples = if lends(depth) { row(depth) } else { &edged[depth * room..] };
                            rows[depth] = (&samples[..reads], ((window.skipped + depth) * step) as u32);
                        }
                        let windows = Abreast {
                            rows: &rows[..window.taps],
                            taps: axis.taps,
                            stride: axis.stride,
                            least: T::LEAST,
                            early,
                            skipped: (window.skipped * step) as u32,
                            starts,
                            base: winners.base((begin, window)),
                        };
                        abreast::<V>(&windows, best, found);
                    }
                });
            });
        });
    }
}
