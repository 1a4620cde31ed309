//! Pooling: every implementation x instruction set x dtype x named problem, against the definitions.

use ferroconv_kernels::dtype::{Bool, DType, Element};
use ferroconv_kernels::isa::Isa;
use ferroconv_kernels::ops::pool::{Pool, Reduction, Windows};
use ferroconv_kernels::parallel::Workers;
use ferroconv_kernels::reference::{self, ReferenceWindows};
use ferroconv_kernels::registry::{Operation, Schedule};
use ferroconv_kernels::shape::{Axis, Padding};
use ferroconv_kernels::view::{Dst, Src};
use half::{bf16, f16};

/// A number of the test: painted, read back, and marked as not written.
trait Number: Element + PartialEq + std::fmt::Debug {
    fn paint(seed: usize) -> Self;
    fn value(self) -> f64;
    fn whole(self) -> Option<i128>;
    const UNSET: Self;
}

/// Pseudo-random, many ties, every bit pattern of a swapped sample visible.
fn scatter(seed: usize) -> usize {
    (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 23) % 251
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl Number for $t {
            fn paint(seed: usize) -> Self { (scatter(seed) as Self).wrapping_mul((<$t>::MAX / 125).max(1)) }
            fn value(self) -> f64 { self as f64 }
            fn whole(self) -> Option<i128> { Some(self as i128) }
            const UNSET: Self = 77;
        }
    )*};
}
integers!(u8, i8, u16, i16, u32, i32, u64, i64);

macro_rules! floats {
    ($($t:ty, $from:expr, $to:expr, $nan:expr;)*) => {$(
        impl Number for $t {
            fn paint(seed: usize) -> Self {
                let from: fn(f64) -> $t = $from;
                match scatter(seed) {
                    250 if seed % 3 == 0 => from(f64::NAN),
                    249 => from(f64::NEG_INFINITY),
                    248 => from(-0.0),
                    n => from((n as f64 - 125.0) / 16.0),
                }
            }
            fn value(self) -> f64 { let to: fn($t) -> f64 = $to; to(self) }
            fn whole(self) -> Option<i128> { None }
            const UNSET: Self = $nan;
        }
    )*};
}
floats! {
    f16, f16::from_f64, f16::to_f64, f16::NAN; bf16, bf16::from_f64, bf16::to_f64, bf16::NAN;
    f32, |x| x as f32, f64::from, f32::NAN; f64, |x| x, |x| x, f64::NAN;
}
impl Number for Bool {
    fn paint(seed: usize) -> Self {
        Self(u8::from(scatter(seed) > 200))
    }
    fn value(self) -> f64 {
        f64::from(self.0)
    }
    fn whole(self) -> Option<i128> {
        Some(self.0.into())
    }
    const UNSET: Self = Self(1);
}

struct Problem {
    /// Why it is here.
    name: &'static str,
    pictures: usize,
    image: [usize; 2],
    channels: usize,
    /// Taps, stride, dilation, padding of each axis; or parts.
    axes: [Rule; 2],
    ceil: bool,
}

#[derive(Clone, Copy)]
enum Rule {
    Slide(usize, usize, usize, [usize; 2]),
    Same(usize, usize),
    Parts(usize),
}
use Rule::{Parts, Same, Slide};

fn problems() -> Vec<Problem> {
    let p =
        |name, pictures, image, channels, axes, ceil| Problem { name, pictures, image, channels, axes, ceil };
    let mut all = vec![
        p("one sample", 1, [1, 1], 1, [Slide(1, 1, 1, [0, 0]); 2], false),
        p("LeNet's pool, channels last", 3, [28, 28], 6, [Slide(2, 2, 1, [0, 0]); 2], false),
        p("LeNet's pool, channels first", 3, [28, 28], 1, [Slide(2, 2, 1, [0, 0]); 2], false),
        p("odd size, the last row and column left out", 1, [7, 9], 1, [Slide(2, 2, 1, [0, 0]); 2], false),
        p("AlexNet's overlapping windows", 1, [13, 15], 16, [Slide(3, 2, 1, [0, 0]); 2], false),
        p("ResNet's stem, padded", 1, [12, 14], 64, [Slide(3, 2, 1, [1, 1]); 2], false),
        p("ResNet's stem, one channel", 2, [12, 14], 1, [Slide(3, 2, 1, [1, 1]); 2], false),
        p("GoogLeNet's ceil mode", 1, [14, 12], 3, [Slide(3, 2, 1, [0, 0]); 2], true),
        p("Inception's stride of one, padded", 1, [9, 11], 8, [Slide(3, 1, 1, [1, 1]); 2], false),
        p("same padding, the odd sample after", 1, [8, 6], 2, [Same(3, 2), Same(2, 2)], false),
        p("same padding of one tap and a stride", 1, [8, 6], 1, [Same(1, 3), Same(1, 2)], false),
        p(
            "dilated, padded on one side",
            1,
            [17, 19],
            1,
            [Slide(3, 1, 3, [2, 0]), Slide(2, 3, 4, [0, 2])],
            false,
        ),
        p("dilated channels", 1, [9, 19], 5, [Slide(3, 2, 2, [1, 0]), Slide(4, 3, 2, [3, 2])], true),
        p(
            "stride beyond the window",
            1,
            [23, 29],
            1,
            [Slide(2, 5, 1, [0, 0]), Slide(3, 7, 1, [0, 0])],
            false,
        ),
        p(
            "a window larger than four rows joined at once",
            1,
            [13, 40],
            1,
            [Slide(9, 1, 1, [4, 4]), Slide(11, 1, 1, [5, 5])],
            false,
        ),
        p(
            "ceil mode, a window larger than the image",
            1,
            [2, 3],
            1,
            [Slide(3, 2, 1, [0, 0]), Slide(4, 2, 1, [0, 0])],
            true,
        ),
        p("global, channels last", 2, [7, 7], 33, [Parts(1), Parts(1)], false),
        p("global, channels first", 2, [7, 70], 1, [Parts(1), Parts(1)], false),
        p("adaptive, unequal windows", 1, [10, 17], 1, [Parts(3), Parts(5)], false),
        p("adaptive, unequal windows of channels", 1, [10, 17], 9, [Parts(4), Parts(7)], false),
        p("adaptive, more parts than samples", 1, [3, 2], 2, [Parts(5), Parts(4)], false),
        p("more than 1024 taps", 1, [40, 41], 1, [Parts(1), Parts(1)], false),
        p("no picture", 0, [8, 8], 2, [Slide(2, 2, 1, [0, 0]); 2], false),
        p("no channel", 2, [8, 8], 0, [Slide(2, 2, 1, [0, 0]); 2], false),
        p("no row", 2, [0, 8], 2, [Slide(2, 2, 1, [0, 0]); 2], false),
        p(
            "stride two over four channels, deep enough for vectors of channels",
            1,
            [9, 9],
            40,
            [Slide(2, 1, 1, [0, 0]), Slide(3, 3, 1, [1, 0])],
            false,
        ),
    ];
    for width in (1..=20).chain([31, 32, 33, 63, 64, 65, 66, 130]) {
        all.push(p(
            "widths about a vector",
            1,
            [4, width],
            1,
            [Slide(2, 2, 1, [0, 0]), Slide(1, 1, 1, [0, 0])],
            false,
        ));
        if width > 2 {
            all.push(p("pairs about a vector", 1, [4, width], 1, [Slide(2, 2, 1, [0, 0]); 2], false));
            all.push(p(
                "threes about a vector",
                1,
                [4, width],
                1,
                [Slide(3, 2, 1, [0, 0]), Slide(3, 2, 1, [1, 1])],
                true,
            ));
        }
        all.push(p("channels about a vector", 1, [4, 5], width, [Slide(2, 2, 1, [0, 0]); 2], true));
    }
    all
}

fn axis(rule: Rule, n: usize, ceil: bool) -> (Windows, ReferenceWindows) {
    match rule {
        Slide(taps, stride, dilation, padding) => {
            let axis =
                Axis::pooling(n, taps, stride, dilation, Padding::Explicit(padding[0], padding[1]), ceil)
                    .unwrap();
            // The results, counted: windows that fit, or begin soon enough.
            let (padded, span) = (padding[0] + n + padding[1], (taps - 1) * dilation + 1);
            let begins = (0..).map(|o| o * stride);
            let results = match ceil {
                true => begins.take_while(|&b| b < n + padding[0] && b + span < padded + stride).count(),
                false => begins.take_while(|&b| b + span <= padded).count(),
            };
            let results = if n == 0 { 0 } else { results };
            (Windows::Sliding(axis), ReferenceWindows::Sliding { padding, taps, results, stride, dilation })
        }
        Same(taps, stride) => {
            let axis = Axis::pooling(n, taps, stride, 1, Padding::Same, ceil).unwrap();
            let results = n.div_ceil(stride);
            let total = ((results - 1) * stride + taps).saturating_sub(n);
            let padding = [total / 2, total - total / 2];
            (
                Windows::Sliding(axis),
                ReferenceWindows::Sliding { padding, taps, results, stride, dilation: 1 },
            )
        }
        Parts(parts) => (Windows::adaptive(n, parts).unwrap(), ReferenceWindows::Adaptive(parts)),
    }
}

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
                let schedule = Schedule { isa, workers: Workers::new(Some(threads)).unwrap(), tile };
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
fn explain_names_every_refusal() {
    let windows = [Windows::adaptive(4, 2).unwrap(); 2];
    let pool = Pool::new(DType::F32, 1, windows, 1, Reduction::Max { indices: false }).unwrap();
    let schedule =
        Schedule { isa: Isa::best().unwrap(), workers: Workers::new(Some(1)).unwrap(), tile: None };
    let explanation = pool.explain(&schedule);
    assert!(explanation.chosen.starts_with("pool/separable/float32/"));
    assert_eq!(
        explanation
            .candidates
            .iter()
            .filter(|(_, cost, reason)| cost.is_none() && !reason.is_empty())
            .count(),
        2
    );
}
