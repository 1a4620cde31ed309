//! The problems of pooling's gradients: from a gradient of the results, that of the image.
//!
//! ```text
//! max    dx[p] = sum of grad[o] over the windows o whose greatest sample is p
//! mean   dx[p] = sum of grad[o] / divisor[o] over the windows o that hold p
//! ```
//!
//! Every element of `dx` is summed where it is written, window after window in their order, so the
//! bits do not depend on threads or blocks.

use super::fold::Sample;
use super::{Inside, Pool, Reduction, Windows};
use crate::Error;
use crate::dtype::{Arithmetic, DType, Kind};
use crate::shape::Axis;
use crate::view::{Dst, Rows, Src};
use std::fmt;
use std::ops::{AddAssign, Range};

/// The gradient of max pooling. Arrays that are read: the image and the gradient, or, with
/// `indices`, the gradient and the positions (`int64`, `y * width + x`) that the forward pass gave.
/// Array that is written: the image's gradient.
#[derive(Clone, Debug)]
pub struct MaxGrad {
    /// The forward problem; whether it gives indices does not matter.
    pub pool: Pool,
    /// Whether the positions of the maxima are read, instead of the image.
    pub indices: bool,
}

/// The gradient of average pooling. Array that is read: the gradient. Array that is written: the
/// image's gradient.
#[derive(Clone, Debug)]
pub struct MeanGrad {
    /// The forward problem.
    pub pool: Pool,
}

fn floats(pool: &Pool) -> Result<(), Error> {
    match pool.dtype.kind() {
        Kind::Float => Ok(()),
        _ => Err(Error::Type(format!(
            "gradients are of floating-point images; convert the image. Received: {}.",
            pool.dtype.name()
        ))),
    }
}

impl MaxGrad {
    /// The gradient of `pool`.
    ///
    /// # Errors
    /// [`Error::Type`] for integers, [`Error::Value`] if `pool` is of means.
    pub fn new(pool: Pool, indices: bool) -> Result<Self, Error> {
        floats(&pool)?;
        if matches!(pool.reduction, Reduction::Mean { .. }) {
            return Err(Error::Value(
                "the gradient of a maximum is of max pooling. Received: a mean.".into(),
            ));
        }
        let reduction = Reduction::Max { indices: false };
        Ok(Self { pool: Pool { reduction, ..pool }, indices })
    }

    /// What gradients are summed in.
    pub fn arithmetic(&self) -> Arithmetic {
        if self.pool.dtype == DType::F64 { Arithmetic::F64 } else { Arithmetic::F32 }
    }

    /// The error of an element as a multiple of the sum of the `|grad|` that are its; 0 where windows
    /// don't overlap.
    pub fn error_bound(&self) -> f64 {
        let overlap: usize = self.pool.windows.iter().map(Windows::overlap).product();
        (overlap - 1) as f64 * self.arithmetic().unit_roundoff()
    }

    /// Asserts the arrays' shapes and dtypes.
    pub(super) fn check_arrays(&self, srcs: &[Src<'_>], dsts: &[Dst<'_>]) {
        let [first, second] = srcs else { panic!("the gradient of max pooling reads two arrays") };
        let (dtype, image, results) =
            (self.pool.dtype, self.pool.windows.map(|w| w.src()), self.pool.output());
        if self.indices {
            self.pool.check_array(first.shape(), first.dtype(), results, dtype);
            self.pool.check_array(second.shape(), second.dtype(), results, DType::I64);
        } else {
            self.pool.check_array(first.shape(), first.dtype(), image, dtype);
            self.pool.check_array(second.shape(), second.dtype(), results, dtype);
        }
        let [dst] = dsts else { panic!("one array is written") };
        self.pool.check_array(dst.shape(), dst.dtype(), image, dtype);
    }
}

impl MeanGrad {
    /// The gradient of `pool`.
    ///
    /// # Errors
    /// [`Error::Type`] for integers, [`Error::Value`] if `pool` is of maxima.
    pub fn new(pool: Pool) -> Result<Self, Error> {
        floats(&pool)?;
        if matches!(pool.reduction, Reduction::Max { .. }) {
            return Err(Error::Value(
                "the gradient of a mean is of average pooling. Received: a maximum.".into(),
            ));
        }
        Ok(Self { pool })
    }

    /// The error of an element as a multiple of the sum of the `|grad / divisor|` that are its: a
    /// rounding of each divisor and quotient, and one of each sum.
    pub fn error_bound(&self) -> f64 {
        let overlap: usize = self.pool.windows.iter().map(Windows::overlap).sum();
        overlap as f64 * self.pool.arithmetic.unit_roundoff()
    }

    pub(super) fn check_arrays(&self, srcs: &[Src<'_>], dsts: &[Dst<'_>]) {
        let ([src], [dst]) = (srcs, dsts) else { panic!("one array is read and one is written") };
        let (dtype, image) = (self.pool.dtype, self.pool.windows.map(|w| w.src()));
        self.pool.check_array(src.shape(), src.dtype(), self.pool.output(), dtype);
        self.pool.check_array(dst.shape(), dst.dtype(), image, dtype);
    }
}

impl fmt::Display for MaxGrad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gradient of {}{}", self.pool, if self.indices { ", from indices" } else { "" })
    }
}

impl fmt::Display for MeanGrad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gradient of {}", self.pool)
    }
}

impl Pool {
    fn check_array(&self, shape: &[usize], dtype: DType, [h, w]: [usize; 2], wanted: DType) {
        assert!(dtype == wanted, "an array of {}", wanted.name());
        let outer = shape.len().checked_sub(3).expect("three axes at least");
        assert!(
            shape[outer..] == [h, w, self.channels]
                && shape[..outer].iter().product::<usize>() == self.pictures,
            "an array of {} pictures, {h} x {w}, of {} channels",
            self.pictures,
            self.channels
        );
    }

    /// Estimated nanoseconds of a gradient, from the joins of a window's result and of a sample.
    pub(super) fn gradient_nanoseconds(&self, of_result: f64, of_sample: f64, row: f64) -> f64 {
        let [rows, cols] = self.windows.map(|w| w.src() as f64);
        let samples = self.pictures as f64 * rows * cols * self.channels as f64;
        let bytes = self.dtype.size() as f64;
        self.nanoseconds(of_result, 40.0, 0.0)
            + samples * of_sample * bytes / 40.0
            + self.pictures as f64 * rows * row
    }

    /// Rows, columns and channels of a block of the image's gradient, for accumulators of `size`
    /// bytes: a row of a block stays in the first-level cache, and windows that reach over a block's
    /// edge are few.
    pub(super) fn gradient_blocking(&self, threads: usize, size: usize) -> [usize; 3] {
        const ROW: usize = 16 << 10;
        let [above, across] = &self.windows;
        let deep = self.channels.clamp(1, ROW / size);
        let width = (ROW / size / deep).max(4 * across.reach()).clamp(1, across.src().max(1));
        let apart = across.src().div_ceil(width) * self.channels.div_ceil(deep) * self.pictures;
        let wanted = if threads == 1 { 1 } else { (4 * threads).div_ceil(apart.max(1)) };
        let rows = above.src().div_ceil(wanted);
        // Windows that don't overlap reach over no edge of a block that ends where they do.
        let rows = if above.stride() >= above.reach() {
            rows.next_multiple_of(above.stride())
        } else {
            rows.max(2 * above.reach())
        };
        [rows.clamp(1, above.src().max(1)), width, deep]
    }
}

impl Windows {
    /// Samples that a window spans.
    fn reach(&self) -> usize {
        match self {
            Self::Sliding(axis) | Self::Stacked(axis, _) => axis.span(),
            Self::Adaptive { .. } => self.taps(),
        }
    }

    /// The windows that span sample `at`, whether or not they have a tap there.
    pub(super) fn over(&self, at: usize) -> Range<usize> {
        match self {
            Self::Sliding(axis) => {
                let end = at as isize + axis.before;
                let below = |place: isize| (place.max(0) as usize).div_ceil(axis.stride).min(axis.dst);
                below(end + 1 - axis.span() as isize)..below(end + 1)
            }
            Self::Stacked(axis, _) => {
                let [picture, at] = super::divided(at, axis.src);
                let over = Self::Sliding(*axis).over(at);
                over.start + picture * axis.dst..over.end + picture * axis.dst
            }
            // Who divides whom is symmetric.
            Self::Adaptive { src, dst } => {
                let (first, end) = Axis::adaptive_window(*dst, *src, at);
                first..end
            }
        }
    }

    /// The windows that span any of the samples.
    pub(super) fn over_all(&self, samples: &Range<usize>) -> Range<usize> {
        if samples.is_empty() {
            return 0..0;
        }
        self.over(samples.start).start..self.over(samples.end - 1).end
    }

    /// The most windows that span one sample.
    pub(super) fn overlap(&self) -> usize {
        match self {
            Self::Sliding(axis) | Self::Stacked(axis, _) => (axis.span() - 1) / axis.stride + 1,
            Self::Adaptive { src, dst } => dst.div_ceil(*src) + 1,
        }
    }

    /// How many samples sample `at` stands after the window's first one, if it is one of its taps.
    pub(super) fn depth(&self, window: &Inside, at: usize) -> Option<usize> {
        let depth = at.checked_sub(window.first)?;
        let step = self.dilation();
        (depth.is_multiple_of(step) && depth / step < window.taps).then_some(depth)
    }
}

/// Where the columns of a block of the image's gradient are summed: dealt out by the windows' stride,
/// so that one tap of neighbouring windows adds to neighbours.
///
/// A place of a phase is counted in strides, from where the first window begins.
pub(super) struct Comb {
    stride: usize,
    deep: usize,
    /// Strides from the first window's beginning to place 0; the windows begin at this place or later.
    base: usize,
    /// Place of the first window of the block.
    pub(super) first: usize,
    /// Places.
    len: usize,
    /// Where the block's columns stand in a woven row.
    pub(super) held: Range<usize>,
}

impl Comb {
    /// For the image's columns `cols` and the windows that span them, by their `stride`: 1 leaves the
    /// columns as they are.
    pub(super) fn new(
        windows: &Windows,
        stride: usize,
        cols: &Range<usize>,
        results: &Range<usize>,
        deep: usize,
    ) -> Self {
        // Columns counted from where the first window begins.
        let before = match windows {
            Windows::Sliding(axis) => axis.before.max(0) as usize,
            Windows::Stacked(..) | Windows::Adaptive { .. } => 0,
        };
        let (start, end) = (cols.start + before, cols.end + before);
        let (mut base, mut last) = (start / stride, (end - 1) / stride);
        if !results.is_empty() {
            base = base.min(Self::begin(windows, results.start) / stride);
            last = last.max((Self::begin(windows, results.end - 1) + windows.reach() - 1) / stride);
        }
        let first = if results.is_empty() { 0 } else { Self::begin(windows, results.start) / stride - base };
        let lead = start - base * stride;
        let held = lead * deep..(lead + cols.len()) * deep;
        Self { stride, deep, base, first, len: last + 1 - base, held }
    }

    /// The column where window `o` begins, counted from where the first does.
    fn begin(windows: &Windows, o: usize) -> usize {
        match windows {
            Windows::Sliding(axis) | Windows::Stacked(axis, _) => o * axis.stride,
            Windows::Adaptive { src, dst } => Axis::adaptive_window(*src, *dst, o).0,
        }
    }

    /// Where window `o` begins in a row of stride 1.
    pub(super) fn place(&self, windows: &Windows, o: usize) -> usize {
        Self::begin(windows, o) - self.base
    }

    /// Numbers of all phases.
    pub(super) fn room(&self) -> usize {
        self.stride * self.len * self.deep
    }

    /// What samples `at` after their windows' beginnings add to, for `width` results' numbers.
    pub(super) fn tooth<'a, A>(&self, at: usize, phases: &'a mut [A], width: usize) -> &'a mut [A] {
        let place = at % self.stride * self.len + self.first + at / self.stride;
        &mut phases[place * self.deep..][..width]
    }

    /// Whether the phases are one, the row itself.
    pub(super) fn is_row(&self) -> bool {
        self.stride == 1
    }

    /// Puts the phases together to a row.
    #[inline(always)]
    pub(super) fn weave<A: Copy>(&self, phases: &[A], row: &mut [A]) {
        match (self.deep, self.stride) {
            (1, 2) => woven::<A, 2>(phases, row),
            (1, 3) => woven::<A, 3>(phases, row),
            (1, 4) => woven::<A, 4>(phases, row),
            (6, 2) => self.groups::<A, 6>(phases, row),
            (8, 2) => self.groups::<A, 8>(phases, row),
            (16, 2) => self.groups::<A, 16>(phases, row),
            (deep, stride) => {
                let len = self.len * deep;
                for (phase, from) in phases.chunks_exact(len).enumerate() {
                    let places = from.chunks_exact(deep).zip(row[phase * deep..].chunks_mut(stride * deep));
                    for (from, to) in places {
                        to[..deep].copy_from_slice(from);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn groups<A: Copy, const G: usize>(&self, phases: &[A], row: &mut [A]) {
        for (phase, from) in phases.chunks_exact(self.len * G).enumerate() {
            let to = row[phase * G..].chunks_mut(self.stride * G);
            for (from, to) in from.as_chunks::<G>().0.iter().zip(to) {
                if let Some(to) = to.first_chunk_mut::<G>() {
                    *to = *from;
                }
            }
        }
    }
}

#[inline(always)]
fn woven<A: Copy, const N: usize>(phases: &[A], row: &mut [A]) {
    let len = phases.len() / N;
    let phases: [&[A]; N] = std::array::from_fn(|n| &phases[n * len..][..len]);
    for (i, to) in row.as_chunks_mut::<N>().0.iter_mut().enumerate().take(len) {
        for n in 0..N {
            to[n] = phases[n][i];
        }
    }
}

/// An element that has a gradient.
pub(super) trait Smooth: Sample + Default {
    /// What its gradients are summed in.
    type Sum: Rows + AddAssign;
}
macro_rules! smooth {
    ($($variant:ident, $t:ty, $sum:ty;)*) => {
        $(impl Smooth for $t { type Sum = $sum; })*

        /// Runs `$body` with `$T` standing for a floating-point dtype's storage.
        macro_rules! dispatch_smooth {
            ($dtype:expr, |$T:ident| $body:block) => {
                match $dtype {
                    $(DType::$variant => { type $T = $t; $body })*
                    _ => unreachable!("gradients are of floating-point images"),
                }
            };
        }
    };
}
smooth! { F16, half::f16, f32; Bf16, half::bf16, f32; F32, f32, f32; F64, f64, f64; }
pub(super) use dispatch_smooth;
