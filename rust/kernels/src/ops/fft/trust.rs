//! Which results of a tile may come from its transform.
//!
//! A transform's error is spread evenly: a result errs by a multiple of the *tile's* root mean square,
//! however small its own terms are. The contract is each result's own: `error_bound() * S`, where
//! `S = sum |w x|` over its window. So a result is taken from the transform only where `S` is provably large
//! enough. A lower bound of it costs little: with `n` the taps of a rectangle `R` of the window whose magnitude
//! is below `t`, and `m` the tile's largest magnitude,
//!
//! ```text
//! S >= t * (sum of |x| under R  -  n * m)
//! ```
//!
//! (a result that is as large itself needs no bound: no sum exceeds `S`), and the sums of `|x|` are made of cells of several
//! samples, by doubling: no difference of running sums, whose cancellation would hide that a window holds nothing but zeros.

use super::super::correlate::Taps;
use super::tile::Real;
use std::ops::Range;

/// A rectangle of the window and the threshold of its taps.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    rows: Range<usize>,
    cols: Range<usize>,
    /// `t` of the formula.
    least: f64,
    /// `n` of the formula.
    below: usize,
    /// Samples of a side of a cell.
    pub(super) cell: usize,
}

/// How much larger than a tile's mean magnitude its largest is taken to be, where a rectangle is chosen.
const CREST: f64 = 3.0;

/// Taps below this part of the largest don't count, where every tap of the rectangle must.
const FAINT: f64 = 1e-5;

impl Witness {
    /// The rectangle and threshold that promise the largest bound; with `every`, the largest rectangle
    /// without a faint tap.
    pub(super) fn new(taps: &Taps, every: bool) -> Option<Self> {
        let [kh, kw] = taps.shape();
        let magnitude: Vec<f64> = (taps.re().iter().enumerate())
            .map(|(i, re)| re.abs() + taps.im().map_or(0.0, |im| im[i].abs()))
            .collect();
        let most = magnitude.iter().copied().fold(0.0, f64::max);
        let total: f64 = magnitude.iter().sum();
        let centre = |axis: usize| -> f64 {
            let at = |i: usize| if axis == 0 { i / kw } else { i % kw };
            magnitude.iter().enumerate().map(|(i, w)| (at(i) as f64 + 0.5) * w).sum::<f64>() / total
        };
        let peak = magnitude.iter().position(|&w| w == most)?;
        let peak = [(peak / kw) as f64 + 0.5, (peak % kw) as f64 + 0.5];
        let mut best: Option<(f64, Self)> = None;
        // Rectangles about the centre of gravity and about the largest tap, each 0.8 times the one before;
        // the first is the window.
        let middles = [[kh as f64 / 2.0, kw as f64 / 2.0], [centre(0), centre(1)], peak];
        for (middle, step) in (0..28).map(|i| (middles[if i == 0 { 0 } else { 1 + i % 2 }], i as i32 / 2)) {
            let scale = 0.8_f64.powi(step);
            let range = |axis: usize, n: usize| {
                let half = (scale * n as f64 / 2.0).max(0.5);
                let start = (middle[axis] - half).round().max(0.0) as usize;
                start.min(n)..((middle[axis] + half).round() as usize).clamp(start.min(n), n)
            };
            let (rows, cols) = (range(0, kh), range(1, kw));
            let cell = cell_size(rows.len().min(cols.len()));
            // What lies in whole cells wherever the rectangle stands ([`Cells::sums_under`]).
            let whole = |range: &Range<usize>| {
                (range.end / cell).saturating_sub((cell - 1 + range.start).div_ceil(cell)) * cell
            };
            let area = whole(&rows) * whole(&cols);
            let inside = || rows.clone().flat_map(|i| magnitude[i * kw..][cols.clone()].iter().copied());
            let thresholds: Vec<(f64, usize)> = if every {
                vec![(inside().fold(f64::INFINITY, f64::min), 0)]
            } else {
                let mut at: Vec<_> = (0..8).map(|i| (most * 0.7 * 0.6_f64.powi(i), 0)).collect();
                for w in inside() {
                    for (t, below) in &mut at {
                        *below += usize::from(w < *t);
                    }
                }
                at.push((inside().fold(f64::INFINITY, f64::min), 0));
                at
            };
            for (least, below) in thresholds {
                let score = if every && least < FAINT * most {
                    0.0
                } else if every {
                    area as f64
                } else {
                    least * (area as f64 - CREST * below as f64)
                };
                if score > 0.0 && best.as_ref().is_none_or(|(s, _)| score > *s) {
                    best = Some((score, Self { rows: rows.clone(), cols: cols.clone(), least, below, cell }));
                }
            }
        }
        best.map(|(_, witness)| witness)
    }

    /// For each `cell` x `cell` square of results, whether each of them reads enough: `required` of `S`, where no
    /// sample's magnitude is more than `most`.
    #[inline(always)]
    pub(super) fn judge<A: Real>(
        &self,
        cells: &Cells<A>,
        [required, most]: [f64; 2],
        results: [usize; 2],
    ) -> Vec<bool> {
        let [rows, cols] = results.map(|n| n.div_ceil(self.cell));
        let (sums, shift) = (cells.sums_under([&self.rows, &self.cols]), self.below as f64 * most);
        let mut trusted = Vec::with_capacity(rows * cols);
        for y in 0..rows {
            for x in 0..cols {
                let sum = sums.get(y * cells.grid[1] + x).map_or(0.0, |s| s.into_f64());
                trusted.push(self.least * (sum - shift) >= required && sum.is_finite());
            }
        }
        trusted
    }
}

/// Samples of a side of a cell under a rectangle of this side: half of the side, or nearly, lies in whole cells wherever it
/// stands. Measured: random samples under random taps sum up to 2.5 times what is asked for from 13 x 13 taps
/// on, to 20 times under 21 x 21, and cells half as large made the count take half as long as the transforms.
fn cell_size(side: usize) -> usize {
    match side {
        0..=6 => 1,
        7..=14 => 2,
        15..=30 => 4,
        31..=62 => 8,
        _ => 16,
    }
}

/// Adds one run to the beginning of another.
#[inline(always)]
fn add<A: Real>(to: &mut [A], from: &[A]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = to.plus(from);
    }
}

/// Sums of magnitudes over the cells of a tile.
#[derive(Clone, Debug)]
pub(super) struct Cells<A> {
    /// Samples of a side.
    size: usize,
    /// Rows and columns of cells.
    grid: [usize; 2],
    sums: Vec<A>,
    /// A row's magnitudes, summed over the rows of the cells being filled.
    line: Vec<A>,
}

impl<A: Real> Cells<A> {
    /// Of a plane of `points`, still empty.
    pub(super) fn new(points: [usize; 2], size: usize) -> Self {
        let grid = points.map(|n| n / size);
        Self { size, grid, sums: vec![A::default(); grid[0] * grid[1]], line: vec![A::default(); points[1]] }
    }

    /// Counts row `y` of the plane. Column by column: sums over a row would be a chain of additions.
    #[inline(always)]
    pub(super) fn count(&mut self, y: usize, row: &[A]) {
        let line = &mut self.line[..row.len()];
        for i in 0..row.len() {
            line[i] = line[i].plus(row[i].magnitude());
        }
        if (y + 1).is_multiple_of(self.size) {
            self.close(y / self.size);
        }
    }

    /// Gives the rows of magnitudes to the cells that they fill.
    #[inline(always)]
    fn close(&mut self, row: usize) {
        let sums = &mut self.sums[row * self.grid[1]..][..self.grid[1]];
        for (sum, line) in sums.iter_mut().zip(self.line.chunks_exact(self.size)) {
            for &a in line {
                *sum = sum.plus(a);
            }
        }
        self.line.fill(A::default());
    }

    /// Ends the count after `rows` rows: what is left in a last, incomplete row of cells.
    pub(super) fn finish(&mut self, rows: usize) {
        if !rows.is_multiple_of(self.size) {
            self.close(rows / self.size);
        }
    }

    /// Marks the cell of a sample that is left out of the plane: what reads it is not to be trusted.
    pub(super) fn spoil(&mut self, y: usize, x: usize) {
        self.sums[y / self.size * self.grid[1] + x / self.size] = A::from_f64(f64::INFINITY);
    }

    /// Whether the results `rows` x `cols` under a window of `taps` read nothing but zeros.
    pub(super) fn empty(&self, rows: &Range<usize>, cols: &Range<usize>, taps: [usize; 2]) -> bool {
        let cells = |range: &Range<usize>, taps: usize, axis: usize| {
            range.start / self.size..((range.end + taps - 1).div_ceil(self.size)).min(self.grid[axis])
        };
        let cols = cells(cols, taps[1], 1);
        cells(rows, taps[0], 0)
            .all(|y| self.sums[y * self.grid[1]..][cols.clone()].iter().all(|&s| s == A::default()))
    }

    /// For each cell of results, the sum over the cells that lie in the rectangle of each of its windows;
    /// an infinite one where a spoilt cell lies under one of the windows.
    #[inline(always)]
    fn sums_under(&self, rectangle: [&Range<usize>; 2]) -> Vec<A> {
        let q = self.size;
        let mut sums = self.sums.clone();
        for (axis, range) in rectangle.into_iter().enumerate() {
            let first = (q - 1 + range.start).div_ceil(q);
            let count = (range.end / q).saturating_sub(first);
            sums = self.slide(sums, axis, first, count);
        }
        sums
    }

    /// Sums of `count` neighbours along an axis, from `first` on; what lies beyond the grid is left out. (Windows of
    /// 1, 2, 4, ... neighbours, of which those that make up `count` are added.)
    #[inline(always)]
    fn slide(&self, mut power: Vec<A>, axis: usize, first: usize, count: usize) -> Vec<A> {
        let cols = self.grid[1];
        let mut out = vec![A::default(); power.len()];
        let (mut offset, mut width) = (first, 1);
        if axis == 0 {
            while width <= count {
                if count & width != 0 {
                    add(&mut out, &power[(offset * cols).min(power.len())..]);
                    offset += width;
                }
                let shift = (width * cols).min(power.len());
                // A piece is not changed before the one that it is added to.
                for start in (0..power.len() - shift).step_by(shift.max(1)) {
                    let (to, from) = power.split_at_mut(start + shift);
                    add(&mut to[start..], from);
                }
                width *= 2;
            }
            return out;
        }
        let mut shifted = vec![A::default(); cols];
        for (row, out) in power.chunks_exact_mut(cols).zip(out.chunks_exact_mut(cols)) {
            (offset, width) = (first, 1);
            while width <= count {
                if count & width != 0 {
                    add(out, &row[offset.min(cols)..]);
                    offset += width;
                }
                let shifted = &mut shifted[width.min(cols)..];
                shifted.copy_from_slice(&row[width.min(cols)..]);
                add(row, shifted);
                width *= 2;
            }
        }
        out
    }

    /// For each square of results of a cell's size, whether a spoilt cell lies under one of its windows.
    pub(super) fn spoilt(&self, taps: [usize; 2], results: [usize; 2]) -> Vec<bool> {
        let [rows, cols] = results.map(|n| n.div_ceil(self.size));
        let reach = taps.map(|k| (self.size + k - 2) / self.size);
        let mut spoilt = vec![false; rows * cols];
        for (i, _) in self.sums.iter().enumerate().filter(|(_, s)| s.into_f64().is_infinite()) {
            let (y, x) = (i / self.grid[1], i % self.grid[1]);
            for row in y.saturating_sub(reach[0])..(y + 1).min(rows) {
                for col in x.saturating_sub(reach[1])..(x + 1).min(cols) {
                    spoilt[row * cols + col] = true;
                }
            }
        }
        spoilt
    }
}

impl<A: Real> Cells<A> {
    /// The sums of several planes' magnitudes.
    pub(super) fn merged(planes: &[Self]) -> Self {
        let mut all = planes[0].clone();
        for plane in &planes[1..] {
            for (sum, &a) in all.sums.iter_mut().zip(&plane.sums) {
                *sum = sum.plus(a);
            }
        }
        all
    }
}
