//! rokko-bench
fn main() {}
