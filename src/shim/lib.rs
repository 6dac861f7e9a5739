//! `libpinshim.so`: preloaded into a stock QEMU, it puts every thread of the VM on the CPUs that the
//! environment names, at the moment the thread comes into being.
//!
//! # A QEMU's life under it
//! 1. The constructor below, or the first hook if that comes earlier, reads the environment once
//!    ([`start`]). Not a target, or no placement: nothing more is ever done. Else the main thread goes on
//!    the emulator's set before QEMU's `main`.
//! 2. `pthread_create`: the creator reads QEMU's name for the thread ([`identity::qemu`]), which gives role and set
//!    ([`identity`]). The thread starts in the trampoline ([`calls::create`]): it says in the register ([`state::slots`])
//!    that it is there, places itself ([`affinity`]), and goes on to its own routine.
//! 3. `seccomp_load`: just before QEMU's sandbox closes, the [`broker`] is started outside it
//!    ([`calls::sandbox`]).
//! 4. `ioctl`: KVM_CREATE_VCPU confirms a vCPU, the first KVM_RUN looks over everything once ([`calls::ioctl`],
//!    [`affinity::scan`]), since libvirt has moved threads until then and the kernel makes one of its own.
//! 5. `io_uring_submit`: the kernel's io_uring workers go where QEMU's own workers go ([`calls::io_uring`]).
//! 6. All of it can be read from outside on the status page ([`state::page`]).
//!
//! # What must never happen in here
//! A panic, an abort, an exit (but for a bad environment at the start), a wait without an end, noise on stderr, a
//! changed errno, a lock or an allocation between a thread's first instruction and its own routine or on the way
//! of KVM_RUN. [`hooks`] has the exported functions; system calls are made in [`sys`].

mod glibc;
mod hooks;

/// Runs when ld.so has loaded the library, before QEMU's `main`.
#[ctor::ctor(unsafe)]
fn constructor() {
    if inside::shim_or_start().is_some() {
        hooks::resolve();
    }
}
