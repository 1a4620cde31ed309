//! The one door out of the GIL: runs a problem, lets Ctrl-C in, and turns whatever went wrong into
//! a Python exception.

use ferroconv_kernels::Error;
use ferroconv_kernels::isa::Isa;
use ferroconv_kernels::parallel::Workers;
use ferroconv_kernels::registry::{Explanation, Implementation, Operation, Schedule};
use ferroconv_kernels::view::{Dst, Src};
use pyo3::exceptions::{PyNotImplementedError, PyOverflowError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

pyo3::create_exception!(
    _core,
    InvalidArgument,
    PyValueError,
    "A ValueError of the core; the mirrors turn it into one that is a RuntimeError too, where SciPy raises that."
);

/// An error of the kernels as the exception that Python's users expect.
pub(crate) fn exception(error: Error) -> PyErr {
    match error {
        Error::Value(m) => InvalidArgument::new_err(m),
        Error::Type(m) => PyTypeError::new_err(m),
        Error::Unsupported(m) => PyNotImplementedError::new_err(m),
        Error::Interrupted => pyo3::exceptions::PyKeyboardInterrupt::new_err(()),
    }
}

thread_local! {
    /// While something: problems are explained into it and not run.
    static EXPLAINING: RefCell<Option<Vec<Explanation>>> = const { RefCell::new(None) };
}

/// Begins to collect explanations of this thread's calls.
pub(crate) fn begin_explaining() {
    EXPLAINING.set(Some(Vec::new()));
}

/// Ends that, and gives back what was collected.
pub(crate) fn end_explaining() -> Vec<Explanation> {
    EXPLAINING.take().unwrap_or_default()
}

thread_local! {
    /// The name of the implementation that this thread's calls run where it takes the problem.
    static PREFERRED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Prefers an implementation by its name, or none; gives back what was preferred.
pub(crate) fn prefer(implementation: Option<String>) -> Option<String> {
    PREFERRED.replace(implementation)
}

/// The preferred implementation if it takes the problem, else the cheapest.
fn choose<P: Operation>(problem: &P, isa: Isa) -> PyResult<&'static dyn Implementation<P>> {
    let preferred = PREFERRED.with_borrow(|name| {
        let name = name.as_deref()?;
        let takes = |i: &dyn Implementation<P>| i.supports(isa).is_ok() && i.cost(problem).is_ok();
        P::IMPLEMENTATIONS.iter().copied().find(|&i| i.name() == name && takes(i))
    });
    preferred.map_or_else(|| problem.chosen(isa).map_err(exception), Ok)
}

/// An integer argument. One beyond 64 bits is a `ValueError`, as any other that is too large.
#[derive(Clone, Copy)]
pub(crate) struct Integer(pub(crate) isize);

impl<'py> FromPyObject<'_, 'py> for Integer {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        object.extract().map(Self).map_err(|error| out_of_range(&object, error))
    }
}

/// Turns Python's `OverflowError` into a `ValueError`.
pub(crate) fn out_of_range(object: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    if error.is_instance_of::<PyOverflowError>(object.py()) {
        InvalidArgument::new_err(format!("a number must fit into 64 bits. Received: {object}."))
    } else {
        error
    }
}

/// `workers=`: None for the default, -1 for every core, or a number.
pub(crate) fn workers(count: Option<Integer>) -> PyResult<Workers<'static>> {
    let count = count.map(|n| n.0);
    let threads = match count {
        None => None,
        Some(-1) => Some(ferroconv_kernels::parallel::cores()),
        Some(n) => Some(usize::try_from(n).unwrap_or(0)),
    };
    Workers::new(threads).map_err(|_| {
        InvalidArgument::new_err(format!(
            "workers must be None, -1 for every core, or a number of threads from 1 to 1024. Received: {}.",
            count.unwrap_or(0)
        ))
    })
}

/// Solves `problem` without the GIL, or explains it where that was asked for.
pub(crate) fn run<P: Operation + Sync>(
    py: Python<'_>,
    problem: &P,
    srcs: &[Src<'_>],
    dsts: &mut [Dst<'_>],
    workers: Workers<'_>,
) -> PyResult<()> {
    let schedule = Schedule::new(Isa::best().map_err(exception)?, workers);
    let explained = EXPLAINING
        .with_borrow_mut(|list| list.as_mut().map(|list| list.push(problem.explain(&schedule))).is_some());
    if explained {
        return Ok(());
    }
    let chosen = choose(problem, schedule.isa)?;
    let signal: Mutex<Option<PyErr>> = Mutex::new(None);
    let interrupted = || {
        Python::attach(|py| py.check_signals()).is_err_and(|error| {
            *signal.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
            true
        })
    };
    let outcome = py.detach(|| {
        let workers = schedule.workers.with_interrupt(&interrupted);
        let schedule = Schedule { workers, ..schedule };
        catch_unwind(AssertUnwindSafe(|| chosen.run(problem, srcs, dsts, &schedule)))
    });
    match outcome {
        Ok(result) => result.map_err(|error| {
            let signal = signal.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
            signal.unwrap_or_else(|| exception(error))
        }),
        Err(panic) => {
            let text = (panic.downcast_ref::<String>().map(String::as_str))
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(PyRuntimeError::new_err(format!("internal error in ferroconv, please report it: {text}")))
        }
    }
}
