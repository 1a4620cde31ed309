//! The gradients of pooling, behind `ferroconv.nn`.

use crate::convert::{Input, Output};
use crate::door::{self, Integer, InvalidArgument, exception};
use crate::layer::stored;
use crate::pool::{padding, reduction, shape, size, sliding};
use ferroconv_kernels::dtype::DType;
use ferroconv_kernels::ops::pool::{MaxGrad, MeanGrad, Pool, Windows};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// What is to be differentiated: the image, or for means its shape, and the gradient of the results.
struct Question<'py> {
    image: Option<Input<'py>>,
    /// The image's axes in the order pictures, rows, columns, channels.
    shape: [usize; 4],
    grad: Input<'py>,
    indices: Option<Input<'py>>,
    channels_first: bool,
}

impl<'py> Question<'py> {
    fn new(
        kind: &str,
        image: &Bound<'py, PyAny>,
        grad: &Bound<'py, PyAny>,
        indices: Option<&Bound<'py, PyAny>>,
        channels_first: bool,
    ) -> PyResult<Self> {
        let (grad, indices) = (Input::new(grad)?, indices.map(Input::new).transpose()?);
        if kind == "max" {
            let image = Input::new(image)?;
            if image.dtype != grad.dtype {
                return Err(PyTypeError::new_err(format!(
                    "grad must have the dtype of x, {}. Received: {}.",
                    image.dtype.name(),
                    grad.dtype.name()
                )));
            }
            if let Some(indices) = indices.as_ref().filter(|indices| indices.dtype != DType::I64) {
                return Err(PyTypeError::new_err(format!(
                    "indices must be int64, as the forward pass returns them. Received: {}.",
                    indices.dtype.name()
                )));
            }
            let shape = shape("x", &image, channels_first)?;
            return Ok(Self { image: Some(image), shape, grad, indices, channels_first });
        }
        let sizes: Option<Vec<Integer>> = image.extract().ok();
        let sizes = sizes.and_then(|sizes| <[Integer; 4]>::try_from(sizes).ok());
        let sizes = sizes.map(|sizes| sizes.map(|n| usize::try_from(n.0)));
        let Some([Ok(a), Ok(b), Ok(c), Ok(d)]) = sizes else {
            return Err(InvalidArgument::new_err(format!(
                "input_shape must be the shape of an image, four numbers from 0 on. Received: {image}."
            )));
        };
        let shape = if channels_first { [a, c, d, b] } else { [a, b, c, d] };
        Ok(Self { image: None, shape, grad, indices, channels_first })
    }

    /// Rows and columns of the gradient.
    fn results(&self) -> PyResult<[usize; 2]> {
        shape("grad", &self.grad, self.channels_first).map(|[_, h, w, _]| [h, w])
    }

    fn answer(
        &self,
        py: Python<'py>,
        windows: [Windows; 2],
        (kind, count_padding, divisor): (&str, bool, Option<Integer>),
        out: Option<&Bound<'py, PyAny>>,
        workers: Option<Integer>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (workers, first) = (door::workers(workers)?, self.channels_first);
        let [n, h, w, c] = self.shape;
        let dtype = self.grad.dtype;
        let (pictures, channels) = if first { (n.saturating_mul(c), 1) } else { (n, c) };
        let forward = Pool::new(dtype, pictures, windows, channels, reduction(kind, count_padding, divisor));
        let forward = forward.map_err(exception)?;
        let [oh, ow] = forward.output();
        let results = stored([n, oh, ow, c], first);
        for (name, array) in [("grad", Some(&self.grad)), ("indices", self.indices.as_ref())] {
            if let Some(array) = array.filter(|array| array.shape() != results) {
                return Err(InvalidArgument::new_err(format!(
                    "{name} must have the shape of the forward pass's result, {results:?}. Received: {:?}.",
                    array.shape()
                )));
            }
        }
        let image = if self.indices.is_some() { None } else { self.image.as_ref() };
        let inputs: Vec<&Input<'py>> =
            [image, Some(&self.grad), self.indices.as_ref()].into_iter().flatten().collect();
        let srcs = inputs.iter().map(|input| input.pictures(first)).collect::<PyResult<Vec<_>>>()?;
        let make = |dtype| -> PyResult<Output<'py>> {
            let shape = stored([n, h, w, c], first);
            match out {
                Some(out) => Output::given(out, &shape, Some(dtype), &inputs),
                None => Output::new(py, &shape, dtype, Some(self.grad.descr())),
            }
        };
        if kind == "max" {
            let problem = MaxGrad::new(forward, self.indices.is_some()).map_err(exception)?;
            let mut result = make(dtype)?;
            door::run(py, &problem, &srcs, &mut [result.pictures(first)?], workers)?;
            return Ok(result.into_any());
        }
        let problem = MeanGrad::new(forward).map_err(exception)?;
        let mut result = make(dtype)?;
        door::run(py, &problem, &srcs, &mut [result.pictures(first)?], workers)?;
        Ok(result.into_any())
    }
}

/// The gradient of pooling with a sliding window. `kind` is "max", with the image or the positions
/// of the maxima, or "mean", with the image's shape.
#[pyfunction]
#[pyo3(signature = (image, grad, indices, kind, window, strides, padding, dilation, ceil, channels_first, count_padding, divisor, out, workers, /))]
#[expect(clippy::too_many_arguments, reason = "one door for every pooling; Python names the arguments")]
pub(crate) fn pool2d_gradient<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    grad: &Bound<'py, PyAny>,
    indices: Option<&Bound<'py, PyAny>>,
    kind: &str,
    window: [Integer; 2],
    strides: [Integer; 2],
    padding: &Bound<'py, PyAny>,
    dilation: [Integer; 2],
    ceil: bool,
    channels_first: bool,
    count_padding: bool,
    divisor: Option<Integer>,
    out: Option<&Bound<'py, PyAny>>,
    workers: Option<Integer>,
) -> PyResult<Bound<'py, PyAny>> {
    let question = Question::new(kind, image, grad, indices, channels_first)?;
    let [_, h, w, _] = question.shape;
    let rule = [window, strides, dilation].map(|pair| pair.map(size));
    let windows = sliding([h, w], rule, self::padding(padding)?, ceil)?;
    question.answer(py, windows, (kind, count_padding, divisor), out, workers)
}

/// The gradient of adaptive pooling, whose output size is the gradient's.
#[pyfunction]
#[pyo3(signature = (image, grad, indices, kind, channels_first, out, workers, /))]
#[expect(clippy::too_many_arguments, reason = "one door for every pooling; Python names the arguments")]
pub(crate) fn adaptive_pool2d_gradient<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    grad: &Bound<'py, PyAny>,
    indices: Option<&Bound<'py, PyAny>>,
    kind: &str,
    channels_first: bool,
    out: Option<&Bound<'py, PyAny>>,
    workers: Option<Integer>,
) -> PyResult<Bound<'py, PyAny>> {
    let question = Question::new(kind, image, grad, indices, channels_first)?;
    let ([_, h, w, _], [oh, ow]) = (question.shape, question.results()?);
    let windows =
        [Windows::adaptive(h, oh).map_err(exception)?, Windows::adaptive(w, ow).map_err(exception)?];
    question.answer(py, windows, (kind, false, None), out, workers)
}
