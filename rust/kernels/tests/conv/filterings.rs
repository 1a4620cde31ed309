//! Winograd's minimal filterings, from their matrices written anew: that they are such, and what their errors are in
//! proportion to.

/// A minimal filtering: the matrices of samples, taps and results, and roundings along an axis.
pub(crate) struct Filtering {
    pub(crate) name: &'static str,
    pub(crate) samples: &'static [&'static [f64]],
    pub(crate) taps: &'static [[f64; 3]],
    pub(crate) results: &'static [&'static [f64]],
    pub(crate) roundings: usize,
}

/// `F(2, 3)` and `F(4, 3)`.
pub(crate) const FILTERINGS: [Filtering; 2] = [
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
pub(crate) fn spread(
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

/// `F(3, 2)`, of the filters' gradient: the matrices of a tile's gradients and of the taps'; samples are those of `F(2, 3)`.
const GRADIENTS: [[f64; 2]; 4] = [[1.0, 0.0], [0.5, 0.5], [0.5, -0.5], [0.0, 1.0]];
const TAPS: [[f64; 4]; 3] = [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, 0.0], [0.0, 1.0, 1.0, -1.0]];

#[test]
fn the_gradients_matrices_are_those_of_a_filtering() {
    for tap in 0..3 {
        for gradient in 0..2 {
            for sample in 0..4 {
                let product =
                    |p: usize| TAPS[tap][p] * GRADIENTS[p][gradient] * FILTERINGS[0].samples[p][sample];
                let found: f64 = (0..4).map(product).sum();
                assert_eq!(found, f64::from(u8::from(tap + gradient == sample)), "{tap} {gradient} {sample}");
            }
        }
    }
}

/// As [`spread`], of the filters' gradient: `read` gives the samples that a picture's windows read, `grad` its gradients, of
/// the channels that a pair of channels of the filters is of.
pub(crate) fn gradient_spread(
    [pictures, height, width]: [usize; 3],
    [inner, outer]: [usize; 2],
    read: impl Fn(usize, usize, usize, [usize; 2]) -> f64,
    grad: impl Fn(usize, usize, usize, usize) -> f64,
) -> Vec<f64> {
    let mut spread = vec![0.0; 9 * inner * outer];
    let square = |n: usize| (0..n).flat_map(move |a| (0..n).map(move |b| (a, b)));
    for (n, y, x) in (0..pictures)
        .flat_map(|n| (0..height).step_by(2).flat_map(move |y| (0..width).step_by(2).map(move |x| (n, y, x))))
    {
        for (c, o) in (0..inner).flat_map(|c| (0..outer).map(move |o| (c, o))) {
            for (a, b) in square(4) {
                let samples = FILTERINGS[0].samples;
                let sample = |(i, j): (usize, usize)| {
                    (samples[a][i] * samples[b][j] * read(n, y + i, x + j, [c, o])).abs()
                };
                let gradient = |(i, j): (usize, usize)| {
                    (GRADIENTS[a][i] * GRADIENTS[b][j] * grad(n, y + i, x + j, o)).abs()
                };
                let product: f64 = square(4).map(sample).sum::<f64>() * square(2).map(gradient).sum::<f64>();
                for (i, j) in square(3) {
                    spread[((i * 3 + j) * inner + c) * outer + o] +=
                        (TAPS[i][a] * TAPS[j][b]).abs() * product;
                }
            }
        }
    }
    spread
}
