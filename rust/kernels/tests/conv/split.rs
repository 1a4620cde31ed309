//! Numbers that are split into parts: every class of precision, numbers that can't be split, `bf16`.

use super::{Array, add, computed, conforms, products, zeros};
use ferroconv_kernels::dtype::DType;
use ferroconv_kernels::isa::Isa;
use ferroconv_kernels::ops::conv::{Conv, Forward};
use ferroconv_kernels::parallel::Workers;
use ferroconv_kernels::precision::Precision;
use ferroconv_kernels::registry::{Operation, Schedule};
use ferroconv_kernels::shape::{Axis, Padding};
use ferroconv_kernels::view::{Dst, Src};
use half::bf16;

/// The error of a sum over all taps of `deep` channels, as a multiple of the sum of the terms' absolute values: parts
/// are half a unit in the last place of 8 bits, so those left out are 2^-9 of what they are parts of, or 2^-18, ...; a
/// term's own roundings are those of 32 products in any order and of every step's sum.
pub(crate) fn bound(conv: &Conv, deep: usize) -> f64 {
    let (dropped, products) = match conv.precision {
        Precision::Medium => (2.0 * 2_f64.powi(-9) + 2_f64.powi(-18), 1),
        Precision::High => (3.0 * 2_f64.powi(-18) + 2.0 * 2_f64.powi(-27) + 2_f64.powi(-36), 3),
        Precision::Highest => (2.0 * 2_f64.powi(-27) + 3.0 * 2_f64.powi(-36), 6),
    };
    let taps: usize = conv.windows.iter().map(|w| w.taps).product();
    let roundings = 32 + taps * deep.div_ceil(32) * products + 1;
    dropped + 1.01 * roundings as f64 * 2_f64.powi(-24)
}

/// The instruction set with the matrix unit, loudly missed.
fn isa() -> Option<Isa> {
    let found = Isa::detected().iter().copied().find(|isa| isa.tiles().is_some());
    if found.is_none() {
        eprintln!("not tested: this CPU has no AMX");
    }
    found
}

fn axis(src: usize, taps: usize, stride: usize, dilation: usize, padding: Padding) -> Axis {
    Axis::convolution(src, taps, stride, dilation, padding).unwrap()
}

/// Layers around the unit's 32 samples, pixels and results.
fn layers() -> Vec<(&'static str, Conv)> {
    let square = |src, taps| axis(src, taps, 1, 1, Padding::Same);
    let mut layers = Vec::new();
    let mut add = |name, rows, cols, groups, inputs, outputs| {
        layers.push((name, Conv::new(DType::F32, 3, [rows, cols], groups, inputs, outputs).unwrap()));
    };
    add("whole registers", square(8, 3), square(6, 3), 1, 32, 32);
    add("one more of each", square(3, 3), square(11, 3), 1, 33, 33);
    add("pointwise", square(5, 1), square(7, 1), 1, 65, 40);
    add("groups", square(5, 3), square(5, 3), 2, 66, 70);
    add("strides", axis(9, 3, 2, 1, Padding::Same), axis(13, 5, 3, 1, Padding::Same), 1, 40, 34);
    add("strides of pixels", axis(9, 1, 2, 1, Padding::Valid), axis(9, 1, 2, 1, Padding::Valid), 1, 64, 64);
    add("dilation", axis(9, 3, 1, 2, Padding::Same), axis(9, 3, 2, 2, Padding::Explicit(3, 0)), 1, 32, 33);
    add("many results of few pixels", square(3, 3), square(3, 3), 1, 32, 300);
    layers
}

#[test]
fn every_class_of_precision_conforms() {
    if isa().is_none() {
        return;
    }
    for (name, layer) in layers() {
        for precision in Precision::ALL {
            let conv = Conv { precision, ..layer.clone() };
            conforms(&format!("{name}, {}", precision.name()), &conv, Some("split"));
        }
    }
}

/// Numbers so small or large that their parts could not be told from 0 or infinity, few or many, samples or weights.
#[test]
fn what_can_not_be_split_is_not() {
    let Some(isa) = isa() else { return };
    let conv = layers().swap_remove(0).1;
    let shapes = [conv.x_shape(), conv.filters_shape(), conv.y_shape()];
    let implementation = Forward::IMPLEMENTATIONS.iter().find(|i| i.name() == "split").unwrap();
    let problem = Forward { conv: conv.clone(), bias: false, addend: false, relu: false };
    for (scale, every, of) in
        [(1e-30, 977, 0), (1e-36, 1, 0), (1e-19, 3, 0), (1e25, 977, 0), (1e-30, 977, 1), (1e-12, 1, 1)]
    {
        let mut arrays = [0, 1].map(|i| Array::new(&shapes[i], 7 + i as u64));
        for i in (0..arrays[of].narrow.len()).step_by(every) {
            arrays[of].narrow[i] *= scale;
            arrays[of].wide[i] = f64::from(arrays[of].narrow[i]);
        }
        let mut y = zeros(&shapes[2]);
        products(&conv, |sample, weight, result| {
            add(&mut y, result, arrays[0].wide[sample] * arrays[1].wide[weight]);
        });
        let mut first: Option<Vec<f32>> = None;
        for (threads, tile) in super::SCHEDULES {
            let schedule = Schedule { tile, ..Schedule::new(isa, Workers::new(Some(threads)).unwrap()) };
            let srcs = [0, 1].map(|i| arrays[i].src(DType::F32));
            let found = computed(*implementation, &problem, &srcs, &schedule);
            // The wider bound of a plain sum, where numbers were not split.
            let bound = bound(&conv, 32).max(problem.error_bound());
            for (i, (&found, (&sum, &terms))) in found.iter().zip(y.0.iter().zip(&y.1)).enumerate() {
                let error = (f64::from(found) - sum).abs();
                assert!(error <= bound * terms + 1e-45, "{scale:e} of {of}: {found} is not {sum} at {i}");
            }
            assert!(*first.get_or_insert_with(|| found.clone()) == found, "{scale:e} of {of}: the same bits");
        }
    }
}

/// Numbers that are one part lose nothing by it.
#[test]
fn one_part_is_all_of_bf16() {
    let Some(isa) = isa() else { return };
    let conv = Conv { dtype: DType::Bf16, ..layers().swap_remove(0).1 };
    let shapes = [conv.x_shape(), conv.filters_shape(), conv.y_shape()];
    let arrays = [0, 1].map(|i| {
        let array = Array::new(&shapes[i], 7 + i as u64);
        array.wide.iter().map(|&x| bf16::from_f64(x)).collect::<Vec<_>>()
    });
    let mut y = zeros(&shapes[2]);
    products(&conv, |sample, weight, result| {
        add(&mut y, result, arrays[0][sample].to_f64() * arrays[1][weight].to_f64());
    });
    let problem = Forward { conv, bias: false, addend: false, relu: false };
    let mut found = vec![bf16::NAN; y.0.len()];
    let mut dst = [Dst::from_slice(&mut found, &shapes[2])];
    let srcs = [0, 1].map(|i| Src::from_slice(&arrays[i], &shapes[i]));
    let implementation = Forward::IMPLEMENTATIONS.iter().find(|i| i.name() == "split").unwrap();
    let schedule = Schedule::new(isa, Workers::alone());
    implementation.run(&problem, &srcs, &mut dst, &schedule).unwrap();
    let [dst] = dst;
    drop(dst);
    for (i, (&found, (&sum, &terms))) in found.iter().zip(y.0.iter().zip(&y.1)).enumerate() {
        let bound = problem.error_bound() * terms + sum.abs() / 256.0;
        assert!((found.to_f64() - sum).abs() <= bound, "{found} is not {sum} at {i}");
    }
}

/// Normal numbers, by Box and Muller's transform of [`paint`](super::paint)'s kind of generator.
fn normal(n: usize, seed: u64, deviation: f64) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 11) as f64 + 1.0) / 2_f64.powi(53)
    };
    (0..n)
        .map(|_| {
            let (radius, turn) = ((-2.0 * uniform().ln()).sqrt(), std::f64::consts::TAU * uniform());
            (radius * turn.cos() * deviation) as f32
        })
        .collect()
}

/// The errors that docs/precision.md names, which this prints: root of the mean square and largest, as multiples of the root
/// of the mean square result.
#[test]
fn errors_are_those_of_each_class() {
    let Some(isa) = isa() else { return };
    let implementation = Forward::IMPLEMENTATIONS.iter().find(|i| i.name() == "split").unwrap();
    let square = axis(14, 3, 1, 1, Padding::Same);
    for channels in [64, 512] {
        let conv = Conv::new(DType::F32, 1, [square, square], 1, channels, 32).unwrap();
        let x = normal(14 * 14 * channels, 12_345, 1.0);
        let filters = normal(9 * channels * 32, 777, (2.0 / 9.0 / channels as f64).sqrt());
        let mut exact = vec![0.0; 14 * 14 * 32];
        products(&conv, |sample, weight, result| {
            exact[result] += f64::from(x[sample]) * f64::from(filters[weight]);
        });
        let rms =
            |numbers: &[f64]| (numbers.iter().map(|x| x * x).sum::<f64>() / numbers.len() as f64).sqrt();
        let srcs = [Src::from_slice(&x, &conv.x_shape()), Src::from_slice(&filters, &conv.filters_shape())];
        for (precision, least, most) in
            [(Precision::Highest, 1e-8, 1e-6), (Precision::High, 1e-6, 5e-6), (Precision::Medium, 1e-3, 4e-3)]
        {
            let conv = Conv { precision, ..conv.clone() };
            let problem = Forward { conv, bias: false, addend: false, relu: false };
            let found = computed(*implementation, &problem, &srcs, &Schedule::new(isa, Workers::alone()));
            let errors: Vec<f64> = found.iter().zip(&exact).map(|(&y, sum)| f64::from(y) - sum).collect();
            let (scale, error) = (rms(&exact), rms(&errors));
            let largest = errors.iter().fold(0.0_f64, |most, error| most.max(error.abs()));
            eprintln!(
                "{channels} channels, {}: {:.1e}, {:.1e}",
                precision.name(),
                error / scale,
                largest / scale
            );
            assert!((least..most).contains(&(error / scale)), "{}: {}", precision.name(), error / scale);
        }
    }
}
