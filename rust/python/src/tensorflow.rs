//! The ops of `ferroconv.tensorflow`: their registration, and the sizes that graphs are told.

use crate::door::{Integer, InvalidArgument, exception};
use crate::pool::{padding, size};
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
    let (window, strides, dilation) = (window.map(size), strides.map(size), dilation.map(size));
    let padding = self::padding(padding)?;
    let mut sizes = [None; 2];
    for (i, n) in image.into_iter().enumerate() {
        // An image of no samples suits every window: whatever is refused is wrong for every image.
        let samples = n.as_ref().map_or(Ok(0), |n| usize::try_from(n.0)).map_err(|_| {
            InvalidArgument::new_err("an image axis must be at least 0. Received: a negative number.")
        })?;
        let axis = Axis::pooling(samples, window[i], strides[i], dilation[i], padding[i], ceil);
        let dst = axis.map_err(exception)?.dst;
        sizes[i] = n.is_some().then_some(dst);
    }
    Ok(sizes)
}
