//! The embedded engine: one durable file, group commit, recovery, sticky index, deduplication, groups.
#![expect(dead_code, reason = "the seam to the groups lands before the log behind it")]

mod derived;
mod groups;
