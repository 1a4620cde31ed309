//! The gradient of max pooling whose windows don't overlap: every sample is a window's greatest, and
//! takes its gradient, or is not, and takes zero. Nothing is summed, so samples stay as they are
//! stored; windows are searched in registers and nothing is read or written twice.

use super::fold::wins;
use super::gradient::{MaxGrad, Smooth, dispatch_smooth};
use super::{Pool, Windows};
use crate::dtype::DType;
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
        if problem.indices {
            return Err(Reject("reads the image, not indices"));
        }
        let Some([_, cols]) = axes::<2>(pool).or_else(|| axes::<3>(pool)) else {
            return Err(Reject(
                "needs windows of 2x2 or 3x3 that don't overlap and begin at the image's corner",
            ));
        };
        if pool.channels == 1 && (cols.taps, cols.stride) != (2, 2) {
            return Err(Reject("needs windows of 2x2 side by side, or several channels"));
        }
        let row = if pool.channels == 1 { 45.0 } else { 10.0 };
        Ok(pool.gradient_nanoseconds(1.0, 3.0, row))
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
        if let Some(pool) = pool.merged()
            && let ([x, grad], [dst]) = (srcs, &mut *dsts)
            && let (Some(x), Some(grad), Some(dst)) = (x.stacked(), grad.stacked(), dst.stacked())
        {
            return solve(&pool, [&x, &grad], &mut [dst], schedule, nanoseconds);
        }
        solve(pool, [&srcs[0], &srcs[1]], dsts, schedule, nanoseconds)
    }
}

fn solve(
    pool: &Pool,
    srcs: [&Src<'_>; 2],
    dsts: &mut [Dst<'_>],
    schedule: &Schedule<'_>,
    nanoseconds: f64,
) -> Result<(), Error> {
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
    dispatch_smooth!(pool.dtype, |T| {
        workers.drain(
            || blocks.take(),
            |block| match axes::<2>(pool) {
                Some(axes) => isa.dispatch(Task::<T, 2> { axes, srcs, block, sample: PhantomData }),
                None => match axes::<3>(pool) {
                    Some(axes) => isa.dispatch(Task::<T, 3> { axes, srcs, block, sample: PhantomData }),
                    None => unreachable!("refused"),
                },
            },
        )
    })
}

struct Task<'t, T, const K: usize> {
    axes: [Axis; 2],
    srcs: [&'t Src<'t>; 2],
    block: Block<'t>,
    sample: PhantomData<T>,
}

impl<T: Smooth, const K: usize> Kernel for Task<'_, T, K> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        block::<S, T, K>(simd, &self.axes, self.srcs, self.block);
    }
}

/// A row where it stands, or a copy of it.
#[inline(always)]
fn row<'r, T: Smooth, S: Simd>(
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
    simd.vectorize(
        #[inline(always)]
        || from.copy(y, cols, channels, copy),
    );
    copy
}

fn block<S: Simd, T: Smooth, const K: usize>(
    simd: S,
    [down, across]: &[Axis; 2],
    [x, grad]: [&Src<'_>; 2],
    mut block: Block<'_>,
) {
    let (x, grad) = (x.picture(block.picture), grad.picture(block.picture));
    let (rows, cols, channels) = (block.rows.clone(), block.cols.clone(), block.channels.clone());
    let [mut to] = block.parts();
    let deep = channels.len();
    let width = cols.len() * deep;
    // The windows that begin inside the block; only the image's last one may hang over.
    let results = cols.start / across.stride..cols.end.div_ceil(across.stride).min(across.dst);
    let whole = (results.clone()).take_while(|o| o * across.stride + K <= cols.end).count();
    let shape = Shape { deep, step: across.stride * deep, whole };
    alloc::scratch(
        [K * width, results.len() * deep, K * width, width],
        |[copies, grads, made, zeros]: [&mut [T]; 4]| {
            zeros.fill(T::default());
            for o in rows.start / down.stride..rows.end.div_ceil(down.stride) {
                let first = o * down.stride;
                let held = if o < down.dst { K.min(rows.end - first) } else { 0 };
                if held > 0 && width > 0 {
                    let grads: &[T] = match results.is_empty() {
                        true => &[],
                        false => row(simd, &grad, o, &results, &channels, grads),
                    };
                    let mut copies = copies.chunks_exact_mut(width);
                    let samples: [&[T]; K] = std::array::from_fn(|i| match copies.next() {
                        Some(copy) if i < held => row(simd, &x, first + i, &cols, &channels, copy),
                        _ => &[],
                    });
                    let lent = if held == K { to.lend_rows::<T, K>(first) } else { None };
                    if let Some(mut rows) = lent {
                        windows::<S, T, K>(simd, shape, &samples, grads, &mut rows);
                    } else {
                        let mut made_rows = made.chunks_exact_mut(width);
                        let mut rows = [(); K].map(|()| made_rows.next().unwrap_or_default());
                        windows::<S, T, K>(simd, shape, &samples, grads, &mut rows);
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
        },
    );
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
}

/// Writes the rows of `dx` under a row of windows. Of a window at the image's lower edge, the rows
/// that the image lacks are empty in `x`, and those of `dx` are not to be looked at.
fn windows<S: Simd, T: Smooth, const K: usize>(
    simd: S,
    shape: Shape,
    x: &[&[T]; K],
    grads: &[T],
    dx: &mut [&mut [T]; K],
) {
    simd.vectorize(
        #[inline(always)]
        || {
            let Shape { deep, step, whole } = shape;
            let width = x[0].len();
            let mut done = 0;
            if step > K * deep {
                // Between the windows.
                for row in dx.iter_mut() {
                    row.fill(T::default());
                }
            }
            if !x[K - 1].is_empty() {
                done = if deep == 1 {
                    let (n, mut rows) = (whole, dx.iter_mut());
                    if let (2, Some(top), Some(bottom)) = (step, rows.next(), rows.next()) {
                        squares([x[0], x[1]], &grads[..n], [top, bottom]);
                        n
                    } else {
                        0
                    }
                } else if deep >= 16 {
                    chunks::<T, K, 16>(shape, x, grads, dx)
                } else {
                    chunks::<T, K, 8>(shape, x, grads, dx)
                };
            }
            for (o, grads) in grads.chunks_exact(deep).enumerate().skip(done) {
                for (c, &grad) in grads.iter().enumerate() {
                    let first = o * step + c;
                    let mut greatest = (0, first);
                    for i in 0..K {
                        for j in 0..K {
                            let at = first + j * deep;
                            if at < x[i].len() && wins(x[i][at], x[greatest.0][greatest.1]) {
                                greatest = (i, at);
                            }
                            if at < width {
                                dx[i][at] = T::default();
                            }
                        }
                    }
                    dx[greatest.0][greatest.1] = grad;
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
fn squares<T: Smooth>(x: [&[T]; 2], grads: &[T], dx: [&mut [T]; 2]) {
    match grads.len() {
        8.. => squares_by::<T, 8, 16>(x, grads, dx),
        4..8 => squares_by::<T, 4, 8>(x, grads, dx),
        _ => squares_by::<T, 1, 2>(x, grads, dx),
    }
}

#[inline(always)]
fn squares_by<T: Smooth, const L: usize, const D: usize>(
    [a, b]: [&[T]; 2],
    grads: &[T],
    [top, bottom]: [&mut [T]; 2],
) {
    let n = grads.len();
    let mut at = 0;
    while at < n {
        let here = at.min(n - L);
        square_lanes::<T, L, D>([a, b], grads, [&mut *top, &mut *bottom], here);
        at += L;
    }
}

#[inline(always)]
fn square_lanes<T: Smooth, const L: usize, const D: usize>(
    [a, b]: [&[T]; 2],
    grads: &[T],
    [top, bottom]: [&mut [T]; 2],
    at: usize,
) {
    // Copies: what is written can't be what is read.
    let a: [T; D] = a[2 * at..][..D].try_into().expect("2 L samples");
    let b: [T; D] = b[2 * at..][..D].try_into().expect("2 L samples");
    let grads: [T; L] = grads[at..][..L].try_into().expect("L lanes");
    let mut taps = [[T::default(); L]; 4];
    for l in 0..L {
        (taps[0][l], taps[1][l], taps[2][l], taps[3][l]) = (a[2 * l], a[2 * l + 1], b[2 * l], b[2 * l + 1]);
    }
    let (mut greatest, mut places) = (taps[0], [0_u32; L]);
    for tap in 1..4 {
        for l in 0..L {
            let won = wins(taps[tap][l], greatest[l]);
            greatest[l] = if won { taps[tap][l] } else { greatest[l] };
            places[l] = if won { tap as u32 } else { places[l] };
        }
    }
    for tap in 0..4 {
        for l in 0..L {
            taps[tap][l] = if places[l] == tap as u32 { grads[l] } else { T::default() };
        }
    }
    let (mut upper, mut lower) = ([T::default(); D], [T::default(); D]);
    for l in 0..L {
        (upper[2 * l], upper[2 * l + 1]) = (taps[0][l], taps[1][l]);
        (lower[2 * l], lower[2 * l + 1]) = (taps[2][l], taps[3][l]);
    }
    top[2 * at..][..D].copy_from_slice(&upper);
    bottom[2 * at..][..D].copy_from_slice(&lower);
}

/// As many whole windows as can be done `L` channels at a time. Where there are fewer channels, the
/// lanes beyond them are written over with the next sample.
#[inline(always)]
fn chunks<T: Smooth, const K: usize, const L: usize>(
    shape: Shape,
    x: &[&[T]; K],
    grads: &[T],
    dx: &mut [&mut [T]; K],
) -> usize {
    let Shape { deep, step, whole } = shape;
    let len = x[0].len();
    for o in 0..whole {
        let (first, grad) = (o * step, o * deep);
        if deep < L {
            // What follows the last sample of a window must be another window's, or be right of all.
            if step > K * deep || first + (K - 1) * deep + L > len || grad + L > grads.len() {
                return o;
            }
            lanes::<T, K, L>(x, grads, dx, [first, grad], deep);
            continue;
        }
        let mut c = 0;
        while c + L <= deep {
            lanes::<T, K, L>(x, grads, dx, [first + c, grad + c], deep);
            c += L;
        }
        if c < deep {
            let c = deep - L;
            lanes::<T, K, L>(x, grads, dx, [first + c, grad + c], deep);
        }
    }
    whole
}

#[inline(always)]
fn lanes<T: Smooth, const K: usize, const L: usize>(
    x: &[&[T]; K],
    grads: &[T],
    dx: &mut [&mut [T]; K],
    [first, grad]: [usize; 2],
    deep: usize,
) {
    // Copies: what is written can't be what is read.
    let grads: [T; L] = grads[grad..][..L].try_into().expect("L lanes");
    let mut greatest: [T; L] = x[0][first..][..L].try_into().expect("L lanes");
    let mut places = [0_u32; L];
    for tap in 1..K * K {
        let (i, j) = (tap / K, tap % K);
        let sample: [T; L] = x[i][first + j * deep..][..L].try_into().expect("L lanes");
        for l in 0..L {
            let won = wins(sample[l], greatest[l]);
            greatest[l] = if won { sample[l] } else { greatest[l] };
            places[l] = if won { tap as u32 } else { places[l] };
        }
    }
    for tap in 0..K * K {
        let (i, j) = (tap / K, tap % K);
        let mut gradient = [T::default(); L];
        for l in 0..L {
            gradient[l] = if places[l] == tap as u32 { grads[l] } else { T::default() };
        }
        dx[i][first + j * deep..][..L].copy_from_slice(&gradient);
    }
}
