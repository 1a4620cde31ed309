//! Correlation with a one-dimensional window in the order of `scipy.ndimage.correlate1d`.
//!
//! ```text
//! symmetric odd window:      w[c] x[c] + sum over j < c of  w[j] (x[j] + x[2c - j])
//! antisymmetric odd window:  w[c] x[c] + sum over j < c of  w[j] (x[j] - x[2c - j])
//! any other:                 w[n-1] x[n-1] + sum over j < n-1 of  w[j] x[j]
//! ```
//!
//! in `f64` with every product and sum rounded. The order can be seen in integer results, which are
//! truncated: a sum of 7.999... and one of 8 are a level apart.

use super::correlate::{Correlate, Source, Summation};
use super::strip::{self, Geometry, Inner, Window};
use crate::Error;
use crate::dtype::Accumulator;
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{Simd, Vector, lane, load_tile, store_tile};
use crate::view::{Dst, Rows, Src};

/// The implementation `folded`.
#[derive(Debug)]
pub struct Folded;

impl Implementation<Correlate> for Folded {
    fn name(&self) -> &'static str {
        "folded"
    }

    fn cost(&self, problem: &Correlate) -> Result<f64, Reject> {
        if problem.summation != Summation::Folded {
            return Err(Reject("the folded order of summation was not asked for, or can't be seen"));
        }
        if problem.axes.iter().all(|axis| axis.taps > 1) {
            return Err(Reject("needs a window of one row or one column"));
        }
        if problem.src.is_complex() || problem.taps.is_complex() {
            return Err(Reject("needs a real image and real weights"));
        }
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
        // The only arithmetic in which the order was asked for.
        strip::run_in::<lane::F64Unfused, Pairs>(problem, srcs, dsts, schedule)
    }
}

/// How the taps of a window pair up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symmetry {
    Even,
    Odd,
    None,
}

/// SciPy's test: odd length, mirrored taps equal (or opposite) to within 2^-52.
fn symmetry(weights: &[f64]) -> Symmetry {
    let mirrored = |sign: f64| {
        let pairs = weights.iter().zip(weights.iter().rev()).take(weights.len() / 2);
        pairs.clone().all(|(a, b)| (a - sign * b).abs() <= f64::EPSILON)
    };
    match weights.len() % 2 {
        1 if mirrored(1.0) => Symmetry::Even,
        1 if mirrored(-1.0) => Symmetry::Odd,
        _ => Symmetry::None,
    }
}

/// The sums at the head of this file.
enum Pairs {}

/// The taps, and how they pair.
pub(super) struct PairedTaps<A> {
    symmetry: Symmetry,
    weights: Vec<A>,
    /// Where tap `j` reads: a row of the block's first result row, and an offset in it.
    places: Vec<(usize, usize)>,
}

impl Inner for Pairs {
    type Prepared<A: Accumulator> = PairedTaps<A>;

    fn prepare<A: Accumulator>(
        problem: &Correlate,
        sources: &[Source],
        geometry: &Geometry,
    ) -> PairedTaps<A> {
        let weights = problem.weights(sources[0].part);
        match geometry.offsets.as_slice() {
            &[offset] => PairedTaps::new(weights, |j| (j, offset)),
            offsets => PairedTaps::new(weights, |j| (0, offsets[j])),
        }
    }

    #[inline(always)]
    fn block<S: Simd, V: Vector<Elem: Rows>, const R: usize>(
        _: S,
        taps: &PairedTaps<V::Elem>,
        window: &Window<'_, V::Elem>,
        _: &mut [V::Elem],
        out: [&mut [V::Elem]; R],
    ) {
        window.ahead.spread(R);
        for (r, row) in out.into_iter().enumerate() {
            window.ahead.step();
            taps.row::<V>(&window.rows[r..], window.width, row);
        }
    }
}

const EVEN: u8 = 0;
const ODD: u8 = 1;
const NONE: u8 = 2;

impl<A: Accumulator> PairedTaps<A> {
    /// The taps of a window; `place` says where each reads.
    pub(super) fn new(weights: Vec<A>, place: impl Fn(usize) -> (usize, usize)) -> Self {
        Self {
            symmetry: symmetry(&weights.iter().map(|w| w.into_f64()).collect::<Vec<_>>()),
            places: (0..weights.len()).map(place).collect(),
            weights,
        }
    }

    /// Where the taps read, in their order.
    pub(super) fn places(&self) -> &[(usize, usize)] {
        &self.places
    }

    /// A row of sums over `rows`, the rows that the places name.
    #[inline(always)]
    pub(super) fn row<V: Vector<Elem = A>>(&self, rows: &[&[A]], width: usize, out: &mut [A]) {
        match self.symmetry {
            Symmetry::Even => self.paired::<V, EVEN>(rows, width, out),
            Symmetry::Odd => self.paired::<V, ODD>(rows, width, out),
            Symmetry::None => self.paired::<V, NONE>(rows, width, out),
        }
    }

    /// `NV` vectors of sums. `samples` gives those under a tap, from the place that it reads.
    #[inline(always)]
    pub(super) fn at<V: Vector<Elem = A>, const NV: usize>(
        &self,
        samples: impl Fn((usize, usize)) -> [V; NV],
    ) -> [V; NV] {
        match self.symmetry {
            Symmetry::Even => self.sums::<V, EVEN, NV>(samples),
            Symmetry::Odd => self.sums::<V, ODD, NV>(samples),
            Symmetry::None => self.sums::<V, NONE, NV>(samples),
        }
    }

    /// A row of sums: four vectors at a time, whose additions wait for each other, then one.
    #[inline(always)]
    fn paired<V: Vector<Elem = A>, const SYMMETRY: u8>(&self, rows: &[&[A]], width: usize, out: &mut [A]) {
        let mut x = 0;
        while x + 4 * V::LANES <= width {
            let samples = |(line, offset): (usize, usize)| load_tile::<V, 4>(rows[line], x + offset);
            store_tile(&self.sums::<V, SYMMETRY, 4>(samples), out, x);
            x += 4 * V::LANES;
        }
        while x < width {
            let samples = |(line, offset): (usize, usize)| load_tile::<V, 1>(rows[line], x + offset);
            store_tile(&self.sums::<V, SYMMETRY, 1>(samples), out, x);
            x += V::LANES;
        }
    }

    #[inline(always)]
    fn sums<V: Vector<Elem = A>, const SYMMETRY: u8, const NV: usize>(
        &self,
        samples: impl Fn((usize, usize)) -> [V; NV],
    ) -> [V; NV] {
        let last = self.weights.len() - 1;
        let start = if SYMMETRY == NONE { last } else { last / 2 };
        // 0 + w x is w x, rounded once.
        let mut sums = [V::splat(A::default()); NV];
        let (middle, weight) = (samples(self.places[start]), V::splat(self.weights[start]));
        for v in 0..NV {
            sums[v] = sums[v].mul_add(middle[v], weight);
        }
        for j in 0..start {
            let mut near = samples(self.places[j]);
            if SYMMETRY != NONE {
                let far = samples(self.places[last - j]);
                for v in 0..NV {
                    near[v] = if SYMMETRY == EVEN { near[v].add(far[v]) } else { near[v].sub(far[v]) };
                }
            }
            let weight = V::splat(self.weights[j]);
            for v in 0..NV {
                sums[v] = sums[v].mul_add(near[v], weight);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symmetry_is_scipys() {
        assert_eq!(symmetry(&[1.0, 2.0, 1.0]), Symmetry::Even);
        assert_eq!(symmetry(&[-1.0, 0.0, 1.0]), Symmetry::Odd);
        // The centre of an antisymmetric window is not looked at.
        assert_eq!(symmetry(&[-1.0, 5.0, 1.0]), Symmetry::Odd);
        assert_eq!(symmetry(&[1.0, 1.0]), Symmetry::None);
        assert_eq!(symmetry(&[1.0, 2.0, 1.5]), Symmetry::None);
        assert_eq!(symmetry(&[3.0]), Symmetry::Even);
    }
}
