//! The register tile of a filter's gradient whose lanes are neighbouring pixels: many dot products of two rows.
#![expect(unsafe_code, reason = "raw loads in the innermost loop; bounds are checked once a tile")]

use super::{MAX_LANES, Vector};
use crate::dtype::Accumulator;

/// Runs `$body` with `$R` and `$F` as constants: samples of a window, and channels of a result, that one tile takes, of so
/// many `$results`. With a sample and a vector of each channel, ten sums are thirteen of 16 registers, and 24 are 31 of 32.
macro_rules! with_dots {
    ($V:ty, $results:expr, |$R:ident, $F:ident| $body:expr) => {{
        macro_rules! body {
            ($r:literal, $f:literal) => {{
                const $R: usize = $r;
                const $F: usize = $f;
                $body
            }};
        }
        match (<$V as $crate::simd::Vector>::REGISTERS == 32, $results) {
            (false, _) | (true, 0..=2) => body!(5, 2),
            (true, 3 | 4 | 7 | 8) => body!(6, 4),
            (true, _) => body!(4, 6),
        }
    }};
}
pub(crate) use with_dots;

/// Lines of pixels that stand equally far apart.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// Lines.
    pub lines: usize,
    /// Pixels of a line.
    pub pixels: usize,
    /// From one line to the next, among the samples and among the gradients.
    pub steps: [usize; 2],
}

/// Adds dot products to vectors of sums, whose lanes are to be added up at the end:
///
/// ```text
/// sums[r][f][p mod LANES] += source[places[r] + l * steps[0] + p] * rights[f][l * steps[1] + p]    for lines l, pixels p
/// ```
///
/// Samples behind a line's last pixel are not multiplied, whatever they are.
///
/// # Panics
/// If a line leaves its slice; those of `rights` are read in whole vectors.
#[inline(always)]
pub fn dots<V: Vector, const R: usize, const F: usize>(
    source: &[V::Elem],
    places: &[usize; R],
    rights: [&[V::Elem]; F],
    grid: Grid,
    sums: &mut [[V; F]; R],
) {
    let Grid { lines, pixels, steps } = grid;
    if lines == 0 || pixels == 0 {
        return;
    }
    let width = pixels.next_multiple_of(V::LANES);
    let ends = steps.map(|step| (lines - 1) * step + width);
    assert!(places.iter().all(|place| place + ends[0] <= source.len()), "samples of every pixel");
    assert!(rights.iter().all(|right| ends[1] <= right.len()), "a gradient for every pixel");
    let mut real = [V::Elem::default(); MAX_LANES];
    real[..pixels % V::LANES].fill(V::Elem::from_f64(1.0));
    let (real, one) = (V::of_lanes(&real), V::splat(V::Elem::from_f64(1.0)));
    let mut tile = *sums;
    for line in 0..lines {
        let first = steps.map(|step| line * step);
        let whole = pixels / V::LANES * V::LANES;
        let samples = places.map(|place| source.as_ptr().wrapping_add(place + first[0]));
        let rights = rights.map(|right| right.as_ptr().wrapping_add(first[1]));
        // SAFETY: whole vectors of every line are inside the slices, as asserted.
        unsafe {
            for p in (0..whole).step_by(V::LANES) {
                products::<V, R, F>(samples, rights, p, &mut tile, |sample| sample);
            }
            if whole < pixels {
                products::<V, R, F>(samples, rights, whole, &mut tile, |sample| {
                    real.where_equal(one, sample)
                });
            }
        }
    }
    *sums = tile;
}

/// Adds the products of a vector of pixels.
///
/// # Safety
/// From every pointer on, `at` and a vector can be read.
#[inline(always)]
unsafe fn products<V: Vector, const R: usize, const F: usize>(
    samples: [*const V::Elem; R],
    rights: [*const V::Elem; F],
    at: usize,
    tile: &mut [[V; F]; R],
    kept: impl Fn(V) -> V,
) {
    let mut right = [V::splat(V::Elem::default()); F];
    for f in 0..F {
        // SAFETY: the caller's promise.
        right[f] = unsafe { V::load(rights[f].add(at)) };
    }
    for r in 0..R {
        // SAFETY: the caller's promise.
        let sample = kept(unsafe { V::load(samples[r].add(at)) });
        for f in 0..F {
            tile[r][f] = tile[r][f].mul_add(sample, right[f]);
        }
    }
}
