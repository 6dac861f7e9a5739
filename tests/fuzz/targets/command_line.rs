//! QEMU's arguments.

use crate::cost::Limit;
use crate::vm::command_line;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

const LIMIT: Limit = Limit { memory: (4 << 10, 128), allocations: (100, 16) };

/// A name that is written as QEMU reads it is read as that name.
pub(crate) fn vm_name(data: &[u8]) {
    let plain = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let name: String = data.iter().copied().filter(plain).map(char::from).collect();
    let escaped = name.replace(',', ",,");
    for value in [format!("guest={escaped}"), format!("debug-threads=on,guest={escaped},process=x")] {
        let arguments = ["qemu", "-name", "other", "-name", &value].map(OsString::from);
        let read = LIMIT.holds(value.len(), || command_line::vm_name(&arguments));
        assert_eq!(read.unwrap_or_default(), name);
    }
}

/// Any arguments, separated by NUL as in /proc/PID/cmdline.
pub(crate) fn run(data: &[u8]) {
    let arguments: Vec<OsString> =
        data.split(|byte| *byte == 0).map(|argument| OsString::from_vec(argument.to_vec())).collect();
    let name = LIMIT.holds(data.len(), || command_line::vm_name(&arguments));
    assert!(name.is_none_or(|name| !name.is_empty() && name.chars().count() <= data.len()));
    let ids = LIMIT.holds(data.len(), || command_line::iothreads(&arguments));
    assert!(ids.iter().map(String::len).sum::<usize>() <= data.len());
}
