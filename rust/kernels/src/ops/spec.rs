//! What is asked of a correlation, before it is checked.

use super::taps::Taps;
use crate::border::Border;
use crate::dtype::{DType, Finish, Overflow, Rounding};
use crate::shape::Extent;
use num_complex::Complex;

/// The value outside the image under [`Border::Constant`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constant {
    /// The value.
    pub value: Complex<f64>,
    /// The same exactly, if it is an integer.
    pub integer: Option<i128>,
}

impl Constant {
    fn same(&self, other: &Self) -> bool {
        let bits = |value: Complex<f64>| [value.re, value.im].map(f64::to_bits);
        bits(self.value) == bits(other.value) && self.integer == other.integer
    }
}

impl From<f64> for Constant {
    fn from(re: f64) -> Self {
        let integer = (re.fract() == 0.0 && re.abs() < 9.3e18).then_some(re as i128);
        Self { value: Complex::new(re, 0.0), integer }
    }
}

/// In which order, and with which roundings, the products are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summation {
    /// Any that stays within the error bound: the fastest.
    Any,
    /// In `f64`, tap after tap in C order, each product rounded, as `scipy.ndimage.correlate` does.
    /// Taps below 2^-52 in magnitude are left out, as it leaves them out.
    TapOrder,
    /// As `scipy.ndimage.correlate1d` does it in `f64`: the taps of a symmetric or antisymmetric
    /// odd window in pairs, those of any other window from the last one round to the first. A window
    /// over both axes is two such correlations, first down the columns, then along the rows: the
    /// second reads what the first stored in the result's dtype, and is continued by the same constant.
    Folded,
}

/// What a tap of zero is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeros {
    /// A tap: times an infinity, or a NaN, it is NaN.
    Taps,
    /// None: nothing is read there.
    Nothing,
    /// None in a window that has few taps among many zeros ([`Taps::are_few`]), else a tap: the window alone decides.
    NothingAmongFew,
}

/// Which samples are left out. A result is then `sum(w x) * sum(w) / sum(w')`, where `w'` and the first sum are over the
/// taps whose samples are left: normalised convolution (Knutsson and Westin 1993).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Those that a second array, of `bool`, marks.
    pub masked: bool,
    /// Those that are NaN.
    pub nan: bool,
}

/// What is asked for, before it is checked.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The image's dtype.
    pub src: DType,
    /// The result's dtype.
    pub dst: DType,
    /// The image's rows and columns.
    pub image: [usize; 2],
    /// The window.
    pub taps: Taps,
    /// A second window of the same size: the result is then the root of the sum of the squares of both sums.
    pub magnitude: Option<Taps>,
    /// What its zeros are.
    pub zeros: Zeros,
    /// The samples that are left out, if some may be: the problem then reads the image, and the mask if there is one.
    pub left_out: Option<LeftOut>,
    /// Which positions are computed.
    pub extent: Extent,
    /// Channels of a pixel, side by side in a row, of which the window meets one.
    pub channels: usize,
    /// Displacement of the window, rows and columns.
    pub origin: [isize; 2],
    /// Distance between results.
    pub stride: [usize; 2],
    /// Distance between taps.
    pub dilation: [usize; 2],
    /// How each axis continues.
    pub border: [Border; 2],
    /// The constant border's value.
    pub cval: Constant,
    /// Order of summation, where it can be seen in the result.
    pub summation: Summation,
    /// How sums become integers.
    pub finish: Finish,
}

impl Spec {
    /// The native defaults: same extent, reflecting border, rounding half to even, saturating.
    pub fn new(src: DType, image: [usize; 2], taps: Taps) -> Self {
        let dst = match (src, taps.is_complex()) {
            (DType::F64 | DType::I32 | DType::U32 | DType::I64 | DType::U64, true) => DType::C128,
            (real, true) if !real.is_complex() => DType::C64,
            _ => src,
        };
        Self {
            src,
            dst,
            image,
            taps,
            magnitude: None,
            zeros: Zeros::Taps,
            left_out: None,
            extent: Extent::Same,
            channels: 1,
            origin: [0; 2],
            stride: [1; 2],
            dilation: [1; 2],
            border: [Border::Reflect; 2],
            cval: 0.0.into(),
            summation: Summation::Any,
            finish: Finish { rounding: Rounding::HalfEven, overflow: Overflow::Saturate },
        }
    }
}

impl Spec {
    /// Whether the problem is the same, to the bit.
    pub(super) fn same(&self, other: &Self) -> bool {
        let plain = |spec: &Self| {
            let Self {
                src,
                dst,
                image,
                zeros,
                left_out,
                extent,
                channels,
                origin,
                stride,
                dilation,
                border,
                summation,
                finish,
                ..
            } = *spec;
            (
                src,
                dst,
                image,
                (zeros, left_out, extent, channels, origin, stride),
                (dilation, border, summation, finish),
            )
        };
        plain(self) == plain(other)
            && self.cval.same(&other.cval)
            && self.taps.same(&other.taps)
            && match (&self.magnitude, &other.magnitude) {
                (Some(a), Some(b)) => a.same(b),
                (a, b) => a.is_none() && b.is_none(),
            }
    }
}
