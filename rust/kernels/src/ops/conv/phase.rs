//! Which source samples a result reads, as data: one rule for the layer and for its transpose.

use crate::shape::Axis;
use std::ops::Range;

/// The results `first, first + step, ...` of one axis, which all read alike: result `q` of them reads
/// the source at `q * stride + offset` for each tap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Phase {
    pub(super) first: usize,
    pub(super) step: usize,
    pub(super) count: usize,
    pub(super) stride: usize,
    /// Offset and tap, by ascending offset: neighbours in memory become runs.
    pub(super) taps: Vec<(isize, usize)>,
}

impl Phase {
    /// How far apart the samples stand that the layer reads: windows of one sample each skip the others,
    /// and the source is then taken as if it had only those ([`Src::every`](crate::view::Src::every)).
    pub(super) fn skip(axis: &Axis) -> usize {
        let inside = axis.before == 0 && axis.dst.saturating_sub(1) * axis.stride < axis.src;
        if axis.taps == 1 && inside { axis.stride } else { 1 }
    }

    /// The layer's one phase, of a source that has every [`skip`](Self::skip)th sample.
    pub(super) fn forward(axis: &Axis) -> Vec<Self> {
        let (skip, count) = (Self::skip(axis), axis.dst);
        let stride = axis.stride / skip;
        let outside = [count.saturating_sub(1) * stride + 1, axis.src.div_ceil(skip)];
        let taps = (0..axis.taps).map(|t| ((t * axis.dilation) as isize - axis.before, t));
        let taps = taps.map(|(offset, t)| (Self::near(axis, offset, outside), t)).collect();
        vec![Self { first: 0, step: 1, count, stride, taps }]
    }

    /// An offset, moved next to the source if no result meets the source there: what lies between need not be brought,
    /// however far taps are apart. `outside` is how far the first offsets are that meet nothing, below 0 and above.
    fn near(axis: &Axis, offset: isize, [before, after]: [usize; 2]) -> isize {
        // Those of neighbouring taps stay neighbours.
        if axis.dilation == 1 { offset } else { offset.clamp(-(before as isize), after as isize) }
    }

    /// The transpose's phases, one for each remainder by the stride: sample `i` of `x` was read by
    /// `y` at `(i + before - t * dilation) / stride` where that is a whole number.
    pub(super) fn transposed(axis: &Axis) -> Vec<Self> {
        let stride = axis.stride as isize;
        (0..axis.stride.min(axis.src))
            .map(|first| {
                let mut taps: Vec<(isize, usize)> = (0..axis.taps)
                    .map(|t| (first as isize + axis.before - (t * axis.dilation) as isize, t))
                    .filter(|(at, _)| at.rem_euclid(stride) == 0)
                    .map(|(at, t)| (at.div_euclid(stride), t))
                    .collect();
                taps.sort_unstable();
                let count = (axis.src - first).div_ceil(axis.stride);
                taps.iter_mut().for_each(|(at, _)| *at = Self::near(axis, *at, [count, axis.dst]));
                Self { first, step: axis.stride, count, stride: 1, taps }
            })
            .collect()
    }

    /// Those of its results that stand in a range of the axis.
    pub(super) fn within(&self, range: &Range<usize>) -> Range<usize> {
        let index = |at: usize| {
            let after = at.saturating_sub(self.first);
            // Asked for every row: a division takes as long as a few results.
            (if self.step == 1 { after } else { after.div_ceil(self.step) }).min(self.count)
        };
        index(range.start)..index(range.end)
    }

    /// The least offset.
    pub(super) fn least(&self) -> isize {
        self.taps.first().map_or(0, |tap| tap.0)
    }

    /// The taps by which one of its results reads something of a range of the source.
    pub(super) fn met(&self, result: usize, read: &Range<isize>) -> Range<usize> {
        let before = |at| self.taps.partition_point(|tap| (result * self.stride) as isize + tap.0 < at);
        let first = before(read.start);
        first..before(read.end).max(first)
    }

    /// Its results in runs of those that read a range of the source by the same taps, and these taps.
    pub(super) fn alike(
        &self,
        results: Range<usize>,
        read: &Range<isize>,
    ) -> Vec<(Range<usize>, Range<usize>)> {
        let mut runs: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        for result in results {
            let met = self.met(result, read);
            match runs.last_mut() {
                Some((run, taps)) if *taps == met => run.end = result + 1,
                _ => runs.push((result..result + 1, met)),
            }
        }
        runs
    }

    /// The source positions that a range of the axis's results reads.
    pub(super) fn span(phases: &[Self], range: &Range<usize>) -> Range<isize> {
        let mut span: Option<Range<isize>> = None;
        for phase in phases {
            let results = phase.within(range);
            let (Some(first), Some(last)) = (phase.taps.first(), phase.taps.last()) else { continue };
            if results.is_empty() {
                continue;
            }
            let start = (results.start * phase.stride) as isize + first.0;
            let end = ((results.end - 1) * phase.stride) as isize + last.0 + 1;
            span = Some(span.map_or(start..end, |s| s.start.min(start)..s.end.max(end)));
        }
        span.unwrap_or(0..0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Padding;

    /// Every pair of positions that a layer joins, found from both sides.
    #[test]
    fn the_transpose_joins_what_the_layer_joins() {
        for (src, taps, stride, dilation, padding) in [
            (9, 3, 1, 1, Padding::Same),
            (9, 3, 2, 1, Padding::Same),
            (10, 2, 3, 1, Padding::Valid),
            (11, 3, 2, 3, Padding::Explicit(4, 1)),
            (7, 1, 4, 1, Padding::Valid),
            (5, 5, 1, 1, Padding::Explicit(0, 6)),
            (5, 3, 1, 7, Padding::Same),
            (5, 4, 2, 1 << 20, Padding::Same),
            (4, 3, 3, 9, Padding::Explicit(20, 5)),
        ] {
            let axis = Axis::convolution(src, taps, stride, dilation, padding).unwrap();
            let mut joins = [Vec::new(), Vec::new()];
            for (side, phases) in [Phase::forward(&axis), Phase::transposed(&axis)].iter().enumerate() {
                let (results, sources) = if side == 0 { (axis.dst, axis.src) } else { (axis.src, axis.dst) };
                let mut seen = vec![false; results];
                for phase in phases {
                    for q in phase.within(&(0..results)) {
                        let result = phase.first + q * phase.step;
                        assert!(!std::mem::replace(&mut seen[result], true), "each result once");
                        for &(offset, tap) in &phase.taps {
                            let skip = if side == 0 { Phase::skip(&axis) } else { 1 };
                            let source = ((q * phase.stride) as isize + offset) * skip as isize;
                            if (0..sources as isize).contains(&source) {
                                let source = source as usize;
                                let pair = if side == 0 { (result, source) } else { (source, result) };
                                joins[side].push((pair, tap));
                            }
                        }
                    }
                }
                assert!(seen.into_iter().all(|seen| seen), "every result");
                joins[side].sort_unstable();
            }
            assert_eq!(joins[0], joins[1], "{axis:?}");
            for phases in [Phase::forward(&axis), Phase::transposed(&axis)] {
                let span = Phase::span(&phases, &(0..axis.src.max(axis.dst))).len();
                assert!(
                    span <= 3 * (axis.src + axis.dst * axis.stride + axis.taps),
                    "{axis:?}: reads {span}"
                );
            }
        }
    }
}
