//! The columns that a row of results reads, beyond the picture too.

use super::Sliding;
use std::ops::Range;

/// The row of columns of a block: source columns in the middle, and what the border makes of the rest.
pub(super) struct Line {
    /// Columns of the picture.
    pub(super) cols: Range<usize>,
    /// Where the first of them stands.
    pub(super) lead: usize,
    /// Columns in all.
    pub(super) len: usize,
    /// Columns beyond the picture that are copies of columns of the row (or of none: constants).
    copies: Vec<(usize, Option<usize>)>,
    /// Columns that must be brought from the picture: to a place, from runs of columns.
    pub(super) brought: Vec<(usize, Range<usize>)>,
}

impl Line {
    pub(super) fn new(problem: &Sliding, cols: &Range<usize>) -> Self {
        let (axis, border) = (&problem.axes[1], problem.border[1]);
        let start = cols.start as isize - axis.before;
        let len = cols.len() + axis.taps - 1;
        let clip = |x: isize| x.clamp(0, axis.src as isize) as usize;
        let inside = clip(start)..clip(start + len as isize);
        let lead = (inside.start as isize - start) as usize;
        let mapped = |place: usize| border.index(start + place as isize, axis.src);
        let beyond = (0..lead).chain(lead + inside.len()..len);
        let near = beyond.clone().all(|place| mapped(place).is_none_or(|x| inside.contains(&x)));
        let mut line = Self { cols: inside, lead, len, copies: Vec::new(), brought: Vec::new() };
        if near {
            line.copies =
                beyond.map(|place| (place, mapped(place).map(|x| lead + x - line.cols.start))).collect();
            return line;
        }
        for place in 0..len {
            let Some(x) = mapped(place) else { continue };
            match line.brought.last_mut() {
                Some((at, run)) if *at + run.len() == place && run.end == x => run.end += 1,
                _ => line.brought.push((place, x..x + 1)),
            }
        }
        line
    }

    /// Columns that are folded: those of the picture, or the whole row.
    pub(super) fn folded(&self) -> Range<usize> {
        if self.brought.is_empty() { self.lead..self.lead + self.cols.len() } else { 0..self.len }
    }

    /// Where runs of columns of the picture stand in the row.
    pub(super) fn runs(&self) -> impl Iterator<Item = (usize, &Range<usize>)> {
        let middle = self.brought.is_empty().then_some((self.lead, &self.cols));
        middle.into_iter().chain(self.brought.iter().map(|(at, cols)| (*at, cols)))
    }

    /// Makes of a row of such columns, those of the picture in their place, what stands beyond its ends.
    pub(super) fn continue_row<T: Copy>(&self, deep: usize, row: &mut [T], outside: T) {
        for &(at, from) in &self.copies {
            match from {
                Some(from) if deep == 1 => row[at] = row[from],
                Some(from) => row.copy_within(from * deep..(from + 1) * deep, at * deep),
                None => row[at * deep..(at + 1) * deep].fill(outside),
            }
        }
    }
}
