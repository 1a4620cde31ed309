//! Forward pooling against the definitions.

use crate::problems::Rule::Slide;
use crate::problems::{Number, Problem, axis, problems};
use ferroconv_kernels::dtype::{Bool, DType};
use ferroconv_kernels::isa::Isa;
use ferroconv_kernels::ops::pool::{Pool, Reduction, Windows};
use ferroconv_kernels::parallel::Workers;
use ferroconv_kernels::reference;
use ferroconv_kernels::registry::{Operation, Schedule};
use ferroconv_kernels::shape::{Axis, Padding};
use ferroconv_kernels::view::{Dst, Src};
use half::{bf16, f16};

/// Runs a problem with every implementation that takes it, and some tiles and threads.
fn solve<T: Number>(
    pool: &Pool,
    name: &str,
    image: &[T],
    shapes: [&[usize]; 2],
    check: impl Fn(&str, &[T], &[i64]),
) {
    let [from, to] = shapes;
    let results: usize = to.iter().product();
    let mut taken = 0;
    for &isa in Isa::detected() {
        for &implementation in Pool::IMPLEMENTATIONS {
            if implementation.cost(pool).is_err() {
                continue;
            }
            taken += 1;
            let mut first: Option<Vec<u64>> = None;
            for (threads, tile) in [(1, None), (3, None), (1, Some([1, 1])), (2, Some([3, 5]))] {
                let (mut dst, mut positions) = (vec![T::UNSET; results], vec![-1_i64; results]);
                let schedule = Schedule { tile, ..Schedule::new(isa, Workers::new(Some(threads)).unwrap()) };
                let mut dsts = vec![Dst::from_slice(&mut dst, to), Dst::from_slice(&mut positions, to)];
                dsts.truncate(1 + usize::from(pool.indices()));
                implementation.run(pool, &[Src::from_slice(image, from)], &mut dsts, &schedule).unwrap();
                drop(dsts);
                let id = format!("{name}: {} {} threads {tile:?}", pool.id(implementation, isa), threads);
                check(&id, &dst, &positions);
                let bits: Vec<u64> = dst.iter().map(|x| x.value().to_bits()).collect();
                assert!(*first.get_or_insert(bits.clone()) == bits, "{id}: the same bits");
            }
        }
    }
    assert!(taken >= Isa::detected().len(), "{name}: someone takes it");
}

/// Checks one result: its position, the window's positions, the plane and the image.
type Check<'c, T> = &'c dyn Fn(usize, &[usize], usize, &[T]);

fn conformance<T: Number>() {
    for problem in problems() {
        let Problem { name, pictures, image: [h, w], channels: c, axes, ceil } = problem;
        let name = &format!("{name} ({h}x{w}x{c})");
        let ((rows, above), (cols, across)) = (axis(axes[0], h, ceil), axis(axes[1], w, ceil));
        let data: Vec<T> = (0..pictures * h * w * c).map(|i| T::paint(i + w)).collect();
        let windows = reference::pooling_windows([h, w], &[above, across]);
        let [oh, ow] = [rows.dst(), cols.dst()];
        assert_eq!(oh * ow, windows.len(), "{name}: the number of windows");
        let shapes: [&[usize]; 2] = [&[pictures, h, w, c], &[pictures, oh, ow, c]];
        // For each result: its window's samples.
        let each = |check: Check<'_, T>| {
            for result in 0..pictures * oh * ow * c {
                let (picture, window, channel) =
                    (result / (oh * ow * c).max(1), result / c % (oh * ow), result % c);
                let (positions, padded) = &windows[window];
                let samples: Vec<T> =
                    positions.iter().map(|p| data[(picture * h * w + p) * c + channel]).collect();
                check(result, positions, *padded, &samples);
            }
        };
        let pool = |reduction| Pool::new(T::DTYPE, pictures, [rows, cols], c, reduction);
        for indices in [false, true] {
            let pool = pool(Reduction::Max { indices }).unwrap();
            solve(&pool, name, &data, shapes, |id, dst: &[T], found| {
                each(&|result, positions, _, samples| {
                    let values: Vec<f64> = samples.iter().map(|s| s.value()).collect();
                    // Integers as integers: f64 would merge some of 64 bits.
                    let place = match samples[0].whole() {
                        Some(_) => (0..samples.len()).rev().max_by_key(|&i| samples[i].whole()).unwrap(),
                        None => reference::greatest(&values),
                    };
                    let (got, want) = (dst[result], samples[place]);
                    assert!(
                        got == want || (want.value().is_nan() && got.value().is_nan()),
                        "{id}, result {result}: {got:?} is not {want:?}"
                    );
                    if indices {
                        assert_eq!(
                            found[result], positions[place] as i64,
                            "{id}, position of result {result}"
                        );
                    }
                });
            });
        }
        if T::DTYPE == DType::Bool {
            assert!(pool(Reduction::Mean { count_padding: false, divisor: None }).is_err());
            continue;
        }
        for (count_padding, divisor) in [(false, None), (true, None), (false, Some(3)), (true, Some(-2))] {
            let pool = pool(Reduction::Mean { count_padding, divisor }).unwrap();
            solve(&pool, name, &data, shapes, |id, dst: &[T], _| {
                each(&|result, _, padded, samples| {
                    let taps = if count_padding { padded } else { samples.len() } as i64;
                    let divisor = divisor.unwrap_or(taps);
                    let got = dst[result];
                    let whole: Option<Vec<i128>> = samples.iter().map(|s| s.whole()).collect();
                    if let Some(whole) = whole {
                        let mean = reference::mean_half_even(whole.iter().sum(), divisor.into());
                        // Saturated: no further than the type goes.
                        let (least, most) = match T::DTYPE.kind() {
                            ferroconv_kernels::dtype::Kind::Integer(least, most) => (least, most),
                            _ => unreachable!(),
                        };
                        assert_eq!(got.whole(), Some(mean.clamp(least, most)), "{id}, result {result}");
                        return;
                    }
                    let sum: f64 = samples.iter().map(|s| s.value()).sum();
                    let want = sum / divisor as f64;
                    let magnitude: f64 =
                        samples.iter().map(|s| s.value().abs()).sum::<f64>() / (divisor as f64).abs();
                    let roundoff = match T::DTYPE {
                        DType::F16 => 1.0 / 2048.0,
                        DType::Bf16 => 1.0 / 256.0,
                        _ => 0.0,
                    };
                    let limit = pool.error_bound() * magnitude + roundoff * want.abs() * 1.01 + 1e-300;
                    let fine = (got.value() - want).abs() <= limit
                        || got.value() == want
                        || (want.is_nan() && got.value().is_nan());
                    assert!(fine, "{id}, result {result}: {got:?} is not {want}");
                });
            });
        }
    }
}

macro_rules! dtypes {
    ($($test:ident, $t:ty;)*) => {$(
        #[test]
        fn $test() { conformance::<$t>(); }
    )*};
}
dtypes! {
    bool_conforms, Bool; u8_conforms, u8; i8_conforms, i8; u16_conforms, u16; i16_conforms, i16; u32_conforms, u32;
    i32_conforms, i32; u64_conforms, u64; i64_conforms, i64; f16_conforms, f16; bf16_conforms, bf16; f32_conforms, f32;
    f64_conforms, f64;
}

#[test]
fn windows_without_a_sample_are_refused() {
    // Taps 4 apart, with a padding of 2, straddle an image of one sample.
    let axis = Axis::pooling(1, 2, 1, 4, Padding::Explicit(2, 2), false).unwrap();
    let error = Pool::new(DType::F32, 1, [Windows::Sliding(axis); 2], 1, Reduction::Max { indices: false });
    assert!(error.unwrap_err().to_string().contains("must hold a sample"));
}

#[test]
fn windows_of_nothing_but_the_least_value_have_their_first_position() {
    let (rows, cols) = (Slide(3, 2, 1, [1, 1]), Slide(4, 1, 1, [2, 1]));
    for (width, channels) in [(5, 1), (40, 1), (5, 20), (5, 6)] {
        let ((rows, above), (cols, across)) = (axis(rows, 6, false), axis(cols, width, false));
        let windows = reference::pooling_windows([6, width], &[above, across]);
        let image = vec![f32::NEG_INFINITY; 2 * 6 * width * channels];
        let pool =
            Pool::new(DType::F32, 2, [rows, cols], channels, Reduction::Max { indices: true }).unwrap();
        let shapes: [&[usize]; 2] = [&[2, 6, width, channels], &[2, rows.dst(), cols.dst(), channels]];
        solve(&pool, "nothing but the least value", &image, shapes, |id, best: &[f32], found| {
            for (result, (&best, &found)) in best.iter().zip(found).enumerate() {
                let (first, _) = &windows[result / channels % windows.len()];
                assert_eq!((best, found), (f32::NEG_INFINITY, first[0] as i64), "{id}, result {result}");
            }
        });
    }
}

#[test]
fn explain_names_every_refusal() {
    let windows = [Windows::adaptive(4, 2).unwrap(); 2];
    let pool = Pool::new(DType::I32, 1, windows, 1, Reduction::Max { indices: false }).unwrap();
    let schedule = Schedule::new(Isa::best().unwrap(), Workers::new(Some(1)).unwrap());
    let explanation = pool.explain(&schedule);
    assert!(explanation.chosen.starts_with("pool/separable/int32/"));
    assert_eq!(
        explanation
            .candidates
            .iter()
            .filter(|(_, cost, reason)| cost.is_none() && !reason.is_empty())
            .count(),
        explanation.candidates.len() - 1
    );
}
