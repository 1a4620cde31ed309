//! Every implementation of a convolution layer's three problems, on every instruction set that this
//! machine has, for several numbers of threads and tiles, against sums made one product at a time in
//! `f64` straight from the definition.

use ferroconv_kernels::dtype::DType;
use ferroconv_kernels::isa::Isa;
use ferroconv_kernels::ops::conv::{Conv, Forward, GradFilters, GradInput};
use ferroconv_kernels::parallel::Workers;
use ferroconv_kernels::precision::Precision;
use ferroconv_kernels::registry::{Operation, Schedule};
use ferroconv_kernels::shape::{Axis, Padding};
use ferroconv_kernels::view::{Dst, Src};

/// Threads and tiles: none of them may change a bit.
const SCHEDULES: [(usize, Option<[usize; 2]>); 5] =
    [(1, None), (3, None), (1, Some([1, 1])), (2, Some([3, 5])), (1, Some([1, 64]))];

/// Numbers without a pattern, that `f32` holds exactly.
fn paint(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % 2001) as f64 / 256.0 - 3.9
        })
        .map(|x| f64::from(x as f32))
        .collect()
}

/// Calls `each` with the index of a sample of `x`, of the filters and of `y` for every product of the
/// definition.
fn products(conv: &Conv, mut each: impl FnMut(usize, usize, usize)) {
    let ([n, h, w, c], [kh, kw, inner, o], [_, oh, ow, _]) =
        (conv.x_shape(), conv.filters_shape(), conv.y_shape());
    let [rows, cols] = conv.windows;
    let inside = |at: usize, tap: usize, axis: &Axis, size: usize| {
        let place = (at * axis.stride + tap * axis.dilation) as isize - axis.before;
        usize::try_from(place).ok().filter(|&place| place < size)
    };
    for (picture, p, q) in (0..n).flat_map(|n| (0..oh).flat_map(move |p| (0..ow).map(move |q| (n, p, q)))) {
        for (i, j) in (0..kh).flat_map(|i| (0..kw).map(move |j| (i, j))) {
            let (Some(y), Some(x)) = (inside(p, i, &rows, h), inside(q, j, &cols, w)) else { continue };
            for result in 0..o {
                let first = result / (o / conv.groups) * inner;
                for k in 0..inner {
                    each(
                        ((picture * h + y) * w + x) * c + first + k,
                        ((i * kw + j) * inner + k) * o + result,
                        ((picture * oh + p) * ow + q) * o + result,
                    );
                }
            }
        }
    }
}

/// Layers by what is special about them. Channels lie around whole vectors of each instruction set.
fn layers() -> Vec<(String, Conv)> {
    let mut layers = Vec::new();
    let axis = |src, taps, stride, dilation, padding| {
        Axis::convolution(src, taps, stride, dilation, padding).unwrap()
    };
    let mut add = |name: String, rows: Axis, cols: Axis, groups, inputs, outputs| {
        layers.push((name, Conv::new(DType::F64, 2, [rows, cols], groups, inputs, outputs).unwrap()));
    };
    for channels in [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 24, 25, 33, 40, 49] {
        let square = axis(5, 3, 1, 1, Padding::Same);
        add(format!("{channels} results"), square, square, 1, 3, channels);
        add(format!("{channels} channels"), square, square, 1, channels, 5);
    }
    for width in 1..20 {
        let (rows, cols) = (axis(3, 2, 1, 1, Padding::Valid), axis(width + 1, 2, 1, 1, Padding::Valid));
        add(format!("{width} columns"), rows, cols, 1, 2, 6);
    }
    let strides = [(1, 1), (2, 1), (3, 2), (2, 3), (5, 1)];
    for (stride, dilation) in strides {
        for padding in [Padding::Valid, Padding::Same, Padding::Explicit(4, 1), Padding::Explicit(0, 7)] {
            let (rows, cols) = (axis(9, 3, stride, dilation, padding), axis(11, 2, 1, 1, Padding::Same));
            add(format!("rows by {stride}, dilation {dilation}, {padding:?}"), rows, cols, 1, 2, 9);
            let (rows, cols) =
                (axis(4, 1, 1, 1, Padding::Valid), axis(10, 4, stride, dilation.min(2), padding));
            add(format!("columns by {stride}, dilation {dilation}, {padding:?}"), rows, cols, 2, 4, 6);
        }
    }
    for size in [1, 2, 4, 6, 7, 9, 13] {
        for padding in [Padding::Same, Padding::Explicit(2, 2), Padding::Explicit(3, 1)] {
            let (rows, cols) = (axis(size, 3, 1, 1, padding), axis(9, 3, 1, 1, Padding::Same));
            add(format!("{size} rows, {padding:?}"), rows, cols, 1, 18, 20);
            add(format!("{size} columns, {padding:?}, groups"), cols, rows, 2, 18, 34);
        }
    }
    for size in [2, 3, 7] {
        let (rows, cols) = (axis(size, 3, 1, 1, Padding::Same), axis(3, 3, 1, 1, Padding::Explicit(1, 2)));
        add(format!("{size} rows, few tiles for so many filters"), rows, cols, 1, 70, 130);
    }
    let window = axis(6, 3, 1, 1, Padding::Same);
    add("depthwise".into(), window, window, 9, 9, 9);
    add("depthwise with a multiplier".into(), window, window, 8, 8, 24);
    add("depthwise by 2".into(), axis(7, 3, 2, 1, Padding::Same), window, 17, 17, 17);
    add(
        "the whole image".into(),
        axis(6, 6, 1, 1, Padding::Valid),
        axis(5, 5, 1, 1, Padding::Valid),
        1,
        4,
        3,
    );
    add(
        "several blocks".into(),
        axis(40, 3, 1, 1, Padding::Same),
        axis(130, 3, 1, 1, Padding::Same),
        1,
        12,
        20,
    );
    layers
}

/// An array's shape, its data as `f32` and `f64`.
struct Array {
    shape: Vec<usize>,
    wide: Vec<f64>,
    narrow: Vec<f32>,
}

impl Array {
    fn new(shape: &[usize], seed: u64) -> Self {
        let wide = paint(shape.iter().product(), seed);
        Self { shape: shape.to_vec(), narrow: wide.iter().map(|&x| x as f32).collect(), wide }
    }

    fn src(&self, dtype: DType) -> Src<'_> {
        match dtype {
            DType::F32 => Src::from_slice(&self.narrow, &self.shape),
            _ => Src::from_slice(&self.wide, &self.shape),
        }
    }
}

/// What a result is, and the sum of the absolute values of its terms.
type Exact = (Vec<f64>, Vec<f64>);

/// A minimal filtering: the matrices of samples, taps and results, and roundings along an axis.
struct Filtering {
    name: &'static str,
    samples: &'static [&'static [f64]],
    taps: &'static [[f64; 3]],
    results: &'static [&'static [f64]],
    roundings: usize,
}

/// `F(2, 3)` and `F(4, 3)`.
const FILTERINGS: [Filtering; 2] = [
    Filtering {
        name: "winograd",
        samples: &[
            &[1.0, 0.0, -1.0, 0.0],
            &[0.0, 1.0, 1.0, 0.0],
            &[0.0, -1.0, 1.0, 0.0],
            &[0.0, 1.0, 0.0, -1.0],
        ],
        taps: &[[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]],
        results: &[&[1.0, 1.0, 1.0, 0.0], &[0.0, 1.0, -1.0, -1.0]],
        roundings: 2 + 3 + 2,
    },
    Filtering {
        name: "winograd-4x4",
        samples: &[
            &[1.0, -1.5, -2.0, 1.5, 1.0, 0.0],
            &[0.0, -1.0, 0.5, 2.5, 1.0, 0.0],
            &[0.0, 1.0, -2.5, 0.5, 1.0, 0.0],
            &[0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
            &[0.0, 0.5, -1.0, -0.5, 1.0, 0.0],
            &[0.0, 1.0, -1.5, -2.0, 1.5, 1.0],
        ],
        taps: &[
            [1.0, 0.0, 0.0],
            [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0],
            [-1.0 / 3.0, 1.0 / 3.0, -1.0 / 3.0],
            [-16.0 / 15.0, -8.0 / 15.0, -4.0 / 15.0],
            [1.0 / 15.0, -2.0 / 15.0, 4.0 / 15.0],
            [0.0, 0.0, 1.0],
        ],
        results: &[
            &[1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
            &[0.0, 1.0, -1.0, 0.5, -2.0, 0.0],
            &[0.0, 1.0, 1.0, 0.25, 4.0, 0.0],
            &[0.0, 1.0, -1.0, 0.125, -8.0, 1.0],
        ],
        roundings: 3 + 4 + 3,
    },
];

#[test]
fn the_matrices_are_those_of_a_filtering() {
    for Filtering { name, samples, taps, results, .. } in FILTERINGS {
        for (i, result) in results.iter().enumerate() {
            for tap in 0..3 {
                for sample in 0..samples.len() {
                    let product = |p: usize| result[p] * taps[p][tap] * samples[p][sample];
                    let found: f64 = (0..samples.len()).map(product).sum();
                    let wanted = f64::from(u8::from(i + tap == sample));
                    assert!((found - wanted).abs() < 1e-12, "{name}: result {i}, tap {tap}, sample {sample}");
                }
            }
        }
    }
}

/// What the rounding errors of a minimal filtering are in proportion to: its sums, with every
/// number and every coefficient replaced by its absolute value. `read` gives the samples of a picture's
/// row, column and channel, `weight` a tap's row and column, channel and result.
fn spread(
    filtering: &Filtering,
    [pictures, height, width, wide]: [usize; 4],
    deep: usize,
    read: impl Fn(usize, isize, isize, usize) -> f64,
    weight: impl Fn(usize, usize, usize, usize) -> f64,
) -> Vec<f64> {
    let mut spread = vec![0.0; pictures * height * width * wide];
    let Filtering { samples, taps, results, .. } = filtering;
    let (n, m) = (samples.len(), results.len());
    let square = |n: usize| (0..n).flat_map(move |a| (0..n).map(move |b| (a, b)));
    let tap = |a: usize, b: usize, c: usize, o: usize| -> f64 {
        (0..9).map(|t| (taps[a][t / 3] * taps[b][t % 3] * weight(t / 3, t % 3, c, o)).abs()).sum()
    };
    let weights: Vec<f64> = square(n)
        .flat_map(|(a, b)| (0..deep).flat_map(move |c| (0..wide).map(move |o| (a, b, c, o))))
        .map(|(a, b, c, o)| tap(a, b, c, o))
        .collect();
    for (picture, y, x) in (0..pictures)
        .flat_map(|p| (0..height).step_by(m).flat_map(move |y| (0..width).step_by(m).map(move |x| (p, y, x))))
    {
        let read: Vec<f64> = square(n)
            .flat_map(|(i, j)| (0..deep).map(move |c| (i, j, c)))
            .map(|(i, j, c)| read(picture, (y + i) as isize, (x + j) as isize, c))
            .collect();
        let transformed: Vec<f64> = square(n)
            .flat_map(|(a, b)| (0..deep).map(move |c| (a, b, c)))
            .map(|(a, b, c)| {
                let term = |(i, j): (usize, usize)| -> f64 {
                    (samples[a][i] * samples[b][j] * read[(i * n + j) * deep + c]).abs()
                };
                square(n).map(term).sum()
            })
            .collect();
        for o in 0..wide {
            for (p, (a, b)) in square(n).enumerate() {
                let product: f64 =
                    (0..deep).map(|c| transformed[p * deep + c] * weights[(p * deep + c) * wide + o]).sum();
                for (i, j) in square(m).filter(|&(i, j)| y + i < height && x + j < width) {
                    spread[((picture * height + y + i) * width + x + j) * wide + o] +=
                        (results[i][a] * results[j][b]).abs() * product;
                }
            }
        }
    }
    spread
}

/// [`spread`] of a layer and of its gradient with respect to its input, by each filtering, if they take them.
fn spreads(conv: &Conv, x: &[f64], filters: &[f64], grad: &[f64]) -> Option<[Vec<Vec<f64>>; 2]> {
    if conv.windows.iter().any(|w| (w.taps, w.stride, w.dilation) != (3, 1, 1)) {
        return None;
    }
    let [x_shape, [_, _, inner, outer], y_shape] = [conv.x_shape(), conv.filters_shape(), conv.y_shape()];
    let per_group = outer / conv.groups;
    let at = |[_, h, w, c]: [usize; 4], n: usize, y: isize, x: isize, channel: usize| {
        let (y, x) = (usize::try_from(y).ok()?, usize::try_from(x).ok()?);
        (y < h && x < w).then(|| ((n * h + y) * w + x) * c + channel)
    };
    // Channels of other groups have no weight.
    let weight = |i: usize, j: usize, c: usize, o: usize| {
        if c / inner == o / per_group { filters[((i * 3 + j) * inner + c % inner) * outer + o] } else { 0.0 }
    };
    let [top, left] = [0, 1].map(|i| conv.windows[i].before);
    let forward = |filtering: &Filtering| {
        spread(
            filtering,
            y_shape,
            conv.inputs,
            |n, y, sx, c| at(x_shape, n, y - top, sx - left, c).map_or(0.0, |i| x[i]),
            weight,
        )
    };
    let backward = |filtering: &Filtering| {
        spread(
            filtering,
            x_shape,
            conv.outputs,
            |n, y, x, o| at(y_shape, n, y + top - 2, x + left - 2, o).map_or(0.0, |i| grad[i]),
            |i, j, o, c| weight(2 - i, 2 - j, c, o),
        )
    };
    Some([FILTERINGS.iter().map(forward).collect(), FILTERINGS.iter().map(backward).collect()])
}

/// Runs a problem everywhere and holds each result against what it should be.
fn check<P: Operation>(
    name: &str,
    dtype: DType,
    problem: &P,
    srcs: &[&Array],
    exact: &[(&[usize], Exact)],
    bound: f64,
    spreads: Option<(&[Vec<f64>], usize)>,
) {
    let srcs: Vec<_> = srcs.iter().map(|array| array.src(dtype)).collect();
    let mut taken = 0;
    for &isa in Isa::detected() {
        for &implementation in P::IMPLEMENTATIONS {
            if implementation.cost(problem).is_err() {
                continue;
            }
            taken += 1;
            let mut first: Option<Vec<Vec<f64>>> = None;
            for (threads, tile) in SCHEDULES {
                let schedule = Schedule { isa, workers: Workers::new(Some(threads)).unwrap(), tile };
                let sizes = exact.iter().map(|(shape, _)| shape.iter().product::<usize>());
                let found: Vec<Vec<f64>> = if dtype == DType::F32 {
                    let mut results: Vec<_> = sizes.map(|n| vec![f32::NAN; n]).collect();
                    let mut dsts: Vec<_> = (results.iter_mut().zip(exact))
                        .map(|(result, (shape, _))| Dst::from_slice(result, shape))
                        .collect();
                    implementation.run(problem, &srcs, &mut dsts, &schedule).unwrap();
                    drop(dsts);
                    results.iter().map(|r| r.iter().map(|&x| f64::from(x)).collect()).collect()
                } else {
                    let mut results: Vec<_> = sizes.map(|n| vec![f64::NAN; n]).collect();
                    let mut dsts: Vec<_> = (results.iter_mut().zip(exact))
                        .map(|(result, (shape, _))| Dst::from_slice(result, shape))
                        .collect();
                    implementation.run(problem, &srcs, &mut dsts, &schedule).unwrap();
                    drop(dsts);
                    results
                };
                let id = format!("{name}: {}, {threads} threads, {tile:?}", problem.id(implementation, isa));
                let filtering = FILTERINGS.iter().position(|f| f.name == implementation.name());
                for (found, (_, (sums, magnitudes))) in found.iter().zip(exact) {
                    for (i, (&found, (&sum, &magnitude))) in
                        found.iter().zip(sums.iter().zip(magnitudes)).enumerate()
                    {
                        let unit = if dtype == DType::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
                        let rounding = if let Some(at) = filtering {
                            let (spreads, deep) = spreads.expect("a layer that it takes");
                            // The chain over the channels, the transforms along both axes, and the bias.
                            let roundings = deep + 2 * FILTERINGS[at].roundings + 1;
                            roundings as f64 * unit / 2.0 * (spreads[at][i] + magnitude)
                        } else {
                            bound * magnitude
                        };
                        // The definition's own roundings are of f64.
                        let bound = rounding + unit * sum.abs() + 1e-13 * magnitude;
                        assert!((found - sum).abs() <= bound, "{id}: {found} is not {sum} at {i}");
                    }
                }
                let bits = first.get_or_insert_with(|| found.clone());
                assert!(*bits == found, "{id}: the same bits");
            }
        }
    }
    assert!(taken >= Isa::detected().len(), "{name}: someone takes it");
}

fn zeros(shape: &[usize]) -> Exact {
    let n = shape.iter().product();
    (vec![0.0; n], vec![0.0; n])
}

fn add(exact: &mut Exact, at: usize, term: f64) {
    exact.0[at] += term;
    exact.1[at] += term.abs();
}

#[test]
fn every_implementation_conforms() {
    for (name, layer) in layers() {
        for dtype in [DType::F32, DType::F64] {
            let conv = Conv { dtype, precision: Precision::High, ..layer.clone() };
            let shapes = [conv.x_shape(), conv.filters_shape(), conv.y_shape()];
            let [x, filters, grad] = [0, 1, 2].map(|i| Array::new(&shapes[i], 7 + i as u64));
            let mask = Array::new(&shapes[2], 99);
            let (bias, into) = (Array::new(&[1, 1, conv.outputs], 5), Array::new(&[1, 1, conv.inputs], 6));

            let (mut y, mut dx, mut dw) = (zeros(&shapes[2]), zeros(&shapes[0]), zeros(&shapes[1]));
            let mut db = zeros(&[conv.outputs]);
            let through = |at: usize| if mask.wide[at] > 0.0 { grad.wide[at] } else { 0.0 };
            let passed: Vec<f64> = (0..grad.wide.len()).map(through).collect();
            (0..y.0.len()).for_each(|at| add(&mut y, at, bias.wide[at % conv.outputs]));
            (0..dx.0.len()).for_each(|at| add(&mut dx, at, into.wide[at % conv.inputs]));
            (0..y.0.len()).for_each(|at| add(&mut db, at % conv.outputs, through(at)));
            products(&conv, |sample, weight, result| {
                add(&mut y, result, x.wide[sample] * filters.wide[weight]);
                add(&mut dx, sample, through(result) * filters.wide[weight]);
                add(&mut dw, weight, x.wide[sample] * through(result));
            });
            y.0.iter_mut().for_each(|value| *value = value.max(0.0));

            let spreads = spreads(&conv, &x.wide, &filters.wide, &passed);
            let spread =
                |i: usize, deep: usize| spreads.as_ref().map(|s| (s[i].as_slice(), deep / conv.groups));

            let forward = Forward { conv: conv.clone(), bias: true, relu: true };
            let bound = forward.error_bound();
            check(
                &name,
                dtype,
                &forward,
                &[&x, &filters, &bias],
                &[(&shapes[2], y)],
                bound,
                spread(0, conv.inputs),
            );
            let input = GradInput { conv: conv.clone(), masked: true, bias: true, relu: false };
            let bound = input.error_bound();
            check(
                &name,
                dtype,
                &input,
                &[&filters, &grad, &mask, &into],
                &[(&shapes[0], dx)],
                bound,
                spread(1, conv.outputs),
            );
            let gradient = GradFilters { conv: conv.clone(), masked: true, bias: true };
            let bound = gradient.error_bound();
            let line = [1, 1, conv.outputs];
            check(
                &name,
                dtype,
                &gradient,
                &[&x, &grad, &mask],
                &[(&shapes[1], dw), (&line, db)],
                bound,
                None,
            );
        }
    }
}

/// NaN and infinity are found where the definition has them and nowhere else, in every implementation.
#[test]
fn what_is_not_finite_stays_in_its_windows() {
    let square = Axis::convolution(9, 3, 1, 1, Padding::Same).unwrap();
    let conv = Conv::new(DType::F32, 2, [square, square], 1, 9, 10).unwrap();
    let conv = Conv { precision: Precision::High, ..conv };
    let shapes = [conv.x_shape(), conv.filters_shape(), conv.y_shape()];
    let [mut x, filters] = [0, 1].map(|i| Array::new(&shapes[i], 7 + i as u64));
    let c = conv.inputs;
    // In the middle of a tile, at the corner of four, and in the last row, which no tile fills.
    for (place, value) in
        [(3 * 9 + 4, f32::NAN), (81 + 6 * 9 + 2, f32::INFINITY), (81 + 8 * 9 + 8, -f32::MAX)]
    {
        x.narrow[place * c] = value;
        x.wide[place * c] = f64::from(value);
    }
    let mut y = zeros(&shapes[2]);
    products(&conv, |sample, weight, result| add(&mut y, result, x.wide[sample] * filters.wide[weight]));
    assert!(y.0.iter().any(|sum| sum.is_nan()) && y.0.iter().any(|sum| sum.is_infinite()));
    let problem = Forward { conv, bias: false, relu: false };
    for &isa in Isa::detected() {
        for &implementation in Forward::IMPLEMENTATIONS.iter().filter(|i| i.cost(&problem).is_ok()) {
            let mut first: Option<Vec<u32>> = None;
            for (threads, tile) in SCHEDULES {
                let schedule = Schedule { isa, workers: Workers::new(Some(threads)).unwrap(), tile };
                let mut found = vec![f32::NAN; y.0.len()];
                let mut dst = [Dst::from_slice(&mut found, &shapes[2])];
                let srcs = [x.src(DType::F32), filters.src(DType::F32)];
                implementation.run(&problem, &srcs, &mut dst, &schedule).unwrap();
                let [dst] = dst;
                drop(dst);
                let id = problem.id(implementation, isa);
                for (&found, &sum) in found.iter().zip(&y.0) {
                    // The largest number's products are beyond f32.
                    let sum = sum as f32;
                    assert!(
                        found == sum
                            || (found.is_nan() && sum.is_nan())
                            || (sum.is_finite() && found.is_finite()),
                        "{id}: {found} is not {sum}"
                    );
                }
                let bits: Vec<u32> = found.iter().map(|x| x.to_bits()).collect();
                assert!(*first.get_or_insert_with(|| bits.clone()) == bits, "{id}: the same bits");
            }
        }
    }
}

/// A class is a permission: the highest takes nothing less exact, and the others whatever it takes.
#[test]
fn classes_of_precision_permit() {
    let square = Axis::convolution(56, 3, 1, 1, Padding::Same).unwrap();
    let conv = Conv::new(DType::F32, 1, [square, square], 1, 64, 64).unwrap();
    let isa = Isa::best().unwrap();
    for precision in Precision::ALL {
        assert_eq!(Precision::parse(precision.name()), Ok(precision));
        let problem = Forward { conv: Conv { precision, ..conv.clone() }, bias: false, relu: false };
        let chosen = problem.select(isa).unwrap().name();
        assert_eq!(chosen, if precision == Precision::Highest { "winograd" } else { "winograd-4x4" });
    }
    assert!(Precision::parse("low").is_err());
}
