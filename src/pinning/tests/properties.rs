//! Properties of every text, not only of examples.

#![allow(clippy::indexing_slicing, reason = "a helper of a test fails the test")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use pinning::{
    CpuId, CpuList, CpuSet, Host, KernelThread, Policy, Role, SetId, VARIABLES, VcpuIndex, acts_in,
    glob_matches, same_cpus,
};
use proptest::prelude::*;

/// An item of a set, with what it does to a plain set of numbers.
#[derive(Clone, Debug)]
enum Item {
    With(u32, u32, u32),
    Without(u32, u32),
    Mask(u64),
    All,
}

impl Item {
    fn text(&self) -> String {
        match *self {
            Item::With(first, last, 1) if first == last => first.to_string(),
            Item::With(first, last, 1) => format!("{first}-{last}"),
            Item::With(first, last, step) => format!("{first}-{last}:{step}"),
            Item::Without(first, last) if first == last => format!("^{first}"),
            Item::Without(first, last) => format!("^{first}-{last}"),
            Item::Mask(mask) => format!("0x{mask:x}"),
            Item::All => "all".to_owned(),
        }
    }

    fn apply(&self, cpus: &mut BTreeSet<u32>, all: &CpuSet) {
        match *self {
            Item::With(first, last, step) => cpus.extend((first..=last).step_by(step as usize)),
            Item::Without(first, last) => cpus.retain(|cpu| !(first..=last).contains(cpu)),
            Item::Mask(mask) => cpus.extend((0..64).filter(|bit| mask >> bit & 1 == 1)),
            Item::All => cpus.extend(all.iter().map(|cpu| cpu.0)),
        }
    }
}

fn item() -> impl Strategy<Value = Item> {
    let range = || (0u32..2100, 0u32..150).prop_map(|(first, more)| (first, first + more));
    prop_oneof![
        3 => range().prop_map(|(first, last)| Item::With(first, last, 1)),
        2 => (range(), 1u32..9).prop_map(|((first, last), step)| Item::With(first, last, step)),
        2 => (0u32..2100).prop_map(|cpu| Item::With(cpu, cpu, 1)),
        2 => range().prop_map(|(first, last)| Item::Without(first, last)),
        1 => any::<u64>().prop_map(Item::Mask),
        1 => Just(Item::All),
    ]
}

fn set() -> impl Strategy<Value = CpuSet> {
    prop::collection::btree_set(0u32..5000, 0..40).prop_map(|cpus| cpus.into_iter().map(CpuId).collect())
}

fn numbers(set: &CpuSet) -> BTreeSet<u32> {
    set.iter().map(|cpu| cpu.0).collect()
}

/// Texts that are nearly right, where mistakes in parsing are likely.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[0-9,@*^:x \\[\\]allio-]{0,24}".prop_map(String::into_bytes),
        "(([0-9]{1,2}|[0-3]-[4-9]|\\*|io[0-9])@)?([0-9]|\\[[0-9](,[0-9])?\\])(,[0-9]@[0-9])?"
            .prop_map(String::into_bytes),
        "[0-7](-7)?(,[0-7])?".prop_map(String::into_bytes),
        "exit|warn|libvirt|on|off|info".prop_map(String::into_bytes),
        "(vcpus|emulator|all|workers)(\\[[0-4](-4)?\\])?@(other|batch|fifo|rr|idle)(:-?[0-9]{1,2}(:[0-9]ms)?)?"
            .prop_map(String::into_bytes),
        "(vcpus|iothreads)(\\[(0|1-3|io1)\\])?@fifo:1(,all@(batch|rr:2|other:[0-9]:3ms))?"
            .prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..24),
        ".{0,12}".prop_map(String::into_bytes),
    ]
}

fn environment() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let names: Vec<&str> =
        VARIABLES.iter().map(|variable| variable.name).chain(["PIN_CPU", "PIN_ROOT"]).collect();
    prop::collection::vec((prop::sample::select(names).prop_map(str::to_owned), value()), 0..6)
}

fn host() -> Host {
    Host { available: CpuSet::from_words(&[0xff]), start: CpuSet::from_words(&[0x0f]) }
}

/// The plainest matcher: recursive, and exponential in the number of stars.
fn naive(glob: &[u8], name: &[u8]) -> bool {
    match glob.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|taken| naive(rest, &name[taken..])),
        Some((&byte, rest)) => name
            .split_first()
            .is_some_and(|(&first, names)| (byte == b'?' || byte == first) && naive(rest, names)),
    }
}

proptest! {
    #[test]
    fn a_set_survives_its_own_text(set in set()) {
        prop_assume!(!set.is_empty());
        prop_assert_eq!(CpuSet::parse(&set.to_string(), &CpuSet::new()), Ok(set));
    }

    #[test]
    fn parse_agrees_with_a_naive_model(items in prop::collection::vec(item(), 1..8), blank in "[ \t\n]|,| , ") {
        let all = CpuSet::from_words(&[0b1011]);
        let mut cpus = BTreeSet::new();
        items.iter().for_each(|item| item.apply(&mut cpus, &all));
        let text = items.iter().map(Item::text).collect::<Vec<_>>().join(&blank);
        let starts_well = !matches!(items[0], Item::Without(..));
        match CpuSet::parse(&text, &all) {
            Ok(set) => prop_assert_eq!(numbers(&set), cpus),
            Err(_) => prop_assert!(cpus.is_empty() || !starts_well, "{} is refused", text),
        }
    }

    #[test]
    fn set_operations_agree_with_those_of_btree_sets(a in set(), b in set()) {
        let (x, y) = (numbers(&a), numbers(&b));
        prop_assert_eq!(numbers(&a.union(&b)), &x | &y);
        prop_assert_eq!(numbers(&a.intersection(&b)), &x & &y);
        prop_assert_eq!(numbers(&a.difference(&b)), &x - &y);
        prop_assert_eq!(a.is_subset(&b), x.is_subset(&y));
        prop_assert!(a.intersection(&b).is_subset(&a));
        prop_assert_eq!(a.len(), x.len());
        prop_assert_eq!(same_cpus(a.words(), b.words()), x == y);
        let padded: Vec<u64> = a.words().iter().copied().chain([0, 0]).collect();
        prop_assert!(same_cpus(a.words(), &padded));
        prop_assert_eq!(CpuList(&padded).to_string(), a.to_string());
        prop_assert_eq!(CpuSet::from_words(&padded), a);
    }

    #[test]
    fn globs_agree_with_a_naive_matcher(glob in "[ab*?]{0,8}", name in "[ab]{0,10}") {
        prop_assert_eq!(glob_matches(glob.as_bytes(), name.as_bytes()), naive(glob.as_bytes(), name.as_bytes()));
    }

    #[test]
    fn no_bytes_make_parse_or_a_name_panic(text in ".{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = CpuSet::parse(&text, &CpuSet::new());
        let _ = Role::of_qemu_name(&bytes);
        let _ = KernelThread::from_comm(&bytes);
        let _ = acts_in(Some(&bytes), text.as_bytes());
    }

    #[test]
    fn what_is_accepted_once_is_accepted_again(mut environment in environment(), warn in any::<bool>()) {
        if warn {
            environment.insert(0, ("PIN_ERRORS".to_owned(), b"warn".to_vec()));
        }
        let given = environment.into_iter().map(|(name, value)| (name, OsString::from_vec(value)));
        let parsed = Policy::parse(given, &host());
        for fault in parsed.faults.iter().chain(&parsed.warnings) {
            prop_assert!(!fault.to_string().contains('\n'));
        }
        if let Some(policy) = parsed.policy {
            let again = Policy::parse(policy.entries().iter().map(|(name, value)| (name, value)), &host());
            prop_assert_eq!(&again.faults, &[]);
            let again = again.policy.unwrap();
            prop_assert_eq!(format!("{policy:?}"), format!("{again:?}"));
        }
    }

    #[test]
    fn every_role_has_a_set_of_the_policy(
        environment in environment(),
        index in any::<u32>(),
        order in any::<u32>(),
        home in any::<u16>(),
        id in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let warn = [("PIN_ERRORS".to_owned(), OsString::from("warn"))];
        let given = environment.into_iter().map(|(name, value)| (name, OsString::from_vec(value)));
        let Some(policy) = Policy::parse(warn.into_iter().chain(given), &host()).policy else {
            return Ok(());
        };
        let home = SetId(home % policy.sets().len() as u16);
        let roles = [
            Role::Emulator, Role::Vcpu(VcpuIndex(index)), Role::Vcpu(VcpuIndex(index % 10)), Role::AllVcpus,
            Role::IoThread(&id), Role::Worker, Role::Migration, Role::Vhost, Role::Exempt,
        ];
        for role in roles {
            for order in [order, order % 4] {
                let set = policy.cpus_for(role, order, home);
                prop_assert!(usize::from(set.0) < policy.sets().len());
                prop_assert!(!policy.set(set).is_empty());
                let _ = policy.list_too_short(role, order);
            }
            prop_assert!(policy.class_for(role).is_none() || policy.has_classes());
        }
        let _ = policy.rule_for(&id);
    }
}

/// A matcher that tries every length for every star would take years for this glob.
#[test]
fn many_stars_take_no_time() {
    let glob = "*a".repeat(200);
    let name = "a".repeat(199);
    assert!(!glob_matches(glob.as_bytes(), name.as_bytes()));
    assert!(glob_matches(glob.as_bytes(), format!("{name}a").as_bytes()));
}
