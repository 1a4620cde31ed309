//! Pooling by rows, then by columns: the rows of a window are joined into one row of scratch with
//! the identity on either side, and that row is joined with itself, shifted.
//!
//! ```text
//! column[x] = join over i of src[y * sh + i * dh - top, x]
//! dst[y, x] = join over j of column[x * sw + j * dw - left]
//! ```
//!
//! With a horizontal stride the scratch row is first dealt out into its phases, so that the samples
//! of one tap are neighbours.

use super::fold::{
    Divisors, Fold, Greatest, Mean, dispatch_fold, divides, in_place, join_all, join_run, join_squares,
};
use super::{Pool, Reduction, Windows};
use crate::alloc::Plain;
use crate::dtype::Arithmetic;
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule, single};
use crate::shape::Axis;
use crate::simd::Simd;
use crate::view::{Block, Blocks, Dst, Picture, Src};
use crate::{Error, alloc, dispatch_dtype};
use std::ops::Range;

/// The implementation `separable`.
#[derive(Debug)]
pub struct Separable;

/// Bytes of a scratch row: a third of the smallest first-level cache.
const WARM: usize = 10 << 10;

/// Bytes of a scratch row above which it holds a part of the channels: half of the smallest
/// second-level cache.
const WIDE: usize = 256 << 10;

impl Implementation<Pool> for Separable {
    fn name(&self) -> &'static str {
        "separable"
    }

    fn cost(&self, pool: &Pool) -> Result<f64, Reject> {
        if pool.indices() {
            return Err(Reject("gives no indices"));
        }
        let [rows, cols] = &pool.windows;
        let joins = 0.75 * (cols.stride() * (rows.taps() + 1) + 2 * cols.taps()) as f64;
        Ok(pool.nanoseconds(joins, 40.0, 40.0))
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
            let workers = pool.threads(schedule.workers, self.cost(pool).unwrap_or(0.0));
            let size = pool.blocking(workers.threads(), row_blocking(pool));
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

/// Result columns and channels whose scratch rows stay warm.
pub(super) fn row_blocking(pool: &Pool) -> [usize; 2] {
    let cols = &pool.windows[1];
    // Channels are parted only where one window fills the second-level cache: a part is no run.
    let most =
        if pool.channels.saturating_mul(cols.taps()) > WIDE / pool.size() { 16 } else { pool.channels };
    let deep = pool.channels.min((WARM / pool.size() / cols.taps()).max(most)).max(1);
    let width = WARM / pool.size() / deep / cols.stride();
    [width.max(1), deep]
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

/// The scratch row of a block of columns: which source columns it holds, and where.
pub(super) struct Line {
    /// Source columns.
    pub(super) cols: Range<usize>,
    /// Columns of identity before them.
    pub(super) lead: usize,
    /// Columns in all.
    pub(super) len: usize,
}

impl Line {
    /// For the windows of `cols`.
    pub(super) fn new(windows: &Windows, cols: &Range<usize>) -> Self {
        match windows {
            Windows::Sliding(axis) => {
                let start = (cols.start * axis.stride) as isize - axis.before;
                let len = (cols.len() - 1) * axis.stride + axis.span();
                let clip = |x: isize| x.clamp(0, axis.src as isize) as usize;
                let cols = clip(start)..clip(start + len as isize);
                Self { lead: (cols.start as isize - start) as usize, cols, len }
            }
            Windows::Adaptive { src, dst } => {
                let (start, _) = Axis::adaptive_window(*src, *dst, cols.start);
                let (_, end) = Axis::adaptive_window(*src, *dst, cols.end - 1);
                Self { cols: start..end, lead: 0, len: end - start }
            }
        }
    }
}

/// The phases of a scratch row under a horizontal stride: phase `p` holds the columns `p, p + stride, ...`.
pub(super) struct Phases {
    stride: usize,
    dilation: usize,
    deep: usize,
    count: usize,
    /// Numbers of a phase.
    len: usize,
}

impl Phases {
    /// For a row of `cols` results of `deep` channels.
    pub(super) fn new(axis: &Axis, cols: usize, deep: usize) -> Self {
        let reach = (axis.span() - 1) / axis.stride;
        Self {
            stride: axis.stride,
            dilation: axis.dilation,
            deep,
            count: if axis.stride == 1 { 0 } else { axis.stride.min(axis.span()) },
            len: (cols + reach) * deep,
        }
    }

    /// Numbers of all phases.
    pub(super) fn room(&self) -> usize {
        self.count * self.len
    }

    /// Deals a row out. A tap beyond the row's end is read by no window.
    pub(super) fn deal<S: Simd, T: Plain>(&self, simd: S, row: &[T], into: &mut [T]) {
        if self.count == 0 {
            return;
        }
        for (phase, into) in into.chunks_exact_mut(self.len).take(self.count).enumerate() {
            let row = &row[phase * self.deep..];
            simd.vectorize(
                #[inline(always)]
                || match (self.deep, self.stride) {
                    (1, 2) => every::<T, 2>(row, into),
                    (1, 3) => every::<T, 3>(row, into),
                    (1, 4) => every::<T, 4>(row, into),
                    (1, stride) => {
                        into.iter_mut().zip(row.iter().step_by(stride)).for_each(|(to, &from)| *to = from);
                    }
                    (2, _) => self.groups::<T, 2>(row, into),
                    (3, _) => self.groups::<T, 3>(row, into),
                    (4, _) => self.groups::<T, 4>(row, into),
                    (6, _) => self.groups::<T, 6>(row, into),
                    (8, _) => self.groups::<T, 8>(row, into),
                    (16, _) => self.groups::<T, 16>(row, into),
                    (deep, stride) => {
                        for (to, from) in into.chunks_exact_mut(deep).zip(row.chunks(stride * deep)) {
                            if let Some(from) = from.get(..deep) {
                                to.copy_from_slice(from);
                            }
                        }
                    }
                },
            );
        }
    }

    #[inline(always)]
    fn groups<T: Plain, const G: usize>(&self, row: &[T], into: &mut [T]) {
        for (to, from) in into.as_chunks_mut::<G>().0.iter_mut().zip(row.chunks(self.stride * G)) {
            if let Some(from) = from.first_chunk::<G>() {
                *to = *from;
            }
        }
    }

    /// Where the samples of tap `j` begin, in the row or, with a stride, in its phases.
    pub(super) fn place(&self, j: usize) -> usize {
        let at = j * self.dilation;
        if self.count == 0 {
            at * self.deep
        } else {
            at % self.stride * self.len + at / self.stride * self.deep
        }
    }

    /// The samples of tap `j`, from the row or its phases.
    pub(super) fn tap<'r, T>(&self, j: usize, row: &'r [T], phases: &'r [T], len: usize) -> &'r [T] {
        let from = if self.count == 0 { row } else { phases };
        &from[self.place(j)..][..len]
    }
}

#[inline(always)]
fn every<T: Plain, const N: usize>(row: &[T], into: &mut [T]) {
    let (whole, rest) = row.as_chunks::<N>();
    let n = whole.len().min(into.len());
    for (to, from) in into[..n].iter_mut().zip(&whole[..n]) {
        *to = from[0];
    }
    if let (Some(to), Some(&from)) = (into.get_mut(n), rest.first()) {
        *to = from;
    }
}

/// Joins pairs of neighbours: a window of two taps at a stride of two.
fn join_pairs<S: Simd, F: Fold>(simd: S, row: &[F::Elem], out: &mut [F::Elem]) {
    simd.vectorize(
        #[inline(always)]
        || {
            for (out, pair) in out.iter_mut().zip(row.as_chunks::<2>().0) {
                *out = F::join(pair[0], pair[1]);
            }
        },
    );
}

/// Joins the rows `y, y + step, ...` of the picture.
fn join_picture_rows<S: Simd, F: Fold>(
    simd: S,
    picture: &Picture<'_>,
    [first, count, step]: [usize; 3],
    cols: &Range<usize>,
    channels: &Range<usize>,
    copies: &mut [F::Elem],
    out: &mut [F::Elem],
) {
    if F::lend(picture, first, cols, channels).is_some() {
        let row = |t: usize| F::lend(picture, first + t * step, cols, channels).unwrap_or(&[]);
        return join_all::<S, F>(simd, count, row, out);
    }
    let len = out.len();
    if count == 1 {
        return simd.vectorize(
            #[inline(always)]
            || F::bring(picture, first, cols, channels, out),
        );
    }
    let mut done = 0;
    while done < count {
        let now = (count - done).min(4);
        for (t, copy) in copies.chunks_exact_mut(len).take(now).enumerate() {
            simd.vectorize(
                #[inline(always)]
                || F::bring(picture, first + (done + t) * step, cols, channels, copy),
            );
        }
        let rows: [&[F::Elem]; 4] = std::array::from_fn(|t| &copies[t * len..][..len]);
        super::fold::join_rows::<S, F>(simd, &rows[..now], done > 0, out);
        done += now;
    }
}

fn block<S: Simd, F: Fold>(simd: S, pool: &Pool, src: &Src<'_>, mut block: Block<'_>) {
    let picture = src.picture(block.picture);
    let (rows, cols, channels) = (block.rows.clone(), block.cols.clone(), block.channels.clone());
    let [mut to] = block.parts();
    let (deep, [above, across]) = (channels.len(), &pool.windows);
    let (width, line) = (cols.len() * deep, Line::new(across, &cols));
    let held = line.lead * deep..(line.lead + line.cols.len()) * deep;
    let sliding = match across {
        Windows::Sliding(axis) => Some((axis, Phases::new(axis, cols.len(), deep))),
        Windows::Adaptive { .. } => None,
    };
    // One window over the row is joined as a run.
    let sliding =
        sliding.filter(|(axis, _)| deep > 1 || axis.taps < 16 || axis.dilation > 1 || axis.stride == 1);
    let pairs = matches!(across, Windows::Sliding(Axis { taps: 2, stride: 2, dilation: 1, .. }) if deep == 1);
    let room = sliding.as_ref().map_or(0, |(_, phases)| phases.room());
    let divisors = Divisors(pool);
    let lengths = [width, width, line.len * deep, room, 4 * held.len()];
    alloc::scratch(lengths, |[counts, out, row, phases, copies]: [&mut [F::Elem]; 5]| {
        if divides(pool) {
            divisors.row::<F>(&cols, deep, counts);
        }
        row.fill(F::identity());
        for y in rows {
            let window = above.window(y);
            let place = [window.first, window.taps, above.dilation()];
            let lend = |y| F::lend(&picture, y, &line.cols, &channels);
            // Squares are joined at once, from the picture's own rows.
            let squares = match window.taps {
                2 if pairs && held.len() == line.len => {
                    lend(window.first).zip(lend(window.first + above.dilation()))
                }
                _ => None,
            };
            if squares.is_none() {
                join_picture_rows::<S, F>(
                    simd,
                    &picture,
                    place,
                    &line.cols,
                    &channels,
                    copies,
                    &mut row[held.clone()],
                );
            }
            let row = &*row;
            let mut fold = |out: &mut [F::Elem]| {
                match (squares, &sliding) {
                    (Some((a, b)), _) => join_squares::<S, F>(simd, [a, b], out),
                    (None, _) if pairs => join_pairs::<S, F>(simd, row, out),
                    (None, Some((axis, dealt))) => {
                        dealt.deal(simd, row, phases);
                        let phases = &*phases;
                        join_all::<S, F>(simd, axis.taps, |j| dealt.tap(j, row, phases, width), out);
                    }
                    (None, None) => {
                        for (x, out) in cols.clone().zip(out.chunks_exact_mut(deep)) {
                            let window = across.window(x);
                            let taps = &row[(line.lead + window.first - line.cols.start) * deep..]
                                [..window.taps * deep];
                            if deep == 1 {
                                out[0] = join_run::<S, F>(simd, taps);
                            } else {
                                join_all::<S, F>(simd, window.taps, |j| &taps[j * deep..][..deep], out);
                            }
                        }
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
                && let Some(result) = F::lend_result(&mut to, y)
            {
                fold(result);
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
