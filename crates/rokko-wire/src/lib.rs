//! Names, messages and EDNS in wire form: parsed from and composed into a caller's buffer.
