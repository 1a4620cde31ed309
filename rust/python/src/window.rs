//! What a correlation's window and border are, as Python gives them.

use crate::convert::Input;
use crate::door::{self, InvalidArgument, exception};
use ferroconv_kernels::border::{Api, Border};
use ferroconv_kernels::dtype::Kind;
use ferroconv_kernels::ops::correlate::{Constant, Taps, Term};
use ferroconv_kernels::view::{Rows, Src};
use num_complex::Complex;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyList, PyString, PyTuple};

/// One border mode for both axes, or one for each.
pub(crate) fn borders(api: Api, given: &Bound<'_, PyAny>) -> PyResult<[Border; 2]> {
    let parse = |name: &str| Border::parse(api, name).map_err(exception);
    if let Ok(name) = given.cast::<PyString>() {
        return Ok([parse(name.to_str()?)?; 2]);
    }
    let names: Vec<String> = given.extract().map_err(|_| {
        PyTypeError::new_err(format!(
            "the border mode is one name, or one for each of the two axes. Received: {given}."
        ))
    })?;
    match names.as_slice() {
        [rows, cols] => Ok([parse(rows)?, parse(cols)?]),
        _ => Err(InvalidArgument::new_err(format!(
            "the border mode is one name, or one for each of the two axes. Received: {names:?}."
        ))),
    }
}

/// The largest window: 16384 x 16384.
const MOST_TAPS: usize = 1 << 28;

/// The window, and the second one of a magnitude.
pub(crate) type Windows = (Taps, Option<Taps>);

/// A window, or a tuple of two for a magnitude. Gives back the arrays that they were read from too.
pub(crate) fn windows<'py>(weights: &Bound<'py, PyAny>) -> PyResult<(Windows, Vec<Input<'py>>)> {
    let Ok(two) = weights.cast::<PyTuple>() else {
        let (taps, read) = window(weights)?;
        return Ok(((taps, None), read));
    };
    let (first, second): (Bound<'py, PyAny>, Bound<'py, PyAny>) = two.extract()?;
    let ((first, mut read), (second, also)) = (window(&first)?, window(&second)?);
    read.extend(also);
    Ok(((first, Some(second)), read))
}

/// A window: its values as an array of two axes, or a list of outer products, each a pair of arrays of
/// one axis. Gives back the arrays too.
fn window<'py>(weights: &Bound<'py, PyAny>) -> PyResult<(Taps, Vec<Input<'py>>)> {
    let Ok(list) = weights.cast::<PyList>() else {
        let weights = Input::new(weights)?;
        return Ok((taps(&weights)?, vec![weights]));
    };
    let terms = list.iter().map(|pair| {
        let (column, row): (Vec<f64>, Vec<f64>) = pair.extract()?;
        Ok(Term { column, row })
    });
    let terms: Vec<Term> = terms.collect::<PyResult<_>>()?;
    let size = |term: &Term| [term.column.len(), term.row.len()];
    let shape = terms.first().map(size).unwrap_or_default();
    extents(&shape)?;
    if terms.iter().any(|term| size(term) != shape) {
        return Err(InvalidArgument::new_err("the outer products of a window must have one size."));
    }
    Ok((Taps::from_terms(terms), Vec::new()))
}

/// The rows and columns of a window of that shape.
fn extents(shape: &[usize]) -> PyResult<[usize; 2]> {
    let &[rows, cols] = shape else {
        return Err(InvalidArgument::new_err(format!(
            "weights must have two axes, the window's rows and columns. Received: shape {shape:?}."
        )));
    };
    if rows == 0 || cols == 0 {
        return Err(InvalidArgument::new_err(format!(
            "weights must have one tap at least on each axis. Received: shape {shape:?}."
        )));
    }
    if rows.checked_mul(cols).is_none_or(|taps| taps > MOST_TAPS) {
        return Err(InvalidArgument::new_err(format!(
            "weights must have at most {MOST_TAPS} taps. Received: shape {shape:?}."
        )));
    }
    Ok([rows, cols])
}

/// Window values of any dtype, exactly.
fn taps(weights: &Input<'_>) -> PyResult<Taps> {
    let shape = extents(weights.shape())?;
    let view = weights.view([0, 1])?;
    fn read<A: Rows>(view: &Src<'_>, [rows, cols]: [usize; 2], component: usize) -> Vec<A> {
        let mut values = vec![A::default(); rows * cols];
        let plane = view.plane(0, component);
        values.chunks_exact_mut(cols).enumerate().for_each(|(y, row)| plane.read(y, 0, 1, row));
        values
    }
    Ok(match weights.dtype.kind() {
        Kind::Integer(..) => Taps::from_integers(shape, &read(&view, shape, 0)),
        Kind::Float => Taps::from_f64(shape, &read(&view, shape, 0)),
        Kind::Complex => {
            let (re, im): (Vec<f64>, Vec<f64>) = (read(&view, shape, 0), read(&view, shape, 1));
            let values: Vec<_> = re.into_iter().zip(im).map(|(re, im)| Complex { re, im }).collect();
            Taps::from_complex(shape, &values)
        }
    })
}

/// The constant border's value: an int of any size, a float, or a complex number.
pub(crate) fn constant(value: &Bound<'_, PyAny>) -> PyResult<Constant> {
    if let Ok(real) = value.cast::<PyFloat>() {
        return Ok(Constant::from(real.value()));
    }
    if let Ok(real) = value.extract::<f64>() {
        // 64 bits first: those beyond are read through a slower door.
        let integer = value.extract::<i64>().map(i128::from).or_else(|_| value.extract());
        return Ok(Constant { integer: integer.ok(), ..Constant::from(real) });
    }
    match value.extract::<Complex<f64>>() {
        Ok(value) => Ok(Constant { value, integer: None }),
        Err(error) => Err(door::out_of_range(value, error)),
    }
}
