//! The layer of 3 x 3 filters, and its gradient with respect to the input, by Winograd's minimal
//! filtering: `m x m` results a tile from `(m + 2)^2` products a pair of channels in place of `9 m^2`.
//!
//! ```text
//! U[p] = (G w G^T)[p]                                      p: one of the (m + 2)^2 places of a tile
//! V[p][tile] = (B^T x B)[p]                                for every channel that is read
//! P[p][tile] = sum over the channels of V[p][tile][c] * U[p][c]
//! y[tile] = A^T P A + bias
//! ```
//!
//! The filters are transformed ahead for all tasks, and by each task the samples of as many tiles as stay
//! in the second-level cache; or, where tiles are few, the samples ahead, and by each task filters. The tiles stand on a grid that begins at the first
//! result, and every sum is one chain over the channels: the bits don't depend on blocks or threads.
//!
//! `F(2, 3)` sums a ninth of the terms in a chain that the nine taps' sum has, and its rms error is
//! smaller; but the error of a result is in proportion to the samples of its whole tile, not of its own
//! window. What is not finite spreads over a tile likewise, so a tile with a result that is not finite is
//! computed once more by [`gather`](super::gather), where NaN and infinity stay where they belong.

mod filters;
mod task;
mod weights;

pub use filters::WinogradFilters;

use super::RATE;
use super::finish::Finish;
use super::gather::Job;
use super::pack::{Panel, Taps, WARM, lanes, padded, panels, share};
use super::packed::Packed;
use super::pass::{Pass, Sources, passes, with_lane};
use crate::Error;
use crate::alloc::results::Kept;
use crate::isa::Isa;
use crate::parallel::Workers;
use crate::precision::Precision;
use crate::registry::{Reject, Schedule};
use crate::simd::Lane;
use crate::simd::winograd::{Four, Minimal, Two};
use crate::view::{Block, Blocks, Dst, Floats};
use std::marker::PhantomData;
use std::sync::OnceLock;
use task::{Filter, Task, Transform};
use weights::ROWS;

/// The implementation `winograd`, by `F(2, 3)`.
#[derive(Debug)]
pub struct Winograd;

passes!(
    Winograd,
    "winograd",
    |pass: Pass<'_>| Some(bound::<Two>(&pass)),
    |pass: Pass<'_>| cost::<Two>(&pass),
    |pass: Pass<'_>, sources, dst, schedule| solve::<Two>(&pass, sources, dst, schedule)
);

/// The implementation `winograd-4x4`, by `F(4, 3)`.
#[derive(Debug)]
pub struct Winograd4;

passes!(
    Winograd4,
    "winograd-4x4",
    |pass: Pass<'_>| Some(bound::<Four>(&pass)),
    |pass: Pass<'_>| cost::<Four>(&pass),
    |pass: Pass<'_>, sources, dst, schedule| solve::<Four>(&pass, sources, dst, schedule)
);

/// What the choice of a filtering depends on.
trait Filtering: Minimal {
    /// What a layer has to permit.
    const PRECISION: Precision;
    /// Measured nanoseconds to transform a channel of a tile's samples, one of its results, and one of a filter.
    const TRANSFORMS: [f64; 3];
    /// Tiles of a block that is larger than the second-level cache: weights are then brought seldom enough.
    const TILES: usize;
    /// Vectors of results whose filters are transformed by a task, if samples are ahead.
    const VECTORS: usize;
}

impl Filtering for Two {
    const PRECISION: Precision = Precision::Highest;
    const TRANSFORMS: [f64; 3] = [1.6, 2.4, 2.0];
    const TILES: usize = 48;
    const VECTORS: usize = 4;
}

impl Filtering for Four {
    const PRECISION: Precision = Precision::High;
    const TRANSFORMS: [f64; 3] = [8.0, 12.0, 16.0];
    const TILES: usize = 64;
    const VECTORS: usize = 8;
}

fn cost<F: Filtering>(pass: &Pass<'_>) -> Result<f64, Reject> {
    let conv = pass.conv;
    if F::PRECISION < conv.precision {
        return Err(Reject("is less exact than precision='highest'"));
    }
    if conv.windows.iter().any(|w| w.taps != 3 || w.stride != 1 || w.dilation != 1) {
        return Err(Reject("needs 3x3 filters with strides and dilations of 1"));
    }
    let [rows, cols] = grid::<F>(pass);
    let tiles = (conv.pictures * rows * cols) as f64;
    let (deep, wide) = (pass.deep as f64, pass.wide.next_multiple_of(8) as f64);
    let products = F::PLACES as f64 * deep * wide / RATE;
    let [samples, results, filters] = F::TRANSFORMS;
    let each = tiles * (products + samples * deep + results * wide) + filters * deep * wide;
    Ok(pass.groups as f64 * each * conv.arithmetic().size() as f64 / 4.0)
}

fn bound<F: Minimal>(pass: &Pass<'_>) -> String {
    // The chain over the channels, the transforms along both axes, and the bias.
    let (roundings, n) = (pass.deep + 2 * F::ROUNDINGS + 1, F::N);
    let bound = roundings as f64 * pass.conv.arithmetic().unit_roundoff();
    format!(
        "within {bound:.2e} x what the {n}x{n} samples of its tile give if every number is taken as positive, \
         before rounding to the dtype"
    )
}

/// Rows and columns of a picture's tiles.
fn grid<F: Minimal>(pass: &Pass<'_>) -> [usize; 2] {
    [0, 1].map(|i| pass.phases[i].iter().map(|p| p.count).sum::<usize>().div_ceil(F::M))
}

/// What is transformed for all tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Filters,
    Samples,
}

/// How a pass is cut up. No bit depends on it.
#[derive(Clone, Copy, Debug)]
struct Plan {
    ahead: Side,
    /// Rows and columns of tiles that a block has.
    tiles: [usize; 2],
    /// Results of a block: channels, whole vectors of them if there is more than one block of them.
    channels: usize,
    /// Blocks that are done together.
    together: usize,
    /// Channels that are summed over at once; their transformed samples stand together.
    depth: usize,
}

impl Plan {
    fn new<F: Filtering>(pass: &Pass<'_>, lanes: usize, threads: usize) -> Self {
        let [rows, cols] = grid::<F>(pass);
        let all = rows * cols * pass.conv.pictures;
        let size = pass.conv.arithmetic().size();
        // Measured: below that many tiles, writing all transformed filters to memory takes longer than
        // transforming some of them twice.
        let (ahead, channels, wanted, depth) = if pass.groups == 1 && pass.deep > 0 && 6 * all < pass.wide {
            // As many filters as stay in the second-level cache.
            let channels = F::VECTORS * lanes;
            let depth = WARM * 2 / 3 / (F::PLACES * channels * size) / ROWS * ROWS;
            (Side::Samples, channels, 96, depth.max(ROWS).min(pass.deep))
        } else {
            // One place of all tiles stays in the cache beside the weights; all places do if they are few.
            let place = (pass.deep + pass.wide).max(1) * size;
            let most = (WARM / (pass.deep.max(1) * size)).min((256 << 10) / place);
            let wanted = most.min((2 * WARM / (place * F::PLACES)).max(F::TILES)).max(8);
            // Weights that no cache holds are brought for each block.
            let far = pass.deep * pass.wide * size * F::PLACES > 16 << 20;
            let parts = if far { threads } else { 4 * threads };
            let fair = if threads == 1 { all } else { all.div_ceil(parts).max(24) };
            (Side::Filters, pass.wide, wanted.min(fair), pass.deep.max(1))
        };
        if rows * cols <= wanted {
            let together = if pass.groups == 1 { wanted / (rows * cols).max(1) } else { 1 };
            return Self { ahead, tiles: [rows, cols], channels, together: together.max(1), depth };
        }
        // As alike as can be.
        let width = cols.div_ceil(cols.div_ceil(wanted));
        let height = (wanted / width).max(1);
        Self { ahead, tiles: [rows.div_ceil(rows.div_ceil(height)), width], channels, together: 1, depth }
    }
}

/// A pass, ready to be run task by task.
struct Layer<'p, A: Floats, F> {
    filtering: PhantomData<F>,
    pass: &'p Pass<'p>,
    sources: &'p Sources<'p>,
    finish: Finish<'p>,
    taps: Taps<'p, A>,
    isa: Isa,
    lanes: usize,
    /// A number to start from for each lane of each group.
    starts: Vec<A>,
    /// What computes tiles whose results are not finite, once there is one.
    plain: OnceLock<Job<'p, A>>,
}

fn solve<F: Filtering>(
    pass: &Pass<'_>,
    sources: &Sources<'_>,
    dst: &mut Dst<'_>,
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    with_lane!(pass.conv, |L| {
        let lanes = lanes::<L>(schedule.isa);
        let layer = Layer {
            filtering: PhantomData::<F>,
            pass,
            sources,
            finish: Finish::new(pass, sources),
            taps: Taps::new(sources.filters),
            isa: schedule.isa,
            lanes,
            starts: padded(sources.bias, [pass.groups, pass.wide], pass.wide.next_multiple_of(lanes)),
            plain: OnceLock::new(),
        };
        let mut plan = Plan::new::<F>(pass, lanes, schedule.workers.threads());
        if let Some(tile) = schedule.tile {
            plan.tiles = tile.map(|n| n.div_ceil(F::M).max(1));
        }
        let size = plan.tiles.map(|n| n * F::M);
        let blocks = Blocks::new(std::slice::from_mut(dst), [size[0], size[1], plan.channels]);
        match plan.ahead {
            Side::Filters => layer.by_filters::<L>(&plan, &blocks, schedule),
            Side::Samples => layer.by_samples::<L>(&plan, &blocks, schedule),
        }
    })
}

impl<A: Floats, F: Filtering> Layer<'_, A, F> {
    /// Vectors of a range of a group's results, in panels.
    fn panels(&self, first: usize, channels: usize) -> Vec<Panel> {
        let panels = panels(channels.div_ceil(self.lanes)).into_iter();
        panels.map(|p| Panel { start: first / self.lanes + p.start, ..p }).collect()
    }

    /// Filters first, then tiles, as many at a time as the plan says.
    fn by_filters<L: Lane<Elem = A>>(
        &self,
        plan: &Plan,
        blocks: &Blocks<'_>,
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let weights =
            Packed::get(schedule.filters, self.pass, schedule.isa, || weights::all::<L, F>(self, schedule))?;
        let next = || {
            let blocks: Vec<_> = (0..plan.together).map_while(|_| blocks.take()).collect();
            (!blocks.is_empty()).then(|| {
                let (task, filters) = (Task::new(self, plan, &blocks), Filter::Transformed(&weights.numbers));
                Transform::<L, F> { task, blocks, samples: None, filters }
            })
        };
        self.workers(schedule).drain(next, |task| schedule.isa.dispatch(task))
    }

    /// The samples of the few tiles first, then some of the filters at a time.
    fn by_samples<L: Lane<Elem = A>>(
        &self,
        plan: &Plan,
        blocks: &Blocks<'_>,
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let mut all: Vec<Block<'_>> = std::iter::from_fn(|| blocks.take()).collect();
        // The same tiles, in the same order, come with all their channels one after the other.
        all.sort_by_key(|block| (block.channels.start, block.picture, block.rows.start, block.cols.start));
        let each = all.len() / self.pass.wide.div_ceil(plan.channels).max(1);
        let mut tasks: Vec<Vec<Block<'_>>> = Vec::new();
        for (i, block) in all.into_iter().enumerate() {
            if (i % each).is_multiple_of(plan.together) {
                tasks.push(Vec::new());
            }
            tasks.last_mut().expect("one was pushed").push(block);
        }
        let tasks: Vec<_> =
            tasks.into_iter().map(|blocks| (Task::new(self, plan, &blocks), blocks)).collect();
        let parts = each.div_ceil(plan.together);
        let sizes: Vec<_> = tasks[..parts].iter().map(|(task, _)| task.transformed()).collect();
        let mut samples = Kept::new(sizes.iter().sum());
        let mut rest: &mut [A] = &mut samples;
        let mut ahead = Vec::new();
        for ((task, _), &size) in tasks.iter().zip(&sizes) {
            let (into, tail) = rest.split_at_mut(size);
            rest = tail;
            ahead.push(task::Samples::<L, F> { task, into });
        }
        let tiles = plan.tiles.iter().product::<usize>() * plan.together * parts;
        share(ahead, (self.pass.deep * tiles) as f64, schedule)?;
        let mut rest: &[A] = &samples;
        let mut places = Vec::new();
        for &size in &sizes {
            let (part, tail) = rest.split_at(size);
            rest = tail;
            places.push(part);
        }
        let tasks = tasks.into_iter().enumerate().map(|(i, (task, blocks))| {
            let samples = Some(places[i % parts]);
            Transform::<L, F> { task, blocks, samples, filters: Filter::Taps }
        });
        share(tasks.collect(), self.nanoseconds(), schedule)
    }

    fn nanoseconds(&self) -> f64 {
        cost::<F>(self.pass).expect("a pass that it takes")
    }

    fn workers<'w>(&self, schedule: &Schedule<'w>) -> Workers<'w> {
        schedule.workers.worth(self.nanoseconds())
    }
}
