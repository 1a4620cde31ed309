//! What the walk asks of a fold.

use crate::alloc::Plain;
use crate::view::{BlockRows, Picture};
use std::ops::Range;

/// Columns and channels of a row of a picture.
pub(super) struct Run<'r> {
    pub(super) y: usize,
    pub(super) cols: &'r Range<usize>,
    pub(super) channels: &'r Range<usize>,
}

/// A fold of samples down columns and then across rows, with a conversion in between.
pub(super) trait Fold: Sync {
    /// What samples are brought in as.
    type Raw: Plain;
    /// What columns are folded in.
    type Tall: Plain;
    /// What rows are folded in.
    type Wide: Plain;
    /// Whether a sample may be joined twice: windows may then overlap.
    const IDEMPOTENT: bool;

    /// A sample as a column of one.
    fn raise(raw: Self::Raw) -> Self::Tall;
    /// Two parts of a column.
    fn join_down(a: Self::Tall, b: Self::Tall) -> Self::Tall;
    /// Two parts of a row.
    fn join_across(a: Self::Wide, b: Self::Wide) -> Self::Wide;

    /// A run of samples where they stand, if they are stored as `Raw`.
    fn lend<'a>(from: &Picture<'a>, run: &Run<'_>) -> Option<&'a [Self::Raw]>;
    /// A copy of them.
    fn bring(from: &Picture<'_>, run: &Run<'_>, into: &mut [Self::Raw]);
    /// The constant border's sample.
    fn outside(&self) -> Self::Raw;
    /// A column of such samples, converted.
    fn outside_column(&self) -> Self::Wide;

    /// Whether columns are converted before rows are folded.
    fn converts(&self) -> bool;
    /// Columns as they are, where they need no conversion.
    fn unconverted(columns: &mut [Self::Tall]) -> &mut [Self::Wide];
    /// Columns converted.
    fn convert(&self, columns: &[Self::Tall], into: &mut [Self::Wide]);

    /// Where a row of results stands, if it is stored as `Wide`.
    fn lend_result<'t>(&self, to: &'t mut BlockRows<'_>, y: usize) -> Option<&'t mut [Self::Wide]>;
    /// Makes results of folds, where the row was lent.
    fn finish(&self, row: &mut [Self::Wide]);
    /// Makes results of folds and writes them.
    fn store(&self, to: &mut BlockRows<'_>, y: usize, row: &mut [Self::Wide]);
}
