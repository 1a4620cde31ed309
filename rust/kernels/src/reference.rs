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
