//! Bringing the arrays of a layer to where its register tiles read them: filters in panels of
//! vectors, parts of pictures with zeros around them.

use super::pass::Pass;
use crate::Error;
use crate::alloc::Plain;
use crate::isa::{Isa, Kernel};
use crate::parallel::Queue;
use crate::registry::Schedule;
use crate::simd::{Lane, MAX_VECTORS, Simd, Vector, load_tile, store_tile, transpose};
use crate::view::{Floats, Picture, Src};
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Bytes that a block brings in and computes: they stay in the second-level cache beside a panel of
/// weights.
pub(super) const WARM: usize = 192 << 10;

/// Halves `n` until it fits, or is 1.
pub(super) fn halve(mut n: usize, fits: impl Fn(usize) -> bool) -> usize {
    while n > 1 && !fits(n) {
        n = n.div_ceil(2);
    }
    n
}

/// Lanes of an instruction set's vectors of `L`.
pub(super) fn lanes<L: Lane>(isa: Isa) -> usize {
    struct Lanes<L>(PhantomData<L>);
    impl<L: Lane> Kernel for Lanes<L> {
        type Output = usize;
        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> usize {
            L::Vector::<S>::LANES
        }
    }
    isa.dispatch(Lanes::<L>(PhantomData))
}

/// Vectors of channels that one register tile computes: the first, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Panel {
    pub(super) start: usize,
    pub(super) vectors: usize,
}

/// Parts so many vectors of channels: two at a time, and three at the end rather than one alone.
pub(super) fn panels(vectors: usize) -> Vec<Panel> {
    let mut panels = Vec::new();
    let mut start = 0;
    while start < vectors {
        let left = vectors - start;
        let vectors = if left <= MAX_VECTORS { left } else { 2 };
        panels.push(Panel { start, vectors });
        start += vectors;
    }
    panels
}

/// Neighbouring panels of a group whose weights one thread packs.
pub(super) struct Piece<'t, A> {
    pub(super) group: usize,
    pub(super) panels: &'t [Panel],
    /// Where they go, panel by panel.
    pub(super) into: &'t mut [A],
}

/// Cuts the memory of packed weights, `each` numbers for every vector of channels, into pieces: several
/// for each thread, of panels that are neighbours in the filters' memory too.
pub(super) fn pieces<'t, A>(
    mut weights: &'t mut [A],
    [groups, each]: [usize; 2],
    panels: &'t [Panel],
    threads: usize,
) -> Vec<Piece<'t, A>> {
    let together = (panels.len() * groups).div_ceil(4 * threads).clamp(1, panels.len().max(1));
    let mut pieces = Vec::new();
    for group in 0..groups {
        for panels in panels.chunks(together) {
            let size = panels.iter().map(|panel| panel.vectors * each).sum();
            let (into, rest) = weights.split_at_mut(size);
            weights = rest;
            pieces.push(Piece { group, panels, into });
        }
    }
    pieces
}

/// Does tasks that take so many nanoseconds together, each on one of the threads.
///
/// # Errors
/// [`Error::Interrupted`] if the caller asked to give up.
pub(super) fn share<K: Kernel<Output = ()> + Send>(
    tasks: Vec<K>,
    nanoseconds: f64,
    schedule: &Schedule<'_>,
) -> Result<(), Error> {
    let workers = schedule.workers.worth(nanoseconds).at_most(tasks.len());
    let queue = Queue::new(tasks.len());
    let tasks: Vec<_> = tasks.into_iter().map(|task| Mutex::new(Some(task))).collect();
    let next = || tasks[queue.take()?].lock().unwrap_or_else(PoisonError::into_inner).take();
    workers.drain(next, |task| schedule.isa.dispatch(task))
}

/// All numbers of an array of three axes or more, widened, in C order.
pub(super) fn widened<A: Floats>(array: &Src<'_>) -> Vec<A> {
    let &[.., rows, cols, channels] = array.shape() else { panic!("an array of three axes at least") };
    let mut all = vec![A::default(); array.shape().iter().product()];
    if !all.is_empty() {
        for (i, into) in all.chunks_exact_mut(cols * channels).enumerate() {
            array.picture(i / rows).widen(i % rows, &(0..cols), &(0..channels), into);
        }
    }
    all
}

/// The filters, tap by tap: rows of results, a row for each channel, lent where they stand so in memory.
pub(super) struct Taps<'a, A> {
    lent: Vec<&'a [A]>,
    copy: Vec<A>,
    /// Taps of a row, and numbers of a tap and of a row of it.
    across: usize,
    size: usize,
    step: usize,
}

impl<'a, A: Floats> Taps<'a, A> {
    pub(super) fn new(filters: &Src<'a>) -> Self {
        let &[kh, kw, inner, outer] = filters.shape() else { panic!("an array of four axes") };
        let size = inner * outer;
        let taps = (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx)));
        let lend = |(ky, kx)| filters.picture(ky).lend_widened(kx, &(0..inner), &(0..outer));
        let lent: Option<Vec<_>> = if size == 0 { None } else { taps.map(lend).collect() };
        let copy = if lent.is_some() { Vec::new() } else { widened(filters) };
        Self { lent: lent.unwrap_or_default(), copy, across: kw, size, step: outer }
    }

    /// The same with rows `step` apart, and zeros between them.
    pub(super) fn apart(filters: &Src<'a>, step: usize) -> Self {
        let &[kh, kw, inner, outer] = filters.shape() else { panic!("an array of four axes") };
        if outer == step {
            return Self::new(filters);
        }
        let copy = padded(Some(filters), [kh * kw * inner, outer], step);
        Self { lent: Vec::new(), copy, across: kw, size: inner * step, step }
    }

    /// The rows of a panel of a tap, from channels `deep` on, and the distance between them, if they hold
    /// nothing but the panel's weights, in order.
    pub(super) fn lend(
        &self,
        pass: &Pass<'_>,
        tap: [usize; 2],
        group: usize,
        [first, width]: [usize; 2],
        deep: usize,
    ) -> Option<(&[A], usize)> {
        let whole = first + width <= pass.wide && !pass.transposed;
        whole.then(|| (&self.tap(tap)[deep * self.step + group * pass.wide + first..], self.step))
    }

    /// The rows of a tap.
    pub(super) fn tap(&self, [ky, kx]: [usize; 2]) -> &[A] {
        let tap = ky * self.across + kx;
        if self.lent.is_empty() { &self.copy[tap * self.size..][..self.size] } else { self.lent[tap] }
    }

    /// Brings a panel's weights of a tap, from channels `deep` on, as rows of the panel's lanes: whole rows
    /// of `into`. Lanes without a result are 0.
    #[inline(always)]
    pub(super) fn bring<V: Vector<Elem = A>>(
        &self,
        pass: &Pass<'_>,
        tap: [usize; 2],
        group: usize,
        panel: Panel,
        deep: usize,
        into: &mut [A],
    ) {
        let [first, width] = [panel.start, panel.vectors].map(|n| n * V::LANES);
        let wide = (pass.wide - first).min(width);
        let (tap, step) = (self.tap(tap), self.step);
        if pass.transposed {
            let from = &tap[first * step + group * pass.deep + deep..];
            turn::<V>(from, step, [wide, into.len() / width], into, width);
        }
        for (d, row) in into.chunks_exact_mut(width).enumerate() {
            if !pass.transposed {
                let at = (deep + d) * step + group * pass.wide + first;
                let from = &tap[at..at + wide];
                if wide == width {
                    // A call of `memcpy` takes longer than the few vectors.
                    for lane in (0..width).step_by(V::LANES) {
                        store_tile::<V, 1>(&load_tile(from, lane), row, lane);
                    }
                } else {
                    row[..wide].copy_from_slice(from);
                }
            }
            row[wide..].fill(A::default());
        }
    }
}

impl<A: Floats> Taps<'_, A> {
    /// The weight of a tap for a channel that is summed over and a result.
    pub(super) fn weight(&self, pass: &Pass<'_>, tap: [usize; 2], group: usize, [c, r]: [usize; 2]) -> A {
        let [row, column] =
            if pass.transposed { [r, group * pass.deep + c] } else { [c, group * pass.wide + r] };
        self.tap(tap)[row * self.step + column]
    }

    /// Brings the weights of the first tap as rows, one for each result from `first` on, of a number for each
    /// channel that it sums over: whole rows of `into`, `pitch` apart.
    #[inline(always)]
    pub(super) fn rows<V: Vector<Elem = A>>(
        &self,
        pass: &Pass<'_>,
        [group, first]: [usize; 2],
        into: &mut [A],
        pitch: usize,
    ) {
        let (tap, step, deep) = (self.tap([0, 0]), self.step, pass.deep);
        let n = into.len() / pitch;
        if pass.transposed {
            let from = tap[first * step + group * deep..].chunks(step);
            for (from, into) in from.zip(into.chunks_exact_mut(pitch)) {
                into[..deep].copy_from_slice(&from[..deep]);
            }
        } else {
            turn::<V>(&tap[group * pass.wide + first..], step, [deep, n], into, pitch);
        }
    }
}

/// Writes the transpose of `n[0]` rows of `n[1]` numbers, `step` apart, as rows `width` apart.
#[inline(always)]
pub(super) fn turn<V: Vector>(
    from: &[V::Elem],
    step: usize,
    n: [usize; 2],
    into: &mut [V::Elem],
    width: usize,
) {
    if n.iter().any(|&n| n < V::LANES) {
        for i in 0..n[0] {
            for j in 0..n[1] {
                into[j * width + i] = from[i * step + j];
            }
        }
        return;
    }
    // The last squares overlap those before.
    for i in (0..n[0]).step_by(V::LANES) {
        let i = i.min(n[0] - V::LANES);
        for j in (0..n[1]).step_by(V::LANES) {
            let j = j.min(n[1] - V::LANES);
            transpose::<V>(&from[i * step + j..], step, &mut into[j * width + i..], width, [V::LANES; 2]);
        }
    }
}

/// A number to start from for each lane of each group's vectors of results: its bias, or 0.
pub(super) fn padded<A: Floats>(bias: Option<&Src<'_>>, [groups, wide]: [usize; 2], width: usize) -> Vec<A> {
    let mut padded = vec![A::default(); groups * width];
    if let Some(bias) = bias.filter(|_| wide > 0) {
        let bias = widened::<A>(bias);
        for (into, bias) in padded.chunks_exact_mut(width).zip(bias.chunks_exact(wide)) {
            into[..wide].copy_from_slice(bias);
        }
    }
    padded
}

/// A part of a picture, with zeros where it leaves the picture: rows of `pitch` numbers, pixels of `step`
/// (after whose channels anything may stand).
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) rows: Range<isize>,
    pub(super) cols: Range<isize>,
    pub(super) channels: Range<usize>,
    pub(super) step: usize,
    pub(super) pitch: usize,
}

impl Part {
    /// Numbers of the copy.
    pub(super) fn len(&self) -> usize {
        self.rows.len() * self.pitch
    }

    /// The same columns and channels of other rows.
    pub(super) fn of(&self, rows: &Range<isize>) -> Self {
        Self { rows: rows.clone(), ..self.clone() }
    }

    /// The part itself, if it is one row of a picture, or whole rows, and stands in memory as the copy would.
    pub(super) fn lend<'a, A: Floats>(&self, picture: &Picture<'a>) -> Option<&'a [A]> {
        let [height, width, deep] = picture.shape();
        let inside = |range: &Range<isize>, n: usize| {
            let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
            (range.start < range.end && range.end <= n).then_some(range)
        };
        let (rows, cols) = (inside(&self.rows, height)?, inside(&self.cols, width)?);
        if self.step != self.channels.len() {
            return None;
        }
        if rows.len() == 1 {
            return picture.lend_widened(rows.start, &cols, &self.channels);
        }
        let whole = cols == (0..width) && self.channels == (0..deep) && self.pitch == width * deep;
        whole.then(|| picture.lend_rows(rows))?
    }

    /// The part and the picture with all rows as one, if it is whole rows of the picture that follow one upon
    /// the other in the picture and in the copy.
    fn in_one_row<'a>(&self, picture: &Picture<'a>) -> Option<(Self, Picture<'a>)> {
        let [height, width, _] = picture.shape();
        let whole = self.cols == (0..width as isize) && self.pitch == width * self.step;
        let inside =
            0 <= self.rows.start && self.rows.start < self.rows.end && self.rows.end <= height as isize;
        let flat = if whole && inside && self.rows.len() > 1 { picture.in_one_row()? } else { return None };
        let cols = self.rows.start * width as isize..self.rows.end * width as isize;
        Some((Self { rows: 0..1, cols, pitch: self.len(), ..self.clone() }, flat))
    }

    /// Columns of a picture that are in the part, and where they stand in a row of the copy.
    fn held(&self, width: usize) -> [Range<usize>; 2] {
        let cols = inside(&self.cols, width);
        let before =
            if cols.is_empty() { 0 } else { (cols.start as isize - self.cols.start) as usize * self.step };
        let held = before..before + cols.len() * self.step;
        [cols, held]
    }

    /// Brings in a row of a picture that is at hand as a dense copy of the part's channels.
    #[inline(always)]
    pub(super) fn copy<A: Plain + Default>(&self, from: &[A], width: usize, into: &mut [A]) {
        let ([cols, held], deep) = (self.held(width), self.channels.len());
        zero(&mut into[..held.start]);
        zero(&mut into[held.end..]);
        let from = &from[cols.start * deep..cols.end * deep];
        if self.step == deep {
            into[held].copy_from_slice(from);
        } else {
            for (from, into) in from.chunks_exact(deep).zip(into[held].chunks_exact_mut(self.step)) {
                into[..deep].copy_from_slice(from);
            }
        }
    }

    /// Brings it in. A `mask` of the picture's shape (where pixels stand close) zeroes what it is not positive for; `spare` has
    /// room for a row, or for all rows, which are then brought in at once if they may be.
    #[inline(always)]
    pub(super) fn bring<V: Vector<Elem: Floats>>(
        &self,
        picture: &Picture<'_>,
        mask: Option<&Picture<'_>>,
        into: &mut [V::Elem],
        spare: &mut [V::Elem],
    ) {
        // Whole rows are one: there are more whole vectors in it.
        let line = mask.filter(|_| spare.len() >= self.len()).and_then(Picture::in_one_row);
        let flat = if mask.is_none() || line.is_some() { self.in_one_row(picture) } else { None };
        let (part, picture) = flat.as_ref().map_or((self, picture), |(part, picture)| (part, picture));
        let mask = if flat.is_some() { line.as_ref() } else { mask };
        let ([height, width, _], step) = (picture.shape(), part.step);
        let (rows, [cols, held]) = (inside(&part.rows, height), part.held(width));
        for (y, row) in part.rows.clone().zip(into.chunks_exact_mut(part.pitch)) {
            if y < 0 || !rows.contains(&(y as usize)) || held.is_empty() {
                zero(row);
                continue;
            }
            zero(&mut row[..held.start]);
            zero(&mut row[held.end..]);
            let row = &mut row[held.clone()];
            let Some(mask) = mask else {
                picture.widen_with::<V>(y as usize, &cols, &part.channels, step, row);
                continue;
            };
            let zero = V::Elem::default();
            let (from, lent) =
                [picture, mask].map(|picture| picture.lend_widened(y as usize, &cols, &part.channels)).into();
            if let (true, Some(from), Some(mask)) = (step == part.channels.len(), from, lent) {
                for ((value, &from), &result) in row.iter_mut().zip(from).zip(mask) {
                    *value = if result > zero { from } else { zero };
                }
                continue;
            }
            picture.widen_with::<V>(y as usize, &cols, &part.channels, step, row);
            let spare = &mut spare[..held.len()];
            mask.widen_with::<V>(y as usize, &cols, &part.channels, step, spare);
            for (value, &result) in row.iter_mut().zip(spare.iter()) {
                *value = if result > zero { *value } else { zero };
            }
        }
    }
}

/// What of a range is below `n`, and not below 0.
fn inside(range: &Range<isize>, n: usize) -> Range<usize> {
    let start = range.start.clamp(0, n as isize);
    start as usize..range.end.clamp(start, n as isize) as usize
}

#[inline(always)]
fn zero<A: Plain + Default>(row: &mut [A]) {
    for value in row {
        *value = A::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_cover_every_vector_once() {
        for vectors in 0..20 {
            let panels = panels(vectors);
            let mut next = 0;
            for panel in &panels {
                assert!(panel.start == next && (1..=MAX_VECTORS).contains(&panel.vectors));
                next += panel.vectors;
            }
            assert_eq!(next, vectors);
        }
        assert_eq!(panels(5), [Panel { start: 0, vectors: 2 }, Panel { start: 2, vectors: 3 }]);
    }
}
