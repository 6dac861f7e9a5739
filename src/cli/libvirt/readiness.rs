//! Whether this host can pin domains: the hook, the wrapper, the library, AppArmor and SELinux.

use crate::libvirt::standing::Row;
use crate::libvirt::wrapper;
use crate::output::failure::Failure;
use crate::sys::kernel::Kernel;
use crate::sys::process::Process;
use crate::sys::threads;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// libvirt's daemons that run QEMU.
const DAEMONS: [&str; 2] = ["virtqemud", "libvirtd"];

/// Where the rules for AppArmor belong, in /etc/apparmor.d: one that each of these folders and files may hold.
const DAEMON_RULES: [&str; 2] = ["local/usr.sbin.libvirtd", "local/usr.sbin.virtqemud"];
const QEMU_RULES: [&str; 3] =
    ["local/abstractions/libvirt-qemu", "abstractions/libvirt-qemu.d/pinshim", "abstractions/libvirt-qemu"];

/// Where the modules of SELinux's policies are (semodule(8)).
const SELINUX_MODULES: &str = "/var/lib/selinux";

/// Where things are.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    /// libvirt's hooks.
    pub(crate) hooks: &'a Path,
    /// What the hook leaves for the wrapper.
    pub(crate) run: &'a Path,
    /// The wrapper.
    pub(crate) wrappers: &'a Path,
    /// The library, or why there is none.
    pub(crate) library: Result<PathBuf, Failure>,
}

/// One row each. `is_session`: an ordinary user's libvirt is asked, which runs no hooks.
pub(crate) fn rows(kernel: &dyn Kernel, places: &Places<'_>, is_session: bool) -> Vec<Row> {
    let daemon = Daemon::find(kernel);
    vec![
        hook(kernel, places, daemon.as_ref(), is_session),
        wrapper_row(places.wrappers),
        library(kernel, &places.library),
        apparmor(kernel, daemon.as_ref()),
        selinux(kernel),
    ]
}

/// libvirt's daemon.
#[derive(Debug)]
struct Daemon {
    pid: i32,
    name: String,
    /// When it was started, in seconds since 1970.
    started: i64,
    /// What AppArmor says of it.
    confinement: String,
}

impl Daemon {
    /// The daemon that runs as root, if there is one; of several the youngest.
    fn find(kernel: &dyn Kernel) -> Option<Self> {
        let stat = kernel.read_text("/proc/stat").unwrap_or_default();
        let boot: i64 = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())?;
        let ticks = i64::try_from(kernel.ticks_per_second()).ok()?;
        let of = |process: Process<'_>| {
            let name = process.executable_name().to_string_lossy().into_owned();
            if !DAEMONS.contains(&name.as_str()) || process.user() != Some(0) {
                return None;
            }
            let started = i64::try_from(threads::started(process, process.main_thread())?).ok()?;
            let current = ["attr/apparmor/current", "attr/current"];
            let confinement = current.iter().find_map(|file| kernel.read_text(process.file(file)).ok());
            let confinement = confinement.unwrap_or_default().trim_end_matches(['\n', '\0']).to_owned();
            Some(Self { pid: process.pid, name, started: boot + started / ticks, confinement })
        };
        Process::all(kernel).ok()?.into_iter().filter_map(of).max_by_key(|daemon| daemon.started)
    }

    fn shown(&self) -> String {
        format!("{} (PID {})", self.name, self.pid)
    }
}

fn about(kernel: &dyn Kernel, path: &Path) -> Option<Metadata> {
    kernel.locate(path).and_then(fs::metadata).ok()
}

fn hook(kernel: &dyn Kernel, places: &Places<'_>, daemon: Option<&Daemon>, is_session: bool) -> Row {
    if is_session {
        return Row::good(
            "hook",
            "none",
            "qemu:///session runs no hooks; a domain's file in ~/.config/pinshim counts",
        );
    }
    let path = places.hooks.join("qemu.d/pinshim");
    let Some(hook) = about(kernel, &path).filter(Metadata::is_file) else {
        return Row::bad("hook", "missing", format!("{} is not there: scripts/install", path.display()));
    };
    if hook.mode() & 0o111 == 0 {
        return Row::bad("hook", "off", format!("{} may not be executed: chmod +x", path.display()));
    }
    let Some(daemon) = daemon else {
        return Row::good(
            "hook",
            "ok",
            format!("{}; no daemon of libvirt's runs that would have to notice it", path.display()),
        );
    };
    // What the hook leaves and removes changes the folder.
    let was_called =
        about(kernel, &places.run.join("domains")).is_some_and(|folder| folder.mtime() > daemon.started);
    if daemon.started > hook.ctime() || was_called {
        return Row::good("hook", "ok", format!("{}, noticed by {}", path.display(), daemon.shown()));
    }
    let detail = format!(
        "{} is younger than {}, which notices it when it is reloaded, if it has not been: systemctl reload {}",
        path.display(),
        daemon.shown(),
        daemon.name
    );
    Row::good("hook", "unsure", detail)
}

fn wrapper_row(folder: &Path) -> Row {
    let found = wrapper::in_folder(folder).and_then(|path| Ok((wrapper::real_qemu(&path)?, path)));
    match found {
        Ok((runs, path)) => Row::good("wrapper", "ok", format!("{} runs {}", path.display(), runs.display())),
        Err(failure) => Row::bad("wrapper", "missing", failure.to_string()),
    }
}

fn library(kernel: &dyn Kernel, library: &Result<PathBuf, Failure>) -> Row {
    let path = match library {
        Ok(path) => path,
        Err(failure) => return Row::bad("library", "missing", failure.to_string()),
    };
    // QEMU's user is not known here; libvirt's own is nobody's friend.
    let is_open =
        |path: &Path, bits: u32| about(kernel, path).is_some_and(|about| about.mode() & bits == bits);
    let closed = path.ancestors().skip(1).find(|folder| !is_open(folder, 0o001));
    let closed = closed.or_else(|| Some(path.as_path()).filter(|path| !is_open(path, 0o004)));
    match closed {
        None => Row::good("library", "ok", path.display().to_string()),
        Some(closed) => {
            let detail = format!("{}: {} is not open to QEMU's user", path.display(), closed.display());
            Row::bad("library", "closed", detail)
        }
    }
}

fn apparmor(kernel: &dyn Kernel, daemon: Option<&Daemon>) -> Row {
    let enabled = kernel.read_text("/sys/module/apparmor/parameters/enabled").unwrap_or_default();
    if enabled.trim() != "Y" {
        return Row::good("AppArmor", "off", "");
    }
    let has_rules = |files: &[&str]| {
        let named = |file: &&str| {
            let text = kernel.read_text(Path::new("/etc/apparmor.d").join(file)).unwrap_or_default();
            text.lines().any(|line| line.contains("pinshim") && !line.trim_start().starts_with('#'))
        };
        files.iter().any(named)
    };
    let is_confined = daemon.is_some_and(|daemon| daemon.confinement.ends_with("(enforce)"));
    let missing = [
        (is_confined && !has_rules(&DAEMON_RULES)).then_some("libvirt's daemon"),
        (!has_rules(&QEMU_RULES)).then_some("QEMU"),
    ];
    let missing: Vec<&str> = missing.into_iter().flatten().collect();
    if missing.is_empty() {
        return Row::good("AppArmor", "ok", "/etc/apparmor.d has pinshim's rules");
    }
    let missing = missing.join(" and ");
    Row::bad(
        "AppArmor",
        "missing",
        format!("/etc/apparmor.d has no rules of pinshim's for {missing}: docs/libvirt.md"),
    )
}

fn selinux(kernel: &dyn Kernel) -> Row {
    let enforces = match kernel.read_text("/sys/fs/selinux/enforce") {
        Ok(enforces) => enforces.trim() == "1",
        Err(_) => return Row::good("SELinux", "off", ""),
    };
    let names = |folder: &Path| -> Vec<PathBuf> {
        let names = kernel.names_in(folder).map(|names| names.map(|name| folder.join(name)).collect());
        names.unwrap_or_default()
    };
    let mut priorities = names(Path::new(SELINUX_MODULES))
        .into_iter()
        .flat_map(|policy| names(&policy.join("active/modules")));
    if priorities.any(|priority| kernel.is_folder(priority.join("pinshim"))) {
        return Row::good("SELinux", "ok", "its policy has the module pinshim");
    }
    if !enforces {
        return Row::good(
            "SELinux",
            "permissive",
            "its policy has no module pinshim, which it would need to enforce",
        );
    }
    Row::bad("SELinux", "missing", "its policy has no module pinshim: docs/libvirt.md")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeKernel;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    const HOOK: &str = "/etc/libvirt/hooks/qemu.d/pinshim";

    /// A host with a hook, and libvirt's daemon, started so many seconds before the hook was written.
    fn host(before: i64) -> FakeKernel {
        let kernel = FakeKernel::new();
        kernel.write(HOOK, "");
        set_mode(&kernel, HOOK, 0o755);
        let written = fs::metadata(kernel.locate(Path::new(HOOK)).unwrap()).unwrap().ctime();
        // The first process of the kernel is started a second after its boot or so.
        kernel
            .process(10, &["/usr/sbin/libvirtd"])
            .thread(10, "libvirtd", "0")
            .executable("/usr/sbin/libvirtd")
            .user(0);
        let stat = (&kernel as &dyn Kernel).read_text("/proc/10/task/10/stat").unwrap();
        let ticks: i64 =
            stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
        kernel.write("/proc/stat", format!("cpu 1 2\nbtime {}\n", written - before - ticks / 100));
        kernel
    }

    fn set_mode(kernel: &FakeKernel, path: &str, mode: u32) {
        fs::set_permissions(kernel.locate(Path::new(path)).unwrap(), Permissions::from_mode(mode)).unwrap();
    }

    /// The state in the row of the hook.
    fn hook_of(kernel: &FakeKernel) -> &'static str {
        let places = Places {
            hooks: Path::new("/etc/libvirt/hooks"),
            run: Path::new("/run/pinshim"),
            wrappers: Path::new("/nonexistent"),
            library: Ok(PathBuf::from("/usr/lib/libpinshim.so")),
        };
        hook(kernel, &places, Daemon::find(kernel).as_ref(), false).state
    }

    #[test]
    fn a_hook_counts_once_libvirts_daemon_was_started_after_it_or_has_called_it() {
        assert_eq!(hook_of(&host(-100)), "ok");
        let kernel = host(100);
        assert_eq!(hook_of(&kernel), "unsure");
        kernel.write("/run/pinshim/domains/web.env", "");
        assert_eq!(hook_of(&kernel), "ok");
        set_mode(&kernel, HOOK, 0o644);
        assert_eq!(hook_of(&kernel), "off");
        fs::remove_file(kernel.locate(Path::new(HOOK)).unwrap()).unwrap();
        assert_eq!(hook_of(&kernel), "missing");
        let kernel = FakeKernel::new();
        kernel.write(HOOK, "");
        set_mode(&kernel, HOOK, 0o755);
        assert_eq!(hook_of(&kernel), "ok", "no daemon runs");
    }

    #[test]
    fn only_roots_daemon_is_asked() {
        let kernel = host(100);
        kernel.existing(10).user(1000);
        assert!(Daemon::find(&kernel).is_none());
    }

    #[test]
    fn a_library_that_qemus_user_cannot_reach_is_said() {
        let kernel = FakeKernel::new();
        let path = "/opt/lib/libpinshim.so";
        kernel.write(path, "");
        let said = || {
            let row = library(&kernel, &Ok(PathBuf::from(path)));
            (row.state, row.detail)
        };
        set_mode(&kernel, path, 0o644);
        set_mode(&kernel, "/opt/lib", 0o755);
        set_mode(&kernel, "/opt", 0o755);
        set_mode(&kernel, "/", 0o755);
        assert_eq!(said(), ("ok", path.to_owned()));
        set_mode(&kernel, "/opt", 0o700);
        assert_eq!(said(), ("closed", format!("{path}: /opt is not open to QEMU's user")));
        set_mode(&kernel, "/opt", 0o755);
        set_mode(&kernel, path, 0o600);
        assert_eq!(said().0, "closed");
    }

    #[test]
    fn what_confines_domains_must_have_rules() {
        let kernel = host(0);
        let said = || [apparmor(&kernel, Daemon::find(&kernel).as_ref()).state, selinux(&kernel).state];
        assert_eq!(said(), ["off", "off"]);
        kernel.write("/sys/module/apparmor/parameters/enabled", "Y\n");
        kernel.write("/sys/fs/selinux/enforce", "0");
        assert_eq!(said(), ["missing", "permissive"]);
        kernel.write("/sys/fs/selinux/enforce", "1");
        assert_eq!(said(), ["missing", "missing"]);
        kernel.write("/etc/apparmor.d/local/abstractions/libvirt-qemu", "# pinshim\n");
        assert_eq!(said()[0], "missing", "a comment is no rule");
        kernel.write("/etc/apparmor.d/local/abstractions/libvirt-qemu", "/usr/local/lib/libpinshim.so mr,\n");
        kernel.write("/var/lib/selinux/targeted/active/modules/400/pinshim/cil", "");
        assert_eq!(said(), ["ok", "ok"]);
        // The daemon has a profile of its own on some hosts.
        kernel.write("/proc/10/attr/apparmor/current", "libvirtd (enforce)\n");
        assert_eq!(said()[0], "missing");
        kernel.write(
            "/etc/apparmor.d/local/usr.sbin.libvirtd",
            "/usr/local/bin/qemu-pinned PUx,\n/usr/bin/pinshim PUx,\n",
        );
        assert_eq!(said()[0], "ok");
    }
}
