//! How a domain stands: what places its threads, and whether they are there.

use crate::arguments::Folders;
use crate::libvirt::before_start::judge_before_start;
use crate::libvirt::domain_file;
use crate::libvirt::domain_xml::Domain;
use crate::libvirt::qemu_process::QemuProcess;
use crate::libvirt::standing::Row;
use crate::libvirt::target::read;
use crate::libvirt::virsh::Virsh;
use crate::libvirt::wrapper;
use crate::output::failure::Failure;
use crate::output::text::{count, in_command};
use crate::sys::kernel::Kernel;
use crate::verdict::max_delay::Limits;
use crate::verdict::watch;
use crate::vm::look::{Ask, Vm};
use crate::vm::page::Missing;
use pinning::Policy;
use std::ffi::OsStr;
use std::time::Duration;

/// What places a domain's threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Xml,
    File,
    Environment,
}

impl Source {
    fn shown(self) -> &'static str {
        match self {
            Source::Xml => "its XML",
            Source::File => "the administrator's file",
            Source::Environment => "its <qemu:env>",
        }
    }
}

/// The row of a domain, by its UUID.
pub(crate) fn row(kernel: &dyn Kernel, folders: &Folders, virsh: &Virsh, uuid: &str) -> Result<Row, Failure> {
    let info = virsh.info(uuid)?;
    let name = info.name.as_str();
    // What it is started from the next time, and what it runs with.
    let next = if info.is_persistent { read(&virsh.inactive_xml(uuid)?)? } else { read(&virsh.xml(uuid)?)? };
    let configured = configured(kernel, folders, name, &next);
    if !info.is_active() {
        let detail = |source: Source| format!("placed by {}", source.shown());
        return Ok(match configured {
            Ok(Some(source)) if info.has_managed_save => Row::good(
                name,
                "saved",
                format!("{}; the XML of the managed save counts when it is restored", detail(source)),
            ),
            Ok(Some(source)) => Row::good(name, "ready", detail(source)),
            Ok(None) => Row::good(name, "plain", ""),
            Err((state, why)) => Row::bad(name, state, why),
        });
    }
    let running = running(kernel, folders, name)?;
    Ok(match (configured, running) {
        (Ok(Some(source)), Running::Pinned(threads)) => {
            Row::good(name, "pinned", format!("{}, placed by {}", count(threads, "thread"), source.shown()))
        }
        (Ok(None), Running::Pinned(threads)) => {
            let detail = format!(
                "{}, all where they belong; no longer from the next start on",
                count(threads, "thread")
            );
            Row::good(name, "pinned", detail)
        }
        (Ok(_), Running::Off(off, threads)) => {
            let threads = count(threads, "thread");
            let vm = in_command(name, "PID");
            let detail = format!("{off} of {threads} not where they belong: pinshim check {vm}");
            Row::bad(name, "off", detail)
        }
        (Ok(Some(_)), Running::Plain(why)) => Row::bad(
            name,
            "unpinned",
            format!("{why}; a new start (shut it off, then start it) would pin it"),
        ),
        (Ok(None), Running::Plain(_)) => Row::good(name, "plain", ""),
        (Ok(_), Running::Unknown(why)) => Row::bad(name, "unknown", why),
        (Err((state, why)), _) => Row::bad(name, state, why),
    })
}

/// What is to place the domain's threads at the next start; or a word for what is wrong with that, and why.
fn configured(
    kernel: &dyn Kernel,
    folders: &Folders,
    name: &str,
    domain: &Domain,
) -> Result<Option<Source>, (&'static str, String)> {
    let judged = judge_before_start(kernel, domain);
    if let Some(fault) = judged.faults.lines().first() {
        return Err(("refused", format!("it would not start: {fault}")));
    }
    // A CPU that is offline now is none of the next start's business; one that <cputune> withholds is.
    if let Some(conflict) = judged.warnings.lines().iter().find(|warning| warning.contains("<cputune>")) {
        return Err(("conflict", conflict.clone()));
    }
    let file = || {
        domain_file::administrators(kernel, &folders.config.join("domains"), OsStr::new(name), &domain.uuid)
            .map_err(|why| ("refused", why))
    };
    let is_wrapped = wrapper::is_wrapper(&domain.emulator);
    let by_environment =
        Policy::names_placement(domain.environment.iter().map(|(name, value)| (name, value)));
    if domain.placement.is_some() {
        return if is_wrapped {
            Ok(Some(Source::Xml))
        } else {
            Err(("incomplete", without_wrapper(name, domain)))
        };
    }
    if is_wrapped && file()?.is_some() {
        return Ok(Some(Source::File));
    }
    match (by_environment, is_wrapped) {
        (true, _) => Ok(Some(Source::Environment)),
        (false, true) => {
            let why = format!(
                "its <emulator> is the wrapper, and nothing places its threads: pinshim libvirt enable {}",
                in_command(name, &domain.uuid)
            );
            Err(("incomplete", why))
        }
        (false, false) => Ok(None),
    }
}

fn without_wrapper(name: &str, domain: &Domain) -> String {
    format!(
        "it has a placement, and its <emulator> is {}, not the wrapper: pinshim libvirt enable {}",
        domain.emulator,
        in_command(name, &domain.uuid)
    )
}

/// How a domain's QEMU runs.
enum Running {
    /// All its threads, so many, are where they belong.
    Pinned(usize),
    /// So many of so many are not.
    Off(usize, usize),
    /// Without the library, with the reason.
    Plain(String),
    /// It cannot be looked at, with the reason.
    Unknown(String),
}

fn running(kernel: &dyn Kernel, folders: &Folders, name: &str) -> Result<Running, Failure> {
    let qemu = match QemuProcess::find(kernel, &folders.pid_files, OsStr::new(name)) {
        Ok(qemu) => qemu,
        Err(why) => return Ok(Running::Unknown(why)),
    };
    let vm = Vm::new(qemu.process);
    match vm.look(&Ask::default())?.content {
        Err(Missing::NotPermitted) => return Ok(Running::Unknown(Missing::NotPermitted.to_string())),
        Err(Missing::None) => return Ok(Running::Plain("its QEMU runs without the library".to_owned())),
        Err(missing) => return Ok(Running::Unknown(missing.to_string())),
        Ok(_) => {}
    }
    let watched =
        watch::watch(kernel, &[&vm], Duration::ZERO, &Limits::default(), |_, _, _| {}).into_iter().next();
    let watched = watched.unwrap_or_else(|| Err(vm.ended()))?;
    Ok(match watched.offences.len() {
        0 => Running::Pinned(watched.threads),
        off => Running::Off(off, watched.threads),
    })
}
