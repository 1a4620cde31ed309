//! Pictures whose rows follow one upon the other, as one row; and several at once, where the numbers of each are a run in memory.

use super::{Block, Dst, Layout, Picture, Src};
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

impl Layout {
    /// The pictures (last three axes) as one row each, if every row goes on where the one before it ends.
    fn in_one_row(&self) -> Option<Self> {
        let [row, col] = [self.shape.len() - 3, self.shape.len() - 2];
        let ([rows, cols], step) = ([row, col].map(|axis| self.shape[axis]), self.strides[col]);
        let follow = rows <= 1 || cols == 1 || self.strides[row] == step * cols as isize;
        // Of one column, the next pixel is the next row's.
        let step = if cols == 1 { self.strides[row] } else { step };
        let at = |axis: usize, n: usize| {
            if axis == row {
                1
            } else if axis == col {
                rows * cols
            } else {
                n
            }
        };
        let along = |axis: usize, stride: isize| if axis == col { step } else { stride };
        follow.then(|| Self {
            dtype: self.dtype,
            shape: self.shape.iter().enumerate().map(|(axis, &n)| at(axis, n)).collect(),
            strides: self.strides.iter().enumerate().map(|(axis, &n)| along(axis, n)).collect(),
        })
    }
}

impl Dst<'_> {
    /// As [`Src::in_one_row`].
    ///
    /// # Panics
    /// If it has fewer than three axes.
    pub fn in_one_row(&mut self) -> Option<Dst<'_>> {
        Some(Dst { data: self.data, layout: self.layout.in_one_row()?, lifetime: PhantomData })
    }
}

impl<'a> Src<'a> {
    /// The same with every picture's rows as one, if each goes on where the one before it ends.
    ///
    /// # Panics
    /// If it has fewer than three axes.
    pub fn in_one_row(&self) -> Option<Self> {
        Some(Self { layout: self.layout.in_one_row()?, ..self.clone() })
    }

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
