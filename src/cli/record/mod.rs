//! A VM recorded for a time: every run of every thread, and every wait for a CPU.
//!
//! `recording` is what was recorded, and everything that writes it down (as a picture, a trace, a table) reads that.
//!
//! `recorder` makes it. `exact` has the kernel record: `tap` opens the events (`wakings`: those of threads that are woken;
//! `refused`: why some cannot be had), `records` reads what they write, `order` puts that in the order of time, and the
//! `timeline` makes of it what each thread did (`lane`, with its `spans` and `wait_list`) and who else ran (`cpu_track`,
//! `people`). `sampled` looks at /proc instead (`sample`). `identities` says who the threads are (`unseen`: those that no look
//! has seen), `off_set` which spans are off their sets, and `assemble` puts it all together. `progress` says when it is over. `live` records waits beside
//! other work.

mod assemble;
mod cpu_track;
#[cfg(test)]
pub(crate) mod encoded;
mod exact;
mod identities;
mod lane;
pub(crate) mod live;
mod off_set;
mod order;
mod people;
pub(crate) mod progress;
pub(crate) mod recorder;
pub(crate) mod recording;
pub(crate) mod records;
mod refused;
mod sample;
mod sampled;
#[cfg(test)]
mod schedules;
mod spans;
mod tap;
mod timeline;
mod unseen;
mod wait_list;
mod wakings;
