//! Correlation of bytes with small whole weights.
//!
//! ```text
//! sum[y, x] = sum over (i, j) with w[i, j] != 0 of  w[i, j] * src[y + i, x + j]
//! ```
//!
//! Bytes are read as they stand in the image, and sums are made of two of them a word ([`Weighed`]): nothing is widened in
//! memory, and the nearest bytes to the sums are put together in registers. The sums are exact, in any order.

use super::correlate::{Correlate, Part};
use super::rows::{self, Line, Place};
use super::strip::{blocking, emptied};
use crate::border::Border;
use crate::dtype::{Arithmetic, DType, Overflow};
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule, single};
use crate::simd::{Ahead, OfWords, Simd, Weighed, bytes_at_once};
use crate::view::{Dst, Rows, Src, Tile, Tiles};
use crate::{Error, alloc};

/// The implementation `bytes`.
#[derive(Debug)]
pub struct ByteTaps;

/// Nanoseconds of a tap, and of a result, on the scale of [`Correlate::nanoseconds`].
const TAP: f64 = 0.0247;
const MOVED: f64 = 0.83;

impl Implementation<Correlate> for ByteTaps {
    fn name(&self) -> &'static str {
        "bytes"
    }

    fn cost(&self, problem: &Correlate) -> Result<f64, Reject> {
        problem.in_one_pass()?;
        problem.scratch_fits()?;
        problem.one_window()?;
        if problem.src != DType::U8 || problem.arithmetic != Arithmetic::I16 || problem.dst.is_complex() {
            return Err(Reject("only for uint8 under whole weights whose sums are ones of 16 bits"));
        }
        let held = problem.cval.integer.is_some_and(|value| (0..=255).contains(&value));
        if problem.border.contains(&Border::Constant) && !held {
            return Err(Reject("needs a cval that is a byte"));
        }
        if problem.axes.iter().any(|axis| axis.stride != 1) || problem.axes[0].dilation != 1 {
            return Err(Reject("needs strides of 1 and a vertical dilation of 1"));
        }
        let left = (0..problem.taps.len()).filter(|&i| problem.taps.is_tap(i)).count();
        let [h, w] = problem.output();
        Ok(h as f64 * w as f64 * (left as f64 * TAP + MOVED))
    }

    fn run(
        &self,
        problem: &Correlate,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let (src, dst) = single(srcs, dsts);
        let planes = src.planes();
        let workers = schedule.workers.worth(problem.nanoseconds() * planes as f64);
        let size = schedule.tile.unwrap_or_else(|| blocking(problem, planes, workers.threads()));
        let tiles = Tiles::new(dst, size);
        let workers = workers.at_most(tiles.count());
        let cols = &problem.axes[1];
        let weights = problem.weights::<i16>(Part::Re).into_iter().enumerate().filter(|&(_, w)| w != 0);
        let place = |(i, w): (usize, i16)| (i / cols.taps, i % cols.taps * cols.dilation, w);
        let job = Job { problem, src, taps: Weighed::new(weights.map(place)) };
        workers.drain(|| tiles.take(), |mut tile| schedule.isa.dispatch(Task { job: &job, tile: &mut tile }))
    }
}

/// A problem with its taps.
struct Job<'p> {
    problem: &'p Correlate,
    src: &'p Src<'p>,
    taps: Weighed,
}

struct Task<'k, 'p, 't> {
    job: &'k Job<'p>,
    tile: &'k mut Tile<'t>,
}

impl Kernel for Task<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { job, tile } = self;
        if job.problem.dst == DType::U8 && job.problem.finish.overflow == Overflow::Saturate {
            job.walk::<S, u8>(simd, tile);
        } else {
            job.walk::<S, i16>(simd, tile);
        }
    }
}

/// Bytes behind a row that vectors may read.
const SLACK: usize = 64;

impl Job<'_> {
    /// Walks down a tile; of sums that fit 16 bits, a row is written as it stands or narrowed.
    fn walk<S: Simd, T: OfWords + Rows>(&self, simd: S, tile: &mut Tile<'_>) {
        let Self { problem, src, taps } = self;
        let ([rows, cols], plane) = (&problem.axes, src.plane(tile.plane, 0));
        let span = rows.taps;
        let (width, read) = (tile.cols.len(), tile.cols.clone());
        let length = width + (cols.taps - 1) * cols.dilation;
        let place = Place {
            start: tile.cols.start as isize - cols.before,
            step: 1,
            border: problem.border[1],
            channels: problem.channels,
            outside: problem.outside::<u8>(0),
        };
        let line = Line::new(place, cols.src, length);
        // Rows of a ring meet in all sets of a cache.
        let pitch = ((length + SLACK).div_ceil(SLACK) | 1) * SLACK;
        let base = tile.rows.start as isize - rows.before;
        let source_row = |unit: usize| problem.border[0].index(base + unit as isize, rows.src);
        let (lent, far) = (tile.lends::<T>(), problem.is_far(src.planes()));
        let sizes = ([span * pitch], [if lent { 0 } else { width }], []);
        alloc::scratch_of_three(sizes, |[ring], [out], []: [&mut [u8]; 0]| {
            let (mut list, mut ahead) = (Vec::with_capacity(span), Ahead::default());
            let mut filled = 0;
            for (from, y) in tile.rows.clone().enumerate() {
                for unit in filled..from + span {
                    let slot = &mut ring[unit % span * pitch..][..length];
                    match source_row(unit) {
                        Some(y) => line.widen(simd, &plane, y, slot),
                        None => line.fill(slot),
                    }
                }
                filled = from + span;
                ahead.clear();
                if far && y + 1 < tile.rows.end {
                    if let Some(y) = source_row(filled) {
                        plane.ahead(y, &read, &mut ahead);
                    }
                    if !lent {
                        tile.ahead(y + 1, &read, &mut ahead);
                    }
                    ahead.spread(width.div_ceil(bytes_at_once::<S::I16>()));
                }
                let mut window = emptied(list);
                window.extend((from..from + span).map(|unit| &ring[unit % span * pitch..][..pitch]));
                let direct = tile.lend_rows::<T, 1>(y, 1, read.clone());
                let result = direct.map_or(&mut *out, |[row]| row);
                simd.vectorize(
                    #[inline(always)]
                    || taps.run::<S::I16, T>(&window, &ahead, result),
                );
                list = emptied(window);
                ahead.rest();
                if !lent {
                    rows::narrow(simd, out, tile, 0, [y, read.start], problem.finish);
                }
            }
        });
    }
}
