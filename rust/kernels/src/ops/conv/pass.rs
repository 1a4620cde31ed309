//! The layer and its transpose as one thing: what is read, what it becomes, by which phases.

use super::pack::halve;
use super::phase::Phase;
use super::{Conv, Forward, GradInput};
use super::{narrow, pictures};
use crate::shape::Axis;
use crate::simd::MAX_LANES;
use crate::view::{Dst, Src};

/// One of the two problems: what is read and what it becomes.
pub(super) struct Pass<'p> {
    pub(super) conv: &'p Conv,
    pub(super) phases: [Vec<Phase>; 2],
    pub(super) groups: usize,
    /// Channels of a group that are read.
    pub(super) deep: usize,
    /// Channels of a group that are results.
    pub(super) wide: usize,
    /// Whether the filters' last axis is summed over.
    pub(super) transposed: bool,
    pub(super) relu: bool,
}

impl<'p> Pass<'p> {
    /// The layer.
    pub(super) fn forward(problem: &'p Forward) -> Self {
        Self::new(&problem.conv, false, problem.relu)
    }

    /// Its transpose.
    pub(super) fn transposed(problem: &'p GradInput) -> Self {
        Self::new(&problem.conv, true, problem.relu)
    }

    fn new(conv: &'p Conv, transposed: bool, relu: bool) -> Self {
        let phases = if transposed { Phase::transposed } else { Phase::forward };
        let [x, y] = [conv.inputs, conv.outputs].map(|channels| channels / conv.groups);
        let (deep, wide) = if transposed { (y, x) } else { (x, y) };
        Self {
            conv,
            phases: [0, 1].map(|i| phases(&conv.windows[i])),
            groups: conv.groups,
            deep,
            wide,
            transposed,
            relu,
        }
    }

    /// Rows and columns of results.
    pub(super) fn results(&self) -> [usize; 2] {
        [0, 1].map(|i| self.phases[i].iter().map(|p| p.count).sum::<usize>().max(1))
    }

    /// Whether each result reads the one pixel that stands where it does.
    pub(super) fn pointwise(&self) -> bool {
        let alone = |phases: &Vec<Phase>| matches!(&phases[..], [p] if p.stride == 1 && p.taps == [(0, 0)]);
        // There may be zeros after the last sample.
        let inside = |axis: &Axis| {
            if self.transposed {
                axis.src <= axis.dst
            } else {
                axis.dst <= axis.src.div_ceil(Phase::skip(axis))
            }
        };
        self.phases.iter().all(alone) && self.conv.windows.iter().all(inside)
    }

    /// Blocks of a pointwise pass: whole rows, as many as `fit` by their pixels (or are few, for weights that are
    /// read again for each block), else parts of a row.
    pub(super) fn rows(&self, threads: usize, fit: impl Fn(usize) -> bool) -> [usize; 2] {
        const FEW: usize = 48;
        let [rows, cols] = self.results();
        let fits = |pixels: usize| pixels <= FEW || fit(pixels);
        let width = halve(cols, fits);
        let height = (1..=rows).rev().find(|height| fits(height * width)).unwrap_or(1);
        let across = cols.div_ceil(width) * self.groups * self.conv.pictures.max(1);
        let parts = rows.div_ceil(height).max(threads.div_ceil(across));
        [rows.div_ceil(parts), width]
    }

    /// Numbers from a pixel's samples in scratch to the next's: those of one channel must not all be in one
    /// set of the first-level cache.
    pub(super) fn step(&self) -> usize {
        let crowded = self.deep > 0 && (self.deep * self.conv.arithmetic().size()).is_multiple_of(4096);
        if crowded { self.deep + MAX_LANES } else { self.deep }
    }

    /// Estimated nanoseconds of one thread that brings every weight to where it is read.
    pub(super) fn packing(&self) -> f64 {
        let weights: f64 = self.conv.filters_shape().iter().map(|&n| n as f64).product();
        0.3 * weights * self.conv.arithmetic().size() as f64 / 4.0
    }

    /// Estimated nanoseconds of one thread that makes every product.
    pub(super) fn nanoseconds(&self) -> f64 {
        // As everywhere in estimates, of vectors of eight lanes, and pixels.
        let apart = if narrow::takes(self, 8, false) {
            narrow::nanoseconds(self)
        } else {
            super::nanoseconds(self.conv, self.wide)
        };
        if pictures::takes(self, MAX_LANES, false) { apart * pictures::QUICKER } else { apart }
    }
}

/// The arrays that a pass reads.
pub(super) struct Sources<'a> {
    pub(super) src: Src<'a>,
    pub(super) filters: &'a Src<'a>,
    /// Where it is not positive, nothing is read.
    pub(super) mask: Option<&'a Src<'a>>,
    pub(super) bias: Option<&'a Src<'a>>,
    /// Of the results' shape.
    pub(super) addend: Option<&'a Src<'a>>,
}

impl<'a> Sources<'a> {
    /// Those of the layer, and what it writes.
    ///
    /// # Panics
    /// If they are not its.
    pub(super) fn forward<'d, 'b>(
        problem: &Forward,
        srcs: &'a [Src<'a>],
        dsts: &'d mut [Dst<'b>],
    ) -> (Self, &'d mut Dst<'b>) {
        let (conv, arrays) = (&problem.conv, 2 + usize::from(problem.bias) + usize::from(problem.addend));
        assert!(srcs.len() == arrays && dsts.len() == 1, "the layer's arrays");
        let (bias, addend) = (problem.bias.then(|| &srcs[2]), problem.addend.then(|| &srcs[arrays - 1]));
        assert!(
            srcs[0].shape() == conv.x_shape()
                && srcs[1].shape() == conv.filters_shape()
                && addend.is_none_or(|addend| addend.shape() == conv.y_shape())
                && dsts[0].shape() == conv.y_shape(),
            "the layer's shapes"
        );
        let src = srcs[0].every(conv.windows.each_ref().map(Phase::skip));
        (Self { src, filters: &srcs[1], mask: None, bias, addend }, &mut dsts[0])
    }

    /// Those of its gradient with respect to its input, and what that writes.
    ///
    /// # Panics
    /// If they are not its.
    pub(super) fn transposed<'d, 'b>(
        problem: &GradInput,
        srcs: &'a [Src<'a>],
        dsts: &'d mut [Dst<'b>],
    ) -> (Self, &'d mut Dst<'b>) {
        let (conv, arrays) = (&problem.conv, 2 + usize::from(problem.masked) + usize::from(problem.bias));
        assert!(srcs.len() == arrays && dsts.len() == 1, "the gradient's arrays");
        let (mask, bias) = (problem.masked.then(|| &srcs[2]), problem.bias.then(|| &srcs[arrays - 1]));
        assert!(
            srcs[0].shape() == conv.filters_shape()
                && srcs[1].shape() == conv.y_shape()
                && mask.is_none_or(|mask| mask.shape() == conv.y_shape())
                && dsts[0].shape() == conv.x_shape(),
            "the layer's shapes"
        );
        (Self { src: srcs[1].clone(), filters: &srcs[0], mask, bias, addend: None }, &mut dsts[0])
    }
}

/// Implements the layer and its transpose by one bound, one cost and one computation of a [`Pass`], and what else there
/// is to say of both.
macro_rules! passes {
    ($implementation:ident, $name:literal, $bound:expr, $cost:expr, $solve:expr $(, $also:item)*) => {
        $crate::ops::conv::pass::passes!(@ $implementation, $name, Forward, forward, $bound, $cost, $solve, [$($also)*]);
        $crate::ops::conv::pass::passes!(@ $implementation, $name, GradInput, transposed, $bound, $cost, $solve, [$($also)*]);
    };
    (@ $implementation:ident, $name:literal, $problem:ident, $direction:ident, $bound:expr, $cost:expr, $solve:expr, [$($also:item)*]) => {
        impl $crate::registry::Implementation<$crate::ops::conv::$problem> for $implementation {
            fn name(&self) -> &'static str {
                $name
            }

            $($also)*

            fn bound(&self, problem: &$crate::ops::conv::$problem) -> Option<String> {
                ($bound)($crate::ops::conv::pass::Pass::$direction(problem))
            }

            fn cost(&self, problem: &$crate::ops::conv::$problem) -> Result<f64, $crate::registry::Reject> {
                ($cost)($crate::ops::conv::pass::Pass::$direction(problem))
            }

            fn run(
                &self,
                problem: &$crate::ops::conv::$problem,
                srcs: &[$crate::view::Src<'_>],
                dsts: &mut [$crate::view::Dst<'_>],
                schedule: &$crate::registry::Schedule<'_>,
            ) -> Result<(), $crate::Error> {
                let pass = $crate::ops::conv::pass::Pass::$direction(problem);
                let (sources, dst) = $crate::ops::conv::pass::Sources::$direction(problem, srcs, dsts);
                ($solve)(pass, &sources, dst, schedule)
            }
        }
    };
}
pub(super) use passes;

/// Runs `$body` with `$L` as the [`Lane`](crate::simd::Lane) of a layer's sums.
macro_rules! with_lane {
    ($conv:expr, |$L:ident| $body:expr) => {
        match $conv.arithmetic().size() {
            8 => {
                type $L = $crate::simd::lane::F64;
                $body
            }
            _ => {
                type $L = $crate::simd::lane::F32;
                $body
            }
        }
    };
}
pub(super) use with_lane;
