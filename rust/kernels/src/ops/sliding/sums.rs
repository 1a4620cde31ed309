//! Sums, and the means made of them.

use super::Sliding;
use super::divide::{ByteDivisor, Divide, Divisor};
use super::fold::{Fold, Run, Step};
use crate::alloc;
use crate::dtype::{Finish, Kind};
use crate::ops::correlate::Constant;
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
pub(super) struct PlusColumn;

impl Step for PlusColumn {
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
    type Across = Plus<A>;
    const IDEMPOTENT: bool = false;
    const REPLACES: bool = A::EXACT;

    fn lend<'a>(from: &Picture<'a>, run: &Run<'_>) -> Option<&'a [A]> {
        from.lend_widened(run.y, run.cols, run.channels)
    }
    #[inline(always)]
    fn bring(from: &Picture<'_>, run: &Run<'_>, into: &mut [A]) {
        from.read(run.y, run.cols, run.channels, into);
    }
    fn outside(&self) -> A {
        self.outside
    }
    fn outside_column(&self) -> A {
        self.column
    }
    fn converts(&self) -> bool {
        !self.divisors[0].is_one()
    }
    fn unconverted(columns: &mut [A]) -> &mut [A] {
        columns
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
    #[inline(always)]
    fn store(&self, to: &mut BlockRows<'_>, y: usize, row: &mut [A]) {
        self.finish(row);
        to.write(y, row, self.finish);
    }
}

/// What rows of column sums of bytes are folded in.
pub(super) trait FromBytes: alloc::Plain {
    /// Their sum.
    type Plus: Step<From = Self, To = Self>;
    /// A sum of columns.
    fn wide(column: u16) -> Self;
    /// The columns themselves, where they are sums already.
    const SAME: Option<fn(&mut [u16]) -> &mut [Self]>;
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
    type Plus = PlusColumn;
    #[inline(always)]
    fn wide(column: u16) -> Self {
        column
    }
    const SAME: Option<fn(&mut [u16]) -> &mut [Self]> = Some(|columns| columns);
    #[inline(always)]
    fn divide(sums: &mut [Self], divisor: &WindowDivisor, into: &mut [u8]) {
        if let WindowDivisor::Narrow(divisor) = divisor {
            divisor.divide(sums, into);
        }
    }
}

impl FromBytes for i32 {
    type Plus = Plus<Self>;
    #[inline(always)]
    fn wide(column: u16) -> Self {
        column.into()
    }
    const SAME: Option<fn(&mut [u16]) -> &mut [Self]> = None;
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
    column: W,
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
            column: W::wide(column),
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
    type Across = W::Plus;
    const IDEMPOTENT: bool = false;
    const REPLACES: bool = true;

    fn lend<'a>(from: &Picture<'a>, run: &Run<'_>) -> Option<&'a [u8]> {
        from.lend(run.y, run.cols, run.channels)
    }
    #[inline(always)]
    fn bring(from: &Picture<'_>, run: &Run<'_>, into: &mut [u8]) {
        from.copy(run.y, run.cols, run.channels, into);
    }
    fn outside(&self) -> u8 {
        self.outside
    }
    fn outside_column(&self) -> W {
        self.column
    }
    fn converts(&self) -> bool {
        W::SAME.is_none() || self.down.is_some()
    }
    fn unconverted(columns: &mut [u16]) -> &mut [W] {
        match W::SAME {
            Some(same) => same(columns),
            None => &mut [],
        }
    }
    #[inline(always)]
    fn convert(&self, columns: &[u16], into: &mut [W]) {
        let columns = &columns[..into.len()];
        match self.down {
            None => {
                for x in 0..into.len() {
                    into[x] = W::wide(columns[x]);
                }
            }
            Some(divisor) => divisor.each(
                columns,
                into,
                #[inline(always)]
                |q| W::wide(q),
            ),
        }
    }
    fn lend_result<'t>(&self, _: &'t mut BlockRows<'_>, _: usize) -> Option<&'t mut [W]> {
        None
    }
    #[inline(always)]
    fn finish(&self, _: &mut [W]) {}
    #[inline(always)]
    fn store(&self, to: &mut BlockRows<'_>, y: usize, row: &mut [W]) {
        if let Some(result) = to.lend::<u8>(y) {
            return W::divide(row, &self.across, result);
        }
        alloc::scratch([row.len()], |[result]: [&mut [u8]; 1]| {
            W::divide(row, &self.across, result);
            to.copy(y, result);
        });
    }
}
