//! Convolution layers and their gradients, behind `ferroconv.nn`.

use crate::convert::{Input, Output};
use crate::door::{self, Integer, InvalidArgument, exception};
use crate::pool::{padding, size};
use ferroconv_kernels::dtype::DType;
use ferroconv_kernels::ops::conv::{Conv, Forward, GradFilters, GradInput};
use ferroconv_kernels::shape::Axis;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// What a layer's windows do: strides, padding, dilation, groups, and whether channels come first.
#[derive(FromPyObject)]
pub(crate) struct Layer<'py>([Integer; 2], Bound<'py, PyAny>, [Integer; 2], Integer, bool);

/// Four axes in the order pictures, rows, columns, channels.
fn axes(shape: &[usize], channels_first: bool, name: &str) -> PyResult<[usize; 4]> {
    match (shape, channels_first) {
        (&[n, h, w, c], false) | (&[n, c, h, w], true) => Ok([n, h, w, c]),
        _ => Err(InvalidArgument::new_err(format!(
            "{name} must have four axes: {}. Received: shape {shape:?}.",
            if channels_first { "batch, channels, rows, columns" } else { "batch, rows, columns, channels" }
        ))),
    }
}

/// The same in the order of memory.
fn stored([n, h, w, c]: [usize; 4], channels_first: bool) -> [usize; 4] {
    if channels_first { [n, c, h, w] } else { [n, h, w, c] }
}

fn filters_shape(shape: &[usize]) -> PyResult<[usize; 4]> {
    shape.try_into().map_err(|_| {
        InvalidArgument::new_err(format!(
            "filters must have four axes: rows, columns, channels of a group, results. Received: shape {shape:?}."
        ))
    })
}

/// Refuses an array of another dtype than the layer's, or of another shape than it has there.
fn fits(array: &Input<'_>, name: &str, dtype: DType, shape: &[usize]) -> PyResult<()> {
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
    fn conv(&self, dtype: DType, [n, h, w, c]: [usize; 4], filters: [usize; 4]) -> PyResult<Conv> {
        let Self(strides, padding, dilation, groups, _) = self;
        let padding = crate::pool::padding(padding)?;
        let axis = |i: usize, src: usize| {
            Axis::convolution(src, filters[i], size(strides[i]), size(dilation[i]), padding[i])
        };
        let windows = [axis(0, h).map_err(exception)?, axis(1, w).map_err(exception)?];
        checked(Conv::new(dtype, n, windows, size(*groups), c, filters[3]), filters)
    }

    /// The layer whose transpose takes images of `[n, h, w, c]` to as many channels as the groups of
    /// its filters have together.
    fn transposed(
        &self,
        dtype: DType,
        [n, h, w, c]: [usize; 4],
        filters: [usize; 4],
        extra: Option<[Integer; 2]>,
    ) -> PyResult<Conv> {
        let Self(strides, given, dilation, groups, _) = self;
        let padding = padding(given)?;
        let axis = |i: usize, dst: usize| {
            let extra = extra.map(|extra| usize::try_from(extra[i].0).unwrap_or(usize::MAX));
            Axis::transposed(dst, filters[i], size(strides[i]), size(dilation[i]), padding[i], extra)
        };
        let windows = [axis(0, h).map_err(exception)?, axis(1, w).map_err(exception)?];
        let channels = filters[2].saturating_mul(size(*groups));
        checked(Conv::new(dtype, n, windows, size(*groups), channels, c), filters)
    }
}

/// The layer, if these are its filters.
fn checked(conv: Result<Conv, ferroconv_kernels::Error>, filters: [usize; 4]) -> PyResult<Conv> {
    let conv = conv.map_err(exception)?;
    if conv.filters_shape() == filters {
        return Ok(conv);
    }
    Err(InvalidArgument::new_err(format!(
        "filters must fit the channels: {:?} for {} groups. Received: shape {filters:?}.",
        conv.filters_shape(),
        conv.groups
    )))
}

/// Convolves `x`.
#[pyfunction]
#[pyo3(signature = (x, filters, bias, layer, relu, out, workers, /))]
#[expect(clippy::too_many_arguments, reason = "Python names the arguments")]
pub(crate) fn conv2d<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    filters: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    layer: Layer<'py>,
    relu: bool,
    out: Option<&Bound<'py, PyAny>>,
    workers: Option<Integer>,
) -> PyResult<Bound<'py, PyAny>> {
    let (x, filters) = (Input::new(x)?, Input::new(filters)?);
    let first = layer.4;
    let conv = layer.conv(x.dtype, axes(x.shape(), first, "x")?, filters_shape(filters.shape())?)?;
    fits(&filters, "filters", x.dtype, &conv.filters_shape())?;
    let bias = bias.map(Input::new).transpose()?;
    let shape = stored(conv.y_shape(), first);
    let mut srcs = vec![x.images(first)?, filters.images(false)?];
    if let Some(bias) = &bias {
        fits(bias, "bias", x.dtype, &[conv.outputs])?;
        srcs.push(bias.line()?);
    }
    let inputs: Vec<_> = [&x, &filters].into_iter().chain(&bias).collect();
    let mut y = Output::wanted(py, out, &shape, &x, &inputs)?;
    let problem = Forward { conv, bias: bias.is_some(), relu };
    door::run(py, &problem, &srcs, &mut [y.images(first)?], door::workers(workers)?)?;
    Ok(y.into_any())
}

/// The transposed layer.
#[pyfunction]
#[pyo3(signature = (x, filters, bias, layer, output_padding, relu, out, workers, /))]
#[expect(clippy::too_many_arguments, reason = "Python names the arguments")]
pub(crate) fn conv2d_transpose<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    filters: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    layer: Layer<'py>,
    output_padding: Option<[Integer; 2]>,
    relu: bool,
    out: Option<&Bound<'py, PyAny>>,
    workers: Option<Integer>,
) -> PyResult<Bound<'py, PyAny>> {
    let (x, filters) = (Input::new(x)?, Input::new(filters)?);
    let (first, images) = (layer.4, axes(x.shape(), layer.4, "x")?);
    let conv = layer.transposed(x.dtype, images, filters_shape(filters.shape())?, output_padding)?;
    fits(&filters, "filters", x.dtype, &conv.filters_shape())?;
    let bias = bias.map(Input::new).transpose()?;
    let shape = stored(conv.x_shape(), first);
    let mut srcs = vec![filters.images(false)?, x.images(first)?];
    if let Some(bias) = &bias {
        fits(bias, "bias", x.dtype, &[conv.inputs])?;
        srcs.push(bias.line()?);
    }
    let inputs: Vec<_> = [&x, &filters].into_iter().chain(&bias).collect();
    let mut y = Output::wanted(py, out, &shape, &x, &inputs)?;
    let problem = GradInput { conv, masked: false, bias: bias.is_some(), relu };
    door::run(py, &problem, &srcs, &mut [y.images(first)?], door::workers(workers)?)?;
    Ok(y.into_any())
}

/// The gradient with respect to the layer's input.
#[pyfunction]
#[pyo3(signature = (input_shape, filters, grad, result, layer, out, workers, /))]
#[expect(clippy::too_many_arguments, reason = "Python names the arguments")]
pub(crate) fn conv2d_grad_input<'py>(
    py: Python<'py>,
    input_shape: [Integer; 4],
    filters: &Bound<'py, PyAny>,
    grad: &Bound<'py, PyAny>,
    result: Option<&Bound<'py, PyAny>>,
    layer: Layer<'py>,
    out: Option<&Bound<'py, PyAny>>,
    workers: Option<Integer>,
) -> PyResult<Bound<'py, PyAny>> {
    let (filters, grad) = (Input::new(filters)?, Input::new(grad)?);
    let (first, shape) = (layer.4, input_shape.map(size));
    let conv =
        layer.conv(grad.dtype, axes(&shape, layer.4, "input_shape")?, filters_shape(filters.shape())?)?;
    fits(&filters, "filters", grad.dtype, &conv.filters_shape())?;
    fits(&grad, "grad", grad.dtype, &stored(conv.y_shape(), first))?;
    let result = result.map(Input::new).transpose()?;
    let mut srcs = vec![filters.images(false)?, grad.images(first)?];
    if let Some(result) = &result {
        fits(result, "result", grad.dtype, grad.shape())?;
        srcs.push(result.images(first)?);
    }
    let inputs: Vec<_> = [&filters, &grad].into_iter().chain(&result).collect();
    let mut dx = Output::wanted(py, out, &shape, &grad, &inputs)?;
    let problem = GradInput { conv, masked: result.is_some(), bias: false, relu: false };
    door::run(py, &problem, &srcs, &mut [dx.images(first)?], door::workers(workers)?)?;
    Ok(dx.into_any())
}

/// The gradient with respect to the layer's filters, and to its bias if that is wanted.
#[pyfunction]
#[pyo3(signature = (x, filters_shape, grad, result, layer, with_bias, out, workers, /))]
#[expect(clippy::too_many_arguments, reason = "Python names the arguments")]
pub(crate) fn conv2d_grad_filters<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    filters_shape: [Integer; 4],
    grad: &Bound<'py, PyAny>,
    result: Option<&Bound<'py, PyAny>>,
    layer: Layer<'py>,
    with_bias: bool,
    out: Option<&Bound<'py, PyAny>>,
    workers: Option<Integer>,
) -> PyResult<Bound<'py, PyAny>> {
    let (x, grad) = (Input::new(x)?, Input::new(grad)?);
    let (first, shape) = (layer.4, filters_shape.map(size));
    let conv = layer.conv(x.dtype, axes(x.shape(), first, "x")?, shape)?;
    fits(&grad, "grad", x.dtype, &stored(conv.y_shape(), first))?;
    let result = result.map(Input::new).transpose()?;
    let mut srcs = vec![x.images(first)?, grad.images(first)?];
    if let Some(result) = &result {
        fits(result, "result", x.dtype, grad.shape())?;
        srcs.push(result.images(first)?);
    }
    let inputs: Vec<_> = [&x, &grad].into_iter().chain(&result).collect();
    let mut filters = Output::wanted(py, out, &shape, &x, &inputs)?;
    let mut bias = Output::new(py, &[conv.outputs], x.dtype, Some(x.descr()))?;
    let problem = GradFilters { conv, masked: result.is_some(), bias: with_bias };
    let workers = door::workers(workers)?;
    if !with_bias {
        door::run(py, &problem, &srcs, &mut [filters.images(false)?], workers)?;
        return Ok(filters.into_any());
    }
    door::run(py, &problem, &srcs, &mut [filters.images(false)?, bias.line()?], workers)?;
    Ok((filters.into_any(), bias.into_any()).into_pyobject(py)?.into_any())
}
