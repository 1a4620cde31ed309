//! SciPy's passes over 8-bit images, truncated after each, as plain loops of `f64` have them: bit for bit, on every
//! instruction set, by everything that accepts the problem.
//!
//! Images have sums that are integers, next to one, and neither; results are written over other numbers.

use ferroconv_kernels::border::Border;
use ferroconv_kernels::dtype::{Element, Finish, Overflow, Rounding};
use ferroconv_kernels::isa::Isa;
use ferroconv_kernels::ops::correlate::{Constant, Correlate, Spec, Summation, Taps, Term};
use ferroconv_kernels::parallel::Workers;
use ferroconv_kernels::registry::{Operation, Schedule};
use ferroconv_kernels::view::{Dst, Src};

/// A dtype of 8 bits, and C's cast of a sum to it.
trait Byte: Element + PartialEq + std::fmt::Debug {
    fn of(value: i64) -> Self;
    fn sample(self) -> f64;
}

impl Byte for u8 {
    fn of(value: i64) -> Self {
        value as Self
    }
    fn sample(self) -> f64 {
        self.into()
    }
}

impl Byte for i8 {
    fn of(value: i64) -> Self {
        value as Self
    }
    fn sample(self) -> f64 {
        self.into()
    }
}

/// An axis of the image: samples of it are so far apart, and it is continued by a constant or its last samples.
#[derive(Clone, Copy)]
struct Line {
    length: usize,
    step: usize,
    outside: Option<f64>,
}

/// SciPy's `correlate1d` of every sample along an axis, cast to the dtype.
fn pass<T: Byte>(image: &[T], weights: &[f64], line: Line) -> Vec<T> {
    let n = weights.len();
    let last = line.length as isize - 1;
    let odd = n % 2 == 1;
    let mirrored = |sign: f64| odd && (0..n / 2).all(|j| weights[j] == sign * weights[n - 1 - j]);
    let result = |p: usize| {
        let at = p / line.step % line.length;
        let sample = |j: usize| {
            let place = at as isize + j as isize - (n / 2) as isize;
            let there = |place: isize| {
                image[(p as isize + (place - at as isize) * line.step as isize) as usize].sample()
            };
            match line.outside {
                Some(outside) if !(0..=last).contains(&place) => outside,
                _ => there(place.clamp(0, last)),
            }
        };
        let middle = sample(n / 2) * weights[n / 2];
        let sum = if mirrored(1.0) {
            (0..n / 2).fold(middle, |sum, j| sum + (sample(j) + sample(n - 1 - j)) * weights[j])
        } else if mirrored(-1.0) {
            (0..n / 2).fold(middle, |sum, j| sum + (sample(j) - sample(n - 1 - j)) * weights[j])
        } else {
            (0..n - 1).fold(sample(n - 1) * weights[n - 1], |sum, j| sum + sample(j) * weights[j])
        };
        T::of(sum as i64)
    };
    (0..image.len()).map(result).collect()
}

/// Runs passes down the columns and along the rows by whatever takes them; says how often one guessed.
fn check<T: Byte>(
    [h, w, channels]: [usize; 3],
    [column, row]: [&[f64]; 2],
    outside: Option<i16>,
    paint: fn(usize, usize) -> i64,
) -> usize {
    let image: Vec<T> =
        (0..h * w * channels).map(|p| T::of(paint(p / (w * channels), p % (w * channels)))).collect();
    let border = outside.map(f64::from);
    let down = Line { length: h, step: w * channels, outside: border };
    let along = Line { length: w, step: channels, outside: border };
    let middle = if column.len() > 1 { pass(&image, column, down) } else { image.clone() };
    let exact = if row.len() > 1 { pass(&middle, row, along) } else { middle };
    let taps = match [column.len(), row.len()] {
        [1, _] => Taps::from_f64([1, row.len()], row),
        [_, 1] => Taps::from_f64([column.len(), 1], column),
        _ => Taps::from_terms(vec![Term { column: column.to_vec(), row: row.to_vec() }]),
    };
    let mut spec = Spec::new(T::DTYPE, [h, w], taps);
    (spec.summation, spec.channels) = (Summation::Folded, channels);
    spec.border = [if outside.is_some() { Border::Constant } else { Border::Nearest }; 2];
    spec.cval = Constant::from(border.unwrap_or(0.0));
    spec.finish = Finish { rounding: Rounding::Truncate, overflow: Overflow::Wrap };
    let problem = Correlate::new(spec).unwrap();
    let shape = [h, w * channels];
    let mut guessed = 0;
    for isa in Isa::detected() {
        for (implementation, cost) in problem.candidates(*isa) {
            if cost.is_err() {
                continue;
            }
            guessed += usize::from(implementation.name() == "guessed");
            for (threads, tile) in [(1, None), (2, Some([4, 64]))] {
                let schedule = Schedule { tile, ..Schedule::new(*isa, Workers::new(Some(threads)).unwrap()) };
                let mut result = vec![T::of(0x55); image.len()];
                let (src, mut dst) = (Src::from_slice(&image, &shape), Dst::from_slice(&mut result, &shape));
                implementation.run(&problem, &[src], std::slice::from_mut(&mut dst), &schedule).unwrap();
                let what = problem.id(implementation, *isa);
                if let Some(p) = (0..result.len()).find(|&p| result[p] != exact[p]) {
                    panic!(
                        "{what}: {:?} for {:?} at {p}, {shape:?} x {channels}, {column:?}, {row:?}, {outside:?}",
                        result[p], exact[p]
                    );
                }
            }
        }
    }
    guessed
}

/// A Gaussian.
fn bell(taps: usize) -> Vec<f64> {
    let weights = (0..taps).map(|i| (-((i as f64 - (taps / 2) as f64) / 1.3).powi(2)).exp());
    let weights: Vec<f64> = weights.collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| w / sum).collect()
}

/// Its derivative, or nearly.
fn slope(taps: usize) -> Vec<f64> {
    bell(taps).iter().enumerate().map(|(i, w)| w * (i as f64 - (taps / 2) as f64) * 0.9).collect()
}

const PICTURES: [fn(usize, usize) -> i64; 4] = [
    |_, _| 100,
    |y, x| ((x + y) % 127) as i64,
    |y, x| ((x / 9 + y / 4) % 2 * 127) as i64,
    |y, x| ((y * 70 + x * 7 + x / 5) * 37 % 251) as i64,
];

fn all<T: Byte>() {
    let mut guessed = 0;
    let lopsided: &[f64] = &[0.3, -0.1, 0.6, -0.2];
    for paint in PICTURES {
        for taps in [3, 7, 21] {
            let (bell, wider, slope) = (bell(taps), bell(taps + 2), slope(taps));
            for weights in [[&*bell, &*wider], [&[1.0], &*bell], [&*bell, &[1.0]], [&*slope, &*bell]] {
                guessed += check::<T>([15, 70, 1], weights, None, paint);
            }
            guessed += check::<T>([9, 23, 3], [&*bell, &*slope], None, paint);
            for outside in [0, 7, -9, 300] {
                guessed += check::<T>([15, 70, 1], [&*bell, &*wider], Some(outside), paint);
            }
        }
        for weights in
            [[lopsided, lopsided], [&[1.0], lopsided], [lopsided, &[1.0]], [&[0.25, 0.5, 0.25], &[0.5, 0.25]]]
        {
            guessed += check::<T>([11, 37, 1], weights, None, paint);
        }
    }
    // Every vector of a wide row is in doubt.
    guessed += check::<T>([3, 4300, 1], [&*bell(3), &*bell(5)], None, PICTURES[1]);
    assert!(guessed > 0, "the implementation that guesses was among them");
}

#[test]
fn truncated_passes_over_u8_are_made_tap_by_tap() {
    all::<u8>();
}

#[test]
fn truncated_passes_over_i8_are_made_tap_by_tap() {
    all::<i8>();
}
