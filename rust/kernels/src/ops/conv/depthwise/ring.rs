//! The source rows that a walk down a picture needs at once.

use super::TOGETHER;
use crate::alloc::Plain;
use crate::ops::conv::pack::Part;
use crate::ops::conv::phase::Phase;
use crate::simd::{MAX_LANES, Own, Vector};
use crate::view::{Floats, Picture};
use std::ops::Range;

/// Columns and channels of a few rows of a picture, zeros around it, each row in the place of one that is not needed
/// any more.
pub(super) struct Ring<'r, A: Plain> {
    picture: Picture<'r>,
    mask: Option<Picture<'r>>,
    /// Rows of it are what a slot holds.
    part: Part,
    slots: usize,
    /// The first row that was not brought yet.
    next: isize,
    samples: &'r mut [A],
    /// Room for a row of the mask.
    spare: &'r mut [A],
    stage: Stage<'r, A>,
    places: Vec<usize>,
}

/// Whole rows of a picture, one after the other.
struct Stage<'r, A> {
    samples: &'r mut [A],
    rows: Range<usize>,
}

impl<'r, A: Floats> Ring<'r, A> {
    /// Numbers of scratch: of the ring, of a row of the mask, and of rows that are turned about together.
    pub(super) fn room(part: &Part, slots: usize, picture: &Picture<'_>, masked: bool) -> [usize; 3] {
        let [_, width, _] = picture.shape();
        let staged = !masked && picture.has_planes() && (1..MAX_LANES).contains(&width);
        let stage = if staged { TOGETHER.max(width) * part.channels.len() } else { 0 };
        // A vector of samples may go on past the last channel.
        [slots * part.pitch + MAX_LANES, if masked { part.pitch } else { 0 }, stage]
    }

    pub(super) fn new(
        picture: Picture<'r>,
        mask: Option<Picture<'r>>,
        part: Part,
        slots: usize,
        [samples, spare, stage]: [&'r mut [A]; 3],
    ) -> Self {
        let (next, stage) = (isize::MIN, Stage { samples: stage, rows: 0..0 });
        Self { picture, mask, part, slots, next, samples, spare, stage, places: Vec::new() }
    }

    /// What the results of a pair of phases read: some in a row, from one on whose rows are here.
    #[inline(always)]
    pub(super) fn own(
        &mut self,
        [rows, cols]: [&Phase; 2],
        [y, x]: [usize; 2],
        [pixels, channels]: [usize; 2],
    ) -> Own<'_, A> {
        let step = self.part.step;
        self.places.clear();
        let (mut at, mut row) = (rows.least(), self.place((y * rows.stride) as isize + rows.least()));
        for &(dy, _) in &rows.taps {
            // Not farther than there are slots.
            row += (dy - at) as usize * self.part.pitch;
            row -= if row < self.slots * self.part.pitch { 0 } else { self.slots * self.part.pitch };
            at = dy;
            for &(dx, _) in &cols.taps {
                let col = (x * cols.stride) as isize + dx - self.part.cols.start;
                self.places.push(row + col as usize * step);
            }
        }
        Own { source: self.samples, places: &self.places, step: cols.stride * step, pixels, channels }
    }

    /// Row `y`, itself if it stands in memory as it would here.
    #[inline(always)]
    pub(super) fn row<V: Vector<Elem = A>>(&mut self, y: usize) -> &[A] {
        let rows = y as isize..y as isize + 1;
        let lent = if self.mask.is_none() { self.part.of(&rows).lend(&self.picture) } else { None };
        if let Some(lent) = lent {
            return lent;
        }
        self.bring::<V>(rows.clone());
        &self.samples[self.place(rows.start)..][..self.part.pitch]
    }

    /// Where a row begins.
    fn place(&self, y: isize) -> usize {
        y.rem_euclid(self.slots as isize) as usize * self.part.pitch
    }

    /// Brings in what is not there of some rows, the first of which no later call precedes.
    #[inline(always)]
    pub(super) fn bring<V: Vector<Elem = A>>(&mut self, rows: Range<isize>) {
        if self.part.pitch == 0 {
            return;
        }
        let [_, width, _] = self.picture.shape();
        for y in rows.start.max(self.next)..rows.end {
            let place = self.place(y);
            let into = &mut self.samples[place..place + self.part.pitch];
            let part = self.part.of(&(y..y + 1));
            let staged = usize::try_from(y).ok().and_then(
                #[inline(always)]
                |y| self.stage.row::<V>(&self.picture, &part.channels, y),
            );
            match staged {
                Some(row) => part.copy(row, width, into),
                _ => part.bring::<V>(&self.picture, self.mask.as_ref(), into, self.spare),
            }
        }
        self.next = rows.end.max(self.next);
    }
}

impl<A: Floats> Stage<'_, A> {
    /// The channels of row `y`, if there is room for rows and the picture's follow one upon the other: brought in with as
    /// many of the next ones as there is room for.
    #[inline(always)]
    fn row<V: Vector<Elem = A>>(
        &mut self,
        picture: &Picture<'_>,
        channels: &Range<usize>,
        y: usize,
    ) -> Option<&[A]> {
        let ([height, width, _], deep) = (picture.shape(), channels.len());
        if self.samples.is_empty() || y >= height {
            return None;
        }
        if !self.rows.contains(&y) {
            let flat = picture.in_one_row()?;
            self.rows = y..height.min(y + self.samples.len() / (width * deep));
            let cols = y * width..self.rows.end * width;
            flat.widen_with::<V>(0, &cols, channels, deep, &mut self.samples[..cols.len() * deep]);
        }
        Some(&self.samples[(y - self.rows.start) * width * deep..][..width * deep])
    }
}
