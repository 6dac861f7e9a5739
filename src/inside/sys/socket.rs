//! A pair of sockets whose messages carry the sender's credentials.

use crate::sys::errno::Errno;
use libc::c_int;

/// Two connected sockets that keep messages apart (SOCK_SEQPACKET), closed by exec.
pub(crate) fn socket_pair() -> Result<(c_int, c_int), Errno> {
    let mut pair = [-1 as c_int; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    call!(libc::SYS_socketpair, libc::AF_UNIX, kind, 0, pair.as_mut_ptr())?;
    let [one, other] = pair;
    Ok((one, other))
}

/// Has the kernel add the sender's pid, uid and gid to each message (unix(7), SO_PASSCRED).
pub(crate) fn receive_credentials(socket: c_int) -> Result<(), Errno> {
    let yes: c_int = 1;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_PASSCRED);
    call!(libc::SYS_setsockopt, socket, level, option, &raw const yes, size_of::<c_int>()).map(drop)
}

/// Sends a message without waiting and without SIGPIPE.
pub(crate) fn send(socket: c_int, bytes: &[u8]) -> Result<(), Errno> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    call!(libc::SYS_sendto, socket, bytes.as_ptr(), bytes.len(), flags, 0, 0).map(drop)
}

/// Who sent a message, as the kernel says.
pub(crate) struct Credentials {
    pub(crate) pid: i32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// What was received.
pub(crate) enum Received<const N: usize> {
    /// A message of exactly `N` bytes.
    Message { bytes: [u8; N], sender: Credentials },
    /// A message of another length, or without credentials.
    Nonsense,
    /// Every process that had the other end has closed it.
    End,
}

/// Receives one message without waiting. Descriptors that come with it are closed by the kernel: there is no
/// room for them in the control data.
pub(crate) fn receive<const N: usize>(socket: c_int) -> Result<Received<N>, Errno> {
    /// A cmsghdr and its ucred, as cmsg(3) lays them out.
    #[repr(C)]
    struct Control {
        header: libc::cmsghdr,
        credentials: libc::ucred,
        padding: u32,
    }
    // SAFETY: integers all of them; zero is a value.
    let mut control: Control = unsafe { std::mem::zeroed() };
    let mut bytes = [0u8; N];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: N };
    // SAFETY: integers and pointers; zero is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = size_of::<Control>() as _;
    let got = call!(libc::SYS_recvmsg, socket, &raw mut header, libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC)?;
    let has_sender = header.msg_controllen as usize >= size_of::<libc::cmsghdr>() + size_of::<libc::ucred>()
        && control.header.cmsg_level == libc::SOL_SOCKET
        && control.header.cmsg_type == libc::SCM_CREDENTIALS;
    if got == 0 && !has_sender {
        return Ok(Received::End);
    }
    if got as usize != N || !has_sender || header.msg_flags & libc::MSG_TRUNC != 0 {
        return Ok(Received::Nonsense);
    }
    let libc::ucred { pid, uid, gid } = control.credentials;
    Ok(Received::Message { bytes, sender: Credentials { pid, uid, gid } })
}
