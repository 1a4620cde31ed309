//! What the transforms err by, and which results come from them.

use super::spectrum::Spectrum;
use super::tile::transform;
use super::*;
use crate::dtype::DType;
use crate::ops::correlate::{Spec, Taps};
use crate::registry::Operation;
use crate::shape::Extent;

/// Values in [0, 1) that repeat after 2^64 steps.
fn random(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Transforms a complex plane in `f32` and in `f64`.
struct Twice<'a> {
    spectrum: &'a Spectrum,
    points: [usize; 2],
    parts: [&'a [f32]; 2],
}

impl Kernel for Twice<'_> {
    type Output = ([Vec<f32>; 2], [Vec<f64>; 2]);

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Self::Output {
        let step = self.points[1];
        let mut single = self.parts.map(<[f32]>::to_vec);
        let mut double = self.parts.map(|part| part.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        let [a, b] = &mut single;
        let [mut br, mut bi] = [vec![0.0; 16 * step], vec![0.0; 16 * step]];
        let engine = self.spectrum.engine(<lane::F32 as Lane>::Vector::<S>::LANES);
        transform::<<lane::F32 as Lane>::Vector<S>>(&engine, [a, b], step, [&mut br, &mut bi], step);
        let [a, b] = &mut double;
        let [mut br, mut bi] = [vec![0.0; 16 * step], vec![0.0; 16 * step]];
        let engine = self.spectrum.engine(<lane::F64 as Lane>::Vector::<S>::LANES);
        transform::<<lane::F64 as Lane>::Vector<S>>(&engine, [a, b], step, [&mut br, &mut bi], step);
        (single, double)
    }
}

/// The second line of the file's head. The error of `f32` is seen from `f64`; that of `f64` is the same in its
/// own roundoffs, as the operations are the same.
#[test]
fn errors_are_below_the_margin() {
    let mut worst = 0.0_f64;
    for (case, points) in [[32, 32], [128, 128], [64, 256], [256, 256], [16, 512]].into_iter().enumerate() {
        let area = points[0] * points[1];
        for image in 0..6 {
            let mut next = random(7 + 10 * case as u64 + image);
            let value = |i: usize, next: &mut dyn FnMut() -> f64| match image {
                0 => next(),
                1 => (0..12).map(|_| next()).sum::<f64>() - 6.0,
                2 => 0.3 + 0.001 * next(),
                3 => f64::from(u8::from(i.is_multiple_of(97))),
                4 => 10_f64.powf(6.0 * next()),
                _ => (i % points[1]) as f64 / points[1] as f64 + (i / points[1] % 8) as f64,
            };
            let parts = [0, 1].map(|_| (0..area).map(|i| value(i, &mut next) as f32).collect::<Vec<_>>());
            for window in 0..4 {
                let k = [13.min(points[0] / 2), 13.min(points[1] / 2)];
                let taps: Vec<f64> = (0..k[0] * k[1])
                    .map(|i| {
                        let r2 = (i / k[1]) as f64 - 6.0;
                        let c2 = (i % k[1]) as f64 - 6.0;
                        match window {
                            0 => 1.0 / 169.0,
                            1 => (-(r2 * r2 + c2 * c2) / 8.0).exp(),
                            2 => next(),
                            _ => next() - 0.5,
                        }
                    })
                    .collect();
                let taps = Taps::from_f64(k, &taps);
                for isa in Isa::detected() {
                    let spectrum = Spectrum::new(&taps, points, *isa);
                    let (single, double) =
                        isa.dispatch(Twice { spectrum: &spectrum, points, parts: [&parts[0], &parts[1]] });
                    let energy: f64 = parts.iter().flatten().map(|&x| f64::from(x) * f64::from(x)).sum();
                    let unit = f64::from(f32::EPSILON) / 2.0 * (energy / area as f64).sqrt() * spectrum.peak;
                    for (a, b) in single.iter().flatten().zip(double.iter().flatten()) {
                        let ratio = (f64::from(*a) - b).abs() / unit / (area as f64).log2();
                        if ratio > worst {
                            worst = ratio;
                            eprintln!(
                                "{ratio:.3} at {points:?}, image {image}, window {window}, {}",
                                isa.name()
                            );
                        }
                    }
                }
            }
        }
    }
    assert!(1.5 * worst <= MARGIN, "an error of {worst} units; the margin is {MARGIN}");
    assert!(worst > 0.01, "errors were measured");
}

fn solve(problem: &Correlate, image: &[f32], threads: usize) -> Vec<f32> {
    let shape = [problem.axes[0].src, problem.axes[1].src];
    let mut result = vec![f32::NAN; problem.output()[0] * problem.output()[1]];
    let schedule = Schedule::new(Isa::detected()[0], Workers::new(Some(threads)).unwrap());
    Fft.run(
        problem,
        &[Src::from_slice(image, &shape)],
        &mut [Dst::from_slice(&mut result, &problem.output())],
        &schedule,
    )
    .unwrap();
    result
}

fn smooth(k: usize) -> Taps {
    let at = |i: usize| (i as f64 - (k / 2) as f64) / (k as f64 / 6.0);
    let taps: Vec<f64> = (0..k * k).map(|i| (-(at(i / k).powi(2) + at(i % k).powi(2)) / 2.0).exp()).collect();
    Taps::from_f64([k, k], &taps)
}

/// The sums of one position and their magnitudes, in `f64`, with zeros outside.
fn by_definition(image: &[f32], shape: [usize; 2], taps: &Taps, y: usize, x: usize) -> (f64, f64) {
    let [kh, kw] = taps.shape();
    let (mut sum, mut magnitude) = (0.0, 0.0);
    for i in 0..kh {
        for j in 0..kw {
            let (row, col) = ((y + i).wrapping_sub(kh / 2), (x + j).wrapping_sub(kw / 2));
            if row < shape[0] && col < shape[1] {
                let product = f64::from(image[row * shape[1] + col]) * taps.re()[i * kw + j];
                sum += product;
                magnitude += product.abs();
            }
        }
    }
    (sum, magnitude)
}

/// Images on which a transform's evenly spread error breaks the contract somewhere.
#[test]
fn every_result_is_within_its_own_bound() {
    let shape = [150, 211];
    let mut next = random(3);
    type Paint = fn(usize, usize, f64) -> f64;
    let images: [(&str, Paint); 6] = [
        ("one star", |y, x, _| f64::from(u8::from((y, x) == (70, 100)))),
        ("a star on a faint sky", |y, x, r| if (y, x) == (70, 100) { 1e6 } else { 1e-6 * r }),
        ("dark left, bright right", |_, x, r| if x < 100 { 1e-4 * r } else { 100.0 * r }),
        ("beyond f32's squares", |y, _, r| if y < 80 { 1e30 * r } else { r }),
        ("below f32's squares", |_, _, r| 1e-30 * r),
        ("half of it zeros", |y, _, r| if y < 75 { 0.0 } else { r }),
    ];
    for (name, paint) in images {
        let image: Vec<f32> =
            (0..shape[0] * shape[1]).map(|i| paint(i / shape[1], i % shape[1], next()) as f32).collect();
        for k in [9, 21] {
            let spec = Spec { border: [Border::Constant; 2], ..Spec::new(DType::F32, shape, smooth(k)) };
            let problem = Correlate::new(spec).unwrap();
            let result = solve(&problem, &image, 1);
            assert!(result == solve(&problem, &image, 3), "{name}, {k}: bits depend on the threads");
            for (p, &found) in result.iter().enumerate().filter(|(p, _)| p % 7 == 0) {
                let (sum, magnitude) =
                    by_definition(&image, shape, &problem.taps, p / shape[1], p % shape[1]);
                let bound = problem.error_bound() * magnitude + 1e-45;
                let error = (f64::from(found) - sum).abs();
                assert!(
                    error <= bound,
                    "{name}, {k}, position {p}: {found} is not within {bound:e} of {sum:e}"
                );
            }
        }
    }
}

#[test]
fn nan_and_infinity_stay_in_the_windows_that_hold_them() {
    let shape = [140, 190];
    let mut next = random(9);
    let clean: Vec<f32> = (0..shape[0] * shape[1]).map(|_| next() as f32).collect();
    let mut image = clean.clone();
    let (k, spots) = (15, [(3, 5, f32::NAN), (80, 120, f32::INFINITY), (139, 189, f32::NEG_INFINITY)]);
    for (y, x, value) in spots {
        image[y * shape[1] + x] = value;
    }
    let spec = Spec { border: [Border::Constant; 2], ..Spec::new(DType::F32, shape, smooth(k)) };
    let problem = Correlate::new(spec).unwrap();
    let result = solve(&problem, &image, 2);
    for (p, &found) in result.iter().enumerate() {
        let (y, x) = (p / shape[1], p % shape[1]);
        let inside = spots.iter().find(|(sy, sx, _)| sy.abs_diff(y) <= k / 2 && sx.abs_diff(x) <= k / 2);
        match inside {
            Some((_, _, value)) => {
                assert!(found.is_nan() == value.is_nan() && !found.is_finite(), "{y}, {x}: {found}");
            }
            None => {
                let (sum, magnitude) = by_definition(&clean, shape, &problem.taps, y, x);
                let error = (f64::from(found) - sum).abs();
                assert!(error <= problem.error_bound() * magnitude, "{y}, {x}: {found}");
            }
        }
    }
}

#[test]
fn refusals_say_why() {
    let refused = |change: fn(&mut Spec), taps: Taps| {
        let mut spec = Spec::new(DType::U8, [64, 64], taps);
        change(&mut spec);
        Fft.cost(&Correlate::new(spec).unwrap()).unwrap_err().0
    };
    let ones = || Taps::from_f64([3, 3], &[1.0; 9]);
    assert!(refused(|s| s.stride = [2, 1], ones()).contains("stride 1"));
    assert!(refused(|s| s.dilation = [1, 2], ones()).contains("dilation 1"));
    assert!(
        refused(|s| s.src = DType::F32, Taps::from_f64([1, 2], &[1.0, f64::NAN])).contains("finite taps")
    );
    let wide = |s: &mut Spec| (s.src, s.dst) = (DType::I32, DType::I32);
    assert!(refused(wide, Taps::from_f64([31, 31], &[1000.0; 961])).contains("not proved exact"));
}

/// Transforms are chosen for large windows and not for small ones.
#[test]
fn the_choice_follows_the_window() {
    let chosen = |dtype: DType, k: usize| {
        // Of full rank: an outer product would run as two passes.
        let taps: Vec<f64> = (0..k * k).map(|i| 0.1 + (i * i % 37) as f64 / 37.0).collect();
        let mut spec = Spec::new(dtype, [2048, 2048], Taps::from_f64([k, k], &taps));
        spec.extent = Extent::Same;
        Correlate::new(spec).unwrap().select(Isa::best().unwrap()).unwrap().name()
    };
    for dtype in [DType::F32, DType::F64] {
        assert_eq!(chosen(dtype, 3), "direct");
        assert_eq!(chosen(dtype, 31), "fft");
    }
}
