//! Two windows at once, windows with zeros, pixels of several channels, and results that have to be the same by several
//! implementations: every one that takes them, on every instruction set, against the reference or each other.

use ferroconv_kernels::border::Border;
use ferroconv_kernels::dtype::{DType, Element};
use ferroconv_kernels::isa::Isa;
use ferroconv_kernels::ops::correlate::{Correlate, Spec, Taps, Term, Zeros};
use ferroconv_kernels::parallel::Workers;
use ferroconv_kernels::reference::{ReferenceAxis, correlate};
use ferroconv_kernels::registry::{Operation, Schedule};
use ferroconv_kernels::shape::Extent;
use ferroconv_kernels::view::{Dst, Src};

/// The results of each implementation that takes a problem, with its id; the same bits for every schedule.
fn results<S: Element, T: Element + Default + Into<f64>>(
    problem: &Correlate,
    image: &[S],
    shape: [usize; 2],
) -> Vec<(String, Vec<T>)> {
    let [oh, ow] = problem.output();
    let mut all = Vec::new();
    for &isa in Isa::detected() {
        for (implementation, cost) in problem.candidates(isa) {
            if cost.is_err() {
                continue;
            }
            let run = |threads, tile| {
                let mut result = vec![T::default(); oh * ow];
                let schedule = Schedule { tile, ..Schedule::new(isa, Workers::new(Some(threads)).unwrap()) };
                let srcs = [Src::from_slice(image, &shape)];
                let dsts = &mut [Dst::from_slice(&mut result, &[oh, ow])];
                implementation.run(problem, &srcs, dsts, &schedule).unwrap();
                result
            };
            let (id, first) = (problem.id(implementation, isa), run(1, None));
            for (threads, tile) in [(2, None), (3, Some([1, 1])), (1, Some([3, 5])), (5, Some([4, 64]))] {
                let other = run(threads, tile);
                let bits = |row: &[T]| row.iter().map(|&x| x.into().to_bits()).collect::<Vec<u64>>();
                assert!(
                    bits(&first) == bits(&other),
                    "{id}: other bits with {threads} threads, tiles of {tile:?}"
                );
            }
            all.push((id, first));
        }
    }
    all
}

fn axes(spec: &Spec) -> [ReferenceAxis; 2] {
    [0, 1].map(|i| ReferenceAxis {
        before: (spec.taps.shape()[i] / 2 * spec.dilation[i]) as isize,
        results: spec.image[i],
        stride: 1,
        dilation: spec.dilation[i],
        border: spec.border[i].name(),
    })
}

fn paint(n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7 + i / 5) % 251) as f64).collect()
}

fn derivative(taps: usize, divisor: f64) -> Vec<f64> {
    (0..taps).map(|i| (i as f64 - (taps / 2) as f64) / divisor).collect()
}

fn smooth(taps: usize, divisor: f64) -> Vec<f64> {
    (0..taps).map(|i| (1 + i.min(taps - 1 - i)) as f64 / divisor).collect()
}

/// Both windows of a gradient, and their values.
fn gradient(taps: usize, divisor: f64) -> [(Taps, Vec<f64>); 2] {
    let (d, s) = (derivative(taps, divisor), smooth(taps, divisor));
    [(&d, &s), (&s, &d)].map(|(column, row)| {
        let values: Vec<f64> = column.iter().flat_map(|c| row.iter().map(move |r| c * r)).collect();
        (Taps::from_terms(vec![Term { column: column.clone(), row: row.clone() }]), values)
    })
}

#[test]
fn a_magnitude_is_the_root_of_both_sums_squares() {
    let mut names = Vec::new();
    for [h, w] in [[1, 1], [5, 17], [13, 66], [40, 150]] {
        for (taps, divisor) in [(3, 1.0), (3, 7.0), (9, 30.0)] {
            for border in [[Border::Reflect; 2], [Border::Constant, Border::Mirror]] {
                let [(first, a), (second, b)] = gradient(taps, divisor);
                let image = paint(h * w);
                let mut spec = Spec::new(DType::F32, [h, w], first);
                (spec.magnitude, spec.border, spec.cval) = (Some(second), border, 3.0.into());
                let axes = axes(&spec);
                let sum = |weights: &[f64]| correlate(&image, [h, w], weights, [taps; 2], &axes, 3.0);
                let size = |weights: &[f64]| sum(&weights.iter().map(|w| w.abs()).collect::<Vec<_>>());
                let (x, y, sizes) = (sum(&a), sum(&b), [size(&a), size(&b)]);
                let exact: Vec<f64> = x.iter().zip(&y).map(|(x, y)| (x * x + y * y).sqrt()).collect();
                for (dtype, dst) in
                    [(DType::F32, DType::F32), (DType::U8, DType::U8), (DType::I16, DType::F64)]
                {
                    (spec.src, spec.dst) = (dtype, dst);
                    let problem = Correlate::new(spec.clone()).unwrap();
                    let bound = problem.error_bound() + 4.0 * problem.arithmetic.unit_roundoff();
                    let found: Vec<(String, Vec<f64>)> = match dtype {
                        DType::F32 => {
                            let image: Vec<f32> = image.iter().map(|&v| v as f32).collect();
                            widened(results::<f32, f32>(&problem, &image, [h, w]))
                        }
                        DType::U8 => {
                            let image: Vec<u8> = image.iter().map(|&v| v as u8).collect();
                            widened(results::<u8, u8>(&problem, &image, [h, w]))
                        }
                        _ => {
                            let image: Vec<i16> = image.iter().map(|&v| v as i16).collect();
                            results::<i16, f64>(&problem, &image, [h, w])
                        }
                    };
                    for (id, found) in &found {
                        names.push(id.split('/').nth(1).unwrap().to_owned());
                        for p in 0..h * w {
                            let (exact, half) =
                                if dst == DType::U8 { (exact[p].min(255.0), 0.5) } else { (exact[p], 0.0) };
                            let stored =
                                if dst == DType::F32 { f64::from(f32::EPSILON) * exact } else { 0.0 };
                            let most = bound * (sizes[0][p] + sizes[1][p]) + half + stored;
                            assert!(
                                (found[p] - exact).abs() <= most,
                                "{id}, {h}x{w}, {taps} taps, position {p}: {} is not within {most} of {exact}",
                                found[p]
                            );
                        }
                    }
                }
            }
        }
    }
    assert!(names.iter().any(|n| n == "direct") && names.iter().any(|n| n == "separable"), "both loops");
}

fn widened<T: Copy + Into<f64>>(all: Vec<(String, Vec<T>)>) -> Vec<(String, Vec<f64>)> {
    all.into_iter().map(|(id, row)| (id, row.into_iter().map(Into::into).collect())).collect()
}

/// What lies under a zero that is no tap is not read: neither a NaN nor an infinity there shows.
#[test]
fn zeros_that_are_no_taps_read_nothing() {
    let (h, w) = (11, 70);
    let cross = [0.0, 1.0, 0.0, 1.0, -4.5, 1.0, 0.0, 1.0, 0.0];
    let mut image: Vec<f32> = paint(h * w).iter().map(|&v| v as f32).collect();
    let mut spec = Spec::new(DType::F32, [h, w], Taps::from_f64([3, 3], &cross));
    let axes = axes(&spec);
    let finite: Vec<f64> = image.iter().map(|&v| v.into()).collect();
    let exact = correlate(&finite, [h, w], &cross, [3, 3], &axes, 0.0);
    let magnitude = correlate(&finite, [h, w], &cross.map(f64::abs), [3, 3], &axes, 0.0);
    image[4 * w + 30] = f32::NAN;
    image[7 * w + 5] = f32::INFINITY;
    for zeros in [Zeros::Nothing, Zeros::NothingAmongFew, Zeros::Taps] {
        spec.zeros = zeros;
        let problem = Correlate::new(spec.clone()).unwrap();
        let all = results::<f32, f32>(&problem, &image, [h, w]);
        assert!(!all.is_empty(), "someone takes it");
        // Five taps of nine are not few.
        assert_eq!(all.iter().any(|(id, _)| id.contains("sparse")), zeros == Zeros::Nothing);
        assert_eq!(all.iter().any(|(id, _)| id.contains("direct")), zeros != Zeros::Nothing);
        for (id, found) in &all {
            for p in 0..h * w {
                let (y, x) = (p / w, p % w);
                let apart = |cy: usize, cx: usize| y.abs_diff(cy) + x.abs_diff(cx);
                if id.contains("sparse") && apart(4, 30) > 1 && apart(7, 5) > 1 {
                    let bound = problem.error_bound() * magnitude[p];
                    assert!(
                        (f64::from(found[p]) - exact[p]).abs() <= bound,
                        "{id}, position {p}: {}",
                        found[p]
                    );
                } else if apart(4, 30) <= 1 {
                    assert!(found[p].is_nan(), "{id}, position {p}: {}", found[p]);
                }
            }
        }
    }
}

/// Pixels of several channels side by side give what their planes give, to the bit, by each implementation but
/// transforms, whose tiles stand elsewhere.
#[test]
fn channels_side_by_side_are_as_planes() {
    type Change = fn(&mut Spec);
    let outer = |k: usize| {
        let weights: Vec<f64> = smooth(k, 30.0);
        Taps::from_terms(vec![Term { column: weights.clone(), row: weights }])
    };
    let dense: Vec<f64> = (0..15).map(|i| 0.1 + (i * i % 7) as f64 / 30.0).collect();
    let dense = Taps::from_f64([3, 5], &dense);
    let cross = Taps::from_f64([3, 3], &[0.0, 1.0, 0.0, 1.0, -4.5, 1.0, 0.0, 1.0, 0.0]);
    let line = Taps::from_f64([1, 7], &smooth(7, 16.0));
    let whole = Taps::from_f64([3, 3], &[0.0, 1.0, 0.0, -1.0, 5.0, -1.0, 0.0, -2.0, 0.0]);
    // More taps than two vectors have lanes.
    let long = Taps::from_terms(vec![Term { column: smooth(3, 9.0), row: smooth(37, 700.0) }]);
    let changes: [Change; 8] = [
        |_| (),
        |s| s.border = [Border::Constant, Border::Constant],
        |s| s.border = [Border::Nearest, Border::Mirror],
        |s| s.border = [Border::Mirror, Border::Wrap],
        |s| (s.extent, s.border) = (Extent::Full, [Border::Wrap, Border::Nearest]),
        |s| s.extent = Extent::Valid,
        |s| s.origin = [1, -1],
        |s| (s.dilation, s.border) = ([1, 2], [Border::Reflect, Border::Constant]),
    ];
    let mut names = std::collections::BTreeSet::new();
    for ([h, w], channels) in [([7, 9], 3), ([12, 40], 2), ([20, 190], 4), ([5, 6], 17)] {
        let image = paint(h * w * channels);
        let plane = |c: usize| image.iter().skip(c).step_by(channels).copied().collect::<Vec<_>>();
        for taps in [&outer(5), &outer(3), &dense, &cross, &line, &long, &whole] {
            for change in changes {
                for dtype in [DType::U8, DType::F32, DType::I16] {
                    let mut spec = Spec::new(dtype, [h, w], taps.clone());
                    spec.cval = 7.0.into();
                    spec.zeros = Zeros::NothingAmongFew;
                    change(&mut spec);
                    if [0, 1].iter().any(|&i| spec.origin[i].unsigned_abs() > spec.taps.shape()[i] / 2) {
                        continue;
                    }
                    let apart = Correlate::new(spec.clone()).unwrap();
                    let together = Correlate::new(Spec { channels, ..spec }).unwrap();
                    assert_eq!(together.pixels(), apart.output());
                    let found = all_results(&together, &image, [h, w * channels]);
                    for c in 0..channels {
                        let planes = all_results(&apart, &plane(c), [h, w]);
                        for (id, found) in found.iter().filter(|(id, _)| !id.contains("/fft/")) {
                            let Some((_, plane)) = planes.iter().find(|(other, _)| other == id) else {
                                panic!("{id} takes all channels, and not one")
                            };
                            names.insert(id.split('/').nth(1).unwrap().to_owned());
                            let found = found.iter().skip(c).step_by(channels);
                            let same = found.zip(plane).all(|(a, b)| a.to_bits() == b.to_bits());
                            assert!(same, "{id}: channel {c} of {channels}, {:?}", together.describe());
                        }
                    }
                }
            }
        }
    }
    for name in ["direct", "separable", "sparse", "bytes", "pairs", "pair-passes"] {
        assert!(names.contains(name), "{name} takes channels side by side");
    }
}

/// The results of all implementations for an image of any of the dtypes of these tests.
fn all_results(problem: &Correlate, image: &[f64], shape: [usize; 2]) -> Vec<(String, Vec<f64>)> {
    macro_rules! of {
        ($t:ty) => {{
            let image: Vec<$t> = image.iter().map(|&v| v as $t).collect();
            widened(results::<$t, $t>(problem, &image, shape))
        }};
    }
    match problem.src {
        DType::U8 => of!(u8),
        DType::I16 => of!(i16),
        DType::U16 => of!(u16),
        _ => of!(f32),
    }
}

/// Implementations that say so give the same integers on every instruction set, where sums are halves too; and a
/// transform's are the rounded sums of a plain loop.
#[test]
fn integers_are_the_same_on_every_instruction_set() {
    let (h, w) = (70, 150);
    let mut random = 1_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as f64 / (1_u64 << 53) as f64
    };
    for dtype in [DType::U8, DType::I16, DType::U16] {
        let most = if dtype == DType::U8 { 255.0 } else { 30_000.0 };
        let noise: Vec<f64> = (0..h * w).map(|_| (next() * most).floor()).collect();
        // Halves that one sample makes almost alone.
        let mut dark = vec![0.0; h * w];
        for (y, sample) in [(20, 170.0), (30, 2.0), (40, 10.0)] {
            dark[y * w + 60] = sample;
        }
        let flat: Vec<f64> = (0..h * w).map(|i| if i % w < 75 { 3.0 } else { (i / w) as f64 }).collect();
        for k in [2, 3, 5, 13, 16] {
            let n = (k * k) as f64;
            let halves = vec![0.5; k * k];
            let even = vec![1.0 / n; k * k];
            let signed: Vec<f64> = (0..k * k).map(|_| (next() - 0.5) / k as f64).collect();
            let smooth: Vec<f64> = (0..k * k).map(|_| next() / n).collect();
            // Most of its taps are small: in the unit that they need the others exceed 16 bits.
            let peaked: Vec<f64> = (0..k * k).map(|_| 20.0 * (next() - 0.5).powi(3) / k as f64).collect();
            let mut pointed: Vec<f64> = (0..k * k).map(|_| (8.0 * next()).floor() / 32768.0).collect();
            pointed[k / 2 * k + k / 2] = 0.75;
            for weights in [halves, even, signed, smooth, peaked, pointed] {
                // A fraction is no 16-bit sample: transforms alone take it.
                let cval = if k == 16 { 0.5 } else { 5.0 };
                let mut spec = Spec::new(dtype, [h, w], Taps::from_f64([k, k], &weights));
                (spec.border, spec.cval) = ([Border::Constant, Border::Reflect], cval.into());
                let axes = axes(&spec);
                let problem = Correlate::new(spec).unwrap();
                for image in [&noise, &flat, &dark] {
                    let all = all_results(&problem, image, [h, w]);
                    let exact = correlate(image, [h, w], &weights, [k; 2], &axes, cval);
                    let mut shared: Vec<(&str, &Vec<f64>)> = Vec::new();
                    for (id, found) in &all {
                        let name = id.split('/').nth(1).unwrap();
                        let implementation = Correlate::IMPLEMENTATIONS.iter().find(|i| i.name() == name);
                        let results = implementation.expect("one of the list").results(&problem);
                        match shared.iter().find(|(other, _)| *other == results) {
                            _ if !matches!(results, "fixed point" | "fft") => (),
                            Some((_, first)) => assert!(found == *first, "{id}, {dtype:?}, {k}x{k}"),
                            None => shared.push((results, found)),
                        }
                        let bound = match results {
                            "fixed point" => Some(0.5 + 1.0 / 64.0),
                            "fft" => Some(0.5 + 1e-9),
                            _ => None,
                        };
                        if let Some(bound) = bound {
                            for (found, exact) in found.iter().zip(&exact) {
                                let (least, most) = match dtype {
                                    DType::U8 => (0.0, 255.0),
                                    DType::I16 => (-32768.0, 32767.0),
                                    _ => (0.0, 65535.0),
                                };
                                let apart = (found - exact.clamp(least, most)).abs();
                                assert!(apart <= bound, "{id}: {found} for {exact}");
                            }
                        }
                    }
                    assert!(!shared.is_empty(), "someone takes it");
                }
            }
        }
    }
}

/// Rows of more taps than are turned together, of an odd and of an even number of them, beside one another and apart.
#[test]
fn long_rows_of_outer_products_are_near() {
    let (h, w) = (17, 700);
    let image: Vec<f64> = (0..h * w).map(|i| ((i * 37 + i / 7 * i) % 256) as f64).collect();
    for (taps, dilation) in [(37, 1), (36, 1), (33, 3), (64, 1)] {
        let column = [0.3, -0.1, 0.45];
        let row: Vec<f64> = (0..taps).map(|j| ((j * j % 11) as f64 - 3.5) / (15 * taps) as f64).collect();
        let weights: Vec<f64> = column.iter().flat_map(|c| row.iter().map(move |r| c * r)).collect();
        let term = Term { column: column.to_vec(), row };
        let mut spec = Spec::new(DType::U8, [h, w], Taps::from_terms(vec![term]));
        spec.dilation = [1, dilation];
        let axes = axes(&spec);
        let problem = Correlate::new(spec).unwrap();
        let exact = correlate(&image, [h, w], &weights, [3, taps], &axes, 0.0);
        let all = all_results(&problem, &image, [h, w]);
        assert!(all.iter().any(|(id, _)| id.contains("/pair-passes/")), "{taps}");
        for (id, found) in all {
            for (p, (found, exact)) in found.iter().zip(&exact).enumerate() {
                let apart = (found - exact.clamp(0.0, 255.0)).abs();
                assert!(apart <= 0.5 + 1.0 / 64.0, "{id}, {taps} at {p}: {found} for {exact}");
            }
        }
    }
}

/// Sums of black and white under whole weights reach both ends of what 16 bits hold.
#[test]
fn sums_of_bytes_fill_sixteen_bits() {
    let window = [7, 9];
    for border in [Border::Reflect, Border::Constant] {
        for weight in [1_i128, -1, 2, -2] {
            // As many taps as such weights may have, every other one of the other sign in one of two windows.
            for turned in [false, true] {
                let count = (128 / weight.abs()).min(63) as usize;
                let signed = |i: usize| if turned && i % 2 == 1 { -weight } else { weight };
                let taps: Vec<i128> = (0..63).map(|i| if i < count { signed(i) } else { 0 }).collect();
                let values: Vec<f64> = taps.iter().map(|&w| w as f64).collect();
                for [h, w] in [[9, 31], [11, 260]] {
                    let white = |i: usize| (i / 40).is_multiple_of(2) || (i * i).is_multiple_of(3);
                    let image: Vec<u8> = (0..h * w).map(|i| if white(i) { 255 } else { 0 }).collect();
                    let mut spec = Spec::new(DType::U8, [h, w], Taps::from_f64(window, &values));
                    (spec.border, spec.cval) = ([border; 2], 255.0.into());
                    let axes = axes(&spec);
                    let samples: Vec<i128> = image.iter().map(|&v| v.into()).collect();
                    let sums = correlate(&samples, [h, w], &taps, window, &axes, 255);
                    let expected: Vec<u8> = sums.iter().map(|&sum| sum.clamp(0, 255) as u8).collect();
                    let problem = Correlate::new(spec).unwrap();
                    let found = results::<u8, u8>(&problem, &image, [h, w]);
                    assert!(found.iter().any(|(id, _)| id.contains("/bytes/")));
                    for (id, found) in found {
                        assert!(found == expected, "{id}: {weight}, {turned}, {border:?}");
                    }
                }
            }
        }
    }
}
