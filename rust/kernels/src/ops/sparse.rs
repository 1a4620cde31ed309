//! Direct correlation with the taps that are not zero.
//!
//! ```text
//! sum[y, x] = sum over (i, j) with w[i, j] != 0, in C order, of  w[i, j] * src[y + i, x + j]
//! ```
//!
//! Neighbouring result rows share no samples here, as they do in the register tile, whose windows are rectangles: a tap
//! costs a load of its own, and half of them have to be zero before that is the cheaper way. A window that is a cross or
//! a line has many more.
//!
//! A tap of zero makes NaN of an infinity and of a NaN, so it may be left out where samples are integers or where
//! [`Zeros`] says so.

use super::correlate::{Correlate, Source, Summation, Zeros};
use super::strip::{self, Geometry, Inner, Window};
use crate::Error;
use crate::dtype::{Accumulator, Kind};
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{Simd, Spread, Vector};
use crate::view::{Dst, Rows, Src};

/// The implementation `sparse`.
#[derive(Debug)]
pub struct Sparse;

/// What a tap costs here for each nanosecond that it costs in the register tile.
const ALONE: f64 = 1.4;

impl Implementation<Correlate> for Sparse {
    fn name(&self) -> &'static str {
        "sparse"
    }

    fn cost(&self, problem: &Correlate) -> Result<f64, Reject> {
        problem.in_one_pass()?;
        problem.scratch_fits()?;
        problem.one_window()?;
        let finite = matches!(problem.src.kind(), Kind::Integer(..));
        if problem.zeros != Zeros::Nothing && problem.summation == Summation::Any && !finite {
            return Err(Reject("leaves out zeros, which make NaN of an infinity"));
        }
        let all = problem.taps.len();
        let left = (0..all).filter(|&i| problem.taps.is_tap(i)).count();
        let [h, w] = problem.output();
        let moved = h as f64 * w as f64;
        Ok((problem.nanoseconds() - moved) * ALONE * left as f64 / all as f64 + moved)
    }

    fn run(
        &self,
        problem: &Correlate,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        strip::run::<Loose>(problem, srcs, dsts, schedule)
    }
}

/// The loop at the head of this file.
enum Loose {}

/// The taps of a component, source by source, and from one result row to the next.
struct Prepared<A> {
    sources: Vec<Spread<A>>,
    advance: usize,
}

impl Inner for Loose {
    type Prepared<A: Accumulator> = Prepared<A>;

    fn prepare<A: Accumulator>(problem: &Correlate, sources: &[Source], geometry: &Geometry) -> Prepared<A> {
        let cols = geometry.offsets.len();
        let spread = |source: &Source| {
            let weights = problem.weights::<A>(source.part).into_iter().enumerate();
            let taps = weights.filter(|&(i, _)| problem.taps.is_tap(i));
            Spread::new(taps.map(|(i, w)| (i / cols, geometry.offsets[i % cols], w)))
        };
        Prepared { sources: sources.iter().map(spread).collect(), advance: geometry.advance }
    }

    #[inline(always)]
    fn block<S: Simd, V: Vector<Elem: Rows>, const R: usize>(
        _: S,
        prepared: &Prepared<V::Elem>,
        window: &Window<'_, V::Elem>,
        _: &mut [V::Elem],
        out: [&mut [V::Elem]; R],
    ) {
        let each = window.rows.len() / prepared.sources.len();
        window.ahead.spread(R);
        for (r, out) in out.into_iter().enumerate() {
            window.ahead.step();
            let rows =
                |source: usize| &window.rows[source * each + r * prepared.advance..(source + 1) * each];
            Spread::run::<V>(&prepared.sources, rows, window.width, out);
        }
    }
}
