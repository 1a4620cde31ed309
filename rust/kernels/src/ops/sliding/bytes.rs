//! Means of bytes: rows are folded first, in 16 bits, then the columns that they make.
//!
//! ```text
//! row[y, x]  = sum over j < kw of  src[y, x + j - left]
//! sum[y, x]  = sum[y - 1, x] + row[y + kh - 1 - top, x] - row[y - 1 - top, x]
//! ```
//!
//! Sums of whole numbers are exact: a window gains a row and loses one, which are kept in a ring of `kh`. Three rows are
//! added up for every result instead. A row's sums are made of windows of 4, 16, ... bytes, four a pass, and of those that
//! make up the window; the last pass goes on at once to the sums over windows and their quotients. That keeps all but the
//! last sum in 16 bits, of windows of up to 257 columns and any number of rows.

use super::divide::{narrow, wide};
use super::fold::{Run, copy};
use super::line::Line;
use super::walk::{WARM, each_block, scratch_fits};
use super::{Numbers, Sliding};
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule, single};
use crate::simd::{
    Ahead, Bytes, Narrow, Simd, Terms, Three, Total, Wide, bytes_of_part, fours, fours_of, means,
};
use crate::view::{Block, Dst, Src};
use crate::{Error, alloc};
use std::ops::Range;

/// The implementation `bytes`.
#[derive(Debug)]
pub struct ByteMeans;

/// Columns of a window whose sum is one of 16 bits.
pub(super) const MOST_COLUMNS: usize = 257;

/// Samples of a row of a block, at least and at most.
const ROW: [usize; 2] = [1 << 11, 1 << 12];

impl Implementation<Sliding> for ByteMeans {
    fn name(&self) -> &'static str {
        "bytes"
    }

    fn cost(&self, problem: &Sliding) -> Result<f64, Reject> {
        if !matches!(problem.numbers, Numbers::U16 | Numbers::U16AndI32) {
            return Err(Reject("only for means of uint8 that are divided once"));
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
        let row = (WARM / (size_of::<i16>() * problem.axes[0].taps)).clamp(ROW[0], ROW[1]);
        each_block(problem, dst, schedule, row, |block| {
            schedule.isa.dispatch(Task { problem, src, block });
        })
    }
}

struct Task<'t> {
    problem: &'t Sliding,
    src: &'t Src<'t>,
    block: Block<'t>,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let taps = self.problem.axes.map(|axis| axis.taps as u64).iter().product();
        match narrow(taps) {
            Some(by) if self.problem.axes[0].taps == 3 && by.k % 2 == 1 => {
                walk(simd, Three::<false>(by), &mut self);
            }
            Some(by) if self.problem.axes[0].taps == 3 => walk(simd, Three::<true>(by), &mut self),
            Some(by) if by.k % 2 == 1 => walk(simd, Narrow::<false>(by), &mut self),
            Some(by) => walk(simd, Narrow::<true>(by), &mut self),
            None => match wide(taps) {
                by if by.is_near => walk(simd, Wide::<false>(by), &mut self),
                by => walk(simd, Wide::<true>(by), &mut self),
            },
        }
    }
}

/// How the sum of a row's columns under a window is made up.
struct Parts {
    /// Columns that are added up: one too many where that is less work.
    covered: usize,
    /// Kinds of windows that it is made of: of 4, 16, ... columns.
    levels: usize,
    /// Those windows: of which level, counted from 1, and from which column on.
    windows: Vec<(usize, usize)>,
    /// Columns that are left.
    rest: Range<usize>,
    /// The column that is too many.
    without: Option<usize>,
}

/// The columns of a window of a level.
const fn columns(level: usize) -> usize {
    1 << (2 * level)
}

impl Parts {
    fn new(taps: usize) -> Self {
        // Four and one taken away rather than three.
        let covered = if taps > 4 && taps % 4 == 3 { taps + 1 } else { taps };
        // Four windows of a level take less than one that is made of them.
        let levels = if covered <= 4 { 0 } else { (covered / 2).max(4).ilog(4) as usize };
        let (mut windows, mut at) = (Vec::new(), 0);
        for level in (1..=levels).rev() {
            while covered - at >= columns(level) {
                windows.push((level, at));
                at += columns(level);
            }
        }
        Self { covered, levels, windows, rest: at..covered, without: (covered > taps).then_some(taps) }
    }
}

/// Lengths of what a block's rows are made of.
struct Lengths {
    deep: usize,
    /// Bytes of a row of results.
    results: usize,
    /// Words of them, of even places and of odd ones: whole vectors.
    words: usize,
    /// Bytes of a row of samples, and words of a row of windows of each level, with what vectors reach beyond.
    line: usize,
    level: usize,
}

impl Lengths {
    fn new<V: Bytes>(cols: usize, deep: usize, parts: &Parts) -> Self {
        let results = cols * deep;
        let line = results + parts.covered * deep + 2 * V::LANES;
        let words = results.div_ceil(2).next_multiple_of(V::LANES);
        Self { deep, results, words, line, level: line.div_ceil(2) + V::LANES }
    }
}

/// Sums of windows of all levels.
#[inline(always)]
fn raise<V: Bytes>(parts: &Parts, lengths: &Lengths, line: &[u8], levels: &mut [i16]) {
    let mut before: [&[i16]; 2] = [&[]; 2];
    for (i, both) in levels.chunks_exact_mut(2 * lengths.level).enumerate() {
        let (even, odd) = both.split_at_mut(lengths.level);
        let reach = (parts.covered - columns(i + 1)) * lengths.deep;
        let words = (lengths.results + reach).div_ceil(2).next_multiple_of(V::LANES);
        let step = columns(i) * lengths.deep;
        if i == 0 {
            fours::<V>(line, step, [&mut even[..words], &mut odd[..words]]);
        } else {
            fours_of::<V>(before[0], step / 2, &mut even[..words]);
            fours_of::<V>(before[1], step / 2, &mut odd[..words]);
        }
        before = [even, odd];
    }
}

/// Windows and columns that a row is made of at most ([`MOST_COLUMNS`]).
const MOST: [usize; 2] = [12, 4];

/// Computes a block.
fn walk<S: Simd, T: Total<S::I16>>(simd: S, by: T, task: &mut Task<'_>) {
    let Task { problem, src, block } = task;
    let picture = src.picture(block.picture);
    let (rows, cols, channels) = (block.rows.clone(), block.cols.clone(), block.channels.clone());
    let [mut to] = block.parts();
    let [kh, kw] = problem.axes.map(|axis| axis.taps);
    let (parts, row_of, deep) = (Parts::new(kw), Line::new(problem, &cols), channels.len());
    let lengths = Lengths::new::<S::I16>(cols.len(), deep, &parts);
    let outside = problem.cval.integer.map_or(0, |value| value.clamp(0, 255)) as u8;
    let sample_row = |unit: usize| {
        let axis = &problem.axes[0];
        problem.border[0].index(unit as isize - axis.before, axis.src)
    };
    let kept = 2 * lengths.words;
    let sizes = ([lengths.line, lengths.results], [parts.levels * 2 * lengths.level, kh * kept], [kept]);
    alloc::scratch_of_three(sizes, |[line, out], [levels, ring], [totals]| {
        ring.fill(0);
        totals.fill(by.start());
        let (mut ahead, far) = (Ahead::default(), problem.is_far());
        for unit in rows.start..rows.end + kh - 1 {
            let filled = &mut line[..row_of.len * deep];
            match sample_row(unit) {
                None => filled.fill(outside),
                Some(y) => {
                    for (at, cols) in row_of.runs() {
                        let into = &mut filled[at * deep..][..cols.len() * deep];
                        copy(simd, &picture, &Run { y, cols, channels: &channels }, into);
                    }
                    row_of.continue_row(deep, filled, outside);
                }
            }
            let y = (unit + 1).checked_sub(kh).filter(|y| rows.contains(y));
            ahead.clear();
            if far {
                if let Some(y) = sample_row(unit + 1) {
                    picture.ahead(y, &row_of.cols, &channels, &mut ahead);
                }
                if let Some(y) = y.filter(|y| y + 1 < rows.end) {
                    to.ahead(y + 1, &mut ahead);
                }
                ahead.spread(kept.div_ceil(bytes_of_part::<S::I16>()));
            }
            let lent = y.and_then(|y| to.lend::<u8>(y));
            let copied = y.filter(|_| lent.is_none());
            let result = match (lent, copied) {
                (Some(lent), _) => lent,
                (None, Some(_)) => &mut *out,
                (None, None) => &mut [],
            };
            simd.vectorize(
                #[inline(always)]
                || {
                    raise::<S::I16>(&parts, &lengths, line, levels);
                    let (mut sums, mut bytes): ([[&[i16]; 2]; _], [&[u8]; _]) =
                        ([[&[]; 2]; MOST[0]], [&[]; MOST[1]]);
                    for (sums, &(level, at)) in sums.iter_mut().zip(&parts.windows) {
                        let (even, odd) = levels[(level - 1) * 2 * lengths.level..].split_at(lengths.level);
                        let at = at * deep / 2;
                        *sums = [&even[at..], &odd[at..lengths.level]];
                    }
                    for (bytes, column) in bytes.iter_mut().zip(parts.rest.clone()) {
                        *bytes = &line[column * deep..];
                    }
                    let terms = Terms {
                        sums: &sums[..parts.windows.len()],
                        bytes: &bytes[..parts.rest.len()],
                        without: parts.without.map(
                            #[inline(always)]
                            |column| &line[column * deep..],
                        ),
                    };
                    let mut kept = T::kept(ring, totals, kept, unit);
                    means::<S::I16, T>(&terms, by, &mut kept, &ahead, result);
                },
            );
            ahead.rest();
            if let Some(y) = copied {
                to.copy(y, out);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_up_a_window() {
        for taps in 1..=MOST_COLUMNS {
            let parts = Parts::new(taps);
            assert!(parts.windows.len() <= MOST[0] && parts.rest.len() <= MOST[1], "{taps}");
            let mut times = vec![0; parts.covered + 1];
            for &(level, at) in &parts.windows {
                times[at..at + columns(level)].iter_mut().for_each(|n| *n += 1);
            }
            times[parts.rest.clone()].iter_mut().for_each(|n| *n += 1);
            parts.without.into_iter().for_each(|column| times[column] -= 1);
            assert!((0..times.len()).all(|column| times[column] == i32::from(column < taps)), "{taps}");
        }
    }
}
