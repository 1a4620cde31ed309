//! A tile's samples: brought in, counted, and cleaned of what can't be transformed.

use super::Job;
use super::tile::{AHEAD, Half, Real};
use super::trust::Cells;
use crate::ops::correlate::Correlate;
use crate::ops::rows::{Line, Place};
use crate::simd::{MAX_LANES, Simd};
use crate::view;

/// What a tile's samples amount to.
#[derive(Clone, Copy)]
pub(super) struct Totals {
    /// The sum of squares.
    pub(super) energy: f64,
    /// The largest magnitude.
    pub(super) most: f64,
}

impl Totals {
    /// Adds a row. A NaN shows in the squares.
    #[inline(always)]
    fn add<A: Real>(&mut self, row: &[A]) {
        // As many sums as a vector has lanes: one would be a chain.
        let (mut squares, mut peaks) = ([A::default(); MAX_LANES], [A::default(); MAX_LANES]);
        let (chunks, rest) = row.as_chunks::<MAX_LANES>();
        for chunk in chunks {
            for l in 0..MAX_LANES {
                let a = chunk[l].magnitude();
                squares[l] = squares[l].plus(a.times(a));
                peaks[l] = if a > peaks[l] { a } else { peaks[l] };
            }
        }
        for (l, a) in rest.iter().map(|a| a.magnitude()).enumerate() {
            squares[l] = squares[l].plus(a.times(a));
            peaks[l] = if a > peaks[l] { a } else { peaks[l] };
        }
        let mut energy = [0.0; MAX_LANES];
        for l in 0..MAX_LANES {
            energy[l] = squares[l].into_f64();
        }
        // By halves, which are vectors: a chain of so many takes as long as a short row.
        let mut half = MAX_LANES;
        while half > 1 {
            half /= 2;
            for l in 0..half {
                energy[l] += energy[l + half];
                peaks[l] = if peaks[l + half] > peaks[l] { peaks[l + half] } else { peaks[l] };
            }
        }
        self.energy += energy[0];
        self.most = self.most.max(peaks[0].into_f64());
    }
}

/// What one part of the complex plane holds: a half of a real image, or a component of a complex one.
#[derive(Clone, Copy)]
pub(super) struct Part<'p, A> {
    problem: &'p Correlate,
    source: view::Plane<'p>,
    /// Of the first sample.
    start: [isize; 2],
    /// Rows and columns of samples.
    needed: [usize; 2],
    outside: A,
}

impl<'p, A: Real> Part<'p, A> {
    /// Part `i`, unless it holds nothing.
    pub(super) fn new(job: &'p Job<'_>, halves: &[Half], plane: usize, i: usize) -> Option<Self> {
        let problem = job.problem;
        let (half, component) = if job.plan.packed { (halves.get(i), 0) } else { (halves.first(), i) };
        let [ys, xs] = half.filter(|_| component < problem.src.components())?;
        let taps = problem.taps.shape();
        Some(Self {
            problem,
            source: job.src.plane(plane, component),
            start: [ys.start as isize - problem.axes[0].before, xs.start as isize - problem.axes[1].before],
            needed: [ys.len() + taps[0] - 1, xs.len() + taps[1] - 1],
            outside: problem.outside(component),
        })
    }

    /// The same from the sample `y`, `x` on.
    pub(super) fn from(self, [y, x]: [usize; 2]) -> Self {
        Self { start: [self.start[0] + y as isize, self.start[1] + x as isize], ..self }
    }

    /// Brings row `y` near.
    #[inline(always)]
    fn fetch(&self, y: usize) {
        if let Some(y) = self.problem.border[0].index(self.start[0] + y as isize, self.problem.axes[0].src) {
            let first = self.start[1].max(0) as usize;
            self.source.fetch(y, first..first + self.needed[1]);
        }
    }

    /// Its rows of `len` samples.
    pub(super) fn line(&self, len: usize) -> Line<A> {
        let Self { problem, start, outside, .. } = *self;
        let place = Place {
            start: start[1],
            step: 1,
            border: problem.border[1],
            channels: problem.channels,
            outside,
        };
        Line::new(place, problem.axes[1].src, len)
    }

    /// Brings in row `y`, continued by the border.
    #[inline(always)]
    pub(super) fn bring<S: Simd>(&self, simd: S, line: &Line<A>, y: usize, row: &mut [A]) {
        let problem = self.problem;
        match problem.border[0].index(self.start[0] + y as isize, problem.axes[0].src) {
            Some(y) => line.widen(simd, &self.source, y, row),
            None => line.fill(row),
        }
    }
}

/// Brings in what the halves read, and counts it in cells of a size where that is asked for.
#[inline(always)]
pub(super) fn gather<S: Simd, A: Real>(
    simd: S,
    job: &Job<'_>,
    halves: &[Half],
    plane: usize,
    parts: [&mut [A]; 2],
    step: usize,
    mut counted: Option<(&mut Vec<Cells<A>>, usize)>,
) -> Totals {
    let points = job.plan.points[0];
    let mut totals = Totals { energy: 0.0, most: 0.0 };
    for (i, into) in parts.into_iter().enumerate() {
        let Some(part) = Part::new(job, halves, plane, i) else {
            into.fill(A::default());
            continue;
        };
        let line = part.line(part.needed[1]);
        let mut cells = counted.as_ref().map(|(_, size)| Cells::new(job.plan.points, *size));
        for (y, row) in into.chunks_exact_mut(step).take(points).enumerate() {
            let (row, rest) = row.split_at_mut(if y < part.needed[0] { part.needed[1] } else { 0 });
            rest.fill(A::default());
            if row.is_empty() {
                continue;
            }
            part.fetch(y + AHEAD);
            part.bring(simd, &line, y, row);
            totals.add(row);
            if let Some(cells) = &mut cells {
                cells.count(y, row);
            }
        }
        if let (Some((all, _)), Some(mut cells)) = (&mut counted, cells) {
            cells.finish(part.needed[0]);
            all.push(cells);
        }
    }
    totals
}

/// Counts magnitudes of what the halves read, cell by cell.
#[inline(always)]
pub(super) fn count<S: Simd, A: Real>(
    simd: S,
    job: &Job<'_>,
    halves: &[Half],
    plane: usize,
    size: usize,
) -> Vec<Cells<A>> {
    let mut row = vec![A::default(); job.plan.points[1]];
    let parts = (0..2).filter_map(|i| Part::new(job, halves, plane, i));
    let mut counted = Vec::new();
    for part in parts {
        let mut cells = Cells::new(job.plan.points, size);
        let (line, row) = (part.line(part.needed[1]), &mut row[..part.needed[1]]);
        for y in 0..part.needed[0] {
            part.bring(simd, &line, y, row);
            cells.count(y, row);
        }
        cells.finish(part.needed[0]);
        counted.push(cells);
    }
    counted
}

/// Puts zeros for samples that can't be transformed, marks them, and counts what is left.
pub(super) fn clean<A: Real>(
    job: &Job<'_>,
    halves: &[Half],
    parts: [&mut [A]; 2],
    step: usize,
    size: usize,
) -> (Vec<Cells<A>>, Totals) {
    let taps = job.problem.taps.shape();
    let used = if job.plan.packed { halves.len() } else { job.problem.src.components() };
    let (mut counted, mut totals) = (Vec::new(), Totals { energy: 0.0, most: 0.0 });
    for (i, part) in parts.into_iter().take(used).enumerate() {
        let [ys, xs] = &halves[i.min(halves.len() - 1)];
        let needed = [ys.len() + taps[0] - 1, xs.len() + taps[1] - 1];
        let mut cells = Cells::new(job.plan.points, size);
        let mut spoilt = Vec::new();
        for (y, row) in part.chunks_exact_mut(step).take(needed[0]).enumerate() {
            for (x, a) in row[..needed[1]].iter_mut().enumerate() {
                let magnitude = a.magnitude().into_f64();
                if magnitude.is_nan() || magnitude > A::LARGEST {
                    *a = A::default();
                    spoilt.push((y, x));
                    continue;
                }
                totals.energy += a.times(*a).into_f64();
                totals.most = totals.most.max(magnitude);
            }
            cells.count(y, &row[..needed[1]]);
        }
        cells.finish(needed[0]);
        spoilt.into_iter().for_each(|(y, x)| cells.spoil(y, x));
        counted.push(cells);
    }
    (counted, totals)
}
