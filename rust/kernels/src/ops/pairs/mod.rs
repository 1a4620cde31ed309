//! Correlation of small integers by products of 16 bits, two to a lane of 32.
//!
//! ```text
//! pair[x]  = (s[x], s[x + d])                                       d: the horizontal dilation
//! sum[y,x] = sum over i, j even of  w[i, j] * s[y + i, x + j d] + w[i, j + 1] * s[y + i, x + (j + 1) d]
//! dst      = half-even rounding of  unit * (sum + offset)
//! ```
//!
//! One instruction multiplies both halves of a lane and adds the two products, so that a window costs half
//! the loads and multiplications that it costs in `f32`. Where results fit 16 bits, nothing in memory has
//! more of them, or more than 8 from bytes to bytes, and samples are paired in registers ([`over`]). Else sums of 32 bits come from the register
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
use crate::border::Border;
use crate::dtype::{Accumulator, DType, Overflow};
use crate::registry::{Implementation, Reject, Schedule};
use crate::shape::Axis;
use crate::simd::{
    Ahead, Ending, Further, Halves, Nearest, Paired, Program, Reading, Rounded, Sample, Simd, Two, Vector,
    lane, over,
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
        let [products, moved] = match fixed.narrow {
            true if in_bytes(problem) => BYTES,
            true => NARROW,
            false => WIDE,
        };
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
            Ok(FixedPoint { narrow: true, .. }) if in_bytes(problem) => {
                strip::run_in::<lane::U8, ByteTile>(problem, srcs, dsts, schedule)
            }
            Ok(FixedPoint { narrow: true, .. }) => {
                strip::run_in::<lane::I16, HalfTile>(problem, srcs, dsts, schedule)
            }
            _ => strip::run_in::<lane::I16Pairs, PairTile>(problem, srcs, dsts, schedule),
        }
    }
}

/// Pairs of products a nanosecond, and nanoseconds for bringing in, pairing, rounding and writing a result,
/// on the scale of [`Correlate::nanoseconds`]: from bytes to bytes, with results of 16 bits, and of 32.
const BYTES: [f64; 2] = [26.0, 0.86];
const NARROW: [f64; 2] = [24.0, 1.0];
const WIDE: [f64; 2] = [20.0, 1.16];

/// What a tap costs whose samples no two results share, in pairs whose samples they share.
const SPLIT: f64 = 1.3;

/// The loop at the head of this file.
enum PairTile {}

/// Why it is known what a row is made of.
pub(crate) const HALVES: &str = "the lane that this implementation runs in";

/// Whether rows of results that fit 16 bits are bytes, of the image and of the result, as they stand.
fn in_bytes(problem: &Correlate) -> bool {
    let held = problem.cval.integer.is_some_and(|value| (0..=255).contains(&value));
    [problem.src, problem.dst] == [DType::U8; 2]
        && problem.finish.overflow == Overflow::Saturate
        && (held || !problem.border.contains(&Border::Constant))
}

/// The loop for results of 16 bits.
enum HalfTile {}

/// The same loop from bytes to bytes.
enum ByteTile {}

/// Where pairs of taps read, their weights, and what becomes of the sums.
struct Half {
    places: Vec<[usize; 2]>,
    reading: Reading,
    weights: Vec<[Two; 2]>,
    further: Vec<Further>,
    scale: Scale,
}

impl Half {
    fn new(problem: &Correlate, geometry: &Geometry) -> Self {
        let fixed = problem.fixed_point().expect("a problem that this implementation accepts");
        let Axis { taps: cols, dilation, .. } = problem.axes[1];
        // An even number of neighbours makes a pair more of it if what is read is shared.
        let reading = match (dilation, cols % 2) {
            (1, 1) => Reading::Shared,
            (1, _) => Reading::Beside,
            _ => Reading::Apart,
        };
        let taps: Vec<i16> = fixed.taps.iter().map(|&tap| held(tap)).collect();
        let pairs = 0..cols.div_ceil(2);
        // A tap without a partner has the one before it, under a 0.
        let first = |pair: usize| match reading {
            Reading::Shared => 2 * pair,
            _ => (2 * pair).min(cols.saturating_sub(2)),
        };
        let place = |pair: usize| match reading {
            Reading::Shared => [first(pair), first(pair) + 1],
            // An only tap is beside itself.
            _ => [first(pair), (first(pair) + 1).min(cols - 1)].map(|col| geometry.offsets[col]),
        };
        let weights = |row: &[i16], pair: usize| {
            let shared = Two::shared(row, pair);
            match reading {
                Reading::Shared => shared,
                _ if first(pair) < 2 * pair => [Two::new(0, row[2 * pair]); 2],
                _ => [shared[0]; 2],
            }
        };
        let further =
            |&Split { row, col, weight }: &Split| Further { row, place: geometry.offsets[col], weight };
        Self {
            places: pairs.clone().map(place).collect(),
            reading,
            weights: taps
                .chunks_exact(cols)
                .flat_map(|row| pairs.clone().map(|pair| weights(row, pair)))
                .collect(),
            further: fixed.splits.iter().map(further).collect(),
            scale: fixed.scale,
        }
    }

    #[inline(always)]
    fn block<V: Halves, T: Sample, const R: usize>(
        &self,
        rows: &[&[T]],
        (width, ahead): (usize, &Ahead),
        out: [&mut [T]; R],
    ) {
        let taps =
            Paired { places: &self.places, reading: self.reading, weights: &self.weights, further: &[] };
        let rows = (rows, ahead, width);
        // A loop for each ending: what is asked once a block keeps the sums in registers. Only one has further taps.
        match self.scale {
            Scale::Bits { rounded, ties } if ties && rounded.shift > 0 => {
                sums::<V, T, R>(rows, taps, Nearest::<true>(rounded), out);
            }
            Scale::Bits { rounded, .. } => sums::<V, T, R>(rows, taps, Nearest::<false>(rounded), out),
            Scale::Unit(unit) => {
                let taps = Paired { further: &self.further, ..taps };
                sums::<V, T, R>(rows, taps, unit, out);
            }
        }
    }
}

macro_rules! inner {
    ($tile:ident, $sample:ty, $of:ident, $of_mut:ident) => {
        impl Inner for $tile {
            type Prepared<A: Accumulator> = Half;

            const PRODUCTS: bool = true;

            /// What few rows share is worth a block of one more than they: 17 % of the time under 2 x 2 taps, 4 under 3 x 3.
            fn height(taps: usize) -> usize {
                if matches!(taps, 2 | 3) { taps + 1 } else { strip::height(taps) }
            }

            fn prepare<A: Accumulator>(problem: &Correlate, _: &[Source], geometry: &Geometry) -> Half {
                Half::new(problem, geometry)
            }

            #[inline(always)]
            fn block<S: Simd, V: Vector<Elem: Rows>, const R: usize>(
                _: S,
                half: &Half,
                window: &Window<'_, V::Elem>,
                _: &mut [V::Elem],
                out: [&mut [V::Elem]; R],
            ) {
                let rows = V::Elem::$of(window.rows).expect(HALVES);
                let out = out.map(|row| V::Elem::$of_mut(row).expect(HALVES));
                half.block::<S::I16, $sample, R>(rows, (window.width, window.ahead), out);
            }
        }
    };
}
inner!(HalfTile, i16, halves, halves_mut);
inner!(ByteTile, u8, bytes, bytes_mut);

/// [`over`] the rows of a block.
#[inline(always)]
fn sums<V: Halves, T: Sample, const R: usize>(
    (rows, ahead, width): (&[&[T]], &Ahead, usize),
    taps: Paired<'_>,
    ending: impl Ending<V> + Copy,
    out: [&mut [T]; R],
) {
    if taps.rows() > 1 || R == 1 {
        return over::<V, T, R>(rows, taps, ahead, width, ending, out);
    }
    // A window of one row: the rows of a block share nothing.
    for (r, out) in out.into_iter().enumerate() {
        over::<V, T, 1>(&rows[r..=r], taps, ahead, width, ending, [out]);
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
        Scale::Bits { rounded: Rounded { offset: 0, shift: 0 }, .. } => {}
        _ => row.iter_mut().for_each(|a| *a = A::from_i128(scale.of(a.into_i128() as i32).into())),
    }
}
