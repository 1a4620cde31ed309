//! The gradient with respect to few filters of few channels, as dot products: the lanes are neighbouring pixels, whose
//! products are added up at the end.
//!
//! ```text
//! dw[i, j, c, o] = sum over lanes l of  ( sum over pixels p with p mod LANES = l of  x_c[p + (i, j)] * grad_o[p] )
//! ```
//!
//! Six results fill six lanes of eight where results are the lanes ([`filters`](super::filters)), and bringing a pixel's
//! channels costs as much as its products. Here a channel is a plane. As there, the pixels are parted by the problem alone
//! into chunks with sums of their own, added in order.

use super::pack::{Part, WARM, halve, lanes, share};
use super::pass::with_lane;
use super::phase::Phase;
use super::{Conv, GradFilters};
use crate::dtype::Accumulator;
use crate::isa::Kernel;
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{Grid, Lane, MAX_LANES, Simd, Vector, dots, load_tile, store_tile, transpose, with_dots};
use crate::view::{Blocks, Dst, Floats, Picture, Src};
use crate::{Error, alloc};
use std::ops::Range;

/// The implementation `dots`.
#[derive(Debug)]
pub struct Dots;

/// Channels of the image and of the result, at most.
const MOST: [usize; 2] = [4, 12];

/// Pixels of a row, at least: shorter ones leave lanes empty.
const LEAST: usize = 12;

/// Multiply-adds a nanosecond, and nanoseconds for bringing a number in.
const RATE: f64 = 24.0;
const BROUGHT: f64 = 0.5;

/// Chunks, at most, and lines that one has at least.
const CHUNKS: usize = 16;
const LINES: usize = 16;

impl Implementation<GradFilters> for Dots {
    fn name(&self) -> &'static str {
        "dots"
    }

    fn cost(&self, problem: &GradFilters) -> Result<f64, Reject> {
        let conv = &problem.conv;
        let [rows, cols] = &conv.windows;
        if conv.groups != 1 || !(1..=MOST[0]).contains(&conv.inputs) || !(1..=MOST[1]).contains(&conv.outputs)
        {
            return Err(Reject("needs one group of 1 to 4 channels, and 1 to 12 filters"));
        }
        if cols.stride != 1 || cols.dst < LEAST {
            return Err(Reject("needs rows of 12 results at least, whose windows are neighbours"));
        }
        let size = conv.arithmetic().size();
        if rows.span().saturating_mul(cols.src + cols.span()).saturating_mul(size) > WARM {
            return Err(Reject("a window's rows have to stay near"));
        }
        let (padded, lines) = (cols.dst.next_multiple_of(8), (conv.pictures * rows.dst) as f64);
        // By the smallest of the register tiles; the others leave as little undone.
        let sums =
            (rows.taps * cols.taps * conv.inputs).next_multiple_of(5) * conv.outputs.next_multiple_of(2);
        let brought = (conv.inputs + conv.outputs) * cols.dst;
        Ok(lines * (padded * sums * size) as f64 / 4.0 / RATE + lines * brought as f64 * BROUGHT)
    }

    fn run(
        &self,
        problem: &GradFilters,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let srcs = problem.sources(srcs, dsts);
        with_lane!(problem.conv, |L| solve::<L>(
            problem,
            self.cost(problem).unwrap_or(0.0),
            &srcs,
            dsts,
            schedule
        ))
    }
}

/// How a gradient is parted: data.
struct Plan<'p> {
    conv: &'p Conv,
    phases: [Phase; 2],
    /// Result rows that are brought in together.
    band: usize,
    /// Numbers of a row of samples and of one of gradients, in scratch.
    pitches: [usize; 2],
    /// Where each sum's sample stands in a window: a channel, a row and a column.
    places: Vec<[usize; 3]>,
    chunks: usize,
}

fn solve<L: Lane<Elem: Floats>>(
    problem: &GradFilters,
    nanoseconds: f64,
    srcs: &[Src<'_>],
    dsts: &mut [Dst<'_>],
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let plan = Plan::new(&problem.conv, lanes::<L>(schedule.isa));
    let (outputs, rows) = (problem.conv.outputs, plan.places.len() + 1);
    let mut sums = vec![L::Elem::default(); plan.chunks * rows * outputs];
    if !sums.is_empty() {
        let parts = sums.chunks_exact_mut(rows * outputs).enumerate();
        let tasks = parts.map(|(chunk, sums)| Task::<L> { plan: &plan, srcs, chunk, sums });
        share(tasks.collect(), nanoseconds, schedule)?;
    }
    store(&problem.conv, sums, plan.places.len(), dsts);
    Ok(())
}

/// Adds the sums of all chunks, in order, and stores them: of each a row of results for every tap and channel, and at last the
/// bias's.
pub(super) fn store<A: Floats>(conv: &Conv, mut sums: Vec<A>, places: usize, dsts: &mut [Dst<'_>]) {
    let [_, kw, inner, outputs] = conv.filters_shape();
    let (first, others) = sums.split_at_mut((places + 1) * outputs);
    for part in others.chunks_exact(((places + 1) * outputs).max(1)) {
        first.iter_mut().zip(part).for_each(|(sum, &part)| *sum = sum.plus(part));
    }
    let (weights, bias) = first.split_at(places * outputs);
    // The filters' rows are taps of a row of them; the bias is one row of one number a result.
    for (dst, (numbers, depth)) in dsts.iter_mut().zip([(weights, inner), (bias, 1)]) {
        let blocks = Blocks::new(std::slice::from_mut(dst), [1, depth, outputs]);
        while let Some(mut block) = blocks.take() {
            let (y, row) = (block.rows.start, depth * outputs);
            let at = (block.picture * kw + y) * row;
            block.parts::<1>()[0].narrow(y, &numbers[at..at + row]);
        }
    }
}

impl<'p> Plan<'p> {
    fn new(conv: &'p Conv, lanes: usize) -> Self {
        let phases = [0, 1].map(|i| Phase::forward(&conv.windows[i]).remove(0));
        let [_, height, length, _] = conv.y_shape();
        let size = conv.arithmetic().size();
        let span = |i: usize, n: usize| Phase::span(&phases[i..=i], &(0..n)).len();
        // Whole vectors are read from the last pixels on.
        let pitches = [span(1, length) + lanes, length.next_multiple_of(lanes)];
        let bytes = |rows: usize| {
            (span(0, rows) * pitches[0] * conv.inputs + rows * pitches[1] * conv.outputs) * size
        };
        let band = halve(height, |rows| bytes(rows) <= WARM).max(1);
        let place = |i: usize, offset: isize| (offset - phases[i].least()) as usize;
        let mut places = Vec::new();
        for &(dy, _) in &phases[0].taps {
            for &(dx, _) in &phases[1].taps {
                places.extend((0..conv.inputs).map(|c| [c, place(0, dy), place(1, dx)]));
            }
        }
        let chunks = (conv.pictures * height / LINES).clamp(1, CHUNKS);
        Self { conv, phases, band, pitches, places, chunks }
    }
}

/// The sums of one chunk of lines.
struct Task<'t, L: Lane> {
    plan: &'t Plan<'t>,
    srcs: &'t [Src<'t>],
    chunk: usize,
    sums: &'t mut [L::Elem],
}

impl<L: Lane<Elem: Floats>> Kernel for Task<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let plan = self.plan;
        let [pictures, height, ..] = plan.conv.y_shape();
        let at = |chunk: usize| chunk * (pictures * height) / plan.chunks;
        let (mut line, end) = (at(self.chunk), at(self.chunk + 1));
        let width = L::Vector::<S>::LANES;
        alloc::scratch([self.sums.len() * width], |[lanes]: [&mut [L::Elem]; 1]| {
            lanes.fill(L::Elem::default());
            while line < end {
                let (picture, y) = (line / height, line % height);
                let rows = plan.band.min(height - y).min(end - line);
                plan.add::<S, L::Vector<S>>(simd, self.srcs, picture, y..y + rows, lanes);
                line += rows;
            }
            for (sum, lanes) in self.sums.iter_mut().zip(lanes.chunks_exact(width)) {
                *sum = lanes.iter().fold(L::Elem::default(), |sum, &lane| sum.plus(lane));
            }
        });
    }
}

impl Plan<'_> {
    /// Adds the products of some rows of a picture's results to the sums' lanes.
    fn add<S: Simd, V: Vector<Elem: Floats>>(
        &self,
        simd: S,
        srcs: &[Src<'_>],
        picture: usize,
        rows: Range<usize>,
        sums: &mut [V::Elem],
    ) {
        let Self { conv, phases, pitches, places, .. } = self;
        let length = conv.windows[1].dst;
        let samples = Planes {
            part: Part {
                rows: Phase::span(&phases[..1], &rows),
                cols: Phase::span(&phases[1..], &(0..length)),
                channels: 0..conv.inputs,
                step: 1,
                pitch: pitches[0],
            },
            apart: srcs[0].has_planes() || conv.inputs == 1,
        };
        let gradients = Planes {
            part: Part {
                rows: rows.start as isize..rows.end as isize,
                cols: 0..length as isize,
                channels: 0..conv.outputs,
                step: 1,
                pitch: pitches[1],
            },
            apart: srcs[1].has_planes() || conv.outputs == 1,
        };
        let steps = [phases[0].stride * pitches[0], pitches[1]];
        let grid = Grid { lines: rows.len(), pixels: length, steps };
        let (plane, right) = (samples.part.len(), gradients.part.len());
        let dense = samples.dense::<V>().max(gradients.dense::<V>());
        let lengths = [samples.room::<V>(), gradients.room::<V>(), dense, dense];
        alloc::scratch(lengths, |[x, g, dense, spare]: [&mut [V::Elem]; 4]| {
            simd.vectorize(
                #[inline(always)]
                || {
                    samples.bring::<V>(&srcs[0].picture(picture), None, x, [dense, spare]);
                    let mask = srcs.get(2).map(|mask| mask.picture(picture));
                    gradients.bring::<V>(&srcs[1].picture(picture), mask.as_ref(), g, [dense, spare]);
                    let place =
                        |[channel, down, across]: [usize; 3]| channel * plane + down * pitches[0] + across;
                    let gradients = &g[..conv.outputs * right];
                    let (sums, bias) = sums.split_at_mut(places.len() * conv.outputs * V::LANES);
                    with_dots!(V, conv.outputs, |R, F| {
                        let sums = sums.chunks_mut(R * conv.outputs * V::LANES);
                        for (places, sums) in places.chunks(R).zip(sums) {
                            // A tile that is not full does the last product again, for nothing.
                            let last = places.len() - 1;
                            let mut at = [0; R];
                            for r in 0..R {
                                at[r] = place(places[r.min(last)]);
                            }
                            tiles::<V, R, F>(x, &at, (gradients, right), grid, sums);
                        }
                    });
                    for (gradients, sum) in gradients.chunks_exact(right).zip(bias.chunks_exact_mut(V::LANES))
                    {
                        let mut all = load_tile::<V, 1>(sum, 0);
                        for at in (0..right).step_by(V::LANES) {
                            all[0] = all[0].add(load_tile::<V, 1>(gradients, at)[0]);
                        }
                        store_tile(&all, sum, 0);
                    }
                },
            );
        });
    }
}

/// A part of a picture as planes, one for each of its channels, whose rows are whole vectors: zeros follow a row of
/// gradients, and anything a row of samples.
struct Planes {
    /// A plane of it.
    part: Part,
    /// Whether the channels are planes, or one, in memory too.
    apart: bool,
}

impl Planes {
    /// Numbers of all planes, and of what is written beside them.
    fn room<V: Vector>(&self) -> usize {
        self.part.len() * self.part.channels.len().next_multiple_of(V::LANES) + MAX_LANES
    }

    /// Numbers of scratch for the pixels with their channels side by side.
    fn dense<V: Vector>(&self) -> usize {
        let deep = if self.apart { 1 } else { self.part.channels.len() };
        self.part.rows.len() * self.part.cols.len() * deep + deep * V::LANES + MAX_LANES
    }

    #[inline(always)]
    fn bring<V: Vector<Elem: Floats>>(
        &self,
        picture: &Picture<'_>,
        mask: Option<&Picture<'_>>,
        into: &mut [V::Elem],
        [dense, spare]: [&mut [V::Elem]; 2],
    ) {
        let (part, plane) = (&self.part, self.part.len());
        let (deep, cols) = (part.channels.len(), part.cols.len());
        if self.apart {
            for (channel, into) in part.channels.clone().zip(into.chunks_exact_mut(plane)) {
                let part = Part { channels: channel..channel + 1, ..part.clone() };
                if mask.is_none() {
                    part.bring::<V>(picture, mask, into, spare);
                    continue;
                }
                // A mask is brought sooner for all rows at once, without what follows them here.
                let side = Part { pitch: cols, ..part };
                side.bring::<V>(picture, mask, &mut dense[..side.len()], spare);
                for (row, into) in dense.chunks_exact(cols).zip(into.chunks_exact_mut(part.pitch)) {
                    into[..cols].copy_from_slice(row);
                    into[cols..].fill(V::Elem::default());
                }
            }
            return;
        }
        let side = Part { step: deep, pitch: cols * deep, ..part.clone() };
        side.bring::<V>(picture, mask, &mut dense[..side.len()], spare);
        for row in 0..part.rows.len() {
            let (from, to) = (&dense[row * side.pitch..], row * part.pitch);
            for first in (0..deep).step_by(V::LANES) {
                for x in (0..cols).step_by(V::LANES) {
                    // Lanes behind the last channel, and pixels behind the last, are of no account.
                    transpose::<V>(
                        &from[x * deep + first..],
                        deep,
                        &mut into[first * plane + to + x..],
                        plane,
                        [V::LANES, deep - first],
                    );
                }
            }
            for plane in into.chunks_exact_mut(plane).take(deep) {
                for number in &mut plane[to + cols..to + part.pitch] {
                    *number = V::Elem::default();
                }
            }
        }
    }
}

/// Adds the products of some places with all results, which stand so far apart, to the sums' lanes, place by place.
#[inline(always)]
fn tiles<V: Vector, const R: usize, const F: usize>(
    samples: &[V::Elem],
    places: &[usize; R],
    (gradients, each): (&[V::Elem], usize),
    grid: Grid,
    sums: &mut [V::Elem],
) {
    let results = gradients.len() / each;
    for first in (0..results).step_by(F) {
        let right = std::array::from_fn(
            #[inline(always)]
            |f| &gradients[(first + f).min(results - 1) * each..][..each],
        );
        let mut tile = [[V::splat(V::Elem::default()); F]; R];
        dots::<V, R, F>(samples, places, right, grid, &mut tile);
        for (tile, sums) in tile.iter().zip(sums.chunks_exact_mut(results * V::LANES)) {
            for (f, sums) in sums.chunks_exact_mut(V::LANES).skip(first).take(F).enumerate() {
                let sum = load_tile::<V, 1>(sums, 0)[0].add(tile[f]);
                store_tile(&[sum], sums, 0);
            }
        }
    }
}
