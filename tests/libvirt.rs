//! Under a real libvirtd with its default sandbox: the domain's XML names the CPUs, the wrapper and the hook
//! bring them to QEMU, and the threads are there from the moment the guest runs.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod libvirt_world;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use harness::{
    Expected, LIBVIRT_SANDBOX, Observation, Program, Rule, ThreadSeen, TimeLimit, TwoCpus, brokers_of, judge,
    kvm_missing, or_skip, scheduling_of, skip, two_cpus, until,
};
use libvirt_world::{Domain, Libvirt, Qemu};

/// For so many seconds the library looks again at new threads, which libvirt may have moved.
const WATCHED: u64 = 6;

/// A libvirt and two CPUs to use; or says why the test is skipped.
fn world(needs_kvm: bool) -> Option<(Libvirt, TwoCpus)> {
    let cpus = two_cpus()?;
    if let Some(why) = kvm_missing().filter(|_| needs_kvm) {
        skip(why);
        return None;
    }
    or_skip(Libvirt::start()).map(|libvirt| (libvirt, cpus))
}

/// vCPU 1 and iothread2 on the CPU of the emulator, the others on the other CPU.
fn placement(cpus: TwoCpus) -> String {
    let (here, there) = (cpus.first, cpus.second);
    format!(
        "cpus='{here}' vcpus='0@{there},1@{here},2@{there}' iothreads='iothread1@{there}, *@{here}' \
         emulator='{here}' workers='{there}'"
    )
}

/// Where that placement has a thread, by its name.
fn place(thread: &ThreadSeen, cpus: TwoCpus) -> Expected {
    let name = thread.name();
    let there = name.starts_with("CPU 0/")
        || name.starts_with("CPU 2/")
        || ["IO iothread1", "worker"].contains(&name);
    Expected::cpu(if there { cpus.second } else { cpus.first })
}

#[track_caller]
fn assert_in_place(seen: &Observation, cpus: TwoCpus) {
    let offences = judge(seen, Rule::Promise, |thread| place(thread, cpus));
    assert!(offences.is_empty(), "{} offences, the first: {}", offences.len(), offences[0]);
    for name in ["CPU 0/", "CPU 1/", "IO iothread1", "worker"] {
        assert!(seen.threads.values().any(|thread| thread.name().starts_with(name)), "{name} was seen");
    }
}

#[track_caller]
fn soon_on(qemu: Qemu, thread: &str, cpu: usize) {
    until(60, &format!("{thread} on {cpu}"), || {
        qemu.cpus_of(thread).filter(|cpus| *cpus == cpu.to_string()).map(|_| ())
    });
}

#[test]
fn a_kvm_domain_through_its_life() {
    let _limit = TimeLimit::seconds(200);
    let Some((mut libvirt, cpus)) = world(true) else { return };
    let domain = Domain::new(&libvirt, "life", true).placement(&placement(cpus));
    libvirt.define(&domain);

    // From the guest's first instruction, over a reset (a reboot would need a guest that knows ACPI).
    let (qemu, observer) = libvirt.start_observed(&domain);
    let arguments = qemu.arguments();
    assert!(arguments.windows(2).any(|pair| pair == ["-sandbox", LIBVIRT_SANDBOX]), "{arguments:?}");
    domain.wait_visits(1);
    libvirt.virsh_ok(&["reset", &domain.name]);
    domain.wait_visits(1);
    let seen = observer.finish();
    assert_in_place(&seen, cpus);
    assert!(seen.count() >= 8, "{} threads", seen.count());
    let left = libvirt.path(&format!("run/pinshim/domains/{}.env", domain.name));
    assert!(left.exists(), "the hook left {}", left.display());

    // A vCPU and an IOThread that come later are placed by libvirt, and then by us.
    libvirt.virsh_ok(&["setvcpus", &domain.name, "3", "--live"]);
    libvirt.virsh_ok(&["iothreadadd", &domain.name, "2", "--live"]);
    soon_on(qemu, "CPU 2/KVM", cpus.second);
    soon_on(qemu, "IO iothread2", cpus.first);
    assert_in_place(&qemu.watch(WATCHED as f64), cpus);

    // What an administrator does then stands, also when libvirtd comes back.
    libvirt.virsh_ok(&["vcpupin", &domain.name, "2", &cpus.first.to_string()]);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(qemu.cpus_of("CPU 2/KVM"), Some(cpus.first.to_string()));
    libvirt.restart();
    let reconnected: String = until(20, "the hook's line at the reconnect", || {
        libvirt.hook_lines(&domain).into_iter().find(|line| line.contains("left there"))
    });
    assert!(reconnected.contains("1 elsewhere by virsh"), "{reconnected}");
    assert_eq!(qemu.cpus_of("CPU 2/KVM"), Some(cpus.first.to_string()));
    libvirt.virsh_ok(&["vcpupin", &domain.name, "2", &format!("{},{}", cpus.first, cpus.second)]);

    // A restored domain runs at once, on all vCPUs.
    libvirt.virsh_ok(&["managedsave", &domain.name]);
    assert!(!left.exists(), "the file went with the domain");
    let (qemu, observer) = libvirt.start_observed(&domain);
    domain.wait_visits(1);
    let seen = observer.finish();
    assert_in_place(&seen, cpus);
    assert!(seen.threads.values().any(|thread| thread.name() == "CPU 2/KVM"), "with three vCPUs");

    let started: Vec<String> =
        libvirt.hook_lines(&domain).into_iter().filter(|line| line.contains("where they belong")).collect();
    assert!(started.len() >= 3 && started.iter().all(|line| !line.contains("not where")), "{started:?}");
    nothing_is_left(&libvirt, &domain, qemu);
}

/// Ends the domain and sees that nothing of it is left.
#[track_caller]
fn nothing_is_left(libvirt: &Libvirt, domain: &Domain, qemu: Qemu) {
    let brokers = brokers_of(qemu.pid);
    assert_eq!(brokers.len(), 1, "one broker");
    libvirt.destroy(domain, qemu);
    until(60, "the broker's end", || (!brokers[0].lives()).then_some(()));
    let left = libvirt.path(&format!("run/pinshim/domains/{}.env", domain.name));
    until(60, "the file's end", || (!left.exists()).then_some(()));
    until(60, "the cgroups' end", || libvirt.cgroups(domain).is_empty().then_some(()));
}

#[test]
fn a_tcg_domain() {
    let _limit = TimeLimit::seconds(150);
    let Some((libvirt, cpus)) = world(false) else { return };
    let domain = Domain::new(&libvirt, "tcg", false).placement(&placement(cpus));
    libvirt.define(&domain);
    let qemu = libvirt.start_domain(&domain);
    for (thread, cpu) in
        [("CPU 0/TCG", cpus.second), ("CPU 1/TCG", cpus.first), ("IO iothread1", cpus.second)]
    {
        soon_on(qemu, thread, cpu);
    }
    domain.wait_visits(1);
    assert_in_place(&qemu.watch(2.0), cpus);
    libvirt.virsh_ok(&["setvcpus", &domain.name, "3", "--live"]);
    soon_on(qemu, "CPU 2/TCG", cpus.second);
    assert_in_place(&qemu.watch(2.0), cpus);
    nothing_is_left(&libvirt, &domain, qemu);
}

/// The ways in which a pinning reaches QEMU, which of them wins, and which domains are left as they are. The
/// guests stay paused.
#[test]
fn the_ways_of_a_pinning() {
    let _limit = TimeLimit::seconds(150);
    let Some((libvirt, cpus)) = world(false) else { return };
    let start = |domain: &Domain| {
        libvirt.define(domain);
        libvirt.virsh_ok(&["start", "--paused", &domain.name]);
        libvirt.qemu(domain).expect("a QEMU")
    };
    let file = |domain: &Domain, text: &str| {
        let path = libvirt.path(&format!("etc/pinshim/domains/{}.env", domain.name));
        fs::write(&path, text).expect("write the domain's file");
    };
    let (here, there) = (cpus.first.to_string(), cpus.second.to_string());

    // None: QEMU is what it would be without the wrapper.
    let plain = Domain::new(&libvirt, "plain", false);
    let qemu = start(&plain);
    assert_eq!(qemu.variable("LD_PRELOAD"), None);
    assert_eq!(qemu.variable("PIN_MANAGER"), None);
    let line = until(60, "the hook's line", || libvirt.hook_lines(&plain).pop());
    assert!(line.contains("but it runs unpinned"), "{line}");
    assert_eq!(libvirt.hook_lines(&plain).len(), 1);
    libvirt.destroy(&plain, qemu);

    // The administrator's file, with a name that has to be found in QEMU's arguments first.
    let name = "a, b=%c";
    let filed = Domain::new(&libvirt, name, false);
    let path = format!("etc/pinshim/domains/pinshim-{}-a, b=%25c.env", std::process::id());
    fs::write(libvirt.path(&path), format!("# by hand\n\nPIN_CPUS={there}\n")).expect("write a file");
    let qemu = start(&filed);
    assert_eq!(qemu.variable("PIN_CPUS"), Some(there.clone()));
    assert_eq!(qemu.variable("PIN_MANAGER").as_deref(), Some("libvirt"));
    assert_eq!(qemu.cpus_of("call_rcu"), Some(there.clone()));
    libvirt.destroy(&filed, qemu);

    // The XML wins over the file; <qemu:env> stands.
    let both = Domain::new(&libvirt, "both", false)
        .placement(&format!("cpus='{there}' emulator='{here}'"))
        .env("PIN_EMULATOR", &there);
    file(&both, &format!("PIN_CPUS={here}\nPIN_LOG=info\n"));
    let qemu = start(&both);
    assert_eq!(qemu.variable("PIN_CPUS"), Some(there.clone()));
    assert_eq!(qemu.variable("PIN_EMULATOR"), Some(there.clone()));
    assert_eq!(qemu.variable("PIN_LOG"), None);
    libvirt.destroy(&both, qemu);

    // <qemu:env> alone.
    let environment = Domain::new(&libvirt, "environment", false).env("PIN_CPUS", &there);
    let qemu = start(&environment);
    assert_eq!(qemu.cpus_of("call_rcu"), Some(there.clone()));
    libvirt.destroy(&environment, qemu);

    // The placement in the XML, but not the wrapper: the hook does what can be done, and says so.
    let forgotten = Domain::new(&libvirt, "forgotten", false)
        .placement(&format!("cpus='{there}'"))
        .emulator("/usr/bin/qemu-system-x86_64");
    let qemu = start(&forgotten);
    let line = until(60, "the hook's line", || libvirt.hook_lines(&forgotten).pop());
    assert!(line.contains("does not run under libpinshim.so"), "{line}");
    soon_on(qemu, "CPU 0/TCG", cpus.second);
    libvirt.destroy(&forgotten, qemu);
}

/// The administrator's file goes by the domain's UUID: a renamed domain keeps it, and a later one of the name has none.
#[test]
fn a_domains_file_follows_its_uuid() {
    let _limit = TimeLimit::seconds(150);
    let Some((libvirt, cpus)) = world(false) else { return };
    let there = cpus.second.to_string();
    let start = |domain: &Domain| {
        libvirt.virsh_ok(&["start", "--paused", &domain.name]);
        libvirt.qemu(domain).expect("a QEMU")
    };
    let file = |name: &str| {
        let path = libvirt.path(&format!("etc/pinshim/domains/{name}.env"));
        fs::write(&path, format!("PIN_CPUS={there}\n")).expect("write the domain's file");
        path
    };
    let said = "found by the domain's name, which can change and become another's";

    // By the name, which is said.
    let mut domain = Domain::new(&libvirt, "named", false);
    libvirt.define(&domain);
    let by_name = file(&domain.name);
    let qemu = start(&domain);
    assert_eq!(qemu.cpus_of("call_rcu"), Some(there.clone()));
    assert!(libvirt.domain_log(&domain).contains(said), "{}", libvirt.domain_log(&domain));
    libvirt.destroy(&domain, qemu);
    fs::remove_file(by_name).expect("remove the file");

    // By the UUID, before and after the domain gets another name.
    let by_uuid = file(libvirt.virsh_ok(&["domuuid", &domain.name]).trim());
    for name in ["named", "renamed"] {
        let before = domain.name.clone();
        domain.name = format!("pinshim-{}-{name}", std::process::id());
        if domain.name != before {
            libvirt.rename(&before, &domain);
        }
        let qemu = start(&domain);
        assert_eq!(qemu.cpus_of("call_rcu"), Some(there.clone()), "{name}");
        let line = until(60, "the hook's line", || libvirt.hook_lines(&domain).pop());
        assert!(line.contains("where they belong"), "{line}");
        libvirt.destroy(&domain, qemu);
    }
    assert!(!libvirt.domain_log(&domain).contains(said), "{}", libvirt.domain_log(&domain));

    // A later domain of the name has another UUID.
    libvirt.virsh_ok(&["undefine", &domain.name]);
    libvirt.define(&domain);
    let qemu = start(&domain);
    assert_eq!(qemu.variable("PIN_CPUS"), None);
    libvirt.destroy(&domain, qemu);
    assert!(by_uuid.exists());
}

/// What the wrapper runs may be a script that starts QEMU.
#[test]
fn a_script_in_place_of_qemu_starts_it_pinned() {
    let _limit = TimeLimit::seconds(100);
    let Some((libvirt, cpus)) = world(false) else { return };
    let script = libvirt.path("my-qemu");
    fs::write(&script, "#!/bin/sh\nexec /usr/bin/qemu-system-x86_64 \"$@\"\n").expect("write a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("make it a program");
    fs::write(libvirt.path("etc/pinshim/qemu-pinned.conf"), format!("QEMU={}\n", script.display()))
        .expect("write the settings");
    let domain = Domain::new(&libvirt, "script", false).placement(&format!("cpus='{}'", cpus.second));
    libvirt.define(&domain);
    libvirt.virsh_ok(&["start", "--paused", &domain.name]);
    let qemu = libvirt.qemu(&domain).expect("a QEMU");
    let line = until(60, "the hook's line", || libvirt.hook_lines(&domain).pop());
    assert!(line.contains("where they belong") && !line.contains("libpinshim"), "{line}");
    assert_eq!(qemu.cpus_of("call_rcu"), Some(cpus.second.to_string()));
    libvirt.destroy(&domain, qemu);
}

/// The processes of this name with an argument that holds this text: their ids.
fn processes(name: &str, text: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").expect("read /proc").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_meant = |pid: &u32| {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        comm.trim_end() == name
            && (Qemu { pid: *pid }).arguments().iter().any(|argument| argument.contains(text))
    };
    pids.filter(is_meant).collect()
}

/// A domain's helpers are processes of their own: libvirt's hook puts them beside the emulator.
#[test]
fn the_helpers_of_a_domain_run_where_its_emulator_does() {
    let _limit = TimeLimit::seconds(100);
    let Some((libvirt, cpus)) = world(false) else { return };
    if !Path::new("/usr/lib/qemu/virtiofsd").exists() && !Path::new("/usr/libexec/virtiofsd").exists() {
        return skip("virtiofsd is not installed");
    }
    let folder = libvirt.path("shared-with-guest");
    fs::create_dir(&folder).expect("make a folder");
    let domain = Domain::new(&libvirt, "helped", false).shared(&folder);
    helper_runs_beside_the_emulator(&libvirt, cpus, domain, "virtiofsd", &folder.display().to_string());
}

#[test]
fn the_tpm_of_a_domain_runs_where_its_emulator_does() {
    let _limit = TimeLimit::seconds(100);
    let Some((libvirt, cpus)) = world(false) else { return };
    if !Path::new("/usr/bin/swtpm").exists() {
        return skip("swtpm is not installed");
    }
    let domain = Domain::new(&libvirt, "trusted", false).tpm();
    let name = domain.name.clone();
    helper_runs_beside_the_emulator(&libvirt, cpus, domain, "swtpm", &name);
}

/// Starts a domain for which libvirt starts a helper of this name, with this text in its arguments.
fn helper_runs_beside_the_emulator(
    libvirt: &Libvirt,
    cpus: TwoCpus,
    domain: Domain,
    helper: &str,
    argument: &str,
) {
    let (here, there) = (cpus.first, cpus.second);
    let domain = domain.placement(&format!("cpus='{here}' emulator='{there}'"));
    libvirt.define(&domain);
    let started = libvirt.virsh(&["start", &domain.name]);
    if started.stderr.contains(helper) {
        return skip(format!("{helper} does not run here: {}", started.stderr.trim()));
    }
    assert!(started.status.success(), "{started:?}");
    let qemu = libvirt.qemu(&domain).expect("a QEMU");
    let line = until(20, "the hook's line", || {
        libvirt.hook_lines(&domain).into_iter().find(|line| line.contains("where they belong"))
    });
    assert!(line.contains("of its helpers put beside the emulator"), "{line}");
    let helpers = processes(helper, argument);
    assert!(!helpers.is_empty(), "{helper} runs");
    for pid in &helpers {
        let threads = Qemu { pid: *pid }.all_threads();
        assert!(threads.iter().all(|(_, cpus)| *cpus == there.to_string()), "{threads:?}");
    }
    libvirt.destroy(&domain, qemu);
}

/// A bad pinning: the domain does not start, and virsh says why.
#[test]
fn a_bad_pinning_is_refused() {
    let _limit = TimeLimit::seconds(150);
    let Some((libvirt, cpus)) = world(false) else { return };
    let refused = |domain: &Domain, reasons: &[&str]| {
        libvirt.define(domain);
        let started = libvirt.virsh(&["start", &domain.name]);
        assert!(!started.status.success(), "{reasons:?}");
        // A QEMU that ends at once may be a zombie still when libvirt asks whether it has ended; libvirt then
        // passes on its own failure in place of the log.
        let too_early = started.stderr.contains("failed to connect to monitor socket");
        let told = if too_early { libvirt.domain_log(domain) } else { started.stderr.clone() };
        for reason in reasons {
            assert!(told.contains(reason), "{reason:?} in {told}");
        }
        assert!(libvirt.qemu(domain).is_none());
    };
    // By the hook, before there is anything: all at once, in the library's words.
    let domain = Domain::new(&libvirt, "xml", false).placement("cpus='0-' vcpus='0@x' disks='1'");
    let reasons = ["PIN_CPUS=0-: ", "PIN_VCPUS=0@x: column 3", "has no attribute disks; there are cpus,"];
    refused(&domain, &reasons);
    let log = libvirt.domain_log(&domain);
    assert!(reasons.iter().all(|reason| log.contains(reason)), "{log}");

    // A thread that the domain does not have.
    let domain = Domain::new(&libvirt, "unknown", false)
        .placement(&format!("vcpus='0@{0},5@{0}' iothreads='iothread1@{0},iothread9@{0}'", cpus.first));
    let reasons = [
        "<pin:placement> places vCPU 5, and the domain has 3",
        "<pin:placement> places IOThread iothread9, and the domain has iothread1;",
    ];
    refused(&domain, &reasons);
    let domain = Domain::new(&libvirt, "number", false).placement(&format!("iothreads='1@{}'", cpus.first));
    refused(&domain, &["1 is not the id of an IOThread", "libvirt's IOThread 4 is iothread4"]);

    // By the library, which ends QEMU: virsh has it from the domain's log.
    let domain = Domain::new(&libvirt, "file", false);
    let file = libvirt.path(&format!("etc/pinshim/domains/{}.env", domain.name));
    fs::write(&file, "PIN_CPUS=0-\nPIN_VCPU=1\n").expect("write the domain's file");
    let reasons = ["pinshim: PIN_CPUS=0-: ", "PIN_VCPU=1: no such variable; did you mean PIN_VCPUS?"];
    refused(&domain, &reasons);
    let log = libvirt.domain_log(&domain);
    assert!(reasons.iter().all(|reason| log.contains(reason)), "{log}");

    // By the wrapper: nothing in a file is evaluated.
    let trap = libvirt.path("trap");
    let touch = format!("$(touch {})", trap.display());
    let domain = Domain::new(&libvirt, "trap", false);
    let file = libvirt.path(&format!("etc/pinshim/domains/{}.env", domain.name));
    fs::write(&file, format!("PIN_CPUS=0\n{touch}\n")).expect("write the domain's file");
    refused(&domain, &[", line 2: this is no PIN_NAME=value: $(touch"]);
    assert!(libvirt.domain_log(&domain).contains("this is no PIN_NAME=value"));
    fs::write(&file, format!("PIN_CPUS={touch}\n")).expect("write the domain's file");
    let started = libvirt.virsh(&["start", &domain.name]);
    assert!(!started.status.success());
    assert!(libvirt.domain_log(&domain).contains("pinshim: PIN_CPUS=$(touch"), "{}", started.stderr);
    assert!(!trap.exists());

    // A CPU that is not there may yet come under libvirt: a warning, and the domain runs.
    let domain =
        Domain::new(&libvirt, "later", false).placement(&format!("cpus='{}' vhost='8191'", cpus.first));
    libvirt.define(&domain);
    let qemu = libvirt.start_domain(&domain);
    assert!(libvirt.domain_log(&domain).contains("pinshim: warning: PIN_VHOST=8191: "));
    libvirt.destroy(&domain, qemu);
}

/// QEMU may write to its status page and, by a descriptor that libvirt leaves open to it, to its pid file. Neither
/// brings root's hook to move a thread elsewhere than where the domain's XML says.
#[test]
fn what_qemu_can_write_to_moves_no_thread() {
    let _limit = TimeLimit::seconds(150);
    let Some((mut libvirt, cpus)) = world(false) else { return };
    let (here, there) = (cpus.first, cpus.second);
    if here > 9 || there > 9 {
        return skip("the test changes one digit of a CPU's number");
    }
    let domain = Domain::new(&libvirt, "liar", false).placement(&format!("cpus='{here}'"));
    libvirt.define(&domain);
    let qemu = libvirt.start_domain(&domain);
    soon_on(qemu, "CPU 0/TCG", here);
    let said = |libvirt: &Libvirt, what: &str| -> String {
        until(20, "the hook's line", || {
            libvirt.hook_lines(&domain).into_iter().find(|line| line.contains(what))
        })
    };
    said(&libvirt, "threads where they belong");

    // The page: one digit of the text, and the one set. It is sealed, so only QEMU's own mapping can be written to.
    let path = qemu.descriptor(|target| target.starts_with("/memfd:pinshim")).expect("a status page");
    let page = fs::read(&path).expect("read the page");
    let text = format!("PIN_CPUS={here}\0").into_bytes();
    let at = page.windows(text.len()).position(|part| part == text).expect("the policy's text");
    // Where the sets begin: the header's field after magic, version, owner and size.
    let sets_at = u32::from_ne_bytes(page[24..28].try_into().expect("four bytes"));
    let mapped = qemu.mapping("/memfd:pinshim").expect("QEMU's mapping of the page");
    let memory = fs::File::options().write(true).open(format!("/proc/{}/mem", qemu.pid)).expect("open");
    let change = |at: u64, bytes: &[u8]| memory.write_all_at(bytes, mapped + at).expect("change the page");
    change((at + "PIN_CPUS=".len()) as u64, &[b'0' + there as u8]);
    change(u64::from(sets_at), &(1u64 << there).to_ne_bytes());
    libvirt.restart();
    let line = said(&libvirt, "which does not count");
    assert!(line.contains("QEMU's status page has another PIN_CPUS"), "{line}");
    for (_, allowed) in qemu.all_threads() {
        assert_eq!(allowed, here.to_string());
    }

    // The pid file: QEMU holds it open, and libvirt's lock on it.
    let path = qemu.descriptor(|target| target.ends_with(".pid")).expect("libvirt leaves it open");
    let victim = Program::new("sleep").arg("1000").affinity(&[there]).start();
    let mut file = fs::File::options().write(true).truncate(true).open(&path).expect("open the pid file");
    file.write_all(format!("{}\n", victim.pid()).as_bytes()).expect("change the pid file");
    libvirt.restart();
    let line = said(&libvirt, "libvirt's lock on it is held by");
    assert!(line.contains("no thread was moved or checked"), "{line}");
    assert_eq!(Qemu { pid: victim.pid() }.cpus_of("sleep"), Some(there.to_string()));
    let mut file = fs::File::options().write(true).truncate(true).open(&path).expect("open the pid file");
    file.write_all(format!("{}\n", qemu.pid).as_bytes()).expect("put it back");
    libvirt.destroy(&domain, qemu);
}

/// What pinshim warns of in the domain's log.
fn warnings(libvirt: &Libvirt, domain: &Domain) -> Vec<String> {
    let log = libvirt.domain_log(domain);
    log.lines().filter(|line| line.starts_with("pinshim: ")).map(str::to_owned).collect()
}

/// Whether libvirt has given the vCPUs cgroups with a cpuset; says so where not, since then nothing limits them.
fn has_cgroups(qemu: Qemu) -> bool {
    let (tid, _) = qemu.threads("CPU 0/KVM").pop().expect("vCPU 0");
    let cgroups = fs::read_to_string(format!("/proc/{}/task/{tid}/cgroup", qemu.pid)).expect("its cgroups");
    let has = cgroups.lines().any(|line| line.ends_with("/vcpu0"));
    if !has {
        skip("libvirt has made no cgroup for the vCPU: its cpuset does not limit it here");
    }
    has
}

/// <cputune> that says the same as the placement, as people have it who come from it: there is nothing to say, and every
/// thread is where it belongs, also the one that the kernel makes in the cgroup of a vCPU.
#[test]
fn a_domains_threads_have_the_class_and_the_memory_policy_of_its_xml() {
    let _limit = TimeLimit::seconds(200);
    let Some((libvirt, cpus)) = world(true) else { return };
    let more = "sched='vcpus@batch:3,iothreads[iothread1]@other:2' memory='local'";
    let domain = Domain::new(&libvirt, "class", true).placement(&format!("{} {more}", placement(cpus)));
    libvirt.define(&domain);
    let (qemu, observer) = libvirt.start_observed(&domain);
    domain.wait_visits(1);
    assert_in_place(&observer.finish(), cpus);
    let outer = scheduling_of(0).expect("this thread's class").class;
    let mut seen = Vec::new();
    for (tid, name) in harness::threads(qemu.pid) {
        // A worker may have ended since.
        let Some(scheduling) = scheduling_of(tid) else { continue };
        let expected = match name.as_str() {
            name if name.starts_with("CPU ") => "batch:3",
            "IO iothread1" => "other:2",
            _ => &outer,
        };
        assert_eq!(scheduling.class, expected, "{name}");
        seen.push(name);
    }
    assert!(["CPU 0/KVM", "CPU 1/KVM", "IO iothread1"].iter().all(|name| seen.iter().any(|s| s == name)));
    // Not there where the kernel has no NUMA.
    if let Ok(maps) = fs::read_to_string(format!("/proc/{}/numa_maps", qemu.pid)) {
        let policy = maps.lines().next().and_then(|line| line.split_whitespace().nth(1));
        assert_eq!(policy, Some("local"));
    }
    assert_eq!(libvirt.pinshim(&["check", &domain.name]), (0, String::new()));
    nothing_is_left(&libvirt, &domain, qemu);
}

#[test]
fn a_cputune_that_agrees_with_the_placement_is_silent() {
    let _limit = TimeLimit::seconds(150);
    let Some((mut libvirt, cpus)) = world(true) else { return };
    let (here, there) = (cpus.first, cpus.second);
    let pins: String = (0..3).map(|vcpu| format!("<vcpupin vcpu='{vcpu}' cpuset='{there}'/>")).collect();
    let domain = Domain::new(&libvirt, "agreeing", true)
        .placement(&format!(
            "cpus='{here}' vcpus='*@{there}' iothreads='iothread1@{there}' emulator='{here}'"
        ))
        .tuning(&format!("{pins}<emulatorpin cpuset='{here}'/><iothreadpin iothread='1' cpuset='{there}'/>"));
    libvirt.define(&domain);
    for _ in 0..2 {
        let qemu = libvirt.start_domain(&domain);
        domain.wait_visits(1);
        let is_made = until(60, "the kernel's thread", || {
            qemu.cpus_of("kvm-nx-lpage-re").filter(|cpus| *cpus == here.to_string())
        });
        assert_eq!(is_made, here.to_string());
        assert_eq!(libvirt.pinshim(&["check", &domain.name]), (0, String::new()));
        assert_eq!(warnings(&libvirt, &domain), [""; 0]);
        // Nor does the hook warn of anything, now or when libvirt's daemon comes back.
        let lines = libvirt.hook_lines(&domain);
        assert!(lines.iter().all(|line| line.starts_with("<30>")), "{lines:?}");
        libvirt.restart();
        assert_eq!(libvirt.pinshim(&["check", &domain.name]), (0, String::new()));
        libvirt.destroy(&domain, qemu);
    }
}

/// The guest may begin to run long after QEMU: the thread that the kernel makes then is put where it belongs all the same.
#[test]
fn a_guest_that_runs_later_has_the_kernels_thread_where_it_belongs() {
    let _limit = TimeLimit::seconds(100);
    let Some((libvirt, cpus)) = world(true) else { return };
    let (here, there) = (cpus.first, cpus.second);
    let domain = Domain::new(&libvirt, "paused", true)
        .placement(&format!("cpus='{here}' vcpus='*@{there}'"))
        .tuning(&format!("<vcpupin vcpu='0' cpuset='{there}'/><vcpupin vcpu='1' cpuset='{there}'/>"));
    libvirt.define(&domain);
    libvirt.virsh_ok(&["start", "--paused", &domain.name]);
    let qemu = libvirt.qemu(&domain).expect("a QEMU");
    // Longer than the hook may take.
    thread::sleep(Duration::from_secs(3));
    libvirt.virsh_ok(&["resume", &domain.name]);
    domain.wait_visits(1);
    until(60, "the kernel's thread", || {
        qemu.cpus_of("kvm-nx-lpage-re").filter(|cpus| *cpus == here.to_string())
    });
    assert_eq!(libvirt.pinshim(&["check", &domain.name]), (0, String::new()));
    if has_cgroups(qemu) {
        let moved = |line: &String| line.contains("1 thread of the kernel's put where");
        until(60, "the hook's second line", || libvirt.hook_lines(&domain).into_iter().find(moved));
    }
    libvirt.destroy(&domain, qemu);
}

/// QEMU starts in the cgroup of its emulator, and that a vCPU cannot have its CPU in there passes. What stays is said: of
/// the thread that it is true of, with its own cgroup, by the library and by the command, with a way out that is one.
#[test]
fn the_pin_that_stays_in_the_way_is_the_one_that_is_named() {
    let _limit = TimeLimit::seconds(100);
    let Some((libvirt, cpus)) = world(true) else { return };
    let (here, there) = (cpus.first, cpus.second);
    let domain = Domain::new(&libvirt, "against", true)
        .placement(&format!("cpus='{here}' vcpus='0@{here},1@{there},2@{there}'"))
        .tuning(&format!("<vcpupin vcpu='1' cpuset='{here}'/><emulatorpin cpuset='{here}'/>"));
    libvirt.define(&domain);
    let qemu = libvirt.start_domain(&domain);
    domain.wait_visits(1);
    if !has_cgroups(qemu) {
        return libvirt.destroy(&domain, qemu);
    }
    let warnings = warnings(&libvirt, &domain);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("vCPU 1 belongs on"), "{}", warnings[0]);
    assert!(warnings[1].contains("/vcpu1 leaves it"), "{}", warnings[1]);
    let held = format!("HELD on {here} by its cgroup …/vcpu1: virsh vcpupin or <cputune>");
    let (status, checked) = libvirt.pinshim(&["check", &domain.name]);
    assert!(status == 1 && checked.lines().count() == 2 && checked.contains(&held), "{checked}");
    let (_, shown) = libvirt.pinshim(&["show", &domain.name]);
    let hint = format!("virsh vcpupin {} 1 {there}", domain.name);
    assert!(shown.contains(&format!("`{hint}`")) && !shown.contains("pinshim apply"), "{shown}");
    let words: Vec<&str> = hint.split(' ').skip(1).collect();
    libvirt.virsh_ok(&words);
    assert_eq!(libvirt.pinshim(&["check", &domain.name]), (0, String::new()));
    // The emulator's pin, moved while the guest runs.
    libvirt.virsh_ok(&["emulatorpin", &domain.name, &there.to_string()]);
    let (_, checked) = libvirt.pinshim(&["check", &domain.name]);
    let held = format!("HELD on {there} by its cgroup …/emulator: virsh emulatorpin or <cputune>");
    assert!(checked.contains(&held), "{checked}");
    let (_, shown) = libvirt.pinshim(&["show", &domain.name]);
    let hint = format!("virsh emulatorpin {} {here}", domain.name);
    assert!(shown.contains(&format!("`{hint}`")) && !shown.contains("pinshim apply"), "{shown}");
    let words: Vec<&str> = hint.split(' ').skip(1).collect();
    libvirt.virsh_ok(&words);
    libvirt.destroy(&domain, qemu);
}

/// A hook that is missing, may not be executed, or that libvirt's daemon does not know of: the wrapper says in the
/// domain's log that nobody has brought it the placement.
#[test]
fn a_domain_whose_placement_nobody_brings_is_told_in_its_log() {
    let _limit = TimeLimit::seconds(100);
    let Some((libvirt, cpus)) = world(false) else { return };
    let domain = Domain::new(&libvirt, "unheard", false).placement(&format!("cpus='{}'", cpus.second));
    libvirt.define(&domain);
    let hook = libvirt.path("etc/libvirt/hooks/qemu.d/pinshim");
    let start = || {
        libvirt.virsh_ok(&["start", "--paused", &domain.name]);
        let qemu = libvirt.qemu(&domain).expect("a QEMU");
        let loaded = qemu.mapping("libpinshim.so").is_some();
        libvirt.destroy(&domain, qemu);
        (loaded, warnings(&libvirt, &domain))
    };
    assert_eq!(start(), (true, Vec::new()));
    for mode in [0o644, 0] {
        fs::set_permissions(&hook, fs::Permissions::from_mode(mode)).expect("change the hook's mode");
        if mode == 0 {
            fs::remove_file(&hook).expect("remove the hook");
        }
        let before = warnings(&libvirt, &domain).len();
        let (loaded, said) = start();
        assert!(!loaded && said.len() == before + 1, "{said:?}");
        let line = format!("pinshim: no placement found for {}: the hook has left none in ", domain.name);
        assert!(said[before].starts_with(&line) && said[before].ends_with("it runs unpinned"), "{said:?}");
    }
}

/// Beside <cputune>: the explicit placement wins wherever libvirt's cpuset allows it; where not, it is said.
#[test]
fn beside_cputune() {
    let _limit = TimeLimit::seconds(150);
    let Some((libvirt, cpus)) = world(true) else { return };
    let (here, there) = (cpus.first, cpus.second);
    let domain = Domain::new(&libvirt, "tuned", true)
        .placement(&format!("cpus='{here}' vcpus='*@{there}' iothreads='{there}'"))
        .tuning(&format!(
            "<vcpupin vcpu='0' cpuset='{here}'/><vcpupin vcpu='1' cpuset='{here},{there}'/>\
             <iothreadpin iothread='1' cpuset='{here},{there}'/>"
        ));
    libvirt.define(&domain);
    let qemu = libvirt.start_domain(&domain);
    soon_on(qemu, "CPU 1/KVM", there);
    soon_on(qemu, "IO iothread1", there);
    if !has_cgroups(qemu) {
        soon_on(qemu, "CPU 0/KVM", there);
        return libvirt.destroy(&domain, qemu);
    }
    thread::sleep(Duration::from_secs(WATCHED));
    assert_eq!(qemu.cpus_of("CPU 0/KVM"), Some(here.to_string()), "libvirt's cpuset has no other");
    let hook = libvirt.hook_lines(&domain).pop().unwrap_or_default();
    let said = format!(
        "CPU 0/KVM may run on {here} and belongs on {there}, held by its cgroup …/vcpu0: virsh vcpupin or <cputune>"
    );
    assert!(hook.contains(&said), "{hook}");
    let warnings = warnings(&libvirt, &domain);
    assert_eq!(warnings.len(), 2, "one before the start, one of the thread: {warnings:?}");
    let before = format!("vCPU 0 belongs on {there}, and <vcpupin> of <cputune> leaves it only {here}: ");
    assert!(warnings[0].contains(&before), "{}", warnings[0]);
    for part in ["/vcpu0 leaves it", &format!("should run on {there};"), &format!("leaves it {here}")] {
        assert!(warnings[1].contains(part), "{part:?} in {}", warnings[1]);
    }
    libvirt.destroy(&domain, qemu);
}
