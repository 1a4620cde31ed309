//! The fold of a rectangular window that slides over an image: mean, minimum, maximum.
//!
//! ```text
//! dst[y, x] = finish( fold over i < kh, j < kw of  src[y + i - top, x + j - left] )
//! ```
//!
//! with `src` continued past its edges by the border mode of each axis. A fold is associative, so the
//! cost of a result hardly grows with the window ([`Walk`]).

mod bytes;
mod divide;
mod extremes;
mod fold;
pub mod footprint;
mod line;
pub mod passes;
mod rows;
mod sums;
mod walk;

pub use bytes::ByteMeans;
pub use walk::Walk;

use self::bytes::MOST_COLUMNS;
use self::divide::narrow;
use crate::Error;
use crate::border::Border;
use crate::dtype::{DType, Finish, Kind, Overflow, Rounding};
use crate::ops::correlate::Constant;
use crate::shape::{Axis, Extent};
use crate::simd::is_far;
use std::fmt;

/// What becomes of the samples of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// The least; a NaN is less than any number.
    Minimum,
    /// The greatest; a NaN is greater than any number.
    Maximum,
    /// Their sum divided by so much, once.
    Mean {
        /// The divisor; 1 gives the sum.
        divisor: u64,
    },
    /// The mean over each axis, rows first, stored as an element of the result in between: the
    /// arithmetic of `scipy.ndimage.uniform_filter`.
    MeanByAxis,
}

/// What is asked for, before it is checked.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What becomes of a window.
    pub reduction: Reduction,
    /// The image's dtype.
    pub src: DType,
    /// The result's dtype.
    pub dst: DType,
    /// Pictures.
    pub pictures: usize,
    /// A picture's rows, columns and channels; channels are neighbours.
    pub image: [usize; 3],
    /// The window's rows and columns.
    pub window: [usize; 2],
    /// Which positions are computed.
    pub extent: Extent,
    /// Displacement of the window, rows and columns.
    pub origin: [isize; 2],
    /// How each axis continues.
    pub border: [Border; 2],
    /// The constant border's value.
    pub cval: Constant,
    /// The magnitude that no sample exceeds, where it is less than the dtype says.
    pub most: Option<i128>,
    /// How results become integers.
    pub finish: Finish,
}

impl Spec {
    /// The native defaults: same extent, reflecting border, rounding half to even, saturating.
    pub fn new(reduction: Reduction, dtype: DType, image: [usize; 3], window: [usize; 2]) -> Self {
        Self {
            reduction,
            src: dtype,
            dst: dtype,
            pictures: 1,
            image,
            window,
            extent: Extent::Same,
            origin: [0; 2],
            border: [Border::Reflect; 2],
            cval: 0.0.into(),
            most: None,
            finish: Finish { rounding: Rounding::HalfEven, overflow: Overflow::Saturate },
        }
    }
}

/// What windows are folded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// The image's own elements.
    Own,
    /// Sums of bytes in 16 bits.
    U16,
    /// Sums of bytes: of rows in 16 bits, of windows in 32.
    U16AndI32,
    /// Sums of bytes in 16 bits, and of their means, which are bytes again.
    U16ByAxis,
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
    /// 128 bits.
    I128,
    /// `f32`.
    F32,
    /// `f64`.
    F64,
}

impl Numbers {
    /// The name that implementation ids carry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::U16 => "u16",
            Self::U16AndI32 => "u16-i32",
            Self::U16ByAxis => "u16-by-axis",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::I128 => "i128",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }
}

/// A checked problem.
#[derive(Clone, Debug)]
pub struct Sliding {
    /// What becomes of a window.
    pub reduction: Reduction,
    /// The image's dtype.
    pub src: DType,
    /// The result's dtype.
    pub dst: DType,
    /// Pictures.
    pub pictures: usize,
    /// The window over rows and over columns.
    pub axes: [Axis; 2],
    /// Channels of a picture.
    pub channels: usize,
    /// How each axis continues.
    pub border: [Border; 2],
    /// The constant border's value.
    pub cval: Constant,
    /// The magnitude that no sample of integers exceeds.
    most: Option<i128>,
    /// How results become integers.
    pub finish: Finish,
    /// What windows are folded in.
    pub numbers: Numbers,
}

/// The magnitude that no sample of an integer dtype exceeds.
fn greatest(dtype: DType) -> Option<i128> {
    match dtype.kind() {
        Kind::Integer(least, most) => Some(most.max(-least)),
        _ => None,
    }
}

impl Sliding {
    /// Checks a problem and settles what it is computed in.
    ///
    /// # Errors
    /// [`Error::Value`] for impossible sizes, [`Error::Type`] for complex numbers,
    /// [`Error::Unsupported`] for means by axis that one walk can't give ([`Self::fuses`]).
    pub fn new(spec: Spec) -> Result<Self, Error> {
        let axis =
            |i: usize| Axis::correlation(spec.image[i], spec.window[i], spec.extent, spec.origin[i], 1, 1);
        if let Some(dtype) = [spec.src, spec.dst].into_iter().find(|d| d.is_complex()) {
            return Err(Error::Type(format!(
                "a sliding window takes real numbers; filter real and imaginary parts apart. Received: {}.",
                dtype.name()
            )));
        }
        let axes = [axis(0)?, axis(1)?];
        if spec.reduction == (Reduction::Mean { divisor: 0 }) {
            return Err(Error::Value("the divisor must be 1 at least. Received: 0.".into()));
        }
        if spec.window.iter().all(|&k| k > 1) && !Self::fuses(&spec) {
            return Err(Error::Unsupported(
                "results of two axes at once need an element in between that holds them; \
                 filter one axis after the other"
                    .into(),
            ));
        }
        let numbers = settle(&spec);
        let Spec { reduction, src, dst, pictures, border, cval, finish, .. } = spec;
        let (channels, most) = (spec.image[2], spec.most.or(greatest(src)));
        Ok(Self { reduction, src, dst, pictures, axes, channels, border, cval, most, finish, numbers })
    }

    /// Whether both axes can be filtered in one walk with the results of two: always by the native rules,
    /// and by SciPy's, which stores an element of the result in between, where that changes nothing.
    pub fn fuses(spec: &Spec) -> bool {
        let native = spec.finish.rounding == Rounding::HalfEven && spec.reduction != Reduction::MeanByAxis;
        native
            || greatest(spec.dst).is_none()
            || (spec.src == spec.dst && (!constant(spec) || held(spec.cval, spec.src)))
    }

    /// The result's rows and columns.
    pub fn output(&self) -> [usize; 2] {
        [self.axes[0].dst, self.axes[1].dst]
    }

    /// What a mean is divided by between the axes, and at the end.
    fn divisors(&self) -> [u64; 2] {
        let [kh, kw] = [self.axes[0].taps as u64, self.axes[1].taps as u64];
        match self.reduction {
            Reduction::Minimum | Reduction::Maximum => [1, 1],
            Reduction::Mean { divisor } => [1, divisor],
            // The bits of a float's mean don't show where it was divided, beyond a rounding.
            Reduction::MeanByAxis if greatest(self.dst).is_none() => [1, kh * kw],
            Reduction::MeanByAxis => [kh, kw],
        }
    }

    /// The error of a result as a multiple of the mean of `|x|`: columns are added one after the other,
    /// rows four at a time. 0 where results are exact.
    pub fn error_bound(&self) -> f64 {
        let unit = match self.numbers {
            Numbers::F32 => f64::from(f32::EPSILON) / 2.0,
            Numbers::F64 => f64::EPSILON / 2.0,
            _ => return 0.0,
        };
        if matches!(self.reduction, Reduction::Minimum | Reduction::Maximum) {
            return 0.0;
        }
        let [kh, kw] = self.axes.map(|a| a.taps);
        let levels = kw.ilog(4) as usize + 1;
        (kh + 3 * levels + 2) as f64 * unit
    }

    /// Whether samples and results are so many that they come from memory.
    fn is_far(&self) -> bool {
        let area = |[rows, cols]: [usize; 2]| rows * cols * self.channels * self.pictures;
        let bytes =
            area(self.axes.map(|axis| axis.src)) * self.src.size() + area(self.output()) * self.dst.size();
        is_far(bytes)
    }

    /// Estimated nanoseconds of one thread.
    pub(crate) fn nanoseconds(&self) -> f64 {
        let [h, w] = self.output().map(|n| n as f64);
        let results = self.pictures as f64 * h * w * self.channels as f64;
        let size = self.src.size().max(self.dst.size()) as f64;
        // A block of rows is folded before the first result of a tile.
        results * size * (0.2 + 0.05 * (self.axes[1].taps as f64).log2()) + self.pictures as f64 * h * 40.0
    }
}

/// Whether the constant border's value is met at all.
fn constant(spec: &Spec) -> bool {
    (0..2).any(|i| spec.border[i] == Border::Constant && spec.window[i] > 1)
}

/// Whether a value is, but for a fraction that is cut off, one of an integer dtype's.
fn held(cval: Constant, dtype: DType) -> bool {
    match (dtype.kind(), cval.integer) {
        (Kind::Integer(least, most), Some(integer)) => (least..=most).contains(&integer),
        (Kind::Integer(least, most), None) => {
            let whole = cval.value.re.trunc();
            whole.is_finite() && (least as f64) <= whole && whole <= most as f64 && whole.abs() < 9.2e18
        }
        _ => true,
    }
}

/// What windows are folded in: the narrowest numbers that are exact, or the result's floats.
fn settle(spec: &Spec) -> Numbers {
    let Spec { src, dst, cval, window: [kh, kw], .. } = *spec;
    let wide = |dtype: DType| dtype.size() == 8 && greatest(dtype).is_some();
    let floats = |dtype: DType| greatest(dtype).is_none() && dtype.fits_f32();
    if matches!(spec.reduction, Reduction::Minimum | Reduction::Maximum) {
        let native = spec.finish.overflow == Overflow::Saturate;
        return match (src, dst) {
            // Rounding and saturation are monotonic: they may as well come first.
            _ if src == dst && (native || !constant(spec) || held(cval, src)) => Numbers::Own,
            _ if wide(src) && (!constant(spec) || cval.integer.is_some()) => Numbers::I128,
            _ => Numbers::F64,
        };
    }
    let whole = !constant(spec) || (cval.integer.is_some() && held(cval, src));
    let (Some(most), Some(_), true) = (spec.most.or(greatest(src)), greatest(dst), whole) else {
        return if floats(src) && floats(dst) { Numbers::F32 } else { Numbers::F64 };
    };
    let by_axis = spec.reduction == Reduction::MeanByAxis;
    let taps = if by_axis { kh.max(kw) as i128 } else { kh as i128 * kw as i128 };
    let sum = most.saturating_mul(taps);
    let divisor = if let Reduction::Mean { divisor } = spec.reduction { u128::from(divisor) } else { 1 };
    let bytes = (src, dst) == (DType::U8, DType::U8);
    // What is divided by as much as was added up is a byte again.
    let mean = bytes && divisor == taps as u128 && spec.finish.rounding == Rounding::HalfEven;
    let truncated = bytes && by_axis && spec.finish.rounding == Rounding::Truncate;
    if mean && narrow(divisor as u64).is_some() {
        Numbers::U16
    } else if mean && kw <= MOST_COLUMNS && sum < 1 << 31 {
        Numbers::U16AndI32
    } else if truncated && [kh, kw].iter().all(|&k| k == 1 || narrow(k as u64).is_some()) {
        Numbers::U16ByAxis
    } else if sum < 1 << 31 && divisor < 1 << 31 {
        Numbers::I32
    } else if sum < 1 << 63 {
        Numbers::I64
    } else {
        Numbers::I128
    }
}

impl fmt::Display for Sliding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.reduction {
            Reduction::Minimum => "minimum",
            Reduction::Maximum => "maximum",
            Reduction::Mean { .. } => "mean",
            Reduction::MeanByAxis => "mean by axis",
        };
        let [rows, cols] = &self.axes;
        let [border_rows, border_cols] = self.border.map(Border::name);
        write!(
            f,
            "{kind} over {}x{} windows of {} picture(s), {}x{} {} with {} channel(s), to {}x{} {}, border {}/{}",
            rows.taps,
            cols.taps,
            self.pictures,
            rows.src,
            cols.src,
            self.src.name(),
            self.channels,
            rows.dst,
            cols.dst,
            self.dst.name(),
            border_rows,
            border_cols
        )
    }
}
