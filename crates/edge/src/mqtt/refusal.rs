//! The hub's refusals in MQTT's words (MQTT 5.0 section 2.4).

use headwater_event::Refusal;

use super::packet::Reason;

/// The reason code of an acknowledgement or a DISCONNECT.
pub(super) const fn reason(refusal: &Refusal) -> Reason {
    match refusal {
        Refusal::NotAuthenticated | Refusal::NotAllowed => Reason::NOT_AUTHORIZED,
        Refusal::Malformed(_) => Reason::IMPLEMENTATION_SPECIFIC_ERROR,
        Refusal::TooLarge { .. } => Reason::PACKET_TOO_LARGE,
        Refusal::TooFast { .. } | Refusal::Full { .. } => Reason::QUOTA_EXCEEDED,
        Refusal::OutOfOrder { .. } | Refusal::Unavailable => Reason::UNSPECIFIED_ERROR,
    }
}

/// The reason code of an acknowledgement of a publication: PUBACK and PUBREC have no "packet too large" (section 3.4.2.1).
pub(super) const fn publish_reason(refusal: &Refusal) -> Reason {
    match refusal {
        Refusal::TooLarge { .. } => Reason::QUOTA_EXCEEDED,
        other => reason(other),
    }
}

/// The reason code of a CONNACK.
pub(super) const fn connect_reason(refusal: &Refusal) -> Reason {
    match refusal {
        Refusal::NotAuthenticated => Reason::BAD_USER_NAME_OR_PASSWORD,
        Refusal::NotAllowed => Reason::NOT_AUTHORIZED,
        Refusal::Malformed(_) => Reason::CLIENT_ID_NOT_VALID,
        Refusal::TooLarge { .. } => Reason::PACKET_TOO_LARGE,
        Refusal::TooFast { .. } => Reason::CONNECTION_RATE_EXCEEDED,
        Refusal::Full { .. } => Reason::SERVER_BUSY,
        Refusal::OutOfOrder { .. } | Refusal::Unavailable => Reason::SERVER_UNAVAILABLE,
    }
}
