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

/// Whether the program's filters let the calling thread send, and see that the other end is closed.
pub(crate) fn may_send() -> bool {
    may_call!(libc::SYS_sendto, libc::SYS_ppoll)
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
    header.msg_controllen = size_of::<Control>();
    let got = call!(libc::SYS_recvmsg, socket, &raw mut header, libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC)?;
    let has_sender = header.msg_controllen >= size_of::<libc::cmsghdr>() + size_of::<libc::ucred>()
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

#[cfg(test)]
mod tests {
    use super::{Received, receive, receive_credentials, send, socket_pair};
    use crate::sys::errno::Errno;
    use crate::sys::{file, thread};
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    const BYTES: usize = 20;

    /// Two ends; the second receives credentials.
    struct Pair(i32, i32);

    impl Pair {
        fn new() -> Self {
            let (one, other) = socket_pair().unwrap();
            receive_credentials(other).unwrap();
            Self(one, other)
        }

        fn receive(&self) -> Result<Received<BYTES>, Errno> {
            receive(self.1)
        }
    }

    impl Drop for Pair {
        fn drop(&mut self) {
            file::close(self.0);
            file::close(self.1);
        }
    }

    #[test]
    fn a_message_comes_with_the_credentials_of_its_sender() {
        let pair = Pair::new();
        for byte in 0..3 {
            send(pair.0, &[byte; BYTES]).unwrap();
        }
        for byte in 0..3 {
            let Ok(Received::Message { bytes, sender }) = pair.receive() else { panic!("no message") };
            assert_eq!(bytes, [byte; BYTES]);
            assert_eq!(sender.pid, thread::getpid());
            // SAFETY: no preconditions.
            assert_eq!(sender.uid, unsafe { libc::getuid() });
            // SAFETY: no preconditions.
            assert_eq!(sender.gid, unsafe { libc::getgid() });
        }
        assert!(matches!(pair.receive(), Err(Errno(libc::EAGAIN))), "it does not wait");
    }

    #[test]
    fn a_message_of_another_length_is_nonsense() {
        let pair = Pair::new();
        for length in (0..=3 * BYTES).filter(|length| *length != BYTES) {
            send(pair.0, &vec![1; length]).unwrap();
            assert!(matches!(pair.receive(), Ok(Received::Nonsense)), "{length}");
        }
        // Each is gone as a whole.
        send(pair.0, &[1; BYTES]).unwrap();
        assert!(matches!(pair.receive(), Ok(Received::Message { .. })));
    }

    #[test]
    fn a_message_without_credentials_is_nonsense() {
        let (one, other) = socket_pair().unwrap();
        send(one, &[1; BYTES]).unwrap();
        assert!(matches!(receive::<BYTES>(other), Ok(Received::Nonsense)));
        file::close(one);
        file::close(other);
    }

    #[test]
    fn what_was_sent_is_received_before_the_end() {
        let pair = Pair::new();
        send(pair.0, &[1; BYTES]).unwrap();
        send(pair.0, &[]).unwrap();
        let pair = (pair.0, std::mem::ManuallyDrop::new(pair));
        file::close(pair.0);
        assert!(matches!(pair.1.receive(), Ok(Received::Message { .. })));
        assert!(matches!(pair.1.receive(), Ok(Received::Nonsense)), "an empty message is not the end");
        for _ in 0..2 {
            assert!(matches!(pair.1.receive(), Ok(Received::End)));
        }
        assert_eq!(send(pair.1.1, &[1]), Err(Errno(libc::EPIPE)));
        file::close(pair.1.1);
    }

    #[test]
    fn a_full_queue_is_an_error_at_once() {
        let pair = Pair::new();
        let error = (0..100_000).find_map(|_| send(pair.0, &[1; BYTES]).err());
        assert_eq!(error, Some(Errno(libc::EAGAIN)));
    }

    #[test]
    fn descriptors_that_come_with_a_message_are_closed() {
        let pair = Pair::new();
        let (mut reader, writer) = UnixStream::pair().unwrap();
        send_with_descriptors(pair.0, &[1; BYTES], [writer.as_raw_fd(); 4]);
        drop(writer);
        // Whether such a message counts does not matter; that the broker holds nothing of QEMU's does.
        let received = pair.receive().unwrap();
        assert!(matches!(received, Received::Message { .. } | Received::Nonsense));
        let mut rest = Vec::new();
        assert_eq!(reader.read_to_end(&mut rest).unwrap(), 0, "nobody has the other end");
    }

    /// unix(7), SCM_RIGHTS.
    fn send_with_descriptors(socket: i32, bytes: &[u8], descriptors: [i32; 4]) {
        #[repr(C)]
        struct Control {
            header: libc::cmsghdr,
            descriptors: [i32; 4],
        }
        // SAFETY: integers all of them; zero is a value.
        let mut control: Control = unsafe { std::mem::zeroed() };
        control.header.cmsg_len = size_of::<Control>() as _;
        control.header.cmsg_level = libc::SOL_SOCKET;
        control.header.cmsg_type = libc::SCM_RIGHTS;
        control.descriptors = descriptors;
        let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // SAFETY: integers and pointers; zero is a value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = (&raw mut control).cast();
        header.msg_controllen = size_of::<Control>();
        // SAFETY: everything that the header points to is live.
        assert_eq!(unsafe { libc::sendmsg(socket, &raw const header, 0) }, bytes.len() as isize);
    }
}
