//! Several pictures at once, where the numbers of each are a run in memory: as rows of numbers.

use super::{Block, Layout, Picture, Src};
use crate::alloc::Plain;
use crate::dtype::Accumulator;
use std::marker::PhantomData;

impl Layout {
    /// Numbers of a picture of an array of four axes, if they follow one upon the other: channel after channel where channels
    /// are `planes`, else pixel after pixel.
    fn run(&self, planes: bool) -> Option<usize> {
        let (&[_, rows, cols, deep], &[_, row, col, channel]) = (&self.shape[..], &self.strides[..]) else {
            return None;
        };
        let mut axes = [(channel, deep), (col, cols), (row, rows)];
        if planes {
            axes.rotate_left(1);
        }
        let mut numbers = 1;
        for (stride, n) in axes {
            if n != 1 && stride != (numbers * self.dtype.size()) as isize {
                return None;
            }
            numbers *= n;
        }
        Some(numbers)
    }
}

impl<'a> Src<'a> {
    /// The pictures of an array of four axes as one of one row, if the numbers of each are a run: pictures for columns, and
    /// their numbers for channels, in the order of memory.
    pub fn as_rows(&self, planes: bool) -> Option<Picture<'a>> {
        let Layout { dtype, shape, strides } = &self.layout;
        let numbers = self.layout.run(planes)?;
        Some(Picture {
            data: self.data,
            dtype: *dtype,
            shape: [1, shape[0], numbers],
            strides: [0, strides[0], dtype.size() as isize],
            lifetime: PhantomData,
        })
    }
}

impl Block<'_> {
    /// All numbers of its pictures in the first array, whose channels are `planes` or not, if it covers these pictures whole and
    /// the numbers are a run of accumulators.
    pub fn lend_pictures<A: Accumulator + Plain>(&mut self, planes: bool) -> Option<&mut [A]> {
        let (data, layout) = self.blocks.arrays[0];
        let numbers = layout.run(planes)?;
        let [rows, cols, channels] = [1, 2, 3].map(|axis| 0..layout.shape[axis]);
        let whole = self.rows == rows && self.cols == cols && self.channels == channels;
        let follow = self.pictures.len() == 1 || layout.strides[0] == (numbers * size_of::<A>()) as isize;
        let to = data.wrapping_offset(self.pictures.start as isize * layout.strides[0]);
        let fits = A::STORED_AS == Some(layout.dtype) && to.addr().is_multiple_of(align_of::<A>());
        // SAFETY: the pictures are the block's, which is exclusively ours and whose elements don't share memory
        // (`Dst::from_raw`), and follow one upon the other; dtype and alignment are A's.
        (whole && follow && fits)
            .then(|| unsafe { std::slice::from_raw_parts_mut(to.cast(), self.pictures.len() * numbers) })
    }
}
