//! Numbers that are only moved: any of their size will do to hold them.

use super::BlockRows;
use crate::alloc::Plain;
use crate::dtype::DType;
use crate::view::{Dst, Layout, Src, contiguous};
use std::marker::PhantomData;

/// The layout of `numbers` of type `T` as a C-ordered array of a dtype of their size.
fn layout<T: Plain>(numbers: &[T], dtype: DType, shape: &[usize]) -> Layout {
    assert!(
        size_of::<T>() == dtype.size() && numbers.len() == shape.iter().product::<usize>(),
        "a number of the dtype's size a position"
    );
    Layout::new(dtype, shape.into(), contiguous(dtype, shape).into()).expect("two axes at least")
}

impl Layout {
    /// Whether the elements are neighbours in C order, the first of them at `data`, and aligned.
    fn is_run(&self, data: *const u8) -> bool {
        let mut step = self.dtype.size();
        let neighbours = self.shape.iter().zip(&*self.strides).rev().all(|(&n, &stride)| {
            let follows = n <= 1 || stride == step as isize;
            step *= n.max(1);
            follows
        });
        neighbours && data.addr().is_multiple_of(self.dtype.size())
    }
}

impl<'a> Src<'a> {
    /// Borrows numbers as a C-ordered array of another dtype of their size.
    ///
    /// # Panics
    /// If there is not one a position, or the sizes differ.
    pub fn of_bits<T: Plain>(numbers: &'a [T], dtype: DType, shape: &[usize]) -> Self {
        Self { data: numbers.as_ptr().cast(), layout: layout(numbers, dtype, shape), lifetime: PhantomData }
    }

    /// All elements, if they are one run of numbers of `T`'s size.
    pub fn lend_bits<T: Plain>(&self) -> Option<&'a [T]> {
        let Layout { dtype, shape, .. } = &self.layout;
        let fits = dtype.size() == size_of::<T>() && self.layout.is_run(self.data);
        // SAFETY: every position is readable for 'a (`from_raw`); they are neighbours, aligned to their size and so
        // to T's alignment, and any bits are a T.
        fits.then(|| unsafe { std::slice::from_raw_parts(self.data.cast(), shape.iter().product()) })
    }

    /// Whether its elements are one run.
    pub fn is_run(&self) -> bool {
        self.layout.is_run(self.data)
    }
}

impl<'a> Dst<'a> {
    /// Borrows numbers as a C-ordered array of another dtype of their size.
    ///
    /// # Panics
    /// If there is not one a position, or the sizes differ.
    pub fn of_bits<T: Plain>(numbers: &'a mut [T], dtype: DType, shape: &[usize]) -> Self {
        let layout = layout(numbers, dtype, shape);
        Self { data: numbers.as_mut_ptr().cast(), layout, lifetime: PhantomData }
    }

    /// Whether its elements are one run.
    pub fn is_run(&self) -> bool {
        self.layout.is_run(self.data)
    }
}

impl BlockRows<'_> {
    /// All rows, if they are a run of numbers of `T`'s size.
    pub fn lend_bits<T: Plain>(&mut self) -> Option<&mut [T]> {
        self.lend_if(self.dtype.size() == size_of::<T>(), &self.rows.clone())
    }
}
