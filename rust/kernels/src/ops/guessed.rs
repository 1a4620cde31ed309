//! SciPy's passes over 8-bit images, guessed by products of 16 bits and made sure of where the guess is close.
//!
//! ```text
//! for each pass, with h = 2^shift w rounded to 16 bits, and l the next bits:
//!     g = sum of h x                          g - below <= 2^shift * SciPy's f64 sum <= g + above
//!     no integer but 0 in there:              trunc(2^-shift g)  is trunc of SciPy's sum too
//!     none near  g + 2^-LOW (sum of l x)  :   trunc of that is
//!     all samples under the window equal:     what SciPy's sum makes of that sample, from a table
//!     else:                                   SciPy's sum, truncated
//! ```
//!
//! SciPy truncates after each pass, so a result depends on roundings only where a sum is next to an
//! integer: by 16 bits about one in a hundred under a Gaussian, by 28 next to none. Regions of one value, where every
//! sum is next to one, have their table; a ramp is summed three times.

use super::correlate::{Correlate, Source, Summation};
use super::folded::PairedTaps;
use super::pairs::{HALVES, every_other, paired, paired_rows};
use super::rows;
use super::strip::{self, Geometry, Inner, Window};
use crate::Error;
use crate::border::Border;
use crate::dtype::{Accumulator, DType, Finish, Kind, Rounding};
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{
    Halves, Lanes, Lines, MAX_HALF_ROWS, MAX_LANES, MAX_NOTES, Noted, Notes, RowTaps, Samples, Simd,
    Truncated, Two, Vector, along, lane, load_tile, most_lanes, store_tile,
};
use crate::view::{Dst, Rows, Src};

/// The implementation `guessed`.
#[derive(Debug)]
pub struct Guessed;

/// The largest part of all sums that may be in doubt.
const MOST_DOUBT: f64 = 1.0 / 16.0;

/// Bits of a tap beyond those of its 16.
const LOW: u32 = 12;

/// Bits after the point of a tap's 16, at most.
const MOST_SHIFT: u32 = 24;

/// On the scale of [`Correlate::nanoseconds`]: pairs of products a nanosecond; nanoseconds for a result's way in and
/// out, and for a tap of a result in doubt.
const PRODUCTS: f64 = 20.0;
const MOVED: f64 = 1.2;
const DOUBTED: f64 = 0.8;

impl Implementation<Correlate> for Guessed {
    fn name(&self) -> &'static str {
        "guessed"
    }

    fn arithmetic(&self) -> Option<&'static str> {
        Some("i16")
    }

    fn cost(&self, problem: &Correlate) -> Result<f64, Reject> {
        if problem.summation != Summation::Folded {
            return Err(Reject("passes in SciPy's order were not asked for, or can't be seen"));
        }
        if problem.axes.iter().any(|axis| axis.stride != 1) || problem.axes[0].dilation != 1 {
            return Err(Reject("strides and the vertical dilation are 1 here"));
        }
        if problem.finish.rounding != Rounding::Truncate {
            return Err(Reject("needs results that are truncated"));
        }
        problem.scratch_fits()?;
        let [h, w] = problem.output();
        let pass = |guess: Guess| {
            let taps = guess.high.len() as f64;
            taps / (2.0 * PRODUCTS) + guess.in_doubt() * taps * DOUBTED
        };
        let passes: f64 = guesses(problem)?.into_iter().flatten().map(pass).sum();
        Ok(h as f64 * w as f64 * (passes + MOVED))
    }

    fn run(
        &self,
        problem: &Correlate,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        strip::run_in::<lane::I16, Passes>(problem, srcs, dsts, schedule)
    }
}

/// The taps of a pass in two parts, and how far sums of the first, and of both, may be from SciPy's.
struct Guess {
    weights: Vec<f64>,
    high: Vec<i16>,
    low: Vec<i16>,
    /// By the first part, and by both.
    cuts: [Truncated; 2],
    /// The least and the largest sample and result.
    samples: [i64; 2],
    results: [i64; 2],
}

impl Guess {
    /// For samples of a range.
    fn new(weights: &[f64], samples: [i64; 2]) -> Result<Self, Reject> {
        let peak = weights.iter().fold(0.0, |peak: f64, w| peak.max(w.abs()));
        let largest = samples[0].abs().max(samples[1]) as f64;
        let sum = weights.iter().map(|w| w.abs()).sum::<f64>() * largest;
        let unit = |shift: u32| 2_f64.powi(shift as i32);
        // Roundings may add half a unit a tap, and the next bits are sums of as many halves of 2^LOW.
        let roundings = (weights.len() + 1) as f64 * largest * unit(LOW);
        let fits = |&shift: &u32| {
            peak * unit(shift) <= 32_767.0 && sum * unit(shift) + unit(shift) + roundings < unit(31)
        };
        // NaN and infinite taps end here too.
        let shift = (1..=MOST_SHIFT).rev().find(fits).ok_or(Reject("the sums may exceed 32 bits"))?;
        let scaled = |w: f64| w * unit(shift);
        let high: Vec<i16> = weights.iter().map(|&w| scaled(w).round_ties_even() as i16).collect();
        let left = |w: f64, high: i16| (scaled(w) - f64::from(high)) * unit(LOW);
        let rest: Vec<f64> = weights.iter().zip(&high).map(|(&w, &high)| left(w, high)).collect();
        let low: Vec<i16> = rest.iter().map(|rest| rest.round_ties_even() as i16).collect();
        // What parts of taps, in so many of which there is a unit, make of the samples at most and at least.
        let reach = |parts: &mut dyn Iterator<Item = f64>, of: f64| {
            parts.fold([0.0, 0.0], |[above, below]: [f64; 2], part| {
                let [a, b] = samples.map(|sample| part * sample as f64 / of);
                [above + a.max(b), below - a.min(b)]
            })
        };
        // One unit more, for the roundings of SciPy's sum; another where the next bits are cut off.
        let cut = |[above, below]: [f64; 2], off: i32| Truncated {
            shift,
            above: above.ceil() as i32 + 1 + off,
            below: below.ceil() as i32 + 1,
        };
        let first = match rest.iter().all(|&rest| rest == 0.0) {
            // SciPy's sum is this one.
            true => Truncated { shift, above: 0, below: -1 },
            false => cut(reach(&mut rest.iter().copied(), unit(LOW)), 0),
        };
        let lost = rest.iter().zip(&low).map(|(rest, &low)| rest - f64::from(low));
        let second = cut(reach(&mut lost.into_iter(), unit(LOW)), 1);
        let ends = reach(&mut weights.iter().copied(), 1.0);
        // Roundings are less than a unit of any shift: a sum of nearly 256 is one of 255, or of 256.
        let [most, least] = ends.map(|end| (end + 1e-6).floor() as i64);
        let results = [-least, most];
        if results.iter().any(|&result| i16::try_from(result).is_err()) {
            return Err(Reject("the results may exceed 16 bits"));
        }
        let guess = Self { weights: weights.to_vec(), high, low, cuts: [first, second], samples, results };
        if guess.in_doubt() > MOST_DOUBT {
            return Err(Reject("too many sums by taps of 16 bits would leave the result in doubt"));
        }
        Ok(guess)
    }

    /// Whether all results are numbers of an integer dtype.
    fn fits(&self, dtype: DType) -> bool {
        match dtype.kind() {
            Kind::Integer(least, most) => {
                self.results.iter().all(|&result| (least..=most).contains(&i128::from(result)))
            }
            _ => false,
        }
    }

    /// The part of sums, all equally likely, that are in doubt by the first part of the taps.
    fn in_doubt(&self) -> f64 {
        let Truncated { shift, above, below } = self.cuts[0];
        f64::from(above + below + 1) / f64::from(1 << shift)
    }
}

/// The passes down the columns and along the rows, of those that the window has.
fn guesses(problem: &Correlate) -> Result<[Option<Guess>; 2], Reject> {
    let integers = |dtype: DType| match dtype.kind() {
        Kind::Integer(least, most) if dtype != DType::Bool => Some([least, most]),
        _ => None,
    };
    let (Some(image), Some(kept)) = (integers(problem.src), integers(problem.dst)) else {
        return Err(Reject("needs an image of 8-bit integers, and integer results"));
    };
    if problem.src.size() > 1 || problem.taps.is_complex() {
        return Err(Reject("needs an image of 8-bit integers, real weights, and integer results"));
    }
    let mut outside = None;
    if problem.border.contains(&Border::Constant) {
        match problem.cval.integer {
            Some(value) if value.unsigned_abs() < 1 << 15 => outside = Some(value as i64),
            _ => return Err(Reject("needs a cval that is an integer of 16 bits")),
        }
    }
    let joined = |[least, most]: [i64; 2]| match outside {
        Some(value) => [least.min(value), most.max(value)],
        None => [least, most],
    };
    let samples = joined(image.map(|end| end as i64));
    if !problem.passes {
        let guess = Guess::new(problem.taps.re(), samples)?;
        return match problem.taps.shape() {
            [1, _] => Ok([None, Some(guess)]),
            _ => Ok([Some(guess), None]),
        };
    }
    let term = &problem.terms()?[0];
    let first = Guess::new(&term.column, samples)?;
    let middle = match problem.dst.size() {
        _ if first.fits(problem.dst) => first.results,
        1 => kept.map(|end| end as i64),
        _ => {
            return Err(Reject(
                "the first pass's results may exceed their dtype, and it has more than 8 bits",
            ));
        }
    };
    let second = Guess::new(&term.row, joined(middle))?;
    Ok([Some(first), Some(second)])
}

/// One of the passes, to be made sure of.
struct Pass {
    high: Vec<Two>,
    low: Vec<Two>,
    /// The first of them along a row.
    along: RowTaps,
    cuts: [Truncated; 2],
    /// Rows and columns from one tap to the next.
    step: [usize; 2],
    taps: PairedTaps<f64>,
    /// What becomes of a window of equal samples, for `least`, `least + 1`, ...
    equal: Vec<i16>,
    least: i64,
}

/// Samples on either side of 0 that have an entry in the table of equal ones, at most.
const MOST_EQUAL: i64 = 1 << 9;

impl Pass {
    fn new(guess: &Guess, step: [usize; 2]) -> Self {
        let taps = PairedTaps::new(guess.weights.clone(), |tap| (tap, 0));
        let [least, most] = [guess.samples[0].max(-MOST_EQUAL), guess.samples[1].min(MOST_EQUAL)];
        let sums = |x: i64| {
            let samples = std::array::from_fn(|l| (x + l as i64) as f64);
            let [sums] = taps.at::<Lanes<f64, 8, false>, 1>(|_| [Lanes::of_lanes(&samples)]);
            sums.lanes().into_iter().take(8).map(|sum| sum as i16)
        };
        let equal = (least..=most).step_by(8).flat_map(sums).take((most - least + 1) as usize).collect();
        Self {
            high: paired(&guess.high),
            low: paired(&guess.low),
            along: RowTaps::new(&guess.high, step[1]),
            cuts: guess.cuts,
            step,
            taps,
            equal,
            least,
        }
    }

    /// The results of a vector at `x`, over `lines`, as SciPy has them. Once, not in every loop: it is seldom needed.
    #[inline(never)]
    fn make_sure<S: Simd>(&self, simd: S, lines: Lines<'_>, x: usize, out: &mut [i16]) {
        simd.vectorize(
            #[inline(always)]
            || {
                let samples = Samples::<S::I16>::new(lines, x, self.taps.places().len(), self.step);
                let mut exact = [0; most_lanes::<i16>()];
                let results = &mut exact[..S::I16::LANES];
                let equal = samples.if_equal();
                if !equal.is_some_and(|equal| self.of_equal(equal, results)) {
                    let [sums, parts] = samples.sums([&self.high, &self.low]);
                    let sums = S::I16::plus_parts(sums, parts, LOW);
                    let (made, doubted) = S::I16::truncated(sums, self.cuts[1]);
                    if !doubted {
                        return store_tile(&[made], out, 0);
                    }
                    self.sum_exactly::<S::F64Unfused, _>(samples, results);
                }
                store_tile(&load_tile::<S::I16, 1>(&exact, 0), out, 0);
            },
        );
    }

    /// Puts what windows of nothing but these samples become, if all are in the table.
    #[inline(always)]
    fn of_equal<V: Halves>(&self, samples: V, results: &mut [i16]) -> bool {
        store_tile(&[samples], results, 0);
        let known =
            |sample: i16| self.equal.get(usize::try_from(i64::from(sample) - self.least).ok()?).copied();
        let Some(first) = known(results[0]) else { return false };
        if V::splat(0).apart(samples, V::splat(results[0])).is_zero() {
            results.fill(first);
            return true;
        }
        results.iter_mut().all(|result| known(*result).map(|known| *result = known).is_some())
    }

    /// SciPy's sums, truncated.
    #[inline(always)]
    fn sum_exactly<V: Vector<Elem = f64>, H: Halves>(&self, samples: Samples<'_, H>, results: &mut [i16]) {
        for (v, results) in results.chunks_exact_mut(2 * V::LANES).enumerate() {
            let sums: [V; 2] = self.taps.at(
                #[inline(always)]
                |(tap, _)| {
                    let (low, high) = samples.of(tap)[v * 2 * V::LANES..].split_at(V::LANES);
                    [widened(low), widened(high)]
                },
            );
            for (sums, results) in sums.into_iter().zip(results.chunks_exact_mut(V::LANES)) {
                results.iter_mut().zip(sums.lanes()).for_each(|(result, sum)| *result = sum as i16);
            }
        }
    }
}

/// A vector of `f64` from as many samples.
#[inline(always)]
fn widened<V: Vector<Elem = f64>>(samples: &[i16]) -> V {
    let samples = &samples[..V::LANES];
    let mut wide = [0.0; MAX_LANES];
    for l in 0..V::LANES {
        wide[l] = f64::from(samples[l]);
    }
    V::of_lanes(&wide)
}

/// The loop at the head of this file.
enum Passes {}

/// The passes that there are, and what is between them.
struct Prepared {
    column: Option<Pass>,
    row: Option<Pass>,
    /// Samples that the second pass reads beyond one a result, and from one tap to the next.
    reach: usize,
    dilation: usize,
    /// What the first pass's results are stored as, where that is not what they are.
    stored: Option<(DType, Finish)>,
    /// What continues them, if it is not what they are themselves.
    outside: Option<i16>,
}

impl Inner for Passes {
    type Prepared<A: Accumulator> = Prepared;

    const PRODUCTS: bool = true;
    const WHOLE: bool = true;

    fn prepare<A: Accumulator>(problem: &Correlate, _: &[Source], geometry: &Geometry) -> Prepared {
        let [column, row] = guesses(problem).expect("a problem that this implementation accepts");
        let both = column.is_some() && row.is_some();
        let kept = both && !column.as_ref().is_some_and(|guess| guess.fits(problem.dst));
        let constant = both && problem.border[1] == Border::Constant;
        let dilation = if row.is_some() { problem.axes[1].dilation } else { 0 };
        Prepared {
            column: column.map(|guess| Pass::new(&guess, [1, 0])),
            row: row.map(|guess| Pass::new(&guess, [0, dilation])),
            reach: geometry.reach,
            dilation,
            stored: kept.then_some((problem.dst, problem.finish)),
            outside: constant.then(|| problem.outside(0)),
        }
    }

    fn scratch<A: Accumulator>(prepared: &Prepared, geometry: &Geometry, width: usize) -> usize {
        geometry.height * prepared.pitch(width)
    }

    #[inline(always)]
    fn block<S: Simd, V: Vector<Elem: Rows>, const R: usize>(
        simd: S,
        prepared: &Prepared,
        window: &Window<'_, V::Elem>,
        scratch: &mut [V::Elem],
        out: [&mut [V::Elem]; R],
    ) {
        const { assert!(R <= 2 * MAX_HALF_ROWS) };
        let (length, pitch) = (window.width + prepared.reach, prepared.pitch(window.width));
        let mut notes: Notes = [(0, 0); MAX_NOTES + 1];
        let middle = &mut V::Elem::halves_mut(scratch).expect(HALVES)[..R * pitch];
        match &prepared.column {
            Some(pass) => {
                for parity in 0..R.min(2) {
                    let rows = paired_rows(window, parity);
                    let lines = Lines::new(&rows);
                    let step = MAX_NOTES / MAX_HALF_ROWS * S::I16::LANES;
                    for start in (0..length).step_by(step) {
                        let cols = start..length.min(start + step);
                        let mut noted = Noted::new(pass.cuts[0], &mut notes);
                        every_other::<S::I16, R>(
                            lines,
                            &pass.high,
                            cols,
                            &mut noted,
                            (middle, pitch, parity),
                        );
                        for (h, x) in noted.notes() {
                            let results = &mut middle[(2 * h + parity) * pitch + x..][..S::I16::LANES];
                            pass.make_sure(simd, lines.skip(2 * h), x, results);
                        }
                    }
                }
            }
            None => {
                let rows = V::Elem::halves(window.rows).expect(HALVES);
                for (row, middle) in rows.iter().zip(middle.chunks_exact_mut(pitch)) {
                    middle[..length].copy_from_slice(&row[..length]);
                }
            }
        }
        if let Some((dtype, finish)) = prepared.stored {
            rows::keep(simd, middle, dtype, finish);
        }
        let step = MAX_NOTES * S::I16::LANES;
        window.ahead.spread(R * window.width.div_ceil(step));
        for (row, out) in middle.chunks_exact_mut(pitch).zip(out) {
            let out = V::Elem::halves_mut(out).expect(HALVES);
            if let Some(outside) = prepared.outside {
                row[..window.inside.start.min(length)].fill(outside);
                row[window.inside.end.min(length)..length].fill(outside);
            }
            let Some(pass) = &prepared.row else {
                let within = out.len().min(length);
                out[..within].copy_from_slice(&row[..within]);
                continue;
            };
            for start in (0..window.width).step_by(step) {
                let cols = start..window.width.min(start + step);
                let mut noted = Noted::new(pass.cuts[0], &mut notes);
                along::<S::I16>(row, &pass.along, cols, &mut noted, out);
                for (_, x) in noted.notes() {
                    pass.make_sure(simd, Lines::new(&[row]), x, &mut out[x..]);
                }
                window.ahead.step();
            }
        }
    }
}

impl Prepared {
    /// From one row between the passes to the next: the last pair of an odd number of taps that are apart reads beyond it.
    const fn pitch(&self, width: usize) -> usize {
        width + self.reach + self.dilation.next_multiple_of(most_lanes::<i16>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums as SciPy has them but for roundings, and by the first part of the taps and by both, in the guess's unit.
    fn sums(guess: &Guess, samples: &[i64]) -> [f64; 3] {
        let unit = 2_f64.powi(guess.cuts[0].shift as i32);
        let of = |parts: &[i16]| -> i64 { parts.iter().zip(samples).map(|(&p, x)| i64::from(p) * x).sum() };
        let exact = guess.weights.iter().zip(samples).map(|(w, &x)| w * x as f64).sum::<f64>() * unit;
        let high = of(&guess.high);
        [exact, high as f64, (high + (of(&guess.low) >> LOW)) as f64]
    }

    #[test]
    fn sums_are_as_near_as_they_are_said_to_be() {
        let windows = [
            vec![0.05, 0.25, 0.4, 0.25, 0.05],
            vec![0.011; 81],
            vec![-0.4, 1.3, 0.07, -1.1],
            (0..25).map(|i| (f64::from(i) * 0.7).sin() / 9.0).collect(),
        ];
        for (weights, samples) in windows.iter().flat_map(|w| [[0, 255], [-128, 127]].map(|s| (w, s))) {
            let guess = Guess::new(weights, samples).unwrap();
            let left = |i: usize| {
                let unit = 2_f64.powi(guess.cuts[0].shift as i32);
                weights[i] * unit - f64::from(guess.high[i])
            };
            // The images that make the most of what the taps' first part lacks, and of what both do.
            let parts: [&dyn Fn(usize) -> f64; 2] =
                [&left, &|i| left(i) * 2_f64.powi(LOW as i32) - f64::from(guess.low[i])];
            for (part, up) in parts.into_iter().flat_map(|part| [true, false].map(|up| (part, up))) {
                let image: Vec<i64> =
                    (0..weights.len()).map(|i| samples[usize::from((part(i) > 0.0) == up)]).collect();
                let [exact, first, both] = sums(&guess, &image);
                for (sum, cut) in [first, both].into_iter().zip(guess.cuts) {
                    let within = sum - f64::from(cut.below)..=sum + f64::from(cut.above);
                    assert!(within.contains(&exact), "{exact} not in {within:?} for {weights:?}");
                }
            }
        }
    }

    #[test]
    fn taps_that_are_sixteenths_leave_no_doubt() {
        let guess = Guess::new(&[0.0625, 0.25, 0.375, 0.25, 0.0625], [0, 255]).unwrap();
        assert_eq!(guess.in_doubt(), 0.0);
    }

    #[test]
    fn what_16_bits_cannot_hold_is_refused() {
        assert!(Guess::new(&[f64::NAN, 0.5], [0, 255]).is_err());
        assert!(Guess::new(&[f64::INFINITY, 0.5], [0, 255]).is_err());
        assert!(Guess::new(&[100.3; 9], [0, 255]).is_err(), "results beyond 16 bits");
        assert!(Guess::new(&[20.3; 3], [0, 255]).is_err(), "too much in doubt");
    }
}
