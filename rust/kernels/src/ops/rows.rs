//! A row of an image as a row of accumulators, and back.
//!
//! Each function is compiled once for an instruction set and an accumulator, whatever loop stands between: the
//! conversions of thirteen dtypes, inlined into every loop, were two thirds of all code.

use crate::border::Border;
use crate::dtype::{DType, Finish};
use crate::simd::Simd;
use crate::view::{Plane, Rows, Tile};
use std::ops::Range;

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

/// The samples of such rows: those of the image, and what the border makes of the rest, found out once for all rows.
#[derive(Clone, Debug)]
pub(super) struct Line<A> {
    step: usize,
    /// Those inside the image, and the column of the first.
    inside: Range<usize>,
    first: usize,
    outside: A,
    /// Those that are the constant.
    blank: Vec<usize>,
    /// Those that are one of the inside again: most are mirror images. To and from.
    copies: Vec<[usize; 2]>,
    /// Those that are another sample of the image: to, and its column.
    far: Vec<[usize; 2]>,
}

impl<A: Rows> Line<A> {
    /// For rows of `len` samples over an image of `n` columns of samples.
    pub(super) fn new(place: Place<A>, n: usize, len: usize) -> Self {
        let Place { start, step, border, channels, outside } = place;
        // The first sample at or beyond a column.
        let first = |column: isize| ((column - start).max(0) as usize).div_ceil(step).min(len);
        let inside = first(0)..first(n as isize);
        let (mut blank, mut copies, mut far) = (Vec::new(), Vec::new(), Vec::new());
        for i in (0..inside.start).chain(inside.end..len) {
            let at = start + (i * step) as isize;
            let (pixel, channel) =
                (at.div_euclid(channels as isize), at.rem_euclid(channels as isize) as usize);
            match border.index(pixel, n / channels).map(|pixel| pixel * channels + channel) {
                None => blank.push(i),
                Some(x) => match x.wrapping_sub(start as usize) {
                    from if step == 1 && inside.contains(&from) => copies.push([i, from]),
                    _ => far.push([i, x]),
                },
            }
        }
        let first = (start + (inside.start * step) as isize) as usize;
        Self { step, inside, first, outside, blank, copies, far }
    }

    /// Widens the samples of row `y`.
    pub(super) fn widen<S: Simd>(&self, simd: S, plane: &Plane<'_>, y: usize, into: &mut [A]) {
        let middle = &mut into[self.inside.clone()];
        if !middle.is_empty() {
            read(simd, plane, y, self.first, self.step, middle);
        }
        for &i in &self.blank {
            into[i] = self.outside;
        }
        for &[to, from] in &self.copies {
            into[to] = into[from];
        }
        for &[to, x] in &self.far {
            read(simd, plane, y, x, 1, std::slice::from_mut(&mut into[to]));
        }
    }

    /// A row beyond the image's.
    pub(super) fn fill(&self, into: &mut [A]) {
        into.fill(self.outside);
    }
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
