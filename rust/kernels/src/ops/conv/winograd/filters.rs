//! The gradient with respect to 3 x 3 filters, by minimal filtering: of each tile of 2 x 2 gradients, 16 products a pair of
//! channels in place of 36.
//!
//! ```text
//! U[p][tile] = (B^T x B)[p]                                p: one of the 16 places of a tile of 4 x 4 samples
//! V[p][tile] = (G g G^T)[p]                                for every channel of the result
//! M[p][c, o] = sum over the tiles of  U[p][tile][c] * V[p][tile][o]
//! dw[c, o] = A^T M A
//! ```
//!
//! A task has some channels of the image and some of the result, whose sums it keeps near, and walks over the tiles: as
//! many at a time as stay near beside the sums. The tiles are parted by the problem alone into chunks with sums of their
//! own, which are added in order: the bits don't depend on the number of threads.
//!
//! What is not finite spreads over the nine taps: then all is computed once more by [`Outer`], where NaN and infinity
//! stay where they belong.

use super::super::filters::{MAX_TILE, Outer, tiles};
use super::super::pack::{Panel, Part, lanes, panels, share};
use super::super::pass::with_lane;
use super::super::{GradFilters, RATE};
use super::task::APART;
use crate::alloc::results::Kept;
use crate::dtype::Accumulator;
use crate::isa::Kernel;
use crate::precision::Precision;
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::winograd::{self, Minimal, Square, TURNED_ROUNDINGS, Two};
use crate::simd::{Lane, Line, Simd, with_tile};
use crate::view::{Blocks, Dst, Floats, Src};
use crate::{Error, alloc};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// The implementation `winograd` of the filters' gradient, by `F(3, 2)`.
#[derive(Debug)]
pub struct WinogradFilters;

/// Places of a tile, and taps of a filter.
const PLACES: usize = Two::PLACES;
const TAPS: usize = 9;

/// Estimated nanoseconds to transform a channel of a tile's samples, one of its gradients, and the sums of a filter.
const TRANSFORMS: [f64; 3] = [1.6, 1.2, 4.0];

/// Channels of the image, and of the result, that a task has, about.
const CHANNELS: usize = 64;

/// Bytes of the transformed samples and gradients of a band of tiles.
const BAND: usize = 256 << 10;

/// Tiles of a band: fewer don't pay for reading and writing the sums, and of more the rms error would exceed that of a
/// sum over the pixels: the numbers are twice as large here.
const TILES: Range<usize> = 16..25;

/// Bands whose sums are added up before they are transformed; taps are added up then.
const BANDS: usize = 6;

/// Pixels from which on the rms error is no larger than that of oneDNN's sums of `f32` (docs/precision.md).
const PIXELS: usize = 3136;

/// Tasks that are wanted, whatever the threads are, and bytes of all chunks' taps together, at most, unless one chunk has
/// more.
const TASKS: usize = 16;
const SUMS: usize = 8 << 20;

impl Implementation<GradFilters> for WinogradFilters {
    fn name(&self) -> &'static str {
        "winograd"
    }

    fn bound(&self, problem: &GradFilters) -> Option<String> {
        let [pictures, ..] = problem.conv.y_shape();
        let [rows, cols] = grid(problem);
        // The chain over the tiles, and the transforms along both axes.
        let roundings = pictures * rows * cols + 2 * TURNED_ROUNDINGS.iter().sum::<usize>();
        let bound = roundings as f64 * problem.conv.arithmetic().unit_roundoff();
        Some(format!(
            "of the filters within {bound:.2e} x what their tiles of 4x4 samples and 2x2 gradients give if every number \
             is taken as positive, before rounding to the dtype"
        ))
    }

    fn cost(&self, problem: &GradFilters) -> Result<f64, Reject> {
        let conv = &problem.conv;
        if conv.windows.iter().any(|w| w.taps != 3 || w.stride != 1 || w.dilation != 1) {
            return Err(Reject("needs 3x3 filters with strides and dilations of 1"));
        }
        if conv.inputs == 0 {
            return Err(Reject("needs channels"));
        }
        if conv.precision == Precision::Highest && conv.y_shape()[..3].iter().product::<usize>() < PIXELS {
            return Err(Reject("of few pixels is less exact than precision='highest'"));
        }
        let [rows, cols] = grid(problem);
        let tiles = (conv.pictures * rows * cols) as f64;
        let (deep, wide) = (conv.inputs / conv.groups, conv.outputs / conv.groups);
        let times = [wide, deep].map(|n| n.div_ceil(CHANNELS) as f64);
        // Vectors have up to 16 lanes, and all of them take their time.
        let [deep, wide] = [deep, wide].map(|n| n.next_multiple_of(16) as f64);
        let [samples, gradients, filters] = TRANSFORMS;
        let products = PLACES as f64 * deep * wide / RATE;
        let each = products + samples * deep * times[0] + gradients * wide * times[1];
        let all = tiles * each + filters * deep * wide;
        Ok(conv.groups as f64 * all * conv.arithmetic().size() as f64 / 4.0)
    }

    fn run(
        &self,
        problem: &GradFilters,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        problem.check_arrays(srcs, dsts);
        let workers = schedule.workers.worth(self.cost(problem).unwrap_or(0.0));
        let schedule = Schedule { workers, ..*schedule };
        let finite = with_lane!(problem.conv, |L| solve::<L>(problem, srcs, dsts, &schedule))?;
        if finite { Ok(()) } else { Outer.run(problem, srcs, dsts, &schedule) }
    }
}

/// Rows and columns of a picture's tiles.
fn grid(problem: &GradFilters) -> [usize; 2] {
    [0, 1].map(|i| problem.conv.windows[i].dst.div_ceil(Two::M))
}

/// How a gradient is parted: data, that the problem and the instruction set alone decide.
struct Plan<'p> {
    problem: &'p GradFilters,
    lanes: usize,
    /// Channels of a group of `x`, and of `y`.
    deep: usize,
    wide: usize,
    grid: [usize; 2],
    /// By group, panels, and so many channels of the image; where the taps of each begin, and those of the next chunk.
    blocks: Vec<Channels>,
    each: usize,
    begins: Vec<usize>,
    /// Tiles of a band.
    tiles: usize,
    chunks: usize,
}

/// The channels of a task: some of a group's, and panels of its results.
#[derive(Clone, Debug)]
struct Channels {
    group: usize,
    deep: Range<usize>,
    panels: Vec<Panel>,
    /// Lanes of the panels, the first, and how many.
    first: usize,
    wide: usize,
}

impl Channels {
    /// Sums of a place, and filters of a tap.
    fn plane(&self) -> usize {
        self.deep.len() * self.wide
    }

    /// Numbers of all its taps; the bias's gradient comes last.
    fn size(&self) -> usize {
        TAPS * self.plane() + self.wide
    }
}

impl<'p> Plan<'p> {
    fn new(problem: &'p GradFilters, lanes: usize) -> Self {
        let conv = &problem.conv;
        let (deep, wide) = (conv.inputs / conv.groups, conv.outputs / conv.groups);
        let size = conv.arithmetic().size();
        let some = deep.div_ceil(deep.div_ceil(CHANNELS).max(1)).max(1);
        let all = panels(wide.div_ceil(lanes));
        let mut blocks = Vec::new();
        for group in 0..conv.groups {
            for panels in all.chunks((CHANNELS / (2 * lanes)).max(1)) {
                let first = panels[0].start * lanes;
                let wide = panels.iter().map(|panel| panel.vectors * lanes).sum();
                for start in (0..deep).step_by(some) {
                    let deep = start..(start + some).min(deep);
                    blocks.push(Channels { group, deep, panels: panels.to_vec(), first, wide });
                }
            }
        }
        let widest = blocks.iter().map(|block| block.wide).max().unwrap_or(lanes);
        let tiles = BAND / (PLACES * (some.next_multiple_of(lanes) + widest) * size);
        let tiles = tiles.clamp(TILES.start, TILES.end - 1);
        let grid = grid(problem);
        let mut begins = vec![0];
        for block in &blocks {
            begins.push(begins[begins.len() - 1] + block.size());
        }
        let sums = begins[blocks.len()];
        let lines = conv.pictures * grid[0];
        let chunks = TASKS.div_ceil(blocks.len().max(1)).min(SUMS / (sums * size).max(1));
        let chunks = chunks.min(lines * grid[1] / tiles).min(lines).max(1);
        Self { problem, lanes, deep, wide, grid, blocks, each: some, begins, tiles, chunks }
    }

    /// Bands of the tiles of a chunk: rectangles of a picture's, as many as stay near.
    fn bands(&self, chunk: usize) -> Vec<Vec<Rectangle>> {
        let [rows, cols] = self.grid;
        let at = |chunk: usize| chunk * (self.problem.conv.pictures * rows) / self.chunks;
        let width = cols.div_ceil(cols.div_ceil(self.tiles).max(1)).max(1);
        let (mut line, end) = (at(chunk), at(chunk + 1));
        let mut bands: Vec<Vec<Rectangle>> = Vec::new();
        let mut room = 0;
        while line < end {
            let (picture, y) = (line / rows, line % rows);
            let high = (self.tiles / width).max(1).min(rows - y).min(end - line);
            for x in (0..cols).step_by(width) {
                let rectangle = Rectangle { picture, first: [y, x], tiles: [high, width.min(cols - x)] };
                let count = rectangle.count();
                match bands.last_mut() {
                    Some(band) if count <= room => band.push(rectangle),
                    _ => {
                        bands.push(vec![rectangle]);
                        room = self.tiles.max(count);
                    }
                }
                room -= count;
            }
            line += high;
        }
        bands
    }
}

/// Tiles of a picture: the first, and rows and columns of them.
struct Rectangle {
    picture: usize,
    first: [usize; 2],
    tiles: [usize; 2],
}

impl Rectangle {
    fn count(&self) -> usize {
        self.tiles[0] * self.tiles[1]
    }

    /// Rows and columns of the array, from each axis's `before` on, of the numbers that its tiles of `n` have; `channels`
    /// of them.
    fn part(&self, n: usize, before: [isize; 2], channels: Range<usize>) -> Part {
        let range = |i: usize| {
            let first = (self.first[i] * Two::M) as isize - before[i];
            first..first + (self.tiles[i] * Two::M + n - Two::M) as isize
        };
        let (rows, cols, step) = (range(0), range(1), channels.len());
        Part { pitch: cols.len() * step, rows, cols, channels, step }
    }
}

/// The taps that one chunk of tiles gives for some channels.
struct Task<'t, L: Lane> {
    plan: &'t Plan<'t>,
    srcs: &'t [Src<'t>],
    chunk: usize,
    channels: &'t Channels,
    taps: &'t mut [L::Elem],
}

impl<L: Lane<Elem: Floats>> Kernel for Task<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { plan, srcs, chunk, channels, taps } = self;
        let bands = plan.bands(chunk);
        let held = channels.wide.min(plan.wide - channels.first);
        let long = channels.deep.len().next_multiple_of(plan.lanes);
        let most = bands.iter().map(|band| band.iter().map(Rectangle::count).sum()).max().unwrap_or(0);
        let planes = [most * long + APART, most * channels.wide + APART];
        let before = plan.problem.conv.windows.each_ref().map(|axis| axis.before);
        let first = channels.group * plan.wide + channels.first;
        let parts = |rectangle: &Rectangle| {
            let deep = &channels.deep;
            let from = channels.group * plan.deep;
            [
                rectangle.part(Two::N, before, from + deep.start..from + deep.end),
                rectangle.part(Two::M, [0; 2], first..first + held),
            ]
        };
        let largest = |i: usize| bands.iter().flatten().map(|r| parts(r)[i].len()).max().unwrap_or(0);
        let lengths = [
            PLACES * planes[0],
            PLACES * planes[1],
            // The vectors of the last pixel's channels may go on past them.
            largest(0) + MAX_TILE,
            largest(1) + MAX_TILE,
            largest(1),
            PLACES * channels.plane(),
        ];
        let places: Vec<usize> = (0..channels.deep.len()).collect();
        alloc::scratch(lengths, |[u, v, samples, gradients, spare, sums]: [&mut [L::Elem]; 6]| {
            let (taps, bias) = taps.split_at_mut(TAPS * channels.plane());
            bias.fill(L::Elem::default());
            if bands.is_empty() {
                taps.fill(L::Elem::default());
            }
            for (i, band) in bands.iter().enumerate() {
                simd.vectorize(
                    #[inline(always)]
                    || {
                        let mut tile = 0;
                        for rectangle in band {
                            let [x, g] = parts(rectangle);
                            x.bring::<L::Vector<S>>(
                                &srcs[0].picture(rectangle.picture),
                                None,
                                samples,
                                &mut [],
                            );
                            let mask = srcs.get(2).map(|mask| mask.picture(rectangle.picture));
                            let picture = srcs[1].picture(rectangle.picture);
                            g.bring::<L::Vector<S>>(&picture, mask.as_ref(), gradients, spare);
                            if channels.deep.start == 0 {
                                for pixel in gradients[..g.len()].chunks_exact(held) {
                                    for (sum, &value) in bias.iter_mut().zip(pixel) {
                                        *sum = sum.plus(value);
                                    }
                                }
                            }
                            let squares = [&x, &g].map(|part| Square { down: part.pitch, across: part.step });
                            for down in 0..rectangle.tiles[0] {
                                for across in 0..rectangle.tiles[1] {
                                    let at = |i: usize| {
                                        (down * squares[i].down + across * squares[i].across) * Two::M
                                    };
                                    Two::source::<L::Vector<S>>(
                                        &samples[at(0)..],
                                        squares[0],
                                        x.step,
                                        &mut u[tile * long..],
                                        planes[0],
                                    );
                                    for panel in &channels.panels {
                                        let [lane, width] =
                                            [panel.start, panel.vectors].map(|n| n * plan.lanes);
                                        let lane = lane - channels.first;
                                        winograd::gradients::<L::Vector<S>>(
                                            &gradients[at(1) + lane..],
                                            squares[1],
                                            width,
                                            &mut v[lane * most + tile * width..],
                                            planes[1],
                                        );
                                    }
                                    tile += 1;
                                }
                            }
                        }
                        let line = [Line { first: 0, step: long, pixels: tile }];
                        for place in 0..PLACES {
                            let u = &u[place * planes[0]..][..planes[0]];
                            for panel in &channels.panels {
                                let [lane, width] = [panel.start, panel.vectors].map(|n| n * plan.lanes);
                                let lane = lane - channels.first;
                                let v = &v[place * planes[1] + lane * most..][..tile * width];
                                let at = place * channels.plane() + lane * channels.deep.len();
                                let sums = &mut sums[at..][..width * channels.deep.len()];
                                with_tile!(L::Vector<S>, panel.vectors, |R, NV| {
                                    let first = i.is_multiple_of(BANDS);
                                    tiles::<L::Vector<S>, R, NV, false>(
                                        u,
                                        &places,
                                        &line,
                                        (v, width),
                                        sums,
                                        first,
                                    );
                                });
                            }
                        }
                        if (i + 1).is_multiple_of(BANDS) || i + 1 == bands.len() {
                            winograd::taps::<L::Vector<S>>(sums, taps, channels.plane(), i < BANDS);
                        }
                    },
                );
            }
        });
    }
}

/// Computes a gradient; says whether all of it is finite.
fn solve<L: Lane<Elem: Floats>>(
    problem: &GradFilters,
    srcs: &[Src<'_>],
    dsts: &mut [Dst<'_>],
    schedule: &Schedule<'_>,
) -> Result<bool, Error> {
    let plan = Plan::new(problem, lanes::<L>(schedule.isa));
    let each = plan.begins[plan.blocks.len()];
    let mut taps = Kept::new(plan.chunks * each);
    let mut rest: &mut [L::Elem] = &mut taps;
    let mut tasks = Vec::new();
    for chunk in 0..plan.chunks {
        for channels in &plan.blocks {
            let (taps, tail) = rest.split_at_mut(channels.size());
            rest = tail;
            tasks.push(Task::<L> { plan: &plan, srcs, chunk, channels, taps });
        }
    }
    share(tasks, f64::INFINITY, schedule)?;
    plan.store(&taps, dsts, schedule)
}

impl Plan<'_> {
    /// Stores the taps; says whether all are finite.
    fn store<A: Floats>(
        &self,
        taps: &[A],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<bool, Error> {
        let [_, kw, _, outputs] = self.problem.conv.filters_shape();
        let chunks: Vec<_> = taps.chunks_exact(self.begins[self.blocks.len()].max(1)).collect();
        let parts = self.deep.div_ceil(self.each).max(1);
        // The sum over the chunks of a row of all groups' results: of the blocks that have a channel, what `place` says.
        let collect = |channel: usize, row: &mut [A], place: &dyn Fn(&Channels, [usize; 2]) -> usize| {
            for i in (channel / self.each..self.blocks.len()).step_by(parts) {
                let block = &self.blocks[i];
                for panel in &block.panels {
                    let [lane, width] = [panel.start, panel.vectors].map(|n| n * self.lanes);
                    let held = lane..self.wide.min(lane + width);
                    let from = self.begins[i] + place(block, [lane - block.first, width]);
                    let row = &mut row[block.group * self.wide + held.start..][..held.len()];
                    // Shorter than a call of `memcpy`.
                    row.iter_mut().zip(&chunks[0][from..]).for_each(|(sum, &part)| *sum = part);
                    for chunk in &chunks[1..] {
                        row.iter_mut().zip(&chunk[from..]).for_each(|(sum, &part)| *sum = sum.plus(part));
                    }
                }
            }
        };
        let finite = AtomicBool::new(true);
        let check = |row: &[A]| {
            let [least, most] = [f64::NEG_INFINITY, f64::INFINITY].map(A::from_f64);
            if !row.iter().all(|&x| least < x && x < most) {
                finite.store(false, Ordering::Relaxed);
            }
        };
        let (filters, bias) = dsts.split_at_mut(1);
        // A number takes about as long as one of a packed filter.
        let nanoseconds = taps.len() as f64 / 2.0;
        let blocks = Blocks::new(filters, [1, 8, outputs]);
        schedule.workers.worth(nanoseconds).drain(
            || blocks.take(),
            |mut to| {
                let (y, cols) = (to.rows.start, to.cols.clone());
                let tap = to.picture * kw + y;
                alloc::scratch([cols.len() * outputs], |[all]: [&mut [A]; 1]| {
                    for (channel, row) in cols.zip(all.chunks_exact_mut(outputs)) {
                        collect(channel, row, &|block, [lane, width]| {
                            let (n, at) = (block.deep.len(), channel - block.deep.start);
                            tap * block.plane() + lane * n + at * width
                        });
                    }
                    check(all);
                    to.parts::<1>()[0].narrow(y, all);
                });
            },
        )?;
        if let [bias] = bias {
            let mut row = vec![A::default(); outputs];
            collect(0, &mut row, &|block, [lane, _]| TAPS * block.plane() + lane);
            check(&row);
            let blocks = Blocks::new(std::slice::from_mut(bias), [1, 1, outputs]);
            while let Some(mut to) = blocks.take() {
                to.parts::<1>()[0].narrow(0, &row);
            }
        }
        Ok(finite.into_inner())
    }
}
