//! Whole-log tests, one binary.
