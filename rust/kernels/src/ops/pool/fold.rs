//! What two samples of a window become, and the loops that join rows of them.

use super::{Pool, Reduction};
use crate::alloc::Plain;
use crate::dtype::{Bool, Element, Finish, Kind, Overflow, Rounding};
use crate::simd::Simd;
use crate::view::{BlockRows, Picture, Rows};
use half::{bf16, f16};
use std::marker::PhantomData;
use std::ops::Range;

/// An element that has a greatest.
pub(super) trait Sample: Element {
    /// What elements are ordered by.
    type Key: PartialOrd + Copy;
    /// An element that none is less than.
    const LEAST: Self;
    /// The key; equal for equal numbers.
    fn key(self) -> Self::Key;
    /// Whether it is a NaN, which wins over everything before it.
    fn is_nan(self) -> bool;
}

/// Whether the later of two elements is greater, or a NaN.
#[inline(always)]
pub(super) fn wins<T: Sample>(later: T, earlier: T) -> bool {
    // Not `||`: the compiler made branches of it where lanes of a vector were meant.
    (later.key() > earlier.key()) | later.is_nan()
}

macro_rules! samples {
    ($($t:ty, $least:expr, |$x:pat_param| $nan:expr;)*) => {$(
        impl Sample for $t {
            type Key = Self;
            const LEAST: Self = $least;
            #[inline(always)]
            fn key(self) -> Self { self }
            #[inline(always)]
            fn is_nan(self) -> bool { let $x = self; $nan }
        }
    )*};
}
samples! {
    u8, Self::MIN, |_| false; i8, Self::MIN, |_| false; u16, Self::MIN, |_| false; i16, Self::MIN, |_| false;
    u32, Self::MIN, |_| false; i32, Self::MIN, |_| false; u64, Self::MIN, |_| false; i64, Self::MIN, |_| false;
    f32, Self::NEG_INFINITY, |x| x.is_nan(); f64, Self::NEG_INFINITY, |x| x.is_nan();
}

impl Sample for Bool {
    type Key = u8;
    const LEAST: Self = Self(0);
    #[inline(always)]
    fn key(self) -> u8 {
        u8::from(self.0 != 0)
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        false
    }
}

/// The 16-bit floats are compared as integers: sign and magnitude as two's complement, in which -0
/// is 0 and a positive NaN is greater than infinity. A negative NaN is a NaN by its magnitude.
macro_rules! halves {
    ($($t:ty, $infinity:literal;)*) => {$(
        impl Sample for $t {
            type Key = i16;
            const LEAST: Self = Self::NEG_INFINITY;
            #[inline(always)]
            fn key(self) -> i16 {
                let bits = self.to_bits() as i16;
                let magnitude = bits & 0x7fff;
                let number = if bits < 0 { -magnitude } else { magnitude };
                if magnitude > $infinity { i16::MAX } else { number }
            }
            #[inline(always)]
            fn is_nan(self) -> bool { self.to_bits() & 0x7fff > $infinity }
        }
    )*};
}
halves! { f16, 0x7c00; bf16, 0x7f80; }

/// How samples are brought in, joined and written out.
pub(super) trait Fold: 'static {
    /// What samples are joined as.
    type Elem: Plain;
    /// Whether a sample may be joined twice.
    const TWICE: bool;
    /// Joined with a sample, that sample.
    fn identity() -> Self::Elem;
    /// The earlier and the later sample as one.
    fn join(earlier: Self::Elem, later: Self::Elem) -> Self::Elem;
    /// A run of samples where they stand, if they are stored as `Elem`.
    fn lend<'a>(
        from: &Picture<'a>,
        y: usize,
        cols: &Range<usize>,
        channels: &Range<usize>,
    ) -> Option<&'a [Self::Elem]>;
    /// Whole rows where they stand, if they are stored as a run of `Elem`s.
    fn lend_rows<'a>(from: &Picture<'a>, rows: Range<usize>) -> Option<&'a [Self::Elem]>;
    /// A copy of a run of samples.
    fn bring(
        from: &Picture<'_>,
        y: usize,
        cols: &Range<usize>,
        channels: &Range<usize>,
        into: &mut [Self::Elem],
    );
    /// Rows of results where they stand, if they are one run and can be written there.
    fn lend_results<'t>(to: &'t mut BlockRows<'_>, ys: &Range<usize>) -> Option<&'t mut [Self::Elem]>;
    /// What a row of joined windows becomes: `divisors` has one number for each, of which `rows` is a factor.
    fn finish(row: &mut [Self::Elem], divisors: &[Self::Elem], rows: usize);
    /// Writes a row of results.
    fn write(to: &mut BlockRows<'_>, y: usize, row: &mut [Self::Elem]);
    /// A divisor.
    fn divisor(n: i64) -> Self::Elem;
}

/// The greatest.
pub(super) struct Greatest<T>(PhantomData<T>);

impl<T: Sample> Fold for Greatest<T> {
    type Elem = T;
    const TWICE: bool = true;
    #[inline(always)]
    fn identity() -> T {
        T::LEAST
    }
    #[inline(always)]
    fn join(earlier: T, later: T) -> T {
        if wins(later, earlier) { later } else { earlier }
    }
    #[inline(always)]
    fn lend<'a>(
        from: &Picture<'a>,
        y: usize,
        cols: &Range<usize>,
        channels: &Range<usize>,
    ) -> Option<&'a [T]> {
        from.lend(y, cols, channels)
    }
    #[inline(always)]
    fn bring(from: &Picture<'_>, y: usize, cols: &Range<usize>, channels: &Range<usize>, into: &mut [T]) {
        from.copy(y, cols, channels, into);
    }
    #[inline(always)]
    fn lend_rows<'a>(from: &Picture<'a>, rows: Range<usize>) -> Option<&'a [T]> {
        from.lend_rows_of(rows)
    }
    #[inline(always)]
    fn lend_results<'t>(to: &'t mut BlockRows<'_>, ys: &Range<usize>) -> Option<&'t mut [T]> {
        to.lend_run(ys)
    }
    #[inline(always)]
    fn finish(_: &mut [T], _: &[T], _: usize) {}
    #[inline(always)]
    fn write(to: &mut BlockRows<'_>, y: usize, row: &mut [T]) {
        to.copy(y, row);
    }
    fn divisor(_: i64) -> T {
        T::LEAST
    }
}

/// An accumulator that a sum can be divided in.
pub(super) trait Divide: Rows {
    /// The quotient of whole numbers, rounded half to even, or of floats.
    fn divide(self, divisor: Self, factor: Self) -> Self;
}
macro_rules! divide_floats {
    ($($t:ty),*) => {$(
        impl Divide for $t {
            #[inline(always)]
            fn divide(self, divisor: Self, factor: Self) -> Self { self / (divisor * factor) }
        }
    )*};
}
divide_floats!(f32, f64);
impl Divide for i128 {
    #[inline(always)]
    fn divide(self, divisor: Self, factor: Self) -> Self {
        let divisor = divisor * factor;
        let (sum, divisor) = if divisor < 0 { (-self, -divisor) } else { (self, divisor) };
        let (floor, rest) = (sum.div_euclid(divisor), 2 * sum.rem_euclid(divisor));
        floor + Self::from(rest > divisor || (rest == divisor && floor & 1 == 1))
    }
}

/// The sum, divided at the end.
pub(super) struct Mean<A>(PhantomData<A>);

impl<A: Divide + std::ops::Add<Output = A>> Fold for Mean<A> {
    type Elem = A;
    const TWICE: bool = false;
    #[inline(always)]
    fn identity() -> A {
        A::default()
    }
    #[inline(always)]
    fn join(earlier: A, later: A) -> A {
        earlier + later
    }
    #[inline(always)]
    fn lend<'a>(
        from: &Picture<'a>,
        y: usize,
        cols: &Range<usize>,
        channels: &Range<usize>,
    ) -> Option<&'a [A]> {
        from.lend_widened(y, cols, channels)
    }
    #[inline(always)]
    fn bring(from: &Picture<'_>, y: usize, cols: &Range<usize>, channels: &Range<usize>, into: &mut [A]) {
        from.read(y, cols, channels, into);
    }
    #[inline(always)]
    fn lend_rows<'a>(from: &Picture<'a>, rows: Range<usize>) -> Option<&'a [A]> {
        from.lend_rows(rows)
    }
    #[inline(always)]
    fn lend_results<'t>(to: &'t mut BlockRows<'_>, ys: &Range<usize>) -> Option<&'t mut [A]> {
        to.lend_run_widened(ys)
    }
    #[inline(always)]
    fn finish(row: &mut [A], divisors: &[A], rows: usize) {
        let factor = A::from_i128(rows as i128);
        for (sum, &divisor) in row.iter_mut().zip(divisors) {
            *sum = sum.divide(divisor, factor);
        }
    }
    #[inline(always)]
    fn write(to: &mut BlockRows<'_>, y: usize, row: &mut [A]) {
        to.write(y, row, Finish { rounding: Rounding::HalfEven, overflow: Overflow::Saturate });
    }
    fn divisor(n: i64) -> A {
        A::from_i128(n.into())
    }
}

/// Runs `$body` with `$F` standing for the [`Fold`] of a [`Pool`].
macro_rules! dispatch_fold {
    ($pool:expr, |$F:ident| $body:block) => {
        match ($pool.reduction, $pool.arithmetic) {
            (Reduction::Max { .. }, _) => dispatch_dtype!($pool.dtype, |T| {
                type $F = Greatest<T>;
                $body
            }),
            (_, Arithmetic::F32) => {
                type $F = Mean<f32>;
                $body
            }
            (_, Arithmetic::F64) => {
                type $F = Mean<f64>;
                $body
            }
            _ => {
                type $F = Mean<i128>;
                $body
            }
        }
    };
}
pub(super) use dispatch_fold;

/// The divisor of result column `x`, as a fraction of the result's, and the factor that row `y` brings.
pub(super) struct Divisors<'p>(pub(super) &'p Pool);

impl Divisors<'_> {
    fn count(&self, axis: usize, o: usize) -> usize {
        let window = self.0.windows[axis].window(o);
        match self.0.reduction {
            Reduction::Mean { divisor: Some(_), .. } | Reduction::Max { .. } => 1,
            Reduction::Mean { count_padding: true, .. } => window.padded,
            Reduction::Mean { .. } => window.taps,
        }
    }

    /// One number for each result of a row.
    pub(super) fn row<F: Fold>(&self, cols: &Range<usize>, deep: usize, into: &mut [F::Elem]) {
        for (x, into) in cols.clone().zip(into.chunks_exact_mut(deep)) {
            into.fill(F::divisor(match self.0.reduction {
                Reduction::Mean { divisor: Some(divisor), .. } => divisor,
                _ => self.count(1, x) as i64,
            }));
        }
    }

    /// The factor of row `y`.
    pub(super) fn factor(&self, y: usize) -> usize {
        self.count(0, y)
    }
}

/// Whether there is anything to divide by.
pub(super) fn divides(pool: &Pool) -> bool {
    matches!(pool.reduction, Reduction::Mean { .. })
}

/// Whether a lent row of results needs nothing but the fold: a sum in the result's own type is
/// rounded by its division alone.
pub(super) fn in_place(pool: &Pool) -> bool {
    !(divides(pool) && matches!(pool.dtype.kind(), Kind::Integer(..)))
}

/// Joins up to four rows into `out`, or, where `keep`, into what stands there.
///
/// Vectors are arrays of 32 bytes, whose lanes the compiler turns into registers; the last one
/// overlaps the one before where that changes nothing.
pub(super) fn join_rows<S: Simd, F: Fold>(simd: S, rows: &[&[F::Elem]], keep: bool, out: &mut [F::Elem]) {
    simd.vectorize(
        #[inline(always)]
        || match (rows, keep) {
            (&[a], false) => out.copy_from_slice(a),
            (&[a, b], false) => joined::<F, 2, false>([a, b], out),
            (&[a, b, c], false) => joined::<F, 3, false>([a, b, c], out),
            (&[a, b, c, d], false) => joined::<F, 4, false>([a, b, c, d], out),
            // Of a single maximum the compiler makes masked stores, which some CPUs are slow at.
            (&[a], true) if F::TWICE => joined::<F, 2, true>([a, a], out),
            (&[a], true) => joined::<F, 1, true>([a], out),
            (&[a, b], true) => joined::<F, 2, true>([a, b], out),
            (&[a, b, c], true) => joined::<F, 3, true>([a, b, c], out),
            (&[a, b, c, d], true) => joined::<F, 4, true>([a, b, c, d], out),
            _ => unreachable!("one to four rows"),
        },
    );
}

#[inline(always)]
fn joined<F: Fold, const R: usize, const KEEP: bool>(rows: [&[F::Elem]; R], out: &mut [F::Elem]) {
    match size_of::<F::Elem>() {
        1 => joined_by::<F, R, KEEP, 32, 16>(rows, out),
        2 => joined_by::<F, R, KEEP, 16, 8>(rows, out),
        4 => joined_by::<F, R, KEEP, 8, 4>(rows, out),
        _ => joined_by::<F, R, KEEP, 4, 2>(rows, out),
    }
}

/// Joins as many rows as there are, one to three, in the caller's own instructions; else see
/// [`join_all`].
#[inline(always)]
pub(super) fn join_few<'r, S: Simd, F: Fold>(
    simd: S,
    count: usize,
    row: impl Fn(usize) -> &'r [F::Elem],
    out: &mut [F::Elem],
) {
    match count {
        1 => copy_run(row(0), out),
        2 => joined::<F, 2, false>([row(0), row(1)], out),
        3 => joined::<F, 3, false>([row(0), row(1), row(2)], out),
        _ => join_all::<S, F>(simd, count, row, out),
    }
}

/// A copy that is no call: of a short row. The last numbers are copied twice.
#[inline(always)]
pub(super) fn copy_run<T: Copy>(from: &[T], out: &mut [T]) {
    match out.len() {
        8.. => copy_chunks::<T, 8>(from, out),
        4.. => copy_chunks::<T, 4>(from, out),
        _ => copy_chunks::<T, 1>(from, out),
    }
}

#[inline(always)]
fn copy_chunks<T: Copy, const L: usize>(from: &[T], out: &mut [T]) {
    let n = out.len();
    let from = &from[..n];
    for at in (0..n).step_by(L) {
        let at = at.min(n - L);
        let chunk: [T; L] = from[at..at + L].try_into().expect("L numbers");
        out[at..at + L].copy_from_slice(&chunk);
    }
}

/// `L` lanes at once, or their half, `H`, where there are fewer.
#[inline(always)]
fn joined_by<F: Fold, const R: usize, const KEEP: bool, const L: usize, const H: usize>(
    rows: [&[F::Elem]; R],
    out: &mut [F::Elem],
) {
    let n = out.len();
    assert!(rows.iter().all(|row| row.len() == n), "rows of one length");
    let mut at = 0;
    while at + L <= n {
        lanes::<F, R, KEEP, L>(&rows, at, out);
        at += L;
    }
    if at < n && (!KEEP || F::TWICE) && n >= L {
        lanes::<F, R, KEEP, L>(&rows, n - L, out);
        return;
    }
    if n < L && n >= H && (!KEEP || F::TWICE) {
        lanes::<F, R, KEEP, H>(&rows, 0, out);
        lanes::<F, R, KEEP, H>(&rows, n - H, out);
        return;
    }
    for i in at..n {
        lanes::<F, R, KEEP, 1>(&rows, i, out);
    }
}

#[inline(always)]
fn lanes<F: Fold, const R: usize, const KEEP: bool, const L: usize>(
    rows: &[&[F::Elem]; R],
    at: usize,
    out: &mut [F::Elem],
) {
    let out: &mut [F::Elem; L] = (&mut out[at..at + L]).try_into().expect("L lanes");
    let row = |r: usize| -> &[F::Elem; L] { rows[r][at..at + L].try_into().expect("L lanes") };
    let mut sum = if KEEP { *out } else { *row(0) };
    for r in usize::from(!KEEP)..R {
        let row = row(r);
        for l in 0..L {
            sum[l] = F::join(sum[l], row[l]);
        }
    }
    *out = sum;
}

/// Joins any number of rows, the `t`-th being `row(t)`, in order.
#[inline(always)]
pub(super) fn join_all<'r, S: Simd, F: Fold>(
    simd: S,
    count: usize,
    row: impl Fn(usize) -> &'r [F::Elem],
    out: &mut [F::Elem],
) {
    let mut done = 0;
    while done < count {
        let now = (count - done).min(4);
        let mut rows: [&[F::Elem]; 4] = [&[]; 4];
        for (r, slot) in rows[..now].iter_mut().enumerate() {
            *slot = row(done + r);
        }
        join_rows::<S, F>(simd, &rows[..now], done > 0, out);
        done += now;
    }
}

/// Joins `K` neighbours at every second place: windows over one channel at a stride of two.
///
/// Samples are taken apart and joined in registers; as arrays of lanes, which the compiler makes shuffles of.
pub(super) fn join_neighbours<S: Simd, F: Fold, const K: usize>(
    simd: S,
    row: &[F::Elem],
    out: &mut [F::Elem],
) {
    simd.vectorize(
        #[inline(always)]
        || match size_of::<F::Elem>() {
            1 => neighbours::<F, K, 32>(row, out),
            2 => neighbours::<F, K, 16>(row, out),
            4 => neighbours::<F, K, 8>(row, out),
            _ => neighbours::<F, K, 4>(row, out),
        },
    );
}

#[inline(always)]
fn neighbours<F: Fold, const K: usize, const L: usize>(row: &[F::Elem], out: &mut [F::Elem]) {
    let n = out.len();
    let mut at = 0;
    while at + L <= n {
        neighbour_lanes::<F, K, L>(row, at, out);
        at += L;
    }
    if at < n && n >= L {
        return neighbour_lanes::<F, K, L>(row, n - L, out);
    }
    while at < n {
        neighbour_lanes::<F, K, 1>(row, at, out);
        at += 1;
    }
}

#[inline(always)]
fn neighbour_lanes<F: Fold, const K: usize, const L: usize>(row: &[F::Elem], at: usize, out: &mut [F::Elem]) {
    let out: &mut [F::Elem; L] = (&mut out[at..at + L]).try_into().expect("L lanes");
    let row = &row[2 * at..][..2 * (L - 1) + K];
    let mut joined = [F::identity(); L];
    for l in 0..L {
        joined[l] = row[2 * l];
    }
    for k in 1..K {
        for l in 0..L {
            joined[l] = F::join(joined[l], row[2 * l + k]);
        }
    }
    *out = joined;
}

/// Joins a run of samples of one channel: see [`join_lanes`].
pub(super) fn join_run<S: Simd, F: Fold>(simd: S, run: &[F::Elem]) -> F::Elem {
    simd.vectorize(
        #[inline(always)]
        || join_lanes::<F>(run),
    )
}

/// Joins a run of samples in the lanes of four vectors, then those lanes, in the caller's own instructions. The order
/// depends on the length alone.
#[inline(always)]
pub(super) fn join_lanes<F: Fold>(run: &[F::Elem]) -> F::Elem {
    let mut joined = [F::identity()];
    join_runs::<F>(run, run.len().max(1), &mut joined);
    joined[0]
}

/// The same of runs of `size` samples, one behind the other.
#[inline(always)]
pub(super) fn join_runs<F: Fold>(runs: &[F::Elem], size: usize, out: &mut [F::Elem]) {
    match size_of::<F::Elem>() {
        1 => join_runs_by::<F, 32>(runs, size, out),
        2 => join_runs_by::<F, 16>(runs, size, out),
        4 => join_runs_by::<F, 8>(runs, size, out),
        _ => join_runs_by::<F, 4>(runs, size, out),
    }
}

/// Runs whose lanes are kept until all of them are there: the compiler would otherwise take the vectors apart for the
/// sake of what becomes of their lanes.
const KEPT: usize = 32;

#[inline(always)]
fn join_runs_by<F: Fold, const L: usize>(runs: &[F::Elem], size: usize, out: &mut [F::Elem]) {
    let mut kept = [[F::identity(); L]; KEPT];
    for (runs, out) in runs.chunks(size * KEPT).zip(out.chunks_mut(KEPT)) {
        for (kept, run) in kept.iter_mut().zip(runs.chunks_exact(size)) {
            *kept = in_vectors::<F, L>(run);
        }
        for ((out, all), run) in out.iter_mut().zip(&mut kept).zip(runs.chunks_exact(size)) {
            let mut half = L / 2;
            while half > 0 {
                for l in 0..half {
                    all[l] = F::join(all[l], all[l + half]);
                }
                half /= 2;
            }
            *out = run[size / L * L..].iter().fold(all[0], |all, &sample| F::join(all, sample));
        }
    }
}

/// Joins whole vectors of a run, in four of them where there are so many.
#[inline(always)]
fn in_vectors<F: Fold, const L: usize>(run: &[F::Elem]) -> [F::Elem; L] {
    let (fours, odd) = run.as_chunks::<L>().0.as_chunks::<4>();
    let mut lanes = [[F::identity(); L]; 4];
    for four in fours {
        for (lanes, vector) in lanes.iter_mut().zip(four) {
            for l in 0..L {
                lanes[l] = F::join(lanes[l], vector[l]);
            }
        }
    }
    let [mut all, others @ ..] = lanes;
    for other in others {
        for l in 0..L {
            all[l] = F::join(all[l], other[l]);
        }
    }
    for vector in odd {
        for l in 0..L {
            all[l] = F::join(all[l], vector[l]);
        }
    }
    all
}
