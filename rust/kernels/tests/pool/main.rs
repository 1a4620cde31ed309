//! Pooling: every implementation x instruction set x dtype x named problem, against the definitions.

mod forward;
mod gradients;
mod problems;
