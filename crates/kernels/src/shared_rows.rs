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

// SAFETY: tasks write disjoint rectangles (see `SharedRows::part`), so sharing the pointer is sound.
unsafe impl<T: Send> Sync for SharedRows<'_, T> {}
// SAFETY: as above; the exclusive borrow that `owner` stands for outlives the value.
unsafe impl<T: Send> Send for SharedRows<'_, T> {}

impl<'a, T> SharedRows<'a, T> {
    pub(crate) fn new(values: &'a mut [T], width: usize) -> Self {
        assert!(values.len().is_multiple_of(width), "output is not whole rows");
        Self { first: values.as_mut_ptr(), width, rows: values.len() / width, owner: PhantomData }
    }

    /// `count` columns of row `row`, from column `start`.
    ///
    /// # Safety
    /// No other task holds the same row and columns.
    #[inline(always)]
    pub(crate) unsafe fn part(&self, row: usize, start: usize, count: usize) -> &'a mut [T] {
        assert!(row < self.rows && start + count <= self.width, "output is too small");
        // SAFETY: the range lies inside the borrowed matrix, and the caller promises that it is not shared.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(row * self.width + start), count) }
    }
}
