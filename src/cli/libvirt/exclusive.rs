//! Leases for a domain whose `<pin:placement>` says `exclusive="yes"`.
//!
//! The hook, which is root, takes them in root's folder, for the CPUs of the domain's XML. QEMU runs as another user, who
//! could hold any CPU if he might open the files there; and libvirt closes what QEMU would inherit. So another process
//! of root's, the keeper, has the leases until the wrapper `qemu-pinned` asks for them over a socket, and passes them to
//! it: to that process alone which libvirt has started for this domain. The wrapper leaves them open for QEMU, into which
//! it turns. The keeper then ends, and QEMU is the only one that has them.

use crate::arguments::Folders;
use crate::lease::folder::Folder;
use crate::lease::leave_open::leave_open;
use crate::lease::taken::{self, Leased};
use crate::libvirt::domain_file;
use crate::libvirt::qemu_process::QemuProcess;
use crate::output::failure::Failure;
use crate::sys::ending::is_ending;
use crate::sys::kernel::Kernel;
use crate::sys::pass::{self, Peer};
use crate::sys::process::Process;
use crate::vm::look::Vm;
use pinning::CpuSet;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::time::Duration;

/// How long the hook waits for others that plan or lease.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long the keeper waits for QEMU: between the hook and QEMU, libvirt prepares networks, disks and labels.
const KEPT: Duration = Duration::from_secs(300);

/// How long the wrapper waits for the keeper's answer and the keeper until it is taken, and the hook for the keeper's end.
/// The keeper does nothing else.
const ANSWER: Duration = Duration::from_secs(10);
const DISMISSED: Duration = Duration::from_millis(500);

const PAUSE: Duration = Duration::from_millis(5);

/// How often it is looked for who has leases.
const LOOKS: u32 = 10;

/// The subcommands that are the keeper and, before it, the hook, by which they are known as those.
const KEEPER: &str = "libvirt-keep";
const HOOK: &str = "libvirt-hook";

/// Leases these CPUs in the hook's folder.
///
/// # Errors
/// Somebody has one of them, or the folder cannot be used; in a sentence.
pub(crate) fn lease(kernel: &dyn Kernel, folders: &Folders, cpus: &CpuSet) -> Result<Vec<File>, String> {
    let unfit = |failure: Failure| failure.to_string();
    // The folder above it is for everybody to pass through.
    let made =
        kernel.locate(&folders.run.join("domains")).and_then(|domains| domain_file::make_folders(&domains));
    made.map_err(|error| format!("{} cannot be made: {error}", folders.run.display()))?;
    let folder = Folder::at(kernel, &folders.run.join("leases")).map_err(unfit)?;
    let mutex = folder.mutex_within(kernel, PATIENCE).map_err(unfit)?;
    let busy = match folder.take(kernel, cpus, &mutex).map_err(unfit)? {
        Ok(leases) => return Ok(leases),
        Err(busy) => busy,
    };
    let mut sentences = Vec::new();
    // A process that is found may have passed its leases on before it is known who it is.
    for _ in 0..LOOKS {
        let theirs = taken::among(taken::leased(kernel, &folder, &mutex).map_err(unfit)?, &busy);
        let sentence =
            |leased: &Leased| format!("{} has leased {}", holder(kernel, folders, leased), leased.cpus);
        sentences = theirs.iter().map(sentence).collect::<Vec<String>>();
        let goes_on = |pid| !is_ending(Process { kernel, pid });
        if theirs.iter().all(|leased| leased.pid.is_none_or(goes_on)) {
            break;
        }
        kernel.sleep(PAUSE);
    }
    // It may have ended just now.
    Err(if sentences.is_empty() { format!("another VM has leased {busy}") } else { sentences.join("; ") })
}

/// Who has leases: a domain by libvirt's own word, and any other VM by QEMU's.
fn holder(kernel: &dyn Kernel, folders: &Folders, leased: &Leased) -> String {
    let Some(pid) = leased.pid else { return "another VM".to_owned() };
    let process = Process { kernel, pid };
    let arguments = process.arguments();
    let is_before_qemu = |word: &OsString| word == KEEPER || word == HOOK;
    if process.user() == Some(kernel.user()) && arguments.get(1).is_some_and(is_before_qemu) {
        let domain = arguments.iter().skip_while(|word| *word != "--").nth(1);
        let domain = domain.map(|name| name.to_string_lossy()).unwrap_or_default();
        return format!("domain {domain}, which is about to start,");
    }
    let names = kernel.names_in(&folders.pid_files).into_iter().flatten();
    let mut domains = names.filter_map(|name| Path::new(&name).file_stem().map(OsStr::to_owned));
    let is_its = |name: &OsString| {
        QemuProcess::find(kernel, &folders.pid_files, name).is_ok_and(|qemu| qemu.process.pid == pid)
    };
    match domains.find(is_its) {
        Some(domain) => format!("domain {} (PID {pid})", domain.to_string_lossy()),
        None => Process::new(kernel, pid).map_or_else(|_| format!("process {pid}"), |vm| Vm::new(vm).title()),
    }
}

/// Starts the keeper of a domain's leases. The answer is the socket at which the wrapper asks for them.
///
/// # Errors
/// The socket cannot be made, or the process not be started.
pub(crate) fn start_keeper(
    kernel: &dyn Kernel,
    folders: &Folders,
    domain: &OsStr,
    leases: &[File],
) -> io::Result<PathBuf> {
    let socket = folders.run.join(format!("domains/{}.leases", process::id()));
    let at = kernel.locate(&socket)?;
    // One that was killed has left its socket.
    remove_socket(&at)?;
    let listener = UnixListener::bind(&at)?;
    // Anybody may ask.
    fs::set_permissions(&at, Permissions::from_mode(0o666))?;
    let leases = leave_open(leases)?;
    let mut keeper = process::Command::new(env::current_exe()?);
    keeper.arg(KEEPER).arg("--pid-files").arg(&folders.pid_files).arg("--socket").arg(&at);
    keeper.arg("--leases").arg(leases.map(|(_, numbers)| numbers).unwrap_or_default()).arg("--").arg(domain);
    // libvirt waits until nobody has the hook's output any more.
    keeper.stdin(OwnedFd::from(listener)).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = keeper.spawn() {
        let _ = remove_socket(&at);
        return Err(error);
    }
    Ok(socket)
}

/// Has the keeper at a socket give its leases back, if it still has them, and waits for it.
///
/// # Errors
/// It does not.
pub(crate) fn dismiss(kernel: &dyn Kernel, socket: &Path) -> io::Result<()> {
    let at = kernel.locate(socket)?;
    match UnixStream::connect(&at) {
        Ok(mut keeper) => {
            keeper.set_read_timeout(Some(DISMISSED))?;
            // It says nothing, and ends.
            keeper.read(&mut [0]).map(drop)
        }
        // It has passed them on, or was killed.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(_) => remove_socket(&at),
    }
}

/// The keeper: waits until QEMU's process asks for the leases, and passes them to it. Ends also when nobody does for a long
/// time, and when root asks, which is the hook, for which the domain has ended before QEMU began: it waits until the
/// connection, which is the answer then, is closed.
pub(crate) fn keep(
    kernel: &dyn Kernel,
    pid_files: &Path,
    domain: &OsStr,
    listener: &UnixListener,
    leases: &[File],
) -> io::Result<Option<UnixStream>> {
    listener.set_nonblocking(true)?;
    let until = kernel.now() + KEPT;
    while kernel.now() < until {
        let asks = match listener.accept() {
            Ok((asks, _)) => asks,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                kernel.sleep(PAUSE);
                continue;
            }
            Err(error) => return Err(error),
        };
        let Ok(peer) = pass::peer(&asks) else { continue };
        if is_qemu(kernel, pid_files, domain, peer) {
            pass::pass(&asks, leases)?;
            // Until QEMU's process has them, so that at any moment somebody is seen who does: it closes the connection then.
            asks.set_read_timeout(Some(ANSWER))?;
            let _ = (&asks).read(&mut [0]);
            return Ok(None);
        }
        if peer.user == kernel.user() {
            return Ok(Some(asks));
        }
    }
    Ok(None)
}

/// Whether it is the process that libvirt has started for the domain, by libvirt's pid file and the lock on it.
fn is_qemu(kernel: &dyn Kernel, pid_files: &Path, domain: &OsStr, peer: Peer) -> bool {
    QemuProcess::find(kernel, pid_files, domain).is_ok_and(|qemu| qemu.process.pid == peer.pid)
}

/// Asks the keeper at a socket for the leases.
///
/// # Errors
/// It does not give them to this process; in a sentence.
pub(crate) fn ask(socket: &Path) -> Result<Vec<File>, String> {
    let asked = UnixStream::connect(socket).and_then(|keeper| {
        keeper.set_read_timeout(Some(ANSWER))?;
        pass::receive(&keeper)
    });
    asked.map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
            "the domain's leases are for the process that libvirt starts, and this one is not known as that"
                .to_owned()
        }
        _ => format!("the domain's leases cannot be had from {}: {error}", socket.display()),
    })
}

/// Removes a keeper's socket, if it is there.
pub(crate) fn remove_socket(socket: &Path) -> io::Result<()> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::{FakeKernel, cpus};
    use std::os::unix::fs::MetadataExt;
    use std::thread;

    const PID_FILES: &str = "/run/libvirt/qemu";

    fn folders() -> Folders {
        Folders {
            run: PathBuf::from("/run/pinshim"),
            config: PathBuf::from("/etc/pinshim"),
            pid_files: PathBuf::from(PID_FILES),
        }
    }

    /// A kernel with the QEMU of domain `web`, of this id.
    fn kernel(pid: i32) -> FakeKernel {
        let kernel = FakeKernel::new();
        kernel.act_as_owner();
        kernel.process(pid, &["/usr/bin/qemu-system-x86_64"]).thread(pid, "qemu-system-x86", "0");
        kernel.write(format!("{PID_FILES}/web.pid"), format!("{pid}\n"));
        kernel.lock(format!("{PID_FILES}/web.pid"), pid);
        kernel
    }

    /// What this process gets from a keeper of two files for the domain whose QEMU has this id.
    fn asked(pid: i32) -> (Result<Vec<u64>, String>, Vec<u64>) {
        let scratch = tempfile::tempdir().unwrap();
        let socket = scratch.path().join("7.leases");
        let listener = UnixListener::bind(&socket).unwrap();
        let files = [0, 1].map(|cpu| File::create(scratch.path().join(format!("cpu{cpu}"))).unwrap());
        let number = |file: &File| file.metadata().unwrap().ino();
        let numbers = files.each_ref().map(number).to_vec();
        let keeper = thread::spawn(move || {
            drop(keep(&kernel(pid), Path::new(PID_FILES), OsStr::new("web"), &listener, &files).unwrap());
        });
        let asked = ask(&socket).map(|files| files.iter().map(number).collect());
        keeper.join().unwrap();
        (asked, numbers)
    }

    #[test]
    fn the_keeper_passes_leases_to_the_domains_qemu_alone() {
        let (asked_by_qemu, leases) = asked(i32::try_from(std::process::id()).unwrap());
        assert_eq!(asked_by_qemu, Ok(leases));
        // This process is root to the keeper then, which sends it home.
        let (asked_by_another, _) = asked(77);
        assert!(asked_by_another.unwrap_err().contains("not known as that"));
    }

    #[test]
    fn a_keeper_that_is_gone_is_no_obstacle() {
        let kernel = FakeKernel::new();
        let socket = Path::new("/run/pinshim/domains/7.leases");
        dismiss(&kernel, socket).unwrap();
        kernel.write(socket, "");
        fs::remove_file(kernel.path(socket)).unwrap();
        drop(UnixListener::bind(kernel.path(socket)).unwrap());
        dismiss(&kernel, socket).unwrap();
        assert!(!kernel.path(socket).exists());
    }

    #[test]
    fn who_has_a_cpu_is_named() {
        let kernel = kernel(100);
        let first = lease(&kernel, &folders(), &cpus("1-2")).unwrap();
        assert_eq!(first.len(), 2);
        let folder = kernel.path("/run/pinshim/leases");
        let hold = |pid: i32, cpu: u32| {
            let link = kernel.path(format!("/proc/{pid}/fd/9"));
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(folder.join(format!("cpu{cpu}")), link).unwrap();
        };
        let refused = || lease(&kernel, &folders(), &cpus("0-2")).unwrap_err();
        hold(100, 1);
        assert_eq!(refused(), "domain web (PID 100) has leased 1; another VM has leased 2");
        let keeper = kernel.process(200, &["/usr/bin/pinshim", KEEPER, "--", "db"]);
        keeper.thread(200, "pinshim", "0").user(kernel.user());
        hold(200, 2);
        let about_to = "domain db, which is about to start, has leased 2";
        assert_eq!(refused(), format!("domain web (PID 100) has leased 1; {about_to}"));
        kernel.end_process(200);
        // Whoever gets it while it is looked for is found.
        let hook = ["/usr/bin/pinshim", HOOK, "--run", "/run/pinshim", "--", "db", "prepare", "begin", "-"];
        kernel.at(kernel.now() + Duration::from_millis(15), move |kernel| {
            kernel.process(300, &hook).thread(300, "pinshim", "0").user(kernel.user());
            let link = kernel.path("/proc/300/fd/9");
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(kernel.path("/run/pinshim/leases/cpu2"), link).unwrap();
        });
        assert_eq!(refused(), format!("domain web (PID 100) has leased 1; {about_to}"));
        // What was free is free again.
        drop(first);
        assert_eq!(lease(&kernel, &folders(), &cpus("0-2")).unwrap().len(), 3);
    }
}
