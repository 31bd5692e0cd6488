//! rokko
fn main() {}
