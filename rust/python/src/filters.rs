//! Correlation, behind `ferroconv.correlate`, `ferroconv.signal` and `ferroconv.ndimage`.

use crate::convert::{Input, Output, dtype_of};
use crate::door::{self, Integer, InvalidArgument, exception};
use crate::window::{borders, constant, windows};
use ferroconv_kernels::border::{Api, Border};
use ferroconv_kernels::dtype::{DType, Finish, Overflow, Rounding};
use ferroconv_kernels::isa::Isa;
use ferroconv_kernels::ops::correlate::{Correlate, LeftOut, Spec, Summation, Zeros};
use ferroconv_kernels::shape::Extent;
use numpy::{PyArrayDescr, PyArrayDescrMethods};
use pyo3::prelude::*;

/// Whose rules a call follows: names of borders, order of summation, zeros in the window, integers.
fn rules(name: &str) -> PyResult<(Api, Summation, Zeros, Finish)> {
    let finish = |rounding, overflow| Finish { rounding, overflow };
    Ok(match name {
        "saturate" => {
            (Api::Native, Summation::Any, Zeros::Taps, finish(Rounding::HalfEven, Overflow::Saturate))
        }
        "wrap" => (Api::Native, Summation::Any, Zeros::Taps, finish(Rounding::HalfEven, Overflow::Wrap)),
        "signal" => (Api::Signal, Summation::Any, Zeros::Taps, finish(Rounding::Truncate, Overflow::Wrap)),
        "ndimage" => (
            Api::Ndimage,
            Summation::TapOrder,
            Zeros::NothingAmongFew,
            finish(Rounding::Truncate, Overflow::Wrap),
        ),
        "ndimage-sum" => {
            (Api::Ndimage, Summation::TapOrder, Zeros::Taps, finish(Rounding::Truncate, Overflow::Wrap))
        }
        "ndimage-cross" => {
            (Api::Ndimage, Summation::TapOrder, Zeros::Nothing, finish(Rounding::Truncate, Overflow::Wrap))
        }
        "ndimage1d" => {
            (Api::Ndimage, Summation::Folded, Zeros::Taps, finish(Rounding::Truncate, Overflow::Wrap))
        }
        _ => {
            return Err(exception(
                Overflow::parse(name).map_or_else(|e| e, |_| unreachable!("parsed above")),
            ));
        }
    })
}

/// Correlates the two `axes` of `image` with `weights`: an array of two axes, or a list of pairs of
/// sequences whose outer products are to be summed; or a tuple of two such windows, for the magnitude of both sums.
///
/// `rule` is "saturate" or "wrap" (the native functions' overflow), or SciPy's borders, order of summation and
/// integers: "signal", "ndimage", "ndimage1d", for sums of the last one's passes "ndimage-sum", and "ndimage-cross",
/// by which zeros are no taps. `turn` reverses the weights, for convolution, and `conjugate` conjugates them. `dtype` is
/// the result's, None for the rule's own. `left_out` says which samples are left out, if any may be: a mask, or None, and
/// whether NaN.
#[pyfunction]
#[pyo3(signature = (image, weights, axes, rule, turn, conjugate, extent, border, cval, origin, stride, dilation, dtype, out, workers, left_out=None, /))]
#[expect(clippy::too_many_arguments, reason = "one door for every correlation; Python names the arguments")]
pub(crate) fn correlate<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    axes: [Integer; 2],
    rule: &str,
    turn: bool,
    conjugate: bool,
    extent: &str,
    border: &Bound<'py, PyAny>,
    cval: &Bound<'py, PyAny>,
    origin: [Integer; 2],
    stride: [Integer; 2],
    dilation: [Integer; 2],
    dtype: Option<&Bound<'py, PyArrayDescr>>,
    out: Option<&Bound<'py, PyAny>>,
    workers: Option<Integer>,
    left_out: Option<(Option<Bound<'py, PyAny>>, bool)>,
) -> PyResult<Bound<'py, PyAny>> {
    let workers = door::workers(workers)?;
    let [axes, origin, stride, dilation] = [axes, origin, stride, dilation].map(|pair| pair.map(|n| n.0));
    let image = Input::new(image)?;
    let axes = normalised(axes, image.shape())?;
    let (api, summation, zeros, finish) = rules(rule)?;
    let ((mut taps, magnitude), weights) = windows(weights)?;
    if turn {
        taps = taps.reversed();
    }
    if conjugate {
        taps = taps.conjugated();
    }
    let mut spec = Spec::new(image.dtype, axes.map(|a| image.shape()[a]), taps);
    spec.extent = Extent::parse(extent).map_err(exception)?;
    spec.border = borders(api, border)?;
    spec.cval = constant(cval)?;
    spec.origin = origin;
    spec.stride = stride.map(|n| usize::try_from(n).unwrap_or(0));
    spec.dilation = dilation.map(|n| usize::try_from(n).unwrap_or(0));
    spec.magnitude = magnitude;
    spec.zeros = zeros;
    let mut mask = None;
    if let Some((given, nan)) = left_out {
        mask = given.as_ref().map(Input::new).transpose()?;
        spec.left_out = Some(LeftOut { masked: mask.is_some(), nan });
    }
    spec.summation = summation;
    spec.finish = finish;
    if let Some(dtype) = dtype {
        spec.dst = dtype_of(dtype)?;
    }
    let dst = spec.dst;
    let descr = native(dtype).or_else(|| (dst == image.dtype).then(|| image.descr()));
    let plain = spec.stride[1] == 1 && spec.left_out.is_none();
    let problem = match image.interleaved(axes).filter(|_| plain) {
        Some(channels) => {
            let isa = Isa::best().map_err(exception)?;
            Correlate::of_pixels(Spec { channels, ..spec.clone() }, isa)
        }
        None => Correlate::kept(spec.clone()),
    };
    let problem = problem.map_err(exception)?;
    let mut shape = image.shape().to_vec();
    for (axis, n) in axes.into_iter().zip(problem.pixels()) {
        shape[axis] = n;
    }
    if let Some(mask) =
        mask.as_ref().filter(|mask| mask.dtype != DType::Bool || mask.shape() != image.shape())
    {
        return Err(InvalidArgument::new_err(format!(
            "a mask must be of bool and have the image's shape, {:?}. Received: {} of shape {:?}.",
            image.shape(),
            mask.dtype.name(),
            mask.shape()
        )));
    }
    let reads: Vec<_> = std::iter::once(&image).chain(&weights).chain(&mask).collect();
    let mut result = match out {
        Some(out) => Output::given(out, &shape, Some(dst), &reads)?,
        None => Output::new(py, &shape, dst, descr)?,
    };
    if problem.channels > 1 && result.interleaved(axes) == Some(problem.channels) {
        door::run(py, &*problem, &[image.samples(axes)?], &mut [result.samples(axes)?], workers)?;
        return Ok(result.into_any());
    }
    // The result that was given has its samples elsewhere.
    let problem = if problem.channels > 1 { Correlate::kept(spec).map_err(exception)? } else { problem };
    let mut srcs = vec![image.view(axes)?];
    if let Some(mask) = &mask {
        srcs.push(mask.view(axes)?);
    }
    door::run(py, &*problem, &srcs, &mut [result.view(axes)?], workers)?;
    Ok(result.into_any())
}

/// A dtype object, if it is of native byte order.
pub(crate) fn native<'py>(dtype: Option<&Bound<'py, PyArrayDescr>>) -> Option<Bound<'py, PyArrayDescr>> {
    dtype.filter(|descr| descr.is_native_byteorder() != Some(false)).cloned()
}

/// Axis numbers counted from the front.
fn normalised(axes: [isize; 2], shape: &[usize]) -> PyResult<[usize; 2]> {
    let n = shape.len() as isize;
    let refuse = || {
        InvalidArgument::new_err(format!(
            "axes must be two different axes of the image. Received: axes={axes:?} for an image of shape {shape:?}."
        ))
    };
    let count =
        |axis: isize| if (-n..n).contains(&axis) { Ok(axis.rem_euclid(n) as usize) } else { Err(refuse()) };
    let counted = [count(axes[0])?, count(axes[1])?];
    if counted[0] == counted[1] { Err(refuse()) } else { Ok(counted) }
}

/// One row of the border table: canonical name, picture, scipy.ndimage's names, scipy.signal's, and
/// the mode of numpy.pad.
type BorderRow = (&'static str, &'static str, Vec<&'static str>, Vec<&'static str>, &'static str);

/// The border modes, as a table.
#[pyfunction]
pub(crate) fn border_modes() -> Vec<BorderRow> {
    Border::ALL
        .iter()
        .map(|b| {
            let spec = b.spec();
            (spec.name, spec.picture, spec.ndimage.to_vec(), spec.signal.to_vec(), spec.numpy_pad)
        })
        .collect()
}
