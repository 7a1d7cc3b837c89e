//! HTTP/1.1: routes over the hub, problem documents, metrics, pages; server-sent events and WebSockets begin here too.
//!
//! A connection's first request head is read by ourselves ([`first`]), which bounds what a stranger costs and decides who
//! gets the socket: a watcher ([`crate::sse`], [`crate::ws`]) or hyper and the [`routes`]. HTTP/2 is not spoken, and
//! nothing is compressed.

mod body;
mod caller;
mod cloudevents;
mod connection;
mod docs;
mod escape;
mod first;
pub mod framing;
mod front;
mod handover;
mod health;
mod history;
mod hosts;
mod limits;
mod linger;
mod logins;
mod metrics;
pub mod page;
mod problem;
mod publish;
mod query;
mod refusal;
pub mod routes;
mod serve;
mod sticky;
mod wire;

pub use caller::{By, Caller, Cookies, PASSWORD_PROTOCOL, TOKEN_PROTOCOL};
pub use docs::OPENAPI;
pub use health::Part;
pub use hosts::Hosts;
pub use limits::Limits;
pub(crate) use linger::poll_discard;
pub use logins::Logins;
pub use metrics::Figure;
pub use metrics::{GroupCount, Groups};
pub use problem::{PROBLEM_JSON, Problem};
pub use query::{Query, bad as bad_parameter};
pub use serve::{ServeSettings, serve};
