//! A few blocks: their samples split, multiplied by each panel of weights, and stored.

use super::{Layer, spans, strides};
use crate::alloc;
use crate::isa::Kernel;
use crate::ops::conv::gather::Job;
use crate::ops::conv::pack::Part;
use crate::ops::conv::phase::Phase;
use crate::parallel::Workers;
use crate::registry::Schedule;
use crate::simd::{
    self, Configured, DEPTH, Lane, MAX_LANES, MAX_PARTS, MAX_VECTORS, PRODUCTS, Parts, STEP, Simd, Vector,
    lane,
};
use crate::view::{Block, BlockRows};
use std::ops::Range;

/// Blocks of the same results, done together.
pub(super) struct Task<'t, 'p> {
    pub(super) layer: &'t Layer<'p>,
    pub(super) blocks: Vec<Block<'t>>,
}

/// Where a block stands, and its samples.
struct Place {
    picture: usize,
    rows: Range<usize>,
    cols: Range<usize>,
    channels: Range<usize>,
    /// Rows and columns of the source that it reads.
    reads: [Range<isize>; 2],
    /// Pixels of a remainder's plane, and of a row of it.
    plane: usize,
    pitch: usize,
    /// Where its samples begin, in every part.
    first: usize,
    pairs: Vec<Reads>,
}

/// The results of a pair of phases that stand in a block, and where each step of the first one reads.
struct Reads {
    ys: Range<usize>,
    xs: Range<usize>,
    offsets: Vec<usize>,
}

/// Results of a block, dense: where they belong, or to be stored there.
enum Results<'r, 'b> {
    Lent(&'r mut [f32]),
    Copied(&'r mut BlockRows<'b>, &'r mut [f32]),
}

impl Results<'_, '_> {
    fn numbers(&mut self) -> &mut [f32] {
        match self {
            Self::Lent(numbers) | Self::Copied(_, numbers) => numbers,
        }
    }
}

impl Place {
    fn new(layer: &Layer<'_>, block: &Block<'_>, first: usize) -> Self {
        let pass = layer.pass;
        let (rows, cols) = (block.rows.clone(), block.cols.clone());
        let reads = [Phase::span(&pass.phases[0], &rows), Phase::span(&pass.phases[1], &cols)];
        let ([height, pitch], strides) = (spans(pass, [&rows, &cols]), strides(pass));
        let plane = height * pitch;
        let mut pairs = Vec::new();
        for [down, across] in &layer.pairs {
            let (ys, xs) = (down.within(&rows), across.within(&cols));
            // A tap's remainder, and its place in the remainder's plane.
            let at = |axis: usize, start: usize, offset: isize| {
                let at = ((start * strides[axis]) as isize + offset - reads[axis].start) as usize;
                (at % strides[axis], at / strides[axis])
            };
            let mut offsets = Vec::new();
            if !ys.is_empty() && !xs.is_empty() {
                for (&(dy, _), &(dx, _)) in
                    down.taps.iter().flat_map(|dy| across.taps.iter().map(move |dx| (dy, dx)))
                {
                    let ((up, y), (left, x)) = (at(0, ys.start, dy), at(1, xs.start, dx));
                    let pixel = (up * strides[1] + left) * plane + y * pitch + x;
                    offsets.extend((0..pass.deep).step_by(DEPTH).map(|c| first + pixel * layer.step + c));
                }
            }
            pairs.push(Reads { ys, xs, offsets });
        }
        Self {
            picture: block.picture,
            rows,
            cols,
            channels: block.channels.clone(),
            reads,
            plane,
            pitch,
            first,
            pairs,
        }
    }

    /// Results of the block.
    fn results(&self) -> usize {
        self.rows.len() * self.cols.len() * self.channels.len()
    }

    /// Where a result of a pair of phases stands among the block's pixels.
    fn pixel(&self, [rows, cols]: &[&Phase; 2], reads: &Reads, [y, x]: [usize; 2]) -> usize {
        let row = rows.first + (reads.ys.start + y) * rows.step - self.rows.start;
        let col = cols.first + (reads.xs.start + x) * cols.step - self.cols.start;
        row * self.cols.len() + col
    }
}

impl Layer<'_> {
    /// Splits a block's samples; gives back the pixels (rows and columns of what it reads) that have one that may not be.
    #[inline(always)]
    fn split<V: Vector<Elem = f32>>(
        &self,
        place: &Place,
        group: usize,
        [line, spare]: [&mut [f32]; 2],
        samples: &mut [u16],
    ) -> Vec<[usize; 2]> {
        let (pass, deep) = (self.pass, self.pass.deep);
        let mut unfit = Vec::new();
        if deep == 0 || place.reads.iter().any(Range::is_empty) {
            return unfit;
        }
        let picture = self.sources.src.picture(place.picture);
        let mask = self.sources.mask.map(|mask| mask.picture(place.picture));
        let [down, across] = strides(pass);
        let part = samples.len() / self.parts;
        let all = Part {
            rows: place.reads[0].clone(),
            cols: place.reads[1].clone(),
            channels: group * deep..(group + 1) * deep,
            step: deep,
            pitch: place.reads[1].len() * deep,
        };
        for (y, at) in place.reads[0].clone().enumerate() {
            let row = all.of(&(at..at + 1));
            let lent = if mask.is_none() { row.lend(&picture) } else { None };
            let row = if let Some(lent) = lent {
                lent
            } else {
                row.bring::<V>(&picture, mask.as_ref(), &mut line[..row.len()], spare);
                &*line
            };
            for (x, from) in row.chunks_exact(deep).take(place.reads[1].len()).enumerate() {
                let plane = (y % down * across + x % across) * place.plane;
                let pixel = plane + y / down * place.pitch + x / across;
                let mut into = samples[place.first + pixel * self.step..].chunks_mut(part);
                let mut into = || {
                    let (there, rest) = into.next().expect("every part")[..self.step].split_at_mut(deep);
                    rest.fill(0);
                    there
                };
                let fits = match self.parts {
                    1 => simd::split(from, [into()]),
                    2 => simd::split(from, [into(), into()]),
                    _ => simd::split::<MAX_PARTS>(from, [into(), into(), into()]),
                };
                if !fits {
                    unfit.push([y, x]);
                }
            }
        }
        unfit
    }

    /// Sums the products of a panel of results of a block.
    #[inline(always)]
    fn panel(
        &self,
        registers: &Configured,
        place: &Place,
        [group, panel]: [usize; 2],
        samples: &[u16],
        results: &mut [f32],
    ) {
        let wide = place.channels.len();
        let first = panel * PRODUCTS[1] - (place.channels.start - group * self.pass.wide);
        let n = PRODUCTS[1].min(wide - first);
        let start = &self.starts[(group * self.panels + panel) * PRODUCTS[1]..][..PRODUCTS[1]];
        let mut sums = [[0.0; PRODUCTS[1]]; PRODUCTS[0]];
        for ((pair, reads), weights) in self.pairs.iter().zip(&place.pairs).zip(&self.weights.pairs) {
            if reads.ys.is_empty() || reads.xs.is_empty() {
                continue;
            }
            let size = reads.offsets.len() * self.parts * STEP;
            let weights = &weights[(group * self.panels + panel) * size..][..size];
            // Of phases without taps there is nothing between rows.
            let pitch = if reads.offsets.is_empty() { reads.xs.len() } else { place.pitch };
            let last = (reads.ys.len() - 1) * pitch + reads.xs.len();
            for pixel in (0..last).step_by(PRODUCTS[0]) {
                if reads.offsets.is_empty() {
                    sums.fill([0.0; PRODUCTS[1]]);
                } else {
                    let parts = Parts {
                        count: self.parts,
                        numbers: &samples[pixel * self.step..],
                        part: samples.len() / self.parts,
                        pitch: self.step,
                    };
                    registers.products(parts, (&reads.offsets, weights), &mut sums);
                }
                let [mut y, mut x] = [pixel / pitch, pixel % pitch];
                for sums in &sums[..PRODUCTS[0].min(last - pixel)] {
                    if x < reads.xs.len() {
                        let into = &mut results[place.pixel(pair, reads, [y, x]) * wide + first..][..n];
                        for (into, (&sum, &start)) in into.iter_mut().zip(sums.iter().zip(start)) {
                            *into = sum + start;
                        }
                    }
                    x += 1;
                    if x == pitch {
                        [y, x] = [y + 1, 0];
                    }
                }
            }
        }
    }

    /// Computes the results once more whose windows have one of these pixels, product by product.
    #[inline(always)]
    fn again<S: Simd>(
        &self,
        simd: S,
        place: &Place,
        group: usize,
        unfit: &[[usize; 2]],
        results: &mut [f32],
    ) {
        /// Columns that are computed together: always the same.
        const TOGETHER: usize = 8;
        let (pass, across, wide) = (self.pass, place.reads[1].len(), place.channels.len());
        let mut pixels = vec![false; place.reads[0].len() * across];
        unfit.iter().for_each(|[y, x]| pixels[y * across + x] = true);
        let mut wanted = vec![false; place.rows.len() * place.cols.len()];
        for (pair, reads) in self.pairs.iter().zip(&place.pairs) {
            let at = |axis: usize, at: usize, offset: isize| {
                ((at * pair[axis].stride) as isize + offset - place.reads[axis].start) as usize
            };
            for (y, x) in (0..reads.ys.len()).flat_map(|y| (0..reads.xs.len()).map(move |x| (y, x))) {
                let met = pair[0].taps.iter().any(|&(dy, _)| {
                    let row = &pixels[at(0, reads.ys.start + y, dy) * across..][..across];
                    pair[1].taps.iter().any(|&(dx, _)| row[at(1, reads.xs.start + x, dx)])
                });
                wanted[place.pixel(pair, reads, [y, x])] |= met;
            }
        }
        let plain = self.plain.get_or_init(|| {
            let schedule = Schedule::new(self.isa, Workers::alone());
            Job::new::<lane::F32>(pass, self.sources, TOGETHER, &schedule).expect("no one to interrupt")
        });
        let first = place.channels.start - group * pass.wide;
        for (i, y) in place.rows.clone().enumerate() {
            let wanted = &wanted[i * place.cols.len()..][..place.cols.len()];
            let mut start = place.cols.start;
            while start < place.cols.end {
                let cols = start..(start + 1).next_multiple_of(TOGETHER).min(place.cols.end);
                start = cols.end;
                let wanted = &wanted[cols.start - place.cols.start..][..cols.len()];
                if !wanted.contains(&true) {
                    continue;
                }
                let block = [&(y..y + 1), &cols];
                let [samples, mask] = plain.scratch(block);
                let found = cols.len() * pass.wide + MAX_VECTORS * MAX_LANES;
                alloc::scratch([samples, mask, found], |[source, spare, found]: [&mut [f32]; 3]| {
                    simd.vectorize(
                        #[inline(always)]
                        || {
                            plain.sums::<<lane::F32 as Lane>::Vector<S>>(
                                place.picture,
                                block,
                                group,
                                [source, spare],
                                found,
                            );
                        },
                    );
                    let into = &mut results[(i * place.cols.len() + cols.start - place.cols.start) * wide..];
                    let found = found.chunks_exact(pass.wide).zip(into.chunks_exact_mut(wide));
                    for ((found, into), _) in found.zip(wanted).filter(|(_, wanted)| **wanted) {
                        into.copy_from_slice(&found[first..][..wide]);
                    }
                });
            }
        }
    }
}

impl Kernel for Task<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { layer, mut blocks } = self;
        let pass = layer.pass;
        let channels = blocks[0].channels.clone();
        let group = channels.start / pass.wide;
        let (mut places, mut part) = (Vec::new(), 0);
        for block in &blocks {
            let place = Place::new(layer, block, part);
            part += strides(pass).iter().product::<usize>() * place.plane * layer.step;
            places.push(place);
        }
        // The last pixels' register may go on.
        part += PRODUCTS[0] * layer.step;
        let mut rows: Vec<_> = blocks
            .iter_mut()
            .map(|block| {
                let [rows] = block.parts();
                rows
            })
            .collect();
        let lent: Vec<bool> = rows.iter_mut().map(|rows| rows.lend_all::<f32>().is_some()).collect();
        let copied = places.iter().zip(&lent).map(|(place, lent)| if *lent { 0 } else { place.results() });
        let read = places.iter().map(|place| place.reads[1].len() * pass.deep).max().unwrap_or(0);
        let widest = places.iter().map(|place| place.cols.len() * channels.len()).max().unwrap_or(0);
        let lengths = [
            read + MAX_LANES,
            if layer.sources.mask.is_some() { read } else { 0 },
            layer.finish.room(widest),
            copied.sum(),
        ];
        alloc::scratch_of_three::<f32, u16, u8, 4, 1, 0, _>(
            (lengths, [layer.parts * part], []),
            |[line, spare, addend, mut copies], [samples], []| {
                let mut results = Vec::new();
                for ((rows, place), lent) in rows.iter_mut().zip(&places).zip(lent) {
                    results.push(if lent {
                        Results::Lent(rows.lend_all().expect("it did"))
                    } else {
                        let (copy, rest) = std::mem::take(&mut copies).split_at_mut(place.results());
                        copies = rest;
                        Results::Copied(rows, copy)
                    });
                }
                simd.vectorize(
                    #[inline(always)]
                    || {
                        let unfit: Vec<_> = (places.iter())
                            .map(|place| {
                                layer.split::<<lane::F32 as Lane>::Vector<S>>(
                                    place,
                                    group,
                                    [line, spare],
                                    samples,
                                )
                            })
                            .collect();
                        layer.unit.configured(|registers| {
                            let first = (channels.start - group * pass.wide) / PRODUCTS[1];
                            for panel in first..first + channels.len().div_ceil(PRODUCTS[1]) {
                                for (place, results) in places.iter().zip(&mut results) {
                                    let results = results.numbers();
                                    layer.panel(registers, place, [group, panel], samples, results);
                                }
                            }
                        });
                        for ((place, results), unfit) in places.iter().zip(&mut results).zip(unfit) {
                            let numbers = results.numbers();
                            if !unfit.is_empty() {
                                layer.again(simd, place, group, &unfit, numbers);
                            }
                            let rows = numbers.chunks_exact_mut(place.cols.len() * channels.len());
                            for (y, row) in place.rows.clone().zip(rows) {
                                layer.finish.row::<<lane::F32 as Lane>::Vector<S>>(
                                    [place.picture, y],
                                    &place.cols,
                                    &channels,
                                    addend,
                                    row,
                                );
                            }
                            if let Results::Copied(rows, numbers) = results {
                                rows.narrow_with::<<lane::F32 as Lane>::Vector<S>>(&place.rows, numbers);
                            }
                        }
                    },
                );
            },
        );
    }
}
