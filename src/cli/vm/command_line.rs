//! What QEMU's arguments say: the VM's name, its vCPUs and its IOThreads.

use pinning::VCPU_LIMIT;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Whether an argument is an option, for which QEMU takes two dashes too.
fn is_option(argument: &OsStr, option: &str) -> bool {
    argument == option || argument.as_bytes().strip_prefix(b"-") == Some(option.as_bytes())
}

/// What stands after an option, each time that it is given.
fn values<'a>(arguments: &'a [OsString], option: &str) -> impl DoubleEndedIterator<Item = &'a OsStr> {
    arguments.windows(2).filter_map(move |pair| match pair {
        [first, value] if is_option(first, option) => Some(value.as_os_str()),
        _ => None,
    })
}

/// The VM's name, from `-name guest=X,…` or `-name X,…`. Of several the last counts, as it does for QEMU.
pub(crate) fn vm_name(arguments: &[OsString]) -> Option<String> {
    let mut names = values(arguments, "-name").filter_map(|value| guest(value.as_bytes()));
    let name = names.next_back().filter(|name| !name.is_empty())?;
    Some(String::from_utf8_lossy(&name).into_owned())
}

/// The `guest` item of an option's value. The first item may leave out the key, and a comma inside an item is
/// written twice (QEMU's util/keyval.c).
fn guest(value: &[u8]) -> Option<Vec<u8>> {
    let mut items: Vec<Vec<u8>> = vec![Vec::new()];
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let doubled = byte == b',' && bytes.next_if_eq(&b',').is_some();
        if byte == b',' && !doubled {
            items.push(Vec::new());
        } else if let Some(item) = items.last_mut() {
            item.push(byte);
        }
    }
    let first = items.first().filter(|item| !item.contains(&b'=')).cloned();
    items.iter().filter_map(|item| item.strip_prefix(b"guest=").map(<[u8]>::to_vec)).next_back().or(first)
}

/// What `-smp` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Smp {
    /// All vCPUs that there may ever be: those of the start and those that can be plugged in later.
    pub(crate) vcpus: u32,
    /// The threads of a guest's core, where it says so.
    pub(crate) threads: Option<u32>,
}

/// The number of vCPUs from `-smp`, as QEMU works it out (machine_parse_smp_config of its hw/core/machine-smp.c): `maxcpus`,
/// else `cpus`, else sockets times dies and so on. Of several options the last counts for each key. `None`: there is no
/// `-smp`, or it says nothing that is a number.
pub(crate) fn smp(arguments: &[OsString]) -> Option<Smp> {
    let mut items: BTreeMap<&str, u32> = BTreeMap::new();
    let values = values(arguments, "-smp").filter_map(|value| value.to_str());
    for item in values.flat_map(|value| value.split(',')) {
        let (key, number) = item.split_once('=').unwrap_or(("cpus", item));
        items.insert(key, number.parse().ok()?);
    }
    const LEVELS: [&str; 7] = ["drawers", "books", "sockets", "dies", "clusters", "modules", "cores"];
    let threads = items.get("threads").copied();
    let mut levels = LEVELS.iter().filter_map(|level| items.get(level)).chain(threads.as_ref());
    let product = levels.try_fold(1u32, |product, number| product.checked_mul(*number))?;
    let vcpus = items.get("maxcpus").or(items.get("cpus")).copied().unwrap_or(product);
    (!items.is_empty() && vcpus > 0).then_some(Smp { vcpus, threads })
}

/// Whether a guest of the x86 architecture sees siblings on a processor of AMD's: its CPU has `topoext`, by name or as one
/// of QEMU's models of an EPYC. True too for an emulator of another architecture.
pub(crate) fn has_topoext(command: &[OsString]) -> bool {
    let is_other = |word: &OsString| {
        let name = Path::new(word).file_name().unwrap_or_default().to_string_lossy();
        name.strip_prefix("qemu-system-").is_some_and(|machine| !machine.starts_with(['x', 'i']))
    };
    let has = |cpu: &OsStr| {
        let cpu = cpu.to_string_lossy();
        let names = cpu.split(',').any(|item| ["topoext", "+topoext", "topoext=on"].contains(&item));
        names || (cpu.starts_with("EPYC") && !cpu.contains("topoext=off"))
    };
    command.iter().any(is_other) || values(command, "-cpu").last().is_some_and(has)
}

/// The ids of the IOThreads that QEMU's arguments create, in the order of creation.
pub(crate) fn iothreads(command: &[OsString]) -> Vec<String> {
    let objects = values(command, "-object").filter_map(|value| value.to_str());
    objects.filter_map(iothread).take(IOTHREADS).collect()
}

/// How many vCPUs the arguments give a VM, those that are plugged in later included. `None`: they do not say it here.
pub(crate) fn vcpus(command: &[OsString]) -> Option<u32> {
    // Other places that may say it: a file, and properties of the machine.
    let is_elsewhere = |word: &OsString| {
        let word = word.as_bytes();
        word.ends_with(b"-readconfig") || word.windows(4).any(|part| part == b"smp.")
    };
    if command.iter().any(is_elsewhere) {
        return None;
    }
    let has_smp = command.iter().any(|word| is_option(word, "-smp"));
    if has_smp { smp(command).map(|smp| smp.vcpus).filter(|number| *number <= VCPU_LIMIT) } else { Some(1) }
}

/// More IOThreads make no sense.
const IOTHREADS: usize = 1024;

/// The id of the IOThread that the value of an `-object` creates, if it creates one. The value is JSON or a list of
/// items, of which the first may leave out its key (QEMU's qom/object_interfaces.c, user_creatable_parse_str).
fn iothread(value: &str) -> Option<String> {
    if value.starts_with('{') {
        // QEMU's own JSON has strings in single quotes too (qobject/json-lexer.c).
        let object: Value =
            serde_json::from_str(value).or_else(|_| serde_json::from_str(&value.replace('\'', "\""))).ok()?;
        let member = |name: &str| object.get(name).and_then(Value::as_str);
        return member("id").filter(|_| member("qom-type") == Some("iothread")).map(str::to_owned);
    }
    let item = |key: &str| value.split(',').filter_map(|item| item.strip_prefix(key)).next_back();
    let first = value.split(',').next().filter(|first| !first.contains('='));
    let kind = item("qom-type=").or(first);
    item("id=").filter(|_| kind == Some("iothread")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(arguments: &[&str], name: Option<&str>) {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        assert_eq!(vm_name(&arguments).as_deref(), name);
    }

    #[test]
    fn both_forms_and_the_doubled_comma() {
        is(&["qemu", "-name", "guest=web,debug-threads=on", "-m", "64"], Some("web"));
        is(&["qemu", "-name", "web,process=x"], Some("web"));
        is(&["qemu", "--name", "debug-threads=on,guest=a,,b"], Some("a,b"));
        is(&["qemu", "-name", "a", "-name", "b"], Some("b"));
        is(&["qemu", "-name", "a", "-name", "debug-threads=on"], Some("a"));
        is(&["qemu", "-name", "evil\x1b[2J"], Some("evil\x1b[2J"));
    }

    #[test]
    fn vcpus_are_counted_as_qemu_counts_them() {
        let counted = |arguments: &[&str]| {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            smp(&arguments).map(|smp| (smp.vcpus, smp.threads))
        };
        assert_eq!(counted(&["qemu", "-smp", "4"]), Some((4, None)));
        assert_eq!(counted(&["qemu", "-smp", "cpus=2,maxcpus=6"]), Some((6, None)));
        assert_eq!(counted(&["qemu", "--smp", "sockets=2,dies=2,cores=3,threads=2"]), Some((24, Some(2))));
        assert_eq!(counted(&["qemu", "-smp", "4,cores=2,threads=2"]), Some((4, Some(2))));
        assert_eq!(counted(&["qemu", "-smp", "4", "-smp", "maxcpus=8"]), Some((8, None)));
        for arguments in [&["qemu"][..], &["qemu", "-smp"], &["qemu", "-smp", "many"], &["qemu", "-smp", "0"]]
        {
            assert_eq!(counted(arguments), None, "{arguments:?}");
        }
    }

    #[test]
    fn a_cpu_with_topology_extensions_is_known() {
        let has = |words: &str| has_topoext(&words.split(' ').map(OsString::from).collect::<Vec<_>>());
        for words in [
            "qemu-system-x86_64 -cpu host,topoext=on",
            "kvm -cpu max,+topoext",
            "qemu-system-x86_64 -cpu EPYC-Milan,x2apic=on",
            "/usr/bin/qemu-system-aarch64 -cpu host",
        ] {
            assert!(has(words), "{words}");
        }
        for words in [
            "qemu-system-x86_64 -smp 2",
            "qemu-system-x86_64 -cpu host",
            "qemu-system-i386 -cpu EPYC,topoext=off",
            "./start-vm -cpu host,topoext=off",
        ] {
            assert!(!has(words), "{words}");
        }
    }

    #[test]
    fn iothreads_are_found_in_each_form_of_an_object() {
        let arguments = [
            "qemu",
            "-object",
            "iothread,id=a,poll-max-ns=0",
            "--object",
            "qom-type=iothread,id=b",
            "-object",
            "id=c,qom-type=iothread",
            "-object",
            r#"{"qom-type":"iothread","id":"d","poll-max-ns":0}"#,
            "-object",
            "{'id': 'e', 'qom-type': 'iothread'}",
            "-object",
            r#"{"qom-type":"memory-backend-ram","id":"x","size":1}"#,
            "-object",
            "memory-backend-ram,id=y,size=1M",
            "-object",
            "{",
            "-object",
            "iothread",
        ];
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        assert_eq!(iothreads(&arguments), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn without_smp_there_is_one_vcpu_unless_another_place_may_say_more() {
        let of = |arguments: &[&str]| vcpus(&arguments.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!([of(&["qemu"]), of(&["qemu", "-smp", "2,maxcpus=8"])], [Some(1), Some(8)]);
        for unknown in
            [&["qemu", "-smp", "x"][..], &["qemu", "-readconfig", "f"], &["qemu", "-M", "pc,smp.cpus=2"]]
        {
            assert_eq!(of(unknown), None);
        }
    }

    #[test]
    fn no_name_is_none() {
        is(&["qemu", "-name", "debug-threads=on"], None);
        is(&["qemu", "-name"], None);
        is(&["qemu", "-name", ""], None);
        is(&[], None);
    }
}
