//! The definitions, written to be read: what every implementation is tested against.
//!
//! Loops over output and window in `i128` or complex `f64`, and nothing else. It takes plain
//! numbers and shares no code with what it checks: no shape rule, no border map, no conversion.

use num_complex::Complex;

/// A number that the definitions can be evaluated in.
pub trait Number: Copy + std::ops::Add<Output = Self> + std::ops::Mul<Output = Self> {
    /// Zero.
    const ZERO: Self;
}
impl Number for i128 {
    const ZERO: Self = 0;
}
impl Number for f64 {
    const ZERO: Self = 0.0;
}
impl Number for Complex<f64> {
    const ZERO: Self = Self::new(0.0, 0.0);
}

/// `image` with `before` and `after` samples added along one axis, by the border mode of that name,
/// one sample at a time from what is there already.
fn extend(line: &[Option<usize>], before: usize, after: usize, mode: &str) -> Vec<Option<usize>> {
    let n = line.len();
    let mut extended = line.to_vec();
    if n == 0 {
        return vec![None; before + after];
    }
    // The infinite continuation to the right has the period below; walk it sample by sample.
    let period: Vec<Option<usize>> = match mode {
        "constant" | "nearest" => Vec::new(),
        "wrap" => line.to_vec(),
        "reflect" => line.iter().chain(line.iter().rev()).copied().collect(),
        "mirror" if n == 1 => line.to_vec(),
        "mirror" => line.iter().chain(line[1..n - 1].iter().rev()).copied().collect(),
        other => unreachable!("no definition of border mode {other}"),
    };
    for i in 0..after {
        extended.push(match mode {
            "constant" => None,
            "nearest" => line[n - 1],
            _ => period[(n + i) % period.len()],
        });
    }
    for i in 0..before {
        let left = match mode {
            "constant" => None,
            "nearest" => line[0],
            _ => period[period.len() - 1 - i % period.len()],
        };
        extended.insert(0, left);
    }
    extended
}

/// One axis of a filter, in the reference's own terms.
#[derive(Clone, Debug)]
pub struct ReferenceAxis {
    /// Samples that the window reaches before the image at result 0; negative: begins inside.
    pub before: isize,
    /// Results.
    pub results: usize,
    /// Distance between results.
    pub stride: usize,
    /// Distance between taps.
    pub dilation: usize,
    /// The border mode's canonical name.
    pub border: &'static str,
}

/// Where result `o`, tap `t` of an axis of `n` samples reads: `None` for the constant.
fn positions(axis: &ReferenceAxis, n: usize, taps: usize) -> Vec<Vec<Option<usize>>> {
    let reach = axis.results * axis.stride + taps * axis.dilation + axis.before.unsigned_abs();
    let line: Vec<_> = (0..n).map(Some).collect();
    let extended = extend(&line, reach, reach, axis.border);
    (0..axis.results)
        .map(|o| {
            (0..taps)
                .map(|t| {
                    let at = reach as isize + (o * axis.stride + t * axis.dilation) as isize - axis.before;
                    extended[at as usize]
                })
                .collect()
        })
        .collect()
}

/// Correlation of one image:
/// `dst[y, x] = sum of w[i, j] * src[y * sh + i * dh - top, x * sw + j * dw - left]`.
pub fn correlate<N: Number>(
    image: &[N],
    shape: [usize; 2],
    weights: &[N],
    window: [usize; 2],
    axes: &[ReferenceAxis; 2],
    cval: N,
) -> Vec<N> {
    let rows = positions(&axes[0], shape[0], window[0]);
    let cols = positions(&axes[1], shape[1], window[1]);
    let mut result = Vec::with_capacity(rows.len() * cols.len());
    for y in &rows {
        for x in &cols {
            let mut sum = N::ZERO;
            for (i, &row) in y.iter().enumerate() {
                for (j, &col) in x.iter().enumerate() {
                    let sample = match (row, col) {
                        (Some(row), Some(col)) => image[row * shape[1] + col],
                        _ => cval,
                    };
                    sum = sum + weights[i * window[1] + j] * sample;
                }
            }
            result.push(sum);
        }
    }
    result
}

/// The samples of every window that slides over an image, in C order; `None` is the constant.
pub fn sliding_windows(
    shape: [usize; 2],
    window: [usize; 2],
    axes: &[ReferenceAxis; 2],
) -> Vec<Vec<Option<usize>>> {
    let rows = positions(&axes[0], shape[0], window[0]);
    let cols = positions(&axes[1], shape[1], window[1]);
    let mut all = Vec::with_capacity(rows.len() * cols.len());
    for y in &rows {
        for x in &cols {
            let place = |row: &Option<usize>, col: &Option<usize>| Some((*row)? * shape[1] + (*col)?);
            all.push(y.iter().flat_map(|row| x.iter().map(move |col| place(row, col))).collect());
        }
    }
    all
}

/// One axis of pooling, in the reference's own terms.
#[derive(Clone, Debug)]
pub enum ReferenceWindows {
    /// A window that slides.
    Sliding {
        /// Padding before and after the image.
        padding: [usize; 2],
        /// Taps.
        taps: usize,
        /// Results.
        results: usize,
        /// Distance between results.
        stride: usize,
        /// Distance between taps.
        dilation: usize,
    },
    /// So many parts, as equal as can be.
    Adaptive(usize),
}

/// Each window of an axis of `n` samples: the positions inside the image, and how many there are
/// with those in the padding.
fn windows(axis: &ReferenceWindows, n: usize) -> Vec<(Vec<usize>, usize)> {
    match *axis {
        ReferenceWindows::Sliding { padding: [before, after], taps, results, stride, dilation } => (0
            ..results)
            .map(|o| {
                // Positions in the padded image, cut off where it ends.
                let padded: Vec<usize> = (0..taps)
                    .map(|t| o * stride + t * dilation)
                    .filter(|&p| p < before + n + after)
                    .collect();
                let inside = padded.iter().filter(|&&p| p >= before && p < before + n).map(|p| p - before);
                (inside.collect(), padded.len())
            })
            .collect(),
        ReferenceWindows::Adaptive(results) => (0..results)
            .map(|o| {
                let inside: Vec<usize> =
                    (0..n).filter(|p| (p + 1) * results > o * n && p * results < (o + 1) * n).collect();
                let count = inside.len();
                (inside, count)
            })
            .collect(),
    }
}

/// The windows of a picture: for each result, the positions `y * width + x` in the image, in order,
/// and how many taps there are with those in the padding.
pub fn pooling_windows([h, w]: [usize; 2], axes: &[ReferenceWindows; 2]) -> Vec<(Vec<usize>, usize)> {
    let mut all = Vec::new();
    for (ys, rows) in windows(&axes[0], h) {
        for (xs, cols) in windows(&axes[1], w) {
            let positions = ys.iter().flat_map(|y| xs.iter().map(move |x| y * w + x)).collect();
            all.push((positions, rows * cols));
        }
    }
    all
}

/// The place of the greatest of `samples`: the first of equal ones, the last NaN, and the first of
/// all where none is greater than the least.
pub fn greatest(samples: &[f64]) -> usize {
    let mut best = f64::NEG_INFINITY;
    let mut place = 0;
    for (i, &x) in samples.iter().enumerate() {
        if x > best || x.is_nan() {
            (best, place) = (x, i);
        }
    }
    place
}

/// The gradient of a picture's maxima: each window's goes to its greatest sample.
pub fn greatest_gradient(picture: &[f64], windows: &[(Vec<usize>, usize)], grads: &[f64]) -> Vec<f64> {
    let mut gradient = vec![0.0; picture.len()];
    for ((positions, _), grad) in windows.iter().zip(grads) {
        let samples: Vec<f64> = positions.iter().map(|&p| picture[p]).collect();
        gradient[positions[greatest(&samples)]] += grad;
    }
    gradient
}

/// The gradient of a picture's means: each window's part of it goes to all its samples. `divisors`
/// has one number for each window.
pub fn mean_gradient(
    samples: usize,
    windows: &[(Vec<usize>, usize)],
    divisors: &[f64],
    grads: &[f64],
) -> Vec<f64> {
    let mut gradient = vec![0.0; samples];
    for (((positions, _), divisor), grad) in windows.iter().zip(divisors).zip(grads) {
        for &position in positions {
            gradient[position] += grad / divisor;
        }
    }
    gradient
}

/// The whole number nearest to `sum / divisor`, the even one of two.
pub fn mean_half_even(sum: i128, divisor: i128) -> i128 {
    let near = sum / divisor;
    (near - 1..=near + 1).min_by_key(|q| (2 * (q * divisor - sum).abs(), q.rem_euclid(2))).unwrap_or(0)
}
