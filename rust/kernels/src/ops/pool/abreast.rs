//! Max pooling with positions of planes: windows side by side in a row of results, compared in registers.
//!
//! What a vector's windows meet is read once and dealt out to the taps ([`abreast`]); rows are read where they stand, but
//! those with an edge, and the last ones of an array, beyond which a vector would read.

use super::fold::{Sample, copy_run};
use super::separable::Line;
use super::winners::Winners;
use super::{Pool, Windows, any_layout};
use crate::dtype::{Accumulator, DType};
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule};
use crate::shape::Axis;
use crate::simd::{self, Lane, Simd, Vector, abreast, lane, number};
use crate::view::{Block, Blocks, Dst, Src};
use crate::{Error, alloc};
use std::marker::PhantomData;
use std::ops::Range;

/// The implementation `abreast`.
#[derive(Debug)]
pub struct Abreast;

/// Rows of a window, at most.
const MOST_ROWS: usize = 8;

/// Bytes of rows of samples with their edges.
const EDGED: usize = 16 << 10;

/// Bytes of the samples of a block.
const NEAR: usize = 256 << 10;

impl Implementation<Pool> for Abreast {
    fn name(&self) -> &'static str {
        "abreast"
    }

    fn cost(&self, pool: &Pool) -> Result<f64, Reject> {
        if !pool.indices() {
            return Err(Reject("gives indices, which were not asked for"));
        }
        if pool.channels != 1 {
            return Err(Reject("needs pictures of one channel"));
        }
        if !matches!(pool.dtype, DType::F32 | DType::F64) {
            return Err(Reject("compares vectors of float32 or float64"));
        }
        let [rows, cols] = &pool.windows;
        let Windows::Sliding(axis) = cols else {
            return Err(Reject("needs windows of one size"));
        };
        if axis.stride > 2 || axis.dilation > 1 || rows.taps() > MOST_ROWS {
            return Err(Reject("needs a stride of 1 or 2, neighbouring columns and up to eight rows"));
        }
        Winners::check(pool)?;
        Ok(pool.nanoseconds(0.7 + 0.27 * (rows.taps() * cols.taps()) as f64, 4.0, 45.0))
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
    let Windows::Sliding(axis) = &pool.windows[1] else { panic!("windows of one size") };
    let workers = schedule.workers.worth(Abreast.cost(pool).unwrap_or(0.0));
    // Whole rows, which are runs.
    let most = NEAR / (pool.windows[0].stride() * axis.src * pool.dtype.size()).max(1);
    let [rows, _, _] = pool.blocking(workers.threads(), [usize::MAX, 1]);
    let rows = schedule.tile.map_or(rows.min(most.max(1)), |[rows, _]| rows);
    let blocks = Blocks::new(dsts, [rows, usize::MAX, 1]);
    let (workers, isa) = (workers.at_most(blocks.count()), schedule.isa);
    macro_rules! solve {
        ($lane:ty) => {
            workers.drain(
                || blocks.take(),
                |block| isa.dispatch(Task::<$lane> { pool, axis, src, block, lane: PhantomData }),
            )
        };
    }
    if pool.dtype == DType::F32 { solve!(lane::F32) } else { solve!(lane::F64) }
}

/// Some rows of results.
struct Task<'t, L> {
    pool: &'t Pool,
    axis: &'t Axis,
    src: &'t Src<'t>,
    block: Block<'t>,
    lane: PhantomData<L>,
}

const RUN: &str = "an array that is a run";

impl<L: Lane<Elem: Sample>> Kernel for Task<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { pool, axis, src, mut block, .. } = self;
        let picture = src.picture(block.picture);
        let rows = block.rows.clone();
        let samples = picture.lend_rows_of::<L::Elem>(0..picture.shape()[0]).expect(RUN);
        let search = Search { pool, axis, samples, rows: rows.clone() };
        let [mut to, mut positions] = block.parts();
        let maxima = to.lend_run::<L::Elem>(&rows).expect(RUN);
        let positions = positions.lend_run_widened::<i64>(&rows).expect(RUN);
        search.run::<S, L::Vector<S>>(simd, maxima, positions);
    }
}

/// Rows of results over a picture.
struct Search<'s, T> {
    pool: &'s Pool,
    axis: &'s Axis,
    /// The whole picture's.
    samples: &'s [T],
    rows: Range<usize>,
}

impl<T: Sample + Accumulator> Search<'_, T> {
    /// Finds the greatest samples and their positions.
    fn run<S: Simd, V: Vector<Elem = T>>(&self, token: S, maxima: &mut [T], positions: &mut [i64]) {
        let Self { pool, axis, samples, rows } = self;
        let (above, cols) = (&pool.windows[0], 0..axis.dst);
        let width = cols.len();
        let winners = Winners::new(pool, &cols, &(0..1), 1);
        let line = Line::new(&pool.windows[1], &cols);
        let [windows, reads] = simd::Abreast::<T>::room(width, V::LANES, axis.taps, axis.stride);
        // A row with its edges.
        let room = reads.max(line.len);
        let inside = line.lead == 0 && line.cols.len() == line.len;
        let [step, down] = [above.dilation(), above.stride()].map(|rows| rows * axis.src);
        // Rows of samples with their edges that are brought at once: those of a window, or of several that share theirs.
        let share = above.dilation() == 1 && above.stride() <= above.taps();
        let edged_rows = if share { EDGED / (room * size_of::<T>()) } else { 0 }.max(above.taps());
        alloc::scratch([edged_rows * room, windows, windows], |[edged, numbers, spare]: [&mut [T]; 3]| {
            alloc::scratch([windows], |[early]: [&mut [u32]; 1]| {
                alloc::scratch([windows], |[starts]: [&mut [i64]; 1]| {
                    early.fill(0);
                    starts.fill(0);
                    winners.begin(&mut early[..width], &mut starts[..width]);
                    edged.fill(T::LEAST);
                    let mut numbered = None;
                    let mut y = rows.start;
                    while y < rows.end {
                        let ((begin, end), window) = (above.picture(y), above.window(y));
                        let from = &samples[window.first * axis.src + line.cols.start..];
                        let last = window.taps.saturating_sub(1) * step;
                        let lends = inside && from.len() >= last + reads;
                        let mut count = 1;
                        if window.taps == above.taps() {
                            // Those after it that are as whole.
                            let most = match lends {
                                true => (from.len() - last - reads) / down.max(1),
                                false => (edged_rows - above.taps()) / above.stride().max(1),
                            };
                            let end = rows.end.min(end).min(y + 1 + most);
                            let alike = |count: usize| {
                                let other = above.window(y + count);
                                let first = window.first + count * above.stride();
                                other.taps == window.taps && other.first == first
                            };
                            while y + count < end && alike(count) {
                                count += 1;
                            }
                        }
                        let brought = if lends { 0 } else { (count - 1) * above.stride() + window.taps };
                        token.vectorize(
                            #[inline(always)]
                            || {
                                for (i, into) in edged.chunks_exact_mut(room).take(brought).enumerate() {
                                    let into = &mut into[line.lead..][..line.cols.len()];
                                    copy_run(&from[i * step..], into);
                                }
                            },
                        );
                        let (source, pitch, apart) = match lends {
                            true => (from, axis.src, step),
                            false => (&*edged, room, room),
                        };
                        let mut taps: [(&[T], u32); MOST_ROWS] = [(&[], 0); MOST_ROWS];
                        for depth in 0..window.taps {
                            let place = (window.skipped + depth) * step;
                            taps[depth] = (&source[depth * apart..], place as u32);
                        }
                        if numbered != Some(window.skipped) {
                            numbered = Some(window.skipped);
                            for (to, &early) in numbers.iter_mut().zip(&*early) {
                                *to = number(early + (window.skipped * step) as u32);
                            }
                        }
                        let first = (y - rows.start) * width;
                        let results = first..first + count * width;
                        let windows = simd::Abreast {
                            rows: &taps[..window.taps],
                            taps: axis.taps,
                            stride: axis.stride,
                            down: [count, above.stride() * pitch, down],
                            width,
                            least: T::LEAST,
                            early: numbers,
                            starts,
                            base: winners.base((begin, window)),
                        };
                        let (best, found) = (&mut maxima[results.clone()], &mut positions[results]);
                        token.vectorize(
                            #[inline(always)]
                            || abreast::<V>(&windows, spare, best, found),
                        );
                        y += count;
                    }
                });
            });
        });
    }
}
