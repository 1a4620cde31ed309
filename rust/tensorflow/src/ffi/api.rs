//! The functions of TensorFlow's C API that are used, found by name in the libraries that the process
//! has loaded. Signatures are those of `tf_status.h`, `tf_tensor.h`, `ops.h`, `kernels.h` and
//! `grappler.h`, the same from TensorFlow 2.12 to 2.21.

use super::callbacks::{Compute, Create, Delete, GiveBack, Infer};
use crate::op::{Code, Failure};
use libloading::Library;
use std::ffi::{c_char, c_int, c_uchar, c_void};
use std::sync::OnceLock;

macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[repr(C)]
        pub(super) struct $name {
            _private: [u8; 0],
        }
    )*};
}
opaque! {
    /// `TF_Status`.
    RawStatus;
    /// `TF_Tensor`.
    RawTensor;
    /// `TF_Buffer`; only its address is used.
    RawBuffer;
    /// `TF_FunctionLibraryDefinition`.
    RawLibrary;
    /// `TF_OpDefinitionBuilder`.
    RawDefinition;
    /// `TF_KernelBuilder`.
    RawKernel;
    /// `TF_OpKernelConstruction`.
    RawConstruction;
    /// `TF_OpKernelContext`.
    RawContext;
    /// `TF_ShapeInferenceContext`.
    RawShapes;
    /// `TF_ShapeHandle`.
    RawShape;
}

/// The library with the kernels' half of the API, and the one with the op registry's.
#[cfg(target_os = "macos")]
const LIBRARIES: [&str; 2] = ["@rpath/libtensorflow_framework.2.dylib", "@rpath/libtensorflow_cc.2.dylib"];
#[cfg(not(target_os = "macos"))]
const LIBRARIES: [&str; 2] = ["libtensorflow_framework.so.2", "libtensorflow_cc.so.2"];

macro_rules! symbols {
    ($($library:literal: $($field:ident = $symbol:ident($($argument:ty),*) $(-> $result:ty)?;)*)*) => {
        /// The functions, by the names that they have here.
        pub(super) struct Api {
            $($(pub(super) $field: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*)*
        }

        impl Api {
            fn look_up(libraries: &[Library; 2]) -> Result<Self, libloading::Error> {
                Ok(Self {
                    $($(
                        // SAFETY: the type is the C header's.
                        $field: *unsafe {
                            libraries[$library].get(concat!(stringify!($symbol), "\0").as_bytes())?
                        },
                    )*)*
                })
            }
        }
    };
}

symbols! {
    0:
    new_status = TF_NewStatus() -> *mut RawStatus;
    delete_status = TF_DeleteStatus(*mut RawStatus);
    set_status = TF_SetStatus(*mut RawStatus, c_int, *const c_char);
    get_code = TF_GetCode(*const RawStatus) -> c_int;
    message = TF_Message(*const RawStatus) -> *const c_char;

    new_tensor = TF_NewTensor(c_int, *const i64, c_int, *mut c_void, usize, GiveBack, *mut c_void) -> *mut RawTensor;
    delete_tensor = TF_DeleteTensor(*mut RawTensor);
    tensor_type = TF_TensorType(*const RawTensor) -> c_int;
    num_dims = TF_NumDims(*const RawTensor) -> c_int;
    dim = TF_Dim(*const RawTensor, c_int) -> i64;
    tensor_data = TF_TensorData(*const RawTensor) -> *mut c_void;

    new_definition = TF_NewOpDefinitionBuilder(*const c_char) -> *mut RawDefinition;
    add_attr = TF_OpDefinitionBuilderAddAttr(*mut RawDefinition, *const c_char);
    add_input = TF_OpDefinitionBuilderAddInput(*mut RawDefinition, *const c_char);
    add_output = TF_OpDefinitionBuilderAddOutput(*mut RawDefinition, *const c_char);
    set_shape_function = TF_OpDefinitionBuilderSetShapeInferenceFunction(*mut RawDefinition, Infer);
    register_definition = TF_RegisterOpDefinition(*mut RawDefinition, *mut RawStatus);

    new_shape = TF_NewShapeHandle() -> *mut RawShape;
    delete_shape = TF_DeleteShapeHandle(*mut RawShape);
    shape_input = TF_ShapeInferenceContextGetInput(*mut RawShapes, c_int, *mut RawShape, *mut RawStatus);
    shape_output = TF_ShapeInferenceContextSetOutput(*mut RawShapes, c_int, *mut RawShape, *mut RawStatus);
    shape_rank = TF_ShapeInferenceContextWithRank(*mut RawShapes, *mut RawShape, i64, *mut RawShape, *mut RawStatus);
    shape_part = TF_ShapeInferenceContextSubshape(*mut RawShapes, *mut RawShape, i64, i64, *mut RawShape, *mut RawStatus);
    shape_joined = TF_ShapeInferenceContextConcatenateShapes(*mut RawShapes, *mut RawShape, *mut RawShape, *mut RawShape, *mut RawStatus);

    new_kernel = TF_NewKernelBuilder(*const c_char, *const c_char, Option<Create>, Compute, Option<Delete>) -> *mut RawKernel;
    kernel_type = TF_KernelBuilder_TypeConstraint(*mut RawKernel, *const c_char, c_int, *mut RawStatus);
    register_kernel = TF_RegisterKernelBuilder(*const c_char, *mut RawKernel, *mut RawStatus);

    construction_failure = TF_OpKernelConstruction_Failure(*mut RawConstruction, *mut RawStatus);
    attr_size = TF_OpKernelConstruction_GetAttrSize(*mut RawConstruction, *const c_char, *mut i32, *mut i32, *mut RawStatus);
    attr_ints = TF_OpKernelConstruction_GetAttrInt64List(*mut RawConstruction, *const c_char, *mut i64, c_int, *mut RawStatus);
    attr_bool = TF_OpKernelConstruction_GetAttrBool(*mut RawConstruction, *const c_char, *mut c_uchar, *mut RawStatus);
    attr_int = TF_OpKernelConstruction_GetAttrInt64(*mut RawConstruction, *const c_char, *mut i64, *mut RawStatus);
    attr_string = TF_OpKernelConstruction_GetAttrString(*mut RawConstruction, *const c_char, *mut c_char, usize, *mut RawStatus);

    context_failure = TF_OpKernelContext_Failure(*mut RawContext, *mut RawStatus);
    num_inputs = TF_NumInputs(*mut RawContext) -> c_int;
    get_input = TF_GetInput(*mut RawContext, c_int, *mut *mut RawTensor, *mut RawStatus);
    set_output = TF_SetOutput(*mut RawContext, c_int, *const RawTensor, *mut RawStatus);
    allocate_output = TF_AllocateOutput(*mut RawContext, c_int, c_int, *const i64, c_int, usize, *mut RawStatus) -> *mut RawTensor;

    new_buffer = TF_NewBuffer() -> *mut RawBuffer;
    delete_buffer = TF_DeleteBuffer(*mut RawBuffer);

    1:
    new_library = TF_NewFunctionLibraryDefinition(*const RawBuffer, *mut RawStatus) -> *mut RawLibrary;
    delete_library = TF_DeleteFunctionLibraryDefinition(*mut RawLibrary);
    look_up_op = TF_LookUpOpDef(*mut RawLibrary, *const c_char, *mut RawBuffer, *mut RawStatus);
}

static API: OnceLock<Api> = OnceLock::new();

/// The functions. Only what TensorFlow has called, or [`find`] has made, may ask.
pub(super) fn api() -> &'static Api {
    API.get().expect("the API was found before anything could call it")
}

/// Finds the functions, unless that was done before.
///
/// # Errors
/// [`Failure`] if TensorFlow is not loaded, or lacks one.
pub(super) fn find() -> Result<&'static Api, Failure> {
    if let Some(api) = API.get() {
        return Ok(api);
    }
    let missing = |what: String| Failure {
        code: Code::NOT_FOUND,
        message: format!("TensorFlow's C kernel API: {what}"),
    };
    let [kernels, ops] = LIBRARIES.map(|name| {
        loaded(name)
            .map_err(|error| missing(format!("{name} is not loaded; import tensorflow first ({error})")))
    });
    let libraries = [kernels?, ops?];
    let found = Api::look_up(&libraries).map_err(|error| missing(error.to_string()))?;
    // They stay: TensorFlow is never unloaded.
    std::mem::forget(libraries);
    Ok(API.get_or_init(|| found))
}

/// A library that the process has loaded already.
#[cfg(unix)]
fn loaded(name: &str) -> Result<Library, libloading::Error> {
    #[cfg(target_os = "macos")]
    const NO_LOAD: c_int = 0x10;
    #[cfg(not(target_os = "macos"))]
    const NO_LOAD: c_int = 0x4;
    use libloading::os::unix;
    // SAFETY: nothing is loaded, so no initialiser runs.
    unsafe { unix::Library::open(Some(name), unix::RTLD_LAZY | NO_LOAD) }.map(Library::from)
}

#[cfg(windows)]
fn loaded(name: &str) -> Result<Library, libloading::Error> {
    libloading::os::windows::Library::open_already_loaded(name).map(Library::from)
}
