//! Threads, instruction sets, explanations: what the process is made of.

use crate::door::{self, Integer, InvalidArgument, exception};
use ferroconv_kernels::dtype::DType;
use ferroconv_kernels::isa::Isa;
use ferroconv_kernels::precision::Precision;
use ferroconv_kernels::{alloc, parallel, probe};
use pyo3::prelude::*;
use pyo3::types::PyDict;

fn count(Integer(threads): Integer) -> PyResult<usize> {
    match threads {
        -1 => Ok(parallel::cores()),
        n => usize::try_from(n).map_err(|_| {
            InvalidArgument::new_err(format!(
                "the number of threads must be 1 to 1024, or -1 for every core. Received: {n}."
            ))
        }),
    }
}

/// Sets the number of threads that calls of this process use.
#[pyfunction]
#[pyo3(signature = (threads, /))]
pub(crate) fn set_num_threads(threads: Integer) -> PyResult<()> {
    parallel::set_num_threads(count(threads)?).map_err(exception)
}

/// The number of threads that a call from this thread uses.
#[pyfunction]
pub(crate) fn get_num_threads() -> usize {
    parallel::num_threads()
}

/// Overrides the number for this thread; None ends that. Returns the override that was in force.
#[pyfunction]
#[pyo3(signature = (threads, /))]
pub(crate) fn override_num_threads(threads: Option<Integer>) -> PyResult<Option<usize>> {
    parallel::override_num_threads(threads.map(count).transpose()?).map_err(exception)
}

/// Prefers an implementation for this thread's calls, where it takes the problem; None ends that. Returns
/// the preference that was in force.
#[pyfunction]
#[pyo3(signature = (implementation, /))]
pub(crate) fn prefer(implementation: Option<String>) -> Option<String> {
    door::prefer(implementation)
}

/// Names of the dtypes.
#[pyfunction]
pub(crate) fn dtypes() -> Vec<&'static str> {
    DType::ALL.iter().map(|d| d.name()).collect()
}

/// Names of the classes of precision.
#[pyfunction]
pub(crate) fn precisions() -> Vec<&'static str> {
    Precision::ALL.map(Precision::name).to_vec()
}

/// Version, build profile, instruction sets, threads.
#[pyfunction]
pub(crate) fn info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let names = |isas: &[Isa]| isas.iter().map(|isa| isa.name()).collect::<Vec<_>>();
    let dict = PyDict::new(py);
    dict.set_item("version", env!("CARGO_PKG_VERSION"))?;
    dict.set_item("profile", if cfg!(debug_assertions) { "debug" } else { "release" })?;
    dict.set_item("isa_built", Isa::NAMES.to_vec())?;
    dict.set_item("isa_detected", names(Isa::detected()))?;
    dict.set_item("isa_used", Isa::best().map_err(exception)?.name())?;
    dict.set_item("threads", parallel::num_threads())?;
    dict.set_item("cores", parallel::cores())?;
    Ok(dict)
}

/// Measures one thread's peaks: float32 multiply-adds in FLOP/s, and bytes copied a second.
#[pyfunction]
pub(crate) fn measure(py: Python<'_>) -> PyResult<(f64, f64)> {
    let isa = Isa::best().map_err(exception)?;
    Ok(py.detach(|| (probe::fma_peak(isa), probe::copy_speed())))
}

/// Gives back the memory kept for results, and what is kept of calls: plans, windows' spectra. Returns how many bytes
/// that were.
#[pyfunction]
pub(crate) fn clear_cache() -> usize {
    alloc::results::clear() + ferroconv_kernels::kept::clear()
}

/// From here on this thread's calls are explained and not run.
#[pyfunction]
pub(crate) fn begin_explaining() {
    door::begin_explaining();
}

/// Ends that. Returns one explanation for each problem met since, each a dict.
#[pyfunction]
pub(crate) fn end_explaining(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let one = |e: ferroconv_kernels::registry::Explanation| {
        let dict = PyDict::new(py);
        dict.set_item("problem", e.problem)?;
        dict.set_item("chosen", e.chosen)?;
        dict.set_item("threads", e.threads)?;
        dict.set_item("bound", e.bound)?;
        dict.set_item("candidates", e.candidates)?;
        Ok(dict)
    };
    door::end_explaining().into_iter().map(one).collect()
}
