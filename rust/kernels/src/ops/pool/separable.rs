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
    Divisors, Fold, Greatest, Mean, copy_run, dispatch_fold, divides, in_place, join_all, join_few,
    join_neighbours, join_run,
};
use super::{Pool, Reduction, Windows};
use crate::alloc::Plain;
use crate::dtype::Arithmetic;
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule, single};
use crate::shape::Axis;
use crate::simd::{Simd, fetch};
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
        // With a stride, rows are dealt out besides.
        let dealt = if cols.stride() > 1 && pool.channels > 1 { 2 * cols.stride() } else { 0 };
        let joins = 0.75 * (cols.stride() * (rows.taps() + 1) + 2 * cols.taps() + dealt) as f64;
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
            let workers = schedule.workers.worth(self.cost(pool).unwrap_or(0.0));
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
            Windows::Sliding(axis) | Windows::Stacked(axis, _) => {
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

/// Results that are folded together, where rows are shorter.
const LONG: usize = 512;

/// Numbers that samples are brought near ahead of their use.
pub(super) const AHEAD: usize = 2048;

/// Horizontal windows that are folded from a long row.
enum Across<'p> {
    /// Two neighbours, one channel, at a stride of two.
    Pairs,
    /// Three, likewise.
    Threes,
    /// Taps of phases.
    Dealt(&'p Axis, Phases),
}

impl<'p> Across<'p> {
    /// For so many places in all, if windows slide and aren't wide.
    fn new(windows: &'p Windows, places: usize, deep: usize) -> Option<Self> {
        let Windows::Sliding(axis) = windows else { return None };
        match (deep, axis.taps, axis.stride, axis.dilation) {
            (1, 2, 2, 1) => Some(Self::Pairs),
            (1, 3, 2, 1) => Some(Self::Threes),
            // One window over the row is joined as a run.
            (1, 16.., 2.., 1) => None,
            _ => Some(Self::Dealt(axis, Phases::new(axis, places, deep))),
        }
    }

    /// Numbers of the phases.
    fn room(&self) -> usize {
        match self {
            Self::Dealt(_, phases) => phases.room(),
            _ => 0,
        }
    }

    fn fold<S: Simd, F: Fold>(&self, simd: S, row: &[F::Elem], phases: &mut [F::Elem], out: &mut [F::Elem]) {
        match self {
            Self::Pairs => join_neighbours::<S, F, 2>(simd, row, out),
            Self::Threes => join_neighbours::<S, F, 3>(simd, row, out),
            Self::Dealt(axis, dealt) => {
                dealt.deal(simd, row, phases);
                let (phases, width) = (&*phases, out.len());
                join_all::<S, F>(simd, axis.taps, |j| dealt.tap(j, row, phases, width), out);
            }
        }
    }
}

/// Copies rows of `width` numbers, `apart` from one to the next, one after the other.
#[inline(always)]
fn pack<T: Plain>(rows: &[T], apart: usize, width: usize, into: &mut [T]) {
    /// Numbers that are copied at once: what is too much is written over by the next row.
    const L: usize = 8;
    for (k, row) in rows.chunks(apart).enumerate() {
        let (row, into) = (&row[..width.min(row.len())], &mut into[k * width..]);
        match (rows[k * apart..].first_chunk::<L>(), into.first_chunk_mut::<L>()) {
            (Some(from), Some(to)) if width <= L => *to = *from,
            _ => copy_run(row, &mut into[..row.len()]),
        }
    }
}

/// Short rows of results are folded together, as one long row: the joined rows of samples of each stand one after
/// the other, so far apart that no window reaches from one into the next where it counts.
fn block<S: Simd, F: Fold>(simd: S, pool: &Pool, src: &Src<'_>, mut block: Block<'_>) {
    let picture = src.picture(block.picture);
    let (rows, cols, channels) = (block.rows.clone(), block.cols.clone(), block.channels.clone());
    let [mut to] = block.parts();
    let (deep, [above, across]) = (channels.len(), &pool.windows);
    let (width, line) = (cols.len() * deep, Line::new(across, &cols));
    let held = line.lead * deep..(line.lead + line.cols.len()) * deep;
    // Places from one row's results to the next one's, and the rows.
    let (stride, mut places, mut together) = (across.stride(), cols.len(), 1);
    if Across::new(across, places, deep).is_some() && stride <= line.len {
        places = places.max(line.len.div_ceil(stride));
        together = (LONG / (places * deep)).clamp(1, rows.len());
    }
    // Numbers from one row to the next, among samples and among results. A stride may be as long as it likes.
    let apart = if together > 1 { places * stride * deep } else { line.len * deep };
    let results = places * deep;
    let sliding = Across::new(across, together * places, deep);
    let room = sliding.as_ref().map_or(0, Across::room);
    // The rows of the picture, if they are one run.
    let whole = F::lend_rows(&picture, 0..picture.shape()[0]).filter(|_| deep == picture.shape()[2]);
    let (pitch, start) = (across.src() * deep, line.cols.start * deep);
    let divisors = Divisors(pool);
    let long = (together - 1) * apart + line.len * deep;
    let lengths = [width, together * results, long, room, 4 * held.len()];
    alloc::scratch(lengths, |[counts, out, row, phases, copies]: [&mut [F::Elem]; 5]| {
        if divides(pool) {
            divisors.row::<F>(&cols, deep, counts);
        }
        row.fill(F::identity());
        let mut left = rows;
        while !left.is_empty() {
            let ys = left.start..left.end.min(left.start + together);
            left.start = ys.end;
            simd.vectorize(
                #[inline(always)]
                || {
                    let step = above.dilation();
                    for (k, (_, window)) in above.along(ys.clone()).enumerate() {
                        let into = &mut row[k * apart..][held.clone()];
                        if let Some(whole) = whole {
                            let samples = &whole[window.first * pitch + start..];
                            if let Some(ahead) = samples.get(AHEAD..) {
                                fetch(&ahead[..ahead.len().min(above.stride() * held.len())]);
                            }
                            let tap = |i: usize| &samples[i * step * pitch..][..held.len()];
                            join_few::<S, F>(simd, window.taps, tap, into);
                            continue;
                        }
                        let place = [window.first, window.taps, step];
                        join_picture_rows::<S, F>(simd, &picture, place, &line.cols, &channels, copies, into);
                    }
                },
            );
            let (row, numbers) = (&*row, (ys.len() - 1) * results + width);
            let mut fold = |out: &mut [F::Elem]| {
                if let Some(sliding) = &sliding {
                    sliding.fold::<S, F>(simd, row, phases, &mut out[..numbers]);
                } else {
                    for (x, out) in cols.clone().zip(out.chunks_exact_mut(deep)) {
                        let window = across.window(x);
                        let taps =
                            &row[(line.lead + window.first - line.cols.start) * deep..][..window.taps * deep];
                        if deep == 1 {
                            out[0] = join_run::<S, F>(simd, taps);
                        } else {
                            join_all::<S, F>(simd, window.taps, |j| &taps[j * deep..][..deep], out);
                        }
                    }
                }
                if divides(pool) {
                    let counts = &*counts;
                    simd.vectorize(
                        #[inline(always)]
                        || {
                            for (y, out) in ys.clone().zip(out.chunks_mut(results)) {
                                F::finish(&mut out[..width], counts, divisors.factor(y));
                            }
                        },
                    );
                }
            };
            let lent = if in_place(pool) { F::lend_results(&mut to, &ys) } else { None };
            match lent {
                Some(lent) if results == width || ys.len() == 1 => fold(lent),
                Some(lent) => {
                    fold(out);
                    simd.vectorize(
                        #[inline(always)]
                        || pack(&out[..numbers], results, width, lent),
                    );
                }
                None => {
                    fold(out);
                    simd.vectorize(
                        #[inline(always)]
                        || {
                            for (y, out) in ys.clone().zip(out.chunks_mut(results)) {
                                F::write(&mut to, y, &mut out[..width]);
                            }
                        },
                    );
                }
            }
        }
    });
}
