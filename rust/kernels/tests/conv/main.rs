//! Every implementation of a convolution layer's three problems, on every instruction set that this
//! machine has, for several numbers of threads and tiles, against sums made one product at a time in
//! `f64` straight from the definition; channels last in memory, and as planes.
#![expect(unsafe_code, reason = "hands buffers of any dtype and layout to the views")]

mod filterings;
mod layers;
mod split;

use ferroconv_kernels::dtype::DType;
use ferroconv_kernels::isa::Isa;
use ferroconv_kernels::ops::conv::{Conv, Forward, GradFilters, GradInput, Packed};
use ferroconv_kernels::parallel::Workers;
use ferroconv_kernels::precision::Precision;
use ferroconv_kernels::registry::{Implementation, Operation, Schedule};
use ferroconv_kernels::shape::{Axis, Padding};
use ferroconv_kernels::view::{Dst, Src};
use filterings::{FILTERINGS, Filtering, gradient_spread, spread};
use layers::layers;

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

/// Strides in elements of four axes, or, with `planes`, of an array whose last axis comes second in memory; of
/// other arrays those of C order.
fn strides(shape: &[usize], planes: bool) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    if let (true, &[_, h, w, _]) = (planes, shape) { vec![strides[0], w, 1, h * w] } else { strides }
}

/// Strides in bytes of elements of `dtype`.
fn bytes(shape: &[usize], planes: bool, dtype: DType) -> Vec<isize> {
    strides(shape, planes).into_iter().map(|n| (n * dtype.size()) as isize).collect()
}

/// The elements in the order of memory, of an array in C order; or, with `back`, the other way.
fn laid_out<T: Copy>(shape: &[usize], data: &[T], back: bool) -> Vec<T> {
    let &[n, h, w, c] = shape else { return data.to_vec() };
    let from = |i: usize| {
        if back {
            let (n, y, x, c) = (i / (h * w * c), i / (w * c) % h, i / c % w, i % c);
            ((n * shape[3] + c) * h + y) * w + x
        } else {
            let (n, c, y, x) = (i / (h * w * c), i / (h * w) % c, i / w % h, i % w);
            ((n * h + y) * w + x) * shape[3] + c
        }
    };
    (0..n * h * w * c).map(|i| data[from(i)]).collect()
}

/// An array's shape, its data as `f32` and `f64`, and whether its last axis of four comes second in memory.
struct Array {
    shape: Vec<usize>,
    planes: bool,
    wide: Vec<f64>,
    narrow: Vec<f32>,
}

impl Array {
    fn new(shape: &[usize], seed: u64) -> Self {
        let wide = paint(shape.iter().product(), seed);
        let narrow = wide.iter().map(|&x| x as f32).collect();
        Self { shape: shape.to_vec(), planes: false, narrow, wide }
    }

    /// The same, its channels as planes.
    fn in_planes(&self) -> Self {
        let (wide, narrow) =
            (laid_out(&self.shape, &self.wide, false), laid_out(&self.shape, &self.narrow, false));
        Self { shape: self.shape.clone(), planes: true, wide, narrow }
    }

    fn src(&self, dtype: DType) -> Src<'_> {
        let data =
            if dtype == DType::F32 { self.narrow.as_ptr().cast::<u8>() } else { self.wide.as_ptr().cast() };
        // SAFETY: the strides are those of the data, which is borrowed as long.
        unsafe { Src::from_raw(data, dtype, &self.shape[..], bytes(&self.shape, self.planes, dtype)) }
            .unwrap()
    }
}

/// What a result is, and the sum of the absolute values of its terms.
type Exact = (Vec<f64>, Vec<f64>);

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

/// [`gradient_spread`] of a layer, if the filtering takes it, and tiles.
fn gradient_spreads(conv: &Conv, x: &[f64], grad: &[f64]) -> Option<(Vec<f64>, usize)> {
    if conv.windows.iter().any(|w| (w.taps, w.stride, w.dilation) != (3, 1, 1)) {
        return None;
    }
    let [[_, h, w, inputs], [_, _, inner, outer], [n, oh, ow, _]] =
        [conv.x_shape(), conv.filters_shape(), conv.y_shape()];
    let [top, left] = [0, 1].map(|i| conv.windows[i].before);
    let inside = |at: isize, size: usize| usize::try_from(at).ok().filter(|&at| at < size);
    let read = |n: usize, y: usize, x_: usize, [c, o]: [usize; 2]| {
        let at = (inside(y as isize - top, h), inside(x_ as isize - left, w));
        let (Some(y), Some(x_)) = at else { return 0.0 };
        x[((n * h + y) * w + x_) * inputs + o / (outer / conv.groups) * inner + c]
    };
    let through = |n: usize, y: usize, x: usize, o: usize| {
        if y < oh && x < ow { grad[((n * oh + y) * ow + x) * outer + o] } else { 0.0 }
    };
    let tiles = n * oh.div_ceil(2) * ow.div_ceil(2);
    Some((gradient_spread([n, oh, ow], [inner, outer], read, through), tiles))
}

/// What is claimed of errors, as multiples of the sum of the terms' absolute values.
#[derive(Clone, Copy)]
struct Claims<'a> {
    /// The one implementation that is tried, if not all are.
    only: Option<&'a str>,
    bound: f64,
    /// Of numbers that are split.
    split: f64,
    /// By filtering what its errors in the first result are in proportion to, and channels that are summed over, or tiles.
    spreads: Option<(&'a [Vec<f64>], usize)>,
}

/// Runs a problem everywhere and holds each result against what it should be.
fn check<P: Operation>(
    name: &str,
    dtype: DType,
    problem: &P,
    srcs: &[&Array],
    exact: &[(&[usize], Exact)],
    claims: Claims<'_>,
) {
    let planes: Vec<_> = srcs.iter().map(|array| array.in_planes()).collect();
    let layouts: [Vec<_>; 2] = [
        srcs.iter().map(|array| array.src(dtype)).collect(),
        planes.iter().map(|array| array.src(dtype)).collect(),
    ];
    let mut taken = 0;
    for &isa in Isa::detected() {
        for &implementation in P::IMPLEMENTATIONS {
            let takes = implementation.supports(isa).and_then(|()| implementation.cost(problem)).is_ok();
            if !takes || claims.only.is_some_and(|only| only != implementation.name()) {
                continue;
            }
            taken += 1;
            let mut first: Option<Vec<Vec<f64>>> = None;
            let runs = (0..2).flat_map(|layout| SCHEDULES.map(|schedule| (layout, schedule)));
            for (layout, (threads, tile)) in runs {
                let schedule = Schedule { tile, ..Schedule::new(isa, Workers::new(Some(threads)).unwrap()) };
                let (planes, srcs) = (layout == 1, &layouts[layout]);
                let sizes = exact.iter().map(|(shape, _)| shape.iter().product::<usize>());
                let mut narrow: Vec<_> = sizes.clone().map(|n| vec![f32::NAN; n]).collect();
                let mut wide: Vec<_> = sizes.map(|n| vec![f64::NAN; n]).collect();
                let data = narrow.iter_mut().zip(&mut wide).map(|(narrow, wide)| {
                    if dtype == DType::F32 {
                        narrow.as_mut_ptr().cast::<u8>()
                    } else {
                        wide.as_mut_ptr().cast()
                    }
                });
                let mut dsts: Vec<_> = (data.zip(exact))
                    // SAFETY: the strides are those of the data, which outlives the arrays.
                    .map(|(data, (shape, _))| unsafe {
                        Dst::from_raw(data, dtype, *shape, bytes(shape, planes, dtype)).unwrap()
                    })
                    .collect();
                implementation.run(problem, srcs, &mut dsts, &schedule).unwrap();
                drop(dsts);
                let found: Vec<Vec<f64>> = (narrow.iter().zip(&wide).zip(exact))
                    .map(|((narrow, wide), (shape, _))| {
                        let found = match dtype {
                            DType::F32 => narrow.iter().map(|&x| f64::from(x)).collect(),
                            _ => wide.clone(),
                        };
                        if planes { laid_out(shape, &found, true) } else { found }
                    })
                    .collect();
                let id = format!(
                    "{name}: {}, {threads} threads, {tile:?}, planes: {planes}",
                    problem.id(implementation, isa)
                );
                let filtering = FILTERINGS.iter().position(|f| f.name == implementation.name());
                for (result, (found, (_, (sums, magnitudes)))) in found.iter().zip(exact).enumerate() {
                    for (i, (&found, (&sum, &magnitude))) in
                        found.iter().zip(sums.iter().zip(magnitudes)).enumerate()
                    {
                        let unit = if dtype == DType::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
                        let rounding = if let (Some(at), 0) = (filtering, result) {
                            let (spreads, deep) = claims.spreads.expect("a layer that it takes");
                            // The chain, the transforms along both axes, and the bias.
                            let turned =
                                if P::NAME.ends_with("filters") { 4 } else { FILTERINGS[at].roundings };
                            let roundings = deep + 2 * turned + 1;
                            roundings as f64 * unit / 2.0 * (spreads[at][i] + magnitude)
                        } else if implementation.name() == "split" {
                            claims.split * magnitude
                        } else {
                            claims.bound * magnitude
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
    assert!(claims.only.is_some() || taken >= Isa::detected().len(), "{name}: someone takes it");
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
            conforms(&name, &conv, None);
        }
    }
}

/// Holds the three problems of a layer against their definitions, by all implementations or by one.
fn conforms(name: &str, conv: &Conv, only: Option<&str>) {
    let (dtype, shapes) = (conv.dtype, [conv.x_shape(), conv.filters_shape(), conv.y_shape()]);
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
    products(conv, |sample, weight, result| {
        add(&mut y, result, x.wide[sample] * filters.wide[weight]);
        add(&mut dx, sample, through(result) * filters.wide[weight]);
        add(&mut dw, weight, x.wide[sample] * through(result));
    });
    let shortcut = Array::new(&shapes[2], 31);
    let mut added = y.clone();
    (0..added.0.len()).for_each(|at| add(&mut added, at, shortcut.wide[at]));
    for (sums, _) in [&mut y, &mut added] {
        sums.iter_mut().for_each(|sum| *sum = sum.max(0.0));
    }

    let spreads = if only.is_none() { spreads(conv, &x.wide, &filters.wide, &passed) } else { None };
    let claims = |i: usize, channels: usize, bound: f64| {
        let deep = channels / conv.groups;
        let spreads = spreads.as_ref().map(|s| (s[i].as_slice(), deep));
        Claims { only, bound, split: split::bound(conv, deep), spreads }
    };

    let arrays = [&x, &filters, &bias, &shortcut];
    for (addend, y) in [(false, y), (true, added)] {
        let forward = Forward { conv: conv.clone(), bias: true, addend, relu: true };
        let claims = claims(0, conv.inputs, forward.error_bound());
        check(name, dtype, &forward, &arrays[..3 + usize::from(addend)], &[(&shapes[2], y)], claims);
    }
    let input = GradInput { conv: conv.clone(), masked: true, bias: true, relu: false };
    let claims = claims(1, conv.outputs, input.error_bound());
    check(name, dtype, &input, &[&filters, &grad, &mask, &into], &[(&shapes[0], dx)], claims);
    let gradient = GradFilters { conv: conv.clone(), masked: true, bias: true };
    let spreads = if only.is_none() { gradient_spreads(conv, &x.wide, &passed) } else { None };
    let spreads = spreads.map(|(spread, tiles)| ([spread], tiles));
    let spreads = spreads.as_ref().map(|(spread, tiles)| (spread.as_slice(), *tiles));
    let claims = Claims { bound: gradient.error_bound(), spreads, ..claims };
    let line = [1, 1, conv.outputs];
    check(name, dtype, &gradient, &[&x, &grad, &mask], &[(&shapes[1], dw), (&line, db)], claims);
}

/// What an implementation makes of a layer.
fn computed(
    implementation: &dyn Implementation<Forward>,
    problem: &Forward,
    srcs: &[Src<'_>],
    schedule: &Schedule<'_>,
) -> Vec<f32> {
    let shape = problem.conv.y_shape();
    let mut found = vec![f32::NAN; shape.iter().product()];
    let mut dst = [Dst::from_slice(&mut found, &shape)];
    implementation.run(problem, srcs, &mut dst, schedule).unwrap();
    let [dst] = dst;
    drop(dst);
    found
}

/// Hands what every implementation makes of a layer to `each`, the same bits for every schedule.
fn everywhere(problem: &Forward, srcs: &[Src<'_>], each: impl Fn(&str, &[f32])) {
    for &isa in Isa::detected() {
        let takes = |i: &&&dyn Implementation<_>| i.supports(isa).and_then(|()| i.cost(problem)).is_ok();
        for &implementation in Forward::IMPLEMENTATIONS.iter().filter(takes) {
            let id = problem.id(implementation, isa);
            let mut first: Option<Vec<u32>> = None;
            for (threads, tile) in SCHEDULES {
                let schedule = Schedule { tile, ..Schedule::new(isa, Workers::new(Some(threads)).unwrap()) };
                let found = computed(implementation, problem, srcs, &schedule);
                each(&id, &found);
                let bits: Vec<u32> = found.iter().map(|x| x.to_bits()).collect();
                assert!(*first.get_or_insert_with(|| bits.clone()) == bits, "{id}: the same bits");
            }
        }
    }
}

/// NaN and infinity are found where the definition has them and nowhere else, in every implementation.
#[test]
fn what_is_not_finite_stays_in_its_windows() {
    [2, 47].into_iter().for_each(stays_in_windows);
}

/// Of so many pictures.
fn stays_in_windows(pictures: usize) {
    let square = Axis::convolution(9, 3, 1, 1, Padding::Same).unwrap();
    let conv = Conv::new(DType::F32, pictures, [square, square], 1, 9, 10).unwrap();
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
    let problem = Forward { conv, bias: false, addend: false, relu: false };
    everywhere(&problem, &[x.src(DType::F32), filters.src(DType::F32)], |id, found| {
        for (&found, &sum) in found.iter().zip(&y.0) {
            // The largest number's products are beyond f32.
            let sum = sum as f32;
            assert!(
                found == sum || (found.is_nan() && sum.is_nan()) || (sum.is_finite() && found.is_finite()),
                "{id}: {found} is not {sum}"
            );
        }
    });
}

/// Weights that are not finite bring the zeros around the image, far padding none of them all at once.
#[test]
fn far_zeros_and_weights_that_are_not_finite_stay_near() {
    let far = Axis::convolution(4, 3, 1 << 28, 1, Padding::Explicit(1 << 28, 1 << 28)).unwrap();
    let conv = Conv::new(DType::F32, 16, [far, far], 1, 1, 2).unwrap();
    let [x, mut filters] = [conv.x_shape(), conv.filters_shape()].map(|shape| Array::new(&shape, 7));
    filters.narrow[0] = f32::NAN;
    let [_, rows, cols, _] = conv.y_shape();
    let problem = Forward { conv, bias: false, addend: false, relu: false };
    let srcs = [x.src(DType::F32), filters.src(DType::F32)];
    for &isa in Isa::detected() {
        let takes = |i: &&&dyn Implementation<_>| i.supports(isa).and_then(|()| i.cost(&problem)).is_ok();
        // A tile of the test's own would be as large as it says.
        let schedule = Schedule::new(isa, Workers::new(Some(2)).unwrap());
        for &implementation in Forward::IMPLEMENTATIONS.iter().filter(takes) {
            let found = computed(implementation, &problem, &srcs, &schedule);
            let nan = found.iter().step_by(2).any(|y| y.is_nan());
            assert!(found.len() == 32 * rows * cols && nan, "{}", problem.id(implementation, isa));
        }
    }
}

/// Weights that are not finite make no number of the zeros around the image, or none: for every schedule the same.
#[test]
fn what_is_not_finite_of_weights_is_the_same_for_every_schedule() {
    [2, 47].into_iter().for_each(weights_are_the_same);
}

/// Of so many pictures.
fn weights_are_the_same(pictures: usize) {
    let square = Axis::convolution(9, 5, 1, 1, Padding::Same).unwrap();
    let conv = Conv::new(DType::F32, pictures, [square, square], 1, 9, 3).unwrap();
    let [x, mut filters] = [conv.x_shape(), conv.filters_shape()].map(|shape| Array::new(&shape, 7));
    (filters.narrow[0], filters.narrow[27 * 24 + 1]) = (f32::INFINITY, f32::NAN);
    let problem = Forward { conv, bias: false, addend: false, relu: false };
    everywhere(&problem, &[x.src(DType::F32), filters.src(DType::F32)], |id, found| {
        // The middle reads nothing but samples.
        let middle = &found[(4 * 9 + 4) * 3..][..3];
        assert!(middle[0].is_infinite() && middle[1].is_nan() && middle[2].is_finite(), "{id}");
    });
}

/// The same of the filters' gradient: a pixel that a tap does not meet has no part in its sum.
#[test]
fn what_is_not_finite_stays_in_its_taps() {
    [(2, 2), (3, 2), (2, 47)].into_iter().for_each(stays_in_taps);
}

/// Of filters with so many rows, over so many pictures.
fn stays_in_taps((taps, pictures): (usize, usize)) {
    let (rows, cols) = (
        Axis::convolution(5, taps, 1, 1, Padding::Valid).unwrap(),
        Axis::convolution(19, 3, 1, 1, Padding::Valid).unwrap(),
    );
    let conv = Conv::new(DType::F32, pictures, [rows, cols], 1, 2, 5).unwrap();
    let conv = Conv { precision: Precision::High, ..conv };
    let shapes = [conv.x_shape(), conv.filters_shape(), conv.y_shape()];
    let [mut x, grad] = [0, 2].map(|i| Array::new(&shapes[i], 5 + i as u64));
    // The last column is met by the last taps alone, the first by the first.
    for (place, value) in [(18, f32::NAN), (19, f32::INFINITY)] {
        x.narrow[place * 2] = value;
        x.wide[place * 2] = f64::from(value);
    }
    let mut dw = zeros(&shapes[1]);
    products(&conv, |sample, weight, result| add(&mut dw, weight, x.wide[sample] * grad.wide[result]));
    assert!(dw.0.iter().any(|sum| !sum.is_finite()) && dw.0.iter().any(|sum| sum.is_finite()));
    let problem = GradFilters { conv, masked: false, bias: false };
    for &isa in Isa::detected() {
        for &implementation in GradFilters::IMPLEMENTATIONS.iter().filter(|i| i.cost(&problem).is_ok()) {
            let schedule = Schedule::new(isa, Workers::new(Some(2)).unwrap());
            let mut found = vec![7.0_f32; dw.0.len()];
            let mut dst = [Dst::from_slice(&mut found, &shapes[1])];
            let srcs = [x.src(DType::F32), grad.src(DType::F32)];
            implementation.run(&problem, &srcs, &mut dst, &schedule).unwrap();
            let [dst] = dst;
            drop(dst);
            for (&found, &sum) in found.iter().zip(&dw.0) {
                let same = f64::from(found) == sum || (found.is_nan() && sum.is_nan());
                assert!(same || (sum.is_finite() && found.is_finite()), "{found} is not {sum}");
            }
        }
    }
}

/// Over few pixels the filters' gradient by tiles is less exact than the highest class asks.
#[test]
fn the_highest_class_takes_tiles_of_many_pixels() {
    for (size, precision, takes) in
        [(55, Precision::Highest, false), (56, Precision::Highest, true), (3, Precision::High, true)]
    {
        let axis = Axis::convolution(size, 3, 1, 1, Padding::Same).unwrap();
        let conv = Conv::new(DType::F32, 1, [axis; 2], 1, 4, 4).unwrap();
        let problem = GradFilters { conv: Conv { precision, ..conv }, masked: false, bias: false };
        let tiles = GradFilters::IMPLEMENTATIONS.iter().find(|i| i.name() == "winograd").unwrap();
        assert_eq!(tiles.cost(&problem).is_ok(), takes, "{size}x{size}, {}", precision.name());
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
        let problem =
            Forward { conv: Conv { precision, ..conv.clone() }, bias: false, addend: false, relu: false };
        let chosen = problem.select(isa).unwrap().name();
        let expected = match (isa.tiles(), precision) {
            (Some(_), _) => "split",
            (None, Precision::Highest) => "winograd",
            (None, _) => "winograd-4x4",
        };
        assert_eq!(chosen, expected);
    }
    assert!(Precision::parse("low").is_err());
}

/// Packed filters that stayed are what the next call computes with, whatever its own filters are, by every
/// implementation that packs them for all its tasks; and they are the call's own where something else is asked.
#[test]
fn packed_filters_stay() {
    let axis = |src, taps| Axis::convolution(src, taps, 1, 1, Padding::Same).unwrap();
    for (size, taps, groups, channels, outputs, planes) in
        [(9, 3, 1, 9, 10, false), (8, 3, 2, 6, 20, false), (6, 1, 1, 9, 200, true), (7, 3, 8, 8, 8, false)]
    {
        let square = axis(size, taps);
        let conv = Conv::new(DType::F32, 2, [square, square], groups, channels, outputs).unwrap();
        let conv = Conv { precision: Precision::High, ..conv };
        let [x, filters] =
            [(conv.x_shape(), 3), (conv.filters_shape(), 4)].map(|(s, seed)| Array::new(&s, seed));
        let x = if planes { x.in_planes() } else { x };
        let nothing =
            Array { narrow: vec![f32::NAN; filters.narrow.len()], ..Array::new(&conv.filters_shape(), 4) };
        for (isa, implementation) in Isa::detected()
            .iter()
            .flat_map(|&isa| Forward::IMPLEMENTATIONS.iter().map(move |&one| (isa, one)))
        {
            let run = |conv: &Conv, filters: &Array, kept: Option<&Packed>| {
                let problem = Forward { conv: conv.clone(), bias: false, addend: false, relu: false };
                let mut y = vec![f32::NAN; conv.y_shape().iter().product()];
                let strides = bytes(&conv.y_shape(), planes, DType::F32);
                // SAFETY: the strides are those of the data, which outlives the array.
                let dst =
                    unsafe { Dst::from_raw(y.as_mut_ptr().cast(), DType::F32, &conv.y_shape()[..], strides) };
                let schedule =
                    Schedule { filters: kept, ..Schedule::new(isa, Workers::new(Some(2)).unwrap()) };
                let srcs = [x.src(DType::F32), filters.src(DType::F32)];
                implementation.run(&problem, &srcs, &mut [dst.unwrap()], &schedule).unwrap();
                y
            };
            let problem = Forward { conv: conv.clone(), bias: false, addend: false, relu: false };
            if implementation.supports(isa).and_then(|()| implementation.cost(&problem)).is_err() {
                continue;
            }
            let name = format!("{} on {}, {conv}", implementation.name(), isa.name());
            let (plain, kept) = (run(&conv, &filters, None), Packed::default());
            assert_eq!(plain, run(&conv, &filters, Some(&kept)), "{name}, kept");
            // Depthwise filters are read where they stand.
            if implementation.name() != "depthwise" {
                assert_eq!(plain, run(&conv, &nothing, Some(&kept)), "{name}, found");
            }
            assert!(run(&conv, &nothing, None).iter().all(|y| y.is_nan()), "{name}, not kept");
        }
    }
}
