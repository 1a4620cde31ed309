//! The orders of axes in which the kernels see an array: shape and strides, never a copy.

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::Bound;

/// Shape and strides, with an axis of one channel added where channels come first.
pub(super) fn stacked(array: &Bound<'_, PyUntypedArray>, channels_first: bool) -> (Vec<usize>, Vec<isize>) {
    let (mut shape, mut strides) = (array.shape().to_vec(), array.strides().to_vec());
    if channels_first {
        shape.push(1);
        strides.push(array.dtype().itemsize() as isize);
    }
    (shape, strides)
}

/// Shape and strides of four axes, the channels last.
pub(super) fn channels_last(
    array: &Bound<'_, PyUntypedArray>,
    channels_first: bool,
) -> (Vec<usize>, Vec<isize>) {
    let order = if channels_first { [0, 2, 3, 1] } else { [0, 1, 2, 3] };
    (order.iter().map(|&a| array.shape()[a]).collect(), order.iter().map(|&a| array.strides()[a]).collect())
}

/// Shape and strides of an array of one axis, behind two axes of one position.
pub(super) fn line(array: &Bound<'_, PyUntypedArray>) -> (Vec<usize>, Vec<isize>) {
    let size = array.dtype().itemsize() as isize;
    ([&[1, 1], array.shape()].concat(), [&[size, size], array.strides()].concat())
}

/// Channels side by side behind rows and columns, if rows are runs of such pixels.
pub(super) fn interleaved(array: &Bound<'_, PyUntypedArray>, [rows, cols]: [usize; 2]) -> Option<usize> {
    let (shape, strides, size) = (array.shape(), array.strides(), array.dtype().itemsize() as isize);
    let last = array.ndim() - 1;
    let run = rows < cols
        && cols + 1 == last
        && shape[last] > 1
        && strides[last] == size
        && strides[cols] == size * shape[last] as isize;
    run.then(|| shape[last])
}

/// Shape and strides with rows moved to the end, and all samples of a row as one axis.
pub(super) fn samples(
    array: &Bound<'_, PyUntypedArray>,
    [rows, cols]: [usize; 2],
) -> (Vec<usize>, Vec<isize>) {
    let rest = (0..array.ndim() - 1).filter(|axis| ![rows, cols].contains(axis));
    let order: Vec<usize> = rest.chain([rows]).collect();
    let (shape, strides, last) = (array.shape(), array.strides(), array.ndim() - 1);
    (
        order.iter().map(|&a| shape[a]).chain([shape[cols] * shape[last]]).collect(),
        order.iter().map(|&a| strides[a]).chain([strides[last]]).collect(),
    )
}

/// Shape and strides with `axes` moved to the end, in that order.
pub(super) fn moved(array: &Bound<'_, PyUntypedArray>, axes: [usize; 2]) -> (Vec<usize>, Vec<isize>) {
    let rest = (0..array.ndim()).filter(|axis| !axes.contains(axis));
    let order: Vec<usize> = rest.chain(axes).collect();
    let (shape, strides) = (array.shape(), array.strides());
    (order.iter().map(|&a| shape[a]).collect(), order.iter().map(|&a| strides[a]).collect())
}

/// Shape and strides with `axes` moved to the end, in that order; None is an axis of one position.
pub(super) fn walked(
    array: &Bound<'_, PyUntypedArray>,
    axes: [Option<usize>; 3],
) -> (Vec<usize>, Vec<isize>) {
    let rest = (0..array.ndim()).filter(|&axis| !axes.contains(&Some(axis))).map(Some);
    let order: Vec<Option<usize>> = rest.chain(axes).collect();
    let (shape, strides) = (array.shape(), array.strides());
    let size = array.dtype().itemsize() as isize;
    (
        order.iter().map(|a| a.map_or(1, |a| shape[a])).collect(),
        order.iter().map(|a| a.map_or(size, |a| strides[a])).collect(),
    )
}
