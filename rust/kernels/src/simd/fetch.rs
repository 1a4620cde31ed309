//! Memory that is asked for ahead of its use.
#![expect(unsafe_code, reason = "a hint that no memory is too wrong for")]

/// Bytes of a cache line.
const LINE: usize = 64;

/// Brings a run near, to the first-level cache, while other work goes on: where memory is read in short runs,
/// whose end a prefetcher does not see.
#[inline(always)]
pub fn fetch<T>(run: &[T]) {
    fetch_at(run.as_ptr().cast(), size_of_val(run));
}

/// The same for so many bytes from an address on.
#[inline(always)]
pub fn fetch_at(from: *const u8, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        for at in (0..bytes).step_by(LINE) {
            // SAFETY: every x86-64 has the instruction, which never faults.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(at).cast()) }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, bytes, LINE);
}
