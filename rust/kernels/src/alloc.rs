//! Memory: scratch, an arena a thread and depth of nesting, grown to what a plan needs and kept for the next call; and that
//! of large [`results`].
#![expect(unsafe_code, reason = "views aligned bytes as numbers")]

pub mod results;

use crate::dtype::Bool;
use half::{bf16, f16};
use std::cell::Cell;

/// A plain number: elements and accumulators.
///
/// # Safety
/// Any bytes are a value of the type, and it is aligned to at most a cache line.
pub unsafe trait Plain: Copy + Send + Sync + 'static {}

macro_rules! plain {
    ($($t:ty),*) => {$(
        // SAFETY: a primitive number, or a transparent wrapper of one.
        unsafe impl Plain for $t {}
    )*};
}
plain!(Bool, u8, i8, u16, i16, u32, i32, u64, i64, i128, f16, bf16, f32, f64);

/// A cache line of zeros, the alignment of every scratch slice.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "read as numbers")] [u8; 64]);

const LINE: usize = size_of::<Line>();

/// An arena above this size is given back after use, so that one call with huge weights does not
/// keep their scratch for good. Eight MiB is beyond every plan for weights of up to 500 x 500.
const KEEP: usize = 8 << 20;

thread_local! {
    /// An arena for each depth of nesting that was met.
    static ARENAS: Cell<Vec<Vec<Line>>> = const { Cell::new(Vec::new()) };
}

/// Cache lines that `N` slices take.
fn lines<A: Plain, const N: usize>(lengths: [usize; N]) -> [usize; N] {
    lengths.map(|n| n.checked_mul(size_of::<A>()).expect("scratch fits memory").div_ceil(LINE))
}

/// Cuts slices off the front of `rest`.
#[inline(always)]
fn cut<'a, A: Plain, const N: usize>(rest: &mut &'a mut [Line], lengths: [usize; N]) -> [&'a mut [A]; N] {
    let lines = lines::<A, N>(lengths);
    std::array::from_fn(|i| {
        let (head, tail) = std::mem::take(rest).split_at_mut(lines[i]);
        *rest = tail;
        // SAFETY: `head` is initialised, aligned to 64 bytes, exclusively borrowed and at least
        // `lengths[i] * size_of::<A>()` bytes long; for a plain number any bytes are a
        // value.
        unsafe { std::slice::from_raw_parts_mut(head.as_mut_ptr().cast::<A>(), lengths[i]) }
    })
}

/// Lends so many lines of the thread's arena.
#[inline(always)]
fn arena<R>(total: usize, f: impl FnOnce(&mut [Line]) -> R) -> R {
    // Taken, not borrowed: a nested call takes the next one.
    let mut arenas = ARENAS.take();
    let mut arena = arenas.pop().unwrap_or_default();
    ARENAS.set(arenas);
    if arena.len() < total {
        arena.resize(total, Line([0; LINE]));
    }
    let result = f(&mut arena[..total]);
    if arena.len() * LINE <= KEEP {
        let mut arenas = ARENAS.take();
        arenas.push(arena);
        ARENAS.set(arenas);
    }
    result
}

/// Lends `N` slices of the thread's arena, of the lengths asked for, aligned to cache lines. Their
/// contents are numbers left by earlier calls.
///
/// # Panics
/// If the lengths exceed memory.
#[inline(always)]
pub fn scratch<A: Plain, const N: usize, R>(lengths: [usize; N], f: impl FnOnce([&mut [A]; N]) -> R) -> R {
    arena(lines::<A, N>(lengths).iter().sum(), |mut rest| f(cut(&mut rest, lengths)))
}

/// As [`scratch`], slices of three kinds of number at once.
///
/// # Panics
/// If the lengths exceed memory.
#[inline(always)]
pub fn scratch_of_three<A: Plain, B: Plain, C: Plain, const N: usize, const M: usize, const K: usize, R>(
    (a, b, c): ([usize; N], [usize; M], [usize; K]),
    f: impl FnOnce([&mut [A]; N], [&mut [B]; M], [&mut [C]; K]) -> R,
) -> R {
    let total = [&lines::<A, N>(a)[..], &lines::<B, M>(b), &lines::<C, K>(c)].concat();
    arena(total.iter().sum(), |mut rest| {
        let rest = &mut rest;
        f(cut(rest, a), cut(rest, b), cut(rest, c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_aligned_disjoint_and_survive_nesting() {
        scratch([3, 100], |[a, b]: [&mut [f32]; 2]| {
            assert_eq!((a.len(), b.len()), (3, 100));
            assert_eq!((a.as_ptr().addr() % 64, b.as_ptr().addr() % 64), (0, 0));
            a.fill(1.0);
            b.fill(2.0);
            scratch([50], |[c]: [&mut [f64]; 1]| c.fill(3.0));
            assert!(a.iter().all(|&x| x == 1.0) && b.iter().all(|&x| x == 2.0));
        });
    }
}
