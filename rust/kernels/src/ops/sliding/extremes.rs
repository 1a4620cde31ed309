//! Least and greatest.

use super::Sliding;
use super::fold::{Fold, Run, Step, copy, read, write};
use crate::alloc::Plain;
use crate::dtype::{Bool, Convert, Element, Finish, Kind, Rounding};
use crate::simd::Simd;
use crate::view::{BlockRows, Picture, Rows};
use half::{bf16, f16};
use std::marker::PhantomData;

/// A number with an order; a NaN comes before and after every number.
pub(super) trait Ordered: Plain {
    /// The lesser.
    fn least(a: Self, b: Self) -> Self;
    /// The greater.
    fn greatest(a: Self, b: Self) -> Self;
}

/// A number that may be a NaN.
pub(super) trait Nan: Ordered {
    /// The lesser of two numbers, one instruction; a NaN may be lost.
    fn lesser(a: Self, b: Self) -> Self;
    /// The greater.
    fn greater(a: Self, b: Self) -> Self;
    /// Whether there is a NaN.
    fn any_nan(row: &[Self]) -> bool;
}

macro_rules! ordered {
    (integers $($t:ty),*; floats $($f:ty),*) => {
        $(impl Ordered for $t {
            #[inline(always)]
            fn least(a: Self, b: Self) -> Self { if b < a { b } else { a } }
            #[inline(always)]
            fn greatest(a: Self, b: Self) -> Self { if b > a { b } else { a } }
        })*
        // A comparison of the vector units gives `b` where either is a NaN: what is left is a NaN in `a`.
        $(impl Ordered for $f {
            #[inline(always)]
            fn least(a: Self, b: Self) -> Self {
                let least = Self::lesser(a, b);
                if a != a { a } else { least }
            }
            #[inline(always)]
            fn greatest(a: Self, b: Self) -> Self {
                let greatest = Self::greater(a, b);
                if a != a { a } else { greatest }
            }
        }
        impl Nan for $f {
            #[inline(always)]
            fn lesser(a: Self, b: Self) -> Self { if a < b { a } else { b } }
            #[inline(always)]
            fn greater(a: Self, b: Self) -> Self { if a > b { a } else { b } }
            #[inline(always)]
            fn any_nan(row: &[Self]) -> bool {
                let mut any = 0_u32;
                for &x in row {
                    any |= u32::from(x != x);
                }
                any != 0
            }
        })*
    };
}
ordered!(integers u8, i8, u16, i16, u32, i32, u64, i64, i128; floats f32, f64);

/// Of booleans the bytes are compared: any byte but 0 is true.
impl Ordered for Bool {
    #[inline(always)]
    fn least(a: Self, b: Self) -> Self {
        Self(u8::least(a.0, b.0))
    }
    #[inline(always)]
    fn greatest(a: Self, b: Self) -> Self {
        Self(u8::greatest(a.0, b.0))
    }
}

/// The 16-bit floats are compared as integers: sign and magnitude as two's complement, in which -0 is 0.
macro_rules! halves {
    ($($t:ty, $infinity:literal;)*) => {$(
        impl Ordered for $t {
            #[inline(always)]
            fn least(a: Self, b: Self) -> Self {
                if key::<$infinity>(b.to_bits(), i16::MIN) < key::<$infinity>(a.to_bits(), i16::MIN) { b } else { a }
            }
            #[inline(always)]
            fn greatest(a: Self, b: Self) -> Self {
                if key::<$infinity>(b.to_bits(), i16::MAX) > key::<$infinity>(a.to_bits(), i16::MAX) { b } else { a }
            }
        }
    )*};
}
halves! { f16, 0x7c00; bf16, 0x7f80; }

/// What a 16-bit float is ordered by; `nan` for a NaN.
#[inline(always)]
fn key<const INFINITY: i16>(bits: u16, nan: i16) -> i16 {
    let bits = bits as i16;
    let magnitude = bits & 0x7fff;
    let number = if bits < 0 { -magnitude } else { magnitude };
    if magnitude > INFINITY { nan } else { number }
}

/// The constant border's value, rounded and narrowed as results are.
fn outside<T: Convert<f64> + Convert<i128>>(problem: &Sliding) -> T {
    match problem.cval.integer {
        Some(integer) => <T as Convert<i128>>::saturate(integer),
        None => {
            let value = problem.cval.value.re;
            let integers = matches!(T::DTYPE.kind(), Kind::Integer(..));
            <T as Convert<f64>>::saturate(match problem.finish.rounding {
                _ if !integers => value,
                Rounding::HalfEven => value.round_ties_even(),
                Rounding::Truncate => value.trunc(),
            })
        }
    }
}

/// The least or the greatest.
pub(super) struct Extreme<T, const MAX: bool>(PhantomData<T>);

impl<T: Ordered, const MAX: bool> Step for Extreme<T, MAX> {
    type From = T;
    type To = T;
    #[inline(always)]
    fn raise(from: T) -> T {
        from
    }
    #[inline(always)]
    fn join(a: T, b: T) -> T {
        if MAX { T::greatest(a, b) } else { T::least(a, b) }
    }
    fn replace(_: T, _: T, _: T) -> T {
        unreachable!("a least sample can't be taken away")
    }
}

/// The least or the greatest of numbers among which is no NaN.
pub(super) struct Quick<T, const MAX: bool>(PhantomData<T>);

impl<T: Nan, const MAX: bool> Step for Quick<T, MAX> {
    type From = T;
    type To = T;
    #[inline(always)]
    fn raise(from: T) -> T {
        from
    }
    #[inline(always)]
    fn join(a: T, b: T) -> T {
        if MAX { T::greater(a, b) } else { T::lesser(a, b) }
    }
    fn replace(_: T, _: T, _: T) -> T {
        unreachable!("a least sample can't be taken away")
    }
}

/// The least or greatest of elements as they are stored.
pub(super) struct Own<T, const MAX: bool> {
    outside: T,
}

impl<T: Convert<f64> + Convert<i128>, const MAX: bool> Own<T, MAX> {
    pub(super) fn new(problem: &Sliding) -> Self {
        Self::with(outside(problem))
    }

    /// With that sample beyond the edges.
    pub(super) fn with(outside: T) -> Self {
        Self { outside }
    }
}

/// The parts of [`Fold`] that are alike for both.
macro_rules! extremes {
    ($t:ident, $step:ident, $checks:literal, |$row:pat_param| $suspects:expr) => {
        type Raw = $t;
        type Tall = $t;
        type Wide = $t;
        type Down = $step<$t, MAX>;
        type First = $step<$t, MAX>;
        type Across = $step<$t, MAX>;
        const IDEMPOTENT: bool = true;
        const REPLACES: bool = false;
        const CHECKS: bool = $checks;

        fn outside(&self) -> $t {
            self.outside
        }
        fn outside_column(&self) -> $t {
            self.outside
        }
        fn outside_converted(&self) -> $t {
            self.outside
        }
        #[inline(always)]
        fn suspects($row: &[$t]) -> bool {
            $suspects
        }
        fn converts(&self) -> bool {
            false
        }
        fn convert(&self, columns: &[$t], into: &mut [$t]) {
            into.copy_from_slice(columns);
        }
    };
}

impl<T: Element + Ordered, const MAX: bool> Fold for Own<T, MAX> {
    extremes!(T, Extreme, false, |_| false);
    type Careful = Self;

    fn careful(&self) -> Self {
        Self { outside: self.outside }
    }

    fn lend<'a>(from: &Picture<'a>, run: &Run<'_>) -> Option<&'a [T]> {
        from.lend(run.y, run.cols, run.channels)
    }
    fn bring<S: Simd>(simd: S, from: &Picture<'_>, run: &Run<'_>, into: &mut [T]) {
        copy(simd, from, run, into);
    }
    fn lend_result<'t>(&self, to: &'t mut BlockRows<'_>, y: usize) -> Option<&'t mut [T]> {
        to.lend(y)
    }
    #[inline(always)]
    fn finish(&self, _: &mut [T]) {}
    fn store<S: Simd>(&self, _: S, to: &mut BlockRows<'_>, y: usize, row: &mut [T]) {
        to.copy(y, row);
    }
}

/// The same of floats, in blocks without a NaN: a third of the instructions.
pub(super) struct Floats<T, const MAX: bool> {
    outside: T,
}

impl<T: Convert<f64> + Convert<i128>, const MAX: bool> Floats<T, MAX> {
    pub(super) fn new(problem: &Sliding) -> Self {
        Self { outside: outside(problem) }
    }
}

impl<T: Element + Nan, const MAX: bool> Fold for Floats<T, MAX> {
    extremes!(T, Quick, true, |row| T::any_nan(row));
    type Careful = Own<T, MAX>;

    fn careful(&self) -> Own<T, MAX> {
        Own { outside: self.outside }
    }

    fn lend<'a>(from: &Picture<'a>, run: &Run<'_>) -> Option<&'a [T]> {
        from.lend(run.y, run.cols, run.channels)
    }
    fn bring<S: Simd>(simd: S, from: &Picture<'_>, run: &Run<'_>, into: &mut [T]) {
        copy(simd, from, run, into);
    }
    fn lend_result<'t>(&self, to: &'t mut BlockRows<'_>, y: usize) -> Option<&'t mut [T]> {
        to.lend(y)
    }
    #[inline(always)]
    fn finish(&self, _: &mut [T]) {}
    fn store<S: Simd>(&self, _: S, to: &mut BlockRows<'_>, y: usize, row: &mut [T]) {
        to.copy(y, row);
    }
}

/// The least or greatest of elements that are widened.
pub(super) struct Widened<A, const MAX: bool> {
    outside: A,
    finish: Finish,
}

impl<A: Rows, const MAX: bool> Widened<A, MAX> {
    pub(super) fn new(problem: &Sliding) -> Self {
        let outside = match problem.cval.integer {
            Some(integer) => A::from_i128(integer),
            None => A::from_f64(problem.cval.value.re),
        };
        Self::with(outside, problem.finish)
    }

    /// With that sample beyond the edges.
    pub(super) fn with(outside: A, finish: Finish) -> Self {
        Self { outside, finish }
    }
}

impl<A: Rows + Ordered, const MAX: bool> Fold for Widened<A, MAX> {
    extremes!(A, Extreme, false, |_| false);
    type Careful = Self;

    fn careful(&self) -> Self {
        Self { outside: self.outside, finish: self.finish }
    }

    fn lend<'a>(from: &Picture<'a>, run: &Run<'_>) -> Option<&'a [A]> {
        from.lend_widened(run.y, run.cols, run.channels)
    }
    fn bring<S: Simd>(simd: S, from: &Picture<'_>, run: &Run<'_>, into: &mut [A]) {
        read(simd, from, run, into);
    }
    fn lend_result<'t>(&self, _: &'t mut BlockRows<'_>, _: usize) -> Option<&'t mut [A]> {
        None
    }
    #[inline(always)]
    fn finish(&self, _: &mut [A]) {}
    fn store<S: Simd>(&self, simd: S, to: &mut BlockRows<'_>, y: usize, row: &mut [A]) {
        write(simd, to, y, row, self.finish);
    }
}
