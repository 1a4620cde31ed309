//! Correlation of small integers by products of 16 bits, two to a lane of 32.
//!
//! ```text
//! pair[x]  = (s[x], s[x + d])                                       d: the horizontal dilation
//! sum[y,x] = sum over i, j even of  w[i, j] * s[y + i, x + j d] + w[i, j + 1] * s[y + i, x + (j + 1) d]
//! dst      = half-even rounding of  unit * (sum + offset)
//! ```
//!
//! One instruction multiplies both halves of a lane and adds the two products, so that a window costs half
//! the loads and multiplications that it costs in `f32`. Where results fit 16 bits, everything in memory has
//! 16 bits too, and samples are paired in registers ([`over`]). Else sums of 32 bits come from the register
//! tile ([`Program`]): a row is paired once when it is brought in; a lane for each sample, not for every
//! other one, lets any result begin at any sample without shuffles.
//!
//! Taps that are integers of 16 bits are taken as they are, and sums are exact. Others are rounded to
//! multiples of a unit (`FixedPoint`), where the sum of all roundings is within the bound for every image of the
//! dtype. An unsigned 16-bit sample is taken less 2^15, and the taps' sum times 2^15 is added at the end; all of it is
//! modulo 2^32, and the sums are not larger.

mod fixed;
mod passes;
mod toeplitz;

pub(crate) use fixed::{FixedPoint, Scale};
pub use passes::PairPasses;
pub(crate) use passes::Scaled;
pub(in crate::ops) use passes::{every_other, paired, paired_rows};
pub use toeplitz::Toeplitz;

use super::correlate::{Correlate, Source, Summation};
use super::direct::RegisterTile;
use super::strip::{self, Geometry, Inner, Window};
use crate::Error;
use crate::dtype::Accumulator;
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{
    Ending, Further, Halves, Nearest, Paired, Program, Rounded, Simd, Two, Vector, lane, over,
};
use crate::view::{Dst, Rows, Src};
use fixed::{Split, held};

/// The implementation `pairs`.
#[derive(Debug)]
pub struct Pairs;

impl Implementation<Correlate> for Pairs {
    fn name(&self) -> &'static str {
        "pairs"
    }

    fn arithmetic(&self) -> Option<&'static str> {
        Some("i16")
    }

    fn bound(&self, problem: &Correlate) -> Option<String> {
        problem.fixed_point().ok().and_then(FixedPoint::bound)
    }

    fn results(&self, _: &Correlate) -> &'static str {
        FixedPoint::RESULTS
    }

    fn cost(&self, problem: &Correlate) -> Result<f64, Reject> {
        if problem.summation != Summation::Any {
            return Err(Reject("the order of summation shows in the result, and this is another one"));
        }
        problem.one_window()?;
        problem.one_sum()?;
        problem.scratch_fits()?;
        if problem.axes[1].stride != 1 {
            return Err(Reject("needs neighbouring samples side by side: a horizontal stride of 1"));
        }
        let fixed = problem.fixed_point()?;
        let [products, moved] = if fixed.narrow { NARROW } else { WIDE };
        let [h, w] = problem.output();
        let [rows, cols] = problem.taps.shape();
        let pairs = (rows * cols.div_ceil(2)) as f64 + fixed.splits.len() as f64 * SPLIT;
        Ok(h as f64 * w as f64 * (pairs / products + moved))
    }

    fn run(
        &self,
        problem: &Correlate,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        match problem.fixed_point() {
            Ok(FixedPoint { narrow: true, .. }) => {
                strip::run_in::<lane::I16, HalfTile>(problem, srcs, dsts, schedule)
            }
            _ => strip::run_in::<lane::I16Pairs, PairTile>(problem, srcs, dsts, schedule),
        }
    }
}

/// Pairs of products a nanosecond, and nanoseconds for bringing in, pairing, rounding and writing a result,
/// on the scale of [`Correlate::nanoseconds`]: with results of 16 bits, and of 32.
const NARROW: [f64; 2] = [24.0, 1.0];
const WIDE: [f64; 2] = [20.0, 1.16];

/// What a tap costs whose samples no two results share, in pairs whose samples they share.
const SPLIT: f64 = 1.3;

/// The loop at the head of this file.
enum PairTile {}

/// Why a row is known to be of `i16`.
pub(crate) const HALVES: &str = "the lane that this implementation runs in";

/// The loop for results of 16 bits.
enum HalfTile {}

/// Where pairs of taps read, their weights, and what becomes of the sums.
struct Half {
    places: Vec<[usize; 2]>,
    weights: Vec<Two>,
    further: Vec<Further>,
    scale: Scale,
}

impl Inner for HalfTile {
    type Prepared<A: Accumulator> = Half;

    const PRODUCTS: bool = true;

    fn prepare<A: Accumulator>(problem: &Correlate, _: &[Source], geometry: &Geometry) -> Half {
        let fixed = problem.fixed_point().expect("a problem that this implementation accepts");
        let cols = problem.taps.shape()[1];
        // A tap without a partner has the one before it, under a 0; or itself, if it is the only one.
        let paired = |two: &[i16]| match *two {
            [first, second] => Two::new(first, second),
            [last] => Two::new(0, last),
            _ => unreachable!("one or two"),
        };
        let place = |col: usize| {
            let first = col.min(cols.saturating_sub(2));
            [geometry.offsets[first], geometry.offsets[(first + 1).min(cols - 1)]]
        };
        let taps: Vec<i16> = fixed.taps.iter().map(|&tap| held(tap)).collect();
        let further =
            |&Split { row, col, weight }: &Split| Further { row, place: geometry.offsets[col], weight };
        Half {
            places: (0..cols).step_by(2).map(place).collect(),
            weights: taps.chunks_exact(cols).flat_map(|row| row.chunks(2).map(paired)).collect(),
            further: fixed.splits.iter().map(further).collect(),
            scale: fixed.scale,
        }
    }

    #[inline(always)]
    fn block<S: Simd, V: Vector<Elem: Rows>, const R: usize>(
        _: S,
        half: &Half,
        window: &Window<'_, V::Elem>,
        _: &mut [V::Elem],
        out: [&mut [V::Elem]; R],
    ) {
        let rows: Vec<&[i16]> = window.rows.iter().map(|row| V::Elem::halves(row).expect(HALVES)).collect();
        let out = out.map(|row| V::Elem::halves_mut(row).expect(HALVES));
        let taps = Paired { places: &half.places, weights: &half.weights, further: &[] };
        // A loop for each ending: what is asked once a block keeps the sums in registers. Only one has further taps.
        match half.scale {
            Scale::Bits(bits @ Rounded { shift: 0, .. }) => {
                sums::<_, S::I16, R>(&rows, taps, window, Nearest::<false>(bits), out);
            }
            Scale::Bits(bits) => sums::<_, S::I16, R>(&rows, taps, window, Nearest::<true>(bits), out),
            Scale::Unit(unit) => {
                let taps = Paired { further: &half.further, ..taps };
                sums::<_, S::I16, R>(&rows, taps, window, unit, out);
            }
        }
    }
}

/// [`over`] the rows of a block.
#[inline(always)]
fn sums<A, V: Halves, const R: usize>(
    rows: &[&[i16]],
    taps: Paired<'_>,
    window: &Window<'_, A>,
    ending: impl Ending<V> + Copy,
    out: [&mut [i16]; R],
) {
    let (width, ahead) = (window.width, window.ahead);
    if taps.rows() >= R {
        return over::<V, R>(rows, taps, ahead, width, ending, out);
    }
    // A window of one row: the rows of a block share nothing.
    for (r, out) in out.into_iter().enumerate() {
        over::<V, 1>(&rows[r..=r], taps, ahead, width, ending, [out]);
    }
}

/// Programs of paired taps, and what becomes of the sums.
struct Prepared<A> {
    programs: Vec<Program<A>>,
    dilation: usize,
    scale: Scale,
    /// Which bits of a sample are turned, for samples less 2^15.
    turned: i16,
}

/// Two halves as a lane.
#[inline(always)]
fn lane_of<A: Accumulator>(low: i16, high: i16) -> A {
    A::from_i128(i128::from((low as u16 as i32) | (i32::from(high) << 16)))
}

impl Inner for PairTile {
    type Prepared<A: Accumulator> = Prepared<A>;

    const PRODUCTS: bool = true;

    fn prepare<A: Accumulator>(problem: &Correlate, _: &[Source], geometry: &Geometry) -> Prepared<A> {
        let fixed = problem.fixed_point().expect("a problem that this implementation accepts");
        let cols = problem.taps.shape()[1];
        let pairs = |row: &[i16]| -> Vec<A> {
            row.chunks(2).map(|two| lane_of(two[0], two.get(1).copied().unwrap_or(0))).collect()
        };
        let taps: Vec<i16> = fixed.taps.iter().map(|&tap| held(tap)).collect();
        let weights: Vec<A> = taps.chunks_exact(cols).flat_map(pairs).collect();
        let offsets: Vec<usize> = geometry.offsets.iter().copied().step_by(2).collect();
        let programs = (1..=geometry.height.min(geometry.taps))
            .map(|height| Program::new(height, geometry.taps, &offsets, &[&weights]))
            .collect();
        let sum = fixed.taps.iter().fold(0, |sum: i32, &w| sum.wrapping_add(w));
        Prepared {
            programs,
            dilation: problem.axes[1].dilation,
            scale: fixed.scale.plus(if fixed.unsigned { sum.wrapping_mul(1 << 15) } else { 0 }),
            turned: if fixed.unsigned { i16::MIN } else { 0 },
        }
    }

    /// Pairs the samples of a row. The last `dilation` of it have no partner, which is read under a zero alone.
    fn brought<S: Simd, A: Accumulator>(simd: S, prepared: &Prepared<A>, row: &mut [A]) {
        let Prepared { dilation, turned, .. } = *prepared;
        // By value: behind a reference, the compiler has to expect that a store changes them.
        simd.vectorize(
            #[inline(always)]
            move || {
                let half = |sample: A| sample.into_i128() as i16 ^ turned;
                let paired = |low: A, high: A| lane_of(half(low), half(high));
                match dilation {
                    // A distance that the compiler knows is one that it makes vectors of.
                    1 => (1..row.len()).for_each(|x| row[x - 1] = paired(row[x - 1], row[x])),
                    far => (far..row.len()).for_each(|x| row[x - far] = paired(row[x - far], row[x])),
                }
                let alone = row.len().saturating_sub(dilation);
                row[alone..].iter_mut().for_each(|sample| *sample = lane_of(half(*sample), 0));
            },
        );
    }

    #[inline(always)]
    fn block<S: Simd, V: Vector<Elem: Rows>, const R: usize>(
        simd: S,
        prepared: &Prepared<V::Elem>,
        window: &Window<'_, V::Elem>,
        scratch: &mut [V::Elem],
        mut out: [&mut [V::Elem]; R],
    ) {
        RegisterTile::block::<S, V, R>(
            simd,
            &prepared.programs,
            window,
            scratch,
            out.each_mut().map(|row| &mut **row),
        );
        for row in out {
            round_all(row, prepared.scale);
        }
    }
}

/// Rounds the sums of a row.
#[inline(always)]
fn round_all<A: Accumulator>(row: &mut [A], scale: Scale) {
    match scale {
        Scale::Bits(Rounded { offset: 0, shift: 0 }) => {}
        _ => row.iter_mut().for_each(|a| *a = A::from_i128(scale.of(a.into_i128() as i32).into())),
    }
}
