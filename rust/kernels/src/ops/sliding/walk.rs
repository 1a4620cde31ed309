//! The walk down a block of results: columns are folded first, then the row that they make.
//!
//! Down, a window of `k` rows is the end of one block of `k` source rows and the beginning of the next
//! (van Herk, Gil and Werman): the ends of a block are folded upwards once and kept, the beginning of the
//! next grows by a row a result,
//!
//! ```text
//! end[j] = row[j] + end[j + 1]        begin[j] = begin[j - 1] + row[k + j]
//! column = end[j] + begin[j - 1]
//! ```
//!
//! three joins a sample whatever `k` is. No float is ever subtracted, so a float's error doesn't grow with the
//! image and a NaN stays in its windows. Blocks begin at multiples of `k` rows of the image, wherever
//! the walk does: so the bits of a result depend on no tile. Windows of few rows are folded directly; sums of whole numbers, which are
//! exact, gain a row and lose one.
//!
//! Across, the row is joined with itself, shifted: windows of 4, 16, 64, ... samples, four a pass, then
//! those that make up the window. Where a sample may be joined twice the last ones overlap.
//!
//! Samples are lent where they stand, or brought into a ring of as many rows as the window has. The row of
//! columns goes on past the image's ends as the border says: from its own samples where they are there, else
//! (a window that wraps round, a reflection longer than a narrow block) samples are brought for it.

use super::extremes::{Floats, Own, Widened};
use super::fold::{Fold, Run, Step};
use super::line::Line;
use super::rows::{PART, advance, grow, join_all, keep_all, replace};
use super::sums::{Bytes, Sums};
use super::{Numbers, Reduction, Sliding};
use crate::dtype::DType;
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule, single};
use crate::simd::{Ahead, Simd};
use crate::view::{Block, Blocks, Dst, Picture, Src};
use crate::{Error, alloc, dispatch_dtype};
use std::ops::Range;

/// The implementation `walk`.
#[derive(Debug)]
pub struct Walk;

/// Window rows up to which columns are folded directly.
const DIRECT: usize = 5;

/// Bytes of kept rows that a block's walk keeps warm: half of the smallest second-level cache.
pub(super) const WARM: usize = 224 << 10;

/// Bytes of a row at most: a few of them stay near, and each is several pages long, at the ends of which prefetchers
/// begin anew (rows of 6 KiB took 1.3 to 1.7 times as long out of cache).
const ROW: usize = 16 << 10;

/// Samples behind a row that may be read and written: as many as the longest vector has.
const SLACK: usize = 64;

/// Results of a block at most: between two the caller may be interrupted.
const PATIENCE: usize = 16 << 20;

/// Why some means are not taken.
const BYTES: &str = "sums of bytes that are divided once are made by `bytes`";

impl Implementation<Sliding> for Walk {
    fn name(&self) -> &'static str {
        "walk"
    }

    fn cost(&self, problem: &Sliding) -> Result<f64, Reject> {
        if matches!(problem.numbers, Numbers::U16 | Numbers::U16AndI32) {
            return Err(Reject(BYTES));
        }
        scratch_fits(problem)?;
        Ok(problem.nanoseconds())
    }

    fn run(
        &self,
        problem: &Sliding,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let (src, dst) = single(srcs, dsts);
        macro_rules! run {
            ($fold:expr) => {
                go(&$fold, problem, src, dst, schedule)
            };
        }
        // A NaN beyond the edges is everywhere near them: no block there is quick.
        let quick = problem.numbers == Numbers::Own && !problem.cval.value.re.is_nan();
        match (problem.reduction, problem.numbers) {
            (Reduction::Minimum, _) if quick && problem.src == DType::F32 => {
                run!(Floats::<f32, false>::new(problem))
            }
            (Reduction::Maximum, _) if quick && problem.src == DType::F32 => {
                run!(Floats::<f32, true>::new(problem))
            }
            (Reduction::Minimum, _) if quick && problem.src == DType::F64 => {
                run!(Floats::<f64, false>::new(problem))
            }
            (Reduction::Maximum, _) if quick && problem.src == DType::F64 => {
                run!(Floats::<f64, true>::new(problem))
            }
            (Reduction::Minimum, Numbers::Own) => {
                dispatch_dtype!(problem.src, |T| { run!(Own::<T, false>::new(problem)) })
            }
            (Reduction::Maximum, Numbers::Own) => {
                dispatch_dtype!(problem.src, |T| { run!(Own::<T, true>::new(problem)) })
            }
            (Reduction::Minimum, Numbers::I128) => run!(Widened::<i128, false>::new(problem)),
            (Reduction::Maximum, Numbers::I128) => run!(Widened::<i128, true>::new(problem)),
            (Reduction::Minimum, _) => run!(Widened::<f64, false>::new(problem)),
            (Reduction::Maximum, _) => run!(Widened::<f64, true>::new(problem)),
            (_, Numbers::U16ByAxis) => run!(Bytes::new(problem)),
            (_, Numbers::I32) => run!(Sums::<i32>::new(problem)),
            (_, Numbers::I64) => run!(Sums::<i64>::new(problem)),
            (_, Numbers::I128) => run!(Sums::<i128>::new(problem)),
            (_, Numbers::F32) => run!(Sums::<f32>::new(problem)),
            (_, Numbers::F64 | Numbers::Own) => run!(Sums::<f64>::new(problem)),
            (_, Numbers::U16 | Numbers::U16AndI32) => Err(Error::Unsupported(BYTES.into())),
        }
    }
}

/// Whether the rows that a block keeps stay within reason.
pub(super) fn scratch_fits(problem: &Sliding) -> Result<(), Reject> {
    const MOST: usize = 8 << 30;
    let [kh, kw] = problem.axes.map(|a| a.taps);
    // What a row of a block reads beyond its results, and four times that, may be longer than a block's rows are.
    let beyond = kw.saturating_mul(5 * 16).saturating_mul(deep(problem));
    let row = ROW.saturating_add(beyond);
    if row.saturating_mul(2 * kh.min(MOST) + 32) > MOST {
        return Err(Reject("a window this large needs scratch beyond 8 GiB"));
    }
    Ok(())
}

/// Cuts the result into blocks, of rows of so many samples, and hands them out to be computed.
pub(super) fn each_block(
    problem: &Sliding,
    dst: &mut Dst<'_>,
    schedule: &Schedule<'_>,
    row: usize,
    compute: impl Fn(Block<'_>) + Sync,
) -> Result<(), Error> {
    let workers = schedule.workers.worth(problem.nanoseconds());
    let mut size = blocking(problem, workers.threads(), row);
    if let Some([rows, cols]) = schedule.tile {
        (size[0], size[1]) = (rows, cols);
    }
    let blocks = Blocks::new(std::slice::from_mut(dst), size);
    workers.at_most(blocks.count()).drain(|| blocks.take(), compute)
}

/// The walk of a fold.
fn go<F: Fold>(
    fold: &F,
    problem: &Sliding,
    src: &Src<'_>,
    dst: &mut Dst<'_>,
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let size = size_of::<F::Tall>().max(size_of::<F::Wide>());
    let kept = if problem.axes[0].taps <= DIRECT || F::REPLACES { size } else { size * problem.axes[0].taps };
    let row = (WARM / kept).clamp(ROW / 8 / size, ROW / size);
    each_block(problem, dst, schedule, row, |block| {
        schedule.isa.dispatch(Task { fold, problem, src, block });
    })
}

/// Channels of a block.
fn deep(problem: &Sliding) -> usize {
    if problem.channels > 64 && problem.axes[1].taps > 1 { 16 } else { problem.channels.max(1) }
}

/// Rows, columns and channels of a block: so many samples of a row as stay warm, four blocks a thread if they are several
/// times as high as the window that is folded before the first result.
fn blocking(problem: &Sliding, threads: usize, row: usize) -> [usize; 3] {
    let [rows, cols] = problem.output();
    let [kh, kw] = problem.axes.map(|a| a.taps);
    let deep = deep(problem);
    // What a block reads beyond its results stays a fraction of them.
    let width = (row.max(4 * kw.min(1 << 16)) / deep).max(1);
    let columns = cols.div_ceil(width).max(1);
    // Equal columns rather than a narrow last one.
    let width = cols.div_ceil(columns).next_multiple_of(64).min(cols.max(1));
    let across = columns * problem.channels.div_ceil(deep).max(1) * problem.pictures.max(1);
    let each = threads.div_ceil(across);
    // As many of the best height as every thread has the same number of; one for each thread where none is so high.
    let most = if threads == 1 { 1 } else { (4 * threads).div_ceil(across) };
    let blocks = (rows / (4 * kh)).min(most) / each * each;
    let blocks = if blocks == 0 { each.min(rows / kh) } else { blocks };
    let height = rows.div_ceil(blocks.max(1)).min(PATIENCE / (width * deep).max(1)).max(1);
    [height, width, deep]
}

struct Task<'t, F> {
    fold: &'t F,
    problem: &'t Sliding,
    src: &'t Src<'t>,
    block: Block<'t>,
}

impl<F: Fold> Kernel for Task<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { fold, problem, src, mut block } = self;
        if walk::<S, F>(simd, fold, problem, src, &mut block) {
            walk::<S, F::Careful>(simd, &fold.careful(), problem, src, &mut block);
        }
    }
}

/// The rows of samples that a walk reads.
struct Samples<'s, 'p, F: Fold> {
    problem: &'s Sliding,
    fold: &'s F,
    picture: Picture<'p>,
    line: &'s Line,
    channels: Range<usize>,
    /// A row of the constant.
    blank: &'s [F::Raw],
    /// Samples of a row.
    len: usize,
    lent: bool,
}

impl<'s, 'p: 's, F: Fold> Samples<'s, 'p, F> {
    fn row(&self, unit: usize) -> Option<usize> {
        let axis = &self.problem.axes[0];
        self.problem.border[0].index(unit as isize - axis.before, axis.src)
    }

    /// The samples of row `unit` of the picture as the border continues it.
    fn get<'r>(&'r self, unit: usize, ring: &'r [F::Raw], slots: usize) -> &'r [F::Raw] {
        if !self.lent {
            return &ring[unit % slots * self.len..][..self.len];
        }
        let run = |y| Run { y, cols: &self.line.cols, channels: &self.channels };
        self.row(unit).and_then(|y| F::lend(&self.picture, &run(y))).unwrap_or(self.blank)
    }

    /// Brings row `unit` into the ring.
    fn bring<S: Simd>(&self, simd: S, unit: usize, ring: &mut [F::Raw], slots: usize) {
        let into = &mut ring[unit % slots * self.len..][..self.len];
        let Some(y) = self.row(unit) else { return into.fill(self.fold.outside()) };
        let deep = self.channels.len();
        if self.line.brought.is_empty() {
            F::bring(simd, &self.picture, &Run { y, cols: &self.line.cols, channels: &self.channels }, into);
        }
        for (place, cols) in &self.line.brought {
            let into = &mut into[place * deep..][..cols.len() * deep];
            F::bring(simd, &self.picture, &Run { y, cols, channels: &self.channels }, into);
        }
    }
}

/// Windows of 4, 16, 64, ... columns that a window of `taps` is made of.
fn levels(taps: usize) -> usize {
    if taps <= 4 { 0 } else { taps.ilog(4) as usize }
}

/// Computes a block; whether the fold can't be trusted with its samples.
fn walk<S: Simd, F: Fold>(
    simd: S,
    fold: &F,
    problem: &Sliding,
    src: &Src<'_>,
    block: &mut Block<'_>,
) -> bool {
    let picture = src.picture(block.picture);
    let (rows, cols, channels) = (block.rows.clone(), block.cols.clone(), block.channels.clone());
    let [mut to] = block.parts();
    let line = Line::new(problem, &cols);
    let [kh, kw] = problem.axes.map(|a| a.taps);
    let deep = channels.len();
    let folded = line.folded();
    let len = folded.len() * deep;
    let lends = |y| F::lend(&picture, &Run { y, cols: &line.cols, channels: &channels }).is_some();
    // If two rows are aligned, all are.
    let lent = line.brought.is_empty() && lends(0) && lends(1.min(problem.axes[0].src - 1));
    let direct = kh <= DIRECT || F::REPLACES;
    // The row that is taken away is kept for one row more.
    let slots = if F::REPLACES { kh + 1 } else { kh };
    let ring = if lent { 0 } else { slots * len };
    let (whole, width) = (line.len * deep + SLACK, cols.len() * deep);
    let kept = if direct { [0, 0] } else { [kh * len, len] };
    let mut suspect = false;
    let lengths = ([ring, len], [kept[0], kept[1], whole], [whole, levels(kw) * whole, width]);
    alloc::scratch_of_three(lengths, |[ring, blank], [ends, begin, columns], [converted, steps, out]| {
        blank.fill(fold.outside());
        let samples = Samples { problem, fold, picture, line: &line, channels, blank, len, lent };
        let place = folded.start * deep..folded.end * deep;
        let mut brought = rows.start;
        let mut bring_to = |end: usize, ring: &mut [F::Raw]| {
            while !lent && brought < end {
                samples.bring(simd, brought, ring, slots);
                brought += 1;
            }
        };
        let (mut ahead, far) = (Ahead::default(), problem.is_far());
        for y in rows.clone() {
            let column = &mut columns[place.clone()];
            let (within, starts) = (y % kh, y == rows.start);
            // Where the block ends that row y begins in.
            let end = y - within + kh;
            ahead.clear();
            if far && y + 1 < rows.end {
                if let Some(y) = samples.row(y + kh) {
                    samples.picture.ahead(y, &line.cols, &samples.channels, &mut ahead);
                }
                to.ahead(y + 1, &mut ahead);
                ahead.spread((levels(kw) + 2) * (len * size_of::<F::Wide>()).div_ceil(PART));
            }
            if direct {
                bring_to(y + kh, ring);
                let ring = &*ring;
                let row = |unit| samples.get(unit, ring, slots);
                if F::REPLACES && kh > 2 && !starts {
                    replace::<S, F::Down>(simd, row(y - 1), row(y + kh - 1), &ahead, column);
                } else {
                    join_all::<S, F::Down>(simd, kh, |t| row(y + t), &ahead, column);
                }
            } else {
                if within == 0 || starts {
                    bring_to(end, ring);
                    fold_ends::<S, F>(simd, &samples, [end - kh, within], ring, ends);
                }
                let kept = &ends[within * len..][..len];
                if within == 0 {
                    column.copy_from_slice(kept);
                }
                // A walk that starts within a block catches up with the beginning of the next.
                for rows in (if starts { 1 } else { within.max(1) })..=within {
                    bring_to(end + rows, ring);
                    let row = samples.get(end + rows - 1, ring, kh);
                    advance::<S, F::Down>(simd, rows == 1, row, kept, &ahead, begin, column);
                }
            }
            if F::CHECKS {
                let ring = &*ring;
                for unit in (if starts { y } else { y + kh - 1 })..y + kh {
                    let row = samples.get(unit, ring, slots);
                    suspect |= simd.vectorize(
                        #[inline(always)]
                        || F::suspects(row),
                    );
                }
                if suspect {
                    return;
                }
            }
            let lend = fold.lend_result(&mut to, y);
            let lent = lend.is_some();
            let result = lend.unwrap_or(&mut *out);
            if fold.converts() {
                simd.vectorize(
                    #[inline(always)]
                    || fold.convert(&columns[place.clone()], &mut converted[place.clone()]),
                );
                line.continue_row(deep, converted, fold.outside_converted());
                across::<S, F, F::Across>(simd, converted, [kw, deep], &ahead, steps, result);
            } else {
                line.continue_row(deep, columns, fold.outside_column());
                across::<S, F, F::First>(simd, columns, [kw, deep], &ahead, steps, result);
            }
            if lent {
                simd.vectorize(
                    #[inline(always)]
                    || fold.finish(result),
                );
            } else {
                fold.store(simd, &mut to, y, out);
            }
        }
    });
    suspect
}

/// The ends of the block of rows that begins with row `first`: from its last row up to its row `from`.
fn fold_ends<S: Simd, F: Fold>(
    simd: S,
    samples: &Samples<'_, '_, F>,
    [first, from]: [usize; 2],
    ring: &[F::Raw],
    ends: &mut [F::Tall],
) {
    let (len, kh) = (samples.len, samples.problem.axes[0].taps);
    for j in (from..kh).rev() {
        let row = samples.get(first + j, ring, kh);
        if j + 1 == kh {
            join_all::<S, F::Down>(simd, 1, |_| row, &Ahead::default(), &mut ends[j * len..][..len]);
        } else {
            let (upper, lower) = ends[j * len..].split_at_mut(len);
            grow::<S, F::Down>(simd, row, &lower[..len], upper);
        }
    }
}

/// Folds windows of `taps` columns of `deep` channels of a row, which has [`SLACK`] more samples, of any value.
fn across<S: Simd, F: Fold, P: Step<To = F::Wide>>(
    simd: S,
    row: &[P::From],
    [taps, deep]: [usize; 2],
    ahead: &Ahead,
    steps: &mut [F::Wide],
    out: &mut [F::Wide],
) {
    let (whole, count) = (row.len(), levels(taps));
    let samples = whole - SLACK;
    if count == 0 {
        return join_all::<S, P>(simd, taps, |t| &row[t * deep..], ahead, out);
    }
    // Level i has windows of 4^i columns; level 0 is the row itself.
    for level in 1..=count {
        let (before, this) = steps.split_at_mut((level - 1) * whole);
        let step = (1 << (2 * (level - 1))) * deep;
        // Whole vectors: a loop's last samples, one by one, took as long as several of them.
        let this = &mut this[..(samples - (4 * step - deep)).next_multiple_of(SLACK / size_of::<F::Wide>())];
        if level == 1 {
            join_all::<S, P>(simd, 4, |t| &row[t * step..], ahead, this);
        } else {
            let from = &before[(level - 2) * whole..];
            join_all::<S, F::Across>(simd, 4, |t| &from[t * step..], ahead, this);
        }
    }
    let steps = &*steps;
    let level = |i: usize| &steps[(i - 1) * whole..][..whole];
    if F::IDEMPOTENT {
        let size = 1 << (2 * count);
        let last = taps - size;
        let windows = taps.div_ceil(size);
        return join_all::<S, F::Across>(
            simd,
            windows,
            |t| &level(count)[(t * size).min(last) * deep..],
            ahead,
            out,
        );
    }
    // The window's size in base 4: so many windows of each level, side by side, the largest first.
    let digit = |i: usize| taps >> (2 * i) & 3;
    let parts = (1..=count).map(digit).sum();
    let part = |mut t: usize| {
        let (mut i, mut at) = (count, 0);
        while t >= digit(i) {
            t -= digit(i);
            at += digit(i) << (2 * i);
            i -= 1;
        }
        &level(i)[(at + (t << (2 * i))) * deep..]
    };
    join_all::<S, F::Across>(simd, parts, part, ahead, out);
    let rest = digit(0);
    if rest > 0 {
        keep_all::<S, P>(simd, rest, |t| &row[(taps - rest + t) * deep..], ahead, out);
    }
}
