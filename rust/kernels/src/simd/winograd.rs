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

/// A minimal filtering of squares by 3 x 3 taps: its transforms, of the tiles of all planes.
pub trait Minimal: Send + Sync + 'static {
    /// Results of a tile, along an axis.
    const M: usize;
    /// Samples of a tile, along an axis.
    const N: usize = Self::M + 2;
    /// Places of a tile.
    const PLACES: usize = Self::N * Self::N;
    /// Roundings that a number goes through in the transforms along one axis: a sample's, a tap's (with that of
    /// its coefficient) and a product's.
    const ROUNDINGS: usize;

    /// Transforms the samples of a tile, channels in whole vectors: `from` begins at the tile's first
    /// sample, `into` at the tile's place in the first plane. Lanes after the last channel hold what
    /// stands there.
    ///
    /// # Panics
    /// If a sample or a place is beyond the end.
    fn source<V: Vector>(from: &[V::Elem], at: Square, channels: usize, into: &mut [V::Elem], plane: usize);

    /// Transforms filters: `deep` rows of `width` numbers (whole vectors) for each of the nine taps, rows
    /// `step` apart, to rows of `width` in every plane.
    ///
    /// # Panics
    /// If a row is beyond the end, or `width` is no number of whole vectors.
    fn filters<V: Vector>(
        taps: [[&[V::Elem]; 3]; 3],
        step: usize,
        size: [usize; 2],
        into: &mut [V::Elem],
        plane: usize,
    );

    /// Transforms a tile's products to its results and adds `start` to each, channels in whole vectors:
    /// `products` begins at the tile's place in the first plane; result `(i, j)` begins at `into[i * down +
    /// j * across]`. Results that no one wants are left out by `wanted`, rows and columns. Says whether all
    /// of them are finite.
    ///
    /// # Panics
    /// If a product or a result is beyond the end.
    fn results<V: Vector>(
        products: &[V::Elem],
        plane: usize,
        start: &[V::Elem],
        channels: usize,
        into: &mut [V::Elem],
        at: Square,
        wanted: [usize; 2],
    ) -> bool;
}

/// The matrices of `F(M, 3)`, as sums: `N` is `M + 2`.
trait Matrices<const N: usize, const M: usize> {
    /// `B^T d`.
    fn source<V: Vector>(d: [V; N]) -> [V; N];
    /// `G g`.
    fn filter<V: Vector>(g: [V; 3]) -> [V; N];
    /// `A^T p`.
    fn result<V: Vector>(p: [V; N]) -> [V; M];
}

macro_rules! minimal {
    ($($name:ident, $m:literal, $n:literal, $roundings:expr;)*) => {$(
        impl Minimal for $name {
            const M: usize = $m;
            const ROUNDINGS: usize = $roundings;

            #[inline(always)]
            fn source<V: Vector>(
                from: &[V::Elem],
                at: Square,
                channels: usize,
                into: &mut [V::Elem],
                plane: usize,
            ) {
                squares::<V, $n, $n>(from, at, channels, into, plane, <Self as Matrices<$n, $m>>::source);
            }

            #[inline(always)]
            fn filters<V: Vector>(
                taps: [[&[V::Elem]; 3]; 3],
                step: usize,
                size: [usize; 2],
                into: &mut [V::Elem],
                plane: usize,
            ) {
                filters::<V, Self, $n, $m>(taps, step, size, into, plane);
            }

            #[inline(always)]
            fn results<V: Vector>(
                products: &[V::Elem],
                plane: usize,
                start: &[V::Elem],
                channels: usize,
                into: &mut [V::Elem],
                at: Square,
                wanted: [usize; 2],
            ) -> bool {
                results::<V, Self, $n, $m>(products, plane, start, channels, into, at, wanted)
            }
        }
    )*};
}
minimal! {
    Two, 2, 4, 2 + 3 + 2;
    Four, 4, 6, 3 + 4 + 3;
}

/// `x` in every lane.
#[inline(always)]
fn number<V: Vector>(x: f64) -> V {
    V::splat(V::Elem::from_f64(x))
}

/// `F(2, 3)`, of the points 0, 1, -1 and infinity.
#[derive(Debug)]
pub enum Two {}

impl Matrices<4, 2> for Two {
    #[inline(always)]
    fn source<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 4] {
        [a.sub(c), b.add(c), c.sub(b), b.sub(d)]
    }

    #[inline(always)]
    fn filter<V: Vector>([a, b, c]: [V; 3]) -> [V; 4] {
        let [zero, half]: [V; 2] = [number(0.0), number(0.5)];
        let [outer, middle] = [zero.mul_add(a.add(c), half), zero.mul_add(b, half)];
        [a, outer.add(middle), outer.sub(middle), c]
    }

    #[inline(always)]
    fn result<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 2] {
        [a.add(b).add(c), b.sub(c).sub(d)]
    }
}

/// `F(4, 3)`, of the points 0, 1, -1, 1/2, -2 and infinity: the rms error is two thirds of that of 2 and
/// -2 in place of 1/2 and -2. B. Barabasz, A. Anderson, K. M. Soodhalter and D. Gregg, Error Analysis and
/// Improving the Accuracy of Winograd Convolution for Deep Neural Networks, 2020, arXiv:1803.10986.
///
/// ```text
///       1 -3/2   -2  3/2    1    0         1      0      0
///       0   -1  1/2  5/2    1    0       1/3    1/3    1/3       1  1  1    1   1  0
/// B^T = 0    1 -5/2  1/2    1    0   G= -1/3    1/3   -1/3  A^T= 0  1 -1  1/2  -2  0
///       0   -2   -1    2    1    0    -16/15  -8/15  -4/15       0  1  1  1/4   4  0
///       0  1/2   -1 -1/2    1    0      1/15  -2/15   4/15       0  1 -1  1/8  -8  1
///       0    1 -3/2   -2  3/2    1         0      0      1
/// ```
#[derive(Debug)]
pub enum Four {}

impl Matrices<6, 4> for Four {
    #[inline(always)]
    fn source<V: Vector>([a, b, c, d, e, f]: [V; 6]) -> [V; 6] {
        let [half, more, two, most]: [V; 4] = [number(0.5), number(1.5), number(2.0), number(2.5)];
        let [even, odd] = [e.sub(c), d.sub(b)];
        [
            a.sub(c).add(even).mul_add(odd, more),
            e.sub(b).mul_add(c, half).mul_add(d, most),
            e.add(b).mul_add(d, half).mul_sub(c, most),
            even.mul_add(odd, two),
            even.mul_sub(odd, half),
            f.sub(d).sub(odd).mul_add(even, more),
        ]
    }

    #[inline(always)]
    fn filter<V: Vector>([a, b, c]: [V; 3]) -> [V; 6] {
        let [zero, quarter, half, two, four]: [V; 5] =
            [number(0.0), number(0.25), number(0.5), number(2.0), number(4.0)];
        let [third, fifteenth, most]: [V; 3] = [number(1.0 / 3.0), number(1.0 / 15.0), number(-16.0 / 15.0)];
        let outer = a.add(c);
        [
            a,
            zero.mul_add(outer.add(b), third),
            zero.mul_add(b.sub(outer), third),
            zero.mul_add(a.mul_add(b, half).mul_add(c, quarter), most),
            zero.mul_add(a.mul_sub(b, two).mul_add(c, four), fifteenth),
            c,
        ]
    }

    #[inline(always)]
    fn result<V: Vector>([a, b, c, d, e, f]: [V; 6]) -> [V; 4] {
        let [eighth, quarter, half, two, four, eight]: [V; 6] =
            [number(0.125), number(0.25), number(0.5), number(2.0), number(4.0), number(8.0)];
        let [sum, difference] = [b.add(c), b.sub(c)];
        [
            a.add(sum).add(d.add(e)),
            difference.mul_add(d, half).mul_sub(e, two),
            sum.mul_add(d, quarter).mul_add(e, four),
            difference.mul_add(d, eighth).add(f.mul_sub(e, eight)),
        ]
    }
}

/// Applies a transform to the rows of a square that is loaded number by number, then to the columns, and
/// stores it likewise: the squares of long vectors would not stay in registers.
#[inline(always)]
fn both<V: Vector, const I: usize, const O: usize>(
    load: impl Fn(usize, usize) -> V,
    transform: impl Fn([V; I]) -> [V; O],
    mut store: impl FnMut(usize, usize, V),
) {
    let zero = V::splat(V::Elem::default());
    let mut rows = [[zero; O]; I];
    for i in 0..I {
        let mut row = [zero; I];
        for j in 0..I {
            row[j] = load(i, j);
        }
        rows[i] = transform(row);
    }
    for j in 0..O {
        let mut column = [zero; I];
        for i in 0..I {
            column[i] = rows[i][j];
        }
        let column = transform(column);
        for i in 0..O {
            store(i, j, column[i]);
        }
    }
}

/// Roundings that a number goes through along one axis of `F(3, 2)`: a sample's, a gradient's ([`gradients`]) and a
/// product's ([`taps`]).
pub const TURNED_ROUNDINGS: [usize; 3] = [1, 1, 2];

/// `F(3, 2)` of the same points gives three neighbouring taps' gradients from two gradients and four samples, whose
/// transform is that of [`Two`]: `A^T ((G g) * (B^T d))`.
///
/// ```text
///      1    0           1  1  1  0
/// G = 1/2  1/2    A^T = 0  1 -1  0
///     1/2 -1/2          0  1  1 -1
///      0    1
/// ```
///
/// The halves, exact wherever they are, stand in `A^T` here. This transforms the gradients of a tile, channels in whole
/// vectors: `from` begins at the tile's first gradient, `into` at the tile's place in the first plane.
///
/// # Panics
/// If a gradient or a place is beyond the end.
#[inline(always)]
pub fn gradients<V: Vector>(
    from: &[V::Elem],
    at: Square,
    channels: usize,
    into: &mut [V::Elem],
    plane: usize,
) {
    squares::<V, 2, 4>(
        from,
        at,
        channels,
        into,
        plane,
        #[inline(always)]
        |[a, b]| [a, a.add(b), a.sub(b), b],
    );
}

/// Transforms sums of products in 16 planes to the gradients of nine taps, in as many, and adds them to those that are there,
/// unless they are the `first`.
///
/// # Panics
/// If a plane is not of whole vectors, or beyond the end.
#[inline(always)]
pub fn taps<V: Vector>(sums: &[V::Elem], into: &mut [V::Elem], plane: usize, first: bool) {
    assert!(plane.is_multiple_of(V::LANES), "planes of whole vectors");
    assert!(sums.len() >= 16 * plane && into.len() >= 9 * plane, "a place in every plane");
    let (zero, half): (V, V) = (number(0.0), number(0.5));
    for at in (0..plane).step_by(V::LANES) {
        both(
            #[inline(always)]
            // SAFETY: within the planes that were asserted.
            |i, j| unsafe { V::load(sums.as_ptr().add((i * 4 + j) * plane + at)) },
            #[inline(always)]
            |[a, b, c, d]: [V; 4]| {
                let even = zero.mul_add(b.add(c), half);
                [a.add(even), zero.mul_add(b.sub(c), half), even.sub(d)]
            },
            #[inline(always)]
            // SAFETY: likewise.
            |i, j, value: V| unsafe {
                let tap = into.as_mut_ptr().add((i * 3 + j) * plane + at);
                let all = if first { value } else { V::load(tap).add(value) };
                all.store(tap);
            },
        );
    }
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

/// Transforms a square of pixels to a place in each of `O * O` planes, channels in whole vectors.
///
/// # Panics
/// If a pixel or a place is beyond the end.
#[inline(always)]
fn squares<V: Vector, const I: usize, const O: usize>(
    from: &[V::Elem],
    at: Square,
    channels: usize,
    into: &mut [V::Elem],
    plane: usize,
    transform: impl Fn([V; I]) -> [V; O],
) {
    let length = channels.next_multiple_of(V::LANES);
    assert!(from.len() >= at.reach(I, length), "the tile's pixels");
    assert!(into.len() >= (O * O - 1) * plane + length, "a place in every plane");
    for channel in (0..channels).step_by(V::LANES) {
        both(
            #[inline(always)]
            // SAFETY: within the reach that was asserted.
            |i, j| unsafe { V::load(from.as_ptr().add(i * at.down + j * at.across + channel)) },
            &transform,
            #[inline(always)]
            // SAFETY: within the planes that were asserted.
            |i, j, value| unsafe { value.store(into.as_mut_ptr().add((i * O + j) * plane + channel)) },
        );
    }
}

/// [`Minimal::filters`].
#[inline(always)]
fn filters<V: Vector, F: Matrices<N, M>, const N: usize, const M: usize>(
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
            both(
                #[inline(always)]
                // SAFETY: within the reach that was asserted.
                |i, j| unsafe { V::load(taps[i][j].as_ptr().add(row * step + lane)) },
                #[inline(always)]
                |line| F::filter(line),
                #[inline(always)]
                // SAFETY: within the planes that were asserted.
                |i, j, value| unsafe {
                    value.store(into.as_mut_ptr().add((i * N + j) * plane + row * width + lane));
                },
            );
        }
    }
}

/// [`Minimal::results`].
#[inline(always)]
fn results<V: Vector, F: Matrices<N, M>, const N: usize, const M: usize>(
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
        // SAFETY: as long as was asserted.
        let start = unsafe { V::load(start.as_ptr().add(channel)) };
        both(
            #[inline(always)]
            // SAFETY: within the planes that were asserted.
            |i, j| unsafe { V::load(products.as_ptr().add((i * N + j) * plane + channel)) },
            #[inline(always)]
            |line| F::result(line),
            #[inline(always)]
            |i, j, value: V| {
                let result = value.add(start);
                // 0 times what is not finite is no number.
                finite = finite.mul_add(result, zero);
                if i < wanted[0] && j < wanted[1] {
                    let first = i * at.down + j * at.across;
                    super::store_tile(&[result], &mut into[first..first + channels], channel);
                }
            },
        );
    }
    let lanes = finite.lanes();
    lanes[..V::LANES].iter().all(|&lane| lane == V::Elem::default())
}
