//! What the library asks as threads are created does not allocate: the heap may be locked then.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::{self, Write};

use pinning::{CpuList, CpuSet, Host, KernelThread, Policy, Role, VcpuIndex, acts_in, same_cpus};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every request goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the same contract towards us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the memory came from the system's allocator, by `alloc` above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A text on the stack; writing more than it has room for is an error.
struct Line([u8; 64], usize);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place = self.0.get_mut(self.1..self.1 + text.len()).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.1 += text.len();
        Ok(())
    }
}

#[test]
fn nothing_asked_as_threads_are_created_allocates() {
    let host = Host { available: CpuSet::from_words(&[0xff]), start: CpuSet::from_words(&[0xff]) };
    let environment = [
        ("PIN_VCPUS", "0@1,2-5@[2,3],*@4"),
        ("PIN_IOTHREADS", "io1@5,*@6"),
        ("PIN_THREADS", "CPU */T*@[0,7],x*@1"),
        ("PIN_SCHED", "vcpus[3-4]@batch,iothreads[io1]@idle,all@other:5"),
    ];
    let policy = Policy::parse(environment, &host).policy.unwrap();
    let before = ALLOCATIONS.with(Cell::get);
    assert!(before > 0, "the allocator must count");

    let home = policy.emulator();
    let (mut cpus, mut classes) = (0, 0);
    for name in
        ["CPU 3/KVM", "CPU 7/KVM", "ALL CPUs/TCG", "IO io1", "IO io2", "worker", "mig/src/main", "unknown"]
    {
        let role = Role::of_qemu_name(name.as_bytes()).unwrap_or(Role::Emulator);
        let set = policy.rule_for(name.as_bytes()).unwrap_or(policy.cpus_for(role, 1, home));
        classes += usize::from(policy.class_for(role).is_some());
        cpus += policy.set(set).len() + usize::from(policy.list_too_short(role, 1));
    }
    let index = Role::Vcpu(VcpuIndex(9));
    let same = same_cpus(policy.set(policy.cpus_for(index, 0, home)).words(), &[1 << 4, 0]);
    let kernel = KernelThread::from_comm(b"vhost-17").is_some() && acts_in(None, b"qemu-kvm");
    let recovery = policy.cpus_for_kernel_thread(KernelThread::NxRecovery, b"kvm-nx-lpage-re", 0, None);
    cpus += recovery.map_or(0, |recovery| policy.set(recovery).len());
    let mut line = Line([0; 64], 0);
    let printed = write!(line, "{}", CpuList(&[0b1011, 0, 1]));

    let after = ALLOCATIONS.with(Cell::get);
    assert_eq!(after, before);
    assert!(same && kernel && printed.is_ok() && cpus > 0 && classes > 0);
    assert_eq!(line.0.get(..line.1), Some(&b"0-1,3,128"[..]));
}
