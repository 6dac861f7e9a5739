//! Open files that one process gives to another: over a socket (unix(7), SCM_RIGHTS), or as its parent.

use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// The kernel takes no more files in one message (SCM_MAX_FD in its include/net/scm.h is 253).
const FILES_A_MESSAGE: usize = 250;

/// Nobody passes more: as many as a host has CPUs.
const FILES: usize = pinning::CPU_LIMIT as usize;

/// The part of a message that has the files (cmsg(3)): their numbers follow the header at once, as both the header's length
/// and the numbers' alignment are multiples of four.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    numbers: [RawFd; FILES_A_MESSAGE],
}

impl Control {
    fn new() -> Self {
        // SAFETY: both have only integers, for which zero is a value; libc lets nobody name all fields of the header.
        unsafe { std::mem::zeroed() }
    }

    /// How long it is with so many files.
    fn length(files: usize) -> usize {
        offset_of!(Self, numbers) + files * size_of::<RawFd>()
    }
}

/// Who is at the other end of a socket, as it was when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) pid: i32,
    pub(crate) user: u32,
}

/// Who is at the other end (unix(7), SO_PEERCRED).
pub(crate) fn peer(socket: &UnixStream) -> io::Result<Peer> {
    let mut about = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of_val(&about) as libc::socklen_t;
    // SAFETY: a struct of the length that is named, which lives across the call; `socket` keeps the descriptor open.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut about).cast(),
            &raw mut length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(Peer { pid: about.pid, user: about.uid }) }
}

/// A file that this process's parent has left open for it, by its number.
pub(crate) fn inherited(number: RawFd) -> io::Result<File> {
    // SAFETY: takes no pointer, and changes nothing about the descriptor, if it is one.
    let fd = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was made just now and that nobody else owns.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Passes files to the other end. Each message has one byte: how many more follow.
///
/// # Errors
/// The other end is gone, or takes nothing.
pub(crate) fn pass(socket: &UnixStream, files: &[File]) -> io::Result<()> {
    let mut left = files.chunks(FILES_A_MESSAGE).count();
    for files in files.chunks(FILES_A_MESSAGE) {
        left -= 1;
        let follow = u8::try_from(left).map_err(io::Error::other)?;
        send(socket, follow, &files.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// The files that the other end passes, each closed at exec.
///
/// # Errors
/// It passes none, or passes something else.
pub(crate) fn receive(socket: &UnixStream) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    loop {
        let (follow, more) = receive_message(socket)?;
        if more.is_empty() || files.len() + more.len() > FILES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        files.extend(more);
        if follow == 0 {
            return Ok(files);
        }
    }
}

fn send(socket: &UnixStream, byte: u8, files: &[RawFd]) -> io::Result<()> {
    let mut control = Control::new();
    control.header.cmsg_level = libc::SOL_SOCKET;
    control.header.cmsg_type = libc::SCM_RIGHTS;
    control.header.cmsg_len = Control::length(files.len()) as _;
    control.numbers.iter_mut().zip(files).for_each(|(number, file)| *number = *file);
    let mut bytes = [byte];
    let mut data = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: 1 };
    let message = message(&mut data, &mut control, files.len());
    // SAFETY: all that the message points to lives across the call, with the lengths that it names.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    if sent == 1 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn receive_message(socket: &UnixStream) -> io::Result<(u8, Vec<File>)> {
    let mut control = Control::new();
    let mut bytes = [0u8];
    let mut data = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: 1 };
    let mut message = message(&mut data, &mut control, FILES_A_MESSAGE);
    // SAFETY: all that the message points to lives across the call, with the lengths that it names.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    match received {
        1 => {}
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        _ => return Err(io::Error::last_os_error()),
    }
    let has_files = message.msg_controllen >= offset_of!(Control, numbers)
        && control.header.cmsg_level == libc::SOL_SOCKET
        && control.header.cmsg_type == libc::SCM_RIGHTS;
    let length = if has_files { control.header.cmsg_len } else { 0 };
    let count = length.saturating_sub(offset_of!(Control, numbers)) / size_of::<RawFd>();
    // SAFETY: the kernel has made each of these descriptors for this process just now, and nobody else owns it.
    let own = |&number: &RawFd| File::from(unsafe { OwnedFd::from_raw_fd(number) });
    let [byte] = bytes;
    Ok((byte, control.numbers.iter().take(count).map(own).collect()))
}

/// A message with room for so many files.
fn message(data: &mut libc::iovec, control: &mut Control, files: usize) -> libc::msghdr {
    // SAFETY: the struct has only integers and pointers, for which zero is a value; libc lets nobody name all its fields.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = data;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut *control).cast();
    message.msg_controllen = Control::length(files) as _;
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn files_arrive_however_many_there_are() {
        // Here are both ends, and a process may have no more than 1024 descriptors.
        for count in [1, 2, 250, 251, 400] {
            let mut all: Vec<File> = (0..count).map(|_| tempfile::tempfile().unwrap()).collect();
            write!(all[count - 1], "{count}").unwrap();
            let (here, there) = UnixStream::pair().unwrap();
            let receiver = std::thread::spawn(move || receive(&there).unwrap());
            pass(&here, &all).unwrap();
            let mut received = receiver.join().unwrap();
            let number = |file: &File| file.metadata().unwrap().ino();
            assert!(all.iter().map(number).eq(received.iter().map(number)), "{count}");
            let mut text = String::new();
            received[count - 1].rewind().unwrap();
            received[count - 1].read_to_string(&mut text).unwrap();
            assert_eq!(text, count.to_string());
        }
    }

    #[test]
    fn who_passes_nothing_is_noticed() {
        let (here, there) = UnixStream::pair().unwrap();
        drop(here);
        assert_eq!(receive(&there).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&[0]).unwrap();
        assert_eq!(receive(&there).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn the_other_end_is_known() {
        let (here, _there) = UnixStream::pair().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(peer(&here).unwrap().pid, own);
    }
}
