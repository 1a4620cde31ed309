//! Pooling, behind `ferroconv.nn`.

use crate::convert::{Input, Output};
use crate::door::{self, Integer, InvalidArgument, exception};
use ferroconv_kernels::ops::pool::{Pool, Reduction, Windows};
use ferroconv_kernels::shape::Padding;
use pyo3::prelude::*;

/// `padding=`: "valid", "same", or samples before and after on each axis.
#[derive(FromPyObject)]
pub(crate) enum Padded {
    Named(String),
    Explicit([[isize; 2]; 2]),
}

impl Padded {
    fn axis(&self, axis: usize) -> PyResult<Padding> {
        match self {
            Self::Named(name) if name == "valid" => Ok(Padding::Valid),
            Self::Named(name) if name == "same" => Ok(Padding::Same),
            Self::Explicit(sides) => match sides[axis].map(usize::try_from) {
                [Ok(before), Ok(after)] => Ok(Padding::Explicit(before, after)),
                _ => Err(InvalidArgument::new_err(format!(
                    "padding must not be negative. Received: {sides:?}."
                ))),
            },
            Self::Named(name) => Err(InvalidArgument::new_err(format!(
                "padding must be 'valid', 'same' or ((top, bottom), (left, right)). Received: {name:?}."
            ))),
        }
    }
}

/// `(pool_size, strides, dilation, padding, ceil_mode)`.
type Strided = ([Integer; 2], [Integer; 2], [Integer; 2], Padded, bool);

/// Reads the reduction's name.
fn reduction(name: &str, include_padding: bool, divisor: Option<Integer>) -> PyResult<Reduction> {
    let divisor = divisor.map(|n| usize::try_from(n.0).ok().filter(|&n| n > 0)).map(|n| {
        n.ok_or_else(|| {
            InvalidArgument::new_err("divisor_override must be at least 1, or None. Received: less.")
        })
    });
    Ok(match name {
        "max" => Reduction::Max,
        "index" => Reduction::MaxIndex,
        _ => Reduction::Mean { include_padding, divisor: divisor.transpose()? },
    })
}

/// Pools windows of four-dimensional `x`: "max", "index" (of the maximum) or "mean".
///
/// `windows` is `(pool_size, strides, dilation, padding, ceil_mode)`, or the output size of adaptive
/// windows.
#[pyfunction]
#[pyo3(signature = (x, name, windows, output_size, channels_last, include_padding, divisor, out, workers, /))]
#[expect(clippy::too_many_arguments, reason = "one door for every pooling; Python names the arguments")]
pub(crate) fn pool<'py>(
    py: Python<'py>,
    x: &Bound<'py, PyAny>,
    name: &str,
    windows: Option<Strided>,
    output_size: [Integer; 2],
    channels_last: bool,
    include_padding: bool,
    divisor: Option<Integer>,
    out: Option<&Bound<'py, PyAny>>,
    workers: Option<Integer>,
) -> PyResult<Bound<'py, PyAny>> {
    let workers = door::workers(workers)?;
    let x = Input::new(x)?;
    let &[n, a, b, c] = x.shape() else {
        return Err(InvalidArgument::new_err(format!(
            "x must have four axes: images, then rows, columns and channels in the order of data_format. \
             Received: shape {:?}.",
            x.shape()
        )));
    };
    let (image, channels) = if channels_last { ([a, b], c) } else { ([b, c], a) };
    let size = |n: &Integer| usize::try_from(n.0).unwrap_or(0);
    let axis = |i: usize| -> PyResult<Windows> {
        Ok(match &windows {
            None => Windows::Adaptive(size(&output_size[i])),
            Some((taps, stride, dilation, padding, ceil)) => Windows::Strided {
                taps: size(&taps[i]),
                stride: size(&stride[i]),
                dilation: size(&dilation[i]),
                padding: padding.axis(i)?,
                ceil: *ceil,
            },
        })
    };
    let reduction = reduction(name, include_padding, divisor)?;
    let problem =
        |group| Pool::new(reduction, x.dtype, image, group, [axis(0)?, axis(1)?]).map_err(exception);
    let plain = problem(1)?;
    let [oh, ow] = plain.output();
    let shape = if channels_last { [n, oh, ow, channels] } else { [n, channels, oh, ow] };
    let mut result = match out {
        Some(out) => Output::given(out, &shape, Some(plain.dst()), &[&x])?,
        None => Output::new(py, &shape, plain.dst(), (plain.dst() == x.dtype).then(|| x.descr()))?,
    };
    if channels_last && x.pixels_adjoin() && result.pixels_adjoin() {
        // The channels of a row's pixels are one long row.
        door::run(py, &problem(channels)?, &x.wide_rows()?, &mut result.wide_rows()?, workers)?;
    } else {
        let axes = if channels_last { [1, 2] } else { [2, 3] };
        door::run(py, &plain, &x.view(axes)?, &mut result.view(axes)?, workers)?;
    }
    Ok(result.into_any())
}
