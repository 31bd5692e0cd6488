//! What is measured. Each scenario is a subcommand.

pub(crate) mod change;
pub(crate) mod churn;
pub(crate) mod fleet;
pub(crate) mod flood;
pub(crate) mod import;
pub(crate) mod memory;
pub(crate) mod query;
pub(crate) mod scale;
pub(crate) mod tcp;
pub(crate) mod turns;
pub(crate) mod xdp;
