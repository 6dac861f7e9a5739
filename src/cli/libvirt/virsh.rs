//! libvirt, asked through `virsh`: the libvirt of this host alone, each call with a time limit.
//!
//! Whoever owns a domain chose what stands in its name and its XML, so that nothing of it reaches a shell, an option of
//! virsh's or a terminal as it is.

use crate::libvirt::domain_xml::is_uuid;
use crate::libvirt::xml_input::XML_BYTES;
use crate::output::failure::Failure;
use crate::output::text::cut;
use crate::sys::program::{self, Limits};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::time::Duration;

/// What a call of virsh may take. libvirt asks a QEMU that it does not know yet what it can do when a domain is
/// defined, which takes seconds.
const LIMITS: Limits = Limits { time: Duration::from_secs(60), bytes: XML_BYTES };

/// So many characters of what virsh says go into a sentence.
const SAID: usize = 600;

/// A connection to a libvirt.
#[derive(Debug)]
pub(crate) struct Virsh {
    program: OsString,
    uri: Option<OsString>,
    /// Whether it is an ordinary user's, `qemu:///session`, which runs no hooks.
    pub(crate) is_session: bool,
}

/// What `virsh dominfo` says of a domain.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) name: String,
    /// In libvirt's words, such as `running` or `shut off`.
    pub(crate) state: String,
    /// Whether libvirt keeps its configuration: a transient domain ends with its QEMU.
    pub(crate) is_persistent: bool,
    /// Whether its next start restores what `virsh managedsave` has saved.
    pub(crate) has_managed_save: bool,
}

impl Info {
    /// Whether it has a QEMU now.
    pub(crate) fn is_active(&self) -> bool {
        self.state != "shut off"
    }
}

impl Virsh {
    /// The libvirt that a URI names, or the usual one of whoever asks.
    ///
    /// # Errors
    /// There is no virsh, it does not answer, or the libvirt is not this host's.
    pub(crate) fn connect(uri: Option<&OsStr>) -> Result<Self, Failure> {
        Self::with_program("virsh".into(), uri)
    }

    fn with_program(program: OsString, uri: Option<&OsStr>) -> Result<Self, Failure> {
        let mut virsh = Self { program, uri: uri.map(OsStr::to_owned), is_session: false };
        if let Some(uri) = uri {
            virsh.is_session = is_session(&uri.to_string_lossy())?;
        }
        let answer = virsh.ask(&["uri"], &[])?;
        virsh.is_session = is_session(answer.trim())?;
        Ok(virsh)
    }

    /// The UUID of a domain, by its name, its number or its UUID.
    ///
    /// # Errors
    /// There is no such domain.
    pub(crate) fn uuid(&self, domain: &OsStr) -> Result<String, Failure> {
        let answer = self.ask(&["domuuid"], &[domain])?;
        checked_uuid(answer.trim())
    }

    /// The UUIDs of all domains.
    pub(crate) fn all(&self) -> Result<Vec<String>, Failure> {
        let answer = self.ask(&["list", "--all", "--uuid"], &[])?;
        answer.lines().map(str::trim).filter(|line| !line.is_empty()).map(checked_uuid).collect()
    }

    /// What there is to know about a domain, by its UUID.
    pub(crate) fn info(&self, uuid: &str) -> Result<Info, Failure> {
        Ok(read_info(&self.ask(&["dominfo"], &[OsStr::new(uuid)])?))
    }

    /// The XML that the domain is started from the next time, with its passwords: without them, a domain that is defined
    /// from it would lose them.
    pub(crate) fn inactive_xml(&self, uuid: &str) -> Result<String, Failure> {
        self.ask(&["dumpxml", "--inactive", "--security-info"], &[OsStr::new(uuid)])
    }

    /// The XML of the domain as it runs, or as it would be started.
    pub(crate) fn xml(&self, uuid: &str) -> Result<String, Failure> {
        self.ask(&["dumpxml"], &[OsStr::new(uuid)])
    }

    /// Makes an XML a domain's configuration.
    pub(crate) fn define(&self, xml: &str) -> Result<(), Failure> {
        self.ask_with_input(&["define"], &[OsStr::new("/dev/stdin")], xml).map(drop)
    }

    /// The emulator that libvirt itself would choose for such a domain. `None`: it knows none.
    pub(crate) fn usual_emulator(&self, virt_type: &str, arch: &str) -> Option<String> {
        let answer = self.ask(&["domcapabilities", "--virttype", virt_type, "--arch", arch], &[]).ok()?;
        let path = answer.split_once("<path>")?.1.split_once("</path>")?.0;
        (path.starts_with('/') && !path.contains(['&', '<', '\n'])).then(|| path.to_owned())
    }

    fn ask(&self, command: &[&str], operands: &[&OsStr]) -> Result<String, Failure> {
        self.ask_with_input(command, operands, "")
    }

    /// What virsh answers. Operands are never taken for options.
    fn ask_with_input(&self, command: &[&str], operands: &[&OsStr], input: &str) -> Result<String, Failure> {
        let mut arguments = vec![OsStr::new("--quiet")];
        if let Some(uri) = &self.uri {
            arguments.extend([OsStr::new("--connect"), uri]);
        }
        arguments.extend(command.iter().map(OsStr::new));
        if !operands.is_empty() {
            arguments.push(OsStr::new("--"));
            arguments.extend(operands);
        }
        let name = command.first().copied().unwrap_or_default();
        let done = program::run(&mut program::command(&self.program, &arguments), input, LIMITS);
        let done = done.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::new("there is no virsh here").next("install libvirt-clients"),
            ErrorKind::TimedOut => {
                Failure::new(format!("virsh {name} has not ended within {} seconds", LIMITS.time.as_secs()))
            }
            ErrorKind::FileTooLarge => Failure::new(format!(
                "virsh {name} has said more than {} bytes, which are not read",
                LIMITS.bytes
            )),
            _ => Failure::new(format!("virsh cannot be run: {error}")),
        })?;
        if !done.status.success() {
            return Err(Failure::new(complaint(name, &done.stderr)));
        }
        String::from_utf8(done.stdout)
            .map_err(|_| Failure::new(format!("virsh {name}: its answer is no UTF-8")))
    }
}

/// What virsh complains about, in a sentence.
fn complaint(command: &str, stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(|line| line.strip_prefix("error: ").unwrap_or(line).trim());
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    format!("virsh {command}: {}", cut(&lines.join("; "), SAID))
}

/// Whether a URI is that of a session's libvirt.
///
/// # Errors
/// It is the libvirt of another host, or no QEMU's.
fn is_session(uri: &str) -> Result<bool, Failure> {
    let (scheme, rest) = uri.split_once("://").unwrap_or((uri, ""));
    if !matches!(scheme, "qemu" | "qemu+unix") {
        return Err(Failure::new(format!("{}: only domains of this host's QEMU are pinned", cut(uri, SAID)))
            .next("--connect wants qemu:///system or qemu:///session; on another host, run pinshim there"));
    }
    let path = rest.split('?').next().unwrap_or_default();
    match path {
        "/system" => Ok(false),
        "/session" => Ok(true),
        // A name stands before the path.
        _ => Err(Failure::new(format!("{}: this is not this host's libvirt", cut(uri, SAID)))
            .next("--connect wants qemu:///system or qemu:///session; on another host, run pinshim there")),
    }
}

fn checked_uuid(text: &str) -> Result<String, Failure> {
    if is_uuid(text) {
        return Ok(text.to_owned());
    }
    Err(Failure::new(format!("virsh names no UUID, but {}", cut(text, SAID))))
}

fn read_info(answer: &str) -> Info {
    let value = |key: &str| {
        let line = answer.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.map(str::trim).unwrap_or_default().to_owned()
    };
    Info {
        name: value("Name"),
        state: value("State"),
        is_persistent: value("Persistent") == "yes",
        has_managed_save: value("Managed save") == "yes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "7430d5d9-a334-461e-af4e-526061963a0d";

    /// A program that stands in for virsh: its script, and what it makes of a call.
    fn virsh(script: &str) -> (tempfile::TempDir, Result<Virsh, Failure>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("virsh");
        let script =
            format!("#!/bin/sh\ncase $* in '--quiet uri') echo qemu:///system; exit;; esac\n{script}");
        // Written by another process: a child of another test's could hold it open for writing just when it is run.
        let write = "printf %s \"$2\" >\"$1\" && chmod +x \"$1\"";
        let written =
            std::process::Command::new("sh").args(["-c", write, "sh"]).arg(&path).arg(script).status();
        assert!(written.unwrap().success());
        (folder, Virsh::with_program(path.into(), None))
    }

    #[test]
    fn only_this_hosts_qemu_is_asked() {
        for (uri, session) in [
            ("qemu:///system", false),
            ("qemu:///session", true),
            ("qemu+unix:///system?socket=/run/x", false),
        ] {
            assert_eq!(is_session(uri), Ok(session), "{uri}");
        }
        for uri in [
            "",
            "qemu://other/system",
            "qemu+ssh://root@other/system",
            "qemu+tls:///system",
            "test:///default",
            "lxc:///system",
            "qemu:///embed?root=/x",
        ] {
            assert!(is_session(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn a_domains_name_is_never_an_option() {
        let (_folder, virsh) =
            virsh(r#"[ "$*" = "--quiet domuuid -- --all" ] && echo 7430d5d9-a334-461e-af4e-526061963a0d"#);
        assert_eq!(virsh.unwrap().uuid(OsStr::new("--all")), Ok(UUID.to_owned()));
    }

    #[test]
    fn what_virsh_complains_about_is_a_sentence() {
        let (_folder, virsh) = virsh("printf \"error: failed to get domain 'x'\\nerror: \\n\" >&2; exit 1");
        let why = virsh.unwrap().uuid(OsStr::new("x")).unwrap_err().to_string();
        assert_eq!(why, "virsh domuuid: failed to get domain 'x'");
        assert!(complaint("define", "é".repeat(10_000).as_bytes()).chars().count() < SAID + 30);
    }

    #[test]
    fn an_answer_that_is_none_is_refused() {
        let (_folder, virsh) = virsh("case $2 in domuuid) echo ../../etc;; *) printf '\\377';; esac");
        let virsh = virsh.unwrap();
        assert_eq!(
            virsh.uuid(OsStr::new("x")).unwrap_err().to_string(),
            "virsh names no UUID, but ../../etc"
        );
        assert_eq!(virsh.xml(UUID).unwrap_err().to_string(), "virsh dumpxml: its answer is no UTF-8");
    }

    #[test]
    fn the_xml_reaches_virsh_as_it_is() {
        let (folder, virsh) = virsh(r#"[ "$3" = -- ] && [ "$4" = /dev/stdin ] && cat >"${0%/*}/xml""#);
        let xml = format!("<domain>{}</domain>", "x".repeat(1 << 20));
        assert_eq!(virsh.unwrap().define(&xml), Ok(()));
        assert_eq!(std::fs::read_to_string(folder.path().join("xml")).unwrap(), xml);
    }

    #[test]
    fn dominfo_is_read() {
        let info = read_info(
            "Id:             1\nName:           a b: c\nState:          running\nPersistent:     yes\nManaged save:   no\n",
        );
        let expected = Info {
            name: "a b: c".into(),
            state: "running".into(),
            is_persistent: true,
            has_managed_save: false,
        };
        assert_eq!(info, expected);
        assert!(info.is_active());
    }

    #[test]
    fn the_usual_emulator_is_a_path() {
        let (_folder, virsh) = virsh("echo '<domainCapabilities>\n  <path>/usr/bin/qemu</path>'");
        assert_eq!(virsh.unwrap().usual_emulator("kvm", "x86_64"), Some("/usr/bin/qemu".to_owned()));
        for answer in ["", "<path>qemu</path>", "<path>/a&amp;</path>"] {
            let (_folder, virsh) = self::virsh(&format!("echo '{answer}'"));
            assert_eq!(virsh.unwrap().usual_emulator("kvm", "x86_64"), None, "{answer}");
        }
    }
}
