//! Pooling: the largest sample of each window, where it is, or the windows' means.
//!
//! ```text
//! max:    dst[y, x, c] = max  over the window's positions (i, j) inside the image of  src[i, j, c]
//! index:  the first such (i, j), as i * w + j; a NaN counts as largest, the last one of several
//! mean:   dst[y, x, c] = sum over the same positions / divisor
//! ```
//!
//! Which positions a window has on each axis is settled beforehand, as data ([`Span`]): strides,
//! dilation, padding, ceil mode and adaptive windows of varying size end there. `group` samples that
//! stand side by side (the channels of a pixel, in channels-last order) are pooled apart.
//!
//! Maxima and sums are separable: the rows of a window are reduced into one row of scratch,
//! vectorised over everything that a row holds, and that row's positions then into the result.
//! Indices are not (ties go to the first in reading order), so that they are scanned for.

use crate::dtype::{Arithmetic, DType, Finish, Kind, Overflow, Rounding};
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule};
use crate::shape::{Axis, Padding};
use crate::simd::{Lane, Simd};
use crate::view::{Dst, Plane, Rows, Src, Tile, Tiles};
use crate::{Error, alloc, dispatch_arithmetic};

/// What is made of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Its largest sample.
    Max,
    /// The position of the largest sample, `i * w + j`.
    MaxIndex,
    /// Its mean.
    Mean {
        /// Count the positions in the padding too.
        include_padding: bool,
        /// Divide by this instead.
        divisor: Option<usize>,
    },
}

/// The positions of one window on one axis: `first, first + step, ...`, all inside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    first: usize,
    count: usize,
    step: usize,
    /// The same with those in the padding.
    padded: usize,
}

/// The windows of one axis.
#[derive(Clone, Copy, Debug)]
pub enum Windows {
    /// Equal windows at equal distances.
    Strided {
        /// Taps, their distance, and the windows'.
        taps: usize,
        /// Distance between windows.
        stride: usize,
        /// Distance between taps.
        dilation: usize,
        /// Samples added outside.
        padding: Padding,
        /// Keep a last window that hangs over the end.
        ceil: bool,
    },
    /// So many windows that share the axis evenly.
    Adaptive(usize),
}

impl Windows {
    /// The windows' positions on an axis of `n` samples.
    ///
    /// # Errors
    /// As [`Axis::pooling`]; [`Error::Value`] for no adaptive window at all.
    fn spans(self, n: usize) -> Result<Vec<Span>, Error> {
        match self {
            Self::Adaptive(0) => {
                Err(Error::Value("output_size must be at least 1 on each axis. Received: 0.".into()))
            }
            Self::Adaptive(count) if n == 0 => Err(Error::Value(format!(
                "an axis of no samples has no windows. Received: output_size {count} for an empty axis."
            ))),
            Self::Adaptive(count) => Ok((0..count)
                .map(|o| {
                    let (first, end) = Axis::adaptive_window(n, count, o);
                    Span { first, count: end - first, step: 1, padded: end - first }
                })
                .collect()),
            Self::Strided { taps, stride, dilation, padding, ceil } => {
                let axis = Axis::pooling(n, taps, stride, dilation, padding, ceil)?;
                let after = match padding {
                    Padding::Explicit(_, after) => after,
                    // SAME pads until the last window fits, and VALID's windows fit.
                    Padding::Valid | Padding::Same => (axis.span() - 1).min(n),
                };
                Ok((0..axis.dst).map(|o| Self::span(&axis, o, after)).collect())
            }
        }
    }

    fn span(axis: &Axis, o: usize, after: usize) -> Span {
        let begin = (o * axis.stride) as isize - axis.before;
        let below =
            |limit: isize| (limit - begin).max(0).unsigned_abs().div_ceil(axis.dilation).min(axis.taps);
        let (skipped, end) = (below(0), below(axis.src as isize));
        Span {
            first: (begin + (skipped * axis.dilation) as isize).max(0).unsigned_abs(),
            count: end - skipped,
            step: axis.dilation,
            padded: below((axis.src + after) as isize),
        }
    }
}

/// A checked pooling problem. An image's row holds `w * group` samples.
#[derive(Clone, Debug)]
pub struct Pool {
    reduction: Reduction,
    src: DType,
    dst: DType,
    image: [usize; 2],
    group: usize,
    rows: Vec<Span>,
    cols: Vec<Span>,
    arithmetic: Arithmetic,
}

impl Pool {
    /// Checks a problem.
    ///
    /// # Errors
    /// [`Error::Value`] for windows that don't fit, [`Error::Type`] for complex images and the mean of
    /// booleans.
    pub fn new(
        reduction: Reduction,
        src: DType,
        image: [usize; 2],
        group: usize,
        windows: [Windows; 2],
    ) -> Result<Self, Error> {
        let mean = matches!(reduction, Reduction::Mean { .. });
        if src.is_complex() || (mean && src == DType::Bool) {
            return Err(Error::Type(format!(
                "pooling takes real images, and their mean numbers. Received: dtype {}.",
                src.name()
            )));
        }
        if reduction == (Reduction::Mean { include_padding: false, divisor: Some(0) }) {
            return Err(Error::Value("divisor_override must be at least 1. Received: 0.".into()));
        }
        let (rows, cols) = (windows[0].spans(image[0])?, windows[1].spans(image[1])?);
        let largest = |spans: &[Span]| spans.iter().map(|s| s.count).max().unwrap_or(0) as f64;
        let arithmetic = match src.kind() {
            Kind::Integer(least, most) => {
                let terms = if mean { largest(&rows) * largest(&cols) } else { 1.0 };
                match terms * most.max(-least) as f64 {
                    sum if sum < 2_f64.powi(31) => Arithmetic::I32,
                    sum if sum < 2_f64.powi(63) => Arithmetic::I64,
                    _ => Arithmetic::I128,
                }
            }
            _ if src.fits_f32() => Arithmetic::F32,
            _ => Arithmetic::F64,
        };
        let dst = if reduction == Reduction::MaxIndex { DType::I64 } else { src };
        Ok(Self { reduction, src, dst, image, group, rows, cols, arithmetic })
    }

    /// The result's rows and columns (of `group` samples each).
    pub fn output(&self) -> [usize; 2] {
        [self.rows.len(), self.cols.len()]
    }

    /// The result's dtype.
    pub fn dst(&self) -> DType {
        self.dst
    }

    /// What sums and comparisons are made in.
    pub(crate) fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// The problem in a line.
    pub(crate) fn describe(&self) -> String {
        let [[h, w], [oh, ow]] = [self.image, self.output()];
        let kind = match self.reduction {
            Reduction::Max => "maximum",
            Reduction::MaxIndex => "index of the maximum",
            Reduction::Mean { .. } => "mean",
        };
        format!("{kind} of windows, {h}x{w}x{} {} to {oh}x{ow}", self.group, self.src.name())
    }

    /// How far a result may be from the exact one, in units of the sum of magnitudes; 0 if exact.
    pub(crate) fn error_bound(&self) -> f64 {
        let mean = matches!(self.reduction, Reduction::Mean { .. });
        let most = |spans: &[Span]| spans.iter().map(|s| s.count).max().unwrap_or(0);
        if mean {
            (most(&self.rows) + most(&self.cols)) as f64 * self.arithmetic.unit_roundoff()
        } else {
            0.0
        }
    }

    /// Estimated nanoseconds for one image on one thread.
    fn nanoseconds(&self) -> f64 {
        let height: usize = self.rows.iter().map(|s| s.count).sum();
        let samples = height as f64 * (self.image[1] * self.group) as f64;
        let scanned = if self.reduction == Reduction::MaxIndex { 8.0 } else { 1.0 };
        scanned * samples * self.arithmetic.size() as f64 / 16.0
    }
}

/// The implementation `separable`: rows first, then columns.
#[derive(Debug)]
pub struct Separable;

/// The implementation `scan`: every position of every window in reading order.
#[derive(Debug)]
pub struct Scan;

impl Implementation<Pool> for Separable {
    fn name(&self) -> &'static str {
        "separable"
    }

    fn cost(&self, problem: &Pool) -> Result<f64, Reject> {
        if problem.reduction == Reduction::MaxIndex {
            return Err(Reject("the first of equal samples is known in reading order alone"));
        }
        Ok(problem.nanoseconds())
    }

    fn run(
        &self,
        problem: &Pool,
        src: &Src<'_>,
        dst: &mut Dst<'_>,
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        run(problem, src, dst, schedule)
    }
}

impl Implementation<Pool> for Scan {
    fn name(&self) -> &'static str {
        "scan"
    }

    fn cost(&self, problem: &Pool) -> Result<f64, Reject> {
        if problem.reduction != Reduction::MaxIndex {
            return Err(Reject("gives positions, not values"));
        }
        Ok(problem.nanoseconds())
    }

    fn run(
        &self,
        problem: &Pool,
        src: &Src<'_>,
        dst: &mut Dst<'_>,
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        run(problem, src, dst, schedule)
    }
}

/// Nanoseconds of work below which another thread's help costs more than it gives.
const GRAIN: f64 = 20_000.0;

fn run(problem: &Pool, src: &Src<'_>, dst: &mut Dst<'_>, schedule: &Schedule<'_>) -> Result<(), Error> {
    let planes = src.planes().max(1);
    let workers = schedule.workers.at_most((problem.nanoseconds() * planes as f64 / GRAIN) as usize);
    let [height, _] = problem.output();
    let wanted = (4 * workers.threads()).div_ceil(planes);
    let rows = schedule.tile.map_or_else(|| height.div_ceil(wanted), |[rows, _]| rows);
    let tiles = Tiles::new(dst, [rows, usize::MAX]);
    let workers = workers.at_most(tiles.count());
    let isa = schedule.isa;
    dispatch_arithmetic!(problem.arithmetic, |L| {
        workers.drain(
            || tiles.take(),
            |mut tile| {
                isa.dispatch(TileKernel::<'_, '_, L> {
                    problem,
                    src,
                    tile: &mut tile,
                    lane: std::marker::PhantomData,
                });
            },
        )
    })
}

/// A tile as a computation to be compiled for each instruction set.
struct TileKernel<'k, 't, L> {
    problem: &'k Pool,
    src: &'k Src<'k>,
    tile: &'k mut Tile<'t>,
    lane: std::marker::PhantomData<fn() -> L>,
}

impl<L: Lane<Elem: Pooled>> Kernel for TileKernel<'_, '_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { problem, src, tile, .. } = self;
        let plane = src.plane(tile.plane, 0);
        let (wide, out) = (problem.image[1] * problem.group, problem.cols.len() * problem.group);
        alloc::scratch([wide, wide, out], |[fresh, line, result]: [&mut [L::Elem]; 3]| {
            for y in tile.rows.clone() {
                match problem.reduction {
                    Reduction::MaxIndex => scan(problem, &plane, y, fresh, result, tile),
                    _ => simd.vectorize(
                        #[inline(always)]
                        || separable(problem, &plane, y, fresh, line, result, tile),
                    ),
                }
            }
        });
    }
}

/// Reduces result row `y`.
#[inline(always)]
fn separable<A: Pooled>(
    problem: &Pool,
    plane: &Plane<'_>,
    y: usize,
    fresh: &mut [A],
    line: &mut [A],
    result: &mut [A],
    tile: &mut Tile<'_>,
) {
    let span = &problem.rows[y];
    let mean = matches!(problem.reduction, Reduction::Mean { .. });
    line.fill(if mean { A::default() } else { A::LOWEST });
    for i in 0..span.count {
        let row = span.first + i * span.step;
        let samples: &[A] = match plane.lend(row, 0..line.len()) {
            Some(lent) => lent,
            None => {
                plane.read(row, 0, 1, fresh);
                fresh
            }
        };
        reduce(mean, line, samples);
    }
    let group = problem.group;
    let regular = regular(&problem.cols);
    match (group, regular) {
        (1, Some((first, stride, Span { count, step, .. }))) => {
            let (start, end) = first;
            result[start..end].fill(if mean { A::default() } else { A::LOWEST });
            for t in 0..count {
                let from = &line[problem.cols[start].first + t * step..];
                match stride {
                    1 => gather::<A, 1>(mean, &mut result[start..end], from),
                    2 => gather::<A, 2>(mean, &mut result[start..end], from),
                    3 => gather::<A, 3>(mean, &mut result[start..end], from),
                    4 => gather::<A, 4>(mean, &mut result[start..end], from),
                    _ => {
                        for (x, r) in result[start..end].iter_mut().enumerate() {
                            *r = r.with(mean, from[x * stride]);
                        }
                    }
                }
            }
            columns(problem, mean, line, result, 0..start);
            columns(problem, mean, line, result, end..problem.cols.len());
        }
        _ => columns(problem, mean, line, result, 0..problem.cols.len()),
    }
    if let Reduction::Mean { include_padding, divisor } = problem.reduction {
        for (x, col) in problem.cols.iter().enumerate() {
            let count = match divisor {
                Some(divisor) => divisor,
                None if include_padding => span.padded * col.padded,
                None => span.count * col.count,
            };
            for r in &mut result[x * group..(x + 1) * group] {
                *r = r.divided(count.max(1));
            }
        }
    }
    tile.write(0, y, 0, result, FINISH);
}

/// Means round half to even; nothing else rounds.
const FINISH: Finish = Finish { rounding: Rounding::HalfEven, overflow: Overflow::Saturate };

/// The widest run of equal windows at equal distances, if it is worth a loop of its own: its
/// results, its stride, and its first window.
fn regular(spans: &[Span]) -> Option<((usize, usize), usize, Span)> {
    let most = spans.iter().map(|s| s.count).max()?;
    let start = spans.iter().position(|s| s.count == most)?;
    let stride = spans.get(start + 1)?.first.checked_sub(spans[start].first)?;
    let same = |(i, s): &(usize, &Span)| s.count == most && s.first == spans[start].first + i * stride;
    let run = spans[start..].iter().enumerate().take_while(same).count();
    (stride > 0 && run >= 4).then(|| ((start, start + run), stride, spans[start]))
}

#[inline(always)]
fn reduce<A: Pooled>(mean: bool, line: &mut [A], samples: &[A]) {
    if mean {
        for (l, &s) in line.iter_mut().zip(samples) {
            *l = l.plus(s);
        }
    } else {
        for (l, &s) in line.iter_mut().zip(samples) {
            *l = l.larger(s);
        }
    }
}

/// One tap of windows `STRIDE` apart.
#[inline(always)]
fn gather<A: Pooled, const STRIDE: usize>(mean: bool, result: &mut [A], from: &[A]) {
    let last = result.len() - 1;
    let from = &from[..last * STRIDE + 1];
    if mean {
        for (x, r) in result.iter_mut().enumerate() {
            *r = r.plus(from[x * STRIDE]);
        }
    } else {
        for (x, r) in result.iter_mut().enumerate() {
            *r = r.larger(from[x * STRIDE]);
        }
    }
}

/// The results `which` of a row, window by window.
#[inline(always)]
fn columns<A: Pooled>(
    problem: &Pool,
    mean: bool,
    line: &[A],
    result: &mut [A],
    which: std::ops::Range<usize>,
) {
    let group = problem.group;
    for x in which {
        let col = &problem.cols[x];
        let pixel = &mut result[x * group..(x + 1) * group];
        pixel.fill(if mean { A::default() } else { A::LOWEST });
        for j in 0..col.count {
            let at = (col.first + j * col.step) * group;
            reduce(mean, pixel, &line[at..at + group]);
        }
    }
}

/// Finds the largest samples' positions for result row `y`.
fn scan<A: Pooled>(
    problem: &Pool,
    plane: &Plane<'_>,
    y: usize,
    fresh: &mut [A],
    best: &mut [A],
    tile: &mut Tile<'_>,
) {
    let (group, width, span) = (problem.group, problem.image[1], &problem.rows[y]);
    let mut places = vec![0_i64; best.len()];
    for i in 0..span.count {
        let row = span.first + i * span.step;
        plane.read(row, 0, 1, fresh);
        for (x, col) in problem.cols.iter().enumerate() {
            for j in 0..col.count {
                let at = col.first + j * col.step;
                for c in 0..group {
                    let (sample, r) = (fresh[at * group + c], x * group + c);
                    if (i == 0 && j == 0) || sample > best[r] || sample.is_nan() {
                        best[r] = sample;
                        places[r] = (row * width + at) as i64;
                    }
                }
            }
        }
    }
    tile.write(0, y, 0, &mut places, FINISH);
}

/// An accumulator that pools.
trait Pooled: Rows {
    /// Below every value.
    const LOWEST: Self;
    /// The larger; a NaN counts as larger than any number.
    fn larger(self, other: Self) -> Self;
    fn plus(self, other: Self) -> Self;
    /// Divided by a count; an integer rounds half to even.
    fn divided(self, count: usize) -> Self;
    fn is_nan(self) -> bool;
    #[inline(always)]
    fn with(self, mean: bool, other: Self) -> Self {
        if mean { self.plus(other) } else { self.larger(other) }
    }
}

macro_rules! pooled_floats {
    ($($t:ty),*) => {$(
        impl Pooled for $t {
            const LOWEST: Self = Self::NEG_INFINITY;
            #[inline(always)]
            fn larger(self, other: Self) -> Self {
                if other > self || other.is_nan() { other } else { self }
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self { self + other }
            #[inline(always)]
            fn divided(self, count: usize) -> Self { self / count as Self }
            #[inline(always)]
            fn is_nan(self) -> bool { self.is_nan() }
        }
    )*};
}
pooled_floats!(f32, f64);

macro_rules! pooled_integers {
    ($($t:ty),*) => {$(
        impl Pooled for $t {
            const LOWEST: Self = Self::MIN;
            #[inline(always)]
            fn larger(self, other: Self) -> Self { if other > self { other } else { self } }
            #[inline(always)]
            fn plus(self, other: Self) -> Self { self + other }
            #[inline(always)]
            fn divided(self, count: usize) -> Self {
                if count == 1 {
                    return self;
                }
                let n = count as Self;
                let (down, rest) = (self.div_euclid(n), self.rem_euclid(n));
                // Up if the rest is more than half, or exactly half and `down` is odd.
                let twice = rest.cmp(&(n - rest));
                down + Self::from(twice.is_gt() || (twice.is_eq() && down & 1 == 1))
            }
            #[inline(always)]
            fn is_nan(self) -> bool { false }
        }
    )*};
}
pooled_integers!(i32, i64, i128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_divide_half_to_even() {
        let divided = |sums: [i32; 6]| sums.map(|s| s.divided(4));
        assert_eq!(divided([1, 2, 3, 6, -2, -6]), [0, 0, 1, 2, 0, -2]);
        assert_eq!(5_i64.divided(3), 2);
        assert_eq!((-5_i64).divided(3), -2);
    }

    #[test]
    fn nan_is_larger_than_any_number() {
        assert!(f32::NAN.larger(1.0).is_nan() && 1.0_f32.larger(f32::NAN).is_nan());
    }

    #[test]
    fn windows_count_what_torch_counts() {
        let windows = Windows::Strided {
            taps: 3,
            stride: 2,
            dilation: 1,
            padding: Padding::Explicit(1, 1),
            ceil: true,
        };
        let spans = windows.spans(4).unwrap();
        let counts: Vec<_> = spans.iter().map(|s| (s.first, s.count, s.padded)).collect();
        assert_eq!(counts, [(0, 2, 3), (1, 3, 3), (3, 1, 2)]);
    }
}
