//! What a DNS hosting company has: the root zone as a real zone, and very many small zones of customers.

mod customers;
mod root;
