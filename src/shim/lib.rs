//! `libpinshim.so`, preloaded into a stock QEMU: it puts every thread of the VM on the CPUs that the
//! environment names, as the thread is created.
//!
//! Here are only the functions that the library exports (`hooks`), the constructor below, and what lets the
//! library load on an old glibc (`glibc`). What they do is in the crate `inside`, whose documentation tells
//! the life of a QEMU under the library, and what must never happen in one.

mod glibc;
mod hooks;

/// Runs when ld.so has loaded the library, before QEMU's `main`.
#[ctor::ctor(unsafe)]
fn constructor() {
    hooks::resolve_early();
    if inside::shim_or_start().is_some() {
        hooks::resolve();
    }
}
