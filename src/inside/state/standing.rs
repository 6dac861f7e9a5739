//! What decides where a thread runs: its role, or a rule of `PIN_THREADS` that matches one of its names.
//!
//! A thread is judged when it is created, by QEMU's name for it, and again whenever it is given another name.

use pinning::{Policy, RoleKind, RuleIndex, SetId};

/// What decides where a thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The role that QEMU's name gives it, or what it was seen to do.
    role: RoleKind,
    /// The set of that role.
    by_role: SetId,
    /// The first rule that matches QEMU's name for it.
    by_qemu_name: Option<RuleIndex>,
    /// The first rule that matches the name that it has been given since.
    by_present_name: Option<RuleIndex>,
}

/// Stands for no rule in [`Standing::to_word`]. There are never so many.
const NO_RULE: u16 = u16::MAX;

impl Standing {
    /// A thread of this role, on that role's set, with no name.
    pub(crate) const fn of_role(role: RoleKind, by_role: SetId) -> Self {
        Self { role, by_role, by_qemu_name: None, by_present_name: None }
    }

    /// The same with QEMU's name for it.
    pub(crate) fn named_by_qemu(self, policy: &Policy, name: &[u8]) -> Self {
        Self { by_qemu_name: policy.first_rule(name), ..self }
    }

    /// The same with the name that it has been given now, in place of any that it was given before.
    pub(crate) fn renamed(self, policy: &Policy, name: &[u8]) -> Self {
        Self { by_present_name: policy.first_rule(name), ..self }
    }

    /// The same thread, which has turned out to have another role.
    pub(crate) fn with_role(self, role: RoleKind, by_role: SetId) -> Self {
        Self { role, by_role, ..self }
    }

    /// The rule that places it: of those that match the one that comes first.
    fn rule(self) -> Option<RuleIndex> {
        self.by_qemu_name.into_iter().chain(self.by_present_name).min()
    }

    /// The set that it should run on.
    pub(crate) fn set(self, policy: &Policy) -> SetId {
        self.rule().map_or(self.by_role, |rule| policy.set_of_rule(rule))
    }

    /// Its role. A rule that names an exempt thread overrides the exemption.
    pub(crate) fn role(self) -> RoleKind {
        if self.role == RoleKind::Exempt && self.rule().is_some() { RoleKind::Emulator } else { self.role }
    }

    /// All of it in one word, so that other threads can read it while it changes.
    pub(crate) fn to_word(self) -> u64 {
        let rule = |rule: Option<RuleIndex>| u64::from(rule.map_or(NO_RULE, |RuleIndex(at)| at));
        let SetId(by_role) = self.by_role;
        u64::from(self.role as u8) << 48
            | u64::from(by_role) << 32
            | rule(self.by_qemu_name) << 16
            | rule(self.by_present_name)
    }

    /// Reads what [`Standing::to_word`] has made; `None` for another word.
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        let half = |shift: u32| (word >> shift) as u16;
        let rule = |at: u16| (at != NO_RULE).then_some(RuleIndex(at));
        Some(Self {
            role: RoleKind::from_number(u8::try_from(half(48)).ok()?)?,
            by_role: SetId(half(32)),
            by_qemu_name: rule(half(16)),
            by_present_name: rule(half(0)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Standing;
    use crate::testing;
    use pinning::{CpuId, Policy, RoleKind, SetId};
    use proptest::prelude::*;

    fn policy() -> Policy {
        testing::policy(&[
            ("PIN_CPUS", "0"),
            ("PIN_VCPUS", "*@5"),
            ("PIN_THREADS", "SPICE*@1,worker@2,TC x@3"),
        ])
    }

    fn cpu(policy: &Policy, standing: Standing) -> u32 {
        policy.set(standing.set(policy)).iter().next().map(|CpuId(cpu)| cpu).unwrap()
    }

    #[test]
    fn a_thread_that_is_renamed_follows_the_rules_and_comes_back_to_its_role() {
        let policy = policy();
        let plain = Standing::of_role(RoleKind::Emulator, policy.emulator());
        assert_eq!(cpu(&policy, plain), 0);
        let spice = plain.renamed(&policy, b"SPICE Worker");
        assert_eq!(cpu(&policy, spice), 1);
        assert_eq!(cpu(&policy, spice.renamed(&policy, b"worker")), 2);
        assert_eq!(spice.renamed(&policy, b"gl"), plain);
    }

    #[test]
    fn qemu_s_name_stays_and_the_first_rule_of_the_list_wins() {
        let policy = policy();
        let worker = Standing::of_role(RoleKind::Worker, policy.emulator()).named_by_qemu(&policy, b"worker");
        assert_eq!(cpu(&policy, worker), 2);
        assert_eq!(cpu(&policy, worker.renamed(&policy, b"gl")), 2);
        assert_eq!(cpu(&policy, worker.renamed(&policy, b"SPICE Worker")), 1);
        assert_eq!(worker.renamed(&policy, b"worker").set(&policy), worker.set(&policy));
    }

    #[test]
    fn an_exempt_thread_stays_exempt_unless_a_rule_names_it() {
        let policy = policy();
        let exempt = Standing::of_role(RoleKind::Exempt, policy.emulator()).named_by_qemu(&policy, b"TC tc0");
        assert_eq!(exempt.role(), RoleKind::Exempt);
        assert_eq!(exempt.renamed(&policy, b"gl").role(), RoleKind::Exempt);
        let named = exempt.renamed(&policy, b"TC x");
        assert_eq!((named.role(), cpu(&policy, named)), (RoleKind::Emulator, 3));
        assert_eq!(named.renamed(&policy, b"TC tc0").role(), RoleKind::Exempt);
    }

    #[test]
    fn a_thread_whose_role_shows_later_keeps_its_rule() {
        let policy = policy();
        let vcpu = |standing: Standing| standing.with_role(RoleKind::Vcpu, SetId(1));
        let plain = Standing::of_role(RoleKind::Emulator, policy.emulator());
        assert_eq!(vcpu(plain).set(&policy), SetId(1));
        assert_eq!(cpu(&policy, vcpu(plain.renamed(&policy, b"worker"))), 2);
    }

    proptest! {
        #[test]
        fn a_word_keeps_all_of_it(role in 0..7usize, set in any::<u16>(), names in prop::array::uniform2(0..4usize)) {
            let policy = policy();
            let names = names.map(|at| [&b"SPICE"[..], b"worker", b"TC x", b"none"][at]);
            let standing = Standing::of_role(RoleKind::ALL[role], SetId(set))
                .named_by_qemu(&policy, names[0])
                .renamed(&policy, names[1]);
            prop_assert_eq!(Standing::from_word(standing.to_word()), Some(standing));
        }

        #[test]
        fn any_word_is_read_or_refused(word in any::<u64>()) {
            if let Some(standing) = Standing::from_word(word) {
                prop_assert_eq!(standing.to_word() & 0xFFFF_FFFF_FFFF, word & 0xFFFF_FFFF_FFFF);
            }
        }
    }
}
