//! `ferroconv._core`: the kernels as Python functions. The export list, and nothing else.

mod conv;
mod convert;
mod door;
mod filters;
mod layer;
mod pool;
mod pool_gradient;
mod runtime;
mod sliding;
mod tensorflow;
mod window;

/// The compiled half of ferroconv. Its functions take every argument by position and do no more
/// than convert; defaults and spellings are the Python modules' business.
#[pyo3::pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use crate::conv::{conv2d, conv2d_grad_filters, conv2d_grad_input, conv2d_transpose};
    #[pymodule_export]
    use crate::door::InvalidArgument;
    #[pymodule_export]
    use crate::filters::{border_modes, correlate};
    #[pymodule_export]
    use crate::pool::{adaptive_pool2d, pool2d};
    #[pymodule_export]
    use crate::pool_gradient::{adaptive_pool2d_gradient, pool2d_gradient};
    #[pymodule_export]
    use crate::runtime::{
        begin_explaining, clear_cache, dtypes, end_explaining, get_num_threads, info, measure,
        override_num_threads, precisions, prefer, set_num_threads,
    };
    #[pymodule_export]
    use crate::sliding::{footprint, sliding};
    #[pymodule_export]
    use crate::tensorflow::{conv2d_size, pool2d_size, register_tensorflow_ops};
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
