//! The operations: one file an algorithm, each written once and generic over the vector trait.

pub mod bytes;
pub mod conv;
pub mod correlate;
pub mod direct;
pub mod fft;
pub mod folded;
pub mod guessed;
mod magnitude;
mod normalised;
pub mod pairs;
pub mod pool;
mod rows;
pub mod separable;
pub mod sliding;
pub mod sparse;
mod spec;
mod strip;
mod taps;
