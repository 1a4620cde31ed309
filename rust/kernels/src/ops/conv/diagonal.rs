//! Depthwise layers: groups of one channel and one result. The channels are the lanes of the register
//! tiles, all of them in one group, and a lane's sample is its own channel's.

use super::gather::{Pass, nanoseconds};
use super::{Conv, Forward, GradFilters, GradInput, filters};
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

macro_rules! diagonal {
    ($problem:ident, |$given:ident| $pass:expr, $compute:ident) => {
        impl Implementation<$problem> for Diagonal {
            fn name(&self) -> &'static str {
                "diagonal"
            }

            fn cost(&self, $given: &$problem) -> Result<f64, Reject> {
                cost(&$given.conv)
            }

            fn run(
                &self,
                $given: &$problem,
                srcs: &[Src<'_>],
                dsts: &mut [Dst<'_>],
                schedule: &Schedule<'_>,
            ) -> Result<(), Error> {
                $pass.diagonal().$compute($given, srcs, dsts, schedule)
            }
        }
    };
}
diagonal!(Forward, |problem| Pass::forward(problem), layer);
diagonal!(GradInput, |problem| Pass::transposed(problem), gradient);

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
