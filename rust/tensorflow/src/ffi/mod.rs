//! TensorFlow's C API as safe values: the only place that calls it or is called by it.
#![expect(unsafe_code, reason = "calls C functions that were found at run time, and is called by them")]

mod api;
mod callbacks;
mod context;
mod registry;
mod status;
mod tensor;

pub(crate) use context::{Attributes, Call};
pub(crate) use registry::Registry;
pub(crate) use tensor::Tensor;
