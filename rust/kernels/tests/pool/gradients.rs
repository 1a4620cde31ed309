//! The gradients of pooling against the definitions.

use crate::problems::{Number, Problem, axis, problems};
use ferroconv_kernels::Error;
use ferroconv_kernels::dtype::{Arithmetic, DType};
use ferroconv_kernels::isa::Isa;
use ferroconv_kernels::ops::pool::{MaxGrad, MeanGrad, Pool, Reduction, Windows};
use ferroconv_kernels::parallel::Workers;
use ferroconv_kernels::reference;
use ferroconv_kernels::registry::{Operation, Schedule};
use ferroconv_kernels::shape::{Axis, Padding};
use ferroconv_kernels::view::{Dst, Src};
use half::{bf16, f16};

/// Half the distance from 1 to the next number of a dtype.
fn roundoff(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 1.0 / 2048.0,
        DType::Bf16 => 1.0 / 256.0,
        _ => 0.0,
    }
}

/// Runs a problem with every implementation that takes it, and some tiles and threads.
fn solve<T: Number, P: Operation>(
    problem: &P,
    name: &str,
    srcs: &[Src<'_>],
    shape: &[usize],
    bound: f64,
    wants: [&[f64]; 2],
) {
    let mut taken = 0;
    for &isa in Isa::detected() {
        for &implementation in P::IMPLEMENTATIONS {
            if implementation.cost(problem).is_err() {
                continue;
            }
            taken += 1;
            let mut first: Option<Vec<u64>> = None;
            for (threads, tile) in [(1, None), (3, None), (1, Some([1, 1])), (2, Some([3, 5]))] {
                let mut dst = vec![T::UNSET; shape.iter().product()];
                let schedule = Schedule { tile, ..Schedule::new(isa, Workers::new(Some(threads)).unwrap()) };
                let dsts = &mut [Dst::from_slice(&mut dst, shape)];
                implementation.run(problem, srcs, dsts, &schedule).unwrap();
                let id = format!("{name}: {} {threads} threads {tile:?}", problem.id(implementation, isa));
                for (i, got) in dst.iter().enumerate() {
                    let (got, want) = (got.value(), wants[0][i]);
                    let limit = bound * wants[1][i] + roundoff(T::DTYPE) * want.abs() * 1.01 + 1e-300;
                    let fine = (got - want).abs() <= limit || got == want || (got.is_nan() && want.is_nan());
                    assert!(fine, "{id}, sample {i}: {got} is not {want}");
                }
                let bits: Vec<u64> = dst.iter().map(|x| x.value().to_bits()).collect();
                assert!(*first.get_or_insert(bits.clone()) == bits, "{id}: the same bits");
            }
        }
    }
    assert!(taken >= Isa::detected().len(), "{name}: someone takes it");
}

/// The gradient of a plane, from the plane and the gradient of its results.
type Definition<'d> = &'d dyn Fn(&[f64], &[f64]) -> Vec<f64>;

fn conformance<T: Number>() {
    for problem in problems() {
        let Problem { name, pictures, image: [h, w], channels: c, axes, ceil } = problem;
        let name = &format!("{name} ({h}x{w}x{c})");
        let ((rows, above), (cols, across)) = (axis(axes[0], h, ceil), axis(axes[1], w, ceil));
        let image: Vec<T> = (0..pictures * h * w * c).map(|i| T::paint(i + w)).collect();
        let windows = reference::pooling_windows([h, w], &[above, across]);
        let [oh, ow] = [rows.dst(), cols.dst()];
        let grads: Vec<T> = (0..pictures * oh * ow * c).map(|i| T::paint(3 * i + h)).collect();
        let (samples, results) = ([pictures, h, w, c], [pictures, oh, ow, c]);
        // The definition takes a channel of a picture at a time.
        let define = |of: Definition<'_>, absolute: bool| {
            let mut all = vec![0.0; image.len()];
            for plane in 0..pictures * c {
                let (picture, channel) = (plane / c, plane % c);
                let pick = |data: &[T], n: usize| -> Vec<f64> {
                    (0..n).map(|p| data[(picture * n + p) * c + channel].value()).collect()
                };
                let mut given = pick(&grads, oh * ow);
                if absolute {
                    given.iter_mut().for_each(|g| *g = g.abs());
                }
                for (p, value) in of(&pick(&image, h * w), &given).into_iter().enumerate() {
                    all[(picture * h * w + p) * c + channel] = value;
                }
            }
            all
        };
        let pool = |reduction| Pool::new(T::DTYPE, pictures, [rows, cols], c, reduction).unwrap();
        let of = |picture: &[f64], grads: &[f64]| reference::greatest_gradient(picture, &windows, grads);
        let (want, magnitude) = (define(&of, false), define(&of, true));
        let wants = [&want[..], &magnitude[..]];
        let [x, grad] = [Src::from_slice(&image, &samples), Src::from_slice(&grads, &results)];

        let problem = MaxGrad::new(pool(Reduction::Max { indices: false }), false).unwrap();
        solve::<T, _>(&problem, name, &[x.clone(), grad.clone()], &samples, problem.error_bound(), wants);

        let forward = pool(Reduction::Max { indices: true });
        let (mut maxima, mut positions) = (vec![T::UNSET; grads.len()], vec![-1_i64; grads.len()]);
        let schedule = Schedule::new(Isa::best().unwrap(), Workers::new(Some(1)).unwrap());
        let dsts = &mut [Dst::from_slice(&mut maxima, &results), Dst::from_slice(&mut positions, &results)];
        forward.select(schedule.isa).unwrap().run(&forward, &[x], dsts, &schedule).unwrap();
        let problem = MaxGrad::new(forward, true).unwrap();
        let srcs = [grad.clone(), Src::from_slice(&positions, &results)];
        solve::<T, _>(&problem, name, &srcs, &samples, problem.error_bound(), wants);

        for (count_padding, divisor) in [(false, None), (true, None), (false, Some(3)), (true, Some(-2))] {
            let forward = pool(Reduction::Mean { count_padding, divisor });
            // What is computed in f64 is rounded once more where it is stored.
            let wider = T::DTYPE == DType::F32 && forward.arithmetic == Arithmetic::F64;
            let stored = if wider { 1.01 / f64::from(1 << 24) } else { 0.0 };
            let problem = MeanGrad::new(forward).unwrap();
            let divisors: Vec<f64> = (windows.iter())
                .map(|(inside, padded)| if count_padding { *padded } else { inside.len() } as f64)
                .map(|taps| divisor.map_or(taps, |d| d as f64))
                .collect();
            let magnitudes: Vec<f64> = divisors.iter().map(|d| d.abs()).collect();
            let mean =
                |divisors: &[f64], grads: &[f64]| reference::mean_gradient(h * w, &windows, divisors, grads);
            let want = define(&|_, grads| mean(&divisors, grads), false);
            let magnitude = define(&|_, grads| mean(&magnitudes, grads), true);
            let wants = [&want[..], &magnitude[..]];
            solve::<T, _>(
                &problem,
                name,
                std::slice::from_ref(&grad),
                &samples,
                problem.error_bound() + stored,
                wants,
            );
        }
    }
}

macro_rules! dtypes {
    ($($test:ident, $t:ty;)*) => {$(
        #[test]
        fn $test() { conformance::<$t>(); }
    )*};
}
dtypes! { f16_conforms, f16; bf16_conforms, bf16; f32_conforms, f32; f64_conforms, f64; }

fn pool(dtype: DType, reduction: Reduction) -> Pool {
    let axis = |n| Axis::pooling(n, 2, 2, 1, Padding::Explicit(1, 0), true).unwrap();
    Pool::new(dtype, 1, [Windows::Sliding(axis(4)), Windows::Sliding(axis(6))], 1, reduction).unwrap()
}

#[test]
fn positions_outside_their_windows_are_refused_and_nothing_is_written() {
    let problem = MaxGrad::new(pool(DType::F32, Reduction::Max { indices: true }), true).unwrap();
    let right = [0_i64, 2, 4, 5, 12, 7, 9, 17, 18, 20, 22, 23];
    let schedule = Schedule::new(Isa::best().unwrap(), Workers::new(Some(2)).unwrap());
    let shape = [1, 3, 4, 1];
    let run = |positions: &[i64], dst: &mut [f32]| {
        let srcs = [Src::from_slice(&[1.0_f32; 12], &shape), Src::from_slice(positions, &shape)];
        let dsts = &mut [Dst::from_slice(dst, &[1, 4, 6, 1])];
        problem.select(schedule.isa).unwrap().run(&problem, &srcs, dsts, &schedule)
    };
    let mut dst = [7.0_f32; 24];
    run(&right, &mut dst).unwrap();
    for (p, &got) in dst.iter().enumerate() {
        assert_eq!(got, f32::from(u8::from(right.contains(&(p as i64)))), "sample {p}");
    }
    for (result, position) in
        [(0, -1), (0, 1), (0, 6), (5, 9), (5, 1), (5, 19), (11, 24), (3, i64::MAX), (3, i64::MIN)]
    {
        let (mut wrong, mut dst) = (right, [7.0_f32; 24]);
        wrong[result] = position;
        let Err(Error::Value(message)) = run(&wrong, &mut dst) else {
            panic!("{result} {position} is refused")
        };
        assert!(message.contains(&format!("Received: {position} for the window")), "{message}");
        assert_eq!(dst, [7.0; 24], "nothing is written");
    }
}

#[test]
fn gradients_are_of_floats_and_of_their_reduction() {
    let mean = Reduction::Mean { count_padding: false, divisor: None };
    let most = Reduction::Max { indices: false };
    assert!(matches!(MaxGrad::new(pool(DType::I32, most), false), Err(Error::Type(_))));
    assert!(matches!(MeanGrad::new(pool(DType::U8, mean)), Err(Error::Type(_))));
    assert!(matches!(MaxGrad::new(pool(DType::F32, mean), false), Err(Error::Value(_))));
    assert!(matches!(MeanGrad::new(pool(DType::F32, most)), Err(Error::Value(_))));
}
