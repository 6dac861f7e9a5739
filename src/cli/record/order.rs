//! Records of several rings in the order of time.
//!
//! Each CPU has a ring, and a ring has its records in order. Between rings it is the time that orders them. What a ring
//! held when all of them were read last is complete up to the moment at which the reading before that began.

use crate::record::records::Record;

/// Keeps records until it is certain that no earlier one can come.
#[derive(Debug, Default)]
pub(crate) struct Order {
    kept: Vec<Record>,
    /// Everything before this moment was given out.
    until: u64,
    /// So many came too late for that.
    late: u64,
}

impl Order {
    /// Takes a record.
    pub(crate) fn add(&mut self, record: Record) {
        if record.time < self.until {
            self.late += 1;
        } else {
            self.kept.push(record);
        }
    }

    /// Gives out, in order, what was before a moment.
    pub(crate) fn release(&mut self, until: u64, mut take: impl FnMut(Record)) {
        // Stable: of one moment, a ring's records stay in their order. They are the parts of a few rings in turn, which this
        // sort merges.
        self.kept.sort_by_key(|record| record.time);
        let certain = self.kept.partition_point(|record| record.time < until);
        self.kept.drain(..certain).for_each(&mut take);
        self.until = self.until.max(until);
    }

    /// How many records came too late.
    pub(crate) fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::records::What;
    use proptest::prelude::*;

    fn at(time: u64, cpu: u32) -> Record {
        Record { time, cpu, pid: 1, tid: 1, what: What::On }
    }

    #[test]
    fn what_comes_too_late_is_counted() {
        let mut order = Order::default();
        let mut given = Vec::new();
        order.add(at(5, 0));
        order.release(10, |record| given.push(record.time));
        order.add(at(9, 1));
        order.add(at(10, 1));
        order.release(20, |record| given.push(record.time));
        assert_eq!((given, order.late()), (vec![5, 10], 1));
    }

    proptest! {
        /// Rings are read one after another, each with all that was written so far.
        #[test]
        fn records_of_all_rings_come_in_the_order_of_time(
            times in prop::collection::vec((0u64..1000, 0u32..4), 0..200),
            reads in prop::collection::vec(1u64..1000, 0..12),
        ) {
            let mut all: Vec<Record> = times.into_iter().map(|(time, cpu)| at(time, cpu)).collect();
            all.sort_by_key(|record| record.time);
            let mut reads = reads;
            reads.sort();
            let (mut order, mut given, mut before) = (Order::default(), Vec::new(), 0);
            let mut left = all.clone();
            for read in reads {
                for cpu in 0..4 {
                    // The later a ring is read the more it has.
                    let until = read + u64::from(cpu);
                    let (new, rest) = left.into_iter().partition(|record| record.cpu == cpu && record.time < until);
                    left = rest;
                    Vec::into_iter(new).for_each(|record| order.add(record));
                }
                order.release(before, |record| given.push(record));
                before = read;
            }
            left.into_iter().for_each(|record| order.add(record));
            order.release(u64::MAX, |record| given.push(record));
            prop_assert_eq!(order.late(), 0);
            let key = |record: &Record| (record.time, record.cpu);
            let sorted = |mut records: Vec<Record>| {
                records.sort_by_key(key);
                records
            };
            prop_assert!(given.windows(2).all(|pair| pair[0].time <= pair[1].time));
            prop_assert_eq!(sorted(given), sorted(all));
        }
    }
}
