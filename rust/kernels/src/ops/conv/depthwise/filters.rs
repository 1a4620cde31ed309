//! The gradient with respect to the filters: for each tap and channel a sum over pixels.
//!
//! ```text
//! dw[i, j, c] = sum over n, oy, ox of x[n, oy * sh + i * dh - top, ox * sw + j * dw - left, c] * dy[n, oy, ox, c]
//! ```
//!
//! The problem alone parts the rows of all pictures into chunks with sums of their own, which are added in order
//! at the end: the bits don't depend on the number of threads. A chunk walks down its rows as the layer does.

use super::ring::Ring;
use super::{PLANES, RING, apart, channels, cost, near, slots};
use crate::alloc::results::Kept;
use crate::dtype::Accumulator;
use crate::isa::Kernel;
use crate::ops::conv::GradFilters;
use crate::ops::conv::pack::{Part, halve, lanes, share};
use crate::ops::conv::pass::with_lane;
use crate::ops::conv::phase::Phase;
use crate::registry::Schedule;
use crate::simd::{Lane, Simd, outer_own};
use crate::view::{Blocks, Dst, Floats, Src};
use crate::{Error, alloc};
use std::ops::Range;

/// Chunks, at most, and pixels of one, at least: what its sums are cleared and added for.
const CHUNKS: usize = 16;
const PIXELS: usize = 256;

/// Channels that are summed together, at most.
const CHANNELS: usize = 4 * PLANES;

pub(super) fn compute(
    problem: &GradFilters,
    srcs: &[Src<'_>],
    dsts: &mut [Dst<'_>],
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let (conv, srcs) = (&problem.conv, problem.sources(srcs, dsts));
    let workers = schedule.workers.worth(cost(conv).unwrap_or(f64::INFINITY));
    let schedule = Schedule { workers, ..*schedule };
    with_lane!(conv, |L| solve::<L>(problem, &srcs, dsts, &schedule))
}

/// How a gradient is parted.
struct Plan<'p> {
    srcs: &'p [Src<'p>],
    phases: [Phase; 2],
    slots: usize,
    /// Pictures, rows and columns of results, channels.
    shape: [usize; 4],
    /// Columns whose rows are in the ring together.
    band: usize,
    taps: usize,
    /// Parts of the rows with sums of their own.
    chunks: usize,
    /// Channels of a part of them.
    deep: usize,
    lanes: usize,
}

fn solve<L: Lane<Elem: Floats>>(
    problem: &GradFilters,
    srcs: &[Src<'_>],
    dsts: &mut [Dst<'_>],
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let plan = Plan::new(problem, srcs, lanes::<L>(schedule.isa), schedule.workers.threads());
    let size = plan.size();
    let mut sums = Kept::new(plan.chunks * plan.parts().len() * size);
    let mut places = (0..plan.chunks).flat_map(|chunk| plan.parts().map(move |channels| (chunk, channels)));
    let tasks = sums.chunks_exact_mut(size).map(|sums| {
        let (chunk, channels) = places.next().expect("a place for each slice");
        Task::<L> { plan: &plan, chunk, channels, sums }
    });
    share(tasks.collect(), f64::INFINITY, schedule)?;
    plan.store::<L::Elem>(&sums, dsts);
    Ok(())
}

impl<'p> Plan<'p> {
    fn new(problem: &GradFilters, srcs: &'p [Src<'p>], lanes: usize, threads: usize) -> Self {
        let (conv, shape) = (&problem.conv, problem.conv.y_shape());
        let [pictures, height, width, all] = shape;
        let phases = [0, 1].map(|i| Phase::forward(&conv.windows[i]).remove(0));
        let (slots, taps) = (slots(&phases[..1]), phases[0].taps.len() * phases[1].taps.len());
        let span = |cols: usize| Phase::span(&phases[1..], &(0..cols)).len();
        let size = conv.arithmetic().size();
        let near = near([&phases[..1], &phases[1..]], width, all.clamp(1, CHANNELS), size);
        let band = halve(width, |cols| slots * span(cols) * near * size <= RING);
        let lines = pictures * height;
        let chunks = (lines * width / PIXELS).min(lines / (2 * slots)).clamp(1, CHUNKS);
        // How the channels are parted changes no sum.
        let parts = (2 * threads).div_ceil(chunks);
        let most = if srcs.iter().any(Src::has_planes) { PLANES } else { near.max(PLANES) };
        let deep = channels(all, all.div_ceil(parts).clamp(PLANES, most), lanes);
        Self { srcs, phases, slots, shape, band: band.max(1), taps, chunks, deep, lanes }
    }

    /// Channels of each part.
    fn parts(&self) -> impl ExactSizeIterator<Item = Range<usize>> + use<> {
        let ([.., all], deep) = (self.shape, self.deep);
        (0..all.div_ceil(deep)).map(move |part| part * deep..all.min((part + 1) * deep))
    }

    /// Sums of a task: a row for each tap, and one for the bias.
    fn size(&self) -> usize {
        (self.taps + 1) * self.deep.max(self.lanes)
    }

    /// Adds the chunks and stores them.
    fn store<A: Floats>(&self, sums: &[A], dsts: &mut [Dst<'_>]) {
        let [.., all] = self.shape;
        let mut total = vec![A::default(); (self.taps + 1) * all];
        for (i, sums) in sums.chunks_exact(self.size()).enumerate() {
            let channels = self.parts().nth(i % self.parts().len()).expect("a part");
            let (deep, held) = (channels.len(), channels.len().max(self.lanes));
            for (row, sums) in total.chunks_exact_mut(all).zip(sums.chunks_exact(held)) {
                for (sum, &part) in row[channels.clone()].iter_mut().zip(&sums[..deep]) {
                    *sum = if i < self.parts().len() { part } else { sum.plus(part) };
                }
            }
        }
        let (filters, bias) = total.split_at(self.taps * all);
        let across = self.phases[1].taps.len();
        for (dst, from) in dsts.iter_mut().zip([filters, bias]) {
            let blocks = Blocks::new(std::slice::from_mut(dst), [1, 1, all]);
            while let Some(mut block) = blocks.take() {
                let (tap, y) = (block.picture * across + block.rows.start, block.rows.start);
                block.parts::<1>()[0].narrow(y, &from[tap * all..][..all]);
            }
        }
    }
}

/// The sums of one chunk of rows and one part of the channels.
struct Task<'t, L: Lane> {
    plan: &'t Plan<'t>,
    chunk: usize,
    channels: Range<usize>,
    sums: &'t mut [L::Elem],
}

impl<L: Lane<Elem: Floats>> Kernel for Task<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let [pictures, height, width, _] = self.plan.shape;
        let lines = |chunk: usize| chunk * (pictures * height) / self.plan.chunks;
        let lines = lines(self.chunk)..lines(self.chunk + 1);
        self.sums.fill(L::Elem::default());
        let mut line = lines.start;
        while line < lines.end {
            let (picture, y) = (line / height, line % height);
            let rows = y..height.min(y + lines.end - line);
            for start in (0..width).step_by(self.plan.band) {
                let cols = start..width.min(start + self.plan.band);
                add::<S, L>(simd, self.plan, picture, [&rows, &cols, &self.channels], self.sums);
            }
            line += rows.len();
        }
    }
}

/// Adds what a rectangle of a picture's results brings.
fn add<S: Simd, L: Lane<Elem: Floats>>(
    simd: S,
    plan: &Plan<'_>,
    index: usize,
    [rows, cols, channels]: [&Range<usize>; 3],
    sums: &mut [L::Elem],
) {
    let (held, step) = (channels.len().max(plan.lanes), apart(channels.len(), size_of::<L::Elem>()));
    let span = Phase::span(&plan.phases[1..], cols);
    let part = Part { rows: 0..0, channels: channels.clone(), step, pitch: span.len() * step, cols: span };
    let (first, end) = (cols.start as isize, cols.end as isize);
    let grads = Part { cols: first..end, step: held, pitch: cols.len() * held, ..part.clone() };
    let source = plan.srcs[0].picture(index);
    let (gradient, mask) = (plan.srcs[1].picture(index), plan.srcs.get(2).map(|mask| mask.picture(index)));
    let [ring, _, stage] = Ring::<L::Elem>::room(&part, plan.slots, &source, false);
    let [row, spare, turned] = Ring::<L::Elem>::room(&grads, 1, &gradient, mask.is_some());
    let (sums, bias) = sums.split_at_mut(plan.taps * held);
    let lengths = [ring, stage, row, spare, turned];
    alloc::scratch(lengths, |[ring, stage, row, spare, turned]: [&mut [L::Elem]; 5]| {
        simd.vectorize(
            #[inline(always)]
            || {
                let mut ring = Ring::new(source, None, part, plan.slots, [ring, &mut [], stage]);
                let mut gradients = Ring::new(gradient, mask, grads, 1, [row, spare, turned]);
                for y in rows.clone() {
                    ring.bring::<L::Vector<S>>(Phase::span(&plan.phases[..1], &(y..y + 1)));
                    let row = gradients.row::<L::Vector<S>>(y);
                    let own = ring.own(plan.phases.each_ref(), [y, cols.start], [cols.len(), held]);
                    outer_own::<L::Vector<S>>(&own, row, held, sums);
                    for pixel in row.chunks_exact(held) {
                        for (sum, &number) in bias.iter_mut().zip(pixel) {
                            *sum = sum.plus(number);
                        }
                    }
                }
            },
        );
    });
}
