//! What the walk asks of a fold.

use crate::alloc::Plain;
use crate::dtype::{Element, Finish};
use crate::simd::Simd;
use crate::view::{BlockRows, Picture, Rows};
use std::ops::Range;

/// Columns and channels of a row of a picture.
pub(super) struct Run<'r> {
    pub(super) y: usize,
    pub(super) cols: &'r Range<usize>,
    pub(super) channels: &'r Range<usize>,
}

/// A step of a fold: samples of one kind are joined to results of another.
pub(super) trait Step {
    /// What comes in.
    type From: Plain;
    /// What is made of it.
    type To: Plain;
    /// One sample as a result.
    fn raise(from: Self::From) -> Self::To;
    /// Two results as one.
    fn join(a: Self::To, b: Self::To) -> Self::To;
    /// A result from which `old` is taken away again, exactly, and to which `new` is joined; only where the
    /// fold says that there is such a thing ([`Fold::REPLACES`]).
    fn replace(result: Self::To, old: Self::From, new: Self::From) -> Self::To;
}

/// A fold of samples down columns and then across rows, with a conversion in between.
pub(super) trait Fold: Sync {
    /// What samples are brought in as.
    type Raw: Plain;
    /// What columns are folded in.
    type Tall: Plain;
    /// What rows are folded in.
    type Wide: Plain;
    /// Samples to columns.
    type Down: Step<From = Self::Raw, To = Self::Tall>;
    /// Columns to windows.
    type First: Step<From = Self::Tall, To = Self::Wide>;
    /// Windows to larger windows; and columns, once they are converted.
    type Across: Step<From = Self::Wide, To = Self::Wide>;
    /// The same fold for samples that this one can't be trusted with; itself, where there are none.
    type Careful: Fold;
    /// Whether there are such samples: a NaN, which a comparison may lose.
    const CHECKS: bool;
    /// Whether a sample may be joined twice: windows may then overlap.
    const IDEMPOTENT: bool;
    /// Whether a sample can be taken away again: sums of whole numbers.
    const REPLACES: bool;

    /// A run of samples where they stand, if they are stored as `Raw`.
    fn lend<'a>(from: &Picture<'a>, run: &Run<'_>) -> Option<&'a [Self::Raw]>;
    /// A copy of them.
    fn bring<S: Simd>(simd: S, from: &Picture<'_>, run: &Run<'_>, into: &mut [Self::Raw]);
    /// The constant border's sample.
    fn outside(&self) -> Self::Raw;
    /// A column of such samples.
    fn outside_column(&self) -> Self::Tall;
    /// The same, converted.
    fn outside_converted(&self) -> Self::Wide;

    /// The fold for such samples.
    fn careful(&self) -> Self::Careful;
    /// Whether one of them is among these.
    fn suspects(row: &[Self::Raw]) -> bool;

    /// Whether columns are converted before rows are folded.
    fn converts(&self) -> bool;
    /// Columns converted.
    fn convert(&self, columns: &[Self::Tall], into: &mut [Self::Wide]);

    /// Where a row of results stands, if it is stored as `Wide`.
    fn lend_result<'t>(&self, to: &'t mut BlockRows<'_>, y: usize) -> Option<&'t mut [Self::Wide]>;
    /// Makes results of folds, where the row was lent.
    fn finish(&self, row: &mut [Self::Wide]);
    /// Makes results of folds and writes them.
    fn store<S: Simd>(&self, simd: S, to: &mut BlockRows<'_>, y: usize, row: &mut [Self::Wide]);
}

/// A copy of elements: compiled once for a dtype and an instruction set, not once for a fold.
pub(super) fn copy<S: Simd, T: Element>(simd: S, from: &Picture<'_>, run: &Run<'_>, into: &mut [T]) {
    simd.vectorize(
        #[inline(always)]
        || from.copy(run.y, run.cols, run.channels, into),
    );
}

/// Elements of any dtype, widened; likewise.
pub(super) fn read<S: Simd, A: Rows>(simd: S, from: &Picture<'_>, run: &Run<'_>, into: &mut [A]) {
    simd.vectorize(
        #[inline(always)]
        || from.read(run.y, run.cols, run.channels, into),
    );
}

/// A row of results of any dtype; likewise.
pub(super) fn write<S: Simd, A: Rows>(
    simd: S,
    to: &mut BlockRows<'_>,
    y: usize,
    row: &mut [A],
    finish: Finish,
) {
    simd.vectorize(
        #[inline(always)]
        || to.write(y, row, finish),
    );
}
