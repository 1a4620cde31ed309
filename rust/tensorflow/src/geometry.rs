//! The attributes that many ops share: the order of the axes, the padding, the run itself.

use crate::ffi::{Attributes, Tensor};
use crate::op::{Failure, Input};
use ferroconv_kernels::isa::Isa;
use ferroconv_kernels::ops::conv::Packed;
use ferroconv_kernels::parallel::Workers;
use ferroconv_kernels::registry::{Operation, Schedule};
use ferroconv_kernels::shape::Padding;
use ferroconv_kernels::view::{Dst, Src};

/// The pictures that an op takes.
pub(crate) const X: Input = Input { spec: "x: T", rank: Some(4) };
/// The gradient with respect to its results.
pub(crate) const GRAD: Input = Input { spec: "grad: T", rank: Some(4) };

/// Refuses a tensor of another shape.
pub(crate) fn fits(tensor: &Tensor, name: &str, shape: &[usize]) -> Result<(), Failure> {
    if tensor.shape() == shape {
        return Ok(());
    }
    Err(Failure::invalid(format!("{name} must have the shape {shape:?}. Received: {:?}.", tensor.shape())))
}

/// Where the channels stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    ChannelsLast,
    ChannelsFirst,
}

impl Format {
    /// The attribute.
    pub(crate) const ATTRIBUTE: &str = "data_format: {'channels_last', 'channels_first'} = 'channels_last'";

    pub(crate) fn read(attributes: &Attributes<'_>) -> Result<Self, Failure> {
        let first = attributes.word("data_format")? == "channels_first";
        Ok(if first { Self::ChannelsFirst } else { Self::ChannelsLast })
    }

    /// Pictures, rows, columns and channels of a tensor that has them all.
    pub(crate) fn axes(self, name: &str, tensor: &Tensor) -> Result<[usize; 4], Failure> {
        match self {
            Self::ChannelsLast => tensor.axes(name, "batch, rows, columns, channels"),
            Self::ChannelsFirst => {
                let [n, c, h, w] = tensor.axes(name, "batch, channels, rows, columns")?;
                Ok([n, h, w, c])
            }
        }
    }

    /// Where pictures, rows, columns and channels stand in a tensor.
    pub(crate) fn order(self) -> [usize; 4] {
        match self {
            Self::ChannelsLast => [0, 1, 2, 3],
            Self::ChannelsFirst => [0, 2, 3, 1],
        }
    }

    /// The shape of a tensor with these pictures, rows, columns and channels.
    pub(crate) fn shape(self, [n, h, w, c]: [usize; 4]) -> [usize; 4] {
        match self {
            Self::ChannelsLast => [n, h, w, c],
            Self::ChannelsFirst => [n, c, h, w],
        }
    }
}

/// The attributes of a padding: a word, and four numbers (top, bottom, left, right) if it is
/// `explicit`.
pub(crate) const PADDING: [&str; 2] =
    ["padding: {'valid', 'same', 'explicit'}", "explicit_paddings: list(int) = []"];

/// Reads them.
pub(crate) fn padding(attributes: &Attributes<'_>) -> Result<[Padding; 2], Failure> {
    match attributes.word("padding")?.as_str() {
        "valid" => Ok([Padding::Valid; 2]),
        "same" => Ok([Padding::Same; 2]),
        _ => match attributes.widths("explicit_paddings")?[..] {
            [top, bottom, left, right] => {
                Ok([Padding::Explicit(top, bottom), Padding::Explicit(left, right)])
            }
            ref other => Err(Failure::invalid(format!(
                "explicit_paddings must be four numbers: top, bottom, left, right. Received: {other:?}."
            ))),
        },
    }
}

/// Solves a problem.
pub(crate) fn run<P: Operation>(problem: &P, srcs: &[Src<'_>], dsts: &mut [Dst<'_>]) -> Result<(), Failure> {
    run_with(problem, srcs, dsts, None)
}

/// Solves a problem of a layer whose packed filters may stay.
pub(crate) fn run_with<P: Operation>(
    problem: &P,
    srcs: &[Src<'_>],
    dsts: &mut [Dst<'_>],
    filters: Option<&Packed>,
) -> Result<(), Failure> {
    let schedule = Schedule { filters, ..Schedule::new(Isa::best()?, Workers::new(None)?) };
    Ok(problem.select(schedule.isa)?.run(problem, srcs, dsts, &schedule)?)
}
