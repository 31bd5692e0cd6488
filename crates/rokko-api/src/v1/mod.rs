//! The native API.

pub mod dto;
