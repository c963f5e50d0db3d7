//! A result matrix whose disjoint rectangles are written by several tasks at once.

use std::marker::PhantomData;

/// A whole output matrix that several tasks write, each its own rectangle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedRows<'a, T> {
    first: *mut T,
    width: usize,
    rows: usize,
    owner: PhantomData<&'a mut [T]>,
}

// SAFETY: tasks write disjoint rectangles (see `SharedRows::rectangle`), so sharing the pointer is sound.
unsafe impl<T: Send> Sync for SharedRows<'_, T> {}
// SAFETY: as above; the exclusive borrow that `owner` stands for outlives the value.
unsafe impl<T: Send> Send for SharedRows<'_, T> {}

impl<'a, T> SharedRows<'a, T> {
    pub(crate) fn new(values: &'a mut [T], width: usize) -> Self {
        assert!(values.len().is_multiple_of(width), "output is not whole rows");
        Self { first: values.as_mut_ptr(), width, rows: values.len() / width, owner: PhantomData }
    }

    /// Columns `start..start + columns` of rows `first_row..first_row + rows`, for writing.
    ///
    /// # Safety
    /// No other task holds an element of the rectangle.
    #[inline(always)]
    pub(crate) unsafe fn rectangle(
        &self,
        first_row: usize,
        rows: usize,
        start: usize,
        columns: usize,
    ) -> Rectangle<'a, T> {
        assert!(first_row + rows <= self.rows && start + columns <= self.width, "output is too small");
        // SAFETY: the assertion keeps the first element inside the matrix, or just behind it when there is none.
        let first = unsafe { self.first.add((first_row * self.width + start).min(self.rows * self.width)) };
        Rectangle { first, stride: self.width, rows, columns, owner: PhantomData }
    }
}

/// A rectangle of a matrix, held exclusively.
#[derive(Debug)]
pub(crate) struct Rectangle<'a, T> {
    first: *mut T,
    stride: usize,
    rows: usize,
    columns: usize,
    owner: PhantomData<&'a mut [T]>,
}

impl<'a, T> Rectangle<'a, T> {
    /// The rows, one after another.
    #[inline(always)]
    pub(crate) fn into_rows(self) -> impl Iterator<Item = &'a mut [T]> {
        (0..self.rows).map(move |row| {
            // SAFETY: the rectangle lies inside the matrix, is ours alone, and each row is handed out once.
            unsafe { std::slice::from_raw_parts_mut(self.first.add(row * self.stride), self.columns) }
        })
    }

    /// The rows as arrays, if they are `N` wide.
    #[inline(always)]
    pub(crate) fn into_arrays<const N: usize>(self) -> Result<impl Iterator<Item = &'a mut [T; N]>, Self> {
        if self.columns != N {
            return Err(self);
        }
        Ok((0..self.rows).map(move |row| {
            // SAFETY: as for `into_rows`; an array needs no more than its elements' alignment.
            unsafe { &mut *self.first.add(row * self.stride).cast::<[T; N]>() }
        }))
    }
}
