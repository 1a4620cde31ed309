//! Convolution layers as attributes and tensors give them.

use crate::ffi::{Attributes, Call, Tensor};
use crate::geometry::{Format, PADDING, fits, padding};
use crate::op::{Failure, Input};
use ferroconv_kernels::dtype::DType;
use ferroconv_kernels::ops::conv::Conv;
use ferroconv_kernels::shape::{Axis, Padding};
use ferroconv_kernels::view::{Dst, Src};

/// A layer's filters: rows, columns, channels of a group, results.
pub(crate) const FILTERS: Input = Input { spec: "filters: T", rank: Some(4) };
/// Its bias, if it has one.
pub(crate) const BIAS: Input = Input { spec: "bias: biases * T", rank: None };

/// Its attributes. With `groups` 0 every channel is a group of its own, and the filters' axes are
/// rows, columns, channels, results of a channel.
pub(crate) const LAYER: [&str; 6] = [
    "strides: list(int) >= 2",
    "dilations: list(int) >= 2",
    PADDING[0],
    PADDING[1],
    "groups: int >= 0 = 1",
    Format::ATTRIBUTE,
];

/// A layer's attributes.
pub(crate) struct Layer {
    strides: [usize; 2],
    dilations: [usize; 2],
    padding: [Padding; 2],
    groups: usize,
    format: Format,
}

const ORDER: [usize; 4] = [0, 1, 2, 3];

impl Layer {
    pub(crate) fn read(attributes: &Attributes<'_>) -> Result<Self, Failure> {
        let layer = Self {
            strides: attributes.sizes("strides")?,
            dilations: attributes.sizes("dilations")?,
            padding: padding(attributes)?,
            groups: usize::try_from(attributes.integer("groups")?).unwrap_or(0),
            format: Format::read(attributes)?,
        };
        // Sizes that no image suits are refused here, where the node is made.
        layer.windows([0, 0], [1, 1]).map(|_| layer)
    }

    fn windows(&self, image: [usize; 2], taps: [usize; 2]) -> Result<[Axis; 2], Failure> {
        let axis = |i: usize| {
            Axis::convolution(image[i], taps[i], self.strides[i], self.dilations[i], self.padding[i])
        };
        Ok([axis(0)?, axis(1)?])
    }

    /// Groups, and the filters' shape as the kernels see it.
    fn filters(&self, filters: &Tensor) -> Result<(usize, [usize; 4]), Failure> {
        if self.groups > 0 {
            return Ok((
                self.groups,
                filters.axes("filters", "rows, columns, channels of a group, results")?,
            ));
        }
        let [kh, kw, c, m] = filters.axes("filters", "rows, columns, channels, results of a channel")?;
        Ok((c.max(1), [kh, kw, 1, c * m]))
    }

    /// The problem's shapes, for a layer that takes `x`.
    pub(crate) fn of(&self, x: &Tensor, filters: &Tensor) -> Result<Conv, Failure> {
        let ([n, h, w, c], (groups, shape)) = (self.format.axes("x", x)?, self.filters(filters)?);
        let windows = self.windows([h, w], [shape[0], shape[1]])?;
        checked(Conv::new(x.dtype(), n, windows, groups, c, shape[3])?, shape)
    }

    /// The problem's shapes, for a layer whose transpose takes `x`. `extra` is Keras' `output_padding`.
    pub(crate) fn transposed(
        &self,
        x: &Tensor,
        filters: &Tensor,
        extra: Option<[usize; 2]>,
    ) -> Result<Conv, Failure> {
        let ([n, h, w, c], (groups, shape)) = (self.format.axes("x", x)?, self.filters(filters)?);
        let axis = |i: usize, n: usize| {
            let (stride, dilation, padding) = (self.strides[i], self.dilations[i], self.padding[i]);
            Axis::transposed(n, shape[i], stride, dilation, padding, extra.map(|extra| extra[i]))
        };
        let (windows, channels) = ([axis(0, h)?, axis(1, w)?], shape[2].saturating_mul(groups));
        checked(Conv::new(x.dtype(), n, windows, groups, channels, c)?, shape)
    }

    /// Pictures that are read; `shape` is what the layer has there.
    pub(crate) fn images<'t>(
        &self,
        tensor: &'t Tensor,
        name: &str,
        shape: [usize; 4],
    ) -> Result<Src<'t>, Failure> {
        let stored = self.format.shape(shape);
        fits(tensor, name, &stored)?;
        tensor.src(stored, self.format.order())
    }

    /// A new output of pictures, and where it is written.
    pub(crate) fn results(
        &self,
        call: &mut Call<'_>,
        dtype: DType,
        shape: [usize; 4],
    ) -> Result<Tensor, Failure> {
        call.output(0, dtype, &self.format.shape(shape))
    }

    /// Pictures that are written.
    pub(crate) fn written<'t>(&self, tensor: &'t mut Tensor, shape: [usize; 4]) -> Result<Dst<'t>, Failure> {
        tensor.dst(self.format.shape(shape), self.format.order())
    }
}

/// A layer's filters that are read.
pub(crate) fn weights<'t>(filters: &'t Tensor, conv: &Conv) -> Result<Src<'t>, Failure> {
    filters.src(conv.filters_shape(), ORDER)
}

/// Filters that are written.
pub(crate) fn weights_written<'t>(filters: &'t mut Tensor, conv: &Conv) -> Result<Dst<'t>, Failure> {
    filters.dst(conv.filters_shape(), ORDER)
}

/// A layer's bias that is read.
pub(crate) fn line(bias: &Tensor, channels: usize) -> Result<Src<'_>, Failure> {
    fits(bias, "bias", &[channels])?;
    bias.src([1, 1, channels], [0, 1, 2])
}

/// The layer, if these are its filters.
fn checked(conv: Conv, filters: [usize; 4]) -> Result<Conv, Failure> {
    if conv.filters_shape() == filters {
        return Ok(conv);
    }
    Err(Failure::invalid(format!(
        "filters must fit the channels: {:?} for {} groups. Received: shape {filters:?}.",
        conv.filters_shape(),
        conv.groups
    )))
}
