//! What TensorFlow hands to an op: its attributes once, its inputs at each call.

use super::api::{RawConstruction, RawContext, api};
use super::callbacks::give_back;
use super::status::{Status, text};
use super::tensor::{Tensor, number};
use crate::op::Failure;
use ferroconv_kernels::alloc::results::{self, LARGE};
use ferroconv_kernels::dtype::DType;
use ferroconv_kernels::view::Dims;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::null_mut;

/// The attributes of a node.
pub struct Attributes<'a> {
    raw: *mut RawConstruction,
    lifetime: PhantomData<&'a RawConstruction>,
}

impl Attributes<'_> {
    /// # Safety
    /// `raw` is what TensorFlow handed to the create function, and it has not returned yet.
    pub(super) unsafe fn from_raw(raw: *mut RawConstruction) -> Self {
        Self { raw, lifetime: PhantomData }
    }

    /// Numbers in a list, and bytes of a text.
    fn size(&self, name: &CStr, status: &Status) -> Result<(usize, usize), Failure> {
        let (mut list, mut total) = (0, 0);
        // SAFETY: a live construction, a C string, two places.
        unsafe { (api().attr_size)(self.raw, name.as_ptr(), &mut list, &mut total, status.raw()) };
        status.check()?;
        // A negative size says that there is none.
        Ok((list.max(0) as usize, total.max(0) as usize))
    }

    /// A list of integers.
    fn list(&self, name: &str) -> Result<Vec<i64>, Failure> {
        let (name, status) = (text(name), Status::new());
        let mut values = vec![0; self.size(&name, &status)?.0];
        // SAFETY: a live construction, a C string, room for so many.
        unsafe {
            let room = values.len() as i32;
            (api().attr_ints)(self.raw, name.as_ptr(), values.as_mut_ptr(), room, status.raw());
        }
        status.check().map(|()| values)
    }

    /// A list of `N` integers. Negative ones, which no size is, come as 0, which none may be either.
    pub(crate) fn sizes<const N: usize>(&self, name: &str) -> Result<[usize; N], Failure> {
        let list = self.list(name)?;
        let sizes: Vec<_> = list.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
        sizes
            .try_into()
            .map_err(|_| Failure::invalid(format!("{name} must be {N} integers. Received: {}.", list.len())))
    }

    /// A list of integers from 0 on.
    pub(crate) fn widths(&self, name: &str) -> Result<Vec<usize>, Failure> {
        let list = self.list(name)?;
        list.iter()
            .map(|&n| usize::try_from(n))
            .collect::<Result<_, _>>()
            .map_err(|_| Failure::invalid(format!("{name} must be numbers from 0 on. Received: {list:?}.")))
    }

    /// An integer.
    pub(crate) fn integer(&self, name: &str) -> Result<i64, Failure> {
        let (name, status, mut value) = (text(name), Status::new(), 0);
        // SAFETY: a live construction, a C string, a place.
        unsafe { (api().attr_int)(self.raw, name.as_ptr(), &mut value, status.raw()) };
        status.check().map(|()| value)
    }

    /// A yes or no.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Failure> {
        let (name, status, mut value) = (text(name), Status::new(), 0);
        // SAFETY: a live construction, a C string, a place.
        unsafe { (api().attr_bool)(self.raw, name.as_ptr(), &mut value, status.raw()) };
        status.check().map(|()| value != 0)
    }

    /// A word.
    pub(crate) fn word(&self, name: &str) -> Result<String, Failure> {
        let (name, status) = (text(name), Status::new());
        let mut bytes = vec![0_u8; self.size(&name, &status)?.1];
        // SAFETY: a live construction, a C string, room for so many bytes (no zero ends them).
        unsafe {
            let (room, length) = (bytes.as_mut_ptr().cast(), bytes.len());
            (api().attr_string)(self.raw, name.as_ptr(), room, length, status.raw());
        }
        status.check().map(|()| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// One call of an op.
pub struct Call<'a> {
    raw: *mut RawContext,
    /// How the last call into TensorFlow went. One for all: a new one each time would show on tiny
    /// inputs.
    status: Status,
    lifetime: PhantomData<&'a mut RawContext>,
}

impl Call<'_> {
    /// # Safety
    /// `raw` is what TensorFlow handed to the compute function, and it has not returned yet.
    pub(super) unsafe fn from_raw(raw: *mut RawContext) -> Self {
        Self { raw, status: Status::new(), lifetime: PhantomData }
    }

    /// An input that may not be there: one of a list at the end.
    pub(crate) fn optional(&self, index: usize) -> Result<Option<Tensor>, Failure> {
        // SAFETY: a live context.
        let inputs = unsafe { (api().num_inputs)(self.raw) };
        (index < inputs as usize).then(|| self.input(index)).transpose()
    }

    /// An input.
    pub(crate) fn input(&self, index: usize) -> Result<Tensor, Failure> {
        let mut tensor = null_mut();
        // SAFETY: a live context, a place; TensorFlow checks the index.
        unsafe { (api().get_input)(self.raw, index as i32, &mut tensor, self.status.raw()) };
        self.status.check()?;
        // SAFETY: a tensor of the signature's dtype, whose handle we now own.
        Ok(unsafe { Tensor::from_raw(tensor) })
    }

    /// Makes an output; its elements are not set yet.
    ///
    /// # Errors
    /// [`Failure`] if memory ends, or can't be that large.
    pub(crate) fn output(&mut self, index: usize, dtype: DType, shape: &[usize]) -> Result<Tensor, Failure> {
        let bytes = shape.iter().try_fold(dtype.size(), |bytes, &n| bytes.checked_mul(n));
        let Some(bytes) = bytes.filter(|&bytes| bytes <= isize::MAX as usize) else {
            return Err(Failure::invalid(format!(
                "the result would be larger than memory can be. Received: shape {shape:?}."
            )));
        };
        let dims: Dims<_> = shape.iter().map(|&n| n as i64).collect();
        let (index, dtype, rank) = (index as i32, number(dtype), dims.len() as i32);
        // A large result is kept for the next one of its size: TensorFlow's own memory is the operating system's each
        // time, whose page faults took 8 % of ResNet50. (An op behind this one can't write its own result here: what is
        // added to a convolution and not part of it has memory of its own.)
        if let Some(memory) = (bytes >= LARGE && results::keeps()).then(|| results::take(bytes)).flatten() {
            let data = memory.as_ptr().cast();
            // SAFETY: as many sizes as said; memory of so many bytes, which is ours until it is given back, and so
            // aligned that it isn't copied. The length is the shape's, so that there is a tensor, whose handle is ours.
            let tensor = unsafe {
                Tensor::from_raw((api().new_tensor)(
                    dtype,
                    dims.as_ptr(),
                    rank,
                    data,
                    bytes,
                    give_back,
                    null_mut(),
                ))
            };
            // SAFETY: a live context and tensor; TensorFlow checks the index, and holds the memory from now on.
            unsafe { (api().set_output)(self.raw, index, tensor.raw(), self.status.raw()) };
            return self.status.check().map(|()| tensor);
        }
        // SAFETY: a live context, as many sizes as said; TensorFlow checks index and dtype.
        let tensor = unsafe {
            (api().allocate_output)(self.raw, index, dtype, dims.as_ptr(), rank, bytes, self.status.raw())
        };
        self.status.check()?;
        // SAFETY: a new tensor of one of our dtypes, whose handle we own.
        Ok(unsafe { Tensor::from_raw(tensor) })
    }
}
