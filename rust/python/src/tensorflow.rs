//! The ops of `ferroconv.tensorflow`: their registration, and the sizes that graphs are told.

use crate::door::{Integer, exception};
use crate::pool::{padding, size};
use ferroconv_kernels::Error;
use ferroconv_kernels::shape::Axis;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

/// An op: its name, inputs, outputs and attributes, as TensorFlow spells them.
type Op = (&'static str, Vec<&'static str>, Vec<&'static str>, Vec<&'static str>);

/// Registers the ops with the TensorFlow that this process has loaded, and lists them.
#[pyfunction]
pub(crate) fn register_tensorflow_ops(py: Python<'_>) -> PyResult<Vec<Op>> {
    let listed = py.detach(ferroconv_tensorflow::register);
    let listed = listed.map_err(|failure| PyImportError::new_err(failure.message))?;
    let op = |op: &ferroconv_tensorflow::op::Signature| {
        let inputs = op.inputs.iter().map(|input| input.spec).collect();
        let outputs = op.outputs.iter().map(|output| output.spec).collect();
        (op.name, inputs, outputs, op.attributes.to_vec())
    };
    Ok(listed.into_iter().map(op).collect())
}

/// What `rule` makes of the sizes that are known, axis by axis. Of those that aren't it is asked
/// too, as of 0, which suits every window: what is refused then is wrong for every image.
fn sizes(
    known: [Option<Integer>; 2],
    rule: impl Fn(usize, usize) -> Result<usize, Error>,
) -> PyResult<[Option<usize>; 2]> {
    let mut results = [None; 2];
    for (i, n) in known.into_iter().enumerate() {
        let made = rule(i, n.map_or(0, size)).map_err(exception)?;
        results[i] = n.map(|_| made);
    }
    Ok(results)
}

/// Rows and columns of a pooled image, None where the image's are.
#[pyfunction]
#[pyo3(signature = (image, window, strides, padding, dilation, ceil, /))]
pub(crate) fn pool2d_size(
    image: [Option<Integer>; 2],
    window: [Integer; 2],
    strides: [Integer; 2],
    padding: &Bound<'_, PyAny>,
    dilation: [Integer; 2],
    ceil: bool,
) -> PyResult<[Option<usize>; 2]> {
    let padding = self::padding(padding)?;
    sizes(image, |i, n| {
        let (window, stride, dilation) = (size(window[i]), size(strides[i]), size(dilation[i]));
        Axis::pooling(n, window, stride, dilation, padding[i], ceil).map(|axis| axis.dst)
    })
}

/// Rows and columns of a convolved image (with `extra`, which is `output_padding`, of the transposed
/// layer), None where the image's are or the filters' are.
#[pyfunction]
#[pyo3(signature = (image, taps, strides, padding, dilation, transposed, extra, /))]
pub(crate) fn conv2d_size(
    image: [Option<Integer>; 2],
    taps: [Option<Integer>; 2],
    strides: [Integer; 2],
    padding: &Bound<'_, PyAny>,
    dilation: [Integer; 2],
    transposed: bool,
    extra: Option<[Integer; 2]>,
) -> PyResult<[Option<usize>; 2]> {
    let padding = self::padding(padding)?;
    let known = [0, 1].map(|i| image[i].filter(|_| taps[i].is_some()));
    sizes(known, |i, n| {
        let (taps, stride, dilation) = (taps[i].map_or(1, size), size(strides[i]), size(dilation[i]));
        if transposed {
            let extra = extra.map(|extra| usize::try_from(extra[i].0).unwrap_or(usize::MAX));
            Axis::transposed(n, taps, stride, dilation, padding[i], extra).map(|axis| axis.src)
        } else {
            Axis::convolution(n, taps, stride, dilation, padding[i]).map(|axis| axis.dst)
        }
    })
}
