//! Images that fit no cache: their rows are asked for ahead, between parts of loops that are whole for smaller ones. What
//! comes of them is, bit by bit, what comes of their parts, which the other tests check.

use ferroconv_kernels::dtype::{Convert, DType, Element, Finish, Overflow, Rounding};
use ferroconv_kernels::isa::Isa;
use ferroconv_kernels::ops::correlate::{Correlate, Spec, Summation, Taps, Term};
use ferroconv_kernels::ops::sliding::{Reduction, Sliding, Spec as SlidingSpec};
use ferroconv_kernels::parallel::Workers;
use ferroconv_kernels::registry::{Implementation, Operation, Schedule};
use ferroconv_kernels::shape::Extent;
use ferroconv_kernels::simd::is_far;
use ferroconv_kernels::view::{Dst, Src};

/// Result rows of a part, and the first: a multiple of the windows' rows, where blocks of a float's sums begin.
const PART: usize = 23;
const FIRST: usize = 1050;

fn image<T: Element + Convert<f64>>([h, w]: [usize; 2]) -> Vec<T> {
    let mut random = 1_u64;
    let samples = std::iter::repeat_with(|| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        T::saturate((random >> 56) as f64 * if T::DTYPE == DType::U8 { 1.0 } else { 0.7 })
    });
    samples.take(h * w).collect()
}

fn results<P: Operation, T: Element + Convert<f64>>(
    problem: &P,
    implementation: &dyn Implementation<P>,
    image: &[T],
    [from, to]: [&[usize]; 2],
    (isa, threads): (Isa, usize),
) -> Vec<T> {
    let schedule = Schedule::new(isa, Workers::new(Some(threads)).unwrap());
    let mut result = vec![T::saturate(f64::NAN); to.iter().product()];
    let (srcs, dsts) = ([Src::from_slice(image, from)], &mut [Dst::from_slice(&mut result, to)]);
    implementation.run(problem, &srcs, dsts, &schedule).unwrap();
    result
}

/// Compares a whole image's results with a part's; `make` gives the problem for so many rows and columns, and its
/// array's shapes.
fn compare<P: Operation, T: Element + Convert<f64> + PartialEq>(
    shape: [usize; 2],
    taps: [usize; 2],
    image: &[T],
    make: impl Fn([usize; 2]) -> (P, [Vec<usize>; 2]),
) -> Vec<&'static str> {
    let part = [PART + taps[0] - 1, shape[1]];
    let ((whole, [from, to]), (small, [part_from, part_to])) = (make(shape), make(part));
    let width = to[1];
    let mut names = Vec::new();
    for &isa in Isa::detected() {
        for (implementation, cost) in whole.candidates(isa) {
            // A transform's tiles stand where the image begins.
            if cost.is_err() || implementation.name() == "fft" {
                continue;
            }
            let samples = &image[FIRST * shape[1]..][..part[0] * part[1]];
            let expected = results(&small, implementation, samples, [&part_from, &part_to], (isa, 1));
            for threads in [1, 2] {
                let found = results(&whole, implementation, image, [&from, &to], (isa, threads));
                let same = found[FIRST * width..][..PART * width] == expected[..];
                assert!(same, "{} on {}, {threads} threads", implementation.name(), isa.name());
            }
            names.push(implementation.name());
        }
    }
    names
}

/// Rows and columns of an image that is far, with its results.
fn far<T>() -> [usize; 2] {
    let [h, w] = if size_of::<T>() == 1 { [4100, 4205] } else { [2500, 3405] };
    // A window takes a few rows and columns of the results away.
    assert!(
        is_far(h * w * size_of::<T>() + (h - 10) * (w - 30) * size_of::<T>()),
        "else nothing is asked for ahead"
    );
    [h, w]
}

#[test]
fn windows_slide_over_far_images_as_over_near_ones() {
    fn check<T: Element + Convert<f64> + PartialEq>() -> Vec<&'static str> {
        let (shape, image) = (far::<T>(), image::<T>(far::<T>()));
        let mut seen = Vec::new();
        let reductions: [fn(usize) -> Reduction; 2] =
            [|taps| Reduction::Mean { divisor: taps as u64 }, |_| Reduction::Maximum];
        for (reduction, taps) in reductions.iter().flat_map(|r| [[3, 3], [7, 25]].map(|taps| (r, taps))) {
            let names = compare(shape, taps, &image, |[h, w]| {
                let spec = SlidingSpec::new(reduction(taps[0] * taps[1]), T::DTYPE, [h, w, 1], taps);
                let problem = Sliding::new(SlidingSpec { extent: Extent::Valid, ..spec }).unwrap();
                let [oh, ow] = problem.output();
                (problem, [vec![h, w, 1], vec![oh, ow, 1]])
            });
            seen.extend(names);
        }
        seen
    }
    let seen = check::<u8>();
    assert!(seen.contains(&"walk") && seen.contains(&"bytes"));
    assert!(check::<f32>().contains(&"walk"));
}

#[test]
fn windows_are_correlated_with_far_images_as_with_near_ones() {
    fn check<T: Element + Convert<f64> + PartialEq>(taps: &Taps, summation: Summation, expected: &[&str]) {
        let (shape, image) = (far::<T>(), image::<T>(far::<T>()));
        let names = compare(shape, taps.shape(), &image, |[h, w]| {
            let mut spec = Spec::new(T::DTYPE, [h, w], taps.clone());
            (spec.extent, spec.summation) = (Extent::Valid, summation);
            if summation != Summation::Any {
                spec.finish = Finish { rounding: Rounding::Truncate, overflow: Overflow::Wrap };
            }
            let problem = Correlate::new(spec).unwrap();
            let to = problem.output().to_vec();
            (problem, [vec![h, w], to])
        });
        for name in expected {
            assert!(names.contains(name), "{name} of {names:?}");
        }
    }
    let term =
        Term { column: vec![0.1, 0.2, 0.4, 0.2, 0.1], row: vec![0.02, 0.1, 0.2, 0.36, 0.2, 0.1, 0.02] };
    let smooth = Taps::from_terms(vec![term]);
    let rough = Taps::from_f64([3, 3], &[0.1, -0.3, 0.2, 0.05, 0.4, -0.1, 0.03, 0.07, 0.21]);
    let few = Taps::from_f64([3, 3], &[0.0, 0.25, 0.0, 0.25, 0.0, 0.25, 0.0, 0.25, 0.0]);
    let column = Taps::from_f64([5, 1], &[0.05, 0.25, 0.4, 0.25, 0.05]);
    let whole = Taps::from_f64([3, 3], &[-1.0, 0.0, 1.0, -2.0, 0.0, 2.0, -1.0, 0.0, 1.0]);
    check::<u8>(&whole, Summation::Any, &["bytes", "direct", "sparse"]);
    check::<f32>(&smooth, Summation::Any, &["direct", "separable"]);
    check::<u8>(&smooth, Summation::Any, &["pairs", "pair-passes"]);
    check::<f32>(&rough, Summation::Any, &["direct"]);
    check::<u8>(&few, Summation::Any, &["pairs"]);
    check::<f32>(&few, Summation::Any, &["direct"]);
    check::<u8>(&column, Summation::Folded, &["folded", "guessed"]);
    check::<u8>(&smooth, Summation::Folded, &["separable", "guessed"]);
}
