//! Rows that are to come near while others are worked on.

use super::{BlockRows, Picture, is_run};
use crate::simd::Ahead;
use crate::view::{Plane, Tile};
use std::ops::Range;

impl Plane<'_> {
    /// Adds columns `cols` of row `y`, if samples are neighbours: a hint, which any columns may have.
    pub fn ahead(&self, y: usize, cols: &Range<usize>, ahead: &mut Ahead) {
        if self.strides[1] == self.dtype.size() as isize {
            ahead.push(self.at(y, cols.start), cols.len() * self.dtype.size());
        }
    }
}

impl Tile<'_> {
    /// As [`Plane::ahead`].
    pub fn ahead(&self, y: usize, cols: &Range<usize>, ahead: &mut Ahead) {
        if self.strides[1] == self.dtype.size() as isize {
            ahead.push(self.at(0, y, cols.start), cols.len() * self.dtype.size());
        }
    }
}

impl Picture<'_> {
    /// Adds columns and channels of row `y`, if they are a run.
    ///
    /// # Panics
    /// If they are not inside the picture.
    pub fn ahead(&self, y: usize, cols: &Range<usize>, channels: &Range<usize>, ahead: &mut Ahead) {
        let size = self.dtype.size();
        if !cols.is_empty() && is_run(self.shape, self.strides, size, cols.len(), channels.len()) {
            ahead.push(self.at(y, cols, channels), cols.len() * channels.len() * size);
        }
    }
}

impl BlockRows<'_> {
    /// As [`Picture::ahead`].
    ///
    /// # Panics
    /// If the row is not the block's.
    pub fn ahead(&self, y: usize, ahead: &mut Ahead) {
        let (size, cols, channels) = (self.dtype.size(), self.cols.len(), self.channels.len());
        if is_run(self.shape, self.strides, size, cols, channels) {
            ahead.push(self.at(y), cols * channels * size);
        }
    }
}
