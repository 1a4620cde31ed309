//! Memory that is asked for ahead of its use.
#![expect(unsafe_code, reason = "a hint that no memory is too wrong for")]

use std::cell::Cell;
use std::sync::OnceLock;

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

/// Bytes that a cache is counted on for at most, however large the last one is: others may share it.
const MOST_CACHED: usize = 28 << 20;

/// Whether so many bytes, read and written again and again, come from memory every time, for they don't fit the last cache.
///
/// What fits is brought by the prefetchers of a CPU in time; asking for it costs up to a fifth of the time at 3 x 3 taps.
pub fn is_far(bytes: usize) -> bool {
    static LAST: OnceLock<usize> = OnceLock::new();
    // Other memory is used between two calls.
    let usable = |last: usize| (last / 8 * 7).min(MOST_CACHED);
    bytes >= *LAST.get_or_init(|| last_cache().map_or(MOST_CACHED, usable))
}

/// Bytes of the last cache, as Linux says.
fn last_cache() -> Option<usize> {
    let size = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index3/size").ok()?;
    size.trim().strip_suffix('K')?.parse::<usize>().ok().map(|kib| kib << 10)
}

/// Runs of memory that come near a few lines at a time, while other work goes on.
///
/// Asked for at once, some rows of an image keep all loads after them waiting until memory has answered, and its time
/// adds to that of the work. Asked for in shares, between the steps of a loop, they come beside it.
#[derive(Debug, Default)]
pub struct Ahead {
    /// Where runs begin, and their lines.
    runs: Vec<(*const u8, usize)>,
    /// Lines of the longest run that came, that are to come, and that come in a step.
    came: Cell<usize>,
    left: Cell<usize>,
    each: Cell<usize>,
}

impl Ahead {
    /// Forgets all runs.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.came.set(0);
        self.left.set(0);
    }

    /// Adds so many bytes from an address on.
    pub fn push(&mut self, from: *const u8, bytes: usize) {
        let start = from.addr() % LINE;
        let lines = (start + bytes).div_ceil(LINE);
        self.runs.push((from.wrapping_sub(start), lines));
        self.left.set(self.left.get().max(lines));
    }

    /// Whether all came.
    #[inline(always)]
    pub fn is_done(&self) -> bool {
        self.left.get() == 0
    }

    /// Divides what is to come among so many steps.
    #[inline(always)]
    pub fn spread(&self, steps: usize) {
        self.each.set(self.left.get().div_ceil(steps.max(1)));
    }

    /// Brings what comes in a step.
    #[inline(always)]
    pub fn step(&self) {
        let (came, left) = (self.came.get(), self.left.get());
        let lines = self.each.get().min(left);
        if lines == 0 {
            return;
        }
        self.came.set(came + lines);
        self.left.set(left - lines);
        for &(from, all) in &self.runs {
            fetch_at(from.wrapping_add(came * LINE), lines.min(all.saturating_sub(came)) * LINE);
        }
    }

    /// Brings all that is left.
    pub fn rest(&self) {
        self.spread(1);
        self.step();
    }
}
