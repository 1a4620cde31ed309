//! Large results in memory that is kept for the next one: an allocator for NumPy (NEP 49), in force
//! while one of our arrays is made. The array owns its data as any other does, and gives it back here.
#![expect(unsafe_code, reason = "an allocator in NumPy's C interface")]

use ferroconv_kernels::alloc::results::{self, LARGE};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCapsule, PyCapsuleMethods};
use std::ffi::{CStr, c_char, c_void};
use std::ptr::{NonNull, null_mut};

/// `PyDataMem_Handler` of numpy/ndarraytypes.h.
#[repr(C)]
struct Handler {
    name: [c_char; 127],
    version: u8,
    context: *mut c_void,
    malloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    calloc: unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void,
    realloc: unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void, *mut c_void, usize),
}

// SAFETY: constants; the context is null.
unsafe impl Sync for Handler {}

const CAPSULE: &CStr = c"mem_handler";

static HANDLER: Handler = Handler {
    name: {
        let mut name = [0; 127];
        let ascii = b"ferroconv";
        let mut i = 0;
        while i < ascii.len() {
            name[i] = ascii[i] as c_char;
            i += 1;
        }
        name
    },
    version: 1,
    context: null_mut(),
    malloc,
    calloc,
    realloc,
    free,
};

/// Bytes before a block's data in which its size stands: a cache line, so that data stays aligned.
/// (`realloc` is told the new size only.)
const HEAD: usize = 64;

unsafe extern "C" fn malloc(_: *mut c_void, size: usize) -> *mut c_void {
    let Some(block) = size.checked_add(HEAD).and_then(results::take) else { return null_mut() };
    // SAFETY: the block begins with HEAD bytes of its own, aligned to a huge page.
    unsafe {
        block.cast::<usize>().write(size);
        block.add(HEAD).as_ptr().cast()
    }
}

unsafe extern "C" fn calloc(context: *mut c_void, count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else { return null_mut() };
    // SAFETY: `bytes` of memory that was just made.
    unsafe {
        let data = malloc(context, bytes);
        if !data.is_null() {
            data.write_bytes(0, bytes);
        }
        data
    }
}

unsafe extern "C" fn realloc(context: *mut c_void, data: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: NumPy hands in what `malloc` gave it; both blocks hold the bytes that are copied.
    unsafe {
        let larger = malloc(context, size);
        if let Some(old) = NonNull::new(data.cast::<u8>())
            && !larger.is_null()
        {
            let before = old.sub(HEAD).cast::<usize>().read();
            larger.cast::<u8>().copy_from_nonoverlapping(old.as_ptr(), before.min(size));
            free(context, data, before);
        }
        larger
    }
}

unsafe extern "C" fn free(_: *mut c_void, data: *mut c_void, _: usize) {
    let Some(data) = NonNull::new(data.cast::<u8>()) else { return };
    // SAFETY: NumPy hands in what `malloc` gave it, once.
    unsafe {
        let block = data.sub(HEAD);
        let size = block.cast::<usize>().read();
        results::give(block, size + HEAD);
    }
}

/// `PyDataMem_SetHandler`: makes a handler the one of new arrays, and gives back the one before.
type SetHandler = unsafe extern "C" fn(*mut pyo3::ffi::PyObject) -> *mut pyo3::ffi::PyObject;

/// The function's place in NumPy's table, from NumPy 1.22 on.
const SET_HANDLER: usize = 304;

/// NumPy's function, and our handler as it takes it.
fn interface(py: Python<'_>) -> PyResult<&(SetHandler, Py<PyCapsule>)> {
    static INTERFACE: PyOnceLock<(SetHandler, Py<PyCapsule>)> = PyOnceLock::new();
    INTERFACE.get_or_try_init(py, || {
        let numpy = super::numpy(py)?;
        let core = numpy.getattr("_core").or_else(|_| numpy.getattr("core"))?;
        let table = core.getattr("_multiarray_umath")?.getattr("_ARRAY_API")?.cast_into::<PyCapsule>()?;
        let table = table.pointer_checked(None)?.cast::<*const c_void>();
        // SAFETY: NumPy's table of functions, of which this is one with that signature (1.22 and later;
        // pyproject.toml asks for a later one); the handler's capsule refers to a static.
        unsafe {
            let set = std::mem::transmute::<*const c_void, SetHandler>(table.add(SET_HANDLER).read());
            let handler =
                pyo3::ffi::PyCapsule_New((&raw const HANDLER).cast_mut().cast(), CAPSULE.as_ptr(), None);
            let handler = Bound::from_owned_ptr_or_err(py, handler)?.cast_into::<PyCapsule>()?;
            Ok((set, handler.unbind()))
        }
    })
}

/// Makes an array of so many bytes by `make`, in memory that is kept if it is large.
pub(super) fn kept<'py, T>(py: Python<'py>, bytes: usize, make: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    if bytes < LARGE {
        return make();
    }
    let (set, handler) = interface(py)?;
    // SAFETY: a handler's capsule; what comes back is a reference to the one before, or an error.
    let before = unsafe { Bound::from_owned_ptr_or_err(py, set(handler.as_ptr()))? };
    let made = make();
    // SAFETY: as above, the other way round.
    unsafe { Bound::from_owned_ptr_or_err(py, set(before.as_ptr()))? };
    made
}
