//! The gradient of max pooling whose windows don't overlap: every sample is a window's greatest, and
//! takes its gradient, or is not, and takes zero. Nothing is summed, so samples stay as they are
//! stored; windows are searched in registers, or their positions compared with each tap's, and nothing is written twice.

use super::fold::wins;
use super::gradient::{MaxGrad, Smooth, dispatch_smooth};
use super::positions::check_positions;
use super::{Pool, Windows};
use crate::dtype::{DType, Element};
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule};
use crate::shape::Axis;
use crate::simd::Simd;
use crate::view::{Block, Blocks, Dst, Picture, Src};
use crate::{Error, alloc};
use std::marker::PhantomData;
use std::ops::Range;

/// The implementation `apart`.
#[derive(Debug)]
pub struct Apart;

/// The two axes, if their windows are of `K` taps and apart.
fn axes<const K: usize>(pool: &Pool) -> Option<[Axis; 2]> {
    let [Windows::Sliding(rows), Windows::Sliding(cols)] = pool.windows else { return None };
    let fits = |axis: &Axis| axis.taps == K && axis.stride >= K && axis.dilation == 1 && axis.before == 0;
    (fits(&rows) && fits(&cols)).then_some([rows, cols])
}

impl Implementation<MaxGrad> for Apart {
    fn name(&self) -> &'static str {
        "apart"
    }

    fn cost(&self, problem: &MaxGrad) -> Result<f64, Reject> {
        let pool = &problem.pool;
        let Some([_, cols]) = axes::<2>(pool).or_else(|| axes::<3>(pool)) else {
            return Err(Reject(
                "needs windows of 2x2 or 3x3 that don't overlap and begin at the image's corner",
            ));
        };
        if pool.channels == 1 && (cols.taps, cols.stride) != (2, 2) {
            return Err(Reject("needs windows of 2x2 side by side, or several channels"));
        }
        let vast = pool.windows[0].src().checked_mul(cols.src).is_none_or(|n| i32::try_from(n).is_err());
        if problem.indices && vast {
            return Err(Reject("compares positions as 32-bit numbers"));
        }
        // Few channels' windows take as long as many; positions are not searched for.
        let (of_result, of_sample) = match (problem.indices, pool.channels) {
            (true, 2..8) => (30.0, 3.0),
            (true, _) => (1.0, 2.3),
            (false, _) => (1.0, 3.0),
        };
        let row = if pool.channels == 1 { 45.0 } else { 10.0 };
        Ok(pool.gradient_nanoseconds(of_result, of_sample, row))
    }

    fn run(
        &self,
        problem: &MaxGrad,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        problem.check_arrays(srcs, dsts);
        let pool = &problem.pool;
        let nanoseconds = self.cost(problem).unwrap_or(0.0);
        let mut srcs = [&srcs[0], &srcs[1]];
        if problem.indices {
            check_positions(pool, srcs[1], schedule, schedule.workers.worth(nanoseconds))?;
            srcs.reverse();
        }
        let height = pool.windows[0].dst();
        if let Some(pool) = pool.merged()
            && let [dst] = &mut *dsts
            && let (Some(first), Some(grad), Some(dst)) =
                (srcs[0].stacked(), srcs[1].stacked(), dst.stacked())
        {
            let problem = MaxGrad { pool, indices: problem.indices };
            return solve(&problem, height, [&first, &grad], &mut [dst], schedule, nanoseconds);
        }
        solve(problem, height, srcs, dsts, schedule, nanoseconds)
    }
}

/// `srcs` are the image or the positions, and the gradient; `height` are the rows of a picture's results, that may stand above
/// others.
fn solve(
    problem: &MaxGrad,
    height: usize,
    srcs: [&Src<'_>; 2],
    dsts: &mut [Dst<'_>],
    schedule: &Schedule<'_>,
    nanoseconds: f64,
) -> Result<(), Error> {
    let pool = &problem.pool;
    let workers = schedule.workers.worth(nanoseconds);
    let mut size = pool.gradient_blocking(workers.threads(), pool.dtype.size());
    if let Some([rows, cols]) = schedule.tile {
        size = [rows, cols, size[2]];
    }
    if let [Windows::Sliding(rows), Windows::Sliding(cols)] = &pool.windows {
        // Windows are not parted.
        let whole = |n: usize, axis: &Axis| n.div_ceil(axis.stride).saturating_mul(axis.stride);
        size = [whole(size[0], rows), whole(size[1], cols), pool.channels];
    }
    let blocks = Blocks::new(dsts, size);
    let (workers, isa) = (workers.at_most(blocks.count()), schedule.isa);
    let positions = problem.indices.then_some(height);
    dispatch_smooth!(pool.dtype, |T| {
        workers.drain(
            || blocks.take(),
            |block| {
                if let Some(axes) = axes::<2>(pool) {
                    isa.dispatch(Task::<T, 2> { axes, positions, srcs, block, sample: PhantomData });
                } else {
                    let axes = axes::<3>(pool).expect("windows that it takes");
                    isa.dispatch(Task::<T, 3> { axes, positions, srcs, block, sample: PhantomData });
                }
            },
        )
    })
}

struct Task<'t, T, const K: usize> {
    axes: [Axis; 2],
    /// Where positions are given, rows of a picture's results.
    positions: Option<usize>,
    srcs: [&'t Src<'t>; 2],
    block: Block<'t>,
    sample: PhantomData<T>,
}

impl<T: Smooth, const K: usize> Kernel for Task<'_, T, K> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { axes, positions, srcs, block, .. } = self;
        fill::<S, T, K>(simd, &axes, positions, srcs, block);
    }
}

/// A row where it stands, or a copy of it.
#[inline(always)]
fn row<'r, T: Element, S: Simd>(
    simd: S,
    from: &Picture<'r>,
    y: usize,
    cols: &Range<usize>,
    channels: &Range<usize>,
    copy: &'r mut [T],
) -> &'r [T] {
    if let Some(row) = from.lend(y, cols, channels) {
        return row;
    }
    let copy = &mut copy[..cols.len() * channels.len()];
    simd.vectorize(
        #[inline(always)]
        || from.copy(y, cols, channels, copy),
    );
    copy
}

fn fill<S: Simd, T: Smooth, const K: usize>(
    simd: S,
    [down, across]: &[Axis; 2],
    positions: Option<usize>,
    [first, grad]: [&Src<'_>; 2],
    mut block: Block<'_>,
) {
    let (from, grad) = (first.picture(block.picture), grad.picture(block.picture));
    let (rows, cols, channels) = (block.rows.clone(), block.cols.clone(), block.channels.clone());
    let [mut to] = block.parts();
    let deep = channels.len();
    let width = cols.len() * deep;
    // The windows that begin inside the block; only the image's last one may hang over.
    let results = cols.start / across.stride..cols.end.div_ceil(across.stride).min(across.dst);
    let whole = (results.clone()).take_while(|o| o * across.stride + K <= cols.end).count();
    let shape = Shape { deep, step: across.stride * deep, whole, held: K, width };
    let numbers = results.len() * deep;
    let copied = if positions.is_some() { [0, numbers] } else { [K * width, 0] };
    alloc::scratch([copied[0], numbers, K * width, width], |[copies, grads, made, zeros]: [&mut [T]; 4]| {
        alloc::scratch([copied[1]], |[found]: [&mut [i64]; 1]| {
            zeros.fill(T::default());
            for o in rows.start / down.stride..rows.end.div_ceil(down.stride) {
                let first = o * down.stride;
                let held = if o < down.dst { K.min(rows.end - first) } else { 0 };
                let shape = Shape { held, ..shape };
                if held > 0 && width > 0 {
                    let grads: &[T] = match results.is_empty() {
                        true => &[],
                        false => row(simd, &grad, o, &results, &channels, grads),
                    };
                    let mut write = |rows: &mut [&mut [T]; K]| {
                        if let Some(height) = positions {
                            let found: &[i64] = match results.is_empty() {
                                true => &[],
                                false => row(simd, &from, o, &results, &channels, found),
                            };
                            let first =
                                (o % height) * down.stride * across.src + results.start * across.stride;
                            let [first, step, image] = [first, across.stride, across.src].map(|n| n as u32);
                            return windows(
                                simd,
                                shape,
                                Positions { found, first, step, image },
                                grads,
                                rows,
                            );
                        }
                        let mut copies = copies.chunks_exact_mut(width);
                        let samples: [&[T]; K] = std::array::from_fn(|i| match copies.next() {
                            Some(copy) if i < held => row(simd, &from, first + i, &cols, &channels, copy),
                            _ => &[],
                        });
                        windows(simd, shape, Samples(samples), grads, rows);
                    };
                    let lent = if held == K { to.lend_rows::<T, K>(first) } else { None };
                    if let Some(mut rows) = lent {
                        write(&mut rows);
                    } else {
                        let mut made_rows = made.chunks_exact_mut(width);
                        let mut rows = [(); K].map(|()| made_rows.next().unwrap_or_default());
                        write(&mut rows);
                        for (i, row) in rows.iter().take(held).enumerate() {
                            simd.vectorize(
                                #[inline(always)]
                                || to.copy(first + i, row),
                            );
                        }
                    }
                }
                for y in first + held..(first + down.stride).min(rows.end) {
                    simd.vectorize(
                        #[inline(always)]
                        || to.copy(y, zeros),
                    );
                }
            }
        });
    });
}

/// How windows stand in a row.
#[derive(Clone, Copy)]
struct Shape {
    /// Channels.
    deep: usize,
    /// Numbers from one window to the next.
    step: usize,
    /// Windows with all their columns.
    whole: usize,
    /// Rows of a window that the image has.
    held: usize,
    /// Numbers of a row.
    width: usize,
}

/// What says which tap of a window wins. A tap has a number here, which `number` knows.
trait Winner<T, const K: usize>: Copy {
    /// The number of tap `i`, `j`.
    fn number(self, tap: [usize; 2]) -> u32;

    /// The winners' numbers of `L` neighbouring channels of window `o`, whose first samples stand at `first` and whose result is
    /// at `at`.
    fn lanes<const L: usize>(self, o: usize, first: usize, at: usize, deep: usize) -> [u32; L];

    /// Those of `L` windows of 2 x 2 of one channel, side by side from `o` on; `D` are twice as many.
    fn squares<const L: usize, const D: usize>(self, o: usize) -> [u32; L];

    /// That of one channel of a window that hangs over the image's edge.
    fn alone(self, o: usize, first: usize, at: usize, shape: Shape) -> u32;
}

/// Rows of samples: the first greatest one wins. A row that the image lacks is empty.
#[derive(Clone, Copy)]
struct Samples<'x, T, const K: usize>([&'x [T]; K]);

impl<T: Smooth, const K: usize> Winner<T, K> for Samples<'_, T, K> {
    #[inline(always)]
    fn number(self, [i, j]: [usize; 2]) -> u32 {
        (i * K + j) as u32
    }

    #[inline(always)]
    fn lanes<const L: usize>(self, _: usize, first: usize, _: usize, deep: usize) -> [u32; L] {
        let mut greatest: [T; L] = self.0[0][first..][..L].try_into().expect("L lanes");
        let mut places = [0; L];
        for tap in 1..K * K {
            let (i, j) = (tap / K, tap % K);
            let sample: [T; L] = self.0[i][first + j * deep..][..L].try_into().expect("L lanes");
            for l in 0..L {
                let won = wins(sample[l], greatest[l]);
                greatest[l] = if won { sample[l] } else { greatest[l] };
                places[l] = if won { tap as u32 } else { places[l] };
            }
        }
        places
    }

    #[inline(always)]
    fn squares<const L: usize, const D: usize>(self, o: usize) -> [u32; L] {
        let [a, b]: [[T; D]; 2] =
            [self.0[0], self.0[K - 1]].map(|row| row[2 * o..][..D].try_into().expect("2 L samples"));
        let mut taps = [[T::default(); L]; 4];
        for l in 0..L {
            (taps[0][l], taps[1][l], taps[2][l], taps[3][l]) =
                (a[2 * l], a[2 * l + 1], b[2 * l], b[2 * l + 1]);
        }
        let (mut greatest, mut places) = (taps[0], [0; L]);
        for tap in 1..4 {
            for l in 0..L {
                let won = wins(taps[tap][l], greatest[l]);
                greatest[l] = if won { taps[tap][l] } else { greatest[l] };
                places[l] = if won { tap as u32 } else { places[l] };
            }
        }
        places
    }

    #[inline(always)]
    fn alone(self, _: usize, first: usize, _: usize, Shape { deep, held, width, .. }: Shape) -> u32 {
        let mut greatest = (0, first);
        for (i, j) in (0..held).flat_map(|i| (0..K).map(move |j| (i, j))) {
            let at = first + j * deep;
            if at < width && wins(self.0[i][at], self.0[greatest.0][greatest.1]) {
                greatest = (i, at);
            }
        }
        self.number([greatest.0, (greatest.1 - first) / deep])
    }
}

/// Positions of the winners in an image of so many columns, whose first window begins at `first`, and the others so far from
/// each other. A number is the distance from the window's first position.
#[derive(Clone, Copy)]
struct Positions<'p> {
    found: &'p [i64],
    first: u32,
    step: u32,
    image: u32,
}

impl<T: Smooth, const K: usize> Winner<T, K> for Positions<'_> {
    #[inline(always)]
    fn number(self, [i, j]: [usize; 2]) -> u32 {
        i as u32 * self.image + j as u32
    }

    #[inline(always)]
    fn lanes<const L: usize>(self, o: usize, _: usize, at: usize, _: usize) -> [u32; L] {
        let found: [i64; L] = self.found[at..][..L].try_into().expect("L lanes");
        let first = self.first + o as u32 * self.step;
        found.map(
            #[inline(always)]
            |position| (position as u32).wrapping_sub(first),
        )
    }

    #[inline(always)]
    fn squares<const L: usize, const D: usize>(self, o: usize) -> [u32; L] {
        let found: [i64; L] = self.found[o..][..L].try_into().expect("L lanes");
        let mut places = [0; L];
        for l in 0..L {
            places[l] = (found[l] as u32).wrapping_sub(self.first + 2 * (o + l) as u32);
        }
        places
    }

    #[inline(always)]
    fn alone(self, o: usize, _: usize, at: usize, _: Shape) -> u32 {
        (self.found[at] as u32).wrapping_sub(self.first + o as u32 * self.step)
    }
}

/// Writes the rows of `dx` under a row of windows. Of a window at the image's lower edge, those that the image lacks are not to be
/// looked at.
fn windows<S: Simd, T: Smooth, const K: usize>(
    simd: S,
    shape: Shape,
    winner: impl Winner<T, K>,
    grads: &[T],
    dx: &mut [&mut [T]; K],
) {
    simd.vectorize(
        #[inline(always)]
        || {
            let Shape { deep, step, whole, held, width } = shape;
            let mut done = 0;
            if step > K * deep {
                // Between the windows.
                for row in dx.iter_mut() {
                    row.fill(T::default());
                }
            }
            if held == K {
                done = if deep == 1 {
                    let (n, mut rows) = (whole, dx.iter_mut());
                    if let (2, Some(top), Some(bottom)) = (step, rows.next(), rows.next()) {
                        squares::<T, K>(winner, &grads[..n], [top, bottom]);
                        n
                    } else {
                        0
                    }
                } else if deep >= 16 {
                    chunks::<T, K, 16>(shape, winner, grads, dx)
                } else {
                    chunks::<T, K, 8>(shape, winner, grads, dx)
                };
            }
            for (o, own) in grads.chunks_exact(deep).enumerate().skip(done) {
                for (c, &grad) in own.iter().enumerate() {
                    let first = o * step + c;
                    let place = winner.alone(o, first, o * deep + c, shape);
                    for (i, j) in (0..held).flat_map(|i| (0..K).map(move |j| (i, j))) {
                        if let Some(dx) = dx[i].get_mut(first + j * deep) {
                            *dx = if place == winner.number([i, j]) { grad } else { T::default() };
                        }
                    }
                }
            }
            // Right of the last window.
            let end = (grads.len() / deep.max(1)).saturating_sub(1) * step + K * deep;
            let end = if grads.is_empty() { 0 } else { end.min(width) };
            for row in dx.iter_mut() {
                row[end..].fill(T::default());
            }
        },
    );
}

/// Windows of 2 x 2 side by side, of one channel, `L` at a time; the last ones overlap those before
/// where that leaves none out.
#[inline(always)]
fn squares<T: Smooth, const K: usize>(winner: impl Winner<T, K>, grads: &[T], dx: [&mut [T]; 2]) {
    match grads.len() {
        8.. => squares_by::<T, K, 8, 16>(winner, grads, dx),
        4..8 => squares_by::<T, K, 4, 8>(winner, grads, dx),
        _ => squares_by::<T, K, 1, 2>(winner, grads, dx),
    }
}

#[inline(always)]
fn squares_by<T: Smooth, const K: usize, const L: usize, const D: usize>(
    winner: impl Winner<T, K>,
    grads: &[T],
    [top, bottom]: [&mut [T]; 2],
) {
    let n = grads.len();
    let mut at = 0;
    while at < n {
        let here = at.min(n - L);
        // Copies: what is written can't be what is read.
        let own: [T; L] = grads[here..][..L].try_into().expect("L lanes");
        let places = winner.squares::<L, D>(here);
        let (mut upper, mut lower) = ([T::default(); D], [T::default(); D]);
        for (row, into) in [&mut upper, &mut lower].into_iter().enumerate() {
            for l in 0..L {
                for j in 0..2 {
                    let wins = places[l] == winner.number([row, j]);
                    into[2 * l + j] = if wins { own[l] } else { T::default() };
                }
            }
        }
        top[2 * here..][..D].copy_from_slice(&upper);
        bottom[2 * here..][..D].copy_from_slice(&lower);
        at += L;
    }
}

/// As many whole windows as can be done `L` channels at a time. Where there are fewer channels, the
/// lanes beyond them are written over with the next sample.
#[inline(always)]
fn chunks<T: Smooth, const K: usize, const L: usize>(
    shape: Shape,
    winner: impl Winner<T, K>,
    grads: &[T],
    dx: &mut [&mut [T]; K],
) -> usize {
    let Shape { deep, step, whole, width, .. } = shape;
    for o in 0..whole {
        let (first, grad) = (o * step, o * deep);
        if deep < L {
            // What follows the last sample of a window must be another window's, or be right of all.
            if step > K * deep || first + (K - 1) * deep + L > width || grad + L > grads.len() {
                return o;
            }
            lanes::<T, K, L>(winner, grads, dx, [o, first, grad], deep);
            continue;
        }
        let mut c = 0;
        while c + L <= deep {
            lanes::<T, K, L>(winner, grads, dx, [o, first + c, grad + c], deep);
            c += L;
        }
        if c < deep {
            let c = deep - L;
            lanes::<T, K, L>(winner, grads, dx, [o, first + c, grad + c], deep);
        }
    }
    whole
}

#[inline(always)]
fn lanes<T: Smooth, const K: usize, const L: usize>(
    winner: impl Winner<T, K>,
    grads: &[T],
    dx: &mut [&mut [T]; K],
    [o, first, grad]: [usize; 3],
    deep: usize,
) {
    // Copies: what is written can't be what is read.
    let grads: [T; L] = grads[grad..][..L].try_into().expect("L lanes");
    let places = winner.lanes::<L>(o, first, grad, deep);
    for (i, j) in (0..K).flat_map(|i| (0..K).map(move |j| (i, j))) {
        let number = winner.number([i, j]);
        let mut gradient = [T::default(); L];
        for l in 0..L {
            gradient[l] = if places[l] == number { grads[l] } else { T::default() };
        }
        dx[i][first + j * deep..][..L].copy_from_slice(&gradient);
    }
}
