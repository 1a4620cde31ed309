//! The layer and its gradient with respect to the input on a matrix unit of `bf16`: samples and weights are split into
//! parts of 8 significant bits, and the products of parts summed.
//!
//! ```text
//! y[pixel][o] = sum over taps t, channels c, i + j < P of  x_i[pixel + place of t][c] * w_j[t][c][o]
//! ```
//!
//! Three parts (six products) are what `precision='highest'` asks for, two (three products) what `'high'`, one what
//! `'medium'` does; the unit is 15 times as quick as the vectors. What parts leave out, and where the method is from, is
//! said with [`PRODUCTS`].
//!
//! A block's samples are split once, with the zeros around the image, into planes by the remainders of their rows and
//! columns by the strides: there neighbouring results read neighbouring pixels, whatever the stride is, and a row's end
//! goes on into the next row (results between rows are made in vain: two of sixteen under 3 x 3 filters of 14 columns).
//!
//! The unit takes denormal numbers for zeros, and infinity makes NaN of the parts. So a result whose window has a
//! sample too small or too large for parts is computed once more by [`gather`](super::gather), and the whole pass where a
//! weight is such. A result's bits depend on its own window alone, not on blocks or threads.
//!
//! The rate in [`RATE`] is from published peaks: no CPU with the unit was at hand.

mod task;

use super::finish::Finish;
use super::gather::{self, Job};
use super::pack::{Panel, Piece, Taps, halve, lanes, padded, pieces, share};
use super::packed::Packed;
use super::pass::{Pass, Sources, passes};
use super::phase::Phase;
use super::{Conv, RATE as VECTORS};
use crate::Error;
use crate::alloc::results::Kept;
use crate::dtype::DType;
use crate::isa::{Isa, Kernel};
use crate::precision::Precision;
use crate::registry::{Reject, Schedule};
use crate::simd::{self, DEPTH, Lane, MAX_PARTS, PRODUCTS, STEP, Simd, Tiles, lane};
use crate::view::{Blocks, Dst};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use task::Task;

/// The implementation `split`.
#[derive(Debug)]
pub struct Split;

passes!(
    Split,
    "split",
    |pass: Pass<'_>| Some(bound(&pass)),
    |pass: Pass<'_>| cost(&pass),
    |pass: Pass<'_>, sources, dst, schedule| solve(&pass, sources, dst, schedule),
    fn arithmetic(&self) -> Option<&'static str> {
        Some("bf16")
    },
    fn supports(&self, isa: Isa) -> Result<(), Reject> {
        isa.tiles().map(|_| ()).ok_or(Reject("needs AMX, which this instruction set has not"))
    }
);

/// Products of parts a nanosecond, those with padding counted, on the scale of [`VECTORS`]: the unit's peak is so many times that
/// of the vectors of such CPUs, and published loops reach as large a share of it.
const RATE: f64 = 15.0 * VECTORS;

/// Nanoseconds for a part of a sample or of a weight, and for a result.
const SPLIT: [f64; 2] = [0.2, 0.4];
const MOVED: f64 = 0.2;

/// Parts of a number.
fn parts(conv: &Conv) -> usize {
    match (conv.dtype, conv.precision) {
        // It is its one part.
        (DType::Bf16, _) | (_, Precision::Medium) => 1,
        (_, Precision::High) => 2,
        (_, Precision::Highest) => MAX_PARTS,
    }
}

/// Products of parts that a product of numbers is made of.
const fn products(parts: usize) -> usize {
    parts * (parts + 1) / 2
}

/// Steps that a result takes under all taps.
fn steps(pass: &Pass<'_>) -> usize {
    pass.conv.windows.iter().map(|w| w.taps).product::<usize>() * pass.deep.div_ceil(DEPTH)
}

/// Roundings that a term meets at most: in the sum of its step, as each step's is added, and the bias.
fn roundings(pass: &Pass<'_>) -> usize {
    DEPTH + steps(pass) * products(parts(pass.conv)) + 1
}

fn bound(pass: &Pass<'_>) -> String {
    // What the parts leave out, in units of 2^-9 for each part that there is.
    let parts = parts(pass.conv);
    let dropped = match parts {
        1 if pass.conv.dtype == DType::Bf16 => 0.0,
        // Each part is half a unit in the last place of 8 bits of the one before.
        parts => [2.01, 3.01, 2.01][parts - 1] * (-9.0 * parts as f64).exp2(),
    };
    let rounded = 1.01 * roundings(pass) as f64 * pass.conv.arithmetic().unit_roundoff();
    format!("within {:.2e} x sum |x w| of the exact sum, before rounding to the dtype", dropped + rounded)
}

fn cost(pass: &Pass<'_>) -> Result<f64, Reject> {
    let conv = pass.conv;
    if conv.dtype == DType::F64 {
        return Err(Reject("makes its sums in float32"));
    }
    let terms = conv.windows.iter().map(|w| w.taps).product::<usize>() * pass.deep;
    if conv.precision == Precision::Highest && roundings(pass) > terms + 1 {
        return Err(Reject("is less exact than precision='highest' for so few channels"));
    }
    let ([rows, cols], parts) = (pass.results(), parts(conv));
    let [height, width] = spans(pass, [&(0..rows), &(0..cols)]);
    let mut steps = 0;
    for rows in &pass.phases[0] {
        for cols in &pass.phases[1] {
            let pixels = (rows.count * width).next_multiple_of(PRODUCTS[0]);
            steps += pixels * rows.taps.len() * cols.taps.len() * pass.deep.next_multiple_of(DEPTH);
        }
    }
    let made = (steps * products(parts)) as f64 * pass.wide.next_multiple_of(PRODUCTS[1]) as f64;
    let [up, across] = strides(pass);
    let brought = (height * up) as f64 * (width * across) as f64 * (pass.deep * parts) as f64;
    let pictures = (conv.pictures * pass.groups) as f64;
    let each = made / RATE + brought * SPLIT[0] + (rows * cols * pass.wide) as f64 * MOVED;
    Ok(pictures * each + packing(pass))
}

/// Nanoseconds for splitting all weights.
fn packing(pass: &Pass<'_>) -> f64 {
    let weights = pass.conv.filters_shape().iter().map(|&n| n as f64).product::<f64>();
    weights * parts(pass.conv) as f64 * SPLIT[1]
}

/// Distance between what neighbouring results of a phase read, in rows and columns: that of all phases.
fn strides(pass: &Pass<'_>) -> [usize; 2] {
    [0, 1].map(|i| pass.phases[i].first().map_or(1, |phase| phase.stride))
}

/// Rows and columns of each remainder's plane of what a rectangle of results reads.
fn spans(pass: &Pass<'_>, place: [&std::ops::Range<usize>; 2]) -> [usize; 2] {
    let strides = strides(pass);
    [0, 1].map(|i| Phase::span(&pass.phases[i], place[i]).len().div_ceil(strides[i]))
}

/// How a pass is cut up. No bit depends on it.
struct Plan {
    /// Rows, columns and channels of a block: all channels of a group, or some panels of them.
    size: [usize; 3],
    /// Blocks that are done together, with each panel of weights in the second-level cache.
    together: usize,
}

/// Bytes of samples and results of a task: they stay in the second-level cache beside a panel of weights.
const NEAR: usize = 512 << 10;

/// Pixels of a block, at least: weights are then brought seldom enough.
const PIXELS: usize = 256;

impl Plan {
    fn new(pass: &Pass<'_>, threads: usize) -> Self {
        let [rows, cols] = pass.results();
        let pixel = step(pass) * parts(pass.conv) * size_of::<u16>();
        let bytes = |height: usize, width: usize| {
            let planes: usize = spans(pass, [&(0..height), &(0..width)]).iter().product();
            let samples = planes * strides(pass).iter().product::<usize>() * pixel;
            samples + height * width * pass.wide * size_of::<f32>()
        };
        let few = 4.min(rows);
        let width = halve(cols, |width| bytes(few, width) <= NEAR);
        let height = halve(rows, |height| bytes(height, width) <= NEAR);
        let across = cols.div_ceil(width) * pass.groups * pass.conv.pictures.max(1);
        let wanted = if threads == 1 { 1 } else { 4 * threads };
        let fair = rows.div_ceil(wanted.div_ceil(across)).max(PIXELS.div_ceil(width));
        let height = height.min(fair);
        let all = rows.div_ceil(height) * across;
        let together = (NEAR / bytes(height, width).max(1)).min(all / wanted).max(1);
        // Few blocks are cut by their results as well, and each reads all samples.
        let some = pass.wide.div_ceil(wanted.div_ceil(all)).next_multiple_of(PRODUCTS[1]);
        let parted = pass.groups == 1 && together == 1 && some < pass.wide;
        let channels = if parted { some } else { pass.wide };
        Self { size: [height, width, channels], together: if pass.groups == 1 { together } else { 1 } }
    }
}

/// Numbers from a pixel's samples to the next's: an odd number of cache lines, so that pixels are spread over all sets of
/// the first-level cache.
fn step(pass: &Pass<'_>) -> usize {
    (pass.deep.div_ceil(DEPTH) | 1) * DEPTH
}

/// A pass, ready to be run task by task.
struct Layer<'p> {
    pass: &'p Pass<'p>,
    sources: &'p Sources<'p>,
    finish: Finish<'p>,
    isa: Isa,
    unit: Tiles,
    parts: usize,
    step: usize,
    /// Phases of rows and of columns, in the order of the weights.
    pairs: Vec<[&'p Phase; 2]>,
    weights: Arc<Weights>,
    /// Results of each group in panels.
    panels: usize,
    /// A number to start from for each result of each group, in whole panels.
    starts: Vec<f32>,
    /// What computes results that parts can't, once there is one.
    plain: OnceLock<Job<'p, f32>>,
}

/// Weights by pair of phases, group, panel and step; and whether all may be split.
struct Weights {
    pairs: Vec<Kept<u32>>,
    fit: bool,
}

fn solve(
    pass: &Pass<'_>,
    sources: &Sources<'_>,
    dst: &mut Dst<'_>,
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let unit = schedule.isa.tiles().expect("an instruction set that this implementation supports");
    if dst.shape().contains(&0) {
        return Ok(());
    }
    let workers = schedule.workers.worth(pass.nanoseconds());
    let panels = pass.wide.div_ceil(PRODUCTS[1]);
    let mut pairs = Vec::new();
    for rows in &pass.phases[0] {
        pairs.extend(pass.phases[1].iter().map(|cols| [rows, cols]));
    }
    let weights = Packed::get(schedule.filters, pass, schedule.isa, || {
        Weights::new(pass, sources, &pairs, panels, schedule)
    })?;
    if !weights.fit {
        return gather::solve(pass, sources, dst, schedule);
    }
    let layer = Layer {
        pass,
        sources,
        finish: Finish::new(pass, sources),
        isa: schedule.isa,
        unit,
        parts: parts(pass.conv),
        step: step(pass),
        pairs,
        weights,
        panels,
        starts: padded(sources.bias, [pass.groups, pass.wide], panels * PRODUCTS[1]),
        plain: OnceLock::new(),
    };
    let mut plan = Plan::new(pass, workers.threads());
    if let Some([rows, cols]) = schedule.tile {
        plan.size = [rows, cols, plan.size[2]];
    }
    let blocks = Blocks::new(std::slice::from_mut(dst), plan.size);
    let workers = workers.at_most(blocks.count().div_ceil(plan.together));
    let next = || {
        let blocks: Vec<_> = (0..plan.together).map_while(|_| blocks.take()).collect();
        (!blocks.is_empty()).then_some(Task { layer: &layer, blocks })
    };
    workers.drain(next, |task| schedule.isa.dispatch(task))
}

impl Weights {
    fn new(
        pass: &Pass<'_>,
        sources: &Sources<'_>,
        pairs: &[[&Phase; 2]],
        panels: usize,
        schedule: &Schedule<'_>,
    ) -> Result<Self, Error> {
        let (lanes, parts) = (lanes::<lane::F32>(schedule.isa), parts(pass.conv));
        let vectors = PRODUCTS[1] / lanes;
        let panels: Vec<_> = (0..panels).map(|i| Panel { start: i * vectors, vectors }).collect();
        // A step of two panels' worth of weights is one of 32 results.
        let size = |[rows, cols]: &[&Phase; 2]| {
            rows.taps.len() * cols.taps.len() * pass.deep.div_ceil(DEPTH) * parts * STEP
        };
        let mut weights: Vec<Kept<u32>> =
            pairs.iter().map(|pair| Kept::new(pass.groups * panels.len() * size(pair))).collect();
        let (taps, fit) = (Taps::new(sources.filters), AtomicBool::new(true));
        let mut tasks = Vec::new();
        for (pair, weights) in pairs.iter().zip(&mut weights) {
            let each = size(pair) / vectors;
            for piece in pieces(weights, [pass.groups, each], &panels, schedule.workers.threads()) {
                tasks.push(Pack { pass, taps: &taps, phases: *pair, parts, piece, fit: &fit });
            }
        }
        share(tasks, packing(pass), schedule)?;
        Ok(Self { pairs: weights, fit: fit.into_inner() })
    }
}

/// Weights of a pair of phases, to be split.
struct Pack<'t> {
    pass: &'t Pass<'t>,
    taps: &'t Taps<'t, f32>,
    phases: [&'t Phase; 2],
    parts: usize,
    piece: Piece<'t, u32>,
    fit: &'t AtomicBool,
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { pass, taps, phases: [rows, cols], parts, piece, fit } = self;
        let mut fits = true;
        let order = || rows.taps.iter().flat_map(|&(_, ky)| cols.taps.iter().map(move |&(_, kx)| [ky, kx]));
        let steps = pass.deep.div_ceil(DEPTH);
        let size = rows.taps.len() * cols.taps.len() * steps * parts * STEP;
        simd.vectorize(
            #[inline(always)]
            || {
                let mut copy = [0.0; PRODUCTS[1] * DEPTH];
                for (i, tap) in order().enumerate() {
                    for s in 0..steps {
                        let n = DEPTH.min(pass.deep - s * DEPTH);
                        for (panel, into) in piece.panels.iter().zip(piece.into.chunks_exact_mut(size)) {
                            let (there, rest) = copy.split_at_mut(n * PRODUCTS[1]);
                            taps.bring::<<lane::F32 as Lane>::Vector<S>>(
                                pass,
                                tap,
                                piece.group,
                                *panel,
                                s * DEPTH,
                                there,
                            );
                            rest.fill(0.0);
                            let into = &mut into[(i * steps + s) * parts * STEP..];
                            fits &= match parts {
                                1 => simd::split_weights::<1>(&copy, into),
                                2 => simd::split_weights::<2>(&copy, into),
                                _ => simd::split_weights::<MAX_PARTS>(&copy, into),
                            };
                        }
                    }
                }
            },
        );
        if !fits {
            fit.store(false, Ordering::Relaxed);
        }
    }
}
