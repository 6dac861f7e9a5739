//! Attacks on the broker by the process that it serves, with all that this process has. None moves a thread that
//! is not its own, and none ends the broker but where a user may end his own processes.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use harness::{
    Companion, Filtered, NOBODY, Process, Program, TimeLimit, TwoCpus, Uid, brokers_of, cpus_of,
    root_missing, two_cpus, until,
};

/// Who attacks.
#[derive(Clone, Copy, PartialEq)]
enum Attacker {
    /// Root, where the tests have it.
    Whoever,
    /// An ordinary user.
    Ordinary,
}

/// What is there after an attack.
struct Attacked {
    process: Process,
    /// A process that the attacker tries to have moved.
    victim: Process,
    broker: Companion,
    /// What the broker held before; unknown where it may not be seen.
    held: Option<Vec<String>>,
    cpus: TwoCpus,
}

impl Attacked {
    fn by(attacker: Attacker, kind: &str) -> Option<Self> {
        let cpus = two_cpus()?;
        Some(Self::with(&Filtered::new("attack.c", cpus), attacker, kind, cpus))
    }

    fn with(program: &Filtered, attacker: Attacker, kind: &str, cpus: TwoCpus) -> Self {
        let user: Option<Uid> = match (attacker, root_missing()) {
            (Attacker::Ordinary, None) => Some(NOBODY),
            _ => None,
        };
        let run_by = |program: Program| user.into_iter().fold(program, Program::user);
        let victim = run_by(Program::new("sleep").arg("1000")).affinity(&[cpus.first]).start();
        let process = run_by(program.target()).arg(kind).env("VICTIM", victim.pid().to_string()).start();
        let broker = until(30, "the broker", || {
            assert!(process.ended().is_none(), "it ended: {:?} {}", process.ended(), process.stdout());
            brokers_of(process.pid()).first().copied()
        });
        // Until it has closed QEMU's.
        until(30, "the broker's own descriptors", || {
            broker.holds_only_its_own().unwrap_or(true).then_some(())
        });
        let held = broker.descriptors().ok();
        until(30, "the attacker", || process.stdout().contains("ready").then_some(()));
        process.signal(libc::SIGUSR1);
        until(90, "the end of the attack", || {
            assert!(process.ended().is_none(), "it ended: {:?} {}", process.ended(), process.stdout());
            process.stdout().contains("in place").then_some(())
        });
        Self { process, victim, broker, held, cpus }
    }

    /// The victim was not touched, and the attacker has noticed no answer that it should not get.
    #[track_caller]
    fn assert_in_vain(&self, in_place: u32) {
        let expected = format!("ready\n0 violations, {in_place} of 5 in place\n");
        assert_eq!(self.process.stdout(), expected, "{}", self.process.stderr());
        assert!(self.victim.ended().is_none(), "the victim lives");
        assert_eq!(cpus_of(&self.victim.pid().to_string()), [self.cpus.first], "the victim is where it was");
    }

    /// The broker serves as before the attack.
    #[track_caller]
    fn assert_served(&self) {
        self.assert_in_vain(5);
        assert_eq!(self.process.stderr(), "");
        assert_eq!(brokers_of(self.process.pid()), [self.broker]);
        assert_eq!(cpus_of(&self.broker.pid.to_string()), [self.cpus.second], "the broker is where it was");
        if self.held.is_some() {
            assert_eq!(self.broker.descriptors().ok(), self.held, "it holds what it held");
        }
        let attacker = Companion::of(self.process.pid()).expect("the attacker");
        assert_eq!(self.broker.status("Uid"), attacker.status("Uid"));
    }

    /// The attacker has lost its broker, and nothing else was affected.
    #[track_caller]
    fn assert_on_its_own(&self) {
        self.assert_in_vain(0);
        until(30, "the broker's end", || (!self.broker.lives()).then_some(()));
        let said = self.process.stderr();
        assert!(said.lines().count() == 1 && said.contains("the broker has ended"), "one warning: {said}");
    }
}

/// The same by root, where there is root, and by an ordinary user.
fn served_after(kind: &str) {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    let program = Filtered::new("attack.c", cpus);
    for attacker in [Attacker::Whoever, Attacker::Ordinary] {
        Attacked::with(&program, attacker, kind, cpus).assert_served();
    }
}

#[test]
fn by_naming_threads_of_others() {
    served_after("others");
}

#[test]
fn by_naming_sets_outside_the_policy() {
    served_after("sets");
}

#[test]
fn by_garbage() {
    served_after("garbage");
}

#[test]
fn by_messages_of_other_lengths() {
    served_after("lengths");
}

#[test]
fn by_a_flood() {
    served_after("flood");
}

#[test]
fn by_passing_descriptors() {
    served_after("descriptors");
}

#[test]
fn by_forged_credentials() {
    served_after("credentials");
}

#[test]
fn by_a_child() {
    served_after("child");
}

#[test]
fn by_writing_over_the_answers() {
    served_after("answers");
}

#[test]
fn by_writing_over_the_status_page() {
    served_after("page");
}

#[test]
fn by_tracing_it() {
    let _limit = TimeLimit::seconds(200);
    let Some(attacked) = Attacked::by(Attacker::Ordinary, "tracing") else { return };
    attacked.assert_served();
}

#[test]
fn by_every_signal_that_can_be_blocked() {
    served_after("signals");
}

/// A user may kill processes of his own; only his own VM loses its broker by that.
#[test]
fn by_killing_it() {
    let _limit = TimeLimit::seconds(200);
    let Some(attacked) = Attacked::by(Attacker::Ordinary, "killing") else { return };
    attacked.assert_on_its_own();
}

/// Without a descriptor it cannot wait for a message. It ends, and does not try for ever.
#[test]
fn by_taking_its_limits_away() {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    let program = Filtered::new("attack.c", cpus);
    for attacker in [Attacker::Whoever, Attacker::Ordinary] {
        Attacked::with(&program, attacker, "limits", cpus).assert_on_its_own();
    }
}

#[test]
fn by_closing_the_socket() {
    let _limit = TimeLimit::seconds(200);
    for kind in ["closing", "shutting-down"] {
        let Some(attacked) = Attacked::by(Attacker::Whoever, kind) else { return };
        attacked.assert_on_its_own();
    }
}
