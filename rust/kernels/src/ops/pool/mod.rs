//! The problem of 2-D pooling: the maximum or the mean over windows of an image, for each channel.
//!
//! ```text
//! dst[y, x, c] = max or mean, over the taps (i, j) that lie inside the image, of
//!                src[y * sh + i * dh - top, x * sw + j * dw - left, c]
//! ```
//!
//! Arrays have the axes `..., rows, columns, channels`. A picture with its channels first is as many
//! pictures of one channel, so there is one layout here. Adaptive pooling only has another rule for
//! where a window begins and ends ([`Windows`]).

mod abreast;
mod apart;
mod beside;
mod channels;
mod fold;
mod gathered;
mod gradient;
mod indexed;
mod numbered;
mod positions;
mod scattered;
mod separable;
mod spread;
mod whole;
mod winners;

pub use abreast::Abreast;
pub use apart::Apart;
pub use beside::Beside;
pub use channels::Channels;
pub use gathered::Gathered;
pub use gradient::{MaxGrad, MeanGrad};
pub use indexed::Indexed;
pub use numbered::Numbered;
pub use scattered::Scattered;
pub use separable::Separable;
pub use spread::Spread;
pub use whole::Whole;

use crate::Error;
use crate::dtype::{Arithmetic, DType, Kind};
use crate::registry::{Implementation, Operation};
use crate::shape::Axis;
use crate::view::{Dst, Src};
use std::fmt;
use std::ops::Range;

/// The taps of one window that lie inside the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inside {
    /// Where the first of them reads.
    pub first: usize,
    /// How many there are.
    pub taps: usize,
    /// Taps of the window before them.
    pub skipped: usize,
    /// Taps inside the image and its padding.
    pub padded: usize,
}

/// The windows of one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Windows {
    /// One window, sliding.
    Sliding(Axis),
    /// The same windows over so many pictures that stand below each other: of rows alone.
    Stacked(Axis, usize),
    /// Windows that divide `src` samples into `dst` parts as equal as can be: torch's adaptive pooling.
    Adaptive {
        /// Samples.
        src: usize,
        /// Results.
        dst: usize,
    },
}

impl Windows {
    /// Adaptive windows; where they are all alike, the sliding window that they are.
    ///
    /// # Errors
    /// [`Error::Value`] if there is nothing to divide.
    pub fn adaptive(src: usize, dst: usize) -> Result<Self, Error> {
        if src == 0 || dst == 0 {
            return Err(Error::Value(format!(
                "adaptive and global pooling need an image and an output of one position at least on each axis. \
                 Received: {src} samples for {dst} results."
            )));
        }
        if src.is_multiple_of(dst) {
            let step = src / dst;
            return Axis::pooling(src, step, step, 1, crate::shape::Padding::Valid, false).map(Self::Sliding);
        }
        Ok(Self::Adaptive { src, dst })
    }

    /// Samples.
    pub const fn src(&self) -> usize {
        match self {
            Self::Sliding(axis) => axis.src,
            Self::Stacked(axis, pictures) => axis.src * *pictures,
            Self::Adaptive { src, .. } => *src,
        }
    }

    /// Results.
    pub const fn dst(&self) -> usize {
        match self {
            Self::Sliding(axis) => axis.dst,
            Self::Stacked(axis, pictures) => axis.dst * *pictures,
            Self::Adaptive { dst, .. } => *dst,
        }
    }

    /// Distance between taps.
    pub const fn dilation(&self) -> usize {
        match self {
            Self::Sliding(axis) | Self::Stacked(axis, _) => axis.dilation,
            Self::Adaptive { .. } => 1,
        }
    }

    /// Distance between windows, on average.
    const fn stride(&self) -> usize {
        match self {
            Self::Sliding(axis) | Self::Stacked(axis, _) => axis.stride,
            Self::Adaptive { src, dst } => src.div_ceil(*dst),
        }
    }

    /// Taps of the largest window.
    pub const fn taps(&self) -> usize {
        match self {
            Self::Sliding(axis) | Self::Stacked(axis, _) => axis.taps,
            Self::Adaptive { src, dst } => src.div_ceil(*dst) + 1,
        }
    }

    /// Where the picture that result `o` is of begins, and the end of its results.
    #[inline]
    pub fn picture(&self, o: usize) -> (usize, usize) {
        match self {
            Self::Stacked(axis, _) => {
                let [picture, _] = divided(o, axis.dst);
                (picture * axis.src, (picture + 1) * axis.dst)
            }
            _ => (0, self.dst()),
        }
    }

    /// The windows of the results `os`, each with where its picture begins: quicker than to ask for one by one.
    #[inline(always)]
    pub fn along(&self, os: Range<usize>) -> impl Iterator<Item = (usize, Inside)> {
        let (own, period) = match *self {
            Self::Stacked(axis, _) => (Self::Sliding(axis), axis.dst),
            windows => (windows, windows.dst()),
        };
        let [picture, mut o] = divided(os.start, period.max(1));
        let mut begin = picture * own.src();
        os.map(
            #[inline(always)]
            move |_| {
                let window = own.window(o);
                let found = (begin, Inside { first: window.first + begin, ..window });
                o += 1;
                if o == period {
                    (o, begin) = (0, begin + own.src());
                }
                found
            },
        )
    }

    /// The window of result `o`.
    #[inline(always)]
    pub fn window(&self, o: usize) -> Inside {
        match self {
            Self::Sliding(axis) => {
                let start = (o * axis.stride) as isize - axis.before;
                if start >= 0 && start as usize + axis.span() <= axis.src {
                    let (first, taps) = (start as usize, axis.taps);
                    return Inside { first, taps, skipped: 0, padded: taps };
                }
                let below = |limit: isize| {
                    let samples = (limit - start).max(0) as usize;
                    // A division takes as long as a short row.
                    let taps = if axis.dilation == 1 { samples } else { samples.div_ceil(axis.dilation) };
                    taps.min(axis.taps)
                };
                let (skipped, end) = (below(0), below(axis.src as isize));
                let padded = below((axis.src + axis.after) as isize);
                let first = (start + (skipped * axis.dilation) as isize) as usize;
                Inside { first, taps: end.saturating_sub(skipped), skipped, padded }
            }
            Self::Stacked(axis, _) => {
                let [picture, o] = divided(o, axis.dst);
                let window = Self::Sliding(*axis).window(o);
                Inside { first: window.first + picture * axis.src, ..window }
            }
            Self::Adaptive { src, dst } => {
                let (first, end) = Axis::adaptive_window(*src, *dst, o);
                Inside { first, taps: end - first, skipped: 0, padded: end - first }
            }
        }
    }

    /// Refuses a dilation and padding that leave a window without a sample.
    fn check(&self) -> Result<(), Error> {
        let Self::Sliding(axis) = self else { return Ok(()) };
        let early = (axis.before.max(0) as usize).div_ceil(axis.stride).min(axis.dst);
        match (0..early).find(|&o| self.window(o).taps == 0) {
            None => Ok(()),
            Some(o) => Err(Error::Value(format!(
                "every window must hold a sample of the image; use less padding or dilation. \
                 Received: window {o} of {} taps at dilation {} has none of {} samples.",
                axis.taps, axis.dilation, axis.src
            ))),
        }
    }
}

/// Quotient and rest, by the shorter division where that will do: the longer takes as long as a short row.
#[inline]
fn divided(n: usize, by: usize) -> [usize; 2] {
    match (u32::try_from(n), u32::try_from(by)) {
        (Ok(n), Ok(by)) => [n / by, n % by].map(|n| n as usize),
        _ => [n / by, n % by],
    }
}

/// What becomes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Its greatest sample; a NaN is greater than any number. Of equal samples the first counts, but zeros of either sign are
    /// equal, and without indices any of them may be the result.
    Max {
        /// Whether the position of the sample, `y * width + x`, is a second result.
        indices: bool,
    },
    /// Its mean.
    Mean {
        /// Whether taps in the padding count.
        count_padding: bool,
        /// Divides the sum, instead of the number of taps.
        divisor: Option<i64>,
    },
}

/// A checked pooling problem.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The dtype of image and result.
    pub dtype: DType,
    /// Pictures.
    pub pictures: usize,
    /// Windows over rows and over columns.
    pub windows: [Windows; 2],
    /// Channels of a picture, neighbours in memory.
    pub channels: usize,
    /// What becomes of a window.
    pub reduction: Reduction,
    /// What a mean's sum is made in.
    pub arithmetic: Arithmetic,
}

/// Additions, one after the other, up to which a `float32` sum is made in `float32`; beyond, roundings
/// would add up.
const F32_SUMS: usize = 512;

impl Pool {
    /// Checks a problem and settles its arithmetic.
    ///
    /// # Errors
    /// [`Error::Type`] for a dtype without an order or a mean, [`Error::Value`] for windows or
    /// divisors that can't be meant.
    pub fn new(
        dtype: DType,
        pictures: usize,
        mut windows: [Windows; 2],
        channels: usize,
        reduction: Reduction,
    ) -> Result<Self, Error> {
        let refuse = |rule: &str| Err(Error::Type(format!("{rule}. Received: {}.", dtype.name())));
        if dtype.is_complex() {
            return refuse("pooling takes real numbers; pool real and imaginary parts apart");
        }
        for windows in &mut windows {
            windows.check()?;
            // How far it is from the only window to the next is for nobody to plan by.
            if let Windows::Sliding(axis) = windows
                && axis.dst == 1
            {
                axis.stride = axis.span().max(1);
            }
        }
        let mut arithmetic = Arithmetic::F32;
        if let Reduction::Mean { divisor, .. } = reduction {
            if dtype == DType::Bool {
                return refuse(
                    "average pooling takes numbers; convert the image, or use max pooling, which is a logical or",
                );
            }
            if divisor == Some(0) {
                return Err(Error::Value("divisor_override must not be zero. Received: 0.".into()));
            }
            let taps = windows[0].taps() as f64 * windows[1].taps() as f64;
            let divisor = divisor.map_or(taps, |d| d.unsigned_abs() as f64);
            arithmetic = match dtype.kind() {
                // A quotient of whole numbers is 1 / (2 d) or more away from a tie that it does not
                // hit, and a float of p bits is that fine while sum and divisor stay below 2^(p - 1).
                Kind::Integer(least, most) => {
                    let most = divisor.max(taps * least.unsigned_abs().max(most.unsigned_abs()) as f64);
                    if most <= 2_f64.powi(23) {
                        Arithmetic::F32
                    } else if most <= 2_f64.powi(52) {
                        Arithmetic::F64
                    } else {
                        Arithmetic::I128
                    }
                }
                _ if dtype == DType::F64 || divisor > 2_f64.powi(24) => Arithmetic::F64,
                // Summed by rows, then by columns.
                _ if windows[0].taps() + windows[1].taps() > F32_SUMS => Arithmetic::F64,
                _ => Arithmetic::F32,
            };
        }
        Ok(Self { dtype, pictures, windows, channels, reduction, arithmetic })
    }

    /// The result's rows and columns.
    pub fn output(&self) -> [usize; 2] {
        self.windows.map(|w| w.dst())
    }

    /// Whether the positions are a second result.
    pub fn indices(&self) -> bool {
        self.reduction == Reduction::Max { indices: true }
    }

    /// Bytes of a number that windows are folded in.
    fn size(&self) -> usize {
        match self.reduction {
            Reduction::Max { .. } => self.dtype.size(),
            Reduction::Mean { .. } => self.arithmetic.size(),
        }
    }

    /// What the implementation's id calls the arithmetic.
    pub fn arithmetic_name(&self) -> &'static str {
        match self.reduction {
            Reduction::Max { .. } => self.dtype.name(),
            Reduction::Mean { .. } => self.arithmetic.name(),
        }
    }

    /// The error of a mean as a multiple of the mean of `|x|`: as many roundings as there are taps,
    /// and the division's. 0 where results are exact.
    pub fn error_bound(&self) -> f64 {
        let exact =
            matches!(self.dtype.kind(), Kind::Integer(..)) || matches!(self.reduction, Reduction::Max { .. });
        let taps = self.windows[0].taps() as f64 * self.windows[1].taps() as f64;
        if exact { 0.0 } else { (taps + 1.0) * self.arithmetic.unit_roundoff() }
    }

    /// Estimated nanoseconds of one thread, from the joins of two samples that a result takes, a
    /// number of bytes that a nanosecond joins, and the nanoseconds that a row of results costs besides.
    fn nanoseconds(&self, joins: f64, bytes: f64, row: f64) -> f64 {
        let [rows, cols] = self.output().map(|n| n as f64);
        let results = self.pictures as f64 * rows * cols * self.channels as f64;
        results * joins * self.size() as f64 / bytes + self.pictures as f64 * rows * row
    }

    /// The same problem with the pictures stacked to one tall picture.
    fn stacked(&self) -> Option<Self> {
        let Windows::Sliding(axis) = self.windows[0] else { return None };
        axis.src.checked_mul(self.pictures)?;
        let tall = Windows::Stacked(axis, self.pictures);
        (self.pictures > 1 && axis.dst > 0).then(|| Self {
            pictures: 1,
            windows: [tall, self.windows[1]],
            ..self.clone()
        })
    }

    /// The same as the windows of one tall picture, where none would reach from one picture into the next.
    fn merged(&self) -> Option<Self> {
        let Windows::Stacked(axis, pictures) = self.stacked()?.windows[0] else { return None };
        let apart = axis.before == 0
            && axis.after == 0
            && axis.src == axis.dst * axis.stride
            && axis.span() <= axis.stride;
        let tall = Axis { src: axis.src * pictures, dst: axis.dst.checked_mul(pictures)?, ..axis };
        apart.then(|| Self {
            pictures: 1,
            windows: [Windows::Sliding(tall), self.windows[1]],
            ..self.clone()
        })
    }

    /// Runs `solve` on the problem with its pictures stacked, if they are in memory, or as it is.
    fn solve(
        &self,
        src: &Src<'_>,
        dst: &mut Dst<'_>,
        solve: impl FnOnce(&Self, &Src<'_>, &mut Dst<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Some(pool) = self.stacked()
            && let (Some(src), Some(mut dst)) = (src.stacked(), dst.stacked())
        {
            return solve(&pool, &src, &mut dst);
        }
        solve(self, src, dst)
    }

    /// Rows, columns and channels of a block: `width` columns, and four blocks a thread so that
    /// threads end together.
    fn blocking(&self, threads: usize, [width, deep]: [usize; 2]) -> [usize; 3] {
        let [rows, cols] = self.output();
        let (width, deep) = (width.clamp(1, cols.max(1)), deep.clamp(1, self.channels.max(1)));
        let across = cols.div_ceil(width) * self.channels.div_ceil(deep) * self.pictures;
        let wanted = if threads == 1 { 1 } else { (4 * threads).div_ceil(across.max(1)) };
        [rows.div_ceil(wanted).max(1), width, deep]
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.reduction {
            Reduction::Max { indices: false } => "max",
            Reduction::Max { indices: true } => "max with indices",
            Reduction::Mean { .. } => "mean",
        };
        let [rows, cols] = &self.windows;
        write!(
            f,
            "{kind} over {}x{} windows of {} pictures, {}x{} with {} channel(s), {}, to {}x{}",
            rows.taps(),
            cols.taps(),
            self.pictures,
            rows.src(),
            cols.src(),
            self.channels,
            self.dtype.name(),
            rows.dst(),
            cols.dst()
        )
    }
}

/// The cheapest implementation of those that take arrays of any layout.
fn any_layout<P: Operation>(problem: &P) -> &'static dyn Implementation<P> {
    let others = P::IMPLEMENTATIONS.iter().filter(|other| !matches!(other.name(), "beside" | "abreast"));
    let costs = others.filter_map(|&other| Some((other, other.cost(problem).ok()?)));
    costs.min_by(|a, b| a.1.total_cmp(&b.1)).expect("one takes any pictures").0
}
