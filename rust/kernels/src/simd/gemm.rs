//! The register tiles of convolution layers: two small matrix products whose left sides are read in
//! place, where an image's samples stand.
//!
//! [`gather`] sums over taps, for a few pixels and a few vectors of channels at once; [`outer`] sums
//! over pixels, for a few taps and a few vectors of channels. Both keep their sums in registers and
//! load a vector of the right side for each sample of the left.
#![expect(unsafe_code, reason = "raw loads in the innermost loops; bounds are checked once a tile")]

use super::Vector;
use std::ops::Range;

/// Vectors of channels that a tile has, at most.
pub const MAX_VECTORS: usize = 3;

/// Pixels of a [`gather`] tile (taps of an [`outer`] tile) with `vectors` vectors of channels: what
/// the registers hold of sums, beside a sample and a vector of the right side, and of addresses.
pub const fn tile_rows<V: Vector>(vectors: usize) -> usize {
    if V::REGISTERS == 32 {
        8
    } else {
        match vectors {
            1 => 8,
            2 => 6,
            // Four would take every register there is, and the compiler then spills.
            _ => 3,
        }
    }
}

/// Runs `$body` with `$R` and `$NV` as constants: `$vectors`, and the rows of its tile.
macro_rules! with_tile {
    ($V:ty, $vectors:expr, |$R:ident, $NV:ident| $body:expr) => {{
        macro_rules! body {
            ($r:literal, $nv:literal) => {{
                const $R: usize = $r;
                const $NV: usize = $nv;
                $body
            }};
        }
        match (<$V as $crate::simd::Vector>::REGISTERS == 32, $vectors) {
            (true, 1) | (false, 1) => body!(8, 1),
            (true, 2) => body!(8, 2),
            (true, _) => body!(8, 3),
            (false, 2) => body!(6, 2),
            (false, _) => body!(3, 3),
        }
    }};
}
pub(crate) use with_tile;

/// Runs `$body` with `$R` and `$NV` as constants: `$vectors`, and as many of `$places` as an [`outer`] tile takes without doing
/// many again in the last one.
macro_rules! with_places {
    ($V:ty, $vectors:expr, $places:expr, |$R:ident, $NV:ident| $body:expr) => {
        if <$V as $crate::simd::Vector>::REGISTERS == 32
            && $vectors > 1
            && 8 * $places.next_multiple_of(5) <= 7 * $places.next_multiple_of(8)
        {
            const $R: usize = 5;
            if $vectors == 2 {
                const $NV: usize = 2;
                $body
            } else {
                const $NV: usize = 3;
                $body
            }
        } else {
            $crate::simd::with_tile!($V, $vectors, |$R, $NV| $body)
        }
    };
}
pub(crate) use with_places;

/// Where the samples of a pixel's window stand, relative to the pixel: runs of neighbours, in the
/// order of the weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs {
    runs: Vec<(usize, usize)>,
    depth: usize,
    reach: usize,
}

impl Runs {
    /// Joins runs (place, length) that follow upon each other.
    pub fn new(parts: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (place, length) in parts {
            match runs.last_mut() {
                Some((start, n)) if *start + *n == place => *n += length,
                _ => runs.push((place, length)),
            }
        }
        let depth = runs.iter().map(|&(_, n)| n).sum();
        let reach = runs.iter().map(|&(start, n)| start + n).max().unwrap_or(0);
        Self { runs, depth, reach }
    }

    /// Samples of a window.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The place of each sample, in order.
    pub fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.runs.iter().flat_map(|&(start, n)| start..start + n)
    }
}

/// For each of `R` pixels, adds to `NV` vectors of sums the products of the samples of its window:
///
/// ```text
/// sums[r][lane] += sum over k of source[pixels[r] + place k] * weights[k][lane]
/// ```
///
/// # Panics
/// If a window leaves `source`, or `weights` are too short.
#[inline(always)]
pub fn gather<V: Vector, const R: usize, const NV: usize>(
    source: &[V::Elem],
    pixels: &[usize; R],
    runs: &Runs,
    weights: &[V::Elem],
    mut sums: [[V; NV]; R],
) -> [[V; NV]; R] {
    let width = NV * V::LANES;
    let room = source.len().checked_sub(runs.reach).expect("a window fits the source");
    for &pixel in pixels {
        assert!(pixel <= room, "a window inside the source");
    }
    assert!(weights.len() >= runs.depth * width, "a weight for each sample and lane");
    let mut weights = weights.as_ptr();
    let mut base = [source.as_ptr(); R];
    for r in 0..R {
        base[r] = source.as_ptr().wrapping_add(pixels[r]);
    }
    for &(place, length) in &runs.runs {
        let mut from = base;
        for r in 0..R {
            from[r] = base[r].wrapping_add(place);
        }
        for k in 0..length {
            // SAFETY: `pixels[r] + place + length <= source.len()`; the weights go on for as many
            // samples as the runs have.
            unsafe {
                let mut right = [V::splat(V::Elem::default()); NV];
                for v in 0..NV {
                    right[v] = V::load(weights.add(v * V::LANES));
                }
                for r in 0..R {
                    let sample = V::splat(*from[r].add(k));
                    for v in 0..NV {
                        sums[r][v] = sums[r][v].mul_add(sample, right[v]);
                    }
                }
                weights = weights.add(width);
            }
        }
    }
    sums
}

/// Results that [`beside`] sums at once, at most.
pub const MAX_RESULTS: usize = 6;

/// Runs `$body` with `$R` and `$NV` as constants: `$results`, and the vectors of pixels that the registers hold sums of beside
/// samples and a weight.
macro_rules! with_results {
    ($results:expr, |$R:ident, $NV:ident| $body:expr) => {{
        macro_rules! body {
            ($r:literal, $nv:literal) => {{
                const $R: usize = $r;
                const $NV: usize = $nv;
                $body
            }};
        }
        match $results {
            1 => body!(1, 8),
            2 => body!(2, 4),
            3 => body!(3, 3),
            4 => body!(4, 2),
            5 => body!(5, 2),
            _ => body!(6, 2),
        }
    }};
}
pub(crate) use with_results;

/// Where the samples of a pixel's window stand for [`beside`], relative to it.
#[derive(Clone, Copy, Debug)]
pub struct Window<'w> {
    places: &'w [[usize; 2]],
    /// The greatest of them.
    most: [usize; 2],
    deep: [usize; 2],
    step: usize,
}

impl<'w> Window<'w> {
    /// Taps by where the first sample of each stands, and the first weight; so many samples each, so far from each other; and
    /// how far one vector of pixels stands from the next.
    pub fn new(places: &'w [[usize; 2]], deep: [usize; 2], step: usize) -> Self {
        let most = |i: usize| places.iter().map(|place| place[i]).max().unwrap_or(0);
        Self { places, most: [most(0), most(1)], deep, step }
    }

    /// Some of its taps alone.
    ///
    /// # Panics
    /// If there are not as many.
    #[must_use]
    pub fn some(self, taps: Range<usize>) -> Self {
        Self { places: &self.places[taps], ..self }
    }

    /// Whether it has no taps.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How far one vector of pixels stands from the next.
    pub fn step(&self) -> usize {
        self.step
    }
}

/// For `NV` vectors of pixels, adds to `R` results each the products of the samples of `deep` channels, `plane` apart, at each
/// tap's place:
///
/// ```text
/// sums[r][v][lane] += sum over taps t, c < deep of source[places[t][0] + c * plane + v * step + lane] * weights[places[t][1] + c * R + r]
/// ```
///
/// # Panics
/// If a sample of any of the window's taps is beyond `source`, or `weights` are too short.
#[inline(always)]
pub fn beside<V: Vector, const R: usize, const NV: usize>(
    source: &[V::Elem],
    window: Window<'_>,
    weights: &[V::Elem],
    mut sums: [[V; NV]; R],
) -> [[V; NV]; R] {
    let Window { places, most, deep: [deep, plane], step } = window;
    let reach = deep.saturating_sub(1) * plane + (NV - 1) * step + V::LANES;
    assert!(most[0] + reach <= source.len(), "samples of the source");
    assert!(most[1] + deep * R <= weights.len(), "a weight for each sample and result");
    for &[place, weight] in places {
        let mut from = source.as_ptr().wrapping_add(place);
        let mut weights = weights.as_ptr().wrapping_add(weight);
        for _ in 0..deep {
            // SAFETY: no place is greater than the greatest: `place + c * plane + (NV - 1) * step + LANES <= source.len()`, and
            // from `weight` on there are as many as the tap has samples and results.
            unsafe {
                let mut samples = [V::splat(V::Elem::default()); NV];
                for v in 0..NV {
                    samples[v] = V::load(from.add(v * step));
                }
                for r in 0..R {
                    let weight = V::splat(*weights.add(r));
                    for v in 0..NV {
                        sums[r][v] = sums[r][v].mul_add(samples[v], weight);
                    }
                }
            }
            weights = weights.wrapping_add(R);
            from = from.wrapping_add(plane);
        }
    }
    sums
}

/// A line of pixels that [`outer`] sums over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where the first pixel's window stands in the source.
    pub first: usize,
    /// Distance between the windows of neighbours.
    pub step: usize,
    /// Pixels.
    pub pixels: usize,
}

impl Line {
    /// Joins lines that go on where those before them end.
    pub fn join(lines: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut joined: Vec<Self> = Vec::new();
        for line in lines {
            match joined.last_mut() {
                Some(last)
                    if last.step == line.step && last.first + last.pixels * last.step == line.first =>
                {
                    last.pixels += line.pixels;
                }
                _ => joined.push(line),
            }
        }
        joined
    }
}

/// Adds to rows of sums, `R` at most, of `NV` vectors each (or, if `fresh`, to nothing), the sum of the products of a sample
/// and a row of `right` over lines of pixels, whose rows of `right` stand one after the other, `pitch` apart. Sums of sums err
/// less than one long chain.
///
/// ```text
/// sums[r][lane] += sum over pixels p of source[window of p + places[r]] * right[p][lane]
/// ```
///
/// If every sample is a `VECTOR`, its lanes stand there one after the other, for those of each vector of the row.
///
/// # Panics
/// If a window leaves `source`, `right` is too short, or there are too many rows.
#[inline(always)]
pub fn outer<V: Vector, const R: usize, const NV: usize, const VECTOR: bool>(
    source: &[V::Elem],
    places: &[usize; R],
    lines: &[Line],
    right: &[V::Elem],
    pitch: usize,
    sums: &mut [V::Elem],
    fresh: bool,
) {
    let width = NV * V::LANES;
    let rows = sums.len() / width;
    assert!(rows <= R, "rows of the tile");
    let mut reach = 0;
    for &place in places {
        reach = reach.max(place);
    }
    let sample = if VECTOR { V::LANES } else { 1 };
    let room = source.len().checked_sub(reach + sample).expect("a window fits the source");
    let mut pixels = 0;
    for line in lines {
        assert!(
            line.pixels > 0 && line.first + (line.pixels - 1) * line.step <= room,
            "windows in the source"
        );
        pixels += line.pixels;
    }
    assert!(pixels == 0 || right.len() >= (pixels - 1) * pitch + width, "a row for each pixel");
    let mut tile = [[V::splat(V::Elem::default()); NV]; R];
    let mut right = right.as_ptr();
    for line in lines {
        let mut from = [source.as_ptr(); R];
        for r in 0..R {
            from[r] = source.as_ptr().wrapping_add(line.first + places[r]);
        }
        let mut at = 0;
        for _ in 0..line.pixels {
            // SAFETY: every window of the line is inside the source, and `right` has a row for each.
            unsafe {
                let mut row = [V::splat(V::Elem::default()); NV];
                for v in 0..NV {
                    row[v] = V::load(right.add(v * V::LANES));
                }
                for r in 0..R {
                    let from = from[r].add(at);
                    let sample = if VECTOR { V::load(from) } else { V::splat(*from) };
                    for v in 0..NV {
                        tile[r][v] = tile[r][v].mul_add(sample, row[v]);
                    }
                }
            }
            at += line.step;
            right = right.wrapping_add(pitch);
        }
    }
    for r in 0..R {
        if r < rows {
            for v in 0..NV {
                // SAFETY: a row of the sums.
                unsafe {
                    let sum = sums.as_mut_ptr().add(r * width + v * V::LANES);
                    let all = if fresh { tile[r][v] } else { V::load(sum).add(tile[r][v]) };
                    all.store(sum);
                }
            }
        }
    }
}
