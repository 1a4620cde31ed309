//! Layers of few multiply-adds, as the sum is written: tap after tap, channel after channel. To pack
//! filters and plan blocks, as the other implementations do, takes several times as long there.

use super::{Conv, Forward};
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::Simd;
use crate::view::{Block, Blocks, Dst, Floats, Src};
use crate::{Error, alloc};
use std::marker::PhantomData;
use std::ops::Mul;

/// The implementation `plain`.
#[derive(Debug)]
pub struct Plain;

/// Multiply-adds, and samples of a picture, up to which a layer is taken.
const MOST: f64 = 4096.0;

impl Implementation<Forward> for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn cost(&self, problem: &Forward) -> Result<f64, Reject> {
        let (sums, [_, h, w, c]) = (problem.conv.multiply_adds(), problem.conv.x_shape());
        if sums > MOST || h as f64 * w as f64 * c as f64 > MOST {
            return Err(Reject("takes 4096 multiply-adds and samples at most"));
        }
        if sums == 0.0 {
            return Err(Reject("needs something to sum"));
        }
        Ok(150.0 + sums)
    }

    fn run(
        &self,
        problem: &Forward,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let conv = &problem.conv;
        assert!(srcs.len() == 2 + usize::from(problem.bias) && dsts.len() == 1, "the layer's arrays");
        assert!(
            srcs[0].shape() == conv.x_shape()
                && srcs[1].shape() == conv.filters_shape()
                && dsts[0].shape() == conv.y_shape(),
            "the layer's shapes"
        );
        let blocks = Blocks::new(dsts, [usize::MAX; 3]);
        match conv.arithmetic().size() {
            8 => schedule.isa.dispatch(Task::<f64> { problem, srcs, blocks, number: PhantomData }),
            _ => schedule.isa.dispatch(Task::<f32> { problem, srcs, blocks, number: PhantomData }),
        }
        Ok(())
    }
}

struct Task<'t, A> {
    problem: &'t Forward,
    srcs: &'t [Src<'t>],
    blocks: Blocks<'t>,
    number: PhantomData<A>,
}

impl<A: Floats + Mul<Output = A>> Kernel for Task<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { problem, srcs, blocks, .. } = self;
        let conv = &problem.conv;
        let ([_, h, w, c], [kh, kw, inner, outer]) = (conv.x_shape(), conv.filters_shape());
        let lengths = [h * w * c, kh * kw * inner * outer, outer, conv.windows[1].dst * outer];
        alloc::scratch(lengths, |[x, filters, bias, row]: [&mut [A]; 4]| {
            for (t, into) in filters.chunks_exact_mut(inner * outer).enumerate() {
                srcs[1].picture(t / kw).widen(t % kw, &(0..inner), &(0..outer), into);
            }
            match srcs.get(2) {
                Some(given) => given.picture(0).widen(0, &(0..1), &(0..outer), bias),
                None => bias.fill(A::default()),
            }
            while let Some(block) = blocks.take() {
                let picture = srcs[0].picture(block.picture);
                for (y, into) in x.chunks_exact_mut(w * c).enumerate() {
                    picture.widen(y, &(0..w), &(0..c), into);
                }
                solve(conv, problem.relu, [x, filters, bias], row, block);
            }
        });
    }
}

/// Computes a picture.
#[inline(always)]
fn solve<A: Floats + Mul<Output = A>>(
    conv: &Conv,
    relu: bool,
    [x, filters, bias]: [&[A]; 3],
    row: &mut [A],
    mut block: Block<'_>,
) {
    let [down, across] = &conv.windows;
    let [_, kw, inner, outer] = conv.filters_shape();
    let (wide, of_group) = (conv.inputs, outer / conv.groups);
    let [mut to] = block.parts();
    // Where a tap reads, if that is inside the image.
    let inside = |o: usize, tap: usize, axis: &crate::shape::Axis| {
        let at = (o * axis.stride + tap * axis.dilation) as isize - axis.before;
        usize::try_from(at).ok().filter(|&at| at < axis.src)
    };
    for oy in 0..down.dst {
        for (ox, sums) in row.chunks_exact_mut(outer).enumerate() {
            sums.copy_from_slice(bias);
            for i in 0..down.taps {
                let Some(y) = inside(oy, i, down) else { continue };
                for j in 0..across.taps {
                    let Some(x_at) = inside(ox, j, across) else { continue };
                    let samples = &x[(y * across.src + x_at) * wide..][..wide];
                    let taps = &filters[(i * kw + j) * inner * outer..][..inner * outer];
                    for (k, taps) in taps.chunks_exact(outer).enumerate() {
                        for (o, (sum, &tap)) in sums.iter_mut().zip(taps).enumerate() {
                            let group = if of_group == outer { 0 } else { o / of_group };
                            *sum = sum.plus(samples[group * inner + k] * tap);
                        }
                    }
                }
            }
            if relu {
                for sum in sums.iter_mut() {
                    // A NaN stays.
                    *sum = if *sum < A::default() { A::default() } else { *sum };
                }
            }
        }
        to.narrow(oy, row);
    }
}
