//! The pooling problems, each named by why it is here, and the numbers that they are painted with.

use ferroconv_kernels::dtype::{Bool, Element};
use ferroconv_kernels::ops::pool::Windows;
use ferroconv_kernels::reference::ReferenceWindows;
use ferroconv_kernels::shape::{Axis, Padding};
use half::{bf16, f16};

/// A number of the test: painted, read back, and marked as not written.
pub(crate) trait Number: Element + PartialEq + std::fmt::Debug {
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

pub(crate) struct Problem {
    /// Why it is here.
    pub(crate) name: &'static str,
    pub(crate) pictures: usize,
    pub(crate) image: [usize; 2],
    pub(crate) channels: usize,
    /// Taps, stride, dilation, padding of each axis; or parts.
    pub(crate) axes: [Rule; 2],
    pub(crate) ceil: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Rule {
    Slide(usize, usize, usize, [usize; 2]),
    Same(usize, usize),
    Parts(usize),
}
use Rule::{Parts, Same, Slide};

pub(crate) fn problems() -> Vec<Problem> {
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
        p("many small pictures of one channel", 37, [7, 7], 1, [Slide(3, 1, 1, [1, 1]); 2], false),
        p("many small pictures under a stride", 21, [6, 8], 1, [Slide(3, 2, 1, [0, 1]), Same(3, 2)], false),
        p("many small pictures of few channels", 9, [5, 4], 6, [Slide(2, 2, 1, [1, 0]); 2], true),
        p("a few small pictures of many channels", 3, [6, 6], 40, [Slide(3, 2, 1, [1, 1]); 2], false),
        p("small pictures, dilated", 11, [8, 7], 1, [Slide(2, 3, 3, [1, 1]), Slide(3, 1, 2, [1, 0])], false),
        p("rows of a vector, one channel", 3, [6, 32], 1, [Slide(2, 2, 1, [0, 0]); 2], false),
        p(
            "rows of some vectors, the last sample left out",
            2,
            [7, 75],
            1,
            [Slide(2, 2, 1, [0, 0]); 2],
            false,
        ),
        p("padded rows of some vectors", 2, [9, 71], 1, [Slide(3, 2, 1, [1, 1]); 2], true),
        p("rows of some vectors, a stride of one", 3, [6, 37], 1, [Slide(3, 1, 1, [1, 1]); 2], false),
        p(
            "rows of some vectors, an odd number of taps, dilated rows",
            2,
            [7, 40],
            1,
            [Slide(3, 1, 2, [1, 1]), Slide(5, 2, 1, [2, 1])],
            false,
        ),
        p(
            "a vector of channels and more, dilated and padded",
            3,
            [9, 13],
            37,
            [Slide(3, 2, 2, [1, 1]), Slide(2, 3, 3, [1, 2])],
            false,
        ),
        p(
            "rows of some vectors, dilated columns",
            3,
            [7, 45],
            1,
            [Slide(3, 2, 1, [1, 0]), Slide(3, 1, 4, [3, 4])],
            false,
        ),
        p(
            "eight taps each way, padded",
            2,
            [11, 30],
            1,
            [Slide(8, 1, 1, [4, 3]), Slide(8, 2, 1, [3, 4])],
            true,
        ),
        p("one long row", 2, [1, 300], 1, [Slide(1, 1, 1, [0, 0]), Slide(2, 2, 1, [0, 0])], false),
        p("one long column", 2, [300, 1], 1, [Slide(3, 2, 1, [1, 1]), Slide(1, 1, 1, [0, 0])], false),
        p(
            "one long column of channels",
            1,
            [90, 1],
            17,
            [Slide(3, 2, 1, [0, 0]), Slide(1, 1, 1, [0, 0])],
            false,
        ),
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
        p("global, more than is joined at once", 2, [90, 50], 1, [Parts(1), Parts(1)], false),
        p("global, rows longer than is joined at once", 2, [2, 4103], 1, [Parts(1), Parts(1)], false),
        p("global, many pictures", 37, [7, 7], 1, [Parts(1), Parts(1)], false),
        p("global, channels first", 2, [7, 70], 1, [Parts(1), Parts(1)], false),
        p("adaptive, unequal windows", 1, [10, 17], 1, [Parts(3), Parts(5)], false),
        p("adaptive, unequal windows of channels", 1, [10, 17], 9, [Parts(4), Parts(7)], false),
        p("adaptive, more parts than samples", 1, [3, 2], 2, [Parts(5), Parts(4)], false),
        p("more than 1024 taps", 1, [40, 41], 1, [Parts(1), Parts(1)], false),
        p("threes side by side, several pictures", 5, [9, 12], 20, [Slide(3, 3, 1, [0, 0]); 2], false),
        p("threes apart, the last ones cut off", 4, [11, 14], 7, [Slide(3, 4, 1, [0, 0]); 2], true),
        p("twos side by side, several pictures", 6, [6, 9], 18, [Slide(2, 2, 1, [0, 0]); 2], false),
        p("overlapping, as many pictures as threads", 4, [15, 13], 24, [Slide(3, 2, 1, [0, 0]); 2], false),
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

pub(crate) fn axis(rule: Rule, n: usize, ceil: bool) -> (Windows, ReferenceWindows) {
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
