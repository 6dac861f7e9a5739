//! The system call filters that the program loads (seccomp(2)), and which of the library's own system calls they
//! leave.
//!
//! A program's filter knows the program's system calls. Many kill a process for any other one, and the library is a guest
//! in it: it must not make a call of its own then. So the filter is read as it is loaded: `program` runs it by hand for each
//! call in the list of `calls`, and `permitted` keeps what came of it. Every system call of the library asks that
//! first (`sys::errno`, `call!`), and is answered as refused where the filter would not let it pass.

#[forbid(unsafe_code)]
pub(crate) mod calls;
#[forbid(unsafe_code)]
pub(crate) mod permitted;
#[forbid(unsafe_code)]
pub(crate) mod program;
