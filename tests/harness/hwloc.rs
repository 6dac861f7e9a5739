//! What hwloc, which knows nothing of pinshim, finds in a host's /sys: the oracle for `pinshim plan`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::process::Program;

/// Sets of CPUs, each of which shares something.
pub type Groups = BTreeSet<BTreeSet<u64>>;

/// What hwloc finds in a host.
#[derive(Debug)]
pub struct HwlocHost {
    /// The kind of each object, its number, and its CPUs.
    objects: Vec<(String, Option<u64>, BTreeSet<u64>)>,
}

impl HwlocHost {
    /// Has hwloc look at the host of which a folder has a copy, also at CPUs that its cgroups leave out.
    ///
    /// # Errors
    /// Why it cannot be had here.
    pub fn read(root: &Path) -> Result<Self, String> {
        if !Path::new("/usr/bin/lstopo-no-graphics").exists() {
            return Err("there is no lstopo (hwloc-nox)".to_owned());
        }
        let finished = Program::new("lstopo-no-graphics")
            .args(["--input", root.to_str().expect("a printable path"), "--if", "fsroot"])
            .args(["--no-io", "--disallowed", "--of", "xml"])
            .run();
        let attribute = |line: &str, name: &str| {
            Some(line.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?.to_owned())
        };
        let object = |line: &str| {
            let number = attribute(line, "os_index").and_then(|number| number.parse().ok());
            Some((attribute(line, "type")?, number, cpus_of_mask(&attribute(line, "cpuset")?)))
        };
        let lines = finished.stdout.lines().filter(|line| line.trim_start().starts_with("<object "));
        Ok(Self { objects: lines.filter_map(object).filter(|(_, _, cpus)| !cpus.is_empty()).collect() })
    }

    /// The objects of a kind: `Package`, `Core`, `L3Cache`, …
    pub fn groups(&self, kind: &str) -> Groups {
        self.of(kind).map(|(_, cpus)| cpus.clone()).collect()
    }

    fn of(&self, kind: &str) -> impl Iterator<Item = (Option<u64>, &BTreeSet<u64>)> {
        self.objects.iter().filter(move |(of, ..)| of == kind).map(|(_, number, cpus)| (*number, cpus))
    }

    /// The NUMA nodes that have CPUs of their own. To one without, hwloc gives those that are near it.
    pub fn nodes(&self, root: &Path) -> Groups {
        let has_cpus = |number: Option<u64>| {
            let folder = root.join(format!("sys/devices/system/node/node{}", number.unwrap_or_default()));
            let says = |file| fs::read_to_string(folder.join(file)).unwrap_or_default();
            says("cpulist").contains(|c: char| c.is_ascii_digit())
                || says("cpumap").contains(|c: char| c.is_ascii_hexdigit() && c != '0')
        };
        self.of("NUMANode").filter(|(number, _)| has_cpus(*number)).map(|(_, cpus)| cpus.clone()).collect()
    }

    /// For each CPU the cache of the highest level that several cores share.
    pub fn last_shared_caches(&self) -> Groups {
        let cores = self.groups("Core");
        let is_shared =
            |cpus: &BTreeSet<u64>| cpus.len() > 1 && !cores.iter().any(|core| cpus.is_subset(core));
        let mut all = Groups::new();
        for kind in ["L5Cache", "L4Cache", "L3Cache", "L2Cache"] {
            for cpus in self.groups(kind).into_iter().filter(is_shared) {
                if all.iter().all(|above| above.is_disjoint(&cpus)) {
                    all.insert(cpus);
                }
            }
        }
        all
    }
}

/// What `pinshim plan --format json` finds of one kind: `package`, `node`, `cache`, `core`, `cpu`.
pub fn planned_groups(document: &Value, kind: &str) -> Groups {
    let host = document["host"].as_array().expect("a host");
    let numbers: BTreeSet<u64> = host.iter().map(|cpu| cpu[kind].as_u64().expect("a number")).collect();
    let group = |number: u64| {
        let alike = host.iter().filter(|cpu| cpu[kind] == number);
        alike.map(|cpu| cpu["cpu"].as_u64().expect("a number")).collect()
    };
    numbers.into_iter().map(group).collect()
}

/// The CPUs of a mask that hwloc prints: `0x00000003,0x80000000`, the highest word first; of an empty word nothing.
fn cpus_of_mask(mask: &str) -> BTreeSet<u64> {
    let words =
        mask.split(',').rev().map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap_or(0));
    (0..)
        .zip(words)
        .flat_map(|(at, word)| (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at * 32 + bit))
        .collect()
}
