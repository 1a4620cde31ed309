//! Every implementation of correlation on every instruction set, dtype and border, on named
//! problems, against the reference.
//!
//! The images are painted with period 251, the largest prime below 256, so that a sample taken from
//! the wrong place changes the sum. Results are written over bytes of 0xAA. Integers must be equal;
//! floats must lie within the problem's own bound, element by element; integers from fractional taps
//! within half a level of what lies in that bound, or, by 16-bit taps and transforms, in 1/64 of a
//! level. The bits must be the same for every number of threads and every size of tile.
#![expect(unsafe_code, reason = "hands buffers of any dtype to the views")]

use ferroconv_kernels::border::Border;
use ferroconv_kernels::dispatch_dtype;
use ferroconv_kernels::dtype::{Arithmetic, Convert, DType, Finish, Kind, Overflow, Rounding};
use ferroconv_kernels::isa::Isa;
use ferroconv_kernels::ops::correlate::{Correlate, Spec, Summation, Taps, Term};
use ferroconv_kernels::parallel::Workers;
use ferroconv_kernels::reference::{ReferenceAxis, correlate};
use ferroconv_kernels::registry::{Operation, Schedule};
use ferroconv_kernels::shape::Extent;
use ferroconv_kernels::view::{Dst, Src};
use num_complex::Complex;

/// A problem, and why it is one.
struct Named {
    reason: &'static str,
    image: [usize; 2],
    window: [usize; 2],
    change: fn(&mut Spec),
}

const fn named(reason: &'static str, image: [usize; 2], window: [usize; 2]) -> Named {
    Named { reason, image, window, change: |_| () }
}

const PROBLEMS: &[Named] = &[
    named("one pixel", [1, 1], [1, 1]),
    named("one pixel under a window", [1, 1], [3, 3]),
    named("no rows", [0, 5], [3, 3]),
    named("no columns", [5, 0], [3, 3]),
    named("a lane short of a vector", [5, 15], [3, 3]),
    named("a vector", [5, 16], [3, 3]),
    named("a lane more than a vector", [5, 17], [3, 3]),
    named("a lane short of a register tile", [9, 47], [5, 5]),
    named("a lane more than a register tile", [9, 65], [5, 5]),
    named("rows short of a block", [5, 33], [7, 3]),
    named("rows more than a block", [13, 33], [7, 3]),
    named("even window", [11, 37], [4, 2]),
    named("window of one row", [7, 70], [1, 9]),
    named("window of one column", [20, 33], [9, 1]),
    named("window of two rows", [11, 70], [2, 3]),
    named("window of three rows, two tiles of bytes", [14, 260], [3, 3]),
    named("two rows and two columns", [8, 140], [2, 2]),
    named("long rows, of 16 bits and more lent but for their ends", [3, 2130], [3, 2]),
    named("window of the image's size", [6, 7], [6, 7]),
    named("window many times the image", [2, 3], [9, 14]),
    named("several transforms, the last ones cut off", [60, 90], [9, 7]),
    Named { reason: "full", image: [7, 20], window: [3, 4], change: |s| s.extent = Extent::Full },
    Named { reason: "valid", image: [12, 40], window: [5, 3], change: |s| s.extent = Extent::Valid },
    Named {
        reason: "valid, in whole vectors",
        image: [13, 131],
        window: [3, 4],
        change: |s| s.extent = Extent::Valid,
    },
    Named {
        reason: "valid, nothing left",
        image: [2, 2],
        window: [3, 3],
        change: |s| s.extent = Extent::Valid,
    },
    Named { reason: "origin at its limits", image: [8, 30], window: [3, 4], change: |s| s.origin = [-1, 1] },
    Named { reason: "strides", image: [17, 61], window: [3, 5], change: |s| s.stride = [2, 3] },
    Named {
        reason: "stride beyond the window",
        image: [17, 61],
        window: [2, 2],
        change: |s| s.stride = [5, 4],
    },
    Named { reason: "dilations", image: [17, 61], window: [3, 5], change: |s| s.dilation = [3, 2] },
    Named { reason: "one column, dilated", image: [9, 40], window: [3, 1], change: |s| s.dilation = [1, 2] },
    Named {
        reason: "stride and dilation with a common factor",
        image: [25, 61],
        window: [3, 3],
        change: |s| (s.stride, s.dilation) = ([4, 6], [6, 4]),
    },
    Named {
        reason: "coprime stride and dilation, full",
        image: [11, 30],
        window: [3, 2],
        change: |s| (s.stride, s.dilation, s.extent) = ([2, 3], [3, 2], Extent::Full),
    },
];

/// Sample `i` of an image; the values fit every dtype but bool, which holds their parity.
fn paint(i: usize, dtype: DType) -> i128 {
    let value = (i % 251) as i128;
    match dtype {
        DType::Bool => value & 1,
        DType::I8 => value % 120 - 60,
        _ => value / 2,
    }
}

/// The reference's axis for one axis of a problem: written anew from the definitions of extents.
fn axis(spec: &Spec, i: usize) -> ReferenceAxis {
    let (n, k, d, s) = (spec.image[i], spec.taps.shape()[i], spec.dilation[i], spec.stride[i]);
    let reach = (k - 1) * d;
    let (before, dense) = match spec.extent {
        Extent::Full => (reach as isize, if n == 0 { 0 } else { n + reach }),
        Extent::Same => ((k / 2 * d) as isize + spec.origin[i], n),
        Extent::Valid => (0, n.saturating_sub(reach)),
    };
    let results = (0..dense).step_by(s).count();
    ReferenceAxis { before, results, stride: s, dilation: d, border: spec.border[i].name() }
}

const PLANES: usize = 2;

/// What 16-bit taps and transforms may change of a sum, by contract.
const LEVELS: f64 = 1.0 / 64.0;

/// Runs a problem; gives back the result's bytes.
fn run(
    problem: &Correlate,
    implementation: usize,
    schedule: &Schedule<'_>,
    image: &[i128],
    shape: [usize; 2],
) -> Vec<u8> {
    let (src, dst) = (problem.src, problem.dst);
    let mut bytes = Vec::new();
    dispatch_dtype!(src.component(), |T| {
        for &value in image {
            let sample = <T as Convert<i128>>::saturate(value);
            for component in 0..src.components() {
                // The imaginary part is the real one's negative.
                let sample = if component == 0 { sample } else { <T as Convert<i128>>::saturate(-value) };
                bytes.extend_from_slice(&to_bytes(sample));
            }
        }
    });
    let [oh, ow] = problem.output();
    let mut result = vec![0xAA_u8; PLANES * oh * ow * dst.size()];
    {
        let src = view(&bytes, src, [PLANES, shape[0], shape[1]]);
        let dst = view_mut(&mut result, dst, [PLANES, oh, ow]);
        Correlate::IMPLEMENTATIONS[implementation].run(problem, &[src], &mut [dst], schedule).unwrap();
    }
    result
}

fn to_bytes<T: Copy>(value: T) -> Vec<u8> {
    let at = (&raw const value).cast::<u8>();
    // SAFETY: a plain number of that size.
    unsafe { std::slice::from_raw_parts(at, size_of::<T>()) }.to_vec()
}

fn strides(dtype: DType, shape: [usize; 3]) -> Vec<isize> {
    let size = dtype.size() as isize;
    vec![(shape[1] * shape[2]) as isize * size, shape[2] as isize * size, size]
}

fn view(bytes: &[u8], dtype: DType, shape: [usize; 3]) -> Src<'_> {
    // SAFETY: C order over the whole slice.
    unsafe { Src::from_raw(bytes.as_ptr(), dtype, shape.to_vec(), strides(dtype, shape)) }.unwrap()
}

fn view_mut(bytes: &mut [u8], dtype: DType, shape: [usize; 3]) -> Dst<'_> {
    // SAFETY: C order over the whole slice.
    unsafe { Dst::from_raw(bytes.as_mut_ptr(), dtype, shape.to_vec(), strides(dtype, shape)) }.unwrap()
}

/// Reads component `c` of element `i`.
fn element(bytes: &[u8], dtype: DType, i: usize, c: usize) -> f64 {
    let size = dtype.component().size();
    let at = &bytes[(i * dtype.components() + c) * size..][..size];
    dispatch_dtype!(dtype.component(), |T| {
        // SAFETY: a plain number of that size, at any alignment.
        let value = unsafe { at.as_ptr().cast::<T>().read_unaligned() };
        <T as Convert<f64>>::widen(value)
    })
}

/// Rounds and narrows an exact integer sum as the finish says, in the test's own arithmetic.
fn narrowed(sum: i128, dtype: DType, overflow: Overflow) -> f64 {
    let Kind::Integer(least, most) = dtype.kind() else { unreachable!("an integer result") };
    match (dtype, overflow) {
        (DType::Bool, _) => f64::from(u8::from(sum != 0)),
        (_, Overflow::Saturate) => sum.clamp(least, most) as f64,
        (_, Overflow::Wrap) => ((sum - least).rem_euclid(most - least + 1) + least) as f64,
    }
}

/// Machine epsilon of what a result is stored as.
fn storage(dtype: DType) -> f64 {
    match dtype.component() {
        DType::F16 => 2_f64.powi(-11),
        DType::Bf16 => 2_f64.powi(-8),
        DType::F32 => f64::from(f32::EPSILON),
        _ => f64::EPSILON,
    }
}

/// Checks one problem on every implementation, instruction set, number of threads and tile size.
fn check(case: &Named, spec: Spec, taps: &[i128], fractions: f64) -> usize {
    let [h, w] = spec.image;
    let (dtype, overflow, window) = (spec.src, spec.finish.overflow, spec.taps.shape());
    let image: Vec<i128> = (0..PLANES * h * w).map(|i| paint(i * 7 + i / 5, dtype)).collect();
    let axes = [axis(&spec, 0), axis(&spec, 1)];
    let cval = spec.cval.value;
    let problem = Correlate::new(spec).unwrap();
    let what = format!("{}: {} to {} {:?}", case.reason, dtype.name(), problem.dst.name(), problem.border);
    assert_eq!(problem.output(), [axes[0].results, axes[1].results], "{what}");
    let complex = |v: i128| Complex::new(v as f64, if dtype.is_complex() { -v as f64 } else { 0.0 });
    let weights: Vec<Complex<f64>> = (problem.taps.re().iter().enumerate())
        .map(|(i, &re)| Complex::new(re, problem.taps.im().map_or(0.0, |im| im[i])))
        .collect();
    let mut checked = 0;
    for isa in Isa::detected() {
        for (i, (implementation, cost)) in problem.candidates(*isa).into_iter().enumerate() {
            if cost.is_err() {
                continue;
            }
            let id = problem.id(implementation, *isa);
            let schedule = |threads, tile| Schedule {
                tile,
                ..Schedule::new(*isa, Workers::new(Some(threads)).unwrap())
            };
            let result = run(&problem, i, &schedule(1, None), &image, [h, w]);
            for (threads, tile) in [(2, None), (3, Some([1, 1])), (1, Some([3, 5])), (7, Some([4, 64]))] {
                let other = run(&problem, i, &schedule(threads, tile), &image, [h, w]);
                assert!(
                    result == other,
                    "{what}, {id}: other bits with {threads} threads, tiles of {tile:?}"
                );
            }
            let area = axes[0].results * axes[1].results;
            for plane in 0..PLANES {
                let image = &image[plane * h * w..][..h * w];
                if fractions == 1.0 && !problem.dst.is_complex() {
                    let exact = correlate(image, [h, w], taps, window, &axes, cval.re as i128);
                    if matches!(problem.dst.kind(), Kind::Integer(..)) {
                        for (p, &sum) in exact.iter().enumerate() {
                            let found = element(&result, problem.dst, plane * area + p, 0);
                            assert_eq!(
                                found,
                                narrowed(sum, problem.dst, overflow),
                                "{what}, {id}, position {p}"
                            );
                        }
                        checked += area;
                        continue;
                    }
                }
                let samples: Vec<_> = image.iter().map(|&v| complex(v)).collect();
                let exact = correlate(&samples, [h, w], &weights, window, &axes, cval);
                let size = |z: &Complex<f64>| Complex::new(z.re.abs() + z.im.abs(), 0.0);
                let samples: Vec<_> = samples.iter().map(size).collect();
                let sizes: Vec<_> = weights.iter().map(size).collect();
                let magnitude = correlate(&samples, [h, w], &sizes, window, &axes, size(&cval));
                for (p, (exact, magnitude)) in exact.iter().zip(&magnitude).enumerate() {
                    let own = (problem.error_bound() + 2.0 * f64::EPSILON) * magnitude.re;
                    let integer = matches!(problem.dst.kind(), Kind::Integer(..));
                    // Those whose contract for integers is a part of a level.
                    let levels = integer
                        && matches!(implementation.name(), "pairs" | "toeplitz" | "pair-passes" | "fft");
                    let bound = if levels { own.max(LEVELS) } else { own };
                    for (c, exact) in
                        [exact.re, exact.im].into_iter().take(problem.dst.components()).enumerate()
                    {
                        let found = element(&result, problem.dst, plane * area + p, c);
                        let (expected, bound) = match problem.dst.kind() {
                            Kind::Integer(least, most) => {
                                (exact.clamp(least as f64, most as f64), bound + 0.5)
                            }
                            _ => (exact, bound + storage(problem.dst) * exact.abs()),
                        };
                        assert!(
                            (found - expected).abs() <= bound,
                            "{what}, {id}, position {p}, component {c}: {found} is not within {bound} of {expected}"
                        );
                    }
                }
                checked += area;
            }
        }
    }
    checked
}

fn taps(window: [usize; 2]) -> Vec<i128> {
    (0..window[0] * window[1]).map(|i| (i as i128 * 5) % 11 - 4).collect()
}

/// One factor of an outer product.
fn factor(taps: usize, period: i128) -> Vec<i128> {
    (0..taps as i128).map(|i| (i * 3) % period - period / 2).collect()
}

fn sweep(dtypes: &[DType], borders: &[[Border; 2]]) {
    let mut checked = 0;
    for case in PROBLEMS {
        for &dtype in dtypes {
            for &border in borders {
                let integers = taps(case.window);
                let outer = |[rows, cols]: [usize; 2], divisor: f64| {
                    let column = factor(rows, 7).iter().map(|&w| w as f64 / divisor).collect();
                    let row = factor(cols, 5).iter().map(|&w| w as f64).collect();
                    Taps::from_terms(vec![Term { column, row }])
                };
                let row = factor(case.window[1], 5);
                let product: Vec<i128> =
                    factor(case.window[0], 7).iter().flat_map(|c| row.iter().map(move |r| c * r)).collect();
                let fractions: Vec<f64> = integers.iter().map(|&w| w as f64 / 7.0).collect();
                let small: Vec<f64> = integers.iter().map(|&w| w as f64 / 1792.0).collect();
                let turned: Vec<_> =
                    integers.iter().map(|&w| Complex::new(w as f64 / 3.0, 1.0 - w as f64)).collect();
                for overflow in [Overflow::Saturate, Overflow::Wrap] {
                    let mut all = vec![(Taps::from_integers(case.window, &integers), 1.0, &integers)];
                    all.push((outer(case.window, 1.0), 1.0, &product));
                    if overflow == Overflow::Saturate {
                        all.push((Taps::from_f64(case.window, &fractions), 7.0, &integers));
                        all.push((outer(case.window, 7.0), 7.0, &product));
                        // Small enough for taps of 16 bits.
                        all.push((Taps::from_f64(case.window, &small), 1792.0, &integers));
                        all.push((outer(case.window, 1792.0), 1792.0, &product));
                        if dtype.fits_f32() && dtype != DType::Bool {
                            all.push((Taps::from_complex(case.window, &turned), 3.0, &integers));
                        }
                    }
                    for (taps, fractions, integers) in all {
                        if dtype == DType::Bool && fractions != 1.0 {
                            continue;
                        }
                        let mut spec = Spec::new(dtype, case.image, taps);
                        spec.border = border;
                        spec.cval = 3.0.into();
                        spec.finish = Finish { rounding: Rounding::HalfEven, overflow };
                        (case.change)(&mut spec);
                        checked += check(case, spec, integers, fractions);
                    }
                }
            }
        }
    }
    let ran: Vec<_> = Isa::detected().iter().map(|isa| isa.name()).collect();
    eprintln!("{checked} results checked on {ran:?} of {:?}", Isa::NAMES);
    assert!(checked > 0, "something ran");
}

/// A missing instruction set is said aloud, and is an error where it was asked for.
#[test]
fn instruction_sets_that_could_not_be_tested_are_named() {
    let found: Vec<_> = Isa::detected().iter().map(|isa| isa.name()).collect();
    for name in Isa::NAMES.iter().filter(|name| !found.contains(name)) {
        eprintln!("NOT TESTED: this machine has no {name}");
        assert!(std::env::var("FERROCONV_ENSURE_ISA").as_deref() != Ok(*name), "{name} was to be tested");
    }
}

#[test]
fn every_dtype_agrees_with_the_reference() {
    sweep(DType::ALL, &[[Border::Reflect; 2]]);
}

#[test]
fn every_border_agrees_with_the_reference() {
    let each: Vec<_> = Border::ALL.iter().map(|&b| [b; 2]).collect();
    sweep(&[DType::F32, DType::U8, DType::F64], &each);
}

#[test]
fn a_border_for_each_axis_agrees_with_the_reference() {
    sweep(&[DType::F32, DType::I16], &[[Border::Constant, Border::Wrap], [Border::Mirror, Border::Constant]]);
}

/// Samples and taps of 16 bits at their limits: halves, signs and the sums' wrapping.
#[test]
fn sums_of_the_largest_samples_and_taps_are_exact() {
    for (dtype, dst) in [(DType::U16, DType::I32), (DType::I16, DType::I32), (DType::U8, DType::I16)] {
        let Kind::Integer(least, most) = dtype.kind() else { unreachable!("an integer") };
        for weights in [[-32768, -32768, 32767], [32767, 1, -32768], [-1, -1, -1], [3, 5, -7]] {
            let mut spec = Spec::new(dtype, [3, 40], Taps::from_integers([1, 3], &weights));
            (spec.dst, spec.finish.overflow) = (dst, Overflow::Wrap);
            let axes = [axis(&spec, 0), axis(&spec, 1)];
            let image: Vec<i128> = (0..PLANES * 120).map(|i| if i % 3 == 0 { most } else { least }).collect();
            let problem = Correlate::new(spec).unwrap();
            for isa in Isa::detected() {
                for (i, (implementation, cost)) in problem.candidates(*isa).into_iter().enumerate() {
                    let schedule = Schedule::new(*isa, Workers::new(Some(1)).unwrap());
                    if cost.is_err() {
                        let unit = implementation.name() == "toeplitz" && isa.tiles().is_none();
                        let takes = matches!(implementation.name(), "pairs" | "toeplitz") && !unit;
                        assert!(!takes, "{} takes integers of 16 bits", implementation.name());
                        continue;
                    }
                    let result = run(&problem, i, &schedule, &image, [3, 40]);
                    for plane in 0..PLANES {
                        let exact =
                            correlate(&image[plane * 120..][..120], [3, 40], &weights, [1, 3], &axes, 0);
                        for (p, &sum) in exact.iter().enumerate() {
                            let found = element(&result, dst, plane * 120 + p, 0);
                            let what = problem.id(implementation, *isa);
                            assert_eq!(found, narrowed(sum, dst, Overflow::Wrap), "{what} {weights:?}");
                        }
                    }
                }
            }
        }
    }
}

/// The orders of summation that SciPy's integers show, against plain loops of f64.
#[test]
fn ordered_sums_are_made_tap_by_tap() {
    let (h, w) = (6, 37);
    let image: Vec<i128> = (0..PLANES * h * w).map(|i| paint(i * 7 + i / 5, DType::U8)).collect();
    for (window, summation) in
        [([3, 3], Summation::TapOrder), ([1, 5], Summation::Folded), ([4, 1], Summation::Folded)]
    {
        let weights: Vec<f64> = (0..window[0] * window[1]).map(|i| 0.1 + 0.37 * (i % 3) as f64).collect();
        let mut spec = Spec::new(DType::U8, [h, w], Taps::from_f64(window, &weights));
        spec.summation = summation;
        spec.finish = Finish { rounding: Rounding::Truncate, overflow: Overflow::Wrap };
        let axes = [axis(&spec, 0), axis(&spec, 1)];
        let problem = Correlate::new(spec).unwrap();
        assert_eq!(problem.arithmetic, Arithmetic::F64Unfused);
        for isa in Isa::detected() {
            let schedule = Schedule::new(*isa, Workers::new(Some(1)).unwrap());
            let chosen = problem.candidates(*isa).iter().position(|(_, cost)| cost.is_ok()).unwrap();
            let result = run(&problem, chosen, &schedule, &image, [h, w]);
            // In tap order; the asymmetric folded order begins with the last tap.
            let mut order: Vec<usize> = (0..weights.len()).collect();
            if summation == Summation::Folded {
                order.rotate_right(1);
            }
            for plane in 0..PLANES {
                let samples = |tap: usize| {
                    let one: Vec<f64> = (0..weights.len()).map(|t| f64::from(u8::from(t == tap))).collect();
                    let image: Vec<f64> = image[plane * h * w..][..h * w].iter().map(|&v| v as f64).collect();
                    correlate(&image, [h, w], &one, window, &axes, 0.0)
                };
                let samples: Vec<Vec<f64>> = (0..weights.len()).map(samples).collect();
                for p in 0..h * w {
                    let mut sum = samples[order[0]][p] * weights[order[0]];
                    for &tap in &order[1..] {
                        sum += samples[tap][p] * weights[tap];
                    }
                    assert_eq!(
                        result[plane * h * w + p],
                        sum as i64 as u8,
                        "{summation:?} {window:?} {}",
                        isa.name()
                    );
                }
            }
        }
    }
}

/// Choices of arithmetic, without arithmetic.
#[test]
fn arithmetic_follows_from_dtypes_taps_and_finish() {
    let settle = |src, weight: f64, taps: usize, change: fn(&mut Spec)| {
        let mut spec = Spec::new(src, [8, 8], Taps::from_f64([1, taps], &vec![weight; taps]));
        change(&mut spec);
        Correlate::new(spec).unwrap().arithmetic
    };
    let wrap: fn(&mut Spec) = |s| s.finish.overflow = Overflow::Wrap;
    let same: fn(&mut Spec) = |_| ();
    assert_eq!(settle(DType::U8, 1.0, 9, same), Arithmetic::I16, "exact below 2^15");
    assert_eq!(settle(DType::U8, 15.0, 9, same), Arithmetic::F32, "exact below 2^24");
    assert_eq!(settle(DType::U16, 1000.0, 9, wrap), Arithmetic::I16, "a wrapped sum needs its own width");
    assert_eq!(settle(DType::U16, 1000.0, 9, same), Arithmetic::I32, "exact below 2^31");
    assert_eq!(settle(DType::I32, 2.0, 9, same), Arithmetic::I64, "exact below 2^63");
    assert_eq!(settle(DType::I64, 2.0, 9, same), Arithmetic::I128, "saturation must see the whole sum");
    assert_eq!(settle(DType::I64, 2.0, 9, wrap), Arithmetic::I64, "likewise");
    assert_eq!(settle(DType::I32, 2.0, 9, wrap), Arithmetic::I32, "likewise");
    assert_eq!(settle(DType::U8, 0.1, 9, same), Arithmetic::F32, "within 1/64 of a level");
    assert_eq!(settle(DType::U16, 0.1, 9, same), Arithmetic::F64, "f32 would err by more");
    assert_eq!(settle(DType::F16, 0.1, 9, same), Arithmetic::F32, "halves are summed in f32");
    assert_eq!(
        settle(DType::F32, 0.1, 9, |s| s.dst = DType::F64),
        Arithmetic::F64,
        "the result asks for more"
    );
}

/// The checks can fail.
#[test]
#[should_panic(expected = "wrong on purpose")]
fn a_wrong_value_is_found() {
    let case = named("wrong on purpose", [4, 20], [3, 3]);
    let integers = taps(case.window);
    let spec = Spec::new(DType::U8, case.image, Taps::from_integers(case.window, &integers));
    let mut wrong = integers;
    wrong[4] += 1;
    check(&case, spec, &wrong, 1.0);
}
