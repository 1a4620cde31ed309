//! The window's spectrum, made once in `f64` and kept for the next calls, and the norms that bound what the transforms
//! err by.

use super::super::correlate::Taps;
use crate::isa::{Isa, Kernel};
use crate::kept::Recent;
use crate::simd::fft::{Plane, Twiddles, forward_columns, forward_rows};
use crate::simd::{Lane, Simd, Vector, lane};
use crate::view::Rows;
use std::sync::Arc;

/// The spectrum of a window as convolution multiplies by it, over the number of points, in the order that
/// the transforms leave a spectrum in.
pub(super) struct Spectrum {
    /// Rows and columns.
    points: [usize; 2],
    /// Real and imaginary parts, row by row.
    parts: [Vec<f64>; 2],
    /// The largest magnitude, of the spectrum itself.
    pub(super) peak: f64,
}

/// What tiles of one arithmetic are transformed with: twiddle factors of rows and columns of points, and the
/// spectrum as [`convolve_rows`](crate::simd::fft::convolve_rows) reads it.
pub(super) struct Engine<A> {
    pub(super) twiddles: [Twiddles<A>; 2],
    pub(super) spectrum: [Vec<A>; 2],
}

struct Analyse<'t> {
    taps: &'t Taps,
    points: [usize; 2],
}

impl Kernel for Analyse<'_> {
    type Output = Spectrum;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Spectrum {
        simd.vectorize(
            #[inline(always)]
            || self.spectrum::<<lane::F64 as Lane>::Vector<S>>(),
        )
    }
}

impl Analyse<'_> {
    #[inline(always)]
    fn spectrum<V: Vector<Elem = f64>>(&self) -> Spectrum {
        let [rows, cols] = self.points;
        let [kh, kw] = self.taps.shape();
        let (mut re, mut im) = (vec![0.0; rows * cols], vec![0.0; rows * cols]);
        for i in 0..kh {
            for j in 0..kw {
                // Tap i reads i samples further on: as a convolution it stands at -i.
                let at = (rows - i) % rows * cols + (cols - j) % cols;
                re[at] = self.taps.re()[i * kw + j];
                im[at] = self.taps.im().map_or(0.0, |im| im[i * kw + j]);
            }
        }
        let [ty, tx] = self.points.map(Twiddles::<f64>::new);
        let mut plane = Plane { re: &mut re, im: &mut im, step: cols };
        forward_columns::<V>(&ty, &mut plane, cols);
        let (mut sr, mut si) = (vec![0.0; rows * cols], vec![0.0; rows * cols]);
        forward_rows::<V>(&tx, &mut plane, rows, [&mut sr, &mut si]);
        let peak = sr.iter().zip(&si).fold(0.0_f64, |peak, (a, b)| peak.max(a * a + b * b)).sqrt();
        let scale = 1.0 / (rows * cols) as f64;
        let ordered = |part: Vec<f64>| -> Vec<f64> {
            (0..rows * cols).map(|i| part[place(i, cols, V::LANES)] * scale).collect()
        };
        Spectrum { points: self.points, parts: [ordered(sr), ordered(si)], peak }
    }
}

/// Where point `i`, counted row by row, stands among groups of `lanes` rows.
fn place(i: usize, cols: usize, lanes: usize) -> usize {
    let (row, col) = (i / cols, i % cols);
    (row / lanes * cols + col) * lanes + row % lanes
}

/// What a spectrum is made of.
type Made = (Taps, [usize; 2], Isa);

static KEPT: Recent<Made, Spectrum> = Recent::new(8);

/// Points of a spectrum that is kept, at most: 4 MiB.
const LARGE: usize = 1 << 18;

/// Gives up the spectra that are kept; says how many bytes they took.
pub(super) fn clear() -> usize {
    KEPT.clear(|_, spectrum| spectrum.bytes())
}

impl Spectrum {
    /// As [`Spectrum::new`], kept for the next call.
    pub(super) fn kept(taps: &Taps, points: [usize; 2], isa: Isa) -> Arc<Self> {
        KEPT.find(|made| made.1 == points && made.2 == isa && made.0.same(taps)).unwrap_or_else(|| {
            let spectrum = Arc::new(Self::new(taps, points, isa));
            if points[0] * points[1] <= LARGE {
                KEPT.keep((taps.clone(), points, isa), &spectrum);
            }
            spectrum
        })
    }

    fn bytes(&self) -> usize {
        self.parts.iter().map(|part| size_of_val(part.as_slice())).sum()
    }

    /// Of `taps`, as windows of a circular plane of so many points.
    pub(super) fn new(taps: &Taps, points: [usize; 2], isa: Isa) -> Self {
        isa.dispatch(Analyse { taps, points })
    }

    /// The spectrum in one arithmetic, for groups of `lanes` rows.
    pub(super) fn engine<A: Rows>(&self, lanes: usize) -> Engine<A> {
        let [rows, cols] = self.points;
        debug_assert!(rows.is_multiple_of(lanes), "whole groups of rows");
        let grouped = |part: &Vec<f64>| {
            let mut out = vec![A::default(); part.len()];
            // For every call: without the division that a point's place takes.
            for (rows, out) in part.chunks(lanes * cols).zip(out.chunks_mut(lanes * cols)) {
                for (row, line) in rows.chunks_exact(cols).enumerate() {
                    for (into, &value) in out[row..].iter_mut().step_by(lanes).zip(line) {
                        *into = A::from_f64(value);
                    }
                }
            }
            out
        };
        Engine { twiddles: self.points.map(Twiddles::new), spectrum: [0, 1].map(|i| grouped(&self.parts[i])) }
    }
}
