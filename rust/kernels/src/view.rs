//! Borrowed strided arrays: the one place where an array's memory is touched.
//!
//! A [`Src`] is read and a [`Dst`] is written in rows. Both know their dtype only at run time; a row
//! is widened to, or narrowed from, whatever accumulator the caller's arithmetic has, and is lent
//! without a copy where it is stored as that already. A [`Dst`] is written through [`Tile`]s,
//! rectangles that [`Tiles`] hands out once each, so that threads can't write the same element.
#![expect(unsafe_code, reason = "turns checked positions in a strided array into memory accesses")]

mod dims;
mod picture;

pub use dims::Dims;
pub use picture::{Block, BlockRows, Blocks, Floats, Picture};

use crate::Error;
use crate::dispatch_dtype;
use crate::dtype::{Accumulator, Convert, DType, Element, Finish, Kind, Overflow, Rounding};
use crate::parallel::Queue;
use crate::simd::fetch_at;
use std::marker::PhantomData;
use std::ops::Range;

/// Shape and strides (in bytes) of an array whose last two axes are an image's rows and columns.
#[derive(Clone, Debug)]
struct Layout {
    dtype: DType,
    shape: Dims<usize>,
    strides: Dims<isize>,
}

impl Layout {
    fn image(&self) -> ([usize; 2], [isize; 2]) {
        let n = self.shape.len() - 2;
        ([self.shape[n], self.shape[n + 1]], [self.strides[n], self.strides[n + 1]])
    }

    fn planes(&self) -> usize {
        self.shape[..self.shape.len() - 2].iter().product()
    }

    /// Bytes from the array's first element to that of plane `index` (counted in C order).
    fn plane_offset(&self, mut index: usize) -> isize {
        let outer = self.shape.len() - 2;
        let mut offset = 0;
        for axis in (0..outer).rev() {
            offset += (index % self.shape[axis]) as isize * self.strides[axis];
            index /= self.shape[axis];
        }
        offset
    }

    fn new(dtype: DType, shape: Dims<usize>, strides: Dims<isize>) -> Result<Self, Error> {
        if shape.len() < 2 || shape.len() != strides.len() {
            return Err(Error::Value(format!(
                "an image has two axes at least. Received: {} axes.",
                shape.len()
            )));
        }
        shape
            .iter()
            .try_fold(dtype.size(), |bytes, &n| bytes.checked_mul(n.max(1)))
            .filter(|&bytes| bytes <= isize::MAX as usize)
            .ok_or_else(|| {
                Error::Value(format!(
                    "the array is larger than memory can be. Received: shape {:?}.",
                    &*shape
                ))
            })?;
        Ok(Self { dtype, shape, strides })
    }

    /// Whether two positions of the array share memory: no axis may step less than the axes
    /// below it reach.
    fn overlaps_itself(&self) -> bool {
        // Mostly the axes are in their order already.
        let mut reach = self.dtype.size();
        let apart = self.shape.iter().zip(&*self.strides).rev().filter(|&(&n, _)| n > 1).all(|(&n, &s)| {
            let apart = s.unsigned_abs() >= reach;
            reach = s.unsigned_abs().saturating_mul(n - 1).saturating_add(reach);
            apart
        });
        if apart {
            return false;
        }
        let mut axes: Vec<_> = (self.shape.iter().zip(&*self.strides))
            .filter(|&(&n, _)| n > 1)
            .map(|(&n, &s)| (s.unsigned_abs(), n))
            .collect();
        axes.sort_unstable();
        let mut reach = self.dtype.size();
        for (stride, n) in axes {
            if stride < reach {
                return !self.shape.contains(&0);
            }
            reach += stride * (n - 1);
        }
        false
    }
}

/// C-order strides in bytes.
fn contiguous(dtype: DType, shape: &[usize]) -> Vec<isize> {
    let mut step = dtype.size();
    let mut strides = vec![0; shape.len()];
    for (stride, &n) in strides.iter_mut().zip(shape).rev() {
        *stride = step as isize;
        step *= n.max(1);
    }
    strides
}

/// An array that is read.
#[derive(Clone, Debug)]
pub struct Src<'a> {
    data: *const u8,
    layout: Layout,
    lifetime: PhantomData<&'a [u8]>,
}

// SAFETY: a shared borrow of plain numbers, read only.
unsafe impl Send for Src<'_> {}
// SAFETY: as above.
unsafe impl Sync for Src<'_> {}

impl<'a> Src<'a> {
    /// Borrows an array by its address, shape and strides in bytes.
    ///
    /// # Safety
    /// Every position of `shape` is readable memory for `'a`, and no one writes to it meanwhile.
    ///
    /// # Errors
    /// [`Error::Value`] for fewer than two axes or a size beyond memory.
    pub unsafe fn from_raw(
        data: *const u8,
        dtype: DType,
        shape: impl Into<Dims<usize>>,
        strides: impl Into<Dims<isize>>,
    ) -> Result<Self, Error> {
        Ok(Self { data, layout: Layout::new(dtype, shape.into(), strides.into())?, lifetime: PhantomData })
    }

    /// Borrows a C-ordered slice.
    ///
    /// # Panics
    /// If the slice's length is not the shape's size, or the shape has fewer than two axes.
    pub fn from_slice<T: Element>(data: &'a [T], shape: &[usize]) -> Self {
        assert_eq!(data.len(), shape.iter().product::<usize>(), "one element a position");
        let layout = Layout::new(T::DTYPE, shape.into(), contiguous(T::DTYPE, shape).into())
            .expect("two axes at least");
        Self { data: data.as_ptr().cast(), layout, lifetime: PhantomData }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.layout.dtype
    }

    /// The shape; the last two axes are the image's.
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }

    /// Images: the product of the other axes.
    pub fn planes(&self) -> usize {
        self.layout.planes()
    }

    /// One component (0, or 1 for the imaginary part) of image `index`, counted in C order.
    ///
    /// # Panics
    /// If there is no such image or component.
    pub fn plane(&self, index: usize, component: usize) -> Plane<'a> {
        let dtype = self.layout.dtype;
        assert!(index < self.planes() && component < dtype.components(), "a plane of the array");
        let (shape, strides) = self.layout.image();
        let offset = self.layout.plane_offset(index) + (component * dtype.component().size()) as isize;
        Plane {
            data: self.data.wrapping_offset(offset),
            dtype: dtype.component(),
            shape,
            strides,
            lifetime: PhantomData,
        }
    }
}

/// A real image that is read.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    data: *const u8,
    dtype: DType,
    shape: [usize; 2],
    strides: [isize; 2],
    lifetime: PhantomData<&'a [u8]>,
}

impl<'a> Plane<'a> {
    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    fn at(&self, y: usize, x: usize) -> *const u8 {
        self.data.wrapping_offset(y as isize * self.strides[0] + x as isize * self.strides[1])
    }

    /// Whether rows can be lent as slices of `A`.
    pub fn lends<A: Accumulator>(&self) -> bool {
        A::STORED_AS == Some(self.dtype)
            && self.strides[1] == size_of::<A>() as isize
            && self.strides[0] % align_of::<A>() as isize == 0
            && self.data.addr().is_multiple_of(align_of::<A>())
    }

    /// Whether so many consecutive rows crowd each other out of an L1 cache: rows that stand a multiple
    /// of 2 KiB apart meet in half of its sets or fewer, at 8 or 12 ways each.
    pub fn crowds(&self, rows: usize) -> bool {
        match self.strides[0].unsigned_abs() {
            stride if stride % 4096 == 0 => rows > 6,
            stride if stride % 2048 == 0 => rows > 12,
            _ => false,
        }
    }

    /// Columns `cols` of row `y`, if rows can be lent.
    ///
    /// # Panics
    /// If they are not inside the image.
    #[inline(always)]
    pub fn lend<A: Accumulator>(&self, y: usize, cols: Range<usize>) -> Option<&'a [A]> {
        assert!(y < self.shape[0] && cols.end <= self.shape[1], "a row of the image");
        // SAFETY: the positions are inside the array (just asserted), which is readable for 'a
        // (`from_raw`); `lends` found dtype, unit step and alignment to be those of a slice of A.
        self.lends::<A>()
            .then(|| unsafe { std::slice::from_raw_parts(self.at(y, cols.start).cast(), cols.len()) })
    }

    /// Brings columns `cols` of row `y` near, if samples are neighbours: a hint, which any columns may have.
    #[inline(always)]
    pub fn fetch(&self, y: usize, cols: Range<usize>) {
        if self.strides[1] == self.dtype.size() as isize {
            fetch_at(self.at(y, cols.start), cols.len() * self.dtype.size());
        }
    }

    /// Widens the samples `start, start + step, ...` of row `y` into `into`.
    ///
    /// # Panics
    /// If a sample is not inside the image.
    #[inline(always)]
    pub fn read<A: Rows>(&self, y: usize, start: usize, step: usize, into: &mut [A]) {
        let Some(last) = into.len().checked_sub(1) else { return };
        assert!(
            y < self.shape[0] && start < self.shape[1] && last <= (self.shape[1] - 1 - start) / step.max(1),
            "samples of the image"
        );
        // SAFETY: first and last sample are inside the array, which is readable for 'a.
        unsafe { A::read(self.dtype, self.at(y, start), self.strides[1] * step as isize, into) }
    }
}

/// An array that is written.
#[derive(Debug)]
pub struct Dst<'a> {
    data: *mut u8,
    layout: Layout,
    lifetime: PhantomData<&'a mut [u8]>,
}

// SAFETY: an exclusive borrow of plain numbers.
unsafe impl Send for Dst<'_> {}
// SAFETY: a shared `Dst` can only be asked for its shape and, by `Tiles`, for disjoint tiles.
unsafe impl Sync for Dst<'_> {}

impl<'a> Dst<'a> {
    /// Borrows an array by its address, shape and strides in bytes.
    ///
    /// # Safety
    /// Every position of `shape` is writable memory for `'a`, and no one else touches it meanwhile.
    /// It may be uninitialised.
    ///
    /// # Errors
    /// [`Error::Value`] for fewer than two axes, a size beyond memory, or positions that share
    /// memory with each other.
    pub unsafe fn from_raw(
        data: *mut u8,
        dtype: DType,
        shape: impl Into<Dims<usize>>,
        strides: impl Into<Dims<isize>>,
    ) -> Result<Self, Error> {
        let layout = Layout::new(dtype, shape.into(), strides.into())?;
        if layout.overlaps_itself() {
            return Err(Error::Value(format!(
                "the elements of out= must not share memory with each other. \
                 Received: shape {:?} with strides {:?}.",
                &*layout.shape, &*layout.strides
            )));
        }
        Ok(Self { data, layout, lifetime: PhantomData })
    }

    /// Borrows a C-ordered slice.
    ///
    /// # Panics
    /// If the slice's length is not the shape's size, or the shape has fewer than two axes.
    pub fn from_slice<T: Element>(data: &'a mut [T], shape: &[usize]) -> Self {
        assert_eq!(data.len(), shape.iter().product::<usize>(), "one element a position");
        let layout = Layout::new(T::DTYPE, shape.into(), contiguous(T::DTYPE, shape).into())
            .expect("two axes at least");
        Self { data: data.as_mut_ptr().cast(), layout, lifetime: PhantomData }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.layout.dtype
    }

    /// The shape; the last two axes are the image's.
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }
}

/// A [`Dst`] cut into rectangles, each handed out once, to whichever thread asks next.
#[derive(Debug)]
pub struct Tiles<'d> {
    data: *mut u8,
    layout: &'d Layout,
    size: [usize; 2],
    grid: [usize; 2],
    count: usize,
    queue: Queue,
}

// SAFETY: hands out disjoint rectangles of an exclusively borrowed array, by a queue that gives each number once.
unsafe impl Sync for Tiles<'_> {}

impl<'d> Tiles<'d> {
    /// Cuts every image of `dst` into tiles of at most `size`.
    pub fn new(dst: &'d mut Dst<'_>, size: [usize; 2]) -> Self {
        let (shape, _) = dst.layout.image();
        let size = [size[0].max(1), size[1].max(1)];
        let grid = [shape[0].div_ceil(size[0]), shape[1].div_ceil(size[1])];
        let count = dst.layout.planes() * grid[0] * grid[1];
        Self { data: dst.data, layout: &dst.layout, size, grid, count, queue: Queue::new(count) }
    }

    /// Tiles in all.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The next tile for this thread, in C order within its part.
    pub fn take(&self) -> Option<Tile<'_>> {
        let index = self.queue.take()?;
        let (image, strides) = self.layout.image();
        let (per_plane, in_plane) = (self.grid[0] * self.grid[1], index % (self.grid[0] * self.grid[1]));
        let plane = index / per_plane;
        let range = |axis: usize, i: usize| {
            let start = i * self.size[axis];
            start..(start + self.size[axis]).min(image[axis])
        };
        Some(Tile {
            plane,
            rows: range(0, in_plane / self.grid[1]),
            cols: range(1, in_plane % self.grid[1]),
            data: self.data.wrapping_offset(self.layout.plane_offset(plane)),
            dtype: self.layout.dtype,
            strides,
            lifetime: PhantomData,
        })
    }
}

/// A rectangle of one image of a [`Dst`], which no one else holds.
#[derive(Debug)]
pub struct Tile<'t> {
    /// The image, counted in C order.
    pub plane: usize,
    /// The image's rows that it covers.
    pub rows: Range<usize>,
    /// The image's columns that it covers.
    pub cols: Range<usize>,
    data: *mut u8,
    dtype: DType,
    strides: [isize; 2],
    lifetime: PhantomData<&'t mut [u8]>,
}

impl Tile<'_> {
    /// The dtype of a component.
    pub fn component_dtype(&self) -> DType {
        self.dtype.component()
    }

    fn at(&self, component: usize, y: usize, x: usize) -> *mut u8 {
        let offset = y as isize * self.strides[0]
            + x as isize * self.strides[1]
            + (component * self.dtype.component().size()) as isize;
        self.data.wrapping_offset(offset)
    }

    /// A rectangle of the tile, by the image's rows and columns.
    ///
    /// # Panics
    /// If it is not inside the tile.
    pub fn part(&mut self, rows: Range<usize>, cols: Range<usize>) -> Tile<'_> {
        assert!(rows.start <= rows.end && cols.start <= cols.end, "a rectangle");
        assert!(
            self.rows.start <= rows.start
                && rows.end <= self.rows.end
                && self.cols.start <= cols.start
                && cols.end <= self.cols.end,
            "a part of the tile"
        );
        Tile { rows, cols, ..*self }
    }

    /// Whether rows can be lent as slices of `A`.
    pub fn lends<A: Accumulator>(&self) -> bool {
        A::STORED_AS == Some(self.dtype)
            && self.strides[1] == size_of::<A>() as isize
            && self.strides[0] % align_of::<A>() as isize == 0
            && self.data.addr().is_multiple_of(align_of::<A>())
    }

    fn check(&self, y: usize, cols: &Range<usize>) {
        assert!(
            self.rows.contains(&y) && self.cols.start <= cols.start && cols.end <= self.cols.end,
            "a row of the tile"
        );
    }

    /// Columns `cols` of the rows `first, first + step, ...`, if rows can be lent.
    ///
    /// # Panics
    /// If they are not inside the tile or `step` is 0.
    #[inline(always)]
    pub fn lend_rows<A: Accumulator, const R: usize>(
        &mut self,
        first: usize,
        step: usize,
        cols: Range<usize>,
    ) -> Option<[&mut [A]; R]> {
        self.check(first, &cols);
        self.check(first + (R - 1) * step, &cols);
        assert!(step > 0, "distinct rows");
        // SAFETY: the positions are inside the tile (just asserted), which is exclusively ours and
        // whose elements don't share memory (`Dst::from_raw`); the rows are distinct; `lends` found
        // dtype, unit step and alignment to be those of slices of A.
        self.lends::<A>().then(|| {
            // SAFETY: as above.
            std::array::from_fn(|r| unsafe {
                std::slice::from_raw_parts_mut(self.at(0, first + r * step, cols.start).cast(), cols.len())
            })
        })
    }

    /// As [`Plane::fetch`].
    #[inline(always)]
    pub fn fetch(&self, y: usize, cols: Range<usize>) {
        if self.strides[1] == self.dtype.size() as isize {
            fetch_at(self.at(0, y, cols.start), cols.len() * self.dtype.size());
        }
    }

    /// Stores `from` at row `y` from column `x` on.
    ///
    /// # Panics
    /// If that is not inside the tile.
    #[inline(always)]
    pub fn write<A: Rows>(&mut self, component: usize, y: usize, x: usize, from: &mut [A], finish: Finish) {
        if from.is_empty() {
            return;
        }
        self.check(y, &(x..x + from.len()));
        // SAFETY: first and last element are inside the tile, which is exclusively ours.
        unsafe {
            A::write(self.component_dtype(), self.at(component, y, x), self.strides[1], from, finish);
        }
    }
}

/// An accumulator whose rows can be widened from, and narrowed to, every dtype.
pub trait Rows: Accumulator {
    /// Widens `into.len()` elements that stand `step` bytes apart.
    ///
    /// # Safety
    /// Each is readable.
    unsafe fn read(dtype: DType, from: *const u8, step: isize, into: &mut [Self]);
    /// Makes of every element what an array of `dtype` would have kept of it.
    fn store(dtype: DType, row: &mut [Self], finish: Finish);
    /// Rounds (in place) and narrows to elements that stand `step` bytes apart.
    ///
    /// # Safety
    /// Each is writable.
    unsafe fn write(dtype: DType, to: *mut u8, step: isize, from: &mut [Self], finish: Finish);
}

macro_rules! rows {
    ($($a:ty),*) => {$(
        impl Rows for $a {
            #[inline(always)]
            unsafe fn read(dtype: DType, from: *const u8, step: isize, into: &mut [Self]) {
                dispatch_dtype!(dtype, |T| {
                    // SAFETY: the caller's promise.
                    unsafe { read_row::<T, Self>(from, step, into) }
                });
            }
            #[inline(always)]
            fn store(dtype: DType, row: &mut [Self], finish: Finish) {
                round(dtype, row, finish.rounding);
                dispatch_dtype!(dtype, |T| {
                    match finish.overflow {
                        Overflow::Saturate => row.iter_mut().for_each(|a| *a = T::saturate(*a).widen()),
                        Overflow::Wrap => row.iter_mut().for_each(|a| *a = T::wrap(*a).widen()),
                    }
                });
            }
            #[inline(always)]
            unsafe fn write(dtype: DType, to: *mut u8, step: isize, from: &mut [Self], finish: Finish) {
                let once = Finish { rounding: Rounding::HalfEven, overflow: Overflow::Saturate };
                if !(finish == once && dispatch_dtype!(dtype, |T| { <T as Convert<Self>>::ROUNDS })) {
                    round(dtype, from, finish.rounding);
                }
                dispatch_dtype!(dtype, |T| {
                    // SAFETY: the caller's promise.
                    unsafe {
                        match finish.overflow {
                            Overflow::Saturate => write_row::<T, Self>(to, step, from, T::saturate),
                            Overflow::Wrap => write_row::<T, Self>(to, step, from, T::wrap),
                        }
                    }
                });
            }
        }
    )*};
}
rows!(f32, f64, i16, i32, i64, i128);

/// Rounds what is going to be an integer.
#[inline(always)]
fn round<A: Accumulator>(dtype: DType, row: &mut [A], rounding: Rounding) {
    if matches!(dtype.kind(), Kind::Integer(..)) {
        match rounding {
            Rounding::HalfEven => row.iter_mut().for_each(|a| *a = a.round_half_even()),
            Rounding::Truncate => row.iter_mut().for_each(|a| *a = a.truncate()),
        }
    }
}

/// # Safety
/// `into.len()` elements, `step` bytes apart, are readable.
#[inline(always)]
unsafe fn read_row<T: Convert<A>, A>(from: *const u8, step: isize, into: &mut [A]) {
    // Two loops of one body: a unit step is what the compiler can vectorise.
    if step == size_of::<T>() as isize {
        for (i, a) in into.iter_mut().enumerate() {
            // SAFETY: the caller's promise; any alignment.
            *a = unsafe { from.cast::<T>().wrapping_add(i).read_unaligned() }.widen();
        }
        return;
    }
    for (i, a) in into.iter_mut().enumerate() {
        // SAFETY: the caller's promise; any alignment.
        *a = unsafe { from.wrapping_offset(i as isize * step).cast::<T>().read_unaligned() }.widen();
    }
}

/// # Safety
/// `from.len()` elements, `step` bytes apart, are writable.
#[inline(always)]
unsafe fn write_row<T: Convert<A>, A: Copy>(to: *mut u8, step: isize, from: &[A], narrow: impl Fn(A) -> T) {
    // As in `read_row`.
    if step == size_of::<T>() as isize {
        for (i, &a) in from.iter().enumerate() {
            // SAFETY: the caller's promise; any alignment.
            unsafe { to.cast::<T>().wrapping_add(i).write_unaligned(narrow(a)) }
        }
        return;
    }
    for (i, &a) in from.iter().enumerate() {
        // SAFETY: the caller's promise; any alignment.
        unsafe { to.wrapping_offset(i as isize * step).cast::<T>().write_unaligned(narrow(a)) }
    }
}
