//! Pointwise passes over planes of channels: where filters are 1 x 1 and channels come first in memory, the
//! layer is a plain product of matrices, the filters by the picture, whose rows are planes.
//!
//! ```text
//! y[o][pixel] = sum over the channels of w[o][c] * x[c][pixel]
//! ```
//!
//! Neighbouring pixels are the lanes, so that neither samples nor results are turned about: a block brings
//! runs of its planes into scratch, panel by panel, and is the right side of [`gather`](crate::simd::gather),
//! whose left side are the filters, a row for each result. The sums are the same chains, to the bit.

use super::blockwise::Blockwise;
use super::finish::Finish;
use super::gather::Walk;
use super::pack::{Panel, Taps, lanes, panels, share, widened};
use super::packed::Packed;
use super::pass::{Pass, Sources};
use crate::alloc::results::Kept;
use crate::isa::Kernel;
use crate::registry::Schedule;
use crate::simd::{Lane, MAX_LANES, Runs, Simd, Vector, load_tile, store_tile, with_tile};
use crate::view::{Block, Blocks, Dst, Floats, Src};
use crate::{Error, alloc};
use std::sync::Arc;

/// Results that are worth it. Measured: with fewer, to bring runs of planes takes longer than to turn squares of
/// them about, which a picture of few columns has none of.
const MANY: usize = 128;
const FEW: usize = 8;

/// Whether a pass is one that this is quicker for.
pub(super) fn takes(pass: &Pass<'_>, src: &Src<'_>, dst: &Dst<'_>) -> bool {
    let [rows, cols] = pass.results();
    pass.pointwise()
        && src.has_planes()
        && dst.has_planes()
        && (pass.wide >= MANY && rows * cols >= FEW || cols < FEW && rows * cols >= 2 * FEW)
}

/// Rows of every tile go into so many.
const ROWS: usize = 24;

/// Results whose sums are made together: as many as have filters that stay in the first-level cache.
fn strip(deep: usize, size: usize) -> usize {
    const BYTES: usize = 16 << 10;
    (BYTES / (deep.max(1) * size)).clamp(ROWS, 4 * ROWS) / ROWS * ROWS
}

/// Bytes of a block's samples.
const NEAR: usize = 192 << 10;

/// Pixels of a block, at most: a strip's sums then stay near as well.
const PIXELS: usize = 512;

/// Vectors of pixels of a block, at least, however deep they are: those of a panel.
const LEAST: usize = 3;

/// Filters as rows.
struct Rows<A: Floats>(Kept<A>);

/// A pass with its filters as rows, `pitch` apart.
struct Job<'p, A: Floats> {
    pass: &'p Pass<'p>,
    sources: &'p Sources<'p>,
    filters: Arc<Rows<A>>,
    pitch: usize,
    runs: Runs,
    /// A number to start from for each result.
    bias: Vec<A>,
}

pub(super) fn solve<L: Lane<Elem: Floats>>(
    pass: &Pass<'_>,
    sources: &Sources<'_>,
    dst: &mut Dst<'_>,
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let fit = |pixels: usize| pixels <= PIXELS && pixels * pass.deep * size_of::<L::Elem>() <= NEAR;
    // Only where no picture goes on beyond the results.
    if schedule.tile.is_none()
        && sources.src.shape()[1..3] == dst.shape()[1..3]
        && let Some(src) = sources.src.in_one_row()
        && let Ok(mask) = in_one_row(sources.mask)
        && let Ok(addend) = in_one_row(sources.addend)
        && let Some(mut dst) = dst.in_one_row()
    {
        let (pixels, lanes) = (pass.results().iter().product::<usize>(), lanes::<L>(schedule.isa));
        let vectors = pixels.div_ceil(lanes);
        let most = (1..=PIXELS / lanes).rev().find(|n| fit(n * lanes)).unwrap_or(1).max(LEAST);
        let others = pass.groups * pass.conv.pictures.max(1);
        let parts = vectors.div_ceil(most).max((2 * schedule.workers.threads()).div_ceil(others));
        let width = vectors.div_ceil(parts) * lanes;
        let flat = Sources { src, mask: mask.as_ref(), addend: addend.as_ref(), ..*sources };
        return compute::<L>(pass, &flat, &mut dst, [1, width], schedule);
    }
    let size = schedule.tile.unwrap_or_else(|| pass.rows(schedule.workers.threads(), fit));
    compute::<L>(pass, sources, dst, size, schedule)
}

/// An array that there may be, with its pictures' rows as one.
fn in_one_row<'a>(array: Option<&Src<'a>>) -> Result<Option<Src<'a>>, ()> {
    array.map(|array| array.in_one_row().ok_or(())).transpose()
}

/// Computes blocks of so many rows and columns.
fn compute<L: Lane<Elem: Floats>>(
    pass: &Pass<'_>,
    sources: &Sources<'_>,
    dst: &mut Dst<'_>,
    [rows, cols]: [usize; 2],
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let pitch = pass.step().max(1);
    let filters = Packed::get(schedule.filters, pass, schedule.isa, || {
        let mut packed = Kept::new(pass.groups * pass.wide * pitch);
        let taps = Taps::new(sources.filters);
        let mut tasks = Vec::new();
        for (group, rows) in packed.chunks_exact_mut((pass.wide * pitch).max(1)).enumerate() {
            // Filters of neighbouring results are neighbours in memory.
            let each = pass.wide.div_ceil(4 * schedule.workers.threads()).next_multiple_of(MAX_LANES);
            for (i, into) in rows.chunks_mut(each * pitch).enumerate() {
                tasks.push(Pack::<L> { pass, taps: &taps, first: [group, i * each], into, pitch });
            }
        }
        share(tasks, pass.packing(), schedule)?;
        Ok(Rows(packed))
    })?;
    let bias = sources.bias.map_or_else(|| vec![L::Elem::default(); pass.groups * pass.wide], widened);
    let runs = Runs::new([(0, pass.deep)]);
    let job = Job { pass, sources, filters, pitch, runs, bias };
    let blocks = Blocks::new(std::slice::from_mut(dst), [rows, cols, pass.wide]);
    Blockwise::<L>::compute(&job, &blocks, schedule.workers, schedule.isa)
}

/// Filters of a few results, to be brought.
struct Pack<'t, L: Lane> {
    pass: &'t Pass<'t>,
    taps: &'t Taps<'t, L::Elem>,
    /// Their group, and the first of them in it.
    first: [usize; 2],
    into: &'t mut [L::Elem],
    pitch: usize,
}

impl<L: Lane<Elem: Floats>> Kernel for Pack<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { pass, taps, first, into, pitch } = self;
        simd.vectorize(
            #[inline(always)]
            || taps.rows::<L::Vector<S>>(pass, first, into, pitch),
        );
    }
}

impl<L: Lane<Elem: Floats>> Blockwise<L> for Job<'_, L::Elem> {
    fn block<S: Simd>(&self, simd: S, mut block: Block<'_>) {
        let pass = self.pass;
        let group = block.channels.start / pass.wide;
        let (picture, rows, cols) = (block.picture, block.rows.clone(), block.cols.clone());
        let pixels = rows.len() * cols.len();
        let panels = panels(pixels.div_ceil(L::Vector::<S>::LANES));
        let width = pixels.next_multiple_of(L::Vector::<S>::LANES);
        let strip = strip(pass.deep, size_of::<L::Elem>());
        let finish = Finish::new(pass, self.sources);
        let masked = if self.sources.mask.is_some() { width } else { 0 };
        let lengths = [pass.deep * width, strip * width, width, masked];
        alloc::scratch(lengths, |[samples, sums, line, mask]: [&mut [L::Elem]; 4]| {
            simd.vectorize(
                #[inline(always)]
                || {
                    self.bring::<L::Vector<S>>(&block, group, &panels, samples, [line, mask]);
                    let [mut to] = block.parts();
                    for first in (0..pass.wide).step_by(strip) {
                        let n = strip.min(pass.wide - first);
                        self.strip::<L::Vector<S>>(
                            [group * pass.wide + first, n],
                            &panels,
                            samples,
                            sums,
                            width,
                        );
                        for (r, sums) in sums.chunks_exact_mut(width).take(n).enumerate() {
                            let (sums, channel) = (&mut sums[..pixels], group * pass.wide + first + r);
                            for (y, row) in rows.clone().zip(sums.chunks_exact_mut(cols.len())) {
                                let channel = channel..channel + 1;
                                finish.row::<L::Vector<S>>([picture, y], &cols, &channel, line, row);
                            }
                            to.narrow_plane(first + r, sums);
                        }
                    }
                },
            );
        });
    }
}

impl<A: Floats> Job<'_, A> {
    /// Brings the samples of a block: panels of pixels, for each channel a row of the panel's lanes.
    #[inline(always)]
    fn bring<V: Vector<Elem = A>>(
        &self,
        block: &Block<'_>,
        group: usize,
        panels: &[Panel],
        samples: &mut [A],
        [line, spare]: [&mut [A]; 2],
    ) {
        let (rows, cols, deep) = (&block.rows, &block.cols, self.pass.deep);
        let pixels = rows.len() * cols.len();
        let picture = self.sources.src.picture(block.picture);
        let mask = self.sources.mask.map(|mask| mask.picture(block.picture));
        for c in 0..deep {
            let channel = group * deep + c;
            let lent = if mask.is_none() { picture.lend_plane(rows, cols, channel) } else { None };
            let plane = lent.unwrap_or_else(|| {
                for (y, row) in rows.clone().zip(line.chunks_exact_mut(cols.len())) {
                    picture.widen(y, cols, &(channel..channel + 1), row);
                }
                if let Some(mask) = &mask {
                    for (y, row) in rows.clone().zip(spare.chunks_exact_mut(cols.len())) {
                        mask.widen(y, cols, &(channel..channel + 1), row);
                    }
                    for (value, &result) in line.iter_mut().zip(spare.iter()) {
                        *value = if result > A::default() { *value } else { A::default() };
                    }
                }
                &line[..pixels]
            });
            for panel in panels {
                let [first, width] = [panel.start, panel.vectors].map(|n| n * V::LANES);
                let into = &mut samples[first * deep + c * width..][..width];
                let there = width.min(pixels - first);
                if there == width {
                    for lane in (0..width).step_by(V::LANES) {
                        store_tile::<V, 1>(&load_tile(plane, first + lane), into, lane);
                    }
                } else {
                    into[..there].copy_from_slice(&plane[first..]);
                    into[there..].fill(A::default());
                }
            }
        }
    }

    /// The sums of a few results, rows of `width` pixels.
    #[inline(always)]
    fn strip<V: Vector<Elem = A>>(
        &self,
        [first, n]: [usize; 2],
        panels: &[Panel],
        samples: &[A],
        sums: &mut [A],
        width: usize,
    ) {
        for (row, &bias) in sums.chunks_exact_mut(width).zip(&self.bias[first..first + n]) {
            row.fill(bias);
        }
        let walk = Walk { results: [1, n], from: [0, 0, self.pitch], to: [0, 0, width] };
        let filters = &self.filters.0[first * self.pitch..];
        for panel in panels {
            let lane = panel.start * V::LANES;
            let right = &samples[lane * self.pass.deep..];
            with_tile!(V, panel.vectors, |R, NV| {
                walk.run::<V, R, NV>(filters, &self.runs, right, None, sums, lane, width);
            });
        }
    }
}
