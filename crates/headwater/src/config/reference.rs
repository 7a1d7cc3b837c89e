//! Writes `docs/configuration.md` from the table of settings.
