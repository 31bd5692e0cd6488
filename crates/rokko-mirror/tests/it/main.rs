//! Integration tests of the mirror.

// The attribute tells clippy that helpers are test code too.
#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod format;
#[cfg(test)]
mod origin;
#[cfg(test)]
mod road;
#[cfg(test)]
mod sim;
