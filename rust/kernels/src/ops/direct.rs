//! Direct correlation, register-blocked over rows.
//!
//! The loops are [`Program::run`]; this file says which window it runs. Each result is summed row by
//! row and tap by tap in C order, whatever the tile it falls in, so that its bits depend on the
//! instruction set alone.

use super::correlate::{Correlate, Source};
use super::magnitude::Magnitude;
use super::normalised::Normalised;
use super::strip::{self, Geometry, Inner, Window};
use crate::Error;
use crate::dtype::{Accumulator, Arithmetic};
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{Program, Simd, Vector, lane};
use crate::view::{Dst, Rows, Src};

/// The implementation `direct`.
#[derive(Debug)]
pub struct Direct;

impl Implementation<Correlate> for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn cost(&self, problem: &Correlate) -> Result<f64, Reject> {
        problem.one_sum()?;
        problem.scratch_fits()?;
        Ok(problem.nanoseconds())
    }

    fn run(
        &self,
        problem: &Correlate,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        match (&problem.magnitude, problem.arithmetic) {
            (None, Arithmetic::F32) if problem.left_out.is_some() => {
                strip::run_in::<lane::F32, Normalised<RegisterTile>>(problem, srcs, dsts, schedule)
            }
            (None, _) if problem.left_out.is_some() => {
                strip::run_in::<lane::F64, Normalised<RegisterTile>>(problem, srcs, dsts, schedule)
            }
            (None, _) => strip::run::<RegisterTile>(problem, srcs, dsts, schedule),
            (_, Arithmetic::F32) => {
                strip::run_in::<lane::F32, Magnitude<RegisterTile>>(problem, srcs, dsts, schedule)
            }
            _ => strip::run_in::<lane::F64, Magnitude<RegisterTile>>(problem, srcs, dsts, schedule),
        }
    }
}

/// The loop at the head of this file.
pub(super) enum RegisterTile {}

impl Inner for RegisterTile {
    /// A program for each height that a block may have.
    type Prepared<A: Accumulator> = Vec<Program<A>>;

    fn prepare<A: Accumulator>(
        problem: &Correlate,
        sources: &[Source],
        geometry: &Geometry,
    ) -> Self::Prepared<A> {
        let weights: Vec<Vec<A>> = sources.iter().map(|s| problem.weights(s.part)).collect();
        let weights: Vec<&[A]> = weights.iter().map(Vec::as_slice).collect();
        (1..=geometry.height.min(geometry.taps))
            .map(|height| Program::new(height, geometry.taps, &geometry.offsets, &weights))
            .collect()
    }

    #[inline(always)]
    fn block<S: Simd, V: Vector<Elem: Rows>, const R: usize>(
        _: S,
        programs: &Self::Prepared<V::Elem>,
        window: &Window<'_, V::Elem>,
        _: &mut [V::Elem],
        out: [&mut [V::Elem]; R],
    ) {
        if R <= programs.len() {
            programs[R - 1].run::<V, R>(window.rows, window.ahead, window.width, out);
            return;
        }
        // A window of one row: the rows of a block share nothing.
        let sources = window.rows.len() / R;
        for (r, out) in out.into_iter().enumerate() {
            let rows = [window.rows[r], window.rows[(sources - 1) * R + r]];
            programs[0].run::<V, 1>(&rows[..sources], window.ahead, window.width, [out]);
        }
    }
}
