//! Pictures of floating-point numbers, with the channels of a sample side by side whatever the layout in
//! memory: what convolution layers read and write.

use super::{BlockRows, Picture};
use crate::dispatch_float;
use crate::dtype::{Accumulator, Convert, DType};
use crate::simd::Vector;
use crate::view::{Rows, read_row, write_row};
use std::ops::Range;

/// An accumulator of floating-point arrays.
pub trait Floats: Rows {
    /// [`Rows::read`] of floating-point numbers.
    ///
    /// # Safety
    /// As there.
    unsafe fn widen(dtype: DType, from: *const u8, step: isize, into: &mut [Self]);
    /// Rounds to the nearest and stores numbers `step` bytes apart.
    ///
    /// # Safety
    /// Each is writable.
    unsafe fn narrow(dtype: DType, to: *mut u8, step: isize, from: &[Self]);
}

macro_rules! floats {
    ($($a:ty),*) => {$(
        impl Floats for $a {
            // Once, not for every instruction set and caller: a copy is a call of `memcpy`, and the 16-bit
            // floats' conversions look for their instructions themselves.
            #[inline(never)]
            unsafe fn widen(dtype: DType, from: *const u8, step: isize, into: &mut [Self]) {
                dispatch_float!(dtype, |T| {
                    // SAFETY: the caller's promise.
                    unsafe { read_row::<T, Self>(from, step, into) }
                });
            }
            #[inline(never)]
            unsafe fn narrow(dtype: DType, to: *mut u8, step: isize, from: &[Self]) {
                dispatch_float!(dtype, |T| {
                    // SAFETY: the caller's promise.
                    unsafe { write_row::<T, Self>(to, step, from, <T as Convert<Self>>::saturate) }
                });
            }
        }
    )*};
}
floats!(f32, f64);

/// Samples of a channel that are moved together where channels are planes: a cache line of them.
const PIECE: usize = 16;

/// A row of `deep` planes cut into pieces: the place of each in memory and among the samples, the
/// channel and the length.
#[inline(always)]
fn pieces(cols: usize, deep: usize, strides: [isize; 3], mut each: impl FnMut(isize, usize, usize, usize)) {
    for start in (0..cols).step_by(PIECE) {
        let n = PIECE.min(cols - start);
        for c in 0..deep {
            each(start as isize * strides[1] + c as isize * strides[2], start, c, n);
        }
    }
}

impl Picture<'_> {
    /// Widens columns and channels of row `y`.
    ///
    /// # Panics
    /// If they are not inside the picture, or none; if `into` has another length or the picture is not
    /// of floating-point numbers.
    #[inline(always)]
    pub fn widen<A: Floats>(&self, y: usize, cols: &Range<usize>, channels: &Range<usize>, into: &mut [A]) {
        self.widen_apart(y, cols, channels, channels.len(), into);
    }

    /// The same to pixels that are `step` numbers apart; what stands between them is left.
    ///
    /// # Panics
    /// As [`widen`](Self::widen), and if there are more channels than `step`.
    #[inline(always)]
    pub fn widen_apart<A: Floats>(
        &self,
        y: usize,
        cols: &Range<usize>,
        channels: &Range<usize>,
        step: usize,
        into: &mut [A],
    ) {
        let (deep, size) = (channels.len(), self.dtype.size());
        assert!(into.len() == cols.len() * step && deep <= step, "room for the samples");
        if deep > 1 && self.strides[1] == size as isize {
            let from = self.at(y, cols, channels);
            let mut piece = [A::default(); PIECE];
            pieces(
                cols.len(),
                deep,
                self.strides,
                #[inline(always)]
                |offset, start, c, n| {
                    // SAFETY: inside the array (`at`).
                    unsafe {
                        A::widen(self.dtype, from.wrapping_offset(offset), size as isize, &mut piece[..n]);
                    }
                    scatter(&piece[..n], &mut into[start * step + c..], step);
                },
            );
            return;
        }
        if step != deep {
            for (x, pixel) in cols.clone().zip(into.chunks_exact_mut(step)) {
                let from = self.at(y, &(x..x + 1), channels);
                // SAFETY: inside the array (`at`).
                unsafe { A::widen(self.dtype, from, self.strides[2], &mut pixel[..deep]) }
            }
            return;
        }
        self.runs(
            size,
            y,
            cols,
            channels,
            #[inline(always)]
            |from, step, place| {
                // SAFETY: inside the array (`at`).
                unsafe { A::widen(self.dtype, from, step, &mut into[place]) }
            },
        );
    }
}

impl Picture<'_> {
    /// [`widen_apart`](Self::widen_apart) by squares of a vector's lanes, where channels are planes.
    ///
    /// # Panics
    /// As there.
    #[inline(always)]
    pub fn widen_with<V: Vector<Elem: Floats>>(
        &self,
        y: usize,
        cols: &Range<usize>,
        channels: &Range<usize>,
        step: usize,
        into: &mut [V::Elem],
    ) {
        let (n, deep) = (cols.len(), channels.len());
        match planes::<V>(self.dtype, self.strides) {
            Some(plane) if n >= V::LANES && deep >= V::LANES => {
                assert!(into.len() == n * step && deep <= step, "room for the samples");
                let from = self.at(y, cols, channels).cast::<V::Elem>();
                squares(
                    n,
                    deep,
                    V::LANES,
                    #[inline(always)]
                    |x, c| {
                        // SAFETY: pixels `x..x + LANES` of channels `c..c + LANES`, inside the array (`at`) and
                        // inside `into`.
                        unsafe {
                            let to = into.as_mut_ptr().add(x * step + c);
                            V::transpose(from.wrapping_add(c * plane + x), plane, to, step, [V::LANES; 2]);
                        }
                    },
                );
            }
            _ => self.widen_apart(y, cols, channels, step, into),
        }
    }
}

impl BlockRows<'_> {
    /// [`narrow`](Self::narrow) of some rows by squares of a vector's lanes, where channels are planes.
    ///
    /// # Panics
    /// As there, and if there are no rows.
    #[inline(always)]
    pub fn narrow_with<V: Vector<Elem: Floats>>(&mut self, rows: &Range<usize>, from: &[V::Elem]) {
        let (cols, deep) = (self.cols.len(), self.channels.len());
        assert!(!rows.is_empty() && from.len() == rows.len() * cols * deep, "whole rows");
        let plane = planes::<V>(self.dtype, self.strides).filter(|_| deep >= V::LANES);
        // Rows that follow one upon the other are one: there are more whole squares in it.
        let one = plane.is_some() && self.strides[0] == cols as isize * self.strides[1];
        let n = if one { rows.len() * cols } else { cols };
        for (y, from) in rows.clone().step_by(n / cols).zip(from.chunks_exact(n * deep)) {
            let Some(plane) = plane.filter(|_| n >= V::LANES) else {
                for (y, from) in (y..).zip(from.chunks_exact(cols * deep)) {
                    self.narrow(y, from);
                }
                continue;
            };
            assert!(y + n / cols <= self.rows.end, "rows of the block");
            let to = self.at(y).cast::<V::Elem>();
            squares(
                n,
                deep,
                V::LANES,
                #[inline(always)]
                |x, c| {
                    // SAFETY: pixels `x..x + LANES`, of one row or of rows that follow one upon the other, of
                    // channels `c..c + LANES`, inside `from` and inside the block, which is exclusively ours.
                    unsafe {
                        let from = from.as_ptr().add(x * deep + c);
                        V::transpose(from, deep, to.wrapping_add(c * plane + x), plane, [V::LANES; 2]);
                    }
                },
            );
        }
    }

    /// Rounds to the nearest and stores one channel of the block, counted from its first: rows and columns in
    /// C order.
    ///
    /// # Panics
    /// If there is no such channel, or `from` has another length.
    pub fn narrow_plane<A: Floats>(&mut self, channel: usize, from: &[A]) {
        let (cols, [row, col, plane], dtype) = (self.cols.len(), self.strides, self.dtype);
        assert!(from.len() == self.rows.len() * cols && channel < self.channels.len(), "the whole channel");
        let run = if row == cols as isize * col { from.len() } else { cols };
        for (rows, from) in self.rows.clone().step_by(run / cols).zip(from.chunks_exact(run)) {
            let to = self.at(rows).wrapping_offset(channel as isize * plane);
            // SAFETY: inside the block, which is exclusively ours.
            unsafe { A::narrow(dtype, to, col, from) }
        }
    }

    /// Rounds to the nearest and stores row `y`.
    ///
    /// # Panics
    /// If it is not a row of the block; if `from` has another length or the array is not of
    /// floating-point numbers.
    #[inline(always)]
    pub fn narrow<A: Floats>(&mut self, y: usize, from: &[A]) {
        let (deep, cols, dtype) = (self.channels.len(), self.cols.len(), self.dtype);
        assert!(from.len() == cols * deep, "the whole row");
        let size = dtype.size() as isize;
        if deep > 1 && self.strides[1] == size {
            let to = self.at(y);
            let mut piece = [A::default(); PIECE];
            pieces(
                cols,
                deep,
                self.strides,
                #[inline(always)]
                |offset, start, c, n| {
                    collect(&from[start * deep + c..], deep, &mut piece[..n]);
                    // SAFETY: inside the block, which is exclusively ours.
                    unsafe { A::narrow(dtype, to.wrapping_offset(offset), size, &piece[..n]) }
                },
            );
            return;
        }
        self.runs(
            y,
            #[inline(always)]
            |to, step, place| {
                // SAFETY: inside the block, which is exclusively ours.
                unsafe { A::narrow(dtype, to, step, &from[place]) }
            },
        );
    }
}

/// Planes of a vector's own elements beside each other along a row, from plane to plane, in elements.
#[inline(always)]
fn planes<V: Vector<Elem: Floats>>(dtype: DType, strides: [isize; 3]) -> Option<usize> {
    let size = size_of::<V::Elem>() as isize;
    let own = <V::Elem as Accumulator>::STORED_AS == Some(dtype) && strides[1] == size;
    (own && strides[2] > 0 && strides[2] % size == 0).then_some((strides[2] / size) as usize)
}

/// Calls `each` with the first pixel and channel of squares of `lanes` that cover a row; the last ones
/// overlap those before.
#[inline(always)]
fn squares(cols: usize, deep: usize, lanes: usize, mut each: impl FnMut(usize, usize)) {
    for c in (0..deep).step_by(lanes) {
        for x in (0..cols).step_by(lanes) {
            each(x.min(cols - lanes), c.min(deep - lanes));
        }
    }
}

#[inline(always)]
fn scatter<A: Accumulator>(from: &[A], into: &mut [A], step: usize) {
    for (&value, into) in from.iter().zip(into.iter_mut().step_by(step)) {
        *into = value;
    }
}

#[inline(always)]
fn collect<A: Accumulator>(from: &[A], step: usize, into: &mut [A]) {
    for (&value, into) in from.iter().step_by(step).zip(into.iter_mut()) {
        *into = value;
    }
}
