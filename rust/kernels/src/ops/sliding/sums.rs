//! Sums, and the means made of them.

use super::Sliding;
use super::divide::{Divide, Divisor, cut_off, narrow};
use super::fold::{Fold, Run, Step, copy, read, write};
use crate::alloc;
use crate::dtype::{Finish, Kind};
use crate::ops::correlate::Constant;
use crate::simd::{NarrowDivisor, Simd};
use crate::view::{BlockRows, Picture, Rows};
use std::marker::PhantomData;

/// A value as an accumulator.
fn value<A: Rows>(cval: Constant) -> A {
    cval.integer.map_or_else(|| A::from_f64(cval.value.re), A::from_i128)
}

/// The sum.
pub(super) struct Plus<A>(PhantomData<A>);

impl<A: Divide> Step for Plus<A> {
    type From = A;
    type To = A;
    #[inline(always)]
    fn raise(from: A) -> A {
        from
    }
    #[inline(always)]
    fn join(a: A, b: A) -> A {
        a.plus(b)
    }
    #[inline(always)]
    fn replace(result: A, old: A, new: A) -> A {
        result.plus(A::minus(new, old))
    }
}

/// The sum of bytes in 16 bits.
pub(super) struct PlusByte;

impl Step for PlusByte {
    type From = u8;
    type To = u16;
    #[inline(always)]
    fn raise(from: u8) -> u16 {
        from.into()
    }
    #[inline(always)]
    fn join(a: u16, b: u16) -> u16 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    fn replace(result: u16, old: u8, new: u8) -> u16 {
        result.wrapping_add(u16::from(new)).wrapping_sub(u16::from(old))
    }
}

/// The sum of their means.
pub(super) struct PlusMean;

impl Step for PlusMean {
    type From = u16;
    type To = u16;
    #[inline(always)]
    fn raise(from: u16) -> u16 {
        from
    }
    #[inline(always)]
    fn join(a: u16, b: u16) -> u16 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    fn replace(result: u16, old: u16, new: u16) -> u16 {
        result.wrapping_add(new).wrapping_sub(old)
    }
}

/// Sums in one kind of number.
pub(super) struct Sums<A> {
    outside: A,
    column: A,
    /// Of columns, and of windows.
    divisors: [Divisor; 2],
    finish: Finish,
    /// Whether a float that is no integer is cut off in between.
    lends: bool,
}

impl<A: Divide + Rows> Sums<A> {
    pub(super) fn new(problem: &Sliding) -> Self {
        let [kh, kw] = problem.axes.map(|a| a.taps as u64);
        let most = problem.most.map_or(u128::MAX, |most| most as u128);
        let [down, across] = problem.divisors();
        let rounding = problem.finish.rounding;
        let tall = most.saturating_mul(kh.into());
        let wide = if down == 1 { tall } else { most }.saturating_mul(kw.into());
        let divisors = [Divisor::new(down, rounding, tall), Divisor::new(across, rounding, wide)];
        let outside: A = value(problem.cval);
        // Between the axes a column of constants is divided as the others are.
        let column = if down == 1 {
            match problem.cval.integer {
                Some(integer) => A::from_i128(integer.saturating_mul(kh.into())),
                None => A::from_f64(problem.cval.value.re * kh as f64),
            }
        } else {
            outside
        };
        let integers = matches!(problem.dst.kind(), Kind::Integer(..));
        let lends = A::STORED_AS == Some(problem.dst) && !integers;
        Self { outside, column, divisors, finish: problem.finish, lends }
    }
}

impl<A: Divide + Rows> Fold for Sums<A> {
    type Raw = A;
    type Tall = A;
    type Wide = A;
    type Down = Plus<A>;
    type First = Plus<A>;
    type Across = Plus<A>;
    type Careful = Self;
    const CHECKS: bool = false;
    const IDEMPOTENT: bool = false;
    const REPLACES: bool = A::EXACT;

    fn lend<'a>(from: &Picture<'a>, run: &Run<'_>) -> Option<&'a [A]> {
        from.lend_widened(run.y, run.cols, run.channels)
    }
    fn bring<S: Simd>(simd: S, from: &Picture<'_>, run: &Run<'_>, into: &mut [A]) {
        read(simd, from, run, into);
    }
    fn outside(&self) -> A {
        self.outside
    }
    fn outside_column(&self) -> A {
        self.column
    }
    fn outside_converted(&self) -> A {
        self.column
    }
    fn careful(&self) -> Self {
        Self { ..*self }
    }
    fn suspects(_: &[A]) -> bool {
        false
    }
    fn converts(&self) -> bool {
        !self.divisors[0].is_one()
    }
    #[inline(always)]
    fn convert(&self, columns: &[A], into: &mut [A]) {
        into.copy_from_slice(columns);
        A::divide(into, &self.divisors[0]);
    }
    fn lend_result<'t>(&self, to: &'t mut BlockRows<'_>, y: usize) -> Option<&'t mut [A]> {
        if self.lends { to.lend_widened(y) } else { None }
    }
    #[inline(always)]
    fn finish(&self, row: &mut [A]) {
        if !self.divisors[1].is_one() {
            A::divide(row, &self.divisors[1]);
        }
    }
    fn store<S: Simd>(&self, simd: S, to: &mut BlockRows<'_>, y: usize, row: &mut [A]) {
        simd.vectorize(
            #[inline(always)]
            || self.finish(row),
        );
        write(simd, to, y, row, self.finish);
    }
}

/// Means of bytes by axis, cut off: sums in 16 bits, of columns and of their means.
pub(super) struct Bytes {
    outside: u8,
    /// Of columns and of rows; none for those of one sample.
    divisors: [Option<NarrowDivisor>; 2],
}

impl Bytes {
    pub(super) fn new(problem: &Sliding) -> Self {
        Self {
            outside: problem.cval.integer.map_or(0, |value| value.clamp(0, 255)) as u8,
            divisors: problem.divisors().map(narrow),
        }
    }
}

impl Fold for Bytes {
    type Raw = u8;
    type Tall = u16;
    type Wide = u16;
    type Down = PlusByte;
    type First = PlusMean;
    type Across = PlusMean;
    type Careful = Self;
    const CHECKS: bool = false;
    const IDEMPOTENT: bool = false;
    const REPLACES: bool = true;

    fn lend<'a>(from: &Picture<'a>, run: &Run<'_>) -> Option<&'a [u8]> {
        from.lend(run.y, run.cols, run.channels)
    }
    fn bring<S: Simd>(simd: S, from: &Picture<'_>, run: &Run<'_>, into: &mut [u8]) {
        copy(simd, from, run, into);
    }
    fn outside(&self) -> u8 {
        self.outside
    }
    fn outside_column(&self) -> u16 {
        self.outside.into()
    }
    fn outside_converted(&self) -> u16 {
        self.outside.into()
    }
    fn careful(&self) -> Self {
        Self { ..*self }
    }
    fn suspects(_: &[u8]) -> bool {
        false
    }
    fn converts(&self) -> bool {
        self.divisors[0].is_some()
    }
    #[inline(always)]
    fn convert(&self, columns: &[u16], into: &mut [u16]) {
        if let Some(divisor) = self.divisors[0] {
            cut_off(
                columns,
                divisor,
                into,
                #[inline(always)]
                |q| q,
            );
        }
    }
    fn lend_result<'t>(&self, _: &'t mut BlockRows<'_>, _: usize) -> Option<&'t mut [u16]> {
        None
    }
    #[inline(always)]
    fn finish(&self, _: &mut [u16]) {}
    fn store<S: Simd>(&self, simd: S, to: &mut BlockRows<'_>, y: usize, row: &mut [u16]) {
        let len = row.len();
        let divide = |result: &mut [u8]| {
            simd.vectorize(
                #[inline(always)]
                || match self.divisors[1] {
                    Some(divisor) => cut_off(
                        row,
                        divisor,
                        result,
                        #[inline(always)]
                        |q| q as u8,
                    ),
                    None => result.iter_mut().zip(&*row).for_each(
                        #[inline(always)]
                        |(result, &sum)| *result = sum as u8,
                    ),
                },
            );
        };
        if let Some(result) = to.lend::<u8>(y) {
            return divide(result);
        }
        alloc::scratch([len], |[result]: [&mut [u8]; 1]| {
            divide(result);
            to.copy(y, result);
        });
    }
}
