//! The recording, out of what became of each thread and of who it is.

use crate::record::exact::Recorded;
use crate::record::identities::{Identities, Identity};
use crate::record::lane::Lane;
use crate::record::off_set;
use crate::record::recording::{CpuLane, ThreadLane, Who};
use crate::record::timeline::{LaneId, since};
use crate::record::unseen::{Name, Told, tell};
use crate::vm::identify::Evidence;
use pinning::{RoleKind, Tid};
use std::collections::HashMap;

/// The threads of a recording, its CPUs, and who else ran there.
pub(crate) fn assemble(recorded: Recorded<'_>) -> (Vec<ThreadLane>, Vec<CpuLane>, Vec<Who>) {
    let Recorded { timeline, identities, begin, .. } = recorded;
    let (lanes, cpus, others) = timeline.into_cpus();
    let known = who(&lanes, &identities);
    let pairs = lanes.into_iter().enumerate().zip(known);
    let pairs = pairs.filter(|((_, lane), _)| lane.ended.is_none_or(|ended| ended >= begin));
    let mut threads: Vec<ThreadLane> =
        pairs.map(|((id, lane), told)| thread_lane(lane, told, identities.of(id), begin)).collect();
    threads.sort_by_key(|lane| (place(lane.role), lane.born, lane.index, lane.tid));
    (threads, cpus, others)
}

/// The order of the roles.
fn place(role: RoleKind) -> usize {
    RoleKind::ALL.iter().position(|other| *other == role).unwrap_or(usize::MAX)
}

/// Who each lane's thread is. A creator comes before what it creates.
fn who(lanes: &[Lane], identities: &Identities) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    let mut latest: HashMap<i32, LaneId> = HashMap::new();
    for (id, lane) in lanes.iter().enumerate() {
        let creator = lane.creator.and_then(|creator| told.get(*latest.get(&creator)?));
        let one = match identities.of(id) {
            Some(identity) => seen(identity),
            None => tell(name(lane), identities.policy.as_ref(), creator),
        };
        told.push(one);
        latest.insert(lane.tid, id);
    }
    told
}

fn seen(identity: &Identity) -> Told {
    let thread = &identity.thread;
    Told {
        role: thread.role,
        is_assumed: matches!(thread.evidence, Evidence::Assumed | Evidence::Unseen) || thread.home_assumed,
        index: thread.index,
        expected: thread.expected.clone(),
    }
}

fn name(lane: &Lane) -> Name<'_> {
    let comm = lane.comm.as_deref().unwrap_or_default();
    if lane.is_named { Name::Own(comm) } else { Name::Inherited(comm) }
}

fn thread_lane(lane: Lane, told: Told, identity: Option<&Identity>, begin: u64) -> ThreadLane {
    let name = match identity {
        Some(identity) => identity.thread.name.clone(),
        None => lane.comm.clone().unwrap_or_default(),
    };
    let born = lane.born.filter(|born| *born >= begin).map(|born| born - begin);
    let spans = lane.spans.into_list().into_iter().map(|span| since(begin, span)).collect();
    let on = identity.map_or(told.expected.as_ref(), |identity| identity.allowed.as_ref());
    let (spans, off) = off_set::judge(spans, on, born.is_some());
    let counted = identity.and_then(|identity| identity.sums(born.is_some())).map_or(0, |(_, waited)| waited);
    ThreadLane {
        tid: Tid(lane.tid),
        name,
        role: told.role,
        role_assumed: told.is_assumed,
        index: told.index,
        expected: told.expected,
        born,
        ended: lane.ended.map(|ended| ended.saturating_sub(begin)),
        spans,
        ran: lane.ran,
        off,
        runs: lane.runs,
        moves: lane.moves,
        // What came after the last look, only the waits tell.
        waited: counted.max(lane.waits.total),
        waits: lane.waits.finished(begin),
    }
}
