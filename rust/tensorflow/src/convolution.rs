//! The convolution layer, with bias and relu, and its two gradients.

use crate::Listed;
use crate::ffi::{Attributes, Call, Registry, Tensor};
use crate::geometry::{GRAD, X, run, run_with};
use crate::layer::{BIAS, FILTERS, LAYER, Layer, line, weights, weights_written};
use crate::op::{Failure, Input, Op, Output, Shape, Signature};
use ferroconv_kernels::ops::conv::{Forward, GradFilters, GradInput, Packed};
use std::sync::{Arc, Mutex, PoisonError};

/// Registers the ops of this file.
pub(crate) fn register(registry: &mut Registry, listed: &mut Vec<Listed>) -> Result<(), Failure> {
    listed.extend([
        registry.register::<Conv2D>()?,
        registry.register::<Conv2DGradInput>()?,
        registry.register::<Conv2DGradFilters>()?,
    ]);
    Ok(())
}

/// The results of a relu: where they are not positive, no gradient comes through.
const MASK: Input = Input { spec: "y: masks * T", rank: None };

/// What is added to the results before the relu: a residual block's shortcut.
const ADDEND: Input = Input { spec: "addend: addends * T", rank: None };

struct Conv2D {
    layer: Layer,
    relu: bool,
    biases: usize,
    kept: Option<KeptFilters>,
}

/// Filters that stay packed while the node is given the same tensor.
///
/// Only for nodes whose filters are a constant or are read from a resource variable, which Python sees to. To hold
/// their tensor is then what makes that sound: TensorFlow moves a variable elsewhere before it changes memory that has
/// another holder (`PrepareToUpdateVariable`), so that the same address means the same numbers. Arrays that were fed,
/// and reference variables, are written to where they stand.
#[derive(Default)]
struct KeptFilters(Mutex<Option<Arc<(Tensor, Packed)>>>);

impl KeptFilters {
    /// The entry of the filters, a new one if they are not those of the last call.
    fn entry(&self, filters: impl Fn() -> Result<Tensor, Failure>) -> Result<Arc<(Tensor, Packed)>, Failure> {
        let filters = filters()?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(entry) if entry.0.is(&filters) => Ok(Arc::clone(entry)),
            _ => Ok(Arc::clone(kept.insert(Arc::new((filters, Packed::default()))))),
        }
    }
}

impl Op for Conv2D {
    const SIGNATURE: Signature = Signature {
        name: "FerroconvConv2D",
        inputs: &[X, FILTERS, BIAS, ADDEND],
        outputs: &[Output { spec: "y: T", shape: Shape::Pictures(0) }],
        attributes: &[
            LAYER[0],
            LAYER[1],
            LAYER[2],
            LAYER[3],
            LAYER[4],
            LAYER[5],
            "relu: bool = false",
            "biases: int >= 0",
            "addends: int >= 0 = 0",
            "keep_filters: bool = false",
        ],
    };

    fn plan(attributes: &Attributes<'_>) -> Result<Self, Failure> {
        Ok(Self {
            layer: Layer::read(attributes)?,
            relu: attributes.flag("relu")?,
            biases: usize::try_from(attributes.integer("biases")?).unwrap_or(0),
            kept: attributes.flag("keep_filters")?.then(KeptFilters::default),
        })
    }

    fn compute(&self, call: &mut Call<'_>) -> Result<(), Failure> {
        let (x, filters) = (call.input(0)?, call.input(1)?);
        let bias = if self.biases > 0 { call.optional(2)? } else { None };
        let addend = call.optional(2 + self.biases)?;
        let kept = self.kept.as_ref().map(|kept| kept.entry(|| call.input(1))).transpose()?;
        let conv = self.layer.of(&x, &filters)?;
        let (shape, outputs) = (conv.y_shape(), conv.outputs);
        let mut srcs = vec![self.layer.images(&x, "x", conv.x_shape())?, weights(&filters, &conv)?];
        if let Some(bias) = &bias {
            srcs.push(line(bias, outputs)?);
        }
        if let Some(addend) = &addend {
            srcs.push(self.layer.images(addend, "addend", shape)?);
        }
        let mut y = self.layer.results(call, x.dtype(), shape)?;
        let problem = Forward { conv, bias: bias.is_some(), addend: addend.is_some(), relu: self.relu };
        let packed = kept.as_ref().map(|kept| &kept.1);
        run_with(&problem, &srcs, &mut [self.layer.written(&mut y, shape)?], packed)
    }
}

/// The gradient with respect to `x`, of which only the shape is read.
struct Conv2DGradInput(Layer);

impl Op for Conv2DGradInput {
    const SIGNATURE: Signature = Signature {
        name: "FerroconvConv2DGradInput",
        inputs: &[X, FILTERS, GRAD, MASK],
        outputs: &[Output { spec: "dx: T", shape: Shape::Like(0) }],
        attributes: &[LAYER[0], LAYER[1], LAYER[2], LAYER[3], LAYER[4], LAYER[5], "masks: int >= 0"],
    };

    fn plan(attributes: &Attributes<'_>) -> Result<Self, Failure> {
        Layer::read(attributes).map(Self)
    }

    fn compute(&self, call: &mut Call<'_>) -> Result<(), Failure> {
        let (x, filters, grad, y) = (call.input(0)?, call.input(1)?, call.input(2)?, call.optional(3)?);
        let conv = self.0.of(&x, &filters)?;
        let shape = conv.y_shape();
        let mut srcs = vec![weights(&filters, &conv)?, self.0.images(&grad, "grad", shape)?];
        if let Some(y) = &y {
            srcs.push(self.0.images(y, "y", shape)?);
        }
        let shape = conv.x_shape();
        let mut dx = self.0.results(call, x.dtype(), shape)?;
        let problem = GradInput { conv, masked: y.is_some(), bias: false, relu: false };
        run(&problem, &srcs, &mut [self.0.written(&mut dx, shape)?])
    }
}

/// The gradients with respect to the filters, of which only the shape is read, and to the bias (of no
/// elements if that is not wanted).
struct Conv2DGradFilters {
    layer: Layer,
    bias: bool,
}

impl Op for Conv2DGradFilters {
    const SIGNATURE: Signature = Signature {
        name: "FerroconvConv2DGradFilters",
        inputs: &[X, FILTERS, GRAD, MASK],
        outputs: &[
            Output { spec: "dfilters: T", shape: Shape::Like(1) },
            Output { spec: "dbias: T", shape: Shape::Line },
        ],
        attributes: &[
            LAYER[0],
            LAYER[1],
            LAYER[2],
            LAYER[3],
            LAYER[4],
            LAYER[5],
            "bias: bool = false",
            "masks: int >= 0",
        ],
    };

    fn plan(attributes: &Attributes<'_>) -> Result<Self, Failure> {
        Ok(Self { layer: Layer::read(attributes)?, bias: attributes.flag("bias")? })
    }

    fn compute(&self, call: &mut Call<'_>) -> Result<(), Failure> {
        let (x, filters, grad, y) = (call.input(0)?, call.input(1)?, call.input(2)?, call.optional(3)?);
        let conv = self.layer.of(&x, &filters)?;
        let shape = conv.y_shape();
        let mut srcs =
            vec![self.layer.images(&x, "x", conv.x_shape())?, self.layer.images(&grad, "grad", shape)?];
        if let Some(y) = &y {
            srcs.push(self.layer.images(y, "y", shape)?);
        }
        let mut dfilters = call.output(0, x.dtype(), filters.shape())?;
        let outputs = if self.bias { conv.outputs } else { 0 };
        let mut dbias = call.output(1, x.dtype(), &[outputs])?;
        let mut dsts = vec![weights_written(&mut dfilters, &conv)?];
        if self.bias {
            dsts.push(dbias.dst([1, 1, outputs], [0, 1, 2])?);
        }
        run(&GradFilters { conv, masked: y.is_some(), bias: self.bias }, &srcs, &mut dsts)
    }
}
