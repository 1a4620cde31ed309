//! Pooling, behind `ferroconv.nn`.

use crate::convert::{Input, Output};
use crate::door::{self, Integer, InvalidArgument, exception};
use crate::layer::stored;
use ferroconv_kernels::dtype::DType;
use ferroconv_kernels::ops::pool::{Pool, Reduction, Windows};
use ferroconv_kernels::shape::{Axis, Padding};
use pyo3::prelude::*;
use pyo3::types::PyString;

/// A size, step or width; what is negative or too large is refused by the kernels as 0.
pub(crate) fn size(Integer(n): Integer) -> usize {
    usize::try_from(n).unwrap_or(0)
}

/// `"valid"`, `"same"`, or ((top, bottom), (left, right)).
pub(crate) fn padding(given: &Bound<'_, PyAny>) -> PyResult<[Padding; 2]> {
    let refuse = || {
        InvalidArgument::new_err(format!(
            "padding must be 'valid', 'same', or ((top, bottom), (left, right)) of numbers from 0 on. Received: {given:?}."
        ))
    };
    if let Ok(name) = given.cast::<PyString>() {
        return match name.to_str()? {
            "valid" => Ok([Padding::Valid; 2]),
            "same" => Ok([Padding::Same; 2]),
            _ => Err(refuse()),
        };
    }
    let pairs: [[Integer; 2]; 2] = given.extract().map_err(|_| refuse())?;
    let mut checked = [Padding::Valid; 2];
    for (checked, pair) in checked.iter_mut().zip(pairs) {
        let [before, after] = pair.map(|n| usize::try_from(n.0).map_err(|_| refuse()));
        *checked = Padding::Explicit(before?, after?);
    }
    Ok(checked)
}

pub(crate) fn reduction(name: &str, count_padding: bool, divisor: Option<Integer>) -> Reduction {
    match name {
        "max" => Reduction::Max { indices: false },
        "max-indices" => Reduction::Max { indices: true },
        _ => Reduction::Mean { count_padding, divisor: divisor.map(|d| d.0 as i64) },
    }
}

/// The axes of an image or a result in the order pictures, rows, columns, channels.
pub(crate) fn shape(name: &str, x: &Input<'_>, channels_first: bool) -> PyResult<[usize; 4]> {
    match (x.shape(), channels_first) {
        (&[n, h, w, c], false) => Ok([n, h, w, c]),
        (&[n, c, h, w], true) => Ok([n, h, w, c]),
        (shape, _) => Err(InvalidArgument::new_err(format!(
            "{name} must have four axes: {}; add an axis of one for what it lacks. Received: shape {shape:?}.",
            if channels_first { "batch, channels, rows, columns" } else { "batch, rows, columns, channels" }
        ))),
    }
}

/// Sliding windows over rows and over columns, from the sizes, the strides and the dilations.
pub(crate) fn sliding(
    sizes: [usize; 2],
    [window, strides, dilation]: [[usize; 2]; 3],
    padding: [Padding; 2],
    ceil: bool,
) -> PyResult<[Windows; 2]> {
    let axis = |i: usize| {
        Axis::pooling(sizes[i], window[i], strides[i], dilation[i], padding[i], ceil).map_err(exception)
    };
    Ok([Windows::Sliding(axis(0)?), Windows::Sliding(axis(1)?)])
}

/// Pools `x` and gives back the result, or the result and the positions.
fn pool<'py>(
    py: Python<'py>,
    x: &Input<'py>,
    windows: [Windows; 2],
    reduction: Reduction,
    channels_first: bool,
    out: Option<&Bound<'py, PyAny>>,
    workers: Option<Integer>,
) -> PyResult<Bound<'py, PyAny>> {
    let workers = door::workers(workers)?;
    let [n, _, _, c] = shape("x", x, channels_first)?;
    // Channels that come first are so many pictures of one channel.
    let (pictures, channels) = if channels_first { (n.saturating_mul(c), 1) } else { (n, c) };
    let problem = Pool::new(x.dtype, pictures, windows, channels, reduction).map_err(exception)?;
    let [oh, ow] = problem.output();
    let result_shape = stored([n, oh, ow, c], channels_first);
    let mut result = match out {
        Some(out) => Output::given(out, &result_shape, Some(x.dtype), &[x])?,
        None => Output::new(py, &result_shape, x.dtype, Some(x.descr()))?,
    };
    let src = x.pictures(channels_first)?;
    if !problem.indices() {
        door::run(py, &problem, &[src], &mut [result.pictures(channels_first)?], workers)?;
        return Ok(result.into_any());
    }
    let mut positions = Output::new(py, &result_shape, DType::I64, None)?;
    let dsts = &mut [result.pictures(channels_first)?, positions.pictures(channels_first)?];
    door::run(py, &problem, &[src], dsts, workers)?;
    Ok((result.into_any(), positions.into_any()).into_pyobject(py)?.into_any())
}

/// Pools with a sliding window. `kind` is "max", "max-indices" or "mean".
#[pyfunction]
#[pyo3(signature = (x, kind, window, strides, padding, dilation, ceil, channels_first, count_padding, divisor, out, workers, /))]
#[expect(clippy::too_many_arguments, reason = "one door for every pooling; Python names the arguments")]
pub(crate) fn pool2d<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    kind: &str,
    window: [Integer; 2],
    strides: [Integer; 2],
    padding: &Bound<'py, PyAny>,
    dilation: [Integer; 2],
    ceil: bool,
    channels_first: bool,
    count_padding: bool,
    divisor: Option<Integer>,
    out: Option<&Bound<'py, PyAny>>,
    workers: Option<Integer>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Input::new(x)?;
    let [_, h, w, _] = shape("x", &x, channels_first)?;
    let rule = [window, strides, dilation].map(|pair| pair.map(size));
    let windows = sliding([h, w], rule, self::padding(padding)?, ceil)?;
    pool(py, &x, windows, reduction(kind, count_padding, divisor), channels_first, out, workers)
}

/// Pools to `output_size` rows and columns.
#[pyfunction]
#[pyo3(signature = (x, kind, output_size, channels_first, out, workers, /))]
pub(crate) fn adaptive_pool2d<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    kind: &str,
    output_size: [Integer; 2],
    channels_first: bool,
    out: Option<&Bound<'py, PyAny>>,
    workers: Option<Integer>,
) -> PyResult<Bound<'py, PyAny>> {
    let x = Input::new(x)?;
    let [_, h, w, _] = shape("x", &x, channels_first)?;
    let [oh, ow] = output_size.map(size);
    let windows =
        [Windows::adaptive(h, oh).map_err(exception)?, Windows::adaptive(w, ow).map_err(exception)?];
    pool(py, &x, windows, reduction(kind, false, None), channels_first, out, workers)
}
