//! The log contract and its adapters.
