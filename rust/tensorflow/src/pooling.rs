//! Pooling.

use crate::Listed;
use crate::ffi::{Attributes, Call, Registry, Tensor};
use crate::geometry::{Format, GRAD, PADDING, X, fits, padding, run};
use crate::op::{Failure, Input, Op, Output, Shape, Signature};
use ferroconv_kernels::dtype::DType;
use ferroconv_kernels::ops::pool::{MaxGrad, MeanGrad, Pool, Reduction, Windows};
use ferroconv_kernels::shape::{Axis, Padding};
use ferroconv_kernels::view::{Dst, Src};

/// Registers the ops of this file.
pub(crate) fn register(registry: &mut Registry, listed: &mut Vec<Listed>) -> Result<(), Failure> {
    listed.extend([
        registry.register::<MaxPool>()?,
        registry.register::<MaxPoolWithIndices>()?,
        registry.register::<MaxPoolGrad>()?,
        registry.register::<AvgPool>()?,
        registry.register::<AvgPoolGrad>()?,
    ]);
    Ok(())
}

const DX: Output = Output { spec: "dx: T", shape: Shape::Like(0) };
const Y: Output = Output { spec: "y: T", shape: Shape::Pictures(0) };
const WINDOW: [&str; 7] = [
    "window: list(int) >= 2",
    "strides: list(int) >= 2",
    "dilations: list(int) >= 2",
    PADDING[0],
    PADDING[1],
    "ceil_mode: bool = false",
    Format::ATTRIBUTE,
];

/// A sliding window, as attributes give it.
struct Window {
    window: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
    padding: [Padding; 2],
    ceil: bool,
    format: Format,
}

impl Window {
    fn read(attributes: &Attributes<'_>) -> Result<Self, Failure> {
        let window = Self {
            window: attributes.sizes("window")?,
            strides: attributes.sizes("strides")?,
            dilations: attributes.sizes("dilations")?,
            padding: padding(attributes)?,
            ceil: attributes.flag("ceil_mode")?,
            format: Format::read(attributes)?,
        };
        // Sizes that no image suits are refused here, where the node is made.
        window.over([0, 0]).map(|_| window)
    }

    /// The windows over an image of these rows and columns.
    fn over(&self, image: [usize; 2]) -> Result<[Windows; 2], Failure> {
        let axis = |i: usize| {
            let (window, stride, dilation) = (self.window[i], self.strides[i], self.dilations[i]);
            Axis::pooling(image[i], window, stride, dilation, self.padding[i], self.ceil)
        };
        Ok([Windows::Sliding(axis(0)?), Windows::Sliding(axis(1)?)])
    }

    /// The problem of pooling `x`, with the result's shape.
    fn problem(&self, x: &Tensor, reduction: Reduction) -> Result<(Pool, [usize; 4]), Failure> {
        let [n, h, w, c] = self.format.axes("x", x)?;
        let (pictures, channels) = match self.format {
            Format::ChannelsLast => (n, c),
            // Channels that come first are so many pictures of one channel.
            Format::ChannelsFirst => (n * c, 1),
        };
        let pool = Pool::new(x.dtype(), pictures, self.over([h, w])?, channels, reduction)?;
        let [oh, ow] = pool.output();
        Ok((pool, self.format.shape([n, oh, ow, c])))
    }
}

const ORDER: [usize; 4] = [0, 1, 2, 3];

/// A tensor that is read, as a problem's pictures.
fn pictures<'t>(pool: &Pool, [rows, cols]: [usize; 2], tensor: &'t Tensor) -> Result<Src<'t>, Failure> {
    tensor.src([pool.pictures, rows, cols, pool.channels], ORDER)
}

/// One that is written.
fn results<'t>(pool: &Pool, [rows, cols]: [usize; 2], tensor: &'t mut Tensor) -> Result<Dst<'t>, Failure> {
    tensor.dst([pool.pictures, rows, cols, pool.channels], ORDER)
}

/// Pools the only input into the outputs.
fn pool(window: &Window, reduction: Reduction, call: &mut Call<'_>) -> Result<(), Failure> {
    let x = call.input(0)?;
    let (pool, shape) = window.problem(&x, reduction)?;
    let (image, output) = (pool.windows.map(|w| w.src()), pool.output());
    let src = pictures(&pool, image, &x)?;
    let mut y = call.output(0, x.dtype(), &shape)?;
    if !pool.indices() {
        return run(&pool, &[src], &mut [results(&pool, output, &mut y)?]);
    }
    let mut indices = call.output(1, DType::I64, &shape)?;
    run(&pool, &[src], &mut [results(&pool, output, &mut y)?, results(&pool, output, &mut indices)?])
}

struct MaxPool(Window);

impl Op for MaxPool {
    const SIGNATURE: Signature =
        Signature { name: "FerroconvMaxPool2D", inputs: &[X], outputs: &[Y], attributes: &WINDOW };

    fn plan(attributes: &Attributes<'_>) -> Result<Self, Failure> {
        Window::read(attributes).map(Self)
    }

    fn compute(&self, call: &mut Call<'_>) -> Result<(), Failure> {
        pool(&self.0, Reduction::Max { indices: false }, call)
    }
}

struct MaxPoolWithIndices(Window);

impl Op for MaxPoolWithIndices {
    const SIGNATURE: Signature = Signature {
        name: "FerroconvMaxPool2DWithIndices",
        inputs: &[X],
        outputs: &[Y, Output { spec: "indices: int64", shape: Shape::Pictures(0) }],
        attributes: &WINDOW,
    };

    fn plan(attributes: &Attributes<'_>) -> Result<Self, Failure> {
        Window::read(attributes).map(Self)
    }

    fn compute(&self, call: &mut Call<'_>) -> Result<(), Failure> {
        pool(&self.0, Reduction::Max { indices: true }, call)
    }
}

/// The gradient with respect to `x`, from `x` or from the positions of the maxima (then of `x` only
/// the shape is read).
struct MaxPoolGrad(Window);

impl Op for MaxPoolGrad {
    const SIGNATURE: Signature = Signature {
        name: "FerroconvMaxPool2DGrad",
        inputs: &[X, GRAD, Input { spec: "indices: positions * int64", rank: None }],
        outputs: &[DX],
        attributes: &[
            WINDOW[0],
            WINDOW[1],
            WINDOW[2],
            WINDOW[3],
            WINDOW[4],
            WINDOW[5],
            WINDOW[6],
            "positions: int >= 0",
        ],
    };

    fn plan(attributes: &Attributes<'_>) -> Result<Self, Failure> {
        Window::read(attributes).map(Self)
    }

    fn compute(&self, call: &mut Call<'_>) -> Result<(), Failure> {
        let (x, grad, indices) = (call.input(0)?, call.input(1)?, call.optional(2)?);
        let (pool, shape) = self.0.problem(&x, Reduction::Max { indices: false })?;
        let (image, output) = (pool.windows.map(|w| w.src()), pool.output());
        fits(&grad, "grad", &shape)?;
        let mut dx = call.output(0, x.dtype(), x.shape())?;
        let dst = results(&pool, image, &mut dx)?;
        let grad = pictures(&pool, output, &grad)?;
        let problem = MaxGrad::new(pool.clone(), indices.is_some())?;
        let Some(indices) = indices else {
            return run(&problem, &[pictures(&pool, image, &x)?, grad], &mut [dst]);
        };
        fits(&indices, "indices", &shape)?;
        run(&problem, &[grad, pictures(&pool, output, &indices)?], &mut [dst])
    }
}

struct AvgPool {
    window: Window,
    count_padding: bool,
}

impl AvgPool {
    fn reduction(&self) -> Reduction {
        Reduction::Mean { count_padding: self.count_padding, divisor: None }
    }
}

const MEAN: [&str; 8] = [
    WINDOW[0],
    WINDOW[1],
    WINDOW[2],
    WINDOW[3],
    WINDOW[4],
    WINDOW[5],
    WINDOW[6],
    "count_padding: bool = false",
];

impl Op for AvgPool {
    const SIGNATURE: Signature =
        Signature { name: "FerroconvAvgPool2D", inputs: &[X], outputs: &[Y], attributes: &MEAN };

    fn plan(attributes: &Attributes<'_>) -> Result<Self, Failure> {
        let count_padding = attributes.flag("count_padding")?;
        Ok(Self { window: Window::read(attributes)?, count_padding })
    }

    fn compute(&self, call: &mut Call<'_>) -> Result<(), Failure> {
        pool(&self.window, self.reduction(), call)
    }
}

/// The gradient with respect to `x`, of which only the shape is read.
struct AvgPoolGrad(AvgPool);

impl Op for AvgPoolGrad {
    const SIGNATURE: Signature =
        Signature { name: "FerroconvAvgPool2DGrad", inputs: &[X, GRAD], outputs: &[DX], attributes: &MEAN };

    fn plan(attributes: &Attributes<'_>) -> Result<Self, Failure> {
        AvgPool::plan(attributes).map(Self)
    }

    fn compute(&self, call: &mut Call<'_>) -> Result<(), Failure> {
        let (x, grad) = (call.input(0)?, call.input(1)?);
        let (pool, shape) = self.0.window.problem(&x, self.0.reduction())?;
        let (image, output) = (pool.windows.map(|w| w.src()), pool.output());
        fits(&grad, "grad", &shape)?;
        let mut dx = call.output(0, x.dtype(), x.shape())?;
        let (src, dst) = (pictures(&pool, output, &grad)?, results(&pool, image, &mut dx)?);
        run(&MeanGrad::new(pool)?, &[src], &mut [dst])
    }
}
