//! The nouns of Headwater and the one seam between its parts.
//!
//! This crate is the ground that every other one stands on. It does no I/O, starts no task, and knows no engine and no
//! protocol: what is here are the things that all of them speak of ([`Event`], [`Topic`], [`Position`], [`Principal`],
//! [`Refusal`]) and the contract between those who bring events and those who keep them ([`Bus`]).

pub mod bus;
pub mod clock;
#[cfg(feature = "contract")]
pub mod contract;
pub mod delivery;
pub mod event;
pub mod headers;
pub mod id;
pub mod json;
pub mod lag;
pub mod position;
pub mod principal;
pub mod refusal;
pub mod talk;
pub mod text;
pub mod topic;

pub use bus::{
    Abilities, Batch, Bus, BusError, Durability, Health, Later, Member, Receipt, Receipts, Replay, StickyPage, Tail,
    TopicPage,
};
pub use clock::{Clock, Time};
pub use delivery::{Backoff, DeadLetter, Delivery, GroupName, GroupOptions, GroupStat, Settlement, Start, Tag};
pub use event::{Event, Publication, Recorded};
pub use headers::Headers;
pub use id::{EventId, ProducerId};
pub use lag::Lag;
pub use position::{Epoch, Position, Seq};
pub use principal::{Login, Principal};
pub use refusal::Refusal;
pub use talk::Talk;
pub use text::Text;
pub use topic::{Filter, Topic, TopicError};
