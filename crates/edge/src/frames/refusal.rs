//! The hub's refusals in the frame protocol's words.

use headwater_event::Refusal;

use super::wire::Code;

/// The NACK (or the status of WELCOME) for a refusal.
#[must_use]
pub const fn code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::TooLarge { .. } => Code::TooLong,
        Refusal::NotAuthenticated | Refusal::NotAllowed => Code::NotAllowed,
        Refusal::TooFast { .. } | Refusal::Full { .. } => Code::Overloaded,
        Refusal::OutOfOrder { .. } => Code::OutOfOrder,
        Refusal::Unavailable => Code::StorageFailed,
        Refusal::Malformed(_) => Code::Malformed,
    }
}
