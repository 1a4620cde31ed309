//! Sums, and the means made of them.

use super::Sliding;
use super::divide::{ByteDivisor, Divide, Divisor};
use super::fold::{Fold, Run, Step, copy, read, write};
use crate::alloc;
use crate::dtype::{Finish, Kind};
use crate::ops::correlate::Constant;
use crate::simd::Simd;
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

/// The sum of columns in 16 bits.
pub(super) struct PlusColumn<W>(PhantomData<W>);

macro_rules! plus_columns {
    ($($t:ty),*) => {$(
        impl Step for PlusColumn<$t> {
            type From = u16;
            type To = $t;
            #[inline(always)]
            fn raise(from: u16) -> $t {
                from.into()
            }
            #[inline(always)]
            fn join(a: $t, b: $t) -> $t {
                a.wrapping_add(b)
            }
            #[inline(always)]
            fn replace(result: $t, old: u16, new: u16) -> $t {
                result.wrapping_add(<$t>::from(new)).wrapping_sub(<$t>::from(old))
            }
        }
    )*};
}
plus_columns!(u16, i32);

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

/// What rows of column sums of bytes are folded in.
pub(super) trait FromBytes: alloc::Plain {
    /// Their sum.
    type Plus: Step<From = Self, To = Self>;
    /// The sum of columns.
    type PlusColumn: Step<From = u16, To = Self>;
    /// A sum of columns.
    fn wide(column: u16) -> Self;
    /// Quotients of sums.
    fn divide(sums: &mut [Self], divisor: &WindowDivisor, into: &mut [u8]);
}

/// The division of sums over windows.
#[derive(Clone, Copy, Debug)]
pub(super) enum WindowDivisor {
    /// In 16 bits.
    Narrow(ByteDivisor),
    /// In 32 bits.
    Wide(Divisor),
}

impl FromBytes for u16 {
    type Plus = PlusColumn<Self>;
    type PlusColumn = PlusColumn<Self>;
    #[inline(always)]
    fn wide(column: u16) -> Self {
        column
    }
    #[inline(always)]
    fn divide(sums: &mut [Self], divisor: &WindowDivisor, into: &mut [u8]) {
        if let WindowDivisor::Narrow(divisor) = divisor {
            divisor.divide(sums, into);
        }
    }
}

impl FromBytes for i32 {
    type Plus = Plus<Self>;
    type PlusColumn = PlusColumn<Self>;
    #[inline(always)]
    fn wide(column: u16) -> Self {
        column.into()
    }
    #[inline(always)]
    fn divide(sums: &mut [Self], divisor: &WindowDivisor, into: &mut [u8]) {
        if let WindowDivisor::Wide(divisor) = divisor {
            <Self as Divide>::divide(sums, divisor);
            let sums = &sums[..into.len()];
            for x in 0..into.len() {
                into[x] = sums[x] as u8;
            }
        }
    }
}

/// Means of bytes: columns in 16 bits, windows in `W`.
pub(super) struct Bytes<W> {
    outside: u8,
    column: u16,
    windows: PhantomData<W>,
    down: Option<ByteDivisor>,
    across: WindowDivisor,
}

impl<W: FromBytes> Bytes<W> {
    pub(super) fn new(problem: &Sliding, narrow: bool) -> Self {
        let [kh, kw] = problem.axes.map(|a| a.taps as u64);
        let rounding = problem.finish.rounding;
        let [down, across] = problem.divisors();
        let outside = problem.cval.integer.map_or(0, |value| value.clamp(0, 255)) as u8;
        let column = if down == 1 { u16::from(outside) * kh as u16 } else { outside.into() };
        let most = 255 * u128::from(kw) * if down == 1 { u128::from(kh) } else { 1 };
        let byte = |k| ByteDivisor::new(k, rounding);
        Self {
            outside,
            column,
            windows: PhantomData,
            down: if down == 1 { None } else { byte(down) },
            across: match byte(across).filter(|_| narrow) {
                Some(divisor) => WindowDivisor::Narrow(divisor),
                None => WindowDivisor::Wide(Divisor::new(across, rounding, most)),
            },
        }
    }
}

impl<W: FromBytes> Fold for Bytes<W> {
    type Raw = u8;
    type Tall = u16;
    type Wide = W;
    type Down = PlusByte;
    type First = W::PlusColumn;
    type Across = W::Plus;
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
        self.column
    }
    fn outside_converted(&self) -> W {
        W::wide(self.column)
    }
    fn careful(&self) -> Self {
        Self { windows: PhantomData, ..*self }
    }
    fn suspects(_: &[u8]) -> bool {
        false
    }
    fn converts(&self) -> bool {
        self.down.is_some()
    }
    #[inline(always)]
    fn convert(&self, columns: &[u16], into: &mut [W]) {
        if let Some(divisor) = self.down {
            divisor.each(
                columns,
                into,
                #[inline(always)]
                |q| W::wide(q),
            );
        }
    }
    fn lend_result<'t>(&self, _: &'t mut BlockRows<'_>, _: usize) -> Option<&'t mut [W]> {
        None
    }
    #[inline(always)]
    fn finish(&self, _: &mut [W]) {}
    fn store<S: Simd>(&self, simd: S, to: &mut BlockRows<'_>, y: usize, row: &mut [W]) {
        let len = row.len();
        let mut divide = |result: &mut [u8]| {
            simd.vectorize(
                #[inline(always)]
                || W::divide(row, &self.across, result),
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
