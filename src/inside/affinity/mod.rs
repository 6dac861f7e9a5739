//! Affinities: the kernel is asked for them and told what they should be.

pub(crate) mod direct;
pub(crate) mod record;
pub(crate) mod scan;
