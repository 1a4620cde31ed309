//! Depthwise layers: groups of one channel and one result. The channels are the lanes of the register
//! tiles, all of them in one group, and a lane's sample is its own channel's.

use super::pass::{Pass, passes};
use super::{Conv, GradFilters, filters, gather, nanoseconds};
use crate::Error;
use crate::registry::{Implementation, Reject, Schedule};
use crate::view::{Dst, Src};

/// The implementation `diagonal`.
#[derive(Debug)]
pub struct Diagonal;

/// Refuses layers that mix channels.
fn cost(conv: &Conv) -> Result<f64, Reject> {
    if conv.groups != conv.inputs || conv.inputs != conv.outputs {
        return Err(Reject("needs as many groups as channels and as results"));
    }
    Ok(nanoseconds(conv, conv.inputs, true))
}

passes!(
    Diagonal,
    "diagonal",
    |_| None,
    |pass: Pass<'_>| cost(pass.conv),
    |pass: Pass<'_>, sources, dst, schedule| gather::solve(&pass.diagonal(), sources, dst, schedule)
);

impl Implementation<GradFilters> for Diagonal {
    fn name(&self) -> &'static str {
        "diagonal"
    }

    fn cost(&self, problem: &GradFilters) -> Result<f64, Reject> {
        cost(&problem.conv)
    }

    fn run(
        &self,
        problem: &GradFilters,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        filters::compute(problem, true, srcs, dsts, schedule)
    }
}
