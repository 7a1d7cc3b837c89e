//! The applications that come with Headwater, each as a customer would write it: routes, a page, and functions over the hub.

pub mod alerts;
pub mod intake;
mod page;
mod problem;
pub mod shop;

/// Preact with hooks and htm as one ES module, for every page that is served beside the applications' own.
pub const HTM_PREACT: &[u8] = include_bytes!("../vendor/htm-preact/standalone.module.js");
