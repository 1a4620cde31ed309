//! The kernels as TensorFlow ops.
//!
//! TensorFlow's C kernel API is looked up in the process that has loaded TensorFlow ([`register`]);
//! nothing is linked, and until someone asks, nothing happens. An op is a description and three
//! functions ([`op::Op`]); `ffi` turns them into what TensorFlow calls.

mod convolution;
mod ffi;
mod geometry;
mod layer;
pub mod op;
mod pooling;
mod transposed;

use op::Failure;
use std::sync::{Mutex, PoisonError};

/// An op as its description has it: name, inputs, outputs, attributes.
pub type Listed = &'static op::Signature;

/// Registers the ops with TensorFlow, those that it doesn't know yet, and gives back the list of all.
///
/// # Errors
/// [`Failure`] if TensorFlow is not loaded, or refuses an op.
pub fn register() -> Result<Vec<Listed>, Failure> {
    // Between the look at a name and its registration nobody else may register it.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut registry = ffi::Registry::open()?;
    let mut listed = Vec::new();
    convolution::register(&mut registry, &mut listed)?;
    transposed::register(&mut registry, &mut listed)?;
    pooling::register(&mut registry, &mut listed)?;
    Ok(listed)
}
