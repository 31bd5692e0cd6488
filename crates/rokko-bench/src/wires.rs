//! Namespaces with slow and lossy wires between them: the same that tests of the fleet have.

#[path = "../../rokko/tests/it/fleet/link.rs"]
pub(crate) mod link;
#[path = "../../rokko/tests/it/fleet/netns.rs"]
pub(crate) mod netns;
