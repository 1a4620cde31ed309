//! Correlation of bytes with small whole weights, to bytes.
//!
//! ```text
//! dst[y, x] = the nearest byte to  sum over (i, j) with w[i, j] != 0 of  w[i, j] * src[y + i, x + j]
//! ```
//!
//! Rows are read and written as they stand in the image, and sums are made of two bytes a word ([`Weighed`]): nothing
//! is widened in memory, and a vector holds twice as many results. The sums are exact, in any order.

use super::correlate::{Correlate, Source};
use super::strip::{self, Geometry, Inner, Window};
use crate::Error;
use crate::border::Border;
use crate::dtype::{Accumulator, Arithmetic, DType, Overflow};
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{ByteLane, Simd, Vector, Weighed, bytes_at_once};
use crate::view::{Dst, Rows, Src};

/// The implementation `bytes`.
#[derive(Debug)]
pub struct ByteTaps;

/// Nanoseconds of a tap, and of a result, on the scale of [`Correlate::nanoseconds`].
const TAP: f64 = 0.0247;
const MOVED: f64 = 0.83;

impl Implementation<Correlate> for ByteTaps {
    fn name(&self) -> &'static str {
        "bytes"
    }

    fn cost(&self, problem: &Correlate) -> Result<f64, Reject> {
        problem.in_one_pass()?;
        problem.scratch_fits()?;
        problem.one_window()?;
        let bytes = (problem.src, problem.dst) == (DType::U8, DType::U8);
        if !bytes || problem.arithmetic != Arithmetic::I16 || problem.finish.overflow != Overflow::Saturate {
            return Err(Reject(
                "only for uint8 under whole weights whose sums are ones of 16 bits, saturated",
            ));
        }
        let held = problem.cval.integer.is_some_and(|value| (0..=255).contains(&value));
        if problem.border.contains(&Border::Constant) && !held {
            return Err(Reject("needs a cval that is a byte"));
        }
        if problem.axes.iter().any(|axis| axis.stride != 1) {
            return Err(Reject("needs strides of 1"));
        }
        let left = (0..problem.taps.len()).filter(|&i| problem.taps.is_tap(i)).count();
        let [h, w] = problem.output();
        Ok(h as f64 * w as f64 * (left as f64 * TAP + MOVED))
    }

    fn run(
        &self,
        problem: &Correlate,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        strip::run_in::<ByteLane, Words>(problem, srcs, dsts, schedule)
    }
}

/// The loop at the head of this file.
enum Words {}

/// The taps, and from one result row of a block to the next.
struct Prepared {
    taps: Weighed,
    advance: usize,
}

/// What rows are asked to be.
const BYTES: &str = "rows of bytes";

impl Inner for Words {
    type Prepared<A: Accumulator> = Prepared;

    const LENT: bool = false;

    fn prepare<A: Accumulator>(problem: &Correlate, sources: &[Source], geometry: &Geometry) -> Prepared {
        let cols = geometry.offsets.len();
        let weights = problem.weights::<i16>(sources[0].part).into_iter().enumerate();
        let taps = weights.filter(|&(_, w)| w != 0);
        let taps = Weighed::new(taps.map(|(i, w)| (i / cols, geometry.offsets[i % cols], w)));
        Prepared { taps, advance: geometry.advance }
    }

    #[inline(always)]
    fn block<S: Simd, V: Vector<Elem: Rows>, const R: usize>(
        _: S,
        prepared: &Prepared,
        window: &Window<'_, V::Elem>,
        _: &mut [V::Elem],
        out: [&mut [V::Elem]; R],
    ) {
        let rows = V::Elem::bytes(window.rows).expect(BYTES);
        window.ahead.spread(R * window.width.div_ceil(bytes_at_once::<S::I16>()));
        for (r, out) in out.into_iter().enumerate() {
            let out = V::Elem::bytes_mut(out).expect(BYTES);
            prepared.taps.run::<S::I16>(&rows[r * prepared.advance..], window.ahead, out);
        }
    }
}
