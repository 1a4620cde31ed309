//! Passes over many pictures, to few results: the lanes are pictures.
//!
//! ```text
//! y[p][r][picture] = sum over the taps t, where they meet the image, and the channels c of
//!                    x[place of t at p][c][picture] * w[t][c][r]
//! ```
//!
//! Few results fill few lanes where results are the lanes ([`gather`](super::gather)); where neighbouring pixels are
//! ([`narrow`](super::narrow)), small images lose them between rows, and products with the zeros around an image are made
//! for the sake of its neighbours: of a 5x5 filter's over a 10x10 gradient, half of all. Here no lane is lost, no sample is
//! loaded across two cache lines, and a tap that leaves the image is left out. What it costs is to turn the pictures about,
//! and the results back. The sums are the same chains, but for products with zeros around the image, and no sum is -0.

mod filters;

pub use filters::Pictures;

use super::blockwise::Blockwise;
use super::finish::Finish;
use super::narrow::{self, Job};
use super::pack::{Part, halve, turn};
use super::pass::{Pass, Sources};
use super::phase::Phase;
use crate::alloc::Plain;
use crate::registry::Schedule;
use crate::simd::{Lane, Simd, Vector, Window, beside, store_tile, with_results};
use crate::view::{Block, Blocks, Dst, Floats, Picture, Src};
use crate::{Error, alloc};
use std::ops::Range;

/// Results at most; more fill the lanes of their vectors well enough.
const FEW: usize = 24;

/// Bytes of a block's samples and sums: pictures that stay whole need no rows turned about twice.
const NEAR: usize = 400 << 10;

/// Products of a result, at least, where the lanes of results are filled without this, and where they are not.
const DEPTH: [usize; 2] = [72, 9];

/// Columns that are too few for [`narrow`], which has planes as they are.
const SHORT: usize = 30;

/// Time of a pass that it takes, beside an estimate of the others.
pub(super) const QUICKER: f64 = 0.75;

/// Whether a pass is one that this is quicker for, where vectors have so many lanes, and channels are `planes` or not. Measured:
/// to turn pictures about pays where they stay near, unless a result has few products; larger ones only where most lanes
/// would be lost.
pub(super) fn takes(pass: &Pass<'_>, lanes: usize, planes: bool) -> bool {
    let (conv, wide) = (pass.conv, pass.wide);
    let pictures = conv.pictures;
    if pass.groups != 1
        || pass.deep == 0
        || !(1..=FEW).contains(&wide)
        || pictures < lanes
        || 8 * pictures.next_multiple_of(lanes) > 9 * pictures
        || bytes(pass, 1, lanes, true) > NEAR
        || bytes(pass, 1, lanes, false) > 4 * NEAR
    {
        return false;
    }
    let [rows, cols] = pass.results();
    let filled = 5 * wide >= 4 * wide.next_multiple_of(lanes);
    let bytes = bytes(pass, rows, lanes, true);
    if bytes <= NEAR {
        let taps = |phases: &Vec<Phase>| phases.iter().map(|phase| phase.taps.len()).max().unwrap_or(0);
        let depth = pass.phases.iter().map(taps).product::<usize>() * pass.deep;
        return depth >= DEPTH[usize::from(!filled)] && (!filled || pictures >= 2 * lanes);
    }
    let few = wide < lanes;
    let narrow = planes && narrow::takes(pass, lanes, planes);
    !filled && (few || bytes <= 2 * NEAR) && (!narrow || few && cols < SHORT)
}

/// Bytes of the samples and sums of a block of so many rows, without the zeros around the image where it is `clipped`.
fn bytes(pass: &Pass<'_>, rows: usize, lanes: usize, clipped: bool) -> usize {
    let cols = pass.results()[1];
    let [x, y] = [pass.conv.x_shape(), pass.conv.y_shape()];
    let shape = if pass.transposed { y } else { x };
    let span = |i: usize, n: usize| {
        let span = Phase::span(&pass.phases[i], &(0..n)).len();
        if clipped { span.min(shape[i + 1]) } else { span }
    };
    let samples = span(0, rows).saturating_mul(span(1, cols)).saturating_mul(pass.deep);
    let numbers = samples.saturating_add(rows * cols * pass.wide);
    numbers.saturating_mul(lanes * pass.conv.arithmetic().size())
}

/// The pass, with pictures for lanes.
struct Lanes<'p, A: Plain>(Job<'p, A>);

pub(super) fn solve<L: Lane<Elem: Floats>>(
    pass: &Pass<'_>,
    sources: &Sources<'_>,
    dst: &mut Dst<'_>,
    lanes: usize,
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let [rows, cols] = pass.results();
    let job = Job::new::<L>(pass, sources, dst.has_planes(), schedule)?;
    // As many tasks as keep the threads busy, though rows that two blocks read are turned about twice.
    let wanted = (2 * schedule.workers.threads()).div_ceil(pass.conv.pictures.div_ceil(lanes).max(1));
    let near = |rows| bytes(pass, rows, lanes, job.weights.finite) <= NEAR;
    let height = schedule.tile.map_or_else(|| halve(rows.div_ceil(wanted), near), |tile| tile[0]);
    let blocks = Blocks::new(std::slice::from_mut(dst), [height, cols, pass.wide]).together(lanes);
    if blocks.count() == 0 {
        return Ok(());
    }
    Blockwise::<L>::compute(&Lanes(job), &blocks, schedule.workers, schedule.isa)
}

impl<L: Lane<Elem: Floats>> Blockwise<L> for Lanes<'_, L::Elem> {
    fn block<S: Simd>(&self, simd: S, mut block: Block<'_>) {
        let job = &self.0;
        let (pass, wide) = (job.pass, job.pass.wide);
        let (rows, cols, channels) = (block.rows.clone(), block.cols.clone(), block.channels.clone());
        let [_, height, width, _] = job.sources.src.shape() else { panic!("an array of four axes") };
        // Zeros around the image are brought where a product with them may be something else.
        let met = |axis: usize, range: &Range<usize>, n: usize| {
            let span = Phase::span(&pass.phases[axis], range);
            let end = span.end.min(n as isize);
            if job.weights.finite { span.start.clamp(0, end.max(0))..end.max(0) } else { span }
        };
        let reads = [met(0, &rows, *height), met(1, &cols, *width)];
        let turned = Turned { src: &job.sources.src, mask: job.sources.mask, reads };
        let (reads, size) = (&turned.reads, turned.size());
        let finish = Finish::new(pass, job.sources);
        let lanes = L::Vector::<S>::LANES;
        let (pixels, line) = (rows.len() * cols.len(), if job.planes { 1 } else { wide });
        let whole = pixels * wide;
        let pictures = block.pictures.clone();
        let lends = block.lend_pictures::<L::Elem>(job.planes).is_some() && pictures.len() == lanes;
        let lengths = [
            size * lanes,
            size * lanes,
            if job.sources.mask.is_some() { size * lanes } else { 0 },
            whole * lanes,
            if lends { 0 } else { whole * lanes },
            finish.room(cols.len() * line),
        ];
        alloc::scratch(lengths, |[brought, samples, spare, sums, out, addend]: [&mut [L::Elem]; 6]| {
            simd.vectorize(
                #[inline(always)]
                || {
                    turned.bring::<L::Vector<S>>(&pictures, samples, [brought, spare]);
                    for (pair, weights) in job.pairs.iter().zip(&job.weights.pairs) {
                        let results = Results { job, pair, reads, place: [&rows, &cols] };
                        results.compute::<L::Vector<S>>(samples, weights, sums);
                    }
                    let into = match block.lend_pictures(job.planes) {
                        Some(into) if lends => into,
                        _ => &mut *out,
                    };
                    let each = pixels * line;
                    for (r, sums) in (0..wide).step_by(line).map(|r| (r, &sums[r * lanes..])) {
                        let step = wide / line * lanes;
                        turn::<L::Vector<S>>(sums, step, [each, lanes], &mut into[r * pixels..], whole);
                    }
                    let finished = if finish.is_none() { 0..0 } else { pictures.clone() };
                    for (picture, into) in finished.zip(into.chunks_exact_mut(whole)) {
                        let held = (0..wide).step_by(line).flat_map(|r| rows.clone().map(move |y| (r, y)));
                        for ((r, y), row) in held.zip(into.chunks_exact_mut(cols.len() * line)) {
                            let channels = channels.start + r..channels.start + r + line;
                            finish.row::<L::Vector<S>>([picture, y], &cols, &channels, addend, row);
                        }
                    }
                    if lends {
                        return;
                    }
                    for (picture, out) in pictures.zip(out.chunks_exact(whole)) {
                        block.turn_to(picture);
                        let [mut to] = block.parts();
                        if job.planes {
                            out.chunks_exact(pixels)
                                .enumerate()
                                .for_each(|(r, plane)| to.narrow_plane(r, plane));
                        } else {
                            to.narrow_with::<L::Vector<S>>(&rows, out);
                        }
                    }
                },
            );
        });
    }
}

/// Part of pictures with the lanes' pictures turned about: pixel by pixel and channel by channel a vector of pictures.
struct Turned<'t, 'a> {
    src: &'t Src<'a>,
    /// Where it is not positive, a sample is 0.
    mask: Option<&'t Src<'a>>,
    /// Rows and columns, with zeros where they leave the image.
    reads: [Range<isize>; 2],
}

impl<'a> Turned<'_, 'a> {
    /// Numbers of a picture's part.
    fn size(&self) -> usize {
        self.reads[0].len() * self.reads[1].len() * self.src.shape()[3]
    }

    /// Brings pictures, as many as there are lanes, or fewer, by way of two other parts of scratch, each as large (the second one
    /// only if there is a mask).
    #[inline(always)]
    fn bring<V: Vector<Elem: Floats>>(
        &self,
        pictures: &Range<usize>,
        samples: &mut [V::Elem],
        [brought, spare]: [&mut [V::Elem]; 2],
    ) {
        let (size, deep) = (self.size(), self.src.shape()[3]);
        if size == 0 {
            return;
        }
        let (pixels, apart) = (size / deep, self.src.has_planes());
        let each = if apart { 1 } else { deep };
        let steps = deep / each * V::LANES;
        if let Some((part, src, mask)) = self.whole(pictures, V::LANES) {
            let from = match part.lend(&src) {
                Some(lent) if mask.is_none() => lent,
                _ => {
                    part.bring::<V>(&src, mask.as_ref(), brought, spare);
                    &*brought
                }
            };
            // All rows are one where no zeros stand between them.
            let [height, width] = [1, 2].map(|axis| self.src.shape()[axis]);
            let [rows, cols] = &self.reads;
            let (lines, n) = if cols.len() == width { (1, height * width) } else { (height, width) };
            if pixels > height * width {
                samples[..size * V::LANES].fill(V::Elem::default());
            }
            let first = (-rows.start) as usize * cols.len() + (-cols.start) as usize;
            for (line, c) in (0..lines).flat_map(|line| (0..deep).step_by(each).map(move |c| (line, c))) {
                let from = &from[c * height * width + line * n * each..];
                let into = &mut samples[((first + line * cols.len()) * deep + c) * V::LANES..];
                turn::<V>(from, height * width * deep, [V::LANES, n * each], into, steps);
            }
            return;
        }
        for (index, into) in pictures.clone().zip(brought.chunks_exact_mut(size)) {
            let mask = self.mask.map(|mask| mask.picture(index));
            let picture = self.src.picture(index);
            for (c, into) in into.chunks_exact_mut(pixels * each).enumerate() {
                let [rows, cols] = self.reads.clone();
                let (channels, pitch) = (c * each..(c + 1) * each, cols.len() * each);
                let part = Part { rows, cols, channels, step: each, pitch };
                part.bring::<V>(&picture, mask.as_ref(), into, spare);
            }
        }
        // Lanes without a picture.
        brought[pictures.len() * size..].fill(V::Elem::default());
        for c in (0..deep).step_by(each) {
            let (from, into) = (&brought[c * pixels..], &mut samples[c * V::LANES..]);
            turn::<V>(from, size, [V::LANES, pixels * each], into, steps);
        }
    }

    /// Whole pictures as rows of numbers, if they are read, are so in memory, and there is one for each lane: what is to be
    /// brought, and from where.
    fn whole(
        &self,
        pictures: &Range<usize>,
        lanes: usize,
    ) -> Option<(Part, Picture<'a>, Option<Picture<'a>>)> {
        let inside = |axis: usize| {
            let read = &self.reads[axis];
            read.start <= 0 && read.end >= self.src.shape()[axis + 1] as isize
        };
        let empty = self.src.shape().contains(&0);
        if empty || !inside(0) || !inside(1) || pictures.len() < lanes {
            return None;
        }
        let planes = self.src.has_planes();
        let src = self.src.as_rows(planes)?;
        let mask = match self.mask {
            Some(mask) => Some(mask.as_rows(planes)?),
            None => None,
        };
        let [.., size] = src.shape();
        let cols = pictures.start as isize..pictures.end as isize;
        let part = Part { rows: 0..1, cols, channels: 0..size, step: size, pitch: size * lanes };
        Some((part, src, mask))
    }
}

/// The results of a pair of phases that stand in a block.
struct Results<'t, A: Plain> {
    job: &'t Job<'t, A>,
    pair: &'t [&'t Phase; 2],
    /// Rows and columns that the block reads, and that it has.
    reads: &'t [Range<isize>; 2],
    place: [&'t Range<usize>; 2],
}

impl<A: Floats> Results<'_, A> {
    /// Computes them: pixel by pixel and result by result a vector of pictures.
    #[inline(always)]
    fn compute<V: Vector<Elem = A>>(&self, samples: &[A], weights: &[A], sums: &mut [A]) {
        let Self { job, pair: [rows, cols], reads, place } = *self;
        let (deep, wide) = (job.pass.deep, job.pass.wide);
        let pixel = deep * V::LANES;
        let pitch = reads[1].len() * pixel;
        let [ys, xs] =
            [(rows, 0), (cols, 1)].map(|(phase, i)| phase.alike(phase.within(place[i]), &reads[i]));
        // Taps of a row whose samples are neighbours are one of more channels.
        let joined = cols.taps.windows(2).all(|pair| pair[1].0 - pair[0].0 == 1);
        let taps = rows.taps.len() * cols.taps.len() * deep;
        let at = |axis: usize, phase: &Phase, result: usize, tap: usize| {
            ((result * phase.stride) as isize + phase.taps[tap].0 - reads[axis].start) as usize
        };
        let steps = [rows.stride * pitch, cols.stride * pixel];
        let to =
            |axis: usize, phase: &Phase, result: usize| phase.first + result * phase.step - place[axis].start;
        let pixel_to = wide * V::LANES;
        let steps_to = [rows.step * place[1].len() * pixel_to, cols.step * pixel_to];
        let mut places = Vec::with_capacity(rows.taps.len() * cols.taps.len());
        for part in &job.parts {
            let weights = &weights[taps * part.start..][..taps * part.len()];
            let start = &job.bias[part.clone()];
            with_results!(part.len(), |R, NV| {
                for ((ys, down), (xs, across)) in ys.iter().flat_map(|ys| xs.iter().map(move |xs| (ys, xs))) {
                    places.clear();
                    let firsts = across.clone().take(if joined { 1 } else { across.len() });
                    for i in down.clone() {
                        places.extend(firsts.clone().map(|j| {
                            let sample = at(0, rows, ys.start, i) * pitch + at(1, cols, xs.start, j) * pixel;
                            [sample, (i * cols.taps.len() + j) * deep * R]
                        }));
                    }
                    let depth = [if joined { across.len() * deep } else { deep }, V::LANES];
                    let first = to(0, rows, ys.start) * place[1].len() + to(1, cols, xs.start);
                    let first = first * pixel_to + part.start * V::LANES;
                    // Along rows, or columns where these are longer and rows too short.
                    let lines = [(ys.len(), steps[0], steps_to[0]), (xs.len(), steps[1], steps_to[1])];
                    let [lines, along] =
                        if xs.len() >= NV || ys.len() <= xs.len() { lines } else { [lines[1], lines[0]] };
                    let window = Window::new(&places, depth, along.1);
                    // Results that meet nothing may be more than there are rows.
                    let step = if window.is_empty() { 0 } else { lines.1 };
                    for line in 0..lines.0 {
                        let (samples, sums) = (&samples[line * step..], &mut sums[first + line * lines.2..]);
                        if along.0 < NV {
                            results::<V, R, 1>(samples, window, weights, start, sums, [along.0, along.2]);
                        } else {
                            results::<V, R, NV>(samples, window, weights, start, sums, [along.0, along.2]);
                        }
                    }
                }
            });
        }
    }
}

/// Computes `R` results of so many pixels of a line that read by the same taps, `NV` at once, the last of them over those
/// before; they go so far apart.
#[inline(always)]
fn results<V: Vector<Elem: Floats>, const R: usize, const NV: usize>(
    samples: &[V::Elem],
    window: Window<'_>,
    weights: &[V::Elem],
    start: &[V::Elem],
    sums: &mut [V::Elem],
    [pixels, apart]: [usize; 2],
) {
    for x in (0..pixels).step_by(NV) {
        let x = x.min(pixels - NV);
        let mut tile = [[V::splat(V::Elem::default()); NV]; R];
        for r in 0..R {
            tile[r] = [V::splat(start[r]); NV];
        }
        if !window.is_empty() {
            tile = beside::<V, R, NV>(&samples[x * window.step()..], window, weights, tile);
        }
        for v in 0..NV {
            let mut pixel = [V::splat(V::Elem::default()); R];
            for r in 0..R {
                // No -0, which products with zeros would make 0.
                pixel[r] = tile[r][v].add(pixel[r]);
            }
            store_tile(&pixel, sums, (x + v) * apart);
        }
    }
}
