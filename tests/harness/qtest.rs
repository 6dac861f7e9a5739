//! QEMU's qtest socket: writes to the machine's I/O ports in place of the guest.
//!
//! A vCPU is unplugged only once the guest's ACPI agrees, which a boot sector does not have. The agreement is a
//! write to an I/O port, and qtest can write to ports under any accelerator.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The CPU hotplug ports of QEMU's `pc` machine (docs/specs/acpi_cpu_hotplug, hw/acpi/cpu.c).
const CPU_HOTPLUG: u16 = 0xaf00;
const CPU_SELECTOR: u16 = CPU_HOTPLUG;
const CPU_FLAGS: u16 = CPU_HOTPLUG + 4;
const CPU_EJECT: u32 = 1 << 3;

/// A connection to a qtest socket.
#[derive(Debug)]
pub struct Qtest(BufReader<UnixStream>);

impl Qtest {
    /// Connects to the socket.
    pub fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("connect to the qtest socket");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set a time limit");
        Self(BufReader::new(stream))
    }

    /// Switches the ports of CPU hotplug to the interface that knows of unplugging, as a guest of today
    /// does when it boots.
    pub fn begin_cpu_hotplug(&mut self) {
        self.command(&format!("outl {CPU_SELECTOR:#x} 0"));
    }

    /// Lets a vCPU go that `device_del` was asked for, as the guest's ACPI would.
    pub fn eject_vcpu(&mut self, index: u32) {
        self.command(&format!("outl {CPU_SELECTOR:#x} {index}"));
        self.command(&format!("outb {CPU_FLAGS:#x} {CPU_EJECT:#x}"));
    }

    fn command(&mut self, line: &str) {
        writeln!(self.0.get_mut(), "{line}").expect("write to the qtest socket");
        let mut answer = String::new();
        self.0.read_line(&mut answer).expect("an answer from qtest");
        assert!(answer.starts_with("OK"), "{line}: {answer}");
    }
}
