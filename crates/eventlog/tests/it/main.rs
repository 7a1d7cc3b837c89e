//! Tests of the whole log, through what the rest of Headwater sees of it.

mod kit;
mod promises;
