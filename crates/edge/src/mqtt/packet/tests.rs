//! Tests over all packet kinds.
