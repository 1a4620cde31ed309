//! NumPy arrays as the kernels' views, and back.
#![expect(unsafe_code, reason = "hands NumPy's memory to the kernels' views")]

use crate::door::{InvalidArgument, exception};
use ferroconv_kernels::dtype::DType;
use ferroconv_kernels::view::{Dst, Src};
use numpy::{PY_ARRAY_API, PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods, npyffi};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;

/// NumPy itself.
pub(crate) fn numpy(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static NUMPY: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    Ok(NUMPY.get_or_try_init(py, || py.import("numpy").map(Bound::unbind))?.bind(py))
}

/// Reads a NumPy dtype of native byte order.
pub(crate) fn dtype_of(descr: &Bound<'_, PyArrayDescr>) -> PyResult<DType> {
    // NumPy's type numbers; the C types' sizes are those of every 64-bit Unix.
    const LONG_BITS: u32 = std::ffi::c_long::BITS;
    Ok(match descr.num() {
        0 => DType::Bool,
        1 => DType::I8,
        2 => DType::U8,
        3 => DType::I16,
        4 => DType::U16,
        5 => DType::I32,
        6 => DType::U32,
        7 if LONG_BITS == 32 => DType::I32,
        8 if LONG_BITS == 32 => DType::U32,
        7 | 9 => DType::I64,
        8 | 10 => DType::U64,
        11 => DType::F32,
        12 => DType::F64,
        14 => DType::C64,
        15 => DType::C128,
        23 => DType::F16,
        // bfloat16 is a type that ml_dtypes registers: known by its name alone.
        _ => DType::parse(&descr.getattr("name")?.extract::<String>()?).map_err(exception)?,
    })
}

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
    fn overlaps(&self, other: &Bound<'py, PyUntypedArray>) -> PyResult<bool> {
        let (a, b) = (Self::extent(&self.array), Self::extent(other));
        if a.start >= b.end || b.start >= a.end {
            return Ok(false);
        }
        numpy(other.py())?.call_method1("shares_memory", (&self.array, other))?.extract()
    }
}

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
        // SAFETY: a valid shape and a dtype, whose reference the call takes over.
        let array = unsafe {
            let made = PY_ARRAY_API.PyArray_Empty(
                py,
                dims.len() as i32,
                dims.as_mut_ptr(),
                descr.into_dtype_ptr(),
                0,
            );
            Bound::from_owned_ptr_or_err(py, made)?
        };
        Ok(Self { array: array.cast_into::<PyUntypedArray>()?, dtype })
    }

    /// The array with `axes` moved to the end.
    pub(crate) fn view(&mut self, axes: [usize; 2]) -> PyResult<Dst<'_>> {
        let (shape, strides) = moved(&self.array, axes);
        // SAFETY: NumPy's own memory, shape and strides, writable (new, or checked by `given`);
        // `self` keeps the array alive.
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

    /// The array itself.
    pub(crate) fn into_any(self) -> Bound<'py, PyAny> {
        self.array.into_any()
    }
}

fn data(array: &Bound<'_, PyUntypedArray>) -> *const u8 {
    // SAFETY: reads a field of a live array.
    unsafe { (*array.as_array_ptr()).fields.data.cast::<u8>().cast_const() }
}

/// Shape and strides, with an axis of one channel added where channels come first.
fn stacked(array: &Bound<'_, PyUntypedArray>, channels_first: bool) -> (Vec<usize>, Vec<isize>) {
    let (mut shape, mut strides) = (array.shape().to_vec(), array.strides().to_vec());
    if channels_first {
        shape.push(1);
        strides.push(array.dtype().itemsize() as isize);
    }
    (shape, strides)
}

/// Shape and strides of four axes, the channels last.
fn channels_last(array: &Bound<'_, PyUntypedArray>, channels_first: bool) -> (Vec<usize>, Vec<isize>) {
    let order = if channels_first { [0, 2, 3, 1] } else { [0, 1, 2, 3] };
    (order.iter().map(|&a| array.shape()[a]).collect(), order.iter().map(|&a| array.strides()[a]).collect())
}

/// Shape and strides of an array of one axis, behind two axes of one position.
fn line(array: &Bound<'_, PyUntypedArray>) -> (Vec<usize>, Vec<isize>) {
    let size = array.dtype().itemsize() as isize;
    ([&[1, 1], array.shape()].concat(), [&[size, size], array.strides()].concat())
}

/// Shape and strides with `axes` moved to the end, in that order.
fn moved(array: &Bound<'_, PyUntypedArray>, axes: [usize; 2]) -> (Vec<usize>, Vec<isize>) {
    let rest = (0..array.ndim()).filter(|axis| !axes.contains(axis));
    let order: Vec<usize> = rest.chain(axes).collect();
    let (shape, strides) = (array.shape(), array.strides());
    (order.iter().map(|&a| shape[a]).collect(), order.iter().map(|&a| strides[a]).collect())
}
