//! Correlation with a sum of outer products: down the columns, then along the rows.
//!
//! ```text
//! for result rows in blocks of R:
//!     for each term:  middle[t] = R rows of  sum over i of  column[t][i] * src[y + i]
//!     dst = sum over t, j of  row[t][j] * middle[t][x + j]
//! ```
//!
//! A window of `kh x kw` costs `kh + kw` products a term and a result in place of `kh * kw`. The rows
//! between the passes are a block's and stay in L1; there is no image between them. The border is
//! applied to the columns as they come in, before the first pass, which commutes with it; only where
//! two passes were asked for ([`Summation::Folded`]) does the second have a constant of its own.

use super::correlate::{Correlate, Source, Summation};
use super::folded::PairedTaps;
use super::magnitude::Magnitude;
use super::normalised::Normalised;
use super::rows;
use super::strip::{self, Geometry, Inner, Window};
use super::taps::MOST_TERMS;
use crate::Error;
use crate::border::Border;
use crate::dtype::{Accumulator, Arithmetic, DType, Finish, Kind};
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{Program, RowProgram, Simd, Vector};
use crate::view::{Dst, Rows, Src};

/// The implementation `separable`.
#[derive(Debug)]
pub struct Separable;

/// Nanoseconds of direct work below which looking for outer products is not worth while.
const LOOK: f64 = 20_000.0;

impl Implementation<Correlate> for Separable {
    fn name(&self) -> &'static str {
        "separable"
    }

    fn cost(&self, problem: &Correlate) -> Result<f64, Reject> {
        if problem.axes.iter().any(|axis| axis.taps == 1) {
            return Err(Reject("the window has one row or one column"));
        }
        if problem.axes.iter().any(|axis| axis.stride != 1) || problem.axes[0].dilation != 1 {
            return Err(Reject("strides and the vertical dilation are 1 here"));
        }
        if problem.taps.is_complex() {
            return Err(Reject("needs real weights"));
        }
        if problem.arithmetic == Arithmetic::I128 {
            return Err(Reject(WIDE));
        }
        match problem.summation {
            Summation::TapOrder => return Err(Reject("adds in another order than the one asked for")),
            Summation::Folded if problem.src.is_complex() => return Err(Reject("needs a real image")),
            _ => (),
        }
        if problem.taps.terms().is_none() && problem.nanoseconds() < LOOK {
            return Err(Reject("too little work to look for outer products"));
        }
        problem.scratch_fits()?;
        problem.reads_zeros()?;
        let terms = problem.terms()?;
        if terms.len() > MOST_TERMS {
            return Err(Reject("the window is a sum of more than three outer products"));
        }
        let whole = |w: &f64| w.fract() == 0.0;
        let integers = problem.arithmetic.unit_roundoff() == 0.0 || problem.error_bound() == 0.0;
        if integers && !terms.iter().all(|t| t.column.iter().chain(&t.row).all(whole)) {
            return Err(Reject("the sums are of integers, and the outer products are not"));
        }
        let [h, w] = problem.output();
        let mut count = terms.len();
        if let Some(second) = problem.second() {
            let terms = second.terms()?;
            if terms.len() > MOST_TERMS {
                return Err(Reject("the second window is a sum of more than three outer products"));
            }
            count += terms.len();
        }
        let products = problem.axes.iter().map(|axis| axis.taps).sum::<usize>() * count;
        // What is kept in between is less in 16 bits.
        let moved = if problem.arithmetic == Arithmetic::I16 { 1.2 } else { 1.5 };
        let each = products as f64 * problem.arithmetic.size() as f64 / 100.0 + moved;
        Ok(h as f64 * w as f64 * each * problem.src.components() as f64)
    }

    fn bound(&self, problem: &Correlate) -> Option<String> {
        let [_] = problem.terms().ok()? else { return None };
        // Each pass rounds once a product, and the taps are rounded.
        let roundings = problem.taps.shape().iter().sum::<usize>() + 3;
        let bound = roundings as f64 * problem.arithmetic.unit_roundoff();
        (problem.error_bound() > 0.0 && problem.magnitude.is_none())
            .then(|| format!("within {bound:.2e} x sum |w x| of the exact sum, before rounding to the dtype"))
    }

    fn run(
        &self,
        problem: &Correlate,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        use crate::simd::lane;
        match problem.arithmetic {
            Arithmetic::F32 if problem.left_out.is_some() => {
                strip::run_in::<lane::F32, Normalised<Passes<false>>>(problem, srcs, dsts, schedule)
            }
            _ if problem.left_out.is_some() => {
                strip::run_in::<lane::F64, Normalised<Passes<false>>>(problem, srcs, dsts, schedule)
            }
            Arithmetic::F32 if problem.magnitude.is_some() => {
                strip::run_in::<lane::F32, Magnitude<Passes<false>>>(problem, srcs, dsts, schedule)
            }
            _ if problem.magnitude.is_some() => {
                strip::run_in::<lane::F64, Magnitude<Passes<false>>>(problem, srcs, dsts, schedule)
            }
            Arithmetic::F64Unfused => {
                strip::run_in::<lane::F64Unfused, Passes<true>>(problem, srcs, dsts, schedule)
            }
            Arithmetic::F32 => strip::run_in::<lane::F32, Passes<false>>(problem, srcs, dsts, schedule),
            Arithmetic::F64 => strip::run_in::<lane::F64, Passes<false>>(problem, srcs, dsts, schedule),
            Arithmetic::I16 => strip::run_in::<lane::I16, Passes<false>>(problem, srcs, dsts, schedule),
            Arithmetic::I32 => strip::run_in::<lane::I32, Passes<false>>(problem, srcs, dsts, schedule),
            Arithmetic::I64 => strip::run_in::<lane::I64, Passes<false>>(problem, srcs, dsts, schedule),
            Arithmetic::I128 => Err(Error::Unsupported(WIDE.into())),
        }
    }
}

/// Why sums of 128 bits are not taken.
const WIDE: &str = "sums of 128 bits have no vectors: passes would save little";

/// The loop at the head of this file; `FOLDED` says whether in the order of [`Summation::Folded`].
enum Passes<const FOLDED: bool> {}

/// The weights of both passes.
struct Prepared<A> {
    order: Order<A>,
    terms: usize,
    /// Samples that the second pass reads beyond one a result.
    reach: usize,
    /// What the first pass's rows are stored as in between, and how.
    stored: Option<(DType, Finish)>,
    /// What continues them, if it is not what the first pass made of the constant.
    outside: Option<A>,
}

/// The order of the sums.
enum Order<A> {
    /// Any: register tiles. A program a term for each height that a block may have, and one along rows that
    /// adds up the terms.
    Tiles { columns: Vec<Vec<Program<A>>>, rows: RowProgram<A> },
    /// As `scipy.ndimage.correlate1d` has it.
    Folded { column: PairedTaps<A>, row: PairedTaps<A> },
}

impl<const FOLDED: bool> Inner for Passes<FOLDED> {
    type Prepared<A: Accumulator> = Prepared<A>;

    const WHOLE: bool = true;

    fn prepare<A: Accumulator>(problem: &Correlate, sources: &[Source], geometry: &Geometry) -> Prepared<A> {
        let terms = problem.terms().expect("a window that is a sum of outer products");
        let typed = |weights: &[f64]| -> Vec<A> { weights.iter().map(|&w| A::from_f64(w)).collect() };
        let order = if FOLDED {
            Order::Folded {
                column: PairedTaps::new(typed(&terms[0].column), |i| (i, 0)),
                row: PairedTaps::new(typed(&terms[0].row), |j| (0, geometry.offsets[j])),
            }
        } else {
            let programs = |column: &[A]| {
                (1..=geometry.height).map(|h| Program::new(h, geometry.taps, &[0], &[column])).collect()
            };
            let rows: Vec<_> = terms.iter().map(|term| typed(&term.row)).collect();
            let rows: Vec<_> = rows.iter().map(Vec::as_slice).collect();
            Order::Tiles {
                columns: terms.iter().map(|term| programs(&typed(&term.column))).collect(),
                rows: RowProgram::new(&geometry.offsets, &rows),
            }
        };
        let integers = matches!(problem.dst.kind(), Kind::Integer(..));
        let constant = problem.border[1] == Border::Constant;
        Prepared {
            order,
            terms: terms.len(),
            reach: geometry.reach,
            stored: (FOLDED && integers).then_some((problem.dst, problem.finish)),
            outside: (problem.passes && constant)
                .then(|| problem.outside(sources.first().map_or(0, |s| s.component))),
        }
    }

    fn scratch<A: Accumulator>(prepared: &Prepared<A>, geometry: &Geometry, width: usize) -> usize {
        prepared.terms * geometry.height * (width + prepared.reach)
    }

    #[inline(always)]
    fn block<S: Simd, V: Vector<Elem: Rows>, const R: usize>(
        simd: S,
        prepared: &Prepared<V::Elem>,
        window: &Window<'_, V::Elem>,
        scratch: &mut [V::Elem],
        out: [&mut [V::Elem]; R],
    ) {
        let length = window.width + prepared.reach;
        let (middle, _) = scratch.split_at_mut(prepared.terms * R * length);
        match &prepared.order {
            Order::Tiles { columns, .. } if !FOLDED => {
                for (programs, rows) in columns.iter().zip(middle.chunks_exact_mut(R * length)) {
                    programs[R - 1].run::<V, R>(window.rows, window.ahead, length, split(rows, length));
                }
            }
            Order::Folded { column, .. } if FOLDED => {
                for (r, row) in middle.chunks_exact_mut(length).enumerate() {
                    column.row::<V>(&window.rows[r..], length, row);
                }
            }
            _ => unreachable!("prepared in the same order"),
        }
        if FOLDED && let Some((dtype, finish)) = prepared.stored {
            rows::keep(simd, middle, dtype, finish);
        }
        if let Some(outside) = prepared.outside {
            for row in middle.chunks_exact_mut(length) {
                row[..window.inside.start.min(length)].fill(outside);
                row[window.inside.end.min(length)..].fill(outside);
            }
        }
        let middle = &*middle;
        let row = |t: usize, r: usize| &middle[(t * R + r) * length..][..length];
        window.ahead.spread(R);
        for (r, out) in out.into_iter().enumerate() {
            window.ahead.step();
            match &prepared.order {
                Order::Tiles { rows, .. } if !FOLDED => {
                    let mut sources = [row(0, r); MOST_TERMS];
                    for t in 1..prepared.terms {
                        sources[t] = row(t, r);
                    }
                    rows.run::<V>(&sources[..prepared.terms], window.width, out);
                }
                Order::Folded { row: taps, .. } if FOLDED => {
                    taps.row::<V>(&[row(0, r)], window.width, out);
                }
                _ => unreachable!("prepared in the same order"),
            }
        }
    }
}

/// The rows of a block.
#[inline(always)]
fn split<A, const R: usize>(rows: &mut [A], length: usize) -> [&mut [A]; R] {
    let mut rows = rows.chunks_exact_mut(length);
    std::array::from_fn(|_| rows.next().expect("a row for each"))
}
