//! Direct correlation, register-blocked over rows.
//!
//! ```text
//! for x in steps of NV vectors:                       acc: R rows x NV vectors, in registers
//!     for each source row j of the block:             result rows lo..hi of the block use it
//!         for each horizontal tap k:
//!             load NV vectors at x + offset[k]
//!             acc[r] += w[j - r * advance][k] * them  for r in lo..hi
//! ```
//!
//! The loops are [`Program::run`]; this file writes the program. Each result is summed row by row
//! and tap by tap in C order, whatever the tile it falls in, so that its bits depend on the
//! instruction set alone.

use super::correlate::{Correlate, Source, Summation};
use super::strip::{self, Geometry, HEIGHTS, Inner, Window};
use crate::Error;
use crate::dtype::Accumulator;
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{Program, Vector};
use crate::view::{Dst, Src};

/// The implementation `direct`.
#[derive(Debug)]
pub struct Direct;

impl Implementation<Correlate> for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn cost(&self, problem: &Correlate) -> Result<f64, Reject> {
        if problem.summation == Summation::Folded {
            return Err(Reject("adds tap after tap; the folded order was asked for"));
        }
        Ok(problem.nanoseconds())
    }

    fn run(&self, problem: &Correlate, src: &Src<'_>, dst: &mut Dst<'_>, schedule: &Schedule<'_>) -> Result<(), Error> {
        strip::run::<RegisterTile>(problem, src, dst, schedule)
    }
}

/// The loop at the head of this file.
enum RegisterTile {}

impl Inner for RegisterTile {
    /// A program for each height of a block.
    type Prepared<A: Accumulator> = [Program<A>; HEIGHTS.len()];

    fn prepare<A: Accumulator>(sources: &[Source<A>], geometry: &Geometry) -> Self::Prepared<A> {
        HEIGHTS.map(|height| program(sources, geometry, height))
    }

    #[inline(always)]
    fn block<V: Vector, const NV: usize, const R: usize>(
        programs: &Self::Prepared<V::Elem>,
        window: &Window<'_, V::Elem>,
        out: [&mut [V::Elem]; R],
    ) {
        let height = HEIGHTS.iter().position(|&h| h == R).expect("one of the heights");
        programs[height].run::<V, NV, R>(window.rows, window.width, out);
    }
}

/// The program for blocks of `height` rows.
fn program<A: Accumulator>(sources: &[Source<A>], geometry: &Geometry, height: usize) -> Program<A> {
    let (advance, cols) = (geometry.advance, geometry.offsets.len());
    let mut program = Program::new(height);
    for (s, source) in sources.iter().enumerate() {
        let taps = source.weights.len() / cols;
        let rows = geometry.rows_for(height, taps);
        for j in 0..rows {
            // Result row r uses window row j - r * advance, where there is one.
            let lo = (j + 1).saturating_sub(taps).div_ceil(advance);
            let hi = height.min(j / advance + 1);
            // A stride beyond the window leaves rows that no result reads.
            if lo < hi {
                program.push(s * rows + j, lo, hi, &geometry.offsets, |r, tap| {
                    source.weights[(j - r * advance) * cols + tap]
                });
            }
        }
    }
    program
}
