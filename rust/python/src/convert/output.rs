//! Arrays that are written.
#![expect(unsafe_code, reason = "hands NumPy's memory to the kernels' views")]

use super::layout::{channels_last, interleaved, line, moved, samples, stacked, walked};
use super::{Input, data, dtype_of, memory};
use crate::door::{InvalidArgument, exception};
use ferroconv_kernels::dtype::DType;
use ferroconv_kernels::view::Dst;
use numpy::{PY_ARRAY_API, PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods, npyffi};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// An array that is written.
pub(crate) struct Output<'py> {
    array: Bound<'py, PyUntypedArray>,
    pub(crate) dtype: DType,
}

impl<'py> Output<'py> {
    /// `out=`, checked against what will be written: shape, dtype (of native byte order), writable,
    /// apart from the inputs.
    pub(crate) fn given(
        out: &Bound<'py, PyAny>,
        shape: &[usize],
        dtype: Option<DType>,
        inputs: &[&Input<'py>],
    ) -> PyResult<Self> {
        let array = out.cast::<PyUntypedArray>().map_err(|_| {
            PyTypeError::new_err(format!(
                "out= must be a NumPy array. Received: {}.",
                out.get_type().name().map_or_else(|_| "?".into(), |name| name.to_string())
            ))
        })?;
        let found = dtype_of(&array.dtype())?;
        let refuse = |rule: String| Err(InvalidArgument::new_err(rule));
        if array.dtype().is_native_byteorder() == Some(false) {
            return refuse("out= must have native byte order. Received: a byte-swapped array.".into());
        }
        if let Some(dtype) = dtype.filter(|&d| d != found) {
            return refuse(format!(
                "out= must have the result's dtype, {}. Received: {}.",
                dtype.name(),
                found.name()
            ));
        }
        if array.shape() != shape {
            return refuse(format!(
                "out= must have the result's shape, {shape:?}. Received: {:?}.",
                array.shape()
            ));
        }
        // SAFETY: reads the flags of a live array.
        if unsafe { (*array.as_array_ptr()).fields.flags } & npyffi::NPY_ARRAY_WRITEABLE == 0 {
            return refuse("out= must be writable. Received: a read-only array.".into());
        }
        for input in inputs {
            if input.overlaps(array)? {
                return refuse(
                    "out= must not share memory with an input, which is still being read while it is \
                     written. Received: overlapping arrays; pass a copy of one of them."
                        .into(),
                );
            }
        }
        Ok(Self { array: array.clone(), dtype: found })
    }

    /// `out=` if it is given, else a new array: of a shape, and of the dtype of `like`.
    pub(crate) fn wanted(
        py: Python<'py>,
        out: Option<&Bound<'py, PyAny>>,
        shape: &[usize],
        like: &Input<'py>,
        inputs: &[&Input<'py>],
    ) -> PyResult<Self> {
        match out {
            Some(out) => Self::given(out, shape, Some(like.dtype), inputs),
            None => Self::new(py, shape, like.dtype, Some(like.descr())),
        }
    }

    /// A new C-ordered array, its elements not yet set.
    pub(crate) fn new(
        py: Python<'py>,
        shape: &[usize],
        dtype: DType,
        descr: Option<Bound<'py, PyArrayDescr>>,
    ) -> PyResult<Self> {
        let descr = match descr {
            Some(descr) => descr,
            None => PyArrayDescr::new(py, dtype.name())?,
        };
        let bytes = shape.iter().try_fold(dtype.size(), |bytes, &n| bytes.checked_mul(n.max(1)));
        if bytes.is_none_or(|bytes| bytes > isize::MAX as usize) {
            return Err(InvalidArgument::new_err(format!(
                "the result would be larger than memory can be. Received: shape {shape:?}."
            )));
        }
        let mut dims: Vec<npyffi::npy_intp> = shape.iter().map(|&n| n as npyffi::npy_intp).collect();
        let array = memory::kept(py, bytes.unwrap_or(0), || {
            // SAFETY: a valid shape and a dtype, whose reference the call takes over.
            unsafe {
                let rank = dims.len() as i32;
                let made = PY_ARRAY_API.PyArray_Empty(py, rank, dims.as_mut_ptr(), descr.into_dtype_ptr(), 0);
                Bound::from_owned_ptr_or_err(py, made)
            }
        })?;
        Ok(Self { array: array.cast_into::<PyUntypedArray>()?, dtype })
    }

    /// The array with `axes` moved to the end.
    pub(crate) fn view(&mut self, axes: [usize; 2]) -> PyResult<Dst<'_>> {
        let (shape, strides) = moved(&self.array, axes);
        // SAFETY: NumPy's own memory, shape and strides, writable (new, or checked by `given`);
        // `self` keeps the array alive.
        unsafe { Dst::from_raw(data(&self.array).cast_mut(), self.dtype, shape, strides) }.map_err(exception)
    }

    /// As [`Input::interleaved`].
    pub(crate) fn interleaved(&self, axes: [usize; 2]) -> Option<usize> {
        interleaved(&self.array, axes)
    }

    /// As [`Input::samples`].
    pub(crate) fn samples(&mut self, axes: [usize; 2]) -> PyResult<Dst<'_>> {
        let (shape, strides) = samples(&self.array, axes);
        // SAFETY: as in `view`; samples of a row follow one upon the other (`interleaved`).
        unsafe { Dst::from_raw(data(&self.array).cast_mut(), self.dtype, shape, strides) }.map_err(exception)
    }

    /// As [`Input::pictures`].
    pub(crate) fn pictures(&mut self, channels_first: bool) -> PyResult<Dst<'_>> {
        let (shape, strides) = stacked(&self.array, channels_first);
        // SAFETY: as in `view`; the axis that is added has one position.
        unsafe { Dst::from_raw(data(&self.array).cast_mut(), self.dtype, shape, strides) }.map_err(exception)
    }

    /// As [`Input::images`].
    pub(crate) fn images(&mut self, channels_first: bool) -> PyResult<Dst<'_>> {
        let (shape, strides) = channels_last(&self.array, channels_first);
        // SAFETY: as in `view`.
        unsafe { Dst::from_raw(data(&self.array).cast_mut(), self.dtype, shape, strides) }.map_err(exception)
    }

    /// As [`Input::line`].
    pub(crate) fn line(&mut self) -> PyResult<Dst<'_>> {
        let (shape, strides) = line(&self.array);
        // SAFETY: as in `view`; the axes that are added have one position.
        unsafe { Dst::from_raw(data(&self.array).cast_mut(), self.dtype, shape, strides) }.map_err(exception)
    }

    /// As [`Input::walked`].
    pub(crate) fn walked(&mut self, axes: [Option<usize>; 3]) -> PyResult<Dst<'_>> {
        let (shape, strides) = walked(&self.array, axes);
        // SAFETY: as in `view`; the axes that are added have one position.
        unsafe { Dst::from_raw(data(&self.array).cast_mut(), self.dtype, shape, strides) }.map_err(exception)
    }

    /// The array itself.
    pub(crate) fn into_any(self) -> Bound<'py, PyAny> {
        self.array.into_any()
    }
}
