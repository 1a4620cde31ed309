//! The gradient of max pooling by rows of the image's gradient: each row gathers from the few rows
//! of windows over it, whose maxima's places stay in a ring of scratch rows.
//!
//! A narrow window adds tap by tap, many windows at once, where the tap is the window's greatest; a
//! wide one adds window by window.

use super::gradient::{Comb, MaxGrad, Smooth, dispatch_smooth};
use super::winners::Winners;
use super::{Pool, Windows};
use crate::dtype::{Accumulator, DType, Finish, Overflow, Rounding};
use crate::isa::Kernel;
use crate::parallel::Workers;
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::Simd;
use crate::view::{Block, Blocks, Dst, Src};
use crate::{Error, alloc};
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The implementation `gathered`.
#[derive(Debug)]
pub struct Gathered;

/// Taps of a row up to which each is tried for many windows at once.
const NARROW: usize = 16;

impl Implementation<MaxGrad> for Gathered {
    fn name(&self) -> &'static str {
        "gathered"
    }

    fn cost(&self, problem: &MaxGrad) -> Result<f64, Reject> {
        let pool = &problem.pool;
        Winners::check(pool)?;
        let [rows, cols] = &pool.windows;
        let search = if problem.indices { 4 } else { 3 * rows.taps() * (cols.taps() + cols.stride()) };
        let gather = 2 * rows.taps() * cols.taps().min(NARROW);
        Ok(pool.gradient_nanoseconds((search + gather) as f64, 2.0, 60.0))
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
        if !problem.indices
            && let Some(pool) = pool.stacked()
            && let ([x, grad], [dst]) = (srcs, &mut *dsts)
            && let (Some(x), Some(grad), Some(dst)) = (x.stacked(), grad.stacked(), dst.stacked())
        {
            let tall = MaxGrad { pool, indices: false };
            return self.run(&tall, &[x, grad], &mut [dst], schedule);
        }
        let workers = pool.gradient_threads(schedule.workers, self.cost(problem).unwrap_or(0.0));
        if problem.indices {
            check_positions(pool, &srcs[1], schedule, workers)?;
        }
        let size = pool.gradient_blocking(workers.threads(), 2 * problem.arithmetic().size());
        let size = schedule.tile.map_or(size, |[rows, cols]| [rows, cols, size[2]]);
        let blocks = Blocks::new(dsts, size);
        let (workers, isa) = (workers.at_most(blocks.count()), schedule.isa);
        dispatch_smooth!(pool.dtype, |T| {
            workers.drain(
                || blocks.take(),
                |block| isa.dispatch(Task::<T> { problem, srcs, block, sample: PhantomData }),
            )
        })
    }
}

/// Refuses a position that is not one of its window's.
pub(super) fn check_positions(
    pool: &Pool,
    positions: &Src<'_>,
    schedule: &Schedule<'_>,
    workers: Workers<'_>,
) -> Result<(), Error> {
    /// Rows of results that a thread looks at in one go.
    const ROWS: usize = 32;
    let [rows, cols] = pool.output();
    let (count, next) = (pool.pictures * rows, AtomicUsize::new(0));
    if cols == 0 || pool.channels == 0 {
        return Ok(());
    }
    let wrong = AtomicBool::new(false);
    workers.at_most(count.div_ceil(ROWS)).drain(
        || {
            let start = next.fetch_add(ROWS, Ordering::Relaxed);
            (start < count).then(|| start..(start + ROWS).min(count))
        },
        |rows| {
            if schedule.isa.dispatch(Check { pool, positions, rows }) {
                wrong.store(true, Ordering::Relaxed);
            }
        },
    )?;
    if !wrong.into_inner() {
        return Ok(());
    }
    match (0..count).find_map(|row| misplaced(pool, positions, row)) {
        None => Ok(()),
        Some((position, [y, x])) => Err(Error::Value(format!(
            "indices must be those of the forward pass with the same arguments: y * width + x inside each \
             window. Received: {position} for the window of result row {y}, column {x}, over an image of \
             {} rows and {} columns.",
            pool.windows[0].src(),
            pool.windows[1].src()
        ))),
    }
}

/// A position of a row of results that is not in its window, and that result's row and column.
fn misplaced(pool: &Pool, positions: &Src<'_>, row: usize) -> Option<(i64, [usize; 2])> {
    let [above, across] = &pool.windows;
    let (picture, y) = (positions.picture(row / above.dst()), row % above.dst());
    let (width, window, deep) = (across.src(), above.window(y), pool.channels);
    alloc::scratch([across.dst() * deep], |[found]: [&mut [i64]; 1]| {
        picture.copy(y, &(0..across.dst()), &(0..deep), found);
        for (x, found) in found.chunks_exact(deep).enumerate() {
            let beside = across.window(x);
            for &position in found.iter() {
                let inside = usize::try_from(position).is_ok_and(|position| {
                    above.depth(&window, position / width).is_some()
                        && across.depth(&beside, position % width).is_some()
                });
                if !inside {
                    return Some((position, [y, x]));
                }
            }
        }
        None
    })
}

/// Whether a position of some rows of results is not in its window.
struct Check<'t> {
    pool: &'t Pool,
    positions: &'t Src<'t>,
    rows: Range<usize>,
}

impl Kernel for Check<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> bool {
        let Self { pool, positions, mut rows } = self;
        let [above, across] = &pool.windows;
        let dilated = above.dilation() > 1 || across.dilation() > 1;
        if dilated || above.taps() > 8 {
            return rows.any(|row| misplaced(pool, positions, row).is_some());
        }
        let (deep, results) = (pool.channels, 0..across.dst());
        let numbers = results.len() * deep;
        alloc::scratch([numbers; 3], |[found, starts, taps]: [&mut [i64]; 3]| {
            let each = starts.chunks_exact_mut(deep).zip(taps.chunks_exact_mut(deep));
            for (x, (starts, taps)) in results.clone().zip(each) {
                let window = across.window(x);
                starts.fill(window.first as i64);
                taps.fill(window.taps as i64);
            }
            rows.any(|row| {
                let (picture, y) = (positions.picture(row / above.dst()), row % above.dst());
                let window = above.window(y);
                simd.vectorize(
                    #[inline(always)]
                    || {
                        picture.copy(y, &results, &(0..deep), found);
                        let place = [window.first, across.src()];
                        macro_rules! rows {
                            ($($rows:literal)*) => {
                                match window.taps {
                                    $($rows => astray::<$rows>(found, starts, taps, place),)*
                                    _ => unreachable!("eight rows at most"),
                                }
                            };
                        }
                        rows!(0 1 2 3 4 5 6 7 8)
                    },
                )
            })
        })
    }
}

/// Whether one of the positions is outside its window of `R` rows from the first on, and so many columns
/// from its start on. A number of rows that the compiler knows is one that it makes vectors of.
#[inline(always)]
fn astray<const R: usize>(found: &[i64], starts: &[i64], taps: &[i64], [first, width]: [usize; 2]) -> bool {
    let n = found.len();
    let (starts, taps) = (&starts[..n], &taps[..n]);
    let rows: [i64; R] = std::array::from_fn(|i| ((first + i) * width) as i64);
    let mut wrong = 0_i64;
    for l in 0..n {
        let (at, mut inside) = (found[l].wrapping_sub(starts[l]), 0_i64);
        for row in rows {
            let aside = at.wrapping_sub(row);
            // The sign bit: not negative, and less than the taps.
            inside |= !aside & aside.wrapping_sub(taps[l]);
        }
        wrong |= !inside;
    }
    wrong < 0
}

struct Task<'t, T> {
    problem: &'t MaxGrad,
    srcs: &'t [Src<'t>],
    block: Block<'t>,
    sample: PhantomData<T>,
}

impl<T: Smooth> Kernel for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        block::<S, T>(simd, self.problem, self.srcs, self.block);
    }
}

/// Adds the gradients of the windows whose greatest sample has the place `at`.
fn add_where<S: Simd, A: Accumulator + std::ops::AddAssign>(
    simd: S,
    places: &[u32],
    at: u32,
    grads: &[A],
    into: &mut [A],
) {
    simd.vectorize(
        #[inline(always)]
        || {
            let n = into.len();
            let (places, grads) = (&places[..n], &grads[..n]);
            for l in 0..n {
                into[l] += if places[l] == at { grads[l] } else { A::default() };
            }
        },
    );
}

fn block<S: Simd, T: Smooth>(simd: S, problem: &MaxGrad, srcs: &[Src<'_>], mut block: Block<'_>) {
    let pool = &problem.pool;
    let [above, across] = &pool.windows;
    let (rows, cols, channels) = (block.rows.clone(), block.cols.clone(), block.channels.clone());
    let [image, grads] = if problem.indices { [1, 0] } else { [0, 1] };
    let (image, gradient) = (srcs[image].picture(block.picture), srcs[grads].picture(block.picture));
    let [mut to] = block.parts();
    let deep = channels.len();
    let results = across.over_all(&cols);
    let narrow = match across {
        Windows::Sliding(axis) if axis.taps <= NARROW && axis.stride <= NARROW => Some(axis),
        _ => None,
    };
    let comb = Comb::new(across, narrow.map_or(1, |axis| axis.stride), &cols, &results, deep);
    let winners = (!results.is_empty()).then(|| Winners::new(pool, &results, &channels, 1));
    let (width, slots) = (results.len() * deep, above.overlap());
    let [len, room] = match &winners {
        Some(winners) if !problem.indices => winners.room(),
        _ => [0, 0],
    };
    let best = if problem.indices { 0 } else { width };
    let woven = if comb.is_row() { 0 } else { comb.room() };
    let finish = Finish { rounding: Rounding::HalfEven, overflow: Overflow::Saturate };
    alloc::scratch([best, len, room], |[best, line, phases]: [&mut [T]; 3]| {
        alloc::scratch([slots * width, width], |[places, early]: [&mut [u32]; 2]| {
            alloc::scratch([width; 2], |[found, starts]: [&mut [i64]; 2]| {
                alloc::scratch(
                    [slots * width, comb.room(), woven],
                    |[ring, sums, row]: [&mut [T::Sum]; 3]| {
                        line.fill(T::LEAST);
                        if let Some(winners) = &winners {
                            winners.begin(early, starts);
                        }
                        let mut filled = 0;
                        for y in rows {
                            let over = if width == 0 { 0..0 } else { above.over(y) };
                            for o in over.start.max(filled)..over.end {
                                let slot = o % slots * width..(o % slots + 1) * width;
                                let (places, ring) = (&mut places[slot.clone()], &mut ring[slot]);
                                simd.vectorize(
                                    #[inline(always)]
                                    || gradient.read(o, &results, &channels, ring),
                                );
                                if problem.indices {
                                    let first = (above.window(o).first * across.src()) as i64;
                                    simd.vectorize(
                                        #[inline(always)]
                                        || {
                                            image.copy(o, &results, &channels, found);
                                            for ((place, &found), &start) in
                                                places.iter_mut().zip(&*found).zip(&*starts)
                                            {
                                                *place = (found - first - start) as u32;
                                            }
                                        },
                                    );
                                } else if let Some(winners) = &winners {
                                    winners.find(simd, &image, o..o + 1, [line, phases, best], early, places);
                                }
                            }
                            filled = filled.max(over.end);
                            sums.fill(T::Sum::default());
                            for o in over {
                                let Some(depth) = above.depth(&above.window(o), y) else { continue };
                                let slot = o % slots * width..(o % slots + 1) * width;
                                let (places, ring) = (&places[slot.clone()], &ring[slot]);
                                let at = (depth * across.src()) as u32;
                                if let Some(axis) = narrow {
                                    for j in 0..axis.taps {
                                        let aside = j * axis.dilation;
                                        let tooth = comb.tooth(aside, sums, width);
                                        add_where(simd, places, at + aside as u32, ring, tooth);
                                    }
                                    continue;
                                }
                                let each = places.chunks_exact(deep).zip(ring.chunks_exact(deep));
                                for (x, (places, grads)) in results.clone().zip(each) {
                                    let window = across.window(x);
                                    let limit = (window.skipped + window.taps - 1) * across.dilation();
                                    let begin = comb.place(across, x) * deep;
                                    for (c, (&place, &grad)) in places.iter().zip(grads).enumerate() {
                                        let aside = place.wrapping_sub(at) as usize;
                                        if aside <= limit {
                                            sums[begin + aside * deep + c] += grad;
                                        }
                                    }
                                }
                            }
                            let whole = if comb.is_row() {
                                &mut *sums
                            } else {
                                simd.vectorize(
                                    #[inline(always)]
                                    || comb.weave(sums, row),
                                );
                                &mut *row
                            };
                            let whole = &mut whole[comb.held.clone()];
                            simd.vectorize(
                                #[inline(always)]
                                || to.write(y, whole, finish),
                            );
                        }
                    },
                );
            });
        });
    });
}
