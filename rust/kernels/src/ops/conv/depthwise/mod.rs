//! Depthwise layers: groups of one channel and one result, which know nothing of each other.
//!
//! ```text
//! y[n, oy, ox, c] = sum over the taps (i, j) of x[n, oy * sh + i * dh - top, ox * sw + j * dw - left, c] * w[i, j, c]
//! ```
//!
//! A sample is read for the few taps of one channel only: what takes time is to bring samples near, once, and
//! results away. A block walks down its pictures' rows with the source rows that a window needs in a ring
//! ([`Ring`]), zeros around them; a row of results is then computed from there to where it belongs, its channels
//! as lanes ([`gather_own`]). Where channels are planes, blocks of a few of them are turned about on their way
//! into the ring and out again.
//!
//! Every result is one chain of sums in the order of the taps: its bits don't depend on blocks or threads.

mod filters;
mod ring;

use super::blockwise::Blockwise;
use super::finish::Finish;
use super::pack::{Part, Taps, halve, lanes, padded};
use super::pass::{Pass, Sources, passes, with_lane};
use super::phase::Phase;
use super::{Conv, GradFilters};
use crate::alloc::Plain;
use crate::registry::{Implementation, Reject, Schedule};
use crate::simd::{Lane, MAX_LANES, Simd, Vector, gather_own};
use crate::view::{Block, Blocks, Dst, Floats, Src};
use crate::{Error, alloc};
use ring::Ring;
use std::ops::Range;

/// The implementation `depthwise`.
#[derive(Debug)]
pub struct Depthwise;

/// Multiply-adds of `f32` a nanosecond, and nanoseconds for bringing a sample or a result.
const RATE: f64 = 40.0;
const MOVED: f64 = 0.08;

/// Estimated nanoseconds of one thread. Refuses layers that mix channels.
fn cost(conv: &Conv) -> Result<f64, Reject> {
    if conv.groups != conv.inputs || conv.inputs != conv.outputs {
        return Err(Reject("needs as many groups as channels and as results"));
    }
    let moved: usize =
        [conv.x_shape(), conv.y_shape()].iter().map(|shape| shape.iter().product::<usize>()).sum();
    // Lanes without a channel are lost.
    let lost = conv.inputs.max(1).next_multiple_of(8) as f64 / conv.inputs.max(1) as f64;
    let size = conv.arithmetic().size() as f64 / 4.0;
    Ok((conv.multiply_adds() / RATE + moved as f64 * MOVED) * lost * size)
}

passes!(
    Depthwise,
    "depthwise",
    |_| None,
    |pass: Pass<'_>| cost(pass.conv),
    |pass: Pass<'_>, sources, dst, schedule| solve(&pass, sources, dst, schedule)
);

impl Implementation<GradFilters> for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn cost(&self, problem: &GradFilters) -> Result<f64, Reject> {
        cost(&problem.conv)
    }

    fn run(
        &self,
        problem: &GradFilters,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        filters::compute(problem, srcs, dsts, schedule)
    }
}

/// Bytes of a ring of source rows, unless a pixel has more.
const RING: usize = 128 << 10;

/// Channels of a block where they are planes, and of others at least.
const PLANES: usize = 64;

/// Columns of results whose rows a ring should hold: fewer are mostly read twice, beside each other.
const COLUMNS: usize = 14;

/// Pixels that are turned about together where planes' rows are shorter than a vector.
const TOGETHER: usize = 64;

/// Results of a block at most: between two the caller may be interrupted.
const PATIENCE: usize = 16 << 20;

/// Channels of a block: all, or so many that each block has a vector of them.
fn channels(all: usize, most: usize, lanes: usize) -> usize {
    let least = |parts: usize| all.saturating_sub((parts - 1) * all.div_ceil(parts));
    let parts = (1..=all.div_ceil(most).max(1)).rev().find(|&parts| parts == 1 || least(parts) >= lanes);
    all.div_ceil(parts.unwrap_or(1)).max(1)
}

/// A pass with its weights at hand, ready to be run block by block.
struct Job<'p, A: Plain> {
    pass: &'p Pass<'p>,
    sources: &'p Sources<'p>,
    taps: Taps<'p, A>,
    /// A number to start from for each channel.
    bias: Vec<A>,
    lanes: usize,
    /// Source rows that a row of results may need at once.
    slots: usize,
}

/// Numbers from one pixel's, or tap's, channels to the next's: those of one channel must not all be in a few sets of the
/// first-level cache.
fn apart(channels: usize, size: usize) -> usize {
    let crowded = channels > 0 && (channels * size).is_multiple_of(2048);
    channels + if crowded { MAX_LANES } else { 0 }
}

/// So many channels that a ring of `slots` rows keeps near what a few columns of results read, `most` at most.
fn near([rows, cols]: [&[Phase]; 2], width: usize, most: usize, size: usize) -> usize {
    let pixels = slots(rows) * Phase::span(cols, &(0..width.min(COLUMNS))).len();
    halve(most, |channels| channels <= PLANES || pixels * channels * size <= RING)
}

/// Rows of a ring: from the first to the last that results of all phases with one index read.
fn slots(phases: &[Phase]) -> usize {
    let offsets = || phases.iter().flat_map(|phase| &phase.taps).map(|&(offset, _)| offset);
    offsets().max().zip(offsets().min()).map_or(1, |(most, least)| (most - least) as usize + 1)
}

fn solve(
    pass: &Pass<'_>,
    sources: &Sources<'_>,
    dst: &mut Dst<'_>,
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let conv = pass.conv;
    let workers = schedule.workers.worth(cost(conv).unwrap_or(f64::INFINITY));
    let ([height, width], all, size) = (pass.results(), conv.inputs, conv.arithmetic().size());
    with_lane!(conv, |L| {
        let lanes = lanes::<L>(schedule.isa);
        let planes = sources.src.has_planes() || dst.has_planes();
        let [down, across] = pass.phases.each_ref().map(Vec::as_slice);
        let most = near([down, across], width, if planes { PLANES } else { all.max(1) }, size);
        let deep = channels(all, most, lanes);
        let slots = slots(down);
        let [rows, cols] = schedule.tile.unwrap_or_else(|| {
            let bytes = |cols| slots * Phase::span(across, &(0..cols)).len() * deep * size;
            let cols = halve(width, |cols| bytes(cols) <= RING);
            let others = width.div_ceil(cols) * all.div_ceil(deep) * conv.pictures.max(1);
            let parts = (4 * workers.threads()).div_ceil(others).min(height / (4 * slots)).max(1);
            let rows = height.div_ceil(if workers.threads() == 1 { 1 } else { parts });
            [rows.min(PATIENCE / (cols * deep)).max(1), cols]
        });
        let blocks = Blocks::new(std::slice::from_mut(dst), [rows, cols, deep]);
        let bias = padded(sources.bias, [1, all], all.max(lanes));
        let job = Job {
            pass,
            sources,
            taps: Taps::apart(sources.filters, apart(all, size).max(lanes)),
            bias,
            lanes,
            slots,
        };
        Blockwise::<L>::compute(&job, &blocks, workers, schedule.isa)
    })
}

impl<L: Lane<Elem: Floats>> Blockwise<L> for Job<'_, L::Elem> {
    fn block<S: Simd>(&self, simd: S, mut block: Block<'_>) {
        let (pass, sources) = (self.pass, self.sources);
        let (index, rows, cols) = (block.picture, block.rows.clone(), block.cols.clone());
        let (channels, deep) = (block.channels.clone(), block.channels.len());
        let (held, step) = (deep.max(self.lanes), apart(deep, size_of::<L::Elem>()));
        let span = Phase::span(&pass.phases[1], &cols);
        let part =
            Part { rows: 0..0, channels: channels.clone(), step, pitch: span.len() * step, cols: span };
        let (picture, mask) = (sources.src.picture(index), sources.mask.map(|mask| mask.picture(index)));
        let [mut to] = block.parts();
        let mut lent = |y| to.lend_widened::<L::Elem>(y).is_some();
        // If two rows are aligned, all are.
        let lends = deep == held && lent(rows.start) && lent((rows.start + 1).min(rows.end - 1));
        // Rows of planes that are shorter than a vector are turned about together.
        let together = if cols.len() < self.lanes { TOGETHER / cols.len() } else { 1 };
        let results = if lends { 0 } else { (together * deep + held) * cols.len() };
        let finish = Finish::new(pass, sources);
        let [ring, spare, stage] = Ring::<L::Elem>::room(&part, self.slots, &picture, mask.is_some());
        let lengths = [ring, spare, stage, finish.room(cols.len() * deep), results];
        let (windows, down) = (self.windows(channels.start), &pass.phases[0]);
        alloc::scratch(lengths, |[ring, spare, stage, line, out]: [&mut [L::Elem]; 5]| {
            simd.vectorize(
                #[inline(always)]
                || {
                    let mut ring = Ring::new(picture, mask, part, self.slots, [ring, spare, stage]);
                    for (i, y) in rows.clone().enumerate() {
                        let read = Phase::span(down, &(y..y + 1));
                        if !read.is_empty() {
                            // The next results may be of phases that read rows before those of this one.
                            let ahead = Phase::span(down, &(y..rows.end.min(y + down.len())));
                            ring.bring::<L::Vector<S>>(ahead.start..read.end);
                        }
                        let place = i % together * cols.len() * deep;
                        let row = match to.lend_widened(y) {
                            Some(row) if lends => row,
                            _ => &mut out[place..][..cols.len() * held],
                        };
                        for window in &windows {
                            self.row::<L::Vector<S>>(window, &mut ring, [y, held], [&cols, &channels], row);
                        }
                        if held > deep {
                            for x in 1..cols.len() {
                                row.copy_within(x * held..x * held + deep, x * deep);
                            }
                        }
                        finish.row::<L::Vector<S>>(
                            [index, y],
                            &cols,
                            &channels,
                            line,
                            &mut row[..cols.len() * deep],
                        );
                        let done = i % together + 1;
                        if !lends && (done == together || y + 1 == rows.end) {
                            let results = &out[..done * cols.len() * deep];
                            to.narrow_with::<L::Vector<S>>(&(y + 1 - done..y + 1), results);
                        }
                    }
                },
            );
        });
    }
}

/// A pair of phases, and the weights of a block's channels: for each tap, rows outer.
struct Window<'w, A> {
    rows: &'w Phase,
    cols: &'w Phase,
    weights: Vec<&'w [A]>,
}

impl<A: Floats> Job<'_, A> {
    /// Those of blocks whose channels begin at `first`.
    fn windows(&self, first: usize) -> Vec<Window<'_, A>> {
        let [rows, cols] = &self.pass.phases;
        let pairs = rows.iter().flat_map(|rows| cols.iter().map(move |cols| (rows, cols)));
        let windows = pairs.map(|(rows, cols)| {
            let taps = rows.taps.iter().flat_map(|&(_, ky)| cols.taps.iter().map(move |&(_, kx)| [ky, kx]));
            Window { rows, cols, weights: taps.map(|tap| &self.taps.tap(tap)[first..]).collect() }
        });
        windows.collect()
    }

    /// Computes the results of row `y` that are of a window, `held` numbers apart.
    #[inline(always)]
    fn row<V: Vector<Elem = A>>(
        &self,
        Window { rows, cols: across, weights }: &Window<'_, A>,
        ring: &mut Ring<'_, A>,
        [y, held]: [usize; 2],
        [cols, channels]: [&Range<usize>; 2],
        out: &mut [A],
    ) {
        let (ys, xs) = (rows.within(&(y..y + 1)), across.within(cols));
        if ys.is_empty() || xs.is_empty() {
            return;
        }
        let own = ring.own([rows, across], [ys.start, xs.start], [xs.len(), held]);
        let first = across.first + xs.start * across.step - cols.start;
        let start = &self.bias[channels.start..];
        gather_own::<V>(&own, weights, start, &mut out[first * held..], across.step * held);
    }
}
