//! Results block by block: what a job that is ready for all of them does with each.

use crate::Error;
use crate::isa::{Isa, Kernel};
use crate::parallel::Workers;
use crate::simd::{Lane, Simd};
use crate::view::{Block, Blocks};
use std::marker::PhantomData;

/// A job whose blocks are independent of each other, with sums in `L`.
pub(super) trait Blockwise<L: Lane>: Sync {
    /// Computes a block of results, compiled for an instruction set.
    fn block<S: Simd>(&self, simd: S, block: Block<'_>);

    /// Computes all blocks.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the caller asked to give up.
    fn compute(&self, blocks: &Blocks<'_>, workers: Workers<'_>, isa: Isa) -> Result<(), Error>
    where
        Self: Sized,
    {
        let run = |block| isa.dispatch(Task { job: self, block, lane: PhantomData::<L> });
        workers.at_most(blocks.count()).drain(|| blocks.take(), run)
    }
}

/// A block as a computation to be compiled for each instruction set.
struct Task<'t, J, L> {
    job: &'t J,
    block: Block<'t>,
    lane: PhantomData<L>,
}

impl<J: Blockwise<L>, L: Lane> Kernel for Task<'_, J, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.job.block(simd, self.block);
    }
}
