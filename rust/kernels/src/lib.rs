//! 2-D correlation and pooling on CPUs: slices, shapes, numbers. No Python, no framework.
//!
//! An operation is a *problem* (a checked struct: [`ops::correlate::Correlate`]), a choice among the
//! *implementations* in its list ([`registry`]), and a *run* under a [`registry::Schedule`]. Each
//! vocabulary has one file: [`border`], [`dtype`], [`shape`], [`isa`], [`view`].
//!
//! ```
//! use ferroconv_kernels::{border::Border, ops::correlate::{Correlate, Spec, Taps}, registry::{Operation, Schedule}};
//! use ferroconv_kernels::{isa::Isa, parallel::Workers, view::{Dst, Src}, dtype::DType};
//!
//! let image = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
//! let mut smooth = [0.0_f32; 6];
//! let problem = Correlate::new(Spec {
//!     border: [Border::Nearest; 2],
//!     ..Spec::new(DType::F32, [2, 3], Taps::from_f64([1, 3], &[0.25, 0.5, 0.25]))
//! })?;
//! let schedule = Schedule::new(Isa::best()?, Workers::new(None)?);
//! problem.select(schedule.isa)?.run(
//!     &problem,
//!     &[Src::from_slice(&image, &[2, 3])],
//!     &mut [Dst::from_slice(&mut smooth, &[2, 3])],
//!     &schedule,
//! )?;
//! assert_eq!(smooth, [1.25, 2.0, 2.75, 4.25, 5.0, 5.75]);
//! # Ok::<(), ferroconv_kernels::Error>(())
//! ```

pub mod alloc;
pub mod border;
pub mod dtype;
pub mod isa;
pub mod kept;
pub mod ops;
pub mod parallel;
pub mod precision;
pub mod probe;
pub mod reference;
pub mod registry;
pub mod shape;
pub mod simd;
pub mod view;

/// Why a call was refused or ended. Messages say the rule, what was received, and the mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A value or size that can't be meant.
    Value(String),
    /// A type that can't be taken.
    Type(String),
    /// Something that is well-formed and that we don't have.
    Unsupported(String),
    /// The caller asked to give up.
    Interrupted,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(m) | Self::Type(m) | Self::Unsupported(m) => f.write_str(m),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {}
