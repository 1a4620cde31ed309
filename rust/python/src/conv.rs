//! Convolution layers and their gradients, behind `ferroconv.nn`.

use crate::convert::{Input, Output};
use crate::door::{self, Integer};
use crate::layer::{Layer, axes, filters_shape, fits, stored};
use crate::pool::size;
use ferroconv_kernels::ops::conv::{Forward, GradFilters, GradInput};
use pyo3::prelude::*;

/// Convolves `x`.
#[pyfunction]
#[pyo3(signature = (x, filters, bias, addend, layer, relu, out, workers, /))]
#[expect(clippy::too_many_arguments, reason = "Python names the arguments")]
pub(crate) fn conv2d<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    filters: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    addend: Option<&Bound<'py, PyAny>>,
    layer: Layer<'py>,
    relu: bool,
    out: Option<&Bound<'py, PyAny>>,
    workers: Option<Integer>,
) -> PyResult<Bound<'py, PyAny>> {
    let (x, filters) = (Input::new(x)?, Input::new(filters)?);
    let first = layer.4;
    let conv = layer.conv(x.dtype, axes(x.shape(), first, "x")?, filters_shape(filters.shape())?)?;
    fits(&filters, "filters", x.dtype, &conv.filters_shape())?;
    let (bias, addend) = (bias.map(Input::new).transpose()?, addend.map(Input::new).transpose()?);
    let shape = stored(conv.y_shape(), first);
    let mut srcs = vec![x.images(first)?, filters.images(false)?];
    if let Some(bias) = &bias {
        fits(bias, "bias", x.dtype, &[conv.outputs])?;
        srcs.push(bias.line()?);
    }
    if let Some(addend) = &addend {
        fits(addend, "addend", x.dtype, &shape)?;
        srcs.push(addend.images(first)?);
    }
    let inputs: Vec<_> = [&x, &filters].into_iter().chain(&bias).chain(&addend).collect();
    let mut y = Output::wanted(py, out, &shape, &x, &inputs)?;
    let problem = Forward { conv, bias: bias.is_some(), addend: addend.is_some(), relu };
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
