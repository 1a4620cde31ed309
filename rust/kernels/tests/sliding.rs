//! Sliding windows on every instruction set, dtype, border and shape of block, against the definition: every
//! window, sample by sample.

use ferroconv_kernels::border::Border;
use ferroconv_kernels::dispatch_dtype;
use ferroconv_kernels::dtype::{Convert, DType, Element, Finish, Kind, Overflow, Rounding};
use ferroconv_kernels::isa::Isa;
use ferroconv_kernels::ops::sliding::footprint::Footprint;
use ferroconv_kernels::ops::sliding::{Numbers, Reduction, Sliding, Spec};
use ferroconv_kernels::parallel::Workers;
use ferroconv_kernels::reference::{ReferenceAxis, mean_half_even, sliding_windows};
use ferroconv_kernels::registry::{Implementation, Operation, Schedule};
use ferroconv_kernels::shape::Extent;
use ferroconv_kernels::view::{Dst, Src};

const PICTURES: usize = 2;

/// Sample `i`; the values fit every dtype.
fn paint(i: usize, dtype: DType) -> i128 {
    let value = (i % 251) as i128;
    match dtype {
        DType::Bool => value & 1,
        DType::I8 | DType::F16 | DType::Bf16 => value % 120 - 60,
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => value,
        _ => value * 131 - 16_000,
    }
}

/// Runs a problem's implementation over elements that were NaN or 77 before.
fn run<P: Operation, T: Element + Convert<f64>>(
    problem: &P,
    implementation: &dyn Implementation<P>,
    image: &[T],
    [from, to]: [&[usize]; 2],
    schedule: &Schedule<'_>,
) -> Vec<T> {
    let mut result = vec![T::saturate(f64::NAN); to.iter().product()];
    let (srcs, dsts) = ([Src::from_slice(image, from)], &mut [Dst::from_slice(&mut result, to)]);
    implementation.run(problem, &srcs, dsts, schedule).unwrap();
    result
}

fn schedule(isa: Isa, threads: usize, tile: Option<[usize; 2]>) -> Schedule<'static> {
    Schedule { tile, ..Schedule::new(isa, Workers::new(Some(threads)).unwrap()) }
}

/// What a mean is stored as.
fn stored(sum: i128, taps: i128, by_axis: bool) -> i128 {
    if by_axis { sum / taps } else { mean_half_even(sum, taps) }
}

fn check<T: Element + Convert<f64> + Convert<i128> + PartialEq + std::fmt::Debug>(spec: &Spec) -> usize {
    let [h, w, channels] = spec.image;
    let image: Vec<T> = (0..PICTURES * h * w * channels)
        .map(|i| <T as Convert<i128>>::saturate(paint(i * 7 + i / 5, T::DTYPE)))
        .collect();
    let problem = Sliding::new(Spec { pictures: PICTURES, ..spec.clone() }).unwrap();
    let [oh, ow] = problem.output();
    let [kh, kw] = spec.window;
    let axis = |i: usize| ReferenceAxis {
        before: match spec.extent {
            Extent::Full => spec.window[i] as isize - 1,
            Extent::Same => (spec.window[i] / 2) as isize + spec.origin[i],
            Extent::Valid => 0,
        },
        results: [oh, ow][i],
        stride: 1,
        dilation: 1,
        border: spec.border[i].name(),
    };
    let windows = sliding_windows([h, w], spec.window, &[axis(0), axis(1)]);
    let what = format!("{problem}, {:?}, {:?}", problem.numbers, spec.origin);
    let outside = spec.cval.integer.unwrap();
    let by_axis = spec.reduction == Reduction::MeanByAxis;
    let mut checked = 0;
    for &isa in Isa::detected() {
        for implementation in Sliding::IMPLEMENTATIONS.iter().filter(|i| i.cost(&problem).is_ok()) {
            let shapes: [&[usize]; 2] = [&[PICTURES, h, w, channels], &[PICTURES, oh, ow, channels]];
            let go =
                |threads, tile| run(&problem, *implementation, &image, shapes, &schedule(isa, threads, tile));
            let found = go(1, None);
            let bits = |values: &[T]| {
                values.iter().map(|&v| <T as Convert<f64>>::widen(v).to_bits()).collect::<Vec<_>>()
            };
            for (threads, tile) in [(2, None), (3, Some([1, 1])), (1, Some([3, 5])), (7, Some([5, 64]))] {
                assert!(bits(&go(threads, tile)) == bits(&found), "{what}: other bits in tiles of {tile:?}");
            }
            for (i, &found) in found.iter().enumerate() {
                let (picture, place, channel) =
                    (i / (oh * ow * channels), i / channels % (oh * ow), i % channels);
                let sample = |at: Option<usize>| {
                    at.map_or(outside, |at| {
                        let sample = image[(picture * h * w + at) * channels + channel];
                        <T as Convert<i128>>::widen(sample)
                    })
                };
                let samples = || windows[place].iter().map(|&at| sample(at));
                let exact = match spec.reduction {
                    Reduction::Minimum => samples().min().unwrap(),
                    Reduction::Maximum => samples().max().unwrap(),
                    _ if matches!(T::DTYPE.kind(), Kind::Integer(..)) => {
                        stored(samples().sum(), (kh * kw) as i128, by_axis)
                    }
                    _ => {
                        let sum: f64 = samples().map(|v| v as f64).sum();
                        let mean = sum / (kh * kw) as f64;
                        let size = samples().map(|v| v.abs() as f64).sum::<f64>() / (kh * kw) as f64;
                        let step = match T::DTYPE {
                            DType::F16 => 2_f64.powi(-11),
                            DType::Bf16 => 2_f64.powi(-8),
                            _ => 0.0,
                        };
                        let bound = (problem.error_bound() + 1e-15) * size + step * mean.abs();
                        let found = <T as Convert<f64>>::widen(found);
                        assert!((found - mean).abs() <= bound, "{what}: {found} is not {mean} at {i}");
                        continue;
                    }
                };
                let exact = <T as Convert<i128>>::saturate(exact);
                assert_eq!(found, exact, "{what}, {} at {i}", isa.name());
            }
            checked += found.len();
        }
    }
    checked
}

const SHAPES: &[([usize; 3], [usize; 2])] = &[
    ([1, 1, 1], [1, 1]),
    ([1, 1, 1], [3, 4]),
    ([0, 5, 1], [3, 3]),
    ([5, 0, 1], [3, 3]),
    ([7, 31, 1], [3, 3]),
    ([7, 32, 1], [2, 2]),
    ([9, 33, 1], [4, 5]),
    ([13, 65, 1], [6, 7]),
    ([23, 129, 1], [7, 17]),
    ([40, 40, 1], [19, 35]),
    ([9, 40, 1], [1, 16]),
    ([40, 9, 1], [16, 1]),
    ([3, 4, 1], [17, 22]),
    ([8, 11, 3], [3, 5]),
    ([12, 5, 7], [6, 2]),
];

const REDUCTIONS: &[fn([usize; 2]) -> Reduction] = &[
    |_| Reduction::Minimum,
    |_| Reduction::Maximum,
    |[kh, kw]| Reduction::Mean { divisor: (kh * kw) as u64 },
];

fn sweep(dtypes: &[DType], borders: &[[Border; 2]], extents: &[Extent]) {
    let mut checked = 0;
    for &(image, window) in SHAPES {
        for &dtype in dtypes {
            for &border in borders {
                for &extent in extents {
                    for reduction in REDUCTIONS {
                        let mut spec = Spec::new(reduction(window), dtype, image, window);
                        spec.border = border;
                        spec.extent = extent;
                        spec.cval = 1.0.into();
                        if extent == Extent::Same {
                            spec.origin = window.map(|k| (k as isize - 1) / 2 - (k as isize / 4));
                        }
                        checked += dispatch_dtype!(dtype, |T| { check::<T>(&spec) });
                    }
                }
            }
        }
    }
    assert!(checked > 0, "something ran");
}

#[test]
fn every_dtype_agrees_with_the_reference() {
    let real: Vec<DType> = DType::ALL.iter().copied().filter(|d| !d.is_complex()).collect();
    sweep(&real, &[[Border::Reflect; 2]], &[Extent::Same]);
}

#[test]
fn every_border_and_extent_agrees_with_the_reference() {
    let each: Vec<_> = Border::ALL.iter().map(|&b| [b; 2]).collect();
    sweep(&[DType::U8, DType::F32], &each, &Extent::ALL.map(|(_, e)| e));
    sweep(
        &[DType::I16],
        &[[Border::Constant, Border::Wrap], [Border::Mirror, Border::Constant]],
        &[Extent::Same],
    );
}

/// Sums of bytes of rows are in 16 bits, up to those of the longest rows; quotients are made in three ways.
#[test]
fn bytes_have_means_over_windows_of_any_size() {
    let columns = [1, 2, 3, 4, 5, 6, 7, 8, 11, 15, 16, 17, 31, 33, 47, 63, 64, 65, 127, 255, 256, 257, 258];
    let mut numbers = Vec::new();
    for kw in columns {
        for (kh, channels) in [(1, 1), (2, 1), (3, 3), (8, 1), (65, 1)] {
            let (image, window) = ([kh + 2, kw + 131 / channels, channels], [kh, kw]);
            let mut spec = Spec::new(Reduction::Mean { divisor: (kh * kw) as u64 }, DType::U8, image, window);
            spec.extent = Extent::Valid;
            check::<u8>(&spec);
            let problem = Sliding::new(spec).unwrap();
            numbers.push(problem.numbers);
            let [oh, ow] = problem.output();
            let bright = vec![u8::MAX; image.iter().product()];
            for &isa in Isa::detected() {
                let (from, to) = (&image[..], &[oh, ow, channels][..]);
                let implementation = problem.select(isa).unwrap();
                let found = run(&problem, implementation, &bright, [from, to], &schedule(isa, 1, None));
                assert!(found.iter().all(|&mean| mean == u8::MAX), "{problem}, {}", isa.name());
            }
        }
    }
    for each in [Numbers::U16, Numbers::U16AndI32, Numbers::I32] {
        assert!(numbers.contains(&each));
    }
}

/// SciPy's means of one axis: truncated.
#[test]
fn means_along_one_axis_are_cut_off() {
    for dtype in [DType::U8, DType::I8, DType::U16, DType::I32, DType::U64] {
        for window in [[1, 3], [1, 10], [7, 1], [16, 1], [1, 255], [260, 1]] {
            let mut spec = Spec::new(Reduction::MeanByAxis, dtype, [19, 33, 1], window);
            spec.border = [Border::Wrap; 2];
            spec.finish = Finish { rounding: Rounding::Truncate, overflow: Overflow::Wrap };
            dispatch_dtype!(dtype, |T| { check::<T>(&spec) });
        }
    }
}

/// A footprint is the union of its taps: each of them alone is a shift.
#[test]
fn footprints_fold_their_taps() {
    let (h, w) = (9, 41);
    let image: Vec<i16> = (0..PICTURES * h * w).map(|i| paint(i * 7 + i / 5, DType::I16) as i16).collect();
    let taps: Vec<[isize; 3]> = vec![[0, -1, 2], [0, 0, -3], [0, 0, 0], [1, 2, 1], [1, 2, 44]];
    for border in Border::ALL {
        for maximum in [false, true] {
            let problem = Footprint {
                maximum,
                src: DType::I16,
                dst: DType::I16,
                shape: vec![PICTURES, h, w],
                taps: taps.iter().map(|t| t.to_vec()).collect(),
                addends: None,
                border,
                cval: 7.0.into(),
                finish: Finish { rounding: Rounding::Truncate, overflow: Overflow::Wrap },
            };
            let problem = problem.checked().unwrap();
            let axis = |n: usize, before: isize| ReferenceAxis {
                before: -before,
                results: n,
                stride: 1,
                dilation: 1,
                border: border.name(),
            };
            for &isa in Isa::detected() {
                let shape: &[usize] = &[PICTURES, h, w, 1];
                let go = |threads, tile| {
                    let schedule = schedule(isa, threads, tile);
                    run(&problem, Footprint::IMPLEMENTATIONS[0], &image, [shape, shape], &schedule)
                };
                let found = go(1, None);
                assert_eq!(found, go(3, Some([2, 7])));
                for (i, &found) in found.iter().enumerate() {
                    let samples = taps.iter().map(|&[p, y, x]| {
                        let outer = sliding_windows([PICTURES, 1], [1, 1], &[axis(PICTURES, p), axis(1, 0)]);
                        let inner = sliding_windows([h, w], [1, 1], &[axis(h, y), axis(w, x)]);
                        match (outer[i / (h * w)][0], inner[i % (h * w)][0]) {
                            (Some(picture), Some(at)) => image[picture * h * w + at],
                            _ => 7,
                        }
                    });
                    let exact = if maximum { samples.max() } else { samples.min() };
                    assert_eq!(Some(found), exact, "{border:?} {maximum} at {i}");
                }
            }
        }
    }
}
