//! `pinshim libvirt-hook`: what libvirt calls as a domain comes and goes (libvirt's docs/hooks).
//!
//! Before QEMU starts it carries the pinning from the domain's XML to the wrapper, and refuses one that is
//! bad; once QEMU runs it puts threads back that libvirt has moved, and logs one line.
//!
//! It must never call libvirt, which waits for it; never write to stdout, which libvirt takes for a changed
//! domain at a migration; never take more than a second; and never fail but for a domain whose own pinning
//! is bad, before it starts: a failure later on kills the running guest.

use crate::arguments::LibvirtHook;
use crate::libvirt::domain_xml::Domain;
use crate::libvirt::syslog::Log;
use crate::libvirt::{domain_file, domain_log, policy, verify};
use crate::output::exit_status::{REFUSED, SUCCESS};
use crate::output::failure::Done;
use crate::output::text::harmless;
use crate::sys::kernel::Kernel;
use pinning::OnError;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// No domain's XML is larger.
const XML_BYTES: u64 = 16 << 20;

/// libvirt waits for a hook, and everybody else for libvirt.
const PATIENCE: Duration = Duration::from_millis(900);

/// Does what is to be done at this moment of a domain's life.
pub(crate) fn libvirt_hook(arguments: &LibvirtHook, kernel: &dyn Kernel) -> Done {
    let log = Log::new(&arguments.syslog);
    give_up_in_time(log.clone());
    let [domain, operation, suboperation, ..] = arguments.event.as_slice() else {
        log.warning("the hook was called without a domain, an operation and a sub-operation");
        return Ok(SUCCESS);
    };
    let call = Call { arguments, kernel, log, domain };
    let moment = (operation.as_bytes(), suboperation.as_bytes());
    let code = match moment {
        (b"prepare", b"begin") => call.prepare(),
        (b"started" | b"reconnect", b"begin") => {
            call.verify(operation == "reconnect");
            SUCCESS
        }
        (b"release", b"end") => {
            call.forget();
            SUCCESS
        }
        _ => SUCCESS,
    };
    Ok(code)
}

/// Ends the process, as a success, when its time is over.
fn give_up_in_time(log: Log) {
    std::thread::spawn(move || {
        std::thread::sleep(PATIENCE);
        log.warning("the hook was not done within a second and has given up");
        std::process::exit(0);
    });
}

/// One call of the hook.
struct Call<'a> {
    arguments: &'a LibvirtHook,
    kernel: &'a dyn Kernel,
    log: Log,
    domain: &'a OsStr,
}

impl Call<'_> {
    /// The domain's name for a sentence.
    fn name(&self) -> String {
        harmless(self.domain.as_bytes())
    }

    fn warning(&self, what: impl std::fmt::Display) {
        self.log.warning(&format!("domain {}: {what}", self.name()));
    }

    /// The XML that libvirt writes to stdin.
    fn read(&self) -> Option<Domain> {
        let mut xml = String::new();
        let read = io::stdin().lock().take(XML_BYTES).read_to_string(&mut xml);
        let domain = match read {
            Ok(_) => Domain::read(&xml).map_err(|error| error.to_string()),
            Err(error) => Err(format!("libvirt's XML of the domain cannot be read: {error}")),
        };
        domain.map_err(|error| self.warning(error)).ok()
    }

    /// Leaves the pinning for the wrapper. Refuses the domain if its pinning is bad.
    fn prepare(&self) -> u8 {
        // Of a start that ended without its `release`.
        self.forget();
        let Some(domain) = self.read() else { return SUCCESS };
        let Some(placement) = &domain.placement else { return SUCCESS };
        let parsed = policy::read(&domain, self.kernel);
        let refused = parsed.on_error == OnError::Exit && !parsed.faults.is_empty();
        if refused || !domain.faults.is_empty() {
            let faults = parsed.faults.iter().map(ToString::to_string);
            let faults: Vec<String> = domain.faults.iter().cloned().chain(faults).collect();
            // libvirt hands to its caller what a failed hook has said.
            faults.iter().for_each(|fault| self.log.refusal(fault));
            // Where libvirt logs elsewhere there are still its caller and the system's log.
            let _ = domain_log::append(&self.arguments.domain_logs, self.domain, &faults);
            return REFUSED;
        }
        for warning in parsed.faults.iter().chain(&parsed.warnings) {
            self.warning(warning);
        }
        if placement.is_empty() {
            return SUCCESS;
        }
        let folder = self.arguments.run.join("domains");
        if let Err(error) = domain_file::write(&folder, self.domain, &domain.uuid, placement) {
            self.warning(format_args!("its pinning could not be left for qemu-pinned: {error}"));
        }
        SUCCESS
    }

    fn verify(&self, is_reconnect: bool) {
        let Some(domain) = self.read() else { return };
        match verify::verify(self.kernel, &domain, is_reconnect) {
            None => {}
            Some(Ok(line)) => self.log.info(&format!("domain {}: {line}", self.name())),
            Some(Err(line)) => self.warning(line),
        }
    }

    fn forget(&self) {
        let folder = self.arguments.run.join("domains");
        if let Err(error) = domain_file::remove(&folder, self.domain) {
            self.warning(format_args!("what qemu-pinned was left could not be removed: {error}"));
        }
    }
}
