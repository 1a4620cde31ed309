//! Copies of elements, any distance apart.

use crate::dtype::{DType, Element, Finish};
use crate::view::Rows;

/// # Safety
/// `into.len()` `T`s, `step` bytes apart, are readable.
#[inline(always)]
pub(super) unsafe fn copy_from<T: Element>(from: *const u8, step: isize, into: &mut [T]) {
    // Two loops of one body: a unit step is what the compiler can vectorise.
    if step == size_of::<T>() as isize {
        for (i, into) in into.iter_mut().enumerate() {
            // SAFETY: the caller's promise; any alignment.
            *into = unsafe { from.cast::<T>().wrapping_add(i).read_unaligned() };
        }
        return;
    }
    for (i, into) in into.iter_mut().enumerate() {
        // SAFETY: the caller's promise; any alignment.
        *into = unsafe { from.wrapping_offset(i as isize * step).cast::<T>().read_unaligned() };
    }
}

/// # Safety
/// `from.len()` `T`s, `step` bytes apart, are writable.
#[inline(always)]
pub(super) unsafe fn copy_to<T: Element>(to: *mut u8, step: isize, from: &[T]) {
    // As in `copy_from`.
    if step == size_of::<T>() as isize {
        for (i, &value) in from.iter().enumerate() {
            // SAFETY: the caller's promise; any alignment.
            unsafe { to.cast::<T>().wrapping_add(i).write_unaligned(value) }
        }
        return;
    }
    for (i, &value) in from.iter().enumerate() {
        // SAFETY: the caller's promise; any alignment.
        unsafe { to.wrapping_offset(i as isize * step).cast::<T>().write_unaligned(value) }
    }
}

/// Bytes are read and written as they stand, whatever is computed from them in between.
impl Rows for u8 {
    #[inline(always)]
    unsafe fn read(dtype: DType, from: *const u8, step: isize, into: &mut [Self]) {
        assert!(dtype == DType::U8, "bytes");
        // SAFETY: the caller's promise.
        unsafe { copy_from(from, step, into) }
    }
    #[inline(always)]
    fn store(dtype: DType, _: &mut [Self], _: Finish) {
        assert!(dtype == DType::U8, "bytes");
    }
    #[inline(always)]
    unsafe fn write(dtype: DType, to: *mut u8, step: isize, from: &mut [Self], _: Finish) {
        assert!(dtype == DType::U8, "bytes");
        // SAFETY: the caller's promise.
        unsafe { copy_to(to, step, from) }
    }
}
