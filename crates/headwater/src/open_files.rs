//! Room for connections: each is an open file, and the usual soft limit of 1,024 is there for old programs that `select`.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one. Where that isn't allowed the hub runs with what it has.
pub fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    if before == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => tracing::debug!(?before, now = ?limit.maximum, "raised the limit of open files"),
        Err(error) => tracing::warn!("the limit of open files stays at {before:?}: {error}"),
    }
}
