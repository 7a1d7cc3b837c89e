//! The applications that come with Headwater, each as a customer would write it: routes, a page, and functions over the hub.

pub mod intake;
