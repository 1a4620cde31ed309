//! Arrays that are read.
#![expect(unsafe_code, reason = "hands NumPy's memory to the kernels' views")]

use super::layout::{channels_last, interleaved, line, moved, samples, stacked, walked};
use super::{data, dtype_of, numpy};
use crate::door::exception;
use ferroconv_kernels::dtype::DType;
use ferroconv_kernels::view::Src;
use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// An array that is read: aligned by element or not, of any strides, in native byte order.
pub(crate) struct Input<'py> {
    array: Bound<'py, PyUntypedArray>,
    pub(crate) dtype: DType,
}

impl<'py> Input<'py> {
    /// Takes whatever `numpy.asarray` takes.
    pub(crate) fn new(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        let array = match object.cast_exact::<PyUntypedArray>() {
            Ok(array) => array.clone(),
            Err(_) => {
                (numpy(object.py())?.call_method1("asarray", (object,))?).cast_into::<PyUntypedArray>()?
            }
        };
        let descr = array.dtype();
        if descr.is_native_byteorder() == Some(false) {
            let native = descr.call_method1("newbyteorder", ("=",))?;
            let array = array.call_method1("astype", (native,))?.cast_into::<PyUntypedArray>()?;
            let dtype = dtype_of(&array.dtype())?;
            return Ok(Self { array, dtype });
        }
        let dtype = dtype_of(&descr)?;
        Ok(Self { array, dtype })
    }

    pub(crate) fn shape(&self) -> &[usize] {
        self.array.shape()
    }

    /// The dtype object.
    pub(crate) fn descr(&self) -> Bound<'py, PyArrayDescr> {
        self.array.dtype()
    }

    /// The array with `axes` moved to the end.
    pub(crate) fn view(&self, axes: [usize; 2]) -> PyResult<Src<'_>> {
        let (shape, strides) = moved(&self.array, axes);
        // SAFETY: NumPy's own memory, shape and strides; `self` keeps the array alive, and, as
        // everywhere in NumPy, writing to it from another thread meanwhile is the caller's error.
        unsafe { Src::from_raw(data(&self.array), self.dtype, shape, strides) }.map_err(exception)
    }

    /// Channels side by side in each pixel of the image over these axes, if its rows are runs of pixels.
    pub(crate) fn interleaved(&self, axes: [usize; 2]) -> Option<usize> {
        interleaved(&self.array, axes)
    }

    /// Such an image, a row's samples as one axis.
    pub(crate) fn samples(&self, axes: [usize; 2]) -> PyResult<Src<'_>> {
        let (shape, strides) = samples(&self.array, axes);
        // SAFETY: as in `view`; samples of a row follow one upon the other (`interleaved`).
        unsafe { Src::from_raw(data(&self.array), self.dtype, shape, strides) }.map_err(exception)
    }

    /// A picture stack's axes `pictures, rows, columns, channels`; channels that come first are so
    /// many pictures more, of one channel each.
    pub(crate) fn pictures(&self, channels_first: bool) -> PyResult<Src<'_>> {
        let (shape, strides) = stacked(&self.array, channels_first);
        // SAFETY: as in `view`; the axis that is added has one position.
        unsafe { Src::from_raw(data(&self.array), self.dtype, shape, strides) }.map_err(exception)
    }

    /// Four axes in the order pictures, rows, columns, channels.
    pub(crate) fn images(&self, channels_first: bool) -> PyResult<Src<'_>> {
        let (shape, strides) = channels_last(&self.array, channels_first);
        // SAFETY: as in `view`.
        unsafe { Src::from_raw(data(&self.array), self.dtype, shape, strides) }.map_err(exception)
    }

    /// One axis, as the channels of one sample.
    pub(crate) fn line(&self) -> PyResult<Src<'_>> {
        let (shape, strides) = line(&self.array);
        // SAFETY: as in `view`; the axes that are added have one position.
        unsafe { Src::from_raw(data(&self.array), self.dtype, shape, strides) }.map_err(exception)
    }

    /// The array with `axes` moved to the end; None is an axis of one position.
    pub(crate) fn walked(&self, axes: [Option<usize>; 3]) -> PyResult<Src<'_>> {
        let (shape, strides) = walked(&self.array, axes);
        // SAFETY: as in `view`; the axes that are added have one position.
        unsafe { Src::from_raw(data(&self.array), self.dtype, shape, strides) }.map_err(exception)
    }

    /// The lowest and the highest address of the array's elements (end exclusive).
    fn extent(array: &Bound<'_, PyUntypedArray>) -> std::ops::Range<usize> {
        let start = data(array).addr();
        if array.shape().contains(&0) {
            return start..start;
        }
        let (mut least, mut most) = (start, start);
        for (&n, &stride) in array.shape().iter().zip(array.strides()) {
            let reach = (n as isize - 1) * stride;
            if reach < 0 {
                least = least.wrapping_add_signed(reach);
            } else {
                most = most.wrapping_add_signed(reach);
            }
        }
        least..most + array.dtype().itemsize()
    }

    /// Whether an element of `other` is also one of this array.
    pub(super) fn overlaps(&self, other: &Bound<'py, PyUntypedArray>) -> PyResult<bool> {
        let (a, b) = (Self::extent(&self.array), Self::extent(other));
        if a.start >= b.end || b.start >= a.end {
            return Ok(false);
        }
        numpy(other.py())?.call_method1("shares_memory", (&self.array, other))?.extract()
    }
}
