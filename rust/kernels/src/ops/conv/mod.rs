//! The problems of 2-D convolution layers: the layer itself and the gradients of its two arguments.
//!
//! ```text
//! y[n, oy, ox, o] = sum over the taps (i, j) and the channels c of the group of o, of
//!                   x[n, oy * sh + i * dh - top, ox * sw + j * dw - left, c] * w[i, j, c, o]
//! ```
//!
//! with zeros outside the image; no flip, as in every framework. The sum is bilinear in `x` and `w`,
//! so its two gradients are its two transposes, and a transposed convolution is the first of them.
//!
//! Arrays have the axes pictures, rows, columns, channels, at any strides: channels that come first
//! in memory are a matter of strides alone. Filters have the axes rows, columns, channels of a
//! group, results. A channel `c` belongs to group `c / (channels / groups)`.

mod blockwise;
mod depthwise;
mod dots;
mod filters;
mod finish;
mod gather;
mod narrow;
mod pack;
mod packed;
mod pass;
mod phase;
mod pictures;
mod planes;
mod split;
mod winograd;

pub use depthwise::Depthwise;
pub use dots::Dots;
pub use filters::Outer;
pub use gather::Gather;
pub use packed::Packed;
pub use pictures::Pictures;
pub use split::Split;
pub use winograd::{Winograd, Winograd4, WinogradFilters};

use crate::Error;
use crate::dtype::{Arithmetic, DType, Kind};
use crate::precision::Precision;
use crate::shape::Axis;
use crate::view::{Dst, Src};
use std::fmt;

/// The shapes of a convolution layer, checked: what its three problems share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// The dtype of all its arrays.
    pub dtype: DType,
    /// Pictures.
    pub pictures: usize,
    /// Windows over rows and over columns.
    pub windows: [Axis; 2],
    /// Groups of channels that know nothing of each other.
    pub groups: usize,
    /// Channels of `x`, in all groups together.
    pub inputs: usize,
    /// Channels of `y`, likewise.
    pub outputs: usize,
    /// How exact the results have to be.
    pub precision: Precision,
}

impl Conv {
    /// Checks a layer, of the highest precision.
    ///
    /// # Errors
    /// [`Error::Type`] for a dtype that is no real floating-point type, [`Error::Value`] where the
    /// groups don't divide the channels.
    pub fn new(
        dtype: DType,
        pictures: usize,
        windows: [Axis; 2],
        groups: usize,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, Error> {
        if dtype.kind() != Kind::Float {
            return Err(Error::Type(format!(
                "convolution layers take float16, bfloat16, float32 or float64; convert the arrays. Received: {}.",
                dtype.name()
            )));
        }
        if groups == 0 || !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            return Err(Error::Value(format!(
                "groups must be at least 1 and divide the channels of input and output. \
                 Received: {groups} groups for {inputs} and {outputs} channels."
            )));
        }
        let sizes = [windows[0].taps, windows[1].taps, inputs / groups, outputs];
        let weights = sizes.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
        if weights.is_none_or(|n| n > isize::MAX as usize / 64) {
            return Err(Error::Value(format!(
                "the filters would be larger than memory can be. Received: shape {sizes:?}."
            )));
        }
        Ok(Self { dtype, pictures, windows, groups, inputs, outputs, precision: Precision::Highest })
    }

    /// The shape of `x`.
    pub fn x_shape(&self) -> [usize; 4] {
        [self.pictures, self.windows[0].src, self.windows[1].src, self.inputs]
    }

    /// The shape of `y`.
    pub fn y_shape(&self) -> [usize; 4] {
        [self.pictures, self.windows[0].dst, self.windows[1].dst, self.outputs]
    }

    /// The filters' shape.
    pub fn filters_shape(&self) -> [usize; 4] {
        [self.windows[0].taps, self.windows[1].taps, self.inputs / self.groups, self.outputs]
    }

    /// What the sums are made in: `f64` for `float64`, else `f32`.
    pub fn arithmetic(&self) -> Arithmetic {
        if self.dtype == DType::F64 { Arithmetic::F64 } else { Arithmetic::F32 }
    }

    /// Multiply-adds of each of the three problems.
    fn multiply_adds(&self) -> f64 {
        let y: f64 = self.y_shape().iter().map(|&n| n as f64).product();
        let window: f64 = self.filters_shape()[..3].iter().map(|&n| n as f64).product();
        y * window
    }

    /// Roundings of a sum of `terms` products.
    fn bound(&self, terms: f64) -> f64 {
        (terms + 1.0) * self.arithmetic().unit_roundoff()
    }
}

/// Estimated nanoseconds of one thread that makes every product: lanes that have no channel of the result
/// are lost.
fn nanoseconds(conv: &Conv, wide: usize) -> f64 {
    let lost = wide.max(1).next_multiple_of(8) as f64 / wide.max(1) as f64;
    conv.multiply_adds() * lost * conv.arithmetic().size() as f64 / 4.0 / RATE
}

/// Multiply-adds of `f32` a nanosecond.
const RATE: f64 = 40.0;

impl fmt::Display for Conv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [n, h, w, c] = self.x_shape();
        let [_, oh, ow, o] = self.y_shape();
        let [rows, cols] = &self.windows;
        write!(
            f,
            "{}x{} filters, {n} pictures of {h}x{w}x{c} to {oh}x{ow}x{o}, strides {}x{}, dilation {}x{}, \
             {} group(s), {}, precision {}",
            rows.taps,
            cols.taps,
            rows.stride,
            cols.stride,
            rows.dilation,
            cols.dilation,
            self.groups,
            self.dtype.name(),
            self.precision.name()
        )
    }
}

/// The layer: reads `x`, the filters, with `bias` a `(1, 1, outputs)` array, and with `addend` an array of
/// `y`'s shape; writes `y`.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The shapes.
    pub conv: Conv,
    /// Whether a number is added to each channel of `y`.
    pub bias: bool,
    /// Whether a number is added to each element of `y`: what a residual block's shortcut brings.
    pub addend: bool,
    /// Whether negative results become 0.
    pub relu: bool,
}

/// The gradient with respect to `x`, and the transposed layer: reads the filters, the gradient with
/// respect to `y`, with `masked` also `y` (results of a relu: where they are not positive, no gradient
/// comes through), and with `bias` a `(1, 1, inputs)` array; writes an array of `x`'s shape.
#[derive(Clone, Debug)]
pub struct GradInput {
    /// The shapes.
    pub conv: Conv,
    /// Whether `y` is read too.
    pub masked: bool,
    /// Whether a number is added to each channel of the result.
    pub bias: bool,
    /// Whether negative results become 0.
    pub relu: bool,
}

/// The gradient with respect to the filters: reads `x`, the gradient with respect to `y`, and with
/// `masked` also `y`; writes an array of the filters' shape, and with `bias` the gradient with respect
/// to the bias, a `(1, 1, outputs)` array.
#[derive(Clone, Debug)]
pub struct GradFilters {
    /// The shapes.
    pub conv: Conv,
    /// Whether `y` is read too.
    pub masked: bool,
    /// Whether the bias's gradient is a second result.
    pub bias: bool,
}

impl Forward {
    /// The error of a result as a multiple of the sum of `|x w|` (and `|bias|`, and `|addend|`).
    pub fn error_bound(&self) -> f64 {
        let terms: f64 = self.conv.filters_shape()[..3].iter().map(|&n| n as f64).product();
        self.conv.bound(terms + f64::from(u8::from(self.addend)))
    }
}

impl GradInput {
    /// The error of a result as a multiple of the sum of `|grad w|` (and `|bias|`).
    pub fn error_bound(&self) -> f64 {
        let conv = &self.conv;
        let taps = conv.windows.iter().map(|w| w.taps as f64).product::<f64>();
        conv.bound(taps * (conv.outputs / conv.groups) as f64)
    }
}

impl GradFilters {
    /// The error of a result as a multiple of the sum of `|x grad|`, where an implementation says nothing else.
    pub fn error_bound(&self) -> f64 {
        let [n, oh, ow, _] = self.conv.y_shape();
        self.conv.bound(n as f64 * oh as f64 * ow as f64)
    }

    /// The arrays that are read, `x` without the samples that no window reads.
    ///
    /// # Panics
    /// If they, or those that are written, are not the gradient's.
    fn sources<'a>(&self, srcs: &[Src<'a>], dsts: &[Dst<'_>]) -> Vec<Src<'a>> {
        self.check_arrays(srcs, dsts);
        let mut srcs = srcs.to_vec();
        srcs[0] = srcs[0].every(self.conv.windows.each_ref().map(phase::Phase::skip));
        srcs
    }

    fn check_arrays(&self, srcs: &[Src<'_>], dsts: &[Dst<'_>]) {
        assert!(
            srcs.len() == 2 + usize::from(self.masked) && dsts.len() == 1 + usize::from(self.bias),
            "the gradient's arrays"
        );
        let conv = &self.conv;
        assert!(
            srcs[0].shape() == conv.x_shape()
                && srcs[1..].iter().all(|src| src.shape() == conv.y_shape())
                && dsts[0].shape() == conv.filters_shape(),
            "the layer's shapes"
        );
    }
}
