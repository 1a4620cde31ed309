//! The register tiles of depthwise layers, whose lanes are channels: a lane's sample is its own channel's.
//!
//! [`gather_own`] sums over taps for a few pixels of a row at once, [`outer_own`] over the pixels of a row for a
//! few taps. A sample is a vector that one multiply-add alone uses; what takes time is that samples are near.
//!
//! Tried, no gain: to load a sample once for neighbouring taps of neighbouring pixels. Alone, that was half as quick
//! again, with samples in the first-level cache; in layers nothing, and a fifth slower for [`outer_own`].
#![expect(unsafe_code, reason = "raw loads in the innermost loops; bounds are checked once a row")]

use super::{MAX_LANES, Vector, load_tile, store_tile};

/// Channels of a row of pixels that are computed before the next ones: their weights, or their sums, stay in the
/// first-level cache.
const NEAR: usize = 64;

/// What a row of pixels reads.
#[derive(Clone, Copy, Debug)]
pub struct Own<'r, A> {
    /// The samples.
    pub source: &'r [A],
    /// Where the first pixel's samples begin, for each tap.
    pub places: &'r [usize],
    /// Numbers from a pixel's samples to the next's.
    pub step: usize,
    /// Pixels, one at least.
    pub pixels: usize,
    /// Channels, a vector of them at least.
    pub channels: usize,
}

impl<A> Own<'_, A> {
    /// # Panics
    /// If a sample is missing.
    #[inline(always)]
    fn check(&self, lanes: usize) {
        assert!(self.pixels > 0 && self.channels >= lanes, "a vector of channels");
        let end = (self.pixels - 1) * self.step + self.channels;
        for place in self.places {
            assert!(place + end <= self.source.len(), "a sample for each tap and pixel");
        }
    }

    /// Parts of the channels.
    #[inline(always)]
    fn near(&self) -> impl Iterator<Item = [usize; 2]> + use<A> {
        let channels = self.channels;
        (0..channels).step_by(NEAR).map(move |first| [first, channels.min(first + NEAR)])
    }
}

/// Computes a row of pixels, `to` numbers apart in `out`:
///
/// ```text
/// out[p][c] = start[c] + sum over k of source[places[k] + p * step + c] * weights[k][c]
/// ```
///
/// # Panics
/// If samples, weights or room are missing.
#[inline(always)]
pub fn gather_own<V: Vector>(
    own: &Own<'_, V::Elem>,
    weights: &[&[V::Elem]],
    start: &[V::Elem],
    out: &mut [V::Elem],
    to: usize,
) {
    own.check(V::LANES);
    assert!(weights.len() == own.places.len(), "weights for each tap");
    for weights in weights {
        assert!(weights.len() >= own.channels, "a weight for each channel");
    }
    assert!(start.len() >= own.channels, "a number to start from for each channel");
    assert!(out.len() >= (own.pixels - 1) * to + own.channels, "room for the results");
    let row = Row { own, weights, start, to };
    for near in own.near() {
        match own.pixels {
            // Fourteen sums and two weights take every register that there is at least.
            7.. => row.walk::<V, 7>(near, out),
            4.. => row.walk::<V, 4>(near, out),
            _ => row.walk::<V, 1>(near, out),
        }
    }
}

/// A row of results.
struct Row<'r, A> {
    own: &'r Own<'r, A>,
    weights: &'r [&'r [A]],
    start: &'r [A],
    to: usize,
}

impl<A: Copy + Default> Row<'_, A> {
    /// Computes `R` pixels at a time; the last ones overlap those before, as the last vector does.
    #[inline(always)]
    fn walk<V: Vector<Elem = A>, const R: usize>(&self, [first, end]: [usize; 2], out: &mut [A]) {
        for pixel in (0..self.own.pixels).step_by(R) {
            let pixel = pixel.min(self.own.pixels - R);
            let mut channel = first;
            while channel + 2 * V::LANES <= end {
                self.tile::<V, R, 2>(pixel, channel, out);
                channel += 2 * V::LANES;
            }
            while channel < end {
                self.tile::<V, R, 1>(pixel, channel.min(self.own.channels - V::LANES), out);
                channel += V::LANES;
            }
        }
    }

    #[inline(always)]
    fn tile<V: Vector<Elem = A>, const R: usize, const NV: usize>(
        &self,
        pixel: usize,
        channel: usize,
        out: &mut [A],
    ) {
        let Own { source, places, step, .. } = *self.own;
        let mut sums = [load_tile::<V, NV>(self.start, channel); R];
        let base = source.as_ptr().wrapping_add(pixel * step + channel);
        for (&place, weights) in places.iter().zip(self.weights) {
            // SAFETY: `gather_own` has checked that the source has samples and that there are weights for every
            // tap, pixel and channel; these are such.
            unsafe {
                let from = base.wrapping_add(place);
                let mut weight = [V::splat(A::default()); NV];
                for v in 0..NV {
                    weight[v] = V::load(weights.as_ptr().add(channel + v * V::LANES));
                }
                for r in 0..R {
                    for v in 0..NV {
                        let sample = V::load(from.wrapping_add(r * step + v * V::LANES));
                        sums[r][v] = sums[r][v].mul_add(sample, weight[v]);
                    }
                }
            }
        }
        let to = out.as_mut_ptr().wrapping_add(pixel * self.to + channel);
        for r in 0..R {
            for v in 0..NV {
                // SAFETY: `out` has room for every pixel and channel, as `gather_own` has checked.
                unsafe { sums[r][v].store(to.wrapping_add(r * self.to + v * V::LANES)) }
            }
        }
    }
}

/// Adds the products of the samples and of a row of pixels, whose numbers are `pitch` apart in `right`:
///
/// ```text
/// sums[k][c] += sum over p of source[places[k] + p * step + c] * right[p * pitch + c]
/// ```
///
/// # Panics
/// If samples, pixels or sums are missing.
#[inline(always)]
pub fn outer_own<V: Vector>(own: &Own<'_, V::Elem>, right: &[V::Elem], pitch: usize, sums: &mut [V::Elem]) {
    own.check(V::LANES);
    assert!(right.len() >= (own.pixels - 1) * pitch + own.channels, "every pixel");
    assert!(sums.len() >= own.places.len() * own.channels, "a sum for each tap and channel");
    for [first, end] in own.near() {
        for channel in (first..end).step_by(V::LANES) {
            let mut tap = 0;
            // A register for each sum, one for a pixel's numbers.
            while tap < own.places.len() {
                tap += match own.places.len() - tap {
                    9.. => pixels::<V, 9>(own, right, pitch, sums, tap, channel),
                    3.. => pixels::<V, 3>(own, right, pitch, sums, tap, channel),
                    _ => pixels::<V, 1>(own, right, pitch, sums, tap, channel),
                }
            }
        }
    }
}

/// Adds over the pixels for `R` taps from `tap` on, and tells how many they are. `channel` is the first of a vector,
/// or of the channels that are left.
#[inline(always)]
fn pixels<V: Vector, const R: usize>(
    own: &Own<'_, V::Elem>,
    right: &[V::Elem],
    pitch: usize,
    sums: &mut [V::Elem],
    tap: usize,
    channel: usize,
) -> usize {
    // The last vector overlaps the one before, whose sums are not touched again.
    let first = channel.min(own.channels - V::LANES);
    let mut tile = [V::splat(V::Elem::default()); R];
    let mut from = [own.source.as_ptr(); R];
    for r in 0..R {
        [tile[r]] = load_tile(sums, (tap + r) * own.channels + first);
        from[r] = own.source.as_ptr().wrapping_add(own.places[tap + r] + first);
    }
    let mut right = right.as_ptr().wrapping_add(first);
    let mut at = 0;
    for _ in 0..own.pixels {
        // SAFETY: `outer_own` has checked that every pixel, and every tap's sample for it, is there.
        unsafe {
            let number = V::load(right);
            for r in 0..R {
                tile[r] = tile[r].mul_add(V::load(from[r].wrapping_add(at)), number);
            }
        }
        right = right.wrapping_add(pitch);
        at += own.step;
    }
    for r in 0..R {
        let row = (tap + r) * own.channels;
        let held = row + channel..row + own.channels.min(channel + V::LANES);
        if first == channel {
            store_tile(&[tile[r]], &mut sums[held], 0);
        } else {
            let mut lanes = [V::Elem::default(); 2 * MAX_LANES];
            store_tile(&[tile[r]], &mut lanes, 0);
            sums[held].copy_from_slice(&lanes[channel - first..V::LANES]);
        }
    }
    R
}
