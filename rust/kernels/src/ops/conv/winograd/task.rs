//! The tiles of a few blocks: their samples transformed, multiplied and transformed back.

use super::super::gather::{Job, Walk};
use super::super::pack::{Panel, Part, WARM};
use super::weights::{ROWS, rows};
use super::{Filtering, Layer, Plan};
use crate::alloc;
use crate::isa::Kernel;
use crate::parallel::Workers;
use crate::registry::Schedule;
use crate::simd::winograd::{Minimal, Square};
use crate::simd::{Lane, MAX_LANES, MAX_VECTORS, Runs, Simd, Vector, with_tile};
use crate::view::{Block, Floats};
use std::ops::Range;

/// Numbers between planes, beside what they hold: places of one tile are then not all in one set of the
/// first-level cache.
pub(super) const APART: usize = 16;

/// Tiles of blocks of the same results, done together.
pub(super) struct Task<'t, 'p, A: Floats, F> {
    layer: &'t Layer<'p, A, F>,
    places: Vec<Place>,
    group: usize,
    /// The first result of the group that is computed, and the panels.
    first: usize,
    results: usize,
    panels: Vec<Panel>,
    /// Tiles of all blocks.
    tiles: usize,
    /// The plan's.
    depth: usize,
    /// Channels that are summed over at once, and results, in whole vectors.
    padded: [usize; 2],
    /// Numbers from a place's plane to the next, of transformed samples and of products.
    planes: [usize; 2],
    /// Channels whose samples are brought in at once.
    chunk: usize,
}

/// Where a block stands, and its rows and columns of tiles.
struct Place {
    picture: usize,
    rows: Range<usize>,
    cols: Range<usize>,
    tiles: [usize; 2],
}

/// Samples that neighbouring tiles read, along an axis.
fn span<F: Minimal>(tiles: usize) -> usize {
    tiles * F::M + F::N - F::M
}

/// Where a task's filters come from.
pub(super) enum Filter<'t, A> {
    /// All, transformed ahead.
    Transformed(&'t [A]),
    /// The taps: a few channels at a time are transformed.
    Taps,
}

impl<'t, 'p, A: Floats, F: Filtering> Task<'t, 'p, A, F> {
    pub(super) fn new(layer: &'t Layer<'p, A, F>, plan: &Plan, blocks: &[Block<'_>]) -> Self {
        let pass = layer.pass;
        let places: Vec<_> = (blocks.iter())
            .map(|block| Place {
                picture: block.picture,
                rows: block.rows.clone(),
                cols: block.cols.clone(),
                tiles: [&block.rows, &block.cols].map(|range| range.len().div_ceil(F::M)),
            })
            .collect();
        let channels = &blocks[0].channels;
        let group = channels.start / pass.wide;
        let first = channels.start - group * pass.wide;
        let tiles = places.iter().map(|place| place.tiles[0] * place.tiles[1]).sum();
        let padded = [plan.depth, channels.len()].map(|n| n.next_multiple_of(layer.lanes));
        let most = places.iter().map(Place::samples::<F>).max().unwrap_or(1);
        let chunk = (WARM / 2 / size_of::<A>() / most / ROWS * ROWS).max(ROWS).min(plan.depth);
        let parts = plan.depth < pass.deep && !plan.depth.is_multiple_of(chunk);
        Self {
            layer,
            places,
            group,
            first,
            results: channels.len(),
            panels: layer.panels(first, channels.len()),
            tiles,
            padded,
            planes: padded.map(|length| tiles * length + APART),
            chunk: if parts { ROWS } else { chunk },
            depth: plan.depth,
        }
    }

    /// Numbers of all transformed samples.
    pub(super) fn transformed(&self) -> usize {
        self.layer.pass.deep.max(1).div_ceil(self.depth) * F::PLACES * self.planes[0] + MAX_LANES
    }

    /// Where the transformed samples of a channel begin.
    fn begin(&self, channel: usize) -> usize {
        channel / self.depth * F::PLACES * self.planes[0] + channel % self.depth
    }

    /// Numbers of samples, and of a row of a mask.
    fn brought(&self) -> [usize; 2] {
        let widest = self.places.iter().map(|place| span::<F>(place.tiles[1])).max().unwrap_or(0);
        let most = self.places.iter().map(Place::samples::<F>).max().unwrap_or(0);
        [
            most * self.chunk + MAX_LANES,
            if self.layer.sources.mask.is_some() { widest * self.chunk } else { 0 },
        ]
    }

    /// Transforms the samples.
    #[inline(always)]
    fn transform<V: Vector<Elem = A>>(&self, into: &mut [A], brought: &mut [A], spare: &mut [A]) {
        let (layer, pass) = (self.layer, self.layer.pass);
        let mut tile = 0;
        for place in &self.places {
            let [rows, cols] = place.tiles;
            let picture = layer.sources.src.picture(place.picture);
            let mask = layer.sources.mask.map(|mask| mask.picture(place.picture));
            let reads = |axis: usize, range: &Range<usize>, tiles: usize| {
                let first = range.start as isize + pass.phases[axis][0].least();
                first..first + span::<F>(tiles) as isize
            };
            for channel in (0..pass.deep).step_by(self.chunk) {
                let n = self.chunk.min(pass.deep - channel);
                let first = self.group * pass.deep + channel;
                let part = Part {
                    rows: reads(0, &place.rows, rows),
                    cols: reads(1, &place.cols, cols),
                    channels: first..first + n,
                    step: n,
                    pitch: span::<F>(cols) * n,
                };
                part.bring::<V>(&picture, mask.as_ref(), &mut brought[..part.len()], spare);
                let at = Square { down: part.pitch, across: n };
                for y in 0..rows {
                    for x in 0..cols {
                        let from = &brought[(y * part.pitch + x * n) * F::M..];
                        let into = &mut into[self.begin(channel) + (tile + y * cols + x) * self.padded[0]..];
                        F::source::<V>(from, at, n, into, self.planes[0]);
                    }
                }
            }
            tile += rows * cols;
        }
    }

    /// Multiplies the places of all tiles with those of all filters, summing over the channels.
    #[inline(always)]
    fn multiply<V: Vector<Elem = A>>(
        &self,
        filters: &Filter<'_, A>,
        samples: &[A],
        weights: &mut [A],
        products: &mut [A],
    ) {
        let deep = self.layer.pass.deep;
        match filters {
            Filter::Transformed(all) => {
                let lanes = self.layer.pass.wide.next_multiple_of(self.layer.lanes);
                let all = &all[F::PLACES * rows(deep) * (self.group * lanes + self.first)..];
                self.add::<V>(samples, 0..deep, all, products);
            }
            Filter::Taps => {
                for channel in (0..deep).step_by(self.depth) {
                    let channels = channel..(channel + self.depth).min(deep);
                    self.layer.filters::<V>(self.group, &self.panels, channels.clone(), weights);
                    self.add::<V>(samples, channels, weights, products);
                }
            }
        }
    }

    /// Adds the products of some of the channels; the first are what the sums begin with.
    #[inline(always)]
    fn add<V: Vector<Elem = A>>(
        &self,
        samples: &[A],
        channels: Range<usize>,
        weights: &[A],
        products: &mut [A],
    ) {
        let [long, wide] = self.padded;
        let walk = Walk { results: [1, self.tiles], from: [0, 0, long], to: [0, 0, wide] };
        let row = Runs::new([(0, channels.len())]);
        let samples = &samples[self.begin(channels.start)..];
        let nothing = [A::default(); MAX_VECTORS * MAX_LANES];
        let start = (channels.start == 0).then_some(&nothing[..]);
        for place in 0..F::PLACES {
            let from = &samples[place * self.planes[0]..][..self.tiles * long];
            let into = &mut products[place * self.planes[1]..][..self.tiles * wide];
            for panel in &self.panels {
                let first = (panel.start * V::LANES) - self.first;
                let rows = rows(channels.len());
                let size = rows * panel.vectors * V::LANES;
                let weights = &weights[F::PLACES * rows * first + place * size..][..size];
                with_tile!(V, panel.vectors, |R, NV| {
                    walk.run::<V, R, NV>(from, &row, weights, start, into, first, wide);
                });
            }
        }
    }

    /// Transforms the products to results and stores them.
    #[inline(always)]
    fn store<L: Lane<Elem = A>, S: Simd>(
        &self,
        simd: S,
        blocks: &mut [Block<'_>],
        products: &[A],
        spare: &mut [A],
        out: &mut [A],
    ) {
        let (layer, wide, broad) = (self.layer, self.results, self.padded[1]);
        let lanes = layer.pass.wide.next_multiple_of(layer.lanes);
        let starts = &layer.starts[self.group * lanes + self.first..][..broad];
        let mut tile = 0;
        for (block, place) in blocks.iter_mut().zip(&self.places) {
            let channels = block.channels.clone();
            let [mut to] = block.parts();
            let at = Square { down: place.cols.len() * wide, across: wide };
            for y in (place.rows.start..place.rows.end).step_by(F::M) {
                for x in (place.cols.start..place.cols.end).step_by(F::M) {
                    let tile_of = [y..(y + F::M).min(place.rows.end), x..(x + F::M).min(place.cols.end)];
                    let wanted = tile_of.clone().map(|range| range.len());
                    let into = &mut out[(x - place.cols.start) * wide..];
                    let from = &products[tile * broad..];
                    tile += 1;
                    let plane = self.planes[1];
                    if !F::results::<L::Vector<S>>(from, plane, starts, wide, into, at, wanted) {
                        self.again::<L, S>(simd, place.picture, &tile_of, into, at.down);
                    }
                }
                for (y, row) in (y..place.rows.end).zip(out.chunks_exact_mut(at.down)).take(F::M) {
                    layer.finish.row::<L::Vector<S>>([place.picture, y], &place.cols, &channels, spare, row);
                    to.narrow_with::<L::Vector<S>>(&(y..y + 1), row);
                }
            }
        }
    }

    /// Computes a tile's results product by product.
    #[inline(always)]
    fn again<L: Lane<Elem = A>, S: Simd>(
        &self,
        simd: S,
        picture: usize,
        [rows, cols]: &[Range<usize>; 2],
        into: &mut [A],
        down: usize,
    ) {
        let layer = self.layer;
        let plain = layer.plain.get_or_init(|| {
            let schedule = Schedule::new(layer.isa, Workers::alone());
            Job::new::<L>(layer.pass, layer.sources, F::M, &schedule).expect("no one to interrupt")
        });
        let wide = layer.pass.wide;
        let place = [rows, cols];
        let [samples, mask] = plain.scratch(place);
        let results = rows.len() * cols.len() * wide + MAX_VECTORS * MAX_LANES;
        alloc::scratch([samples, mask, results], |[source, spare, found]: [&mut [A]; 3]| {
            simd.vectorize(
                #[inline(always)]
                || plain.sums::<L::Vector<S>>(picture, place, self.group, [source, spare], found),
            );
            let rows = found.chunks_exact(cols.len() * wide).take(rows.len());
            for (row, into) in rows.zip(into.chunks_mut(down)) {
                for (pixel, into) in row.chunks_exact(wide).zip(into.chunks_mut(self.results)) {
                    into[..self.results].copy_from_slice(&pixel[self.first..][..self.results]);
                }
            }
        });
    }
}

impl Place {
    /// Samples that its tiles read, of one channel.
    fn samples<F: Minimal>(&self) -> usize {
        span::<F>(self.tiles[0]) * span::<F>(self.tiles[1])
    }
}

/// A task's samples to be transformed ahead.
pub(super) struct Samples<'t, 'p, L: Lane<Elem: Floats>, F> {
    pub(super) task: &'t Task<'t, 'p, L::Elem, F>,
    pub(super) into: &'t mut [L::Elem],
}

impl<L: Lane<Elem: Floats>, F: Filtering> Kernel for Samples<'_, '_, L, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { task, into } = self;
        alloc::scratch(task.brought(), |[brought, spare]: [&mut [L::Elem]; 2]| {
            simd.vectorize(
                #[inline(always)]
                || task.transform::<L::Vector<S>>(into, brought, spare),
            );
        });
    }
}

/// A task as a computation to be compiled for each instruction set.
pub(super) struct Transform<'t, 'p, L: Lane<Elem: Floats>, F> {
    pub(super) task: Task<'t, 'p, L::Elem, F>,
    pub(super) blocks: Vec<Block<'t>>,
    /// Its samples, if they were transformed ahead.
    pub(super) samples: Option<&'t [L::Elem]>,
    pub(super) filters: Filter<'t, L::Elem>,
}

impl<L: Lane<Elem: Floats>, F: Filtering> Kernel for Transform<'_, '_, L, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { task, mut blocks, samples, filters } = self;
        let [brought, spare] = if samples.is_some() { [0; 2] } else { task.brought() };
        let widest = task.places.iter().map(|place| place.cols.len()).max().unwrap_or(0);
        let lengths = [
            if samples.is_some() { 0 } else { task.transformed() },
            brought,
            spare,
            match filters {
                Filter::Transformed(_) => 0,
                Filter::Taps => F::PLACES * rows(task.depth) * task.padded[1],
            },
            F::PLACES * task.planes[1] + MAX_LANES,
            task.layer.finish.room(widest * task.results),
            F::M * widest * task.results,
        ];
        alloc::scratch(
            lengths,
            |[transformed, brought, spare, weights, products, line, out]: [&mut [L::Elem]; 7]| {
                simd.vectorize(
                    #[inline(always)]
                    || {
                        let samples = if let Some(samples) = samples {
                            samples
                        } else {
                            task.transform::<L::Vector<S>>(transformed, brought, spare);
                            transformed
                        };
                        task.multiply::<L::Vector<S>>(&filters, samples, weights, products);
                        task.store::<L, S>(simd, &mut blocks, products, line, out);
                    },
                );
            },
        );
    }
}
