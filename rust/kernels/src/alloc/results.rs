//! Memory of large results, kept for the next one of its size.
//!
//! Fresh memory from the operating system costs a page fault for every page, more than a 5 x 5 filter
//! of what is written there. Buffers that are given back are therefore kept, 256 MiB of them at most,
//! the oldest dropped first, and handed out again where a result of the same size (in steps of 2 MiB,
//! a huge page) is made. `FERROCONV_CACHE=0` turns that off.
#![expect(unsafe_code, reason = "owns raw memory")]

use super::Plain;
use std::alloc::{Layout, alloc, dealloc};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::{Mutex, OnceLock};

/// Bytes kept, at most.
const MOST: usize = 256 << 20;

/// Bytes of a huge page: the alignment of a buffer, and the unit of its size.
const PAGE: usize = 2 << 20;

/// Bytes of a result from which on its memory is kept. Smaller ones are the C library's, which keeps
/// them itself.
pub const LARGE: usize = PAGE / 2;

struct Buffer {
    data: NonNull<u8>,
    layout: Layout,
}

// SAFETY: memory that no one else refers to.
unsafe impl Send for Buffer {}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and not yet given back.
        unsafe { dealloc(self.data.as_ptr(), self.layout) }
    }
}

/// Oldest first.
static KEPT: Mutex<VecDeque<Buffer>> = Mutex::new(VecDeque::new());

/// Whether memory is kept from one call to the next.
pub fn keeps() -> bool {
    static KEEPS: OnceLock<bool> = OnceLock::new();
    *KEEPS.get_or_init(|| std::env::var("FERROCONV_CACHE").as_deref() != Ok("0"))
}

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.max(1).checked_next_multiple_of(PAGE)?, PAGE).ok()
}

/// Memory for a result of so many bytes, uninitialised or what an earlier result left there; `None`
/// where there is none.
pub fn take(bytes: usize) -> Option<NonNull<u8>> {
    let layout = layout(bytes)?;
    reused(layout).or_else(|| fresh(layout))
}

fn reused(layout: Layout) -> Option<NonNull<u8>> {
    // A lock that a fork left held, or another thread holds, is not waited for.
    let mut kept = KEPT.try_lock().ok()?;
    let i = kept.iter().rposition(|buffer| buffer.layout == layout)?;
    Some(std::mem::ManuallyDrop::new(kept.remove(i)?).data)
}

fn fresh(layout: Layout) -> Option<NonNull<u8>> {
    // SAFETY: the layout has a size.
    let data = NonNull::new(unsafe { alloc(layout) })?;
    #[cfg(target_os = "linux")]
    // SAFETY: advice for the pages just allocated; what it returns may be ignored.
    unsafe {
        libc::madvise(data.as_ptr().cast(), layout.size(), libc::MADV_HUGEPAGE);
    }
    Some(data)
}

/// Takes memory back.
///
/// # Safety
/// It came from [`take`] for as many bytes, and no one refers to it any more.
pub unsafe fn give(data: NonNull<u8>, bytes: usize) {
    let layout = layout(bytes).expect("a size that was taken");
    let buffer = Buffer { data, layout };
    if !keeps() || layout.size() > MOST {
        return;
    }
    let Ok(mut kept) = KEPT.try_lock() else { return };
    kept.push_back(buffer);
    let mut total: usize = kept.iter().map(|buffer| buffer.layout.size()).sum();
    while total > MOST
        && let Some(oldest) = kept.pop_front()
    {
        total -= oldest.layout.size();
    }
}

/// Gives the memory that is kept back to the operating system; says how many bytes that were.
pub fn clear() -> usize {
    let Ok(mut kept) = KEPT.lock() else { return 0 };
    kept.drain(..).map(|buffer| buffer.layout.size()).sum()
}

/// Numbers that a call needs while it runs, in memory that is kept as that of results is: packed
/// weights. Zeros, or what was left there.
#[derive(Debug)]
pub struct Kept<A: Plain>(Memory<A>);

#[derive(Debug)]
enum Memory<A: Plain> {
    Small(Vec<A>),
    Large(NonNull<A>, usize),
}

// SAFETY: owns its memory alone.
unsafe impl<A: Plain> Send for Kept<A> {}
// SAFETY: shared, it is only read.
unsafe impl<A: Plain> Sync for Kept<A> {}

impl<A: Plain + Default> Kept<A> {
    /// So many numbers.
    ///
    /// # Panics
    /// If there is no memory for them.
    pub fn new(length: usize) -> Self {
        let bytes = length.checked_mul(size_of::<A>()).expect("numbers that fit memory");
        if bytes < LARGE {
            return Self(Memory::Small(vec![A::default(); length]));
        }
        let layout = layout(bytes).expect("numbers that fit memory");
        let data = reused(layout).unwrap_or_else(|| {
            let data = fresh(layout).unwrap_or_else(|| std::alloc::handle_alloc_error(layout));
            // SAFETY: as long as was asked for.
            unsafe { data.write_bytes(0, layout.size()) };
            data
        });
        Self(Memory::Large(data.cast(), length))
    }
}

impl<A: Plain> std::ops::Deref for Kept<A> {
    type Target = [A];

    fn deref(&self) -> &[A] {
        match &self.0 {
            Memory::Small(numbers) => numbers,
            // SAFETY: ours, aligned to a page, with room for so many; any bytes are a plain number.
            Memory::Large(data, length) => unsafe { std::slice::from_raw_parts(data.as_ptr(), *length) },
        }
    }
}

impl<A: Plain> std::ops::DerefMut for Kept<A> {
    fn deref_mut(&mut self) -> &mut [A] {
        match &mut self.0 {
            Memory::Small(numbers) => numbers,
            // SAFETY: as in `deref`, and borrowed exclusively.
            Memory::Large(data, length) => unsafe { std::slice::from_raw_parts_mut(data.as_ptr(), *length) },
        }
    }
}

impl<A: Plain> Drop for Kept<A> {
    fn drop(&mut self) {
        if let Memory::Large(data, length) = self.0 {
            // SAFETY: taken for as many bytes, and no one refers to it any more.
            unsafe { give(data.cast(), length * size_of::<A>()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_handed_out_again_and_the_oldest_go_first() {
        clear();
        let first = take(5 << 20).unwrap();
        // SAFETY: taken just above.
        unsafe { give(first, 5 << 20) };
        assert_eq!(take((5 << 20) + 17).unwrap(), first, "6 MiB both");
        let other = take(9 << 20).unwrap();
        assert_ne!(other, first);
        // SAFETY: taken above.
        unsafe {
            give(first, 5 << 20);
            give(other, 9 << 20);
        }
        let large = take(250 << 20).unwrap();
        // SAFETY: taken just above.
        unsafe { give(large, 250 << 20) };
        assert_eq!(clear(), 250 << 20, "both others were dropped");
    }
}
