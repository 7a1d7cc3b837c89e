//! The contract of the [`Bus`](crate::Bus) as tests that every engine runs unchanged.
