//! The transposed convolution layer, with bias and relu, and its two gradients: the problems of the
//! layer that it is the transpose of, in other roles.

use crate::Listed;
use crate::ffi::{Attributes, Call, Registry, Tensor};
use crate::geometry::{GRAD, X, run};
use crate::layer::{BIAS, FILTERS, LAYER, Layer, line, weights, weights_written};
use crate::op::{Failure, Op, Output, Shape, Signature};
use ferroconv_kernels::ops::conv::{Conv, Forward, GradFilters, GradInput};

/// Registers the ops of this file.
pub(crate) fn register(registry: &mut Registry, listed: &mut Vec<Listed>) -> Result<(), Failure> {
    listed.extend([
        registry.register::<Conv2DTranspose>()?,
        registry.register::<Conv2DTransposeGradInput>()?,
        registry.register::<Conv2DTransposeGradFilters>()?,
    ]);
    Ok(())
}

/// Keras' `output_padding`; empty where the default size is wanted.
const EXTRA: &str = "output_padding: list(int) = []";

struct Transposed {
    layer: Layer,
    extra: Option<[usize; 2]>,
}

impl Transposed {
    fn read(attributes: &Attributes<'_>) -> Result<Self, Failure> {
        let extra = match attributes.widths("output_padding")?[..] {
            [] => None,
            [rows, cols] => Some([rows, cols]),
            ref other => {
                return Err(Failure::invalid(format!(
                    "output_padding must be two numbers, or none. Received: {other:?}."
                )));
            }
        };
        Ok(Self { layer: Layer::read(attributes)?, extra })
    }

    /// The layer whose transpose takes `x`.
    fn of(&self, x: &Tensor, filters: &Tensor) -> Result<Conv, Failure> {
        self.layer.transposed(x, filters, self.extra)
    }
}

struct Conv2DTranspose {
    transposed: Transposed,
    relu: bool,
}

impl Op for Conv2DTranspose {
    const SIGNATURE: Signature = Signature {
        name: "FerroconvConv2DTranspose",
        inputs: &[X, FILTERS, BIAS],
        outputs: &[Output { spec: "y: T", shape: Shape::Pictures(0) }],
        attributes: &[
            LAYER[0],
            LAYER[1],
            LAYER[2],
            LAYER[3],
            LAYER[4],
            LAYER[5],
            EXTRA,
            "relu: bool = false",
            "biases: int >= 0",
        ],
    };

    fn plan(attributes: &Attributes<'_>) -> Result<Self, Failure> {
        Ok(Self { transposed: Transposed::read(attributes)?, relu: attributes.flag("relu")? })
    }

    fn compute(&self, call: &mut Call<'_>) -> Result<(), Failure> {
        let (x, filters, bias) = (call.input(0)?, call.input(1)?, call.optional(2)?);
        let (conv, layer) = (self.transposed.of(&x, &filters)?, &self.transposed.layer);
        let mut srcs = vec![weights(&filters, &conv)?, layer.images(&x, "x", conv.y_shape())?];
        if let Some(bias) = &bias {
            srcs.push(line(bias, conv.inputs)?);
        }
        let shape = conv.x_shape();
        let mut y = layer.results(call, x.dtype(), shape)?;
        let problem = GradInput { conv, masked: false, bias: bias.is_some(), relu: self.relu };
        run(&problem, &srcs, &mut [layer.written(&mut y, shape)?])
    }
}

/// The gradient with respect to `x`, of which only the shape is read.
struct Conv2DTransposeGradInput(Transposed);

impl Op for Conv2DTransposeGradInput {
    const SIGNATURE: Signature = Signature {
        name: "FerroconvConv2DTransposeGradInput",
        inputs: &[X, FILTERS, GRAD],
        outputs: &[Output { spec: "dx: T", shape: Shape::Like(0) }],
        attributes: &[LAYER[0], LAYER[1], LAYER[2], LAYER[3], LAYER[4], LAYER[5], EXTRA],
    };

    fn plan(attributes: &Attributes<'_>) -> Result<Self, Failure> {
        Transposed::read(attributes).map(Self)
    }

    fn compute(&self, call: &mut Call<'_>) -> Result<(), Failure> {
        let (x, filters, grad) = (call.input(0)?, call.input(1)?, call.input(2)?);
        let (conv, layer) = (self.0.of(&x, &filters)?, &self.0.layer);
        let srcs = [layer.images(&grad, "grad", conv.x_shape())?, weights(&filters, &conv)?];
        let shape = conv.y_shape();
        let mut dx = layer.results(call, x.dtype(), shape)?;
        let problem = Forward { conv, bias: false, addend: false, relu: false };
        run(&problem, &srcs, &mut [layer.written(&mut dx, shape)?])
    }
}

/// The gradient with respect to the filters, of which only the shape is read.
struct Conv2DTransposeGradFilters(Transposed);

impl Op for Conv2DTransposeGradFilters {
    const SIGNATURE: Signature = Signature {
        name: "FerroconvConv2DTransposeGradFilters",
        inputs: &[X, FILTERS, GRAD],
        outputs: &[Output { spec: "dfilters: T", shape: Shape::Like(1) }],
        attributes: &[LAYER[0], LAYER[1], LAYER[2], LAYER[3], LAYER[4], LAYER[5], EXTRA],
    };

    fn plan(attributes: &Attributes<'_>) -> Result<Self, Failure> {
        Transposed::read(attributes).map(Self)
    }

    fn compute(&self, call: &mut Call<'_>) -> Result<(), Failure> {
        let (x, filters, grad) = (call.input(0)?, call.input(1)?, call.input(2)?);
        let (conv, layer) = (self.0.of(&x, &filters)?, &self.0.layer);
        let srcs = [layer.images(&grad, "grad", conv.x_shape())?, layer.images(&x, "x", conv.y_shape())?];
        let mut dfilters = call.output(0, x.dtype(), filters.shape())?;
        let mut dsts = [weights_written(&mut dfilters, &conv)?];
        run(&GradFilters { conv, masked: false, bias: false }, &srcs, &mut dsts)
    }
}
