//! Least and greatest over windows of any shape, in any number of axes, with a number added to each sample:
//! the erosion and dilation of grey images.
//!
//! ```text
//! dst[p] = min over taps t of  src[p + t] - s[t]         or    max over t of  src[p + t] + s[t]
//! ```
//!
//! The arithmetic is scipy.ndimage's: the first tap's sum is made in `f64`, that of every other in the image's
//! dtype, where the addend is truncated and integers wrap; the constant border's value is of the image's dtype.
//!
//! A row of results is folded tap by tap from the rows that the taps stand in, each brought once with what the
//! border makes of its ends.

use super::extremes::{Ordered, Own, Widened};
use super::fold::{Fold, Run, Step, copy, write};
use crate::border::Border;
use crate::dtype::{Bool, Convert, DType, Element, Finish, Kind};
use crate::isa::Kernel;
use crate::ops::correlate::Constant;
use crate::registry::{Implementation, Reject, Schedule, single};
use crate::simd::Simd;
use crate::view::{Block, BlockRows, Blocks, Dst, Picture, Src};
use crate::{Error, alloc, dispatch_dtype};
use half::{bf16, f16};
use std::ops::Range;

/// A problem: an array of any shape, the last two axes of which are walked in rows.
#[derive(Clone, Debug)]
pub struct Footprint {
    /// The greatest, not the least.
    pub maximum: bool,
    /// The image's dtype.
    pub src: DType,
    /// The result's dtype.
    pub dst: DType,
    /// The shape: two axes or more.
    pub shape: Vec<usize>,
    /// Where each tap reads, relative to the result, one number an axis.
    pub taps: Vec<Vec<isize>>,
    /// What is added to each tap's sample (for a minimum, already negated).
    pub addends: Option<Vec<f64>>,
    /// How every axis continues.
    pub border: Border,
    /// The constant border's value.
    pub cval: Constant,
    /// How results become integers.
    pub finish: Finish,
}

impl Footprint {
    /// Checks a problem.
    ///
    /// # Errors
    /// [`Error::Value`] where there is no tap or a tap lies absurdly far away, [`Error::Type`] for complex
    /// numbers.
    pub fn checked(self) -> Result<Self, Error> {
        const LIMIT: usize = isize::MAX as usize / 8;
        if let Some(dtype) = [self.src, self.dst].into_iter().find(|d| d.is_complex()) {
            return Err(Error::Type(format!("complex numbers have no order. Received: {}.", dtype.name())));
        }
        let near =
            |tap: &Vec<isize>| tap.len() == self.shape.len() && tap.iter().all(|o| o.unsigned_abs() < LIMIT);
        if self.taps.is_empty() || !self.taps.iter().all(near) || self.shape.len() < 2 {
            return Err(Error::Value(format!(
                "a footprint must have one tap at least, within reach. Received: {} taps.",
                self.taps.len()
            )));
        }
        Ok(self)
    }

    /// The taps by the rows that they stand in, in order: the place in `taps` of the first of each row, and
    /// how many there are.
    fn rows(&self) -> Vec<Range<usize>> {
        let mut rows: Vec<Range<usize>> = Vec::new();
        for (i, tap) in self.taps.iter().enumerate() {
            let place = |tap: &[isize]| tap[..tap.len() - 1].to_vec();
            match rows.last_mut() {
                Some(row) if place(&self.taps[row.start]) == place(tap) => row.end = i + 1,
                _ => rows.push(i..i + 1),
            }
        }
        rows
    }

    /// The constant as a sample of the image: C's cast.
    fn constant<T: Convert<f64> + Convert<i128>>(&self) -> T {
        match (self.cval.integer, T::DTYPE.kind()) {
            (Some(integer), Kind::Integer(..)) => <T as Convert<i128>>::wrap(integer),
            (_, Kind::Integer(..)) => <T as Convert<f64>>::wrap(self.cval.value.re.trunc()),
            _ => <T as Convert<f64>>::wrap(self.cval.value.re),
        }
    }

    /// Estimated nanoseconds of one thread.
    fn nanoseconds(&self) -> f64 {
        let results: f64 = self.shape.iter().map(|&n| n as f64).product();
        let tap = if self.addends.is_some() { 1.5 } else { 0.03 * self.src.size() as f64 };
        results * (tap * self.taps.len() as f64 + 0.2 * self.rows().len() as f64)
    }
}

/// The implementation `taps`.
#[derive(Debug)]
pub struct Taps;

impl Implementation<Footprint> for Taps {
    fn name(&self) -> &'static str {
        "taps"
    }

    fn cost(&self, problem: &Footprint) -> Result<f64, Reject> {
        Ok(problem.nanoseconds())
    }

    fn run(
        &self,
        problem: &Footprint,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let (src, dst) = single(srcs, dsts);
        macro_rules! go {
            ($join:expr) => {
                go(&$join, problem, src, dst, schedule)
            };
        }
        if problem.addends.is_some() {
            return dispatch_dtype!(problem.src, |T| {
                let (fold, outside) = (problem.finish, problem.constant::<T>());
                match problem.maximum {
                    false => go!(Shifted::<T, false> { problem, outside, finish: fold }),
                    true => go!(Shifted::<T, true> { problem, outside, finish: fold }),
                }
            });
        }
        dispatch_dtype!(problem.src, |T| {
            let outside = problem.constant::<T>();
            match (problem.src == problem.dst, problem.src.size() == 8, problem.maximum) {
                (true, _, false) => go!(Flat(Own::<T, false>::with(outside))),
                (true, _, true) => go!(Flat(Own::<T, true>::with(outside))),
                (false, true, false) if problem.src != DType::F64 => {
                    go!(Flat(Widened::<i128, false>::with(outside.widen(), problem.finish)))
                }
                (false, true, true) if problem.src != DType::F64 => {
                    go!(Flat(Widened::<i128, true>::with(outside.widen(), problem.finish)))
                }
                (false, _, false) => go!(Flat(Widened::<f64, false>::with(outside.widen(), problem.finish))),
                (false, _, true) => go!(Flat(Widened::<f64, true>::with(outside.widen(), problem.finish))),
            }
        })
    }
}

/// How taps are folded.
trait Join: Sync {
    /// What samples are brought in as.
    type Raw: alloc::Plain;
    /// What they are folded in.
    type To: alloc::Plain;
    /// Brings samples.
    fn bring<S: Simd>(simd: S, from: &Picture<'_>, run: &Run<'_>, into: &mut [Self::Raw]);
    /// The constant border's sample.
    fn outside(&self) -> Self::Raw;
    /// Folds the samples of a tap.
    fn tap(&self, tap: usize, row: &[Self::Raw], out: &mut [Self::To]);
    /// Writes a row of results.
    fn store<S: Simd>(&self, simd: S, to: &mut BlockRows<'_>, y: usize, row: &mut [Self::To]);
}

/// Samples as they are.
struct Flat<F>(F);

impl<F: Fold<Wide = <F as Fold>::Tall>> Join for Flat<F> {
    type Raw = F::Raw;
    type To = F::Tall;
    fn bring<S: Simd>(simd: S, from: &Picture<'_>, run: &Run<'_>, into: &mut [F::Raw]) {
        F::bring(simd, from, run, into);
    }
    fn outside(&self) -> F::Raw {
        self.0.outside()
    }
    #[inline(always)]
    fn tap(&self, tap: usize, row: &[F::Raw], out: &mut [F::Tall]) {
        let row = &row[..out.len()];
        if tap == 0 {
            for x in 0..out.len() {
                out[x] = F::Down::raise(row[x]);
            }
        } else {
            for x in 0..out.len() {
                out[x] = F::Down::join(out[x], F::Down::raise(row[x]));
            }
        }
    }
    fn store<S: Simd>(&self, simd: S, to: &mut BlockRows<'_>, y: usize, row: &mut [F::Tall]) {
        self.0.store(simd, to, y, row);
    }
}

/// Sums in an element's own type, as C makes them.
trait Wrapping: Element {
    fn plus(self, other: Self) -> Self;
}
macro_rules! wrapping {
    ($($t:ty: |$a:ident, $b:ident| $sum:expr;)*) => {$(
        impl Wrapping for $t {
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                let ($a, $b) = (self, other);
                $sum
            }
        }
    )*};
}
wrapping! {
    Bool: |a, b| Self(a.0.wrapping_add(b.0));
    u8: |a, b| a.wrapping_add(b);
    i8: |a, b| a.wrapping_add(b);
    u16: |a, b| a.wrapping_add(b);
    i16: |a, b| a.wrapping_add(b);
    u32: |a, b| a.wrapping_add(b);
    i32: |a, b| a.wrapping_add(b);
    u64: |a, b| a.wrapping_add(b);
    i64: |a, b| a.wrapping_add(b);
    f16: |a, b| a + b;
    bf16: |a, b| a + b;
    f32: |a, b| a + b;
    f64: |a, b| a + b;
}

/// Samples with something added.
struct Shifted<'p, T, const MAX: bool> {
    problem: &'p Footprint,
    outside: T,
    finish: Finish,
}

impl<T: Wrapping + Convert<f64>, const MAX: bool> Join for Shifted<'_, T, MAX> {
    type Raw = T;
    type To = f64;
    fn bring<S: Simd>(simd: S, from: &Picture<'_>, run: &Run<'_>, into: &mut [T]) {
        copy(simd, from, run, into);
    }
    fn outside(&self) -> T {
        self.outside
    }
    #[inline(always)]
    fn tap(&self, tap: usize, row: &[T], out: &mut [f64]) {
        let row = &row[..out.len()];
        let addend = self.problem.addends.as_ref().map_or(0.0, |a| a[tap]);
        if tap == 0 {
            for x in 0..out.len() {
                out[x] = row[x].widen() + addend;
            }
            return;
        }
        let integers = matches!(T::DTYPE.kind(), Kind::Integer(..));
        let addend = T::wrap(if integers { addend.trunc() } else { addend });
        for x in 0..out.len() {
            let sum = row[x].plus(addend).widen();
            out[x] = if MAX { f64::greatest(out[x], sum) } else { f64::least(out[x], sum) };
        }
    }
    fn store<S: Simd>(&self, simd: S, to: &mut BlockRows<'_>, y: usize, row: &mut [f64]) {
        write(simd, to, y, row, self.finish);
    }
}

/// Bytes of a row of results: with the rows that it reads it stays in the first-level cache.
const ROW: usize = 8 << 10;

/// Nanoseconds of work in a block, at most: how long an interrupt waits.
const PATIENCE: f64 = 20e6;

fn go<J: Join>(
    join: &J,
    problem: &Footprint,
    src: &Src<'_>,
    dst: &mut Dst<'_>,
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let n = problem.shape.len();
    let [rows, cols] = [problem.shape[n - 2], problem.shape[n - 1]];
    let total = problem.nanoseconds();
    let workers = schedule.workers.worth(total);
    let pictures = problem.shape[..n - 2].iter().product::<usize>().max(1);
    let width = cols.clamp(1, ROW / size_of::<J::To>());
    let wanted = if workers.threads() == 1 { 1 } else { (4 * workers.threads()).div_ceil(pictures) };
    let row = total / (pictures * rows.max(1) * cols.div_ceil(width).max(1)) as f64;
    let height = rows.div_ceil(wanted).min((PATIENCE / row.max(1.0)) as usize).max(1);
    let [height, width] = schedule.tile.unwrap_or([height, width]);
    let lines = problem.rows();
    let blocks = Blocks::new(std::slice::from_mut(dst), [height, width, 1]);
    let (workers, isa) = (workers.at_most(blocks.count()), schedule.isa);
    workers.drain(|| blocks.take(), |block| isa.dispatch(Task { join, problem, lines: &lines, src, block }))
}

struct Task<'t, J> {
    join: &'t J,
    problem: &'t Footprint,
    lines: &'t [Range<usize>],
    src: &'t Src<'t>,
    block: Block<'t>,
}

impl<J: Join> Kernel for Task<'_, J> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        block::<S, J>(simd, self);
    }
}

/// The picture that a tap reads for results of picture `index`, if it is one.
fn picture(problem: &Footprint, index: usize, tap: &[isize]) -> Option<usize> {
    let (mut rest, mut place, mut stride) = (index, 0, 1);
    for axis in (0..tap.len() - 2).rev() {
        let n = problem.shape[axis];
        let at = problem.border.index((rest % n) as isize + tap[axis], n)?;
        (rest, place, stride) = (rest / n, place + at * stride, stride * n);
    }
    Some(place)
}

fn block<S: Simd, J: Join>(simd: S, task: Task<'_, J>) {
    let Task { join, problem, lines, src, mut block } = task;
    let (rows, cols, index) = (block.rows.clone(), block.cols.clone(), block.picture);
    let [mut to] = block.parts();
    let n = problem.shape.len();
    let across = |taps: &Range<usize>| problem.taps[taps.clone()].iter().map(|tap| tap[n - 1]);
    // From the leftmost to the rightmost tap of each row of taps.
    let reach: Vec<[isize; 2]> = (lines.iter())
        .map(|taps| [across(taps).min().unwrap_or(0), across(taps).max().unwrap_or(0)])
        .collect();
    let longest = reach.iter().map(|[l, r]| cols.len() + (r - l) as usize).max().unwrap_or(0);
    alloc::scratch_of_three(([longest], [cols.len()], [0]), |[samples], [out], _: [&mut [u8]; 1]| {
        for y in rows {
            for (taps, [left, right]) in lines.iter().zip(&reach) {
                let first = &problem.taps[taps.start];
                let source = problem.border.index(y as isize + first[n - 2], problem.shape[n - 2]);
                let row = &mut samples[..cols.len() + (right - left) as usize];
                match (picture(problem, index, first), source) {
                    (Some(picture), Some(y)) => {
                        bring::<S, J>(
                            simd,
                            join,
                            problem,
                            &src.picture(picture),
                            y,
                            cols.start as isize + left,
                            row,
                        );
                    }
                    _ => row.fill(join.outside()),
                }
                simd.vectorize(
                    #[inline(always)]
                    || {
                        for tap in taps.clone() {
                            let at = (problem.taps[tap][n - 1] - left) as usize;
                            join.tap(tap, &row[at..], out);
                        }
                    },
                );
            }
            join.store(simd, &mut to, y, out);
        }
    });
}

/// The samples of row `y` from `start` on, as the border continues it.
fn bring<S: Simd, J: Join>(
    simd: S,
    join: &J,
    problem: &Footprint,
    picture: &Picture<'_>,
    y: usize,
    start: isize,
    row: &mut [J::Raw],
) {
    let n = problem.shape[problem.shape.len() - 1];
    let clip = |x: isize| x.clamp(0, n as isize) as usize;
    let inside = clip(start)..clip(start + row.len() as isize);
    let lead = if inside.is_empty() { 0 } else { (inside.start as isize - start) as usize };
    let held = lead..lead + inside.len();
    if !inside.is_empty() {
        J::bring(simd, picture, &Run { y, cols: &inside, channels: &(0..1) }, &mut row[held.clone()]);
    }
    for place in (0..held.start).chain(held.end..row.len()) {
        match problem.border.index(start + place as isize, n) {
            None => row[place] = join.outside(),
            Some(x) if inside.contains(&x) => row[place] = row[held.start + x - inside.start],
            Some(x) => {
                let run = Run { y, cols: &(x..x + 1), channels: &(0..1) };
                J::bring(simd, picture, &run, &mut row[place..=place]);
            }
        }
    }
}
