//! What a call costs in memory, counted by the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every request goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get().wrapping_add(1)));
        let live = LIVE.with(Cell::get).wrapping_add(layout.size());
        LIVE.with(|bytes| bytes.set(live));
        PEAK.with(|peak| peak.set(peak.get().max(live)));
        // SAFETY: the caller keeps the same contract towards us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.with(|bytes| bytes.set(bytes.get().wrapping_sub(layout.size())));
        // SAFETY: the memory came from the system's allocator, by `alloc` above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What a call may cost, for a constant part and for each byte of its input.
pub(crate) struct Limit {
    /// Bytes allocated at one time.
    pub(crate) memory: (usize, usize),
    /// Calls of the allocator: each loop over the input that is more than a few steps makes some.
    pub(crate) allocations: (usize, usize),
}

impl Limit {
    /// Does `work`, which reads `input` bytes, and panics if it costs more than this.
    pub(crate) fn holds<R>(&self, input: usize, work: impl FnOnce() -> R) -> R {
        // Memory of the caller's that the work frees must not make up for what it allocates.
        LIVE.with(|live| live.set(1 << 40));
        PEAK.with(|peak| peak.set(1 << 40));
        let before = ALLOCATIONS.with(Cell::get);
        let result = work();
        let peak = PEAK.with(Cell::get) - (1 << 40);
        let allocations = ALLOCATIONS.with(Cell::get).wrapping_sub(before);
        let (constant, each) = self.memory;
        assert!(peak <= constant + each * input, "{peak} bytes of memory for {input} bytes of input");
        let (constant, each) = self.allocations;
        assert!(
            allocations <= constant + each * input,
            "{allocations} allocations for {input} bytes of input"
        );
        result
    }
}
