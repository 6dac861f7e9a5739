//! Who is behind a thread's id at a moment: ids are used again, and comms change.

use crate::record::recording::Who;
use pinning::Tid;
use std::collections::{HashMap, VecDeque};

/// A place in the list of everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PersonId(usize);

/// Everybody who was asked about so far.
pub(crate) struct People<'a> {
    all: Vec<Who>,
    /// Who has an id now.
    present: HashMap<i32, PersonId>,
    /// The comm of an id that nobody has asked about yet.
    comms: HashMap<i32, String>,
    /// Ids that have ended. A thread still runs for a moment after that.
    ended: VecDeque<i32>,
    /// The comm that a thread of a process has now, where no record has told it.
    comm_now: Box<dyn Fn(i32, i32) -> Option<String> + 'a>,
}

/// So many that have ended are remembered.
const ENDED: usize = 1024;

impl<'a> People<'a> {
    /// Nobody yet. `comm_now` tells the comm that a thread, by process and id, has now.
    pub(crate) fn new(comm_now: impl Fn(i32, i32) -> Option<String> + 'a) -> Self {
        Self {
            all: Vec::new(),
            present: HashMap::new(),
            comms: HashMap::new(),
            ended: VecDeque::new(),
            comm_now: Box::new(comm_now),
        }
    }

    /// Who has this id now.
    pub(crate) fn of(&mut self, pid: i32, tid: i32) -> PersonId {
        if let Some(&known) = self.present.get(&tid) {
            return known;
        }
        let comm = self.comms.remove(&tid).or_else(|| (self.comm_now)(pid, tid)).unwrap_or_default();
        self.all.push(Who { pid, tid: Tid(tid), comm });
        let person = PersonId(self.all.len() - 1);
        self.present.insert(tid, person);
        person
    }

    /// One of those.
    pub(crate) fn get(&self, person: PersonId) -> Option<&Who> {
        self.all.get(person.0)
    }

    /// The comm of an id, as far as it is known.
    pub(crate) fn comm_of(&self, tid: i32) -> Option<&str> {
        let known = self.present.get(&tid).and_then(|person| self.all.get(person.0));
        known.map(|who| who.comm.as_str()).or_else(|| self.comms.get(&tid).map(String::as_str))
    }

    /// Somebody new has this id. He has his creator's comm.
    pub(crate) fn born(&mut self, tid: i32, creator: i32) {
        let comm = self.comm_of(creator).map(str::to_owned);
        self.present.remove(&tid);
        match comm {
            Some(comm) => self.comms.insert(tid, comm),
            None => self.comms.remove(&tid),
        };
    }

    /// He has this comm from now on.
    pub(crate) fn named(&mut self, tid: i32, comm: String) {
        // What he did before, he did under the other one.
        self.present.remove(&tid);
        self.comms.insert(tid, comm);
    }

    /// He has ended.
    pub(crate) fn ended(&mut self, tid: i32) {
        self.ended.push_back(tid);
        if self.ended.len() > ENDED {
            if let Some(tid) = self.ended.pop_front() {
                self.present.remove(&tid);
                self.comms.remove(&tid);
            }
        }
    }
}
