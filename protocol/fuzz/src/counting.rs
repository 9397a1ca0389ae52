//! An allocator that counts, per thread, the bytes that are alive and the most there were. Used by the fuzz targets and
//! by `protocol/tests/hostile/`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counted.
#[derive(Debug)]
pub(crate) struct Counting;

// SAFETY: every call is handed to the system's allocator as it came.
#[expect(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        born(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        died(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new are there at once, while the bytes move.
        born(size);
        died(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn born(bytes: usize) {
    let alive = ALIVE.get().saturating_add(bytes);
    ALIVE.set(alive);
    PEAK.set(PEAK.get().max(alive));
}

fn died(bytes: usize) {
    // Saturating, for what another thread allocated may die here.
    ALIVE.set(ALIVE.get().saturating_sub(bytes));
}

/// What `work` yields, and the most bytes that were alive meanwhile beyond those before. Zero without `Counting`.
pub(crate) fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALIVE.get();
    PEAK.set(before);
    let done = work();
    (done, PEAK.get().saturating_sub(before))
}
