//! NumPy arrays as the kernels' views, and back.
#![expect(unsafe_code, reason = "hands NumPy's memory to the kernels' views")]

mod input;
mod layout;
mod memory;
mod output;

pub(crate) use input::Input;
pub(crate) use output::Output;

use crate::door::exception;
use ferroconv_kernels::dtype::DType;
use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
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

/// Where the first element stands.
fn data(array: &Bound<'_, PyUntypedArray>) -> *const u8 {
    // SAFETY: reads a field of a live array.
    unsafe { (*array.as_array_ptr()).fields.data.cast::<u8>().cast_const() }
}
