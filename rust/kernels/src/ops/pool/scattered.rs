//! The gradient of max pooling from the positions of the maxima: each gradient is added where its position
//! says, window after window in their order. Positions that are not given are searched for, a few rows at a time.
//!
//! ```text
//! dx[position[o]] += grad[o]
//! ```
//!
//! A block is a band of rows that stays in the second-level cache. It looks at every window that reaches into the band
//! and leaves out positions that are another band's. Small pictures share a band, each whole.

use super::Pool;
use super::gradient::{MaxGrad, Smooth};
use super::positions::check_positions;
use super::winners::Winners;
use crate::dtype::{DType, Element};
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{MAX_LANES, Simd};
use crate::view::{Block, Blocks, Dst, Picture, Src};
use crate::{Error, alloc};
use std::marker::PhantomData;
use std::ops::{AddAssign, Range};

/// The implementation `scattered`.
#[derive(Debug)]
pub struct Scattered;

/// Bytes of a band's sums; and of a picture's, up to which one that is a band as a whole is quicker, near or not: its windows
/// need not be looked at.
const BAND: usize = 128 << 10;
const WHOLE: usize = 8 << 20;

/// Whether pictures are bands as a whole for so many threads, where positions are given.
fn stays_whole(pool: &Pool, threads: usize) -> bool {
    let [rows, cols] = [0, 1].map(|axis| pool.windows[axis].src());
    pool.pictures >= threads && rows * cols * pool.channels * pool.dtype.size() <= WHOLE
}

impl Implementation<MaxGrad> for Scattered {
    fn name(&self) -> &'static str {
        "scattered"
    }

    fn cost(&self, problem: &MaxGrad) -> Result<f64, Reject> {
        let pool = &problem.pool;
        if !matches!(pool.dtype, DType::F32 | DType::F64) {
            return Err(Reject("sums in the image's dtype: needs float32 or float64"));
        }
        if problem.indices {
            let of_result = if stays_whole(pool, 2) { 10.0 } else { 22.0 };
            return Ok(pool.gradient_nanoseconds(of_result, 1.0, 2.0));
        }
        if pool.channels >= MAX_LANES {
            return Err(Reject("needs the positions of the maxima, or few channels"));
        }
        Winners::check(pool)?;
        let [rows, cols] = &pool.windows;
        let taps = rows.taps() * cols.taps();
        // Few wide windows are searched one by one.
        let alone = if cols.taps() >= 4 * cols.dst() { 60 * taps } else { 0 };
        let search = 35 + rows.taps() * (cols.taps() + cols.stride()) + alone;
        Ok(pool.gradient_nanoseconds(22.0 + search as f64, 1.0, 10.0))
    }

    fn run(
        &self,
        problem: &MaxGrad,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        problem.check_arrays(srcs, dsts);
        let (pool, nanoseconds) = (&problem.pool, self.cost(problem).unwrap_or(0.0));
        if problem.indices {
            let workers = schedule.workers.worth(nanoseconds);
            check_positions(pool, &srcs[1], schedule, workers)?;
        }
        let (picture, indices) = (pool.windows[0], problem.indices);
        let heights = [picture.src(), picture.dst()];
        let runs = indices && srcs.iter().all(Src::is_run) && dsts.iter().all(Dst::is_run);
        let least = if runs && stays_whole(pool, schedule.workers.threads()) { heights[0] } else { 1 };
        if let Some(pool) = pool.stacked()
            && let ([first, second], [dst]) = (srcs, &mut *dsts)
            && let (Some(first), Some(second), Some(dst)) = (first.stacked(), second.stacked(), dst.stacked())
        {
            let tall = MaxGrad { pool, indices };
            return solve(&tall, heights, least, [&first, &second], &mut [dst], schedule, nanoseconds);
        }
        solve(problem, heights, least, [&srcs[0], &srcs[1]], dsts, schedule, nanoseconds)
    }
}

/// `heights` are the rows of a picture, and of its results, that may stand above others; a band has so many at least.
fn solve(
    problem: &MaxGrad,
    heights: [usize; 2],
    least: usize,
    srcs: [&Src<'_>; 2],
    dsts: &mut [Dst<'_>],
    schedule: &Schedule<'_>,
    nanoseconds: f64,
) -> Result<(), Error> {
    let pool = &problem.pool;
    let workers = schedule.workers.worth(nanoseconds);
    let [rows, cols] = [pool.windows[0].src(), pool.windows[1].src()];
    let row = (cols * pool.channels * pool.dtype.size()).max(1);
    // Enough bands for every thread, none so low that its windows are mostly its neighbours'.
    let bands =
        if workers.threads() == 1 { 1 } else { (4 * workers.threads()).div_ceil(pool.pictures.max(1)) };
    let band = rows.div_ceil(bands).max(4 * pool.windows[0].overlap()).min(BAND / row).max(least);
    let parts = if band >= heights[0] { heights[0] } else { pool.windows[0].stride() };
    let band = if band > parts { band / parts.max(1) * parts.max(1) } else { band };
    let band = schedule.tile.map_or(band, |[rows, _]| rows.max(1));
    let blocks = Blocks::new(dsts, [band, cols.max(1), pool.channels.max(1)]);
    let workers = workers.at_most(blocks.count());
    let isa = schedule.isa;
    macro_rules! solve {
        ($T:ty) => {{
            let task =
                |block| isa.dispatch(Task::<$T> { problem, heights, srcs, block, sample: PhantomData });
            workers.drain(|| blocks.take(), task)
        }};
    }
    match pool.dtype {
        DType::F64 => solve!(f64),
        _ => solve!(f32),
    }
}

struct Task<'t, T> {
    problem: &'t MaxGrad,
    heights: [usize; 2],
    srcs: [&'t Src<'t>; 2],
    block: Block<'t>,
    sample: PhantomData<T>,
}

impl<T: Smooth + AddAssign> Kernel for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { problem, heights, srcs, mut block, .. } = self;
        if !(problem.indices && whole::<T>(problem, heights, srcs, &mut block)) {
            fill::<S, T>(simd, problem, srcs, block);
        }
    }
}

/// Rows of all results: as they stand in the array, if their numbers are neighbours, else copied.
fn rows<'r, T: Element>(
    picture: &Picture<'r>,
    ys: &Range<usize>,
    width: usize,
    deep: usize,
    copy: &'r mut [T],
) -> &'r [T] {
    if let Some(rows) = picture.lend_rows_of::<T>(ys.clone()) {
        return rows;
    }
    for (y, copy) in ys.clone().zip(copy.chunks_exact_mut(width * deep)) {
        picture.copy(y, &(0..width), &(0..deep), copy);
    }
    &copy[..ys.len() * width * deep]
}

/// Scatters the gradients of whole pictures that are runs of numbers: where their windows are is then of no account. Whether they
/// are such.
fn whole<T: Smooth + AddAssign>(
    problem: &MaxGrad,
    [height, results]: [usize; 2],
    [gradient, positions]: [&Src<'_>; 2],
    block: &mut Block<'_>,
) -> bool {
    let (lines, deep) = (block.rows.clone(), block.channels.len());
    let [width, across] = [problem.pool.windows[1].src(), problem.pool.windows[1].dst()];
    let numbers = results * across * deep;
    if numbers == 0 || !lines.start.is_multiple_of(height) || !lines.len().is_multiple_of(height) {
        return false;
    }
    let ys = lines.start / height * results..lines.end / height * results;
    let picture = block.picture;
    let [mut to] = block.parts();
    let (Some(grads), Some(found), Some(sums)) = (
        gradient.picture(picture).lend_rows_of::<T>(ys.clone()),
        positions.picture(picture).lend_rows_of::<i64>(ys),
        to.lend_run::<T>(&lines),
    ) else {
        return false;
    };
    sums.fill(T::default());
    let each = grads.chunks_exact(numbers).zip(found.chunks_exact(numbers));
    for (sums, (grads, found)) in sums.chunks_exact_mut(height * width * deep).zip(each) {
        scatter(sums, 0, deep, grads, found);
    }
    true
}

/// Results that are looked at together, of several rows if those are short.
const TOGETHER: usize = 512;

/// Rows of results that are looked at together, at most.
const MOST: usize = 64;

fn fill<S: Simd, T: Smooth + AddAssign>(
    simd: S,
    problem: &MaxGrad,
    srcs: [&Src<'_>; 2],
    mut block: Block<'_>,
) {
    let pool = &problem.pool;
    let [above, across] = &pool.windows;
    let (lines, deep) = (block.rows.clone(), block.channels.len());
    let [first, second] = srcs.map(|src| src.picture(block.picture));
    let (results, width) = (across.dst(), across.src() * deep);
    let mut over = if results == 0 { 0..0 } else { above.over_all(&lines) };
    let [mut to] = block.parts();
    let together = (TOGETHER / (results * deep).max(1)).clamp(1, MOST);
    // What searches for positions that are not given.
    let search = (!problem.indices && !over.is_empty())
        .then(|| Winners::new(pool, &(0..results), &(0..deep), together));
    let (gradient, other) = if problem.indices { (first, second) } else { (second, first) };
    let (mut known, mut lengths, mut early, mut most) =
        ([Default::default(); MOST], [0; 3], [0; 2], together);
    if let Some(winners) = &search {
        let ([len, room], [rows, apart]) = (winners.room(), winners.results());
        (lengths, early, most) = ([rows * apart, len, room], [rows * apart, results * deep], rows);
    }
    let copies = to.lend_run::<T>(&lines).is_none();
    let (room, numbers) = (if copies { lines.len() * width } else { 0 }, together * results * deep);
    alloc::scratch(lengths, |[best, row, phases]: [&mut [T]; 3]| {
        alloc::scratch(early, |[places, early]: [&mut [u32]; 2]| {
            alloc::scratch([room, numbers], |[apart, grads]: [&mut [T]; 2]| {
                alloc::scratch([numbers, results * deep], |[found, starts]: [&mut [i64]; 2]| {
                    row.fill(T::LEAST);
                    if let Some(winners) = &search {
                        winners.begin(early, starts);
                    }
                    let sums = to.lend_run(&lines).unwrap_or(&mut *apart);
                    sums.fill(T::default());
                    while !over.is_empty() {
                        let ys = over.start..over.end.min(over.start + most);
                        over.start = ys.end;
                        let known = &mut known[..ys.len()];
                        for (known, window) in known.iter_mut().zip(above.along(ys.clone())) {
                            *known = window;
                        }
                        let grads = rows(&gradient, &ys, results, deep, grads);
                        let found = match &search {
                            None => rows(&other, &ys, results, deep, found),
                            Some(winners) => {
                                let apart = winners.results()[1];
                                let (best, places) =
                                    (&mut best[..ys.len() * apart], &mut places[..ys.len() * apart]);
                                winners.find(simd, &other, known, [row, phases, best], early, places);
                                winners.positions(simd, known, places, starts, found);
                                &found[..ys.len() * results * deep]
                            }
                        };
                        // All rows of a picture have their positions from the same beginning.
                        let (mut known, mut grads, mut found) = (&known[..], grads, found);
                        while let Some(&(begin, _)) = known.first() {
                            let rows = known.iter().take_while(|row| row.0 == begin).count();
                            known = &known[rows..];
                            // From a position of the picture to one of the band: of another band, before this
                            // one (a huge number) or behind it.
                            let shift = (begin as isize - lines.start as isize) * across.src() as isize;
                            let n = rows * results * deep;
                            let (these, there);
                            ((these, grads), (there, found)) = (grads.split_at(n), found.split_at(n));
                            scatter(sums, shift as usize, deep, these, there);
                        }
                    }
                    if copies {
                        for (y, sums) in lines.zip(apart.chunks_exact(width)) {
                            to.copy(y, sums);
                        }
                    }
                });
            });
        });
    });
}

/// Adds the gradients of some windows, with whole pixels of channels, where their positions, and `shift`, say.
#[inline(always)]
fn scatter<T: Copy + AddAssign>(sums: &mut [T], shift: usize, deep: usize, grads: &[T], places: &[i64]) {
    let mut add = |at: usize, grad: T| {
        if let Some(sum) = sums.get_mut(at) {
            *sum += grad;
        }
    };
    if deep == 1 {
        for (&grad, &place) in grads.iter().zip(places) {
            add((place as usize).wrapping_add(shift), grad);
        }
        return;
    }
    for (grads, places) in grads.chunks_exact(deep).zip(places.chunks_exact(deep)) {
        for (c, (&grad, &place)) in grads.iter().zip(places).enumerate() {
            add((place as usize).wrapping_add(shift).wrapping_mul(deep).wrapping_add(c), grad);
        }
    }
}
