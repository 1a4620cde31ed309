//! Arrays whose last three axes are rows, columns and channels: pictures that are read, and blocks of
//! them that are written. Runs of neighbours are lent as slices of the array's own dtype.

mod ahead;
mod bits;
mod copies;
mod floats;
mod several;

pub use floats::Floats;

use super::{Dst, Layout, Rows, Src};
use crate::alloc::Plain;
use crate::dtype::{Accumulator, DType, Element, Finish};
use crate::parallel::Queue;
use copies::{copy_from, copy_to};
use std::marker::PhantomData;
use std::ops::Range;

impl Layout {
    /// The pictures (last three axes) stacked along their rows, if rows go on at the same step from
    /// one to the next.
    fn stacked(&self) -> Option<Self> {
        let (outer, n) = (self.shape.len() - 3, self.shape.len());
        let (mut rows, mut stride) = (self.shape[outer], self.strides[outer]);
        for axis in (0..outer).rev().filter(|&axis| self.shape[axis] != 1) {
            if rows == 1 {
                stride = self.strides[axis];
            } else if self.strides[axis] != stride * rows as isize {
                return None;
            }
            rows *= self.shape[axis];
        }
        let shape = [rows, self.shape[n - 2], self.shape[n - 1]].into();
        Some(Self {
            dtype: self.dtype,
            shape,
            strides: [stride, self.strides[n - 2], self.strides[n - 1]].into(),
        })
    }
}

/// A real picture that is read: rows, columns and channels, the last three axes of an array.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    data: *const u8,
    dtype: DType,
    shape: [usize; 3],
    strides: [isize; 3],
    lifetime: PhantomData<&'a [u8]>,
}

/// Whether a rectangle of columns and channels of a row is a run of elements of `size` bytes.
fn is_run(shape: [usize; 3], strides: [isize; 3], size: usize, cols: usize, channels: usize) -> bool {
    let (size, deep) = (size as isize, channels as isize);
    let inner = channels == 1 || strides[2] == size;
    inner && (cols == 1 || (strides[1] == size * deep && channels == shape[2]))
}

impl<'a> Src<'a> {
    /// The array as one picture, its pictures below each other, if they stand so in memory.
    ///
    /// # Panics
    /// If it has fewer than three axes.
    pub fn stacked(&self) -> Option<Self> {
        Some(Self { layout: self.layout.stacked()?, ..self.clone() })
    }

    /// Whether its columns are nearer to each other than its channels.
    ///
    /// # Panics
    /// If it has fewer than three axes.
    pub fn has_planes(&self) -> bool {
        let (strides, last) = (&self.layout.strides, self.layout.strides.len() - 1);
        strides[last - 1].abs() < strides[last].abs()
    }

    /// Every `steps`th row and column of the pictures, from the first on.
    ///
    /// # Panics
    /// If it has fewer than three axes, or a step is 0.
    #[must_use]
    pub fn every(&self, steps: [usize; 2]) -> Self {
        let Layout { dtype, shape, strides } = &self.layout;
        let first = shape.len() - 3;
        let step = |axis: usize| if axis < first || axis == first + 2 { 1 } else { steps[axis - first] };
        let shape = shape.iter().enumerate().map(|(axis, n)| n.div_ceil(step(axis))).collect();
        let strides = strides.iter().enumerate().map(|(axis, n)| n * step(axis) as isize).collect();
        Self { layout: Layout { dtype: *dtype, shape, strides }, ..self.clone() }
    }

    /// Picture `index` of an array of three axes or more, counted in C order.
    ///
    /// # Panics
    /// If there is no such picture, or its numbers are complex.
    pub fn picture(&self, index: usize) -> Picture<'a> {
        let Layout { dtype, shape, strides } = &self.layout;
        let (offset, shape, strides) = picture(shape, strides, index);
        assert!(!dtype.is_complex(), "a picture of real numbers");
        Picture {
            data: self.data.wrapping_offset(offset),
            dtype: *dtype,
            shape,
            strides,
            lifetime: PhantomData,
        }
    }
}

/// Offset, shape and strides of a picture.
fn picture(shape: &[usize], strides: &[isize], mut index: usize) -> (isize, [usize; 3], [isize; 3]) {
    let outer = shape.len() - 3;
    let mut offset = 0;
    for axis in (0..outer).rev() {
        offset += (index % shape[axis]) as isize * strides[axis];
        index /= shape[axis];
    }
    assert!(index == 0, "a picture of the array");
    let last = |i| outer + i;
    (offset, [0, 1, 2].map(|i| shape[last(i)]), [0, 1, 2].map(|i| strides[last(i)]))
}

impl<'a> Picture<'a> {
    /// Rows, columns and channels.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Whether its columns are nearer to each other than its channels.
    pub fn has_planes(&self) -> bool {
        self.strides[1].abs() < self.strides[2].abs()
    }

    /// The picture as one row, if its rows follow one upon the other.
    pub fn in_one_row(&self) -> Option<Self> {
        let ([rows, cols, deep], [row, col, channel]) = (self.shape, self.strides);
        let follows = rows == 1 || row == cols as isize * col;
        follows.then_some(Self { shape: [1, rows * cols, deep], strides: [row, col, channel], ..*self })
    }

    fn at(&self, y: usize, cols: &Range<usize>, channels: &Range<usize>) -> *const u8 {
        assert!(
            y < self.shape[0]
                && cols.start < cols.end
                && cols.end <= self.shape[1]
                && channels.start < channels.end
                && channels.end <= self.shape[2],
            "samples of the picture"
        );
        let [row, col, channel] = self.strides;
        let offset = y as isize * row + cols.start as isize * col + channels.start as isize * channel;
        self.data.wrapping_offset(offset)
    }

    fn lend_if<T: Plain>(
        &self,
        fits: bool,
        y: usize,
        cols: &Range<usize>,
        channels: &Range<usize>,
    ) -> Option<&'a [T]> {
        let from = self.at(y, cols, channels);
        let run = is_run(self.shape, self.strides, size_of::<T>(), cols.len(), channels.len());
        // SAFETY: first and last position are inside the array (`at`), which is readable for 'a; the
        // dtype is T's (`fits`), the positions are neighbours and the first is aligned.
        (fits && run && from.addr().is_multiple_of(align_of::<T>()))
            .then(|| unsafe { std::slice::from_raw_parts(from.cast(), cols.len() * channels.len()) })
    }

    /// Columns and channels of row `y`, if they are a run of `T`s.
    ///
    /// # Panics
    /// If they are not inside the picture, or none.
    pub fn lend<T: Element>(
        &self,
        y: usize,
        cols: &Range<usize>,
        channels: &Range<usize>,
    ) -> Option<&'a [T]> {
        self.lend_if(self.dtype == T::DTYPE, y, cols, channels)
    }

    /// Columns and channels of row `y`, if they are a run of accumulators.
    ///
    /// # Panics
    /// If they are not inside the picture, or none.
    pub fn lend_widened<A: Accumulator>(
        &self,
        y: usize,
        cols: &Range<usize>,
        channels: &Range<usize>,
    ) -> Option<&'a [A]> {
        self.lend_if(A::STORED_AS == Some(self.dtype), y, cols, channels)
    }

    fn lend_rows_if<T: Plain>(&self, fits: bool, rows: &Range<usize>) -> Option<&'a [T]> {
        let [height, width, deep] = self.shape;
        assert!(rows.start < rows.end && rows.end <= height, "rows of the picture");
        let first = self.lend_if::<T>(fits, rows.start, &(0..width), &(0..deep))?;
        let run = rows.len() == 1 || self.strides[0] == (width * deep * size_of::<T>()) as isize;
        // SAFETY: the first row is a run of T's (just lent), and the others, inside the array likewise, which is
        // readable for 'a, follow one upon the other.
        run.then(|| unsafe { std::slice::from_raw_parts(first.as_ptr(), rows.len() * width * deep) })
    }

    /// Whole rows, if they are a run of `T`s.
    ///
    /// # Panics
    /// If they are not inside the picture, or there is nothing in them.
    pub fn lend_rows_of<T: Element>(&self, rows: Range<usize>) -> Option<&'a [T]> {
        self.lend_rows_if(self.dtype == T::DTYPE, &rows)
    }

    /// Columns of rows of one channel, if they are a run of accumulators.
    ///
    /// # Panics
    /// If they are not inside the picture, or there is nothing in them.
    pub fn lend_plane<A: Accumulator>(
        &self,
        rows: &Range<usize>,
        cols: &Range<usize>,
        channel: usize,
    ) -> Option<&'a [A]> {
        assert!(rows.start < rows.end && rows.end <= self.shape[0], "rows of the picture");
        let from = self.at(rows.start, cols, &(channel..channel + 1));
        let size = size_of::<A>() as isize;
        let run = (cols.len() == 1 || self.strides[1] == size)
            && (rows.len() == 1 || self.strides[0] == cols.len() as isize * size)
            && A::STORED_AS == Some(self.dtype)
            && from.addr().is_multiple_of(align_of::<A>());
        // SAFETY: the rows are inside the array (`at`), which is readable for 'a, of A's own dtype, aligned,
        // and follow one upon the other.
        run.then(|| unsafe { std::slice::from_raw_parts(from.cast(), rows.len() * cols.len()) })
    }

    /// Whole rows, if they are a run of accumulators.
    ///
    /// # Panics
    /// If they are not inside the picture, or there is nothing in them.
    pub fn lend_rows<A: Accumulator>(&self, rows: Range<usize>) -> Option<&'a [A]> {
        self.lend_rows_if(A::STORED_AS == Some(self.dtype), &rows)
    }

    /// Calls `each` with the address, the step and the place in the copy of every run of equally
    /// spaced samples: one for the row if there is such a step, else one a column.
    #[inline(always)]
    fn runs(
        &self,
        size: usize,
        y: usize,
        cols: &Range<usize>,
        channels: &Range<usize>,
        mut each: impl FnMut(*const u8, isize, Range<usize>),
    ) {
        let (from, deep) = (self.at(y, cols, channels), channels.len());
        if deep == 1 {
            each(from, self.strides[1], 0..cols.len());
        } else if is_run(self.shape, self.strides, size, cols.len(), deep) {
            each(from, self.strides[2], 0..cols.len() * deep);
        } else {
            for i in 0..cols.len() {
                each(
                    from.wrapping_offset(i as isize * self.strides[1]),
                    self.strides[2],
                    i * deep..(i + 1) * deep,
                );
            }
        }
    }

    /// Copies columns and channels of row `y`.
    ///
    /// # Panics
    /// If they are not inside the picture, or none; if `into` has another length or dtype.
    #[inline(always)]
    pub fn copy<T: Element>(&self, y: usize, cols: &Range<usize>, channels: &Range<usize>, into: &mut [T]) {
        assert!(self.dtype == T::DTYPE && into.len() == cols.len() * channels.len(), "room for the samples");
        self.runs(
            size_of::<T>(),
            y,
            cols,
            channels,
            #[inline(always)]
            |from, step, place| {
                // SAFETY: inside the array (`at`), whose dtype is T.
                unsafe { copy_from(from, step, &mut into[place]) }
            },
        );
    }

    /// Widens columns and channels of row `y`.
    ///
    /// # Panics
    /// If they are not inside the picture, or none; if `into` has another length.
    #[inline(always)]
    pub fn read<A: Rows>(&self, y: usize, cols: &Range<usize>, channels: &Range<usize>, into: &mut [A]) {
        assert!(into.len() == cols.len() * channels.len(), "room for the samples");
        self.runs(
            self.dtype.size(),
            y,
            cols,
            channels,
            #[inline(always)]
            |from, step, place| {
                // SAFETY: inside the array (`at`).
                unsafe { A::read(self.dtype, from, step, &mut into[place]) }
            },
        );
    }
}

impl Dst<'_> {
    /// Whether its channels are planes of neighbouring columns.
    ///
    /// # Panics
    /// If it has fewer than three axes.
    pub fn has_planes(&self) -> bool {
        let (strides, last) = (&self.layout.strides, self.layout.strides.len() - 1);
        strides[last - 1] == self.layout.dtype.size() as isize && strides[last] > strides[last - 1]
    }

    /// The array as one picture, its pictures below each other, if they stand so in memory.
    ///
    /// # Panics
    /// If it has fewer than three axes.
    pub fn stacked(&mut self) -> Option<Dst<'_>> {
        Some(Dst { data: self.data, layout: self.layout.stacked()?, lifetime: PhantomData })
    }
}

/// Arrays of one shape cut into blocks of rows, columns and channels (the last three axes), each
/// handed out once, in every array, to whichever thread asks next.
#[derive(Debug)]
pub struct Blocks<'d> {
    arrays: Vec<(*mut u8, &'d Layout)>,
    size: [usize; 3],
    grid: [usize; 3],
    pictures: usize,
    /// Pictures of a block.
    together: usize,
    queue: Queue,
}

// SAFETY: hands out disjoint blocks of exclusively borrowed arrays, by a queue that gives each number once.
unsafe impl Sync for Blocks<'_> {}

impl<'d> Blocks<'d> {
    /// Cuts every picture of every array into blocks of at most `size`.
    ///
    /// # Panics
    /// If there is no array, the arrays' shapes differ or have fewer than three axes.
    pub fn new(dsts: &'d mut [Dst<'_>], size: [usize; 3]) -> Self {
        let arrays: Vec<_> = dsts.iter_mut().map(|dst| (dst.data, &dst.layout)).collect();
        let shape = &arrays[0].1.shape;
        assert!(shape.len() >= 3 && arrays.iter().all(|(_, l)| *l.shape == **shape), "arrays of one shape");
        let (outer, picture) = shape.split_at(shape.len() - 3);
        let size = size.map(|n| n.max(1));
        let grid = [0, 1, 2].map(|i| picture[i].div_ceil(size[i]));
        let pictures = outer.iter().product();
        let queue = Queue::new(pictures * grid.iter().product::<usize>());
        Self { arrays, size, grid, pictures, together: 1, queue }
    }

    /// The same of so many neighbouring pictures each, where there are as many.
    ///
    /// # Panics
    /// If it is of none.
    #[must_use]
    pub fn together(self, pictures: usize) -> Self {
        assert!(pictures > 0, "blocks of some pictures");
        let together = Self { together: pictures, ..self };
        Self { queue: Queue::new(together.count()), ..together }
    }

    /// Blocks in all.
    pub fn count(&self) -> usize {
        self.pictures.div_ceil(self.together) * self.grid.iter().product::<usize>()
    }

    /// The next block for this thread, in C order within its part.
    pub fn take(&self) -> Option<Block<'_>> {
        let index = self.queue.take()?;
        let [_, g1, g2] = self.grid;
        let per_picture = self.grid[0] * g1 * g2;
        let (picture, place) = (index / per_picture * self.together, index % per_picture);
        let shape = &self.arrays[0].1.shape;
        let range = |axis: usize, i: usize| {
            let start = i * self.size[axis];
            start..(start + self.size[axis]).min(shape[shape.len() - 3 + axis])
        };
        Some(Block {
            blocks: self,
            picture,
            pictures: picture..(picture + self.together).min(self.pictures),
            rows: range(0, place / (g1 * g2)),
            cols: range(1, place / g2 % g1),
            channels: range(2, place % g2),
        })
    }
}

/// A block of every array of a [`Blocks`], which no one else holds.
#[derive(Debug)]
pub struct Block<'b> {
    blocks: &'b Blocks<'b>,
    /// The picture, counted in C order; of several, the one that its parts are of.
    pub picture: usize,
    /// All pictures that it covers.
    pub pictures: Range<usize>,
    /// The picture's rows that it covers.
    pub rows: Range<usize>,
    /// The picture's columns that it covers.
    pub cols: Range<usize>,
    /// The picture's channels that it covers.
    pub channels: Range<usize>,
}

/// The rows of a block in one of the arrays.
#[derive(Debug)]
pub struct BlockRows<'b> {
    data: *mut u8,
    dtype: DType,
    shape: [usize; 3],
    strides: [isize; 3],
    rows: Range<usize>,
    cols: Range<usize>,
    channels: Range<usize>,
    lifetime: PhantomData<&'b mut [u8]>,
}

impl Block<'_> {
    /// Turns to another one of its pictures.
    ///
    /// # Panics
    /// If it does not cover it.
    pub fn turn_to(&mut self, picture: usize) {
        assert!(self.pictures.contains(&picture), "a picture of the block");
        self.picture = picture;
    }

    /// Its rows in the first `N` arrays.
    ///
    /// # Panics
    /// If there are fewer arrays.
    pub fn parts<const N: usize>(&mut self) -> [BlockRows<'_>; N] {
        let arrays = &self.blocks.arrays[..N];
        std::array::from_fn(|i| {
            let (data, layout) = arrays[i];
            let (offset, shape, strides) = picture(&layout.shape, &layout.strides, self.picture);
            BlockRows {
                data: data.wrapping_offset(offset),
                dtype: layout.dtype,
                shape,
                strides,
                rows: self.rows.clone(),
                cols: self.cols.clone(),
                channels: self.channels.clone(),
                lifetime: PhantomData,
            }
        })
    }
}

impl BlockRows<'_> {
    fn at(&self, y: usize) -> *mut u8 {
        assert!(self.rows.contains(&y), "a row of the block");
        let [row, col, channel] = self.strides;
        let offset =
            y as isize * row + self.cols.start as isize * col + self.channels.start as isize * channel;
        self.data.wrapping_offset(offset)
    }

    fn lend_if<T: Plain>(&mut self, fits: bool, ys: &Range<usize>) -> Option<&mut [T]> {
        assert!(ys.start < ys.end && ys.end <= self.rows.end, "rows of the block");
        let to = self.at(ys.start);
        let (cols, channels) = (self.cols.len(), self.channels.len());
        let whole = cols == self.shape[1]
            && channels == self.shape[2]
            && self.strides[0] == (cols * channels * size_of::<T>()) as isize;
        let run =
            (whole || ys.len() == 1) && is_run(self.shape, self.strides, size_of::<T>(), cols, channels);
        // SAFETY: the rows are inside the block, which is exclusively ours and whose elements don't
        // share memory (`Dst::from_raw`), and follow one upon the other; dtype, neighbourhood and alignment
        // are a slice of T's.
        (fits && run && to.addr().is_multiple_of(align_of::<T>()))
            .then(|| unsafe { std::slice::from_raw_parts_mut(to.cast(), ys.len() * cols * channels) })
    }

    /// Row `y`, if it is a run of `T`s.
    ///
    /// # Panics
    /// If it is not a row of the block.
    pub fn lend<T: Element>(&mut self, y: usize) -> Option<&mut [T]> {
        self.lend_run(&(y..y + 1))
    }

    /// Row `y`, if it is a run of accumulators.
    ///
    /// # Panics
    /// If it is not a row of the block.
    pub fn lend_widened<A: Accumulator>(&mut self, y: usize) -> Option<&mut [A]> {
        self.lend_run_widened(&(y..y + 1))
    }

    /// The rows `ys`, if they are one run of `T`s.
    ///
    /// # Panics
    /// If they are no rows of the block.
    pub fn lend_run<T: Element>(&mut self, ys: &Range<usize>) -> Option<&mut [T]> {
        self.lend_if(self.dtype == T::DTYPE, ys)
    }

    /// The rows `ys`, if they are one run of accumulators.
    ///
    /// # Panics
    /// If they are no rows of the block.
    pub fn lend_run_widened<A: Accumulator>(&mut self, ys: &Range<usize>) -> Option<&mut [A]> {
        self.lend_if(A::STORED_AS == Some(self.dtype), ys)
    }

    /// All rows, if they are a run of accumulators.
    pub fn lend_all<A: Accumulator>(&mut self) -> Option<&mut [A]> {
        self.lend_run_widened(&self.rows.clone())
    }

    /// The rows from `first` on, if each is a run of `T`s.
    ///
    /// # Panics
    /// If they are not rows of the block.
    pub fn lend_rows<T: Element, const R: usize>(&mut self, first: usize) -> Option<[&mut [T]; R]> {
        let mut rows = [(); R].map(|()| None);
        for (i, row) in rows.iter_mut().enumerate() {
            *row = Some(std::ptr::from_mut(self.lend::<T>(first + i)?));
        }
        // SAFETY: lent just now, each for as long as the block is borrowed; the rows are distinct and
        // the array's elements don't share memory (`Dst::from_raw`).
        Some(rows.map(|row| unsafe { &mut *row.expect("every row was lent") }))
    }

    #[inline(always)]
    fn runs(&mut self, y: usize, mut each: impl FnMut(*mut u8, isize, Range<usize>)) {
        let (to, deep, cols) = (self.at(y), self.channels.len(), self.cols.len());
        if deep == 1 {
            each(to, self.strides[1], 0..cols);
        } else if is_run(self.shape, self.strides, self.dtype.size(), cols, deep) {
            each(to, self.strides[2], 0..cols * deep);
        } else {
            for i in 0..cols {
                each(
                    to.wrapping_offset(i as isize * self.strides[1]),
                    self.strides[2],
                    i * deep..(i + 1) * deep,
                );
            }
        }
    }

    /// Stores row `y`.
    ///
    /// # Panics
    /// If it is not a row of the block; if `from` has another length or dtype.
    #[inline(always)]
    pub fn copy<T: Element>(&mut self, y: usize, from: &[T]) {
        assert!(
            self.dtype == T::DTYPE && from.len() == self.cols.len() * self.channels.len(),
            "the whole row"
        );
        self.runs(
            y,
            #[inline(always)]
            |to, step, place| {
                // SAFETY: inside the block, which is exclusively ours, of dtype T.
                unsafe { copy_to(to, step, &from[place]) }
            },
        );
    }

    /// Rounds (in place), narrows and stores row `y`.
    ///
    /// # Panics
    /// If it is not a row of the block; if `from` has another length.
    #[inline(always)]
    pub fn write<A: Rows>(&mut self, y: usize, from: &mut [A], finish: Finish) {
        assert!(from.len() == self.cols.len() * self.channels.len(), "the whole row");
        let dtype = self.dtype;
        self.runs(
            y,
            #[inline(always)]
            |to, step, place| {
                // SAFETY: inside the block, which is exclusively ours.
                unsafe { A::write(dtype, to, step, &mut from[place], finish) }
            },
        );
    }
}
