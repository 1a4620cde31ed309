//! The functions that TensorFlow calls: one of each kind for an op. Nothing unwinds out of them.

use super::api::{RawConstruction, RawContext, RawShape, RawShapes, RawStatus, api};
use super::context::{Attributes, Call};
use super::status::Status;
use crate::op::{Code, Failure, Op, Shape};
use ferroconv_kernels::alloc::results;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

pub(super) type Create = unsafe extern "C" fn(*mut RawConstruction) -> *mut c_void;
pub(super) type Compute = unsafe extern "C" fn(*mut c_void, *mut RawContext);
pub(super) type Delete = unsafe extern "C" fn(*mut c_void);
pub(super) type GiveBack = unsafe extern "C" fn(*mut c_void, usize, *mut c_void);
pub(super) type Infer = unsafe extern "C" fn(*mut RawShapes, *mut RawStatus);

/// Runs `body`; a panic is a failure too.
fn guard<R>(body: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = (panic.downcast_ref::<String>().map(String::as_str))
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        let message = format!("internal error in ferroconv, please report it: {text}");
        Err(Failure { code: Code::INTERNAL, message })
    })
}

/// Makes the plan of a node.
///
/// # Safety
/// TensorFlow calls it, by the contract of `TF_NewKernelBuilder`.
pub(super) unsafe extern "C" fn create<O: Op>(construction: *mut RawConstruction) -> *mut c_void {
    // SAFETY: we are inside the create function.
    let made = guard(|| O::plan(&unsafe { Attributes::from_raw(construction) }));
    match made {
        Ok(plan) => Box::into_raw(Box::new(plan)).cast(),
        Err(failure) => {
            // SAFETY: a live construction and a status.
            unsafe { (api().construction_failure)(construction, Status::of(&failure).raw()) };
            std::ptr::null_mut()
        }
    }
}

/// Takes back the memory of a tensor that we made.
///
/// # Safety
/// TensorFlow calls it once, by the contract of `TF_NewTensor`, with memory that came from [`results::take`] for
/// `bytes`, when its last holder has let it go.
pub(super) unsafe extern "C" fn give_back(data: *mut c_void, bytes: usize, _: *mut c_void) {
    if let Some(data) = NonNull::new(data.cast()) {
        // SAFETY: the caller's promise.
        unsafe { results::give(data, bytes) }
    }
}

/// Computes a node.
///
/// # Safety
/// TensorFlow calls it, by the contract of `TF_NewKernelBuilder`.
pub(super) unsafe extern "C" fn compute<O: Op>(plan: *mut c_void, context: *mut RawContext) {
    // SAFETY: what `create` gave, shared by the threads that compute the node; null if it failed.
    let plan = unsafe { plan.cast::<O>().as_ref() };
    let done = guard(|| {
        let plan = plan.ok_or_else(|| Failure::invalid("the node was refused when it was made"))?;
        // SAFETY: we are inside the compute function.
        plan.compute(&mut unsafe { Call::from_raw(context) })
    });
    if let Err(failure) = done {
        // SAFETY: a live context and a status.
        unsafe { (api().context_failure)(context, Status::of(&failure).raw()) };
    }
}

/// Drops the plan of a node.
///
/// # Safety
/// TensorFlow calls it, by the contract of `TF_NewKernelBuilder`.
pub(super) unsafe extern "C" fn delete<O: Op>(plan: *mut c_void) {
    if !plan.is_null() {
        // SAFETY: what `create` gave, used no more.
        let plan = unsafe { Box::from_raw(plan.cast::<O>()) };
        // A plan that panics when it is dropped has nobody to tell.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(plan)));
    }
}

/// Says what is known of the shapes of a node.
///
/// # Safety
/// TensorFlow calls it, by the contract of `TF_OpDefinitionBuilderSetShapeInferenceFunction`.
pub(super) unsafe extern "C" fn infer<O: Op>(shapes: *mut RawShapes, status: *mut RawStatus) {
    if let Err(failure) = guard(|| shape::<O>(&Inference(shapes))) {
        let failed = super::status::text(&failure.message);
        // SAFETY: TensorFlow's own status; the message is copied.
        unsafe { (api().set_status)(status, failure.code.0, failed.as_ptr()) };
    }
}

fn shape<O: Op>(shapes: &Inference) -> Result<(), Failure> {
    for (index, input) in (0..).zip(O::SIGNATURE.inputs) {
        if let Some(rank) = input.rank {
            shapes.input(index)?.with_rank(shapes, rank)?;
        }
    }
    for (index, output) in (0..).zip(O::SIGNATURE.outputs) {
        let known = match output.shape {
            Shape::Like(input) => shapes.input(input)?,
            Shape::Line => Handle::new().with_rank(shapes, 1)?,
            Shape::Pictures(input) => {
                let unknown = Handle::new().with_rank(shapes, 3)?;
                shapes.input(input)?.part(shapes, 0)?.joined(shapes, &unknown)?
            }
        };
        shapes.set_output(index, &known)?;
    }
    Ok(())
}

/// TensorFlow's view of a node's shapes, inside a shape function.
struct Inference(*mut RawShapes);

impl Inference {
    fn input(&self, index: i32) -> Result<Handle, Failure> {
        let (shape, status) = (Handle::new(), Status::new());
        // SAFETY: a live inference, shape and status.
        unsafe { (api().shape_input)(self.0, index, shape.0, status.raw()) };
        status.check().map(|()| shape)
    }

    fn set_output(&self, index: i32, shape: &Handle) -> Result<(), Failure> {
        let status = Status::new();
        // SAFETY: as above.
        unsafe { (api().shape_output)(self.0, index, shape.0, status.raw()) };
        status.check()
    }
}

/// A shape, known or not; a new one is wholly unknown.
struct Handle(*mut RawShape);

impl Handle {
    fn new() -> Self {
        // SAFETY: no precondition.
        Self(unsafe { (api().new_shape)() })
    }

    fn with_rank(&self, shapes: &Inference, rank: i64) -> Result<Self, Failure> {
        let (made, status) = (Self::new(), Status::new());
        // SAFETY: a live inference, shapes and status.
        unsafe { (api().shape_rank)(shapes.0, self.0, rank, made.0, status.raw()) };
        status.check().map(|()| made)
    }

    /// One axis.
    fn part(&self, shapes: &Inference, axis: i64) -> Result<Self, Failure> {
        let (made, status) = (Self::new(), Status::new());
        // SAFETY: as above.
        unsafe { (api().shape_part)(shapes.0, self.0, axis, axis + 1, made.0, status.raw()) };
        status.check().map(|()| made)
    }

    fn joined(&self, shapes: &Inference, other: &Self) -> Result<Self, Failure> {
        let (made, status) = (Self::new(), Status::new());
        // SAFETY: as above.
        unsafe { (api().shape_joined)(shapes.0, self.0, other.0, made.0, status.raw()) };
        status.check().map(|()| made)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        unsafe { (api().delete_shape)(self.0) };
    }
}
