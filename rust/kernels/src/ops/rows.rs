//! A row of an image as a row of accumulators, and back.
//!
//! Each function is compiled once for an instruction set and an accumulator, whatever loop stands between: the
//! conversions of thirteen dtypes, inlined into every loop, were two thirds of all code.

use crate::border::Border;
use crate::dtype::{DType, Finish};
use crate::simd::Simd;
use crate::view::{Plane, Rows, Tile};

/// Where a row of samples lies along the image's columns: `start, start + step, ...`, continued by `border`, which
/// maps pixels of so many `channels` side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<A> {
    pub(super) start: isize,
    pub(super) step: usize,
    pub(super) border: Border,
    pub(super) channels: usize,
    /// The sample outside a constant border.
    pub(super) outside: A,
}

/// Widens the samples of row `y`.
pub(super) fn widen<S: Simd, A: Rows>(simd: S, plane: &Plane<'_>, y: usize, place: Place<A>, into: &mut [A]) {
    let Place { start, step, border, channels, outside } = place;
    let n = plane.shape()[1];
    let inside = |limit: isize| {
        // The first index i with start + i * step >= limit.
        ((limit - start).max(0) as usize).div_ceil(step).min(into.len())
    };
    let (first, end) = (inside(0), inside(n as isize));
    let (before, rest) = into.split_at_mut(first);
    let (middle, after) = rest.split_at_mut(end - first);
    if !middle.is_empty() {
        read(simd, plane, y, (start + (first * step) as isize) as usize, step, middle);
    }
    let edge = |samples: &mut [A], from: usize| {
        for (i, sample) in samples.iter_mut().enumerate() {
            let at = start + ((from + i) * step) as isize;
            let (pixel, channel) =
                (at.div_euclid(channels as isize), at.rem_euclid(channels as isize) as usize);
            match border.index(pixel, n / channels).map(|pixel| pixel * channels + channel) {
                None => *sample = outside,
                Some(x) => match (x as isize - start) as usize {
                    // Most are mirror images of what has been widened.
                    at if step == 1 && (first..end).contains(&at) => *sample = middle[at - first],
                    _ => read(simd, plane, y, x, 1, std::slice::from_mut(sample)),
                },
            }
        }
    };
    edge(before, 0);
    edge(after, end);
}

/// Widens the samples at `x, x + step, ...` of row `y`, all inside the image.
#[inline(never)]
fn read<S: Simd, A: Rows>(simd: S, plane: &Plane<'_>, y: usize, x: usize, step: usize, into: &mut [A]) {
    simd.vectorize(
        #[inline(always)]
        || plane.read(y, x, step, into),
    );
}

/// Rounds a row in place and stores it at row `y` of the tile, from column `x` on.
#[inline(never)]
pub(super) fn narrow<S: Simd, A: Rows>(
    simd: S,
    row: &mut [A],
    tile: &mut Tile<'_>,
    component: usize,
    [y, x]: [usize; 2],
    finish: Finish,
) {
    simd.vectorize(
        #[inline(always)]
        || tile.write(component, y, x, row, finish),
    );
}

/// Makes of every accumulator what an array of `dtype` would have kept of it.
#[inline(never)]
pub(super) fn keep<S: Simd, A: Rows>(simd: S, row: &mut [A], dtype: DType, finish: Finish) {
    simd.vectorize(
        #[inline(always)]
        || A::store(dtype, row, finish),
    );
}
