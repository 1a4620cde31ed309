//! Bringing the arrays of a layer to where its register tiles read them: filters in panels of
//! vectors, parts of pictures with zeros around them.

use crate::alloc::Plain;
use crate::isa::{Isa, Kernel};
use crate::simd::{Lane, MAX_VECTORS, Simd, Vector};
use crate::view::{Floats, Picture, Src};
use std::marker::PhantomData;
use std::ops::Range;

/// Bytes that a block brings in and computes: they stay in the second-level cache beside a panel of
/// weights.
pub(super) const WARM: usize = 192 << 10;

/// Halves `n` until it fits, or is 1.
pub(super) fn halve(mut n: usize, fits: impl Fn(usize) -> bool) -> usize {
    while n > 1 && !fits(n) {
        n = n.div_ceil(2);
    }
    n
}

/// Lanes of an instruction set's vectors of `L`.
pub(super) fn lanes<L: Lane>(isa: Isa) -> usize {
    struct Lanes<L>(PhantomData<L>);
    impl<L: Lane> Kernel for Lanes<L> {
        type Output = usize;
        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> usize {
            L::Vector::<S>::LANES
        }
    }
    isa.dispatch(Lanes::<L>(PhantomData))
}

/// Vectors of channels that one register tile computes: the first, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Panel {
    pub(super) start: usize,
    pub(super) vectors: usize,
}

/// Parts so many vectors of channels: two at a time, and three at the end rather than one alone.
pub(super) fn panels(vectors: usize) -> Vec<Panel> {
    let mut panels = Vec::new();
    let mut start = 0;
    while start < vectors {
        let left = vectors - start;
        let vectors = if left <= MAX_VECTORS { left } else { 2 };
        panels.push(Panel { start, vectors });
        start += vectors;
    }
    panels
}

/// All numbers of an array of three axes or more, widened, in C order.
pub(super) fn widened<A: Floats>(array: &Src<'_>) -> Vec<A> {
    let &[.., rows, cols, channels] = array.shape() else { panic!("an array of three axes at least") };
    let mut all = vec![A::default(); array.shape().iter().product()];
    if !all.is_empty() {
        for (i, into) in all.chunks_exact_mut(cols * channels).enumerate() {
            array.picture(i / rows).widen(i % rows, &(0..cols), &(0..channels), into);
        }
    }
    all
}

/// A part of a picture, with zeros where it leaves the picture: rows of `pitch` numbers.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) rows: Range<isize>,
    pub(super) cols: Range<isize>,
    pub(super) channels: Range<usize>,
    pub(super) pitch: usize,
}

impl Part {
    /// Numbers of the copy.
    pub(super) fn len(&self) -> usize {
        self.rows.len() * self.pitch
    }

    /// Brings it in. A `mask` of the picture's shape zeroes what it is not positive for; `spare` has
    /// room for a row.
    #[inline(always)]
    pub(super) fn bring<A: Floats>(
        &self,
        picture: &Picture<'_>,
        mask: Option<&Picture<'_>>,
        into: &mut [A],
        spare: &mut [A],
    ) {
        let [height, width, _] = picture.shape();
        let deep = self.channels.len();
        let inside = |range: &Range<isize>, n: usize| {
            let start = range.start.clamp(0, n as isize);
            start as usize..range.end.clamp(start, n as isize) as usize
        };
        let (rows, cols) = (inside(&self.rows, height), inside(&self.cols, width));
        let before =
            if cols.is_empty() { 0 } else { (cols.start as isize - self.cols.start) as usize * deep };
        let held = before..before + cols.len() * deep;
        for (y, row) in self.rows.clone().zip(into.chunks_exact_mut(self.pitch)) {
            if y < 0 || !rows.contains(&(y as usize)) || held.is_empty() {
                zero(row);
                continue;
            }
            zero(&mut row[..held.start]);
            zero(&mut row[held.end..]);
            let row = &mut row[held.clone()];
            picture.widen(y as usize, &cols, &self.channels, row);
            if let Some(mask) = mask {
                let spare = &mut spare[..held.len()];
                mask.widen(y as usize, &cols, &self.channels, spare);
                for (value, &result) in row.iter_mut().zip(spare.iter()) {
                    let passes = result > A::default();
                    *value = if passes { *value } else { A::default() };
                }
            }
        }
    }
}

#[inline(always)]
fn zero<A: Plain + Default>(row: &mut [A]) {
    for value in row {
        *value = A::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_cover_every_vector_once() {
        for vectors in 0..20 {
            let panels = panels(vectors);
            let mut next = 0;
            for panel in &panels {
                assert!(panel.start == next && (1..=MAX_VECTORS).contains(&panel.vectors));
                next += panel.vectors;
            }
            assert_eq!(next, vectors);
        }
        assert_eq!(panels(5), [Panel { start: 0, vectors: 2 }, Panel { start: 2, vectors: 3 }]);
    }
}
