//! NUMA nodes, and a policy of how memory is taken from them.

use crate::cpus::CpuList;
use std::fmt;

/// No node has a larger number (MAX_NUMNODES of a kernel with CONFIG_NODES_SHIFT=10, the largest on x86 and Arm).
pub const NODE_LIMIT: u32 = 1_024;

const WORDS: usize = NODE_LIMIT as usize / 64;

/// A set of NUMA nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeSet([u64; WORDS]);

impl NodeSet {
    /// The nodes of a list as the kernel prints it (`0-1,3`); `None` if the text is none.
    pub fn parse(list: &str) -> Option<Self> {
        let mut nodes = Self::default();
        for item in list.split(',') {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            for node in
                first.parse::<u32>().ok()?..=last.parse::<u32>().ok().filter(|last| *last < NODE_LIMIT)?
            {
                nodes.insert(node);
            }
        }
        Some(nodes)
    }

    /// Adds a node below [`NODE_LIMIT`]; another is left out.
    pub fn insert(&mut self, node: u32) {
        if let Some(word) = self.0.get_mut(node as usize / 64) {
            *word |= 1 << (node % 64);
        }
    }

    /// Whether a node is one of them.
    pub fn contains(&self, node: u32) -> bool {
        self.0.get(node as usize / 64).is_some_and(|word| word & 1 << (node % 64) != 0)
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that are in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = *self;
        for (word, other) in both.0.iter_mut().zip(other.0) {
            *word &= other;
        }
        both
    }

    /// The bits, node 0 in the lowest bit of the first word: a mask as set_mempolicy(2) takes it.
    pub fn words(&self) -> &[u64] {
        &self.0
    }
}

impl fmt::Display for NodeSet {
    /// As the kernel prints a list of nodes: `0-1,3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        CpuList(&self.0).fmt(f)
    }
}

/// How a thread's memory is taken from NUMA nodes (set_mempolicy(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryPolicy {
    /// From these nodes and no other: where they are full, the allocation fails (MPOL_BIND).
    Strict(NodeSet),
    /// From these nodes as long as they have some (MPOL_PREFERRED, or of several nodes MPOL_PREFERRED_MANY, Linux 5.15).
    Preferred(NodeSet),
    /// From these nodes in turn, page by page (MPOL_INTERLEAVE).
    Interleave(NodeSet),
    /// From the node of the CPU that the thread runs on as it first touches the memory (MPOL_LOCAL, Linux 3.8).
    Local,
}

impl MemoryPolicy {
    /// The nodes that it names.
    pub fn nodes(&self) -> NodeSet {
        match self {
            MemoryPolicy::Strict(nodes)
            | MemoryPolicy::Preferred(nodes)
            | MemoryPolicy::Interleave(nodes) => *nodes,
            MemoryPolicy::Local => NodeSet::default(),
        }
    }

    /// What /proc/PID/numa_maps says of memory that has this policy, where the kernel lets all of these nodes be used
    /// (mpol_to_str in mm/mempolicy.c).
    pub fn in_numa_maps(&self) -> String {
        match self {
            MemoryPolicy::Strict(nodes) => format!("bind:{nodes}"),
            MemoryPolicy::Preferred(nodes) if nodes.len() > 1 => format!("prefer (many):{nodes}"),
            MemoryPolicy::Preferred(nodes) => format!("prefer:{nodes}"),
            MemoryPolicy::Interleave(nodes) => format!("interleave:{nodes}"),
            MemoryPolicy::Local => "local".to_owned(),
        }
    }
}

impl fmt::Display for MemoryPolicy {
    /// As `PIN_MEMORY` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemoryPolicy::Strict(nodes) => write!(f, "strict:{nodes}"),
            MemoryPolicy::Preferred(nodes) => write!(f, "preferred:{nodes}"),
            MemoryPolicy::Interleave(nodes) => write!(f, "interleave:{nodes}"),
            MemoryPolicy::Local => f.write_str("local"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_nodes_is_read_as_the_kernel_writes_it() {
        for list in ["0", "0-1", "0-1,3", "63-64,1023"] {
            assert_eq!(NodeSet::parse(list).unwrap().to_string(), list);
        }
        for text in ["", "x", "0,", "0-1024", "1024", "-1", "0-99999999999"] {
            assert_eq!(NodeSet::parse(text), None, "{text}");
        }
        let nodes = NodeSet::parse("0-1,64").unwrap();
        assert_eq!((nodes.len(), nodes.words()[0], nodes.words()[1]), (3, 3, 1));
        assert!(nodes.contains(64) && !nodes.contains(2) && !nodes.contains(u32::MAX));
    }
}
