//! The transforms of Winograd's minimal filtering, a vector of channels at once.
//!
//! `F(m, 3)` gives `m` neighbouring results of a filter of three taps from `m + 2` products in place of
//! `3 m`:
//!
//! ```text
//! y = A^T ((G g) * (B^T d))          d: m + 2 samples, g: 3 taps, y: m results
//! ```
//!
//! and in two dimensions, applied to rows and then to columns, `m x m` results from `(m + 2)^2` products
//! in place of `9 m^2`. A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, 2015,
//! arXiv:1509.09308; S. Winograd, Arithmetic Complexity of Computations, 1980.
#![expect(unsafe_code, reason = "raw loads in the innermost loops; bounds are checked once a tile")]

use super::Vector;
use crate::dtype::Accumulator;

/// The matrices of `F(M, 3)`, as sums: `N` is `M + 2`.
pub trait Minimal<const N: usize, const M: usize>: 'static {
    /// `B^T d`.
    fn source<V: Vector>(d: [V; N]) -> [V; N];
    /// `G g`.
    fn filter<V: Vector>(g: [V; 3]) -> [V; N];
    /// `A^T p`.
    fn result<V: Vector>(p: [V; N]) -> [V; M];
}

/// `F(2, 3)`, of the points 0, 1, -1 and infinity.
#[derive(Debug)]
pub enum Two {}

impl Minimal<4, 2> for Two {
    #[inline(always)]
    fn source<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 4] {
        [a.sub(c), b.add(c), c.sub(b), b.sub(d)]
    }

    #[inline(always)]
    fn filter<V: Vector>([a, b, c]: [V; 3]) -> [V; 4] {
        let half = V::splat(V::Elem::from_f64(0.5));
        let zero = V::splat(V::Elem::default());
        let [outer, middle] = [zero.mul_add(a.add(c), half), zero.mul_add(b, half)];
        [a, outer.add(middle), outer.sub(middle), c]
    }

    #[inline(always)]
    fn result<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 2] {
        [a.add(b).add(c), b.sub(c).sub(d)]
    }
}

/// Applies a transform to the rows of a square, then to the columns.
#[inline(always)]
fn both<V: Vector, const I: usize, const O: usize>(
    square: [[V; I]; I],
    transform: impl Fn([V; I]) -> [V; O],
) -> [[V; O]; O] {
    let zero = V::splat(V::Elem::default());
    let mut rows = [[zero; O]; I];
    for i in 0..I {
        rows[i] = transform(square[i]);
    }
    let mut all = [[zero; O]; O];
    for o in 0..O {
        let mut column = [zero; I];
        for i in 0..I {
            column[i] = rows[i][o];
        }
        let column = transform(column);
        for i in 0..O {
            all[i][o] = column[i];
        }
    }
    all
}

/// Where the numbers of a square stand: the distance between neighbours down and across.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Square {
    /// From a row to the next.
    pub down: usize,
    /// From a column to the next.
    pub across: usize,
}

impl Square {
    /// Numbers from the first of a square of `n` by `n` runs of `length` to the end of the last.
    fn reach(self, n: usize, length: usize) -> usize {
        (n - 1) * (self.down + self.across) + length
    }
}

/// Transforms the samples of a tile, channels in whole vectors: `source` begins at the tile's first
/// sample, `into` at the tile's place in the first plane. Lanes after the last channel hold what
/// stands there.
///
/// # Panics
/// If a sample or a place is beyond the end.
#[inline(always)]
pub fn source<V: Vector, F: Minimal<N, M>, const N: usize, const M: usize>(
    source: &[V::Elem],
    at: Square,
    channels: usize,
    into: &mut [V::Elem],
    plane: usize,
) {
    let length = channels.next_multiple_of(V::LANES);
    assert!(source.len() >= at.reach(N, length), "the tile's samples");
    assert!(into.len() >= (N * N - 1) * plane + length, "a place in every plane");
    for channel in (0..channels).step_by(V::LANES) {
        let mut square = [[V::splat(V::Elem::default()); N]; N];
        for i in 0..N {
            for j in 0..N {
                // SAFETY: within the reach that was asserted.
                square[i][j] = unsafe { V::load(source.as_ptr().add(i * at.down + j * at.across + channel)) };
            }
        }
        let square = both(square, F::source);
        for i in 0..N {
            for j in 0..N {
                // SAFETY: within the planes that were asserted.
                unsafe { square[i][j].store(into.as_mut_ptr().add((i * N + j) * plane + channel)) }
            }
        }
    }
}

/// Transforms filters: `deep` rows of `width` numbers (whole vectors) for each of the nine taps, rows
/// `step` apart, to rows of `width` in every plane.
///
/// # Panics
/// If a row is beyond the end, or `width` is no number of whole vectors.
#[inline(always)]
pub fn filters<V: Vector, F: Minimal<N, M>, const N: usize, const M: usize>(
    taps: [[&[V::Elem]; 3]; 3],
    step: usize,
    [deep, width]: [usize; 2],
    into: &mut [V::Elem],
    plane: usize,
) {
    assert!(width.is_multiple_of(V::LANES) && deep > 0, "whole vectors");
    let reach = (deep - 1) * step + width;
    assert!(taps.as_flattened().iter().all(|tap| tap.len() >= reach), "every tap's rows");
    assert!(into.len() >= (N * N - 1) * plane + deep * width, "room in every plane");
    for row in 0..deep {
        for lane in (0..width).step_by(V::LANES) {
            let mut square = [[V::splat(V::Elem::default()); 3]; 3];
            for i in 0..3 {
                for j in 0..3 {
                    // SAFETY: within the reach that was asserted.
                    square[i][j] = unsafe { V::load(taps[i][j].as_ptr().add(row * step + lane)) };
                }
            }
            let square = both(square, F::filter);
            for i in 0..N {
                for j in 0..N {
                    // SAFETY: within the planes that were asserted.
                    unsafe {
                        square[i][j].store(into.as_mut_ptr().add((i * N + j) * plane + row * width + lane));
                    }
                }
            }
        }
    }
}

/// Transforms a tile's products to its results and adds `start` to each, channels in whole vectors:
/// `products` begins at the tile's place in the first plane; result `(i, j)` begins at `into[i * down +
/// j * across]`. Results that no one wants are left out by `wanted`, rows and columns. Says whether all
/// of them are finite.
///
/// # Panics
/// If a product or a result is beyond the end.
#[inline(always)]
pub fn results<V: Vector, F: Minimal<N, M>, const N: usize, const M: usize>(
    products: &[V::Elem],
    plane: usize,
    start: &[V::Elem],
    channels: usize,
    into: &mut [V::Elem],
    at: Square,
    wanted: [usize; 2],
) -> bool {
    let length = channels.next_multiple_of(V::LANES);
    assert!(products.len() >= (N * N - 1) * plane + length, "the tile's products");
    assert!(start.len() >= length, "a start for every lane");
    let zero = V::splat(V::Elem::default());
    let mut finite = zero;
    for channel in (0..channels).step_by(V::LANES) {
        let mut square = [[zero; N]; N];
        for i in 0..N {
            for j in 0..N {
                // SAFETY: within the planes that were asserted.
                square[i][j] = unsafe { V::load(products.as_ptr().add((i * N + j) * plane + channel)) };
            }
        }
        let square = both(square, F::result);
        // SAFETY: as long as was asserted.
        let start = unsafe { V::load(start.as_ptr().add(channel)) };
        for i in 0..M {
            for j in 0..M {
                let result = square[i][j].add(start);
                // 0 times what is not finite is no number.
                finite = finite.mul_add(result, zero);
                if i < wanted[0] && j < wanted[1] {
                    let first = i * at.down + j * at.across;
                    super::store_tile(&[result], &mut into[first..first + channels], channel);
                }
            }
        }
    }
    let lanes = finite.lanes();
    lanes[..V::LANES].iter().all(|&lane| lane == V::Elem::default())
}
