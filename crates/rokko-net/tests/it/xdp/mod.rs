//! AF_XDP between two network namespaces. Needs root.

mod namespaces;
mod raw;
mod server;
