//! The gradient with respect to few filters of few channels over many pictures: the lanes are pictures, whose products are
//! added up at the end.
//!
//! ```text
//! dw[i, j, c, o] = sum over lanes l of  ( sum over pictures n with n mod LANES = l, and pixels p, of
//!                                         x[n][p + (i, j)][c] * grad[n][p][o] )
//! ```
//!
//! A sample and a gradient of all lanes' pictures are a vector each, so that no lane is lost to channels that are few
//! ([`filters`](super::super::filters)) or to the ends of rows ([`dots`](super::super::dots)). As in these, the pixels are
//! parted by the problem alone into chunks with sums of their own, added in order.

use super::{FEW, Turned};
use crate::dtype::Accumulator;
use crate::isa::Kernel;
use crate::ops::conv::dots;
use crate::ops::conv::filters::tiles;
use crate::ops::conv::pack::{Panel, halve, lanes, share};
use crate::ops::conv::pass::with_lane;
use crate::ops::conv::phase::Phase;
use crate::ops::conv::{Conv, GradFilters};
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{Lane, Line, MAX_VECTORS, Simd, Vector, load_tile, store_tile, with_places};
use crate::view::{Dst, Floats, Src};
use crate::{Error, alloc};
use std::ops::Range;

/// The implementation `pictures`.
#[derive(Debug)]
pub struct Pictures;

/// Bytes of the sums of vectors of 16 lanes, at most: they are read and written for every band.
const SUMS: usize = 256 << 10;

/// Bytes of a band's samples and gradients.
const NEAR: usize = 400 << 10;

/// Chunks, at most.
const CHUNKS: usize = 16;

/// Multiply-adds a nanosecond, and nanoseconds for bringing a number in.
const RATE: f64 = 50.0;
const BROUGHT: f64 = 0.3;

impl Implementation<GradFilters> for Pictures {
    fn name(&self) -> &'static str {
        "pictures"
    }

    fn cost(&self, problem: &GradFilters) -> Result<f64, Reject> {
        let conv = &problem.conv;
        let taps = conv.windows.iter().map(|w| w.taps).product::<usize>();
        let size = conv.arithmetic().size();
        if conv.groups != 1 || conv.inputs == 0 || !(1..=FEW).contains(&conv.outputs) {
            return Err(Reject("needs one group, and 1 to 24 filters"));
        }
        if taps.saturating_mul(conv.inputs * conv.outputs).saturating_mul(16 * size) > SUMS {
            return Err(Reject(
                "needs few filters of few channels and taps, whose vectors of sums stay near",
            ));
        }
        if conv.pictures < 16 {
            return Err(Reject("needs 16 pictures at least"));
        }
        let [rows, cols] = &conv.windows;
        let across = cols.dst.saturating_sub(1).saturating_mul(cols.stride).saturating_add(cols.span());
        let samples = rows.span().saturating_mul(across).saturating_mul(conv.inputs);
        if samples.saturating_add(cols.dst * conv.outputs).saturating_mul(16 * size) > 2 * NEAR {
            return Err(Reject("a row of 16 pictures' windows has to stay near"));
        }
        let lost = conv.pictures.next_multiple_of(16) as f64 / conv.pictures as f64;
        let brought: usize =
            [conv.x_shape(), conv.y_shape()].iter().map(|s| s.iter().product::<usize>()).sum();
        Ok(lost * (conv.multiply_adds() * size as f64 / 4.0 / RATE + brought as f64 * BROUGHT))
    }

    fn run(
        &self,
        problem: &GradFilters,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let srcs = problem.sources(srcs, dsts);
        let nanoseconds = self.cost(problem).unwrap_or(0.0);
        with_lane!(problem.conv, |L| solve::<L>(&problem.conv, nanoseconds, &srcs, dsts, schedule))
    }
}

/// How a gradient is parted: data.
struct Plan<'p> {
    conv: &'p Conv,
    phases: [Phase; 2],
    lanes: usize,
    /// Result rows that are brought in together.
    band: usize,
    /// Numbers from a sample in scratch to the next row's, and to the next pixel's.
    steps: [usize; 2],
    /// Where each sum's sample stands in a window.
    places: Vec<usize>,
    /// Channels of the result whose sums are made at once.
    panels: Vec<Panel>,
    /// Rows of results, those of the lanes' pictures one after the other.
    lines: usize,
    /// Rows that stay together, and parts of all rows with sums of their own.
    unit: usize,
    chunks: usize,
}

fn solve<L: Lane<Elem: Floats>>(
    conv: &Conv,
    nanoseconds: f64,
    srcs: &[Src<'_>],
    dsts: &mut [Dst<'_>],
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let plan = Plan::new(conv, lanes::<L>(schedule.isa));
    let size = (plan.places.len() + 1) * conv.outputs;
    let mut sums = vec![L::Elem::default(); plan.chunks * size];
    let parts = sums.chunks_exact_mut(size.max(1)).enumerate();
    let tasks = parts.map(|(chunk, sums)| Task::<L> { plan: &plan, srcs, chunk, sums });
    share(tasks.collect(), nanoseconds, schedule)?;
    dots::store(conv, sums, plan.places.len(), dsts);
    Ok(())
}

impl<'p> Plan<'p> {
    fn new(conv: &'p Conv, lanes: usize) -> Self {
        let phases = [0, 1].map(|i| Phase::forward(&conv.windows[i]).remove(0));
        let [pictures, height, length, outputs] = conv.y_shape();
        let span = |i: usize, n: usize| Phase::span(&phases[i..=i], &(0..n)).len();
        let pixel = conv.inputs * lanes;
        let steps = [span(1, length) * pixel, pixel];
        let bytes = |rows: usize| {
            let samples = span(0, rows).saturating_mul(steps[0]);
            samples.saturating_add(rows * length * outputs * lanes).saturating_mul(conv.arithmetic().size())
        };
        let band = halve(height, |rows| bytes(rows) <= NEAR).max(1);
        let place = |i: usize, offset: isize| (offset - phases[i].least()) as usize * steps[i];
        let mut places = Vec::new();
        for &(dy, _) in &phases[0].taps {
            for &(dx, _) in &phases[1].taps {
                places.extend((0..conv.inputs).map(|c| place(0, dy) + place(1, dx) + c * lanes));
            }
        }
        let lines = if length == 0 { 0 } else { pictures.div_ceil(lanes) * height };
        // Pictures that stay whole are sooner brought, but one vector of them is work for two.
        let unit = (if pictures > lanes { height } else { height.div_ceil(2) }).max(1);
        let chunks = lines.div_ceil(unit).clamp(1, CHUNKS);
        let n = outputs.div_ceil(MAX_VECTORS);
        let at = |i: usize| i * outputs / n;
        let panels = (0..n).map(|i| Panel { start: at(i), vectors: at(i + 1) - at(i) }).collect();
        Self { conv, phases, lanes, band, steps, places, panels, lines, unit, chunks }
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
        let Self { plan, srcs, chunk, sums } = self;
        let [pictures, height, ..] = plan.conv.y_shape();
        let at = |chunk: usize| plan.lines.div_ceil(plan.unit) * chunk / plan.chunks * plan.unit;
        let (mut line, end) = (at(chunk), at(chunk + 1).min(plan.lines));
        alloc::scratch([sums.len() * plan.lanes], |[vectors]: [&mut [L::Elem]; 1]| {
            vectors.fill(L::Elem::default());
            while line < end {
                let (first, y) = (line / height * plan.lanes, line % height);
                let rows = plan.band.min(height - y).min(end - line);
                let some = first..(first + plan.lanes).min(pictures);
                plan.add::<S, L::Vector<S>>(simd, srcs, &some, y..y + rows, vectors);
                line += rows;
            }
            plan.collect(vectors, sums);
        });
    }
}

impl Plan<'_> {
    /// Adds the products of some rows of some pictures' results to the vectors of sums: panel by panel a row for each place, and
    /// at last the bias's.
    fn add<S: Simd, V: Vector<Elem: Floats>>(
        &self,
        simd: S,
        srcs: &[Src<'_>],
        pictures: &Range<usize>,
        rows: Range<usize>,
        sums: &mut [V::Elem],
    ) {
        let Self { conv, phases, steps, places, panels, .. } = self;
        let length = conv.windows[1].dst;
        let reads = [(0, &rows), (1, &(0..length))].map(|(i, range)| Phase::span(&phases[i..=i], range));
        let x = Turned { src: &srcs[0], mask: None, reads };
        let reads = [rows.start as isize..rows.end as isize, 0..length as isize];
        let gradient = Turned { src: &srcs[1], mask: srcs.get(2), reads };
        let line = |y: usize| Line {
            first: y * phases[0].stride * steps[0],
            step: phases[1].stride * steps[1],
            pixels: length,
        };
        let lines = Line::join((0..rows.len()).map(line));
        let [left, right] = [x.size(), gradient.size()].map(|n| n * V::LANES);
        let masked = if gradient.mask.is_some() { right } else { 0 };
        let lengths = [left, right, left.max(right), masked];
        alloc::scratch(lengths, |[samples, gradients, brought, spare]: [&mut [V::Elem]; 4]| {
            simd.vectorize(
                #[inline(always)]
                || {
                    x.bring::<V>(pictures, samples, [brought, &mut []]);
                    gradient.bring::<V>(pictures, gradients, [brought, spare]);
                    let pitch = conv.outputs * V::LANES;
                    let mut rest = sums;
                    for panel in panels {
                        let [first, width] = [panel.start, panel.vectors].map(|n| n * V::LANES);
                        let (sums, others) = rest.split_at_mut((places.len() + 1) * width);
                        let (sums, bias) = sums.split_at_mut(places.len() * width);
                        rest = others;
                        with_places!(V, panel.vectors, places.len(), |R, NV| {
                            let right = (&gradients[first..], pitch);
                            tiles::<V, R, NV, true>(samples, places, &lines, right, sums, false);
                            added::<V, NV>(gradients, [first, pitch], bias);
                        });
                    }
                },
            );
        });
    }

    /// Adds up the lanes of the vectors of sums, to rows of results.
    fn collect<A: Accumulator>(&self, vectors: &[A], sums: &mut [A]) {
        let mut vectors = vectors.chunks_exact(self.lanes);
        for panel in &self.panels {
            for row in sums.chunks_exact_mut(self.conv.outputs) {
                for (sum, lanes) in row[panel.start..].iter_mut().take(panel.vectors).zip(&mut vectors) {
                    *sum = lanes.iter().fold(A::default(), |sum, &lane| sum.plus(lane));
                }
            }
        }
    }
}

/// Adds vectors of each of some rows, from column `first` on, to as many vectors of sums.
#[inline(always)]
fn added<V: Vector, const NV: usize>(rows: &[V::Elem], [first, pitch]: [usize; 2], sums: &mut [V::Elem]) {
    // Several sums, which don't wait for each other.
    const CHAINS: usize = 4;
    let mut all = [[V::splat(V::Elem::default()); NV]; CHAINS];
    let mut some = rows.chunks_exact(CHAINS * pitch);
    for rows in &mut some {
        for (all, row) in all.iter_mut().zip(rows.chunks_exact(pitch)) {
            let own = load_tile::<V, NV>(row, first);
            for v in 0..NV {
                all[v] = all[v].add(own[v]);
            }
        }
    }
    let mut sum = load_tile::<V, NV>(sums, 0);
    for row in some.remainder().chunks_exact(pitch) {
        let own = load_tile::<V, NV>(row, first);
        for v in 0..NV {
            sum[v] = sum[v].add(own[v]);
        }
    }
    for own in all {
        for v in 0..NV {
            sum[v] = sum[v].add(own[v]);
        }
    }
    store_tile(&sum, sums, 0);
}
