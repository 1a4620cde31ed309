//! Memory that is asked for ahead of its use.
#![expect(unsafe_code, reason = "a hint that no memory is too wrong for")]

/// Bytes of a cache line.
const LINE: usize = 64;

/// Brings a run near, to the first-level cache, while other work goes on: where memory is read in short runs,
/// whose end a prefetcher does not see.
#[inline(always)]
pub fn fetch<T>(run: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let first = run.as_ptr().cast::<i8>();
        for at in (0..size_of_val(run)).step_by(LINE) {
            // SAFETY: every x86-64 has the instruction, which never faults.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(at)) }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (run, LINE);
}
