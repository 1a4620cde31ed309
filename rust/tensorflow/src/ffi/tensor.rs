//! Tensors as the kernels' views: their own memory, whatever its alignment.

use super::api::{RawTensor, api};
use crate::op::Failure;
use ferroconv_kernels::dtype::DType;
use ferroconv_kernels::view::{Dims, Dst, Src};
use std::ffi::c_int;

/// The dtypes that ops are registered for, with TensorFlow's numbers.
pub(super) const DTYPES: [(DType, c_int); 4] =
    [(DType::F16, 19), (DType::Bf16, 14), (DType::F32, 1), (DType::F64, 2)];
/// That of positions.
const INT64: c_int = 9;

/// TensorFlow's number of a dtype.
pub(super) fn number(dtype: DType) -> c_int {
    DTYPES.iter().find(|&&(d, _)| d == dtype).map_or(INT64, |&(_, number)| number)
}

/// A tensor: an input, which nobody writes to, or an output, which is ours alone.
pub(crate) struct Tensor {
    raw: *mut RawTensor,
    shape: Dims<usize>,
    dtype: DType,
}

// SAFETY: a handle that no thread writes by; TensorFlow counts the memory's holders atomically.
unsafe impl Send for Tensor {}
// SAFETY: likewise; to read it changes nothing.
unsafe impl Sync for Tensor {}

impl Tensor {
    /// # Safety
    /// `raw` is a live tensor of one of our dtypes or int64, whose handle becomes this value's.
    pub(super) unsafe fn from_raw(raw: *mut RawTensor) -> Self {
        // SAFETY: a live tensor.
        let (rank, number) = unsafe { ((api().num_dims)(raw), (api().tensor_type)(raw)) };
        // SAFETY: a live tensor with this axis.
        let shape = (0..rank).map(|axis| unsafe { (api().dim)(raw, axis) } as usize).collect();
        let dtype = DTYPES.iter().find(|&&(_, n)| n == number).map_or(DType::I64, |&(d, _)| d);
        Self { raw, shape, dtype }
    }

    /// The handle, which stays this value's.
    pub(super) fn raw(&self) -> *const RawTensor {
        self.raw
    }

    /// The shape.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The dtype.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    /// The shape, which must have `N` axes.
    pub(crate) fn axes<const N: usize>(&self, name: &str, axes: &str) -> Result<[usize; N], Failure> {
        <[usize; N]>::try_from(self.shape()).map_err(|_| {
            let received = self.shape();
            Failure::invalid(format!("{name} must have {N} axes: {axes}. Received: shape {received:?}."))
        })
    }

    /// Whether this is the same memory as another's, seen alike.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.data() == other.data() && self.dtype == other.dtype && self.shape() == other.shape()
    }

    fn data(&self) -> *mut u8 {
        // SAFETY: a live tensor. The address may be null, if the tensor is empty.
        unsafe { (api().tensor_data)(self.raw) }.cast()
    }

    /// Strides of the tensor seen as a C-ordered array of `shape`, and both with the axes in `order`.
    ///
    /// # Panics
    /// If it has another number of elements, or `order` is no order of the axes.
    fn layout<const N: usize>(&self, shape: [usize; N], order: [usize; N]) -> ([usize; N], [isize; N]) {
        let size = |shape: &[usize]| shape.iter().map(|&n| n as u128).product::<u128>();
        assert!(
            shape[..] == *self.shape || size(&shape) == size(&self.shape),
            "as many elements as the tensor has"
        );
        assert!((0..N).all(|axis| order.contains(&axis)), "every axis once");
        let mut strides = [0; N];
        let mut step = self.dtype.size();
        for axis in (0..N).rev() {
            strides[axis] = step as isize;
            step = step.saturating_mul(shape[axis].max(1));
        }
        (order.map(|axis| shape[axis]), order.map(|axis| strides[axis]))
    }

    /// The elements as an array of `shape` that is read, its axes in `order`.
    pub(crate) fn src<const N: usize>(
        &self,
        shape: [usize; N],
        order: [usize; N],
    ) -> Result<Src<'_>, Failure> {
        let (shape, strides) = self.layout(shape, order);
        // SAFETY: the tensor's own memory, all of it and no more (`layout`); `self` keeps it, and
        // TensorFlow lets nobody write to an op's input while the op runs.
        Ok(unsafe { Src::from_raw(self.data(), self.dtype, shape, strides) }?)
    }

    /// The elements as an array of `shape` that is written, its axes in `order`.
    pub(crate) fn dst<const N: usize>(
        &mut self,
        shape: [usize; N],
        order: [usize; N],
    ) -> Result<Dst<'_>, Failure> {
        let (shape, strides) = self.layout(shape, order);
        // SAFETY: the memory of an output, all of it and no more (`layout`), which no other op has seen yet; `self` is
        // borrowed exclusively.
        Ok(unsafe { Dst::from_raw(self.data(), self.dtype, shape, strides) }?)
    }
}

impl Drop for Tensor {
    fn drop(&mut self) {
        // SAFETY: our handle, not used again; the memory is counted by TensorFlow.
        unsafe { (api().delete_tensor)(self.raw) };
    }
}
