//! Means, minima and maxima of sliding windows, behind `ferroconv.box`, `ferroconv.minimum`,
//! `ferroconv.maximum` and their mirrors in `ferroconv.ndimage`.

use crate::convert::{Input, Output, dtype_of};
use crate::door::{self, Integer, InvalidArgument, exception};
use crate::filters::native;
use crate::window::constant;
use ferroconv_kernels::border::{Api, Border};
use ferroconv_kernels::dtype::{Finish, Overflow, Rounding};
use ferroconv_kernels::ops::sliding::footprint::Footprint;
use ferroconv_kernels::ops::sliding::passes::{Filter, Kind, Window};
use ferroconv_kernels::shape::Extent;
use numpy::PyArrayDescr;
use pyo3::prelude::*;

/// Axis, size, origin and border of a window along one axis.
type Along = (Integer, Integer, Integer, String);

/// Whose rules a call follows: names of borders, and integers.
pub(crate) fn rules(name: &str) -> PyResult<(Api, Finish)> {
    if name == "ndimage" {
        return Ok((Api::Ndimage, Finish { rounding: Rounding::Truncate, overflow: Overflow::Wrap }));
    }
    let overflow = Overflow::parse(name).map_err(exception)?;
    Ok((Api::Native, Finish { rounding: Rounding::HalfEven, overflow }))
}

/// An axis counted from the front.
pub(crate) fn counted(axis: isize, ndim: usize) -> PyResult<usize> {
    let n = ndim as isize;
    if (-n..n).contains(&axis) {
        return Ok(axis.rem_euclid(n) as usize);
    }
    Err(InvalidArgument::new_err(format!(
        "axes must be axes of the image. Received: {axis} for {ndim} axes."
    )))
}

/// Folds a window over some axes of `image`. `kind` is "minimum", "maximum" or "mean"; `rule` is
/// "saturate" or "wrap" (the native functions' overflow) or "ndimage"; `dtype` is the result's.
#[pyfunction]
#[pyo3(signature = (image, kind, rule, windows, extent, cval, dtype, out, workers, /))]
#[expect(clippy::too_many_arguments, reason = "one door for every window; Python names the arguments")]
pub(crate) fn sliding<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    kind: &str,
    rule: &str,
    windows: Vec<Along>,
    extent: &str,
    cval: &Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyArrayDescr>>,
    out: Option<&Bound<'py, PyAny>>,
    workers: Option<Integer>,
) -> PyResult<Bound<'py, PyAny>> {
    let workers = door::workers(workers)?;
    let mut image = Input::new(image)?;
    let (api, finish) = rules(rule)?;
    let ndim = image.shape().len();
    let window = |(axis, size, origin, border): Along| {
        Ok(Window {
            axis: counted(axis.0, ndim)?,
            // What is negative is refused as 0 is.
            size: usize::try_from(size.0).unwrap_or(0),
            origin: origin.0,
            border: Border::parse(api, &border).map_err(exception)?,
        })
    };
    let filter = Filter {
        kind: match kind {
            "minimum" => Kind::Minimum,
            "maximum" => Kind::Maximum,
            _ => Kind::Mean,
        },
        src: image.dtype,
        dst: dtype.map_or(Ok(image.dtype), dtype_of)?,
        shape: image.shape().to_vec(),
        windows: windows.into_iter().map(window).collect::<PyResult<_>>()?,
        extent: Extent::parse(extent).map_err(exception)?,
        cval: constant(cval)?,
        finish,
    };
    let passes = filter.passes().map_err(exception)?;
    let descr = native(dtype).or_else(|| (filter.dst == image.dtype).then(|| image.descr()));
    let shape = passes.last().map_or(&filter.shape, |pass| &pass.shape);
    let mut result = match out {
        Some(out) => Output::given(out, shape, Some(filter.dst), &[&image])?,
        None => Output::new(py, shape, filter.dst, descr)?,
    };
    for (i, pass) in passes.iter().enumerate() {
        if i + 1 == passes.len() {
            door::run(
                py,
                &pass.problem,
                &[image.walked(pass.axes)?],
                &mut [result.walked(pass.axes)?],
                workers,
            )?;
            break;
        }
        let mut between = Output::new(py, &pass.shape, pass.problem.dst, None)?;
        door::run(
            py,
            &pass.problem,
            &[image.walked(pass.axes)?],
            &mut [between.walked(pass.axes)?],
            workers,
        )?;
        image = Input::new(&between.into_any())?;
    }
    Ok(result.into_any())
}

/// The least or greatest over the taps of `footprint`, with `structure` subtracted or added; over the
/// axes of `image` that `axes` names, in scipy.ndimage's arithmetic.
#[pyfunction]
#[pyo3(signature = (image, maximum, footprint, structure, axes, origins, border, cval, dtype, out, workers, /))]
#[expect(clippy::too_many_arguments, reason = "one door for every footprint; Python names the arguments")]
pub(crate) fn footprint<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    maximum: bool,
    footprint: Vec<Vec<Integer>>,
    structure: Option<Vec<f64>>,
    axes: Vec<Integer>,
    origins: Vec<Integer>,
    border: &str,
    cval: &Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyArrayDescr>>,
    out: Option<&Bound<'py, PyAny>>,
    workers: Option<Integer>,
) -> PyResult<Bound<'py, PyAny>> {
    let workers = door::workers(workers)?;
    let image = Input::new(image)?;
    let (api, finish) = rules("ndimage")?;
    let ndim = image.shape().len();
    let counted = axes.iter().map(|axis| counted(axis.0, ndim)).collect::<PyResult<Vec<_>>>()?;
    // The kernel's rows and columns; an axis that an image lacks has one position.
    let lacking = 2_usize.saturating_sub(ndim);
    let place = |tap: &Vec<Integer>| {
        let mut offsets = vec![0; ndim + lacking];
        for ((&axis, at), origin) in counted.iter().zip(tap).zip(&origins) {
            offsets[lacking + axis] = at.0.saturating_sub(origin.0);
        }
        offsets
    };
    let problem = Footprint {
        maximum,
        src: image.dtype,
        dst: dtype.map_or(Ok(image.dtype), dtype_of)?,
        shape: [vec![1; lacking], image.shape().to_vec()].concat(),
        taps: footprint.iter().map(place).collect(),
        addends: structure,
        border: Border::parse(api, border).map_err(exception)?,
        cval: constant(cval)?,
        finish,
    };
    let problem = problem.checked().map_err(exception)?;
    let descr = native(dtype).or_else(|| (problem.dst == image.dtype).then(|| image.descr()));
    let mut result = match out {
        Some(out) => Output::given(out, image.shape(), Some(problem.dst), &[&image])?,
        None => Output::new(py, image.shape(), problem.dst, descr)?,
    };
    let last = ndim.checked_sub(1);
    let axes = [last.and_then(|l| l.checked_sub(1)), last, None];
    door::run(py, &problem, &[image.walked(axes)?], &mut [result.walked(axes)?], workers)?;
    Ok(result.into_any())
}
