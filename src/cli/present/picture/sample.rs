//! Recordings that nobody made, for tests: of a VM whose threads run as those of a real one do.

use crate::record::recording::{
    CpuLane, Instead, Method, OtherSpan, Recording, Span, Subject, ThreadLane, Wait, Waits, Who,
};
use hdrhistogram::Histogram;
use pinning::{CpuId, CpuSet, RoleKind, Tid};
use std::time::{Duration, UNIX_EPOCH};

/// Nanoseconds.
pub(crate) const MICROSECOND: u64 = 1_000;
pub(crate) const MILLISECOND: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;

/// Numbers that look like chance and are the same every time (Knuth's MMIX).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    /// A number from `low` to `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + (self.0 >> 20) % (high - low + 1)
    }
}

/// A recording in which nothing has run.
pub(crate) fn blank(time: u64) -> Recording {
    Recording {
        subject: Subject {
            pid: 4711,
            name: Some("web".to_owned()),
            title: "web (PID 4711)".to_owned(),
            policy: Some("PIN_VCPUS=2,3 PIN_IOTHREADS=io1@1 PIN_EMULATOR=0".to_owned()),
            host: "node7".to_owned(),
            kernel: "6.18.2".to_owned(),
            online: (0..8).map(CpuId).collect(),
        },
        began: UNIX_EPOCH + Duration::from_secs(1_795_622_403),
        time: Duration::from_nanos(time),
        method: Method::Exact { others: Ok(()), wakings: Ok(()) },
        lost: 0,
        resolution: 0,
        threads: Vec::new(),
        cpus: Vec::new(),
        others: Vec::new(),
    }
}

/// A thread that has not run, for the whole time of the recording.
pub(crate) fn thread(role: RoleKind, name: &str, tid: i32) -> ThreadLane {
    ThreadLane {
        tid: Tid(tid),
        name: name.to_owned(),
        role,
        role_assumed: false,
        index: None,
        expected: None,
        born: None,
        ended: None,
        spans: Vec::new(),
        ran: 0,
        off: 0,
        runs: 0,
        moves: 0,
        waited: 0,
        waits: Waits { lengths: Histogram::new(2).unwrap(), longest: Vec::new() },
    }
}

/// One run.
pub(crate) fn run(from: u64, to: u64, cpu: u32, off: bool) -> Span {
    Span { from, to, ran: to - from, runs: 1, cpu: CpuId(cpu), off }
}

/// Adds a run to a thread and to its sums.
pub(crate) fn add_run(thread: &mut ThreadLane, from: u64, to: u64, cpu: u32) {
    let off = thread.expected.as_ref().is_some_and(|set| !set.contains(CpuId(cpu)));
    thread.moves += u64::from(thread.spans.last().is_some_and(|last| last.cpu != CpuId(cpu)));
    thread.runs += 1;
    thread.ran += to - from;
    thread.off += if off { to - from } else { 0 };
    thread.spans.push(run(from, to, cpu, off));
}

/// Adds a wait to a thread and to its sums.
pub(crate) fn add_wait(thread: &mut ThreadLane, from: u64, length: u64, cpu: u32, instead: &[(&Who, u64)]) {
    thread.waited += length;
    thread.waits.lengths.record(length).unwrap();
    let instead = instead.iter().map(|(who, ran)| Instead { who: (*who).clone(), ran: *ran }).collect();
    thread.waits.longest.push(Wait { from, length, cpu: CpuId(cpu), preempted: true, instead });
    thread.waits.longest.sort_by_key(|wait| std::cmp::Reverse(wait.length));
    thread.waits.longest.truncate(10);
}

/// Somebody else.
pub(crate) fn who(pid: i32, comm: &str) -> Who {
    Who { pid, tid: Tid(pid), comm: comm.to_owned() }
}

/// A thread runs again and again, for `run` at a time with `sleep` between, from `from` to `to`.
fn lives(
    thread: &mut ThreadLane,
    chance: &mut Chance,
    (from, to): (u64, u64),
    run: (u64, u64),
    sleep: (u64, u64),
    cpus: &[u32],
) {
    let mut now = from;
    while now < to {
        let end = (now + chance.between(run.0, run.1)).min(to);
        let cpu = cpus[chance.between(0, cpus.len() as u64 - 1) as usize];
        add_run(thread, now, end, cpu);
        let gap = chance.between(sleep.0, sleep.1);
        if gap > 4 * MICROSECOND && chance.between(0, 3) == 0 {
            let wait = (chance.between(1, 40) * MICROSECOND).min(gap / 2);
            add_wait(thread, end + gap - wait, wait, cpu, &[]);
        }
        now = end + gap;
    }
}

fn set(cpus: &[u32]) -> CpuSet {
    cpus.iter().map(|cpu| CpuId(*cpu)).collect()
}

/// A minute of a VM with eight threads and some workers. One worker was off its set once, for 100 µs.
pub(crate) fn minute() -> Recording {
    minute_of(true)
}

/// The same VM without the library: its threads run where they like.
pub(crate) fn unpinned_minute() -> Recording {
    minute_of(false)
}

fn minute_of(pinned: bool) -> Recording {
    let time = 60 * SECOND;
    let mut recording = blank(time);
    recording.subject.policy = recording.subject.policy.filter(|_| pinned);
    let mut chance = Chance(7);
    let ms = |from: u64, to: u64| (from * MILLISECOND, to * MILLISECOND);
    let us = |from: u64, to: u64| (from * MICROSECOND, to * MICROSECOND);
    let all = [0, 1, 2, 3];
    let on = |cpus: &'static [u32]| if pinned { cpus } else { &all[..] };
    let expected = |cpus: &[u32]| pinned.then(|| set(cpus));
    let mut add = |role, name: &str, index, cpus: &'static [u32], run, sleep| {
        let tid = 4711 + recording.threads.len() as i32;
        let mut thread = ThreadLane { index, expected: expected(cpus), ..thread(role, name, tid) };
        lives(&mut thread, &mut chance, (0, time), run, sleep, on(cpus));
        recording.threads.push(thread);
    };
    add(RoleKind::Emulator, "qemu-system-x86", None, &[0], us(20, 400), ms(1, 40));
    add(RoleKind::Emulator, "call_rcu", None, &[0], us(5, 30), ms(200, 3000));
    add(RoleKind::Emulator, "vnc_worker", None, &[0], us(5, 900), ms(40, 90));
    add(RoleKind::Vcpu, "CPU 0/KVM", Some(0), &[2], ms(5, 90), ms(0, 4));
    add(RoleKind::Vcpu, "CPU 1/KVM", Some(1), &[3], ms(1, 20), ms(1, 60));
    add(RoleKind::IoThread, "IO io1", Some(0), &[1], us(30, 500), ms(1, 9));
    add(RoleKind::Vhost, "vhost-4711", Some(0), &[1], us(10, 200), ms(10, 300));
    recording.threads.push(ThreadLane {
        role_assumed: true,
        expected: expected(&[0]),
        ..thread(RoleKind::Emulator, "kvm-nx-lpage-re", 4790)
    });
    for burst in 0..4u64 {
        for worker in 0..4u64 {
            let born = burst * 16 * SECOND + worker * 400 * MILLISECOND + 2 * SECOND;
            let ended = (born + 10 * SECOND + chance.between(0, 900) * MILLISECOND).min(time);
            let tid = 4800 + (burst * 4 + worker) as i32;
            let mut worker = ThreadLane {
                born: Some(born),
                ended: (ended < time).then_some(ended),
                expected: expected(&[1]),
                ..thread(RoleKind::Worker, "worker", tid)
            };
            let busy = (born, (born + 2 * SECOND).min(ended));
            lives(&mut worker, &mut chance, busy, us(30, 300), ms(0, 7), on(&[1]));
            if pinned && tid == 4806 {
                add_run(&mut worker, busy.1 + SECOND, busy.1 + SECOND + 100 * MICROSECOND, 3);
            }
            recording.threads.push(worker);
        }
    }
    let hog = who(812, "stress-ng");
    let vcpu = recording.threads.iter_mut().find(|thread| thread.name == "CPU 0/KVM").unwrap();
    for wait in 1..=12u64 {
        let length = wait * wait * 31 * MICROSECOND;
        add_wait(vcpu, wait * 4 * SECOND, length, 2, &[(&hog, length - 3000)]);
    }
    recording.others = vec![hog, who(33, "kworker/1:2"), who(1204, "sshd"), who(14, "ksoftirqd/0")];
    for cpu in all {
        let mut lane = CpuLane { cpu: CpuId(cpu), others: Vec::new() };
        let mut now = chance.between(0, 100) * MILLISECOND;
        while now < time {
            let who = chance.between(0, 9).saturating_sub(6) as usize;
            let who = if cpu == 2 { who } else { who.max(1) };
            let end = now + chance.between(10, 3000) * MICROSECOND;
            lane.others.push(OtherSpan { span: run(now, end.min(time), cpu, false), who });
            now = end + chance.between(20, 400) * MILLISECOND;
        }
        recording.cpus.push(lane);
    }
    recording
}

/// An hour of a VM with 500 threads: vCPUs, and workers that come and go. Two were off their sets once, for 100 µs.
pub(crate) fn hour() -> Recording {
    let time = 3600 * SECOND;
    let mut recording = blank(time);
    recording.subject.policy = Some("PIN_VCPUS=2-33 PIN_CPUS=0-1".to_owned());
    recording.subject.online = (0..34).map(CpuId).collect();
    recording.resolution = 10 * MILLISECOND;
    let mut chance = Chance(11);
    let mut emulator =
        ThreadLane { expected: Some(set(&[0, 1])), ..thread(RoleKind::Emulator, "qemu-system-x86", 4711) };
    lives(&mut emulator, &mut chance, (0, time), (MILLISECOND, SECOND), (SECOND, 4 * SECOND), &[0, 1]);
    recording.threads.push(emulator);
    for vcpu in 0..32u32 {
        let name = format!("CPU {vcpu}/KVM");
        let cpu = vcpu + 2;
        let mut thread = ThreadLane {
            index: Some(vcpu),
            expected: Some(set(&[cpu])),
            ..thread(RoleKind::Vcpu, &name, 4712 + vcpu as i32)
        };
        let sleep = (MILLISECOND, chance.between(1, 9000) * MILLISECOND);
        lives(&mut thread, &mut chance, (0, time), (MILLISECOND, 3 * SECOND), sleep, &[cpu]);
        if vcpu == 20 {
            add_run(&mut thread, time + SECOND, time + SECOND, cpu);
            thread.spans.pop();
            let last = thread.spans.pop().unwrap();
            add_run(&mut thread, last.from, last.from + 100 * MICROSECOND, 0);
        }
        recording.threads.push(thread);
    }
    for worker in 0..467u64 {
        let born = chance.between(0, 3590 * SECOND);
        let ended = (born + chance.between(10, 140) * SECOND).min(time);
        let mut thread = ThreadLane {
            born: Some(born),
            ended: (ended < time).then_some(ended),
            expected: Some(set(&[0, 1])),
            ..thread(RoleKind::Worker, "worker", 5000 + worker as i32)
        };
        lives(&mut thread, &mut chance, (born, ended), (MILLISECOND, SECOND), (0, 9 * SECOND), &[0, 1]);
        if worker == 200 {
            thread.spans.clear();
            add_run(&mut thread, born, born + 100 * MICROSECOND, 9);
        }
        recording.threads.push(thread);
    }
    recording.cpus = (0..34).map(|cpu| CpuLane { cpu: CpuId(cpu), others: Vec::new() }).collect();
    recording
}

/// The worst case: 500 threads that live for an hour and run everywhere, by chance.
pub(crate) fn noise() -> Recording {
    let time = 3600 * SECOND;
    let mut recording = blank(time);
    let mut chance = Chance(13);
    let cpus: Vec<u32> = (0..8).collect();
    for place in 0..500 {
        let mut thread =
            ThreadLane { expected: Some(set(&[0, 1])), ..thread(RoleKind::Emulator, "thread", 5000 + place) };
        let times = (100 * MILLISECOND, 40 * SECOND);
        lives(&mut thread, &mut chance, (0, time), times, times, &cpus);
        recording.threads.push(thread);
    }
    recording.cpus = (0..8).map(|cpu| CpuLane { cpu: CpuId(cpu), others: Vec::new() }).collect();
    recording
}

/// A VM whose names, and those of its neighbours, would be markup, script, or commands to a terminal.
pub(crate) fn hostile() -> Recording {
    let mut recording = blank(SECOND);
    recording.subject.title = "\"><script>alert(1)</script>\u{1b}[2J (PID 4711)".to_owned();
    recording.subject.policy = Some("PIN_CPUS=1 ]]> <!-- </title><script>".to_owned());
    recording.subject.host = "a\u{202e}b".to_owned();
    let invalid = String::from_utf8_lossy(b"CPU \xff\xfe/KVM").into_owned();
    let names = [
        "<script>alert(1)</script>",
        "\" onload=\"alert(1)",
        "' onload='x",
        "</title><img src=x>",
        "a\u{0}b\u{1b}]0;c\u{7}\u{85}\u{2028}\n\r\t",
        "\u{202e}\u{2066}\u{200b}\u{feff}\u{fffe}\u{ffff}",
        "&amp;&#60;&lt;",
        "<!-- ]]> <![CDATA[",
        invalid.as_str(),
    ];
    for (place, name) in (0..).zip(names) {
        let mut thread =
            ThreadLane { expected: Some(set(&[1])), ..thread(RoleKind::Worker, name, 10 + place) };
        let stranger = who(100 + place, name);
        add_run(&mut thread, 1000, 2_000_000, 1);
        add_run(&mut thread, 3_000_000, 4_000_000, 2);
        add_wait(&mut thread, 2_000_000, 1_000_000, 2, &[(&stranger, 900_000)]);
        recording.threads.push(thread);
        recording.others.push(stranger);
    }
    let other = |who| OtherSpan {
        span: run(5_000_000 * who as u64, 5_000_000 * who as u64 + 4_000_000, 1, false),
        who,
    };
    recording.cpus = vec![CpuLane { cpu: CpuId(1), others: (0..9).map(other).collect() }];
    recording
}
