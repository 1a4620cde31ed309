//! What this machine can do, measured: the peaks that a kernel's speed is held against.

use crate::isa::{Isa, Kernel};
use crate::simd::{Simd, Vector};
use std::hint::black_box;
use std::time::Instant;

/// Multiply-adds of the peak measurement, a sum: enough independent ones to fill both units of any
/// CPU for the four or five cycles that one takes.
const CHAINS: usize = 12;
const ROUNDS: usize = 20_000;

struct Peak;

impl Kernel for Peak {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f64 {
        let (a, b) = (S::F32::splat(black_box(1.0)), S::F32::splat(black_box(1e-9)));
        let mut sums = [S::F32::splat(0.0); CHAINS];
        let start = Instant::now();
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = sum.mul_add(a, b);
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        black_box(sums);
        2.0 * (CHAINS * ROUNDS * S::F32::LANES) as f64 / seconds
    }
}

/// The largest rate of `f32` multiply-adds that one thread was seen to reach, in FLOP/s.
pub fn fma_peak(isa: Isa) -> f64 {
    (0..50).map(|_| isa.dispatch(Peak)).fold(0.0, f64::max)
}

/// The best rate at which one thread copies memory far larger than a cache, in bytes of source a
/// second.
pub fn copy_speed() -> f64 {
    let from = vec![1_u8; 64 << 20];
    let mut to = vec![0_u8; from.len()];
    let mut best = 0.0_f64;
    for _ in 0..6 {
        let start = Instant::now();
        to.copy_from_slice(black_box(&from));
        best = best.max(from.len() as f64 / start.elapsed().as_secs_f64());
        black_box(&mut to);
    }
    best
}
