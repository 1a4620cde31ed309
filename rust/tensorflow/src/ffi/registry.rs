//! Registration: a description becomes an op definition, a shape function and a kernel for each dtype.

use super::api::{self, Api, RawBuffer, RawLibrary};
use super::callbacks::{compute, create, delete, infer};
use super::status::{Status, text};
use super::tensor::DTYPES;
use crate::op::{Code, Failure, Op, Signature, TYPES};

/// TensorFlow's registry of ops.
pub(crate) struct Registry {
    api: &'static Api,
    buffer: *mut RawBuffer,
    library: *mut RawLibrary,
}

impl Registry {
    /// Finds TensorFlow.
    ///
    /// # Errors
    /// [`Failure`] if it is not loaded, or lacks a function.
    pub(crate) fn open() -> Result<Self, Failure> {
        let api = api::find()?;
        let status = Status::new();
        // SAFETY: an empty buffer is an empty library of functions, over the registry of all ops.
        let (buffer, library) = unsafe {
            let buffer = (api.new_buffer)();
            (buffer, (api.new_library)(buffer, status.raw()))
        };
        let registry = Self { api, buffer, library };
        status.check().map(|()| registry)
    }

    /// Whether an op of this name exists.
    fn knows(&self, name: &str) -> Result<bool, Failure> {
        let (name, status) = (text(name), Status::new());
        // SAFETY: a live library, a C string, a buffer that is filled and dropped.
        unsafe {
            let definition = (self.api.new_buffer)();
            (self.api.look_up_op)(self.library, name.as_ptr(), definition, status.raw());
            (self.api.delete_buffer)(definition);
        }
        if status.code() == Code::NOT_FOUND { Ok(false) } else { status.check().map(|()| true) }
    }

    /// Registers an op, unless there is one of its name: to register a name twice ends the process,
    /// and the other is a copy of this one.
    ///
    /// # Errors
    /// [`Failure`] if TensorFlow refuses it.
    pub(crate) fn register<O: Op>(&mut self) -> Result<&'static Signature, Failure> {
        if !self.knows(O::SIGNATURE.name)? {
            self.define::<O>()?;
            for (dtype, number) in DTYPES {
                self.kernel::<O>(dtype.name(), number)?;
            }
        }
        Ok(&O::SIGNATURE)
    }

    fn define<O: Op>(&self) -> Result<(), Failure> {
        let (signature, status) = (O::SIGNATURE, Status::new());
        let name = text(signature.name);
        // SAFETY: C strings, which are copied; registration takes the builder over.
        unsafe {
            let builder = (self.api.new_definition)(name.as_ptr());
            for attribute in [TYPES].iter().chain(signature.attributes) {
                (self.api.add_attr)(builder, text(attribute).as_ptr());
            }
            for input in signature.inputs {
                (self.api.add_input)(builder, text(input.spec).as_ptr());
            }
            for output in signature.outputs {
                (self.api.add_output)(builder, text(output.spec).as_ptr());
            }
            (self.api.set_shape_function)(builder, infer::<O>);
            (self.api.register_definition)(builder, status.raw());
        }
        status.check()
    }

    fn kernel<O: Op>(&self, dtype: &str, number: i32) -> Result<(), Failure> {
        let status = Status::new();
        let name = text(O::SIGNATURE.name);
        // SAFETY: C strings, which are copied; registration takes the builder over.
        unsafe {
            let (create, delete) = (Some(create::<O> as _), Some(delete::<O> as _));
            let builder = (self.api.new_kernel)(name.as_ptr(), c"CPU".as_ptr(), create, compute::<O>, delete);
            (self.api.kernel_type)(builder, c"T".as_ptr(), number, status.raw());
            status.check()?;
            let label = text(&format!("{}/{dtype}", O::SIGNATURE.name));
            (self.api.register_kernel)(label.as_ptr(), builder, status.raw());
        }
        status.check()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        unsafe {
            if !self.library.is_null() {
                (self.api.delete_library)(self.library);
            }
            (self.api.delete_buffer)(self.buffer);
        }
    }
}
