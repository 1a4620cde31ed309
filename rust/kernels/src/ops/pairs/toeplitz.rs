//! Correlation of small integers on a matrix unit of bytes.
//!
//! ```text
//! s = sum over p of  256^p s_p       w = sum over q of  256^q w_q           bytes; the highest may be signed
//! sum[y, x + n] = sum over p, q, i, k of  256^(p + q) s_p[y + i, x + k] * t_q[i][k, n],    t_q[i][k, n] = w_q[i, (k - n) / d]
//! ```
//!
//! A row of the window is a band of a Toeplitz matrix: 64 samples of 16 rows of the image, times 64 x 16 weights, are 16
//! results of 16 rows. Most of the band is zero under a small window (a window of 9 columns uses 9 of 64), and the matrix
//! unit is 15 times as quick as the vectors. The image is not rearranged: its rows are loaded from where each begins.
//!
//! Taps and sums are those of [`Pairs`](super::Pairs), to the bit: fixed point, rounded once. All of it is modulo 2^32, and
//! the sums are not larger.
//!
//! The rates in [`RATE`] are from the manufacturer's peak and published measurements of such loops, half of it: no CPU with
//! the unit was at hand.

use super::fixed::Scale;
use super::{Pairs, round_all};
use crate::Error;
use crate::alloc;
use crate::border::Border;
use crate::dtype::Kind;
use crate::isa::{Isa, Kernel};
use crate::ops::correlate::Correlate;
use crate::ops::rows::{self, Line, Place};
use crate::registry::{Implementation, Reject, Schedule, single};
use crate::simd::{Signs, Simd, TOEPLITZ, Tiles, Weights};
use crate::view::{self, Dst, Src, Tile};

/// The implementation `toeplitz`.
#[derive(Debug)]
pub struct Toeplitz;

/// Products of bytes a nanosecond, those with zeros counted, and nanoseconds for bringing in, rounding and writing a result,
/// on the scale of [`Correlate::nanoseconds`].
const RATE: f64 = 700.0;
const MOVED: f64 = 1.0;

/// Rows of a tile, at least; and columns, at most.
const HEIGHT: usize = 64;
const WIDTH: usize = 512;

impl Implementation<Correlate> for Toeplitz {
    fn name(&self) -> &'static str {
        "toeplitz"
    }

    fn arithmetic(&self) -> Option<&'static str> {
        Some("i8")
    }

    fn supports(&self, isa: Isa) -> Result<(), Reject> {
        isa.tiles().map(|_| ()).ok_or(Reject("needs AMX, which this instruction set has not"))
    }

    fn is_rare(&self) -> bool {
        true
    }

    fn bound(&self, problem: &Correlate) -> Option<String> {
        Pairs.bound(problem)
    }

    fn results(&self, problem: &Correlate) -> &'static str {
        Pairs.results(problem)
    }

    fn cost(&self, problem: &Correlate) -> Result<f64, Reject> {
        Pairs.cost(problem)?;
        if problem.axes.iter().any(|axis| axis.stride != 1) {
            return Err(Reject("strides are 1 here"));
        }
        let [h, w] = [0, 1].map(|i| problem.output()[i].next_multiple_of(TOEPLITZ[i]));
        let [rows, cols] = problem.axes.map(|axis| axis.span());
        let scratch = (rows + HEIGHT).saturating_mul(cols + WIDTH);
        if scratch > MOST_SCRATCH {
            return Err(Reject("a window this large needs scratch beyond 64 MiB"));
        }
        let fixed = problem.fixed_point()?;
        let products = (samples(problem).len() * weights(&fixed.taps).len()) as f64;
        let each = (problem.axes[0].taps * blocks(cols) * Weights::SAMPLES) as f64 * products;
        let once = (problem.taps.len() * Weights::RESULTS) as f64 * products;
        Ok(h as f64 * w as f64 * (each / RATE + MOVED) + once)
    }

    fn run(
        &self,
        problem: &Correlate,
        srcs: &[Src<'_>],
        dsts: &mut [Dst<'_>],
        schedule: &Schedule<'_>,
    ) -> Result<(), Error> {
        let (src, dst) = single(srcs, dsts);
        let isa = schedule.isa;
        let unit = isa.tiles().expect("an instruction set that this implementation supports");
        let least = HEIGHT.max(2 * problem.axes[0].span()).next_multiple_of(TOEPLITZ[0]);
        let tiles = view::Tiles::new(dst, schedule.tile.unwrap_or([least, WIDTH]));
        let job = Job::new(problem, src, unit);
        let workers = schedule.workers.at_most(tiles.count());
        workers.drain(|| tiles.take(), |mut tile| isa.dispatch(Task { job: &job, tile: &mut tile }))
    }
}

/// Bytes of scratch that a tile may need, roughly.
const MOST_SCRATCH: usize = 64 << 20;

/// Products that the 16 results beside one another need for each row of a window that spans so many columns.
const fn blocks(span: usize) -> usize {
    (span + Weights::RESULTS - 1).div_ceil(Weights::SAMPLES)
}

/// A byte of a number, signed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Byte {
    shift: u32,
    signed: bool,
}

impl Byte {
    fn of(self, number: impl Into<i32>) -> u8 {
        (number.into() >> self.shift) as u8
    }
}

/// The bytes that hold every number from `least` to `most`, of 32 bits at most.
fn bytes(least: i128, most: i128) -> Vec<Byte> {
    let signed = least < 0;
    let holds = |count: &u32| {
        let end = 1 << (8 * count - u32::from(signed));
        most < end && (!signed || least >= -end)
    };
    let count = (1..4).find(holds).unwrap_or(4);
    (0..count).map(|byte| Byte { shift: 8 * byte, signed: signed && byte + 1 == count }).collect()
}

/// The bytes of a sample.
fn samples(problem: &Correlate) -> Vec<Byte> {
    let Kind::Integer(least, most) = problem.src.kind() else { unreachable!("an image of integers") };
    let outside = match problem.cval.integer {
        Some(value) if problem.border.contains(&Border::Constant) => value,
        _ => 0,
    };
    bytes(least.min(outside), most.max(outside))
}

/// The bytes of a tap.
fn weights(taps: &[i32]) -> Vec<Byte> {
    let range = taps.iter().fold([0, 0], |[least, most], &w| [w.min(least), w.max(most)]);
    bytes(range[0].into(), range[1].into())
}

/// The product of a byte of the samples with one of the taps.
struct Product {
    /// Which of the samples' bytes.
    plane: usize,
    signs: Signs,
    shift: u32,
    /// Which of the taps' bytes.
    band: usize,
}

/// A byte of the taps.
struct Band {
    /// Rows and columns of samples from a result to those that `weights` are for; what is all zero is left out.
    places: Vec<[usize; 2]>,
    weights: Vec<Weights>,
}

/// A problem, ready to be run tile by tile.
struct Job<'p> {
    problem: &'p Correlate,
    src: &'p Src<'p>,
    unit: Tiles,
    planes: Vec<Byte>,
    bands: Vec<Band>,
    products: Vec<Product>,
    scale: Scale,
}

impl<'p> Job<'p> {
    fn new(problem: &'p Correlate, src: &'p Src<'p>, unit: Tiles) -> Self {
        let fixed = problem.fixed_point().expect("a problem that this implementation accepts");
        let (taps, planes, parts) = (&fixed.taps, samples(problem), weights(&fixed.taps));
        let signs =
            |plane: usize, band: usize| Signs { samples: planes[plane].signed, weights: parts[band].signed };
        let products = (0..parts.len()).flat_map(|band| (0..planes.len()).map(move |plane| (plane, band)));
        let products = products.map(|(plane, band)| Product {
            plane,
            band,
            signs: signs(plane, band),
            shift: planes[plane].shift + parts[band].shift,
        });
        let products = products.collect();
        let bands = parts.iter().map(|&byte| Band::new(problem, taps, byte)).collect();
        Self { problem, src, unit, planes, bands, products, scale: fixed.scale }
    }
}

impl Band {
    fn new(problem: &Correlate, taps: &[i32], byte: Byte) -> Self {
        let [rows, cols] = &problem.axes;
        let mut band = Self { places: Vec::new(), weights: Vec::new() };
        for (i, row) in taps.chunks_exact(cols.taps).enumerate() {
            for block in 0..blocks(cols.span()) {
                let first = block * Weights::SAMPLES;
                let mut weights = Weights::zero();
                for (j, &w) in row.iter().enumerate().filter(|(_, w)| byte.of(**w) != 0) {
                    for n in 0..Weights::RESULTS {
                        let sample = (j * cols.dilation + n).checked_sub(first);
                        if let Some(k) = sample.filter(|&k| k < Weights::SAMPLES) {
                            weights.set(k, n, byte.of(w));
                        }
                    }
                }
                if weights != Weights::zero() {
                    band.places.push([i * rows.dilation, first]);
                    band.weights.push(weights);
                }
            }
        }
        band
    }
}

/// A tile as a computation to be compiled for each instruction set.
struct Task<'k, 'p, 't> {
    job: &'k Job<'p>,
    tile: &'k mut Tile<'t>,
}

impl Kernel for Task<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.job.tile(simd, self.tile);
    }
}

impl Job<'_> {
    #[inline(always)]
    fn tile<S: Simd>(&self, simd: S, tile: &mut Tile<'_>) {
        let [rows, cols] = &self.problem.axes;
        let [high, wide] = TOEPLITZ;
        let height = tile.rows.len().next_multiple_of(high) + rows.span() - 1;
        let width = tile.cols.len().next_multiple_of(wide);
        let read = tile.cols.len() + cols.span() - 1;
        // Sixteen rows that a whole number of pages lies between would meet in few sets of a cache.
        let reach = width - Weights::RESULTS + blocks(cols.span()) * Weights::SAMPLES;
        let pitch = (reach.div_ceil(64) | 1) * 64;
        let sums = high * (width + Weights::RESULTS);
        let lengths = ([height * pitch * self.planes.len()], [read], [sums * self.products.len()]);
        alloc::scratch_of_three(
            lengths,
            |[patch]: [&mut [u8]; 1], [row]: [&mut [i16]; 1], [sums]: [&mut [i32]; 1]| {
                self.bring(simd, tile, [height, pitch], row, patch);
                let offsets: Vec<Vec<usize>> = (self.bands.iter())
                    .map(|band| band.places.iter().map(|[y, x]| y * pitch + x).collect())
                    .collect();
                self.unit.configured(|registers| {
                    for y in (0..tile.rows.len()).step_by(high) {
                        let each = sums.len() / self.products.len();
                        for (product, sums) in self.products.iter().zip(sums.chunks_exact_mut(each)) {
                            let band = (
                                offsets[product.band].as_slice(),
                                self.bands[product.band].weights.as_slice(),
                            );
                            let plane = &patch[product.plane * height * pitch..][..height * pitch];
                            for x in (0..width).step_by(wide) {
                                registers.toeplitz(
                                    product.signs,
                                    (&plane[y * pitch + x..], pitch),
                                    band,
                                    (&mut sums[x..], each / high),
                                );
                            }
                        }
                        let (total, others) = sums.split_at_mut(each);
                        total.iter_mut().for_each(|sum| *sum = sum.wrapping_shl(self.products[0].shift));
                        for (product, sums) in self.products[1..].iter().zip(others.chunks_exact(each)) {
                            let shifted = sums.iter().map(|sum| sum.wrapping_shl(product.shift));
                            total
                                .iter_mut()
                                .zip(shifted)
                                .for_each(|(total, sum)| *total = total.wrapping_add(sum));
                        }
                        for (r, sums) in
                            total.chunks_exact_mut(each / high).take(tile.rows.len() - y).enumerate()
                        {
                            let sums = &mut sums[..tile.cols.len()];
                            round_all(sums, self.scale);
                            let at = [tile.rows.start + y + r, tile.cols.start];
                            rows::narrow(simd, sums, tile, 0, at, self.problem.finish);
                        }
                    }
                });
            },
        );
    }

    /// Brings in the samples that a tile reads, byte by byte. What is read under zeros alone is left as it is.
    #[inline(always)]
    fn bring<S: Simd>(
        &self,
        simd: S,
        tile: &Tile<'_>,
        [height, pitch]: [usize; 2],
        row: &mut [i16],
        patch: &mut [u8],
    ) {
        let [rows, cols] = &self.problem.axes;
        let plane = self.src.plane(tile.plane, 0);
        let outside = self.problem.outside::<i16>(0);
        let place = Place {
            start: tile.cols.start as isize - cols.before,
            step: 1,
            border: self.problem.border[1],
            channels: self.problem.channels,
            outside,
        };
        let line = Line::new(place, cols.src, row.len());
        for y in 0..tile.rows.len() + rows.span() - 1 {
            let at = (tile.rows.start + y) as isize - rows.before;
            match self.problem.border[0].index(at, rows.src) {
                Some(at) => line.widen(simd, &plane, at, row),
                None => line.fill(row),
            }
            for (byte, patch) in self.planes.iter().zip(patch.chunks_exact_mut(height * pitch)) {
                let into = &mut patch[y * pitch..][..row.len()];
                into.iter_mut().zip(&*row).for_each(|(into, &sample)| *into = byte.of(sample));
            }
        }
    }
}
