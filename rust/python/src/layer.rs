//! What a convolution layer's arguments say: its shapes, checked.

use crate::convert::Input;
use crate::door::{Integer, InvalidArgument, exception};
use crate::pool::{padding, size};
use ferroconv_kernels::dtype::DType;
use ferroconv_kernels::ops::conv::Conv;
use ferroconv_kernels::precision::Precision;
use ferroconv_kernels::shape::Axis;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// What a layer's windows do: strides, padding, dilation, groups, whether channels come first; and how exact
/// its results have to be.
#[derive(FromPyObject)]
pub(crate) struct Layer<'py>([Integer; 2], Bound<'py, PyAny>, [Integer; 2], Integer, pub(crate) bool, String);

/// Four axes in the order pictures, rows, columns, channels.
pub(crate) fn axes(shape: &[usize], channels_first: bool, name: &str) -> PyResult<[usize; 4]> {
    match (shape, channels_first) {
        (&[n, h, w, c], false) | (&[n, c, h, w], true) => Ok([n, h, w, c]),
        _ => Err(InvalidArgument::new_err(format!(
            "{name} must have four axes: {}. Received: shape {shape:?}.",
            if channels_first { "batch, channels, rows, columns" } else { "batch, rows, columns, channels" }
        ))),
    }
}

/// The same in the order of memory.
pub(crate) fn stored([n, h, w, c]: [usize; 4], channels_first: bool) -> [usize; 4] {
    if channels_first { [n, c, h, w] } else { [n, h, w, c] }
}

pub(crate) fn filters_shape(shape: &[usize]) -> PyResult<[usize; 4]> {
    shape.try_into().map_err(|_| {
        InvalidArgument::new_err(format!(
            "filters must have four axes: rows, columns, channels of a group, results. Received: shape {shape:?}."
        ))
    })
}

/// Refuses an array of another dtype than the layer's, or of another shape than it has there.
pub(crate) fn fits(array: &Input<'_>, name: &str, dtype: DType, shape: &[usize]) -> PyResult<()> {
    if array.dtype != dtype {
        return Err(PyTypeError::new_err(format!(
            "a layer's arrays must have one dtype, here {}; convert {name}. Received: {}.",
            dtype.name(),
            array.dtype.name()
        )));
    }
    if array.shape() != shape {
        return Err(InvalidArgument::new_err(format!(
            "{name} must have the shape {shape:?}. Received: {:?}.",
            array.shape()
        )));
    }
    Ok(())
}

impl Layer<'_> {
    /// The layer that takes images of `[n, h, w, c]` to as many results as the filters have.
    pub(crate) fn conv(&self, dtype: DType, [n, h, w, c]: [usize; 4], filters: [usize; 4]) -> PyResult<Conv> {
        let Self(strides, given, dilation, groups, _, precision) = self;
        let padding = padding(given)?;
        let axis = |i: usize, src: usize| {
            Axis::convolution(src, filters[i], size(strides[i]), size(dilation[i]), padding[i])
        };
        let windows = [axis(0, h).map_err(exception)?, axis(1, w).map_err(exception)?];
        checked(Conv::new(dtype, n, windows, size(*groups), c, filters[3]), filters, precision)
    }

    /// The layer whose transpose takes images of `[n, h, w, c]` to as many channels as the groups of
    /// its filters have together.
    pub(crate) fn transposed(
        &self,
        dtype: DType,
        [n, h, w, c]: [usize; 4],
        filters: [usize; 4],
        extra: Option<[Integer; 2]>,
    ) -> PyResult<Conv> {
        let Self(strides, given, dilation, groups, _, precision) = self;
        let padding = padding(given)?;
        let axis = |i: usize, dst: usize| {
            let extra = extra.map(|extra| usize::try_from(extra[i].0).unwrap_or(usize::MAX));
            Axis::transposed(dst, filters[i], size(strides[i]), size(dilation[i]), padding[i], extra)
        };
        let windows = [axis(0, h).map_err(exception)?, axis(1, w).map_err(exception)?];
        let channels = filters[2].saturating_mul(size(*groups));
        checked(Conv::new(dtype, n, windows, size(*groups), channels, c), filters, precision)
    }
}

/// The layer, in a class of precision, if these are its filters.
fn checked(
    conv: Result<Conv, ferroconv_kernels::Error>,
    filters: [usize; 4],
    precision: &str,
) -> PyResult<Conv> {
    let precision = Precision::parse(precision).map_err(exception)?;
    let conv = Conv { precision, ..conv.map_err(exception)? };
    if conv.filters_shape() == filters {
        return Ok(conv);
    }
    Err(InvalidArgument::new_err(format!(
        "filters must fit the channels: {:?} for {} groups. Received: shape {filters:?}.",
        conv.filters_shape(),
        conv.groups
    )))
}
