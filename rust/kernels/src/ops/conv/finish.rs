//! What becomes of a layer's sums before they are stored.

use super::pass::{Pass, Sources};
use crate::dtype::Accumulator;
use crate::simd::Vector;
use crate::view::{Floats, Src};
use std::ops::Range;

/// What is done to sums: numbers of an array of the results' shape are added, then negative ones become 0.
#[derive(Clone, Copy)]
pub(super) struct Finish<'p> {
    addend: Option<&'p Src<'p>>,
    relu: bool,
}

impl<'p> Finish<'p> {
    pub(super) fn new(pass: &Pass<'_>, sources: &Sources<'p>) -> Self {
        Self { addend: sources.addend, relu: pass.relu }
    }

    /// Whether sums stay what they are.
    pub(super) fn is_none(&self) -> bool {
        self.addend.is_none() && !self.relu
    }

    /// Numbers of scratch for a row of `n`.
    pub(super) fn room(&self, n: usize) -> usize {
        if self.addend.is_some() { n } else { 0 }
    }

    /// Finishes columns and channels of a picture's row `y`. An addend that is no run of such numbers is brought to
    /// `spare`.
    #[inline(always)]
    pub(super) fn row<V: Vector<Elem: Floats>>(
        &self,
        [picture, y]: [usize; 2],
        cols: &Range<usize>,
        channels: &Range<usize>,
        spare: &mut [V::Elem],
        row: &mut [V::Elem],
    ) {
        if let Some(addend) = self.addend {
            let picture = addend.picture(picture);
            let addend = picture.lend_widened(y, cols, channels).unwrap_or_else(|| {
                let spare = &mut spare[..row.len()];
                picture.widen_with::<V>(y, cols, channels, channels.len(), spare);
                spare
            });
            for (sum, &number) in row.iter_mut().zip(addend) {
                *sum = sum.plus(number);
            }
        }
        if self.relu {
            // A NaN stays.
            for value in row {
                *value = if *value < V::Elem::default() { V::Elem::default() } else { *value };
            }
        }
    }
}
