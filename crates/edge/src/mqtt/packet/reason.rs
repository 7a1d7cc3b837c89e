//! Why: the reason codes of MQTT 5.0 (section 2.4), and what is left of them in 3.1.1.

use std::fmt;

/// A reason code of MQTT 5.0; from 0x80 on it says no.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reason(u8);

macro_rules! reasons {
    ($($byte:literal $name:ident $text:literal)*) => {
        impl Reason {
            $(
                #[doc = concat!(stringify!($byte), ": ", $text, ".")]
                pub const $name: Self = Self($byte);
            )*

            /// Every code that the specification has, in order.
            pub const ALL: &'static [Self] = &[$(Self($byte)),*];

            /// The reason of this code, if the specification has one.
            #[must_use]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self($byte)),)*
                    _ => None,
                }
            }

            /// What the specification calls it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($byte => $text,)*
                    _ => "no reason",
                }
            }
        }
    };
}

reasons! {
    0x00 SUCCESS "Success"
    0x01 GRANTED_QOS_1 "Granted QoS 1"
    0x02 GRANTED_QOS_2 "Granted QoS 2"
    0x04 DISCONNECT_WITH_WILL "Disconnect with will message"
    0x10 NO_MATCHING_SUBSCRIBERS "No matching subscribers"
    0x11 NO_SUBSCRIPTION_EXISTED "No subscription existed"
    0x18 CONTINUE_AUTHENTICATION "Continue authentication"
    0x19 RE_AUTHENTICATE "Re-authenticate"
    0x80 UNSPECIFIED_ERROR "Unspecified error"
    0x81 MALFORMED_PACKET "Malformed packet"
    0x82 PROTOCOL_ERROR "Protocol error"
    0x83 IMPLEMENTATION_SPECIFIC_ERROR "Implementation specific error"
    0x84 UNSUPPORTED_PROTOCOL_VERSION "Unsupported protocol version"
    0x85 CLIENT_ID_NOT_VALID "Client identifier not valid"
    0x86 BAD_USER_NAME_OR_PASSWORD "Bad user name or password"
    0x87 NOT_AUTHORIZED "Not authorized"
    0x88 SERVER_UNAVAILABLE "Server unavailable"
    0x89 SERVER_BUSY "Server busy"
    0x8A BANNED "Banned"
    0x8B SERVER_SHUTTING_DOWN "Server shutting down"
    0x8C BAD_AUTHENTICATION_METHOD "Bad authentication method"
    0x8D KEEP_ALIVE_TIMEOUT "Keep alive timeout"
    0x8E SESSION_TAKEN_OVER "Session taken over"
    0x8F TOPIC_FILTER_INVALID "Topic filter invalid"
    0x90 TOPIC_NAME_INVALID "Topic name invalid"
    0x91 PACKET_ID_IN_USE "Packet identifier in use"
    0x92 PACKET_ID_NOT_FOUND "Packet identifier not found"
    0x93 RECEIVE_MAXIMUM_EXCEEDED "Receive maximum exceeded"
    0x94 TOPIC_ALIAS_INVALID "Topic alias invalid"
    0x95 PACKET_TOO_LARGE "Packet too large"
    0x96 MESSAGE_RATE_TOO_HIGH "Message rate too high"
    0x97 QUOTA_EXCEEDED "Quota exceeded"
    0x98 ADMINISTRATIVE_ACTION "Administrative action"
    0x99 PAYLOAD_FORMAT_INVALID "Payload format invalid"
    0x9A RETAIN_NOT_SUPPORTED "Retain not supported"
    0x9B QOS_NOT_SUPPORTED "QoS not supported"
    0x9C USE_ANOTHER_SERVER "Use another server"
    0x9D SERVER_MOVED "Server moved"
    0x9E SHARED_SUBSCRIPTIONS_NOT_SUPPORTED "Shared subscriptions not supported"
    0x9F CONNECTION_RATE_EXCEEDED "Connection rate exceeded"
    0xA0 MAXIMUM_CONNECT_TIME "Maximum connect time"
    0xA1 SUBSCRIPTION_IDS_NOT_SUPPORTED "Subscription identifiers not supported"
    0xA2 WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED "Wildcard subscriptions not supported"
}

impl Reason {
    /// The code.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// Whether it says no.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// The return code of a 3.1.1 CONNACK (3.1.1, section 3.2.2.3), where one fits.
    #[must_use]
    pub const fn to_return_code(self) -> Option<u8> {
        Some(match self {
            Self::SUCCESS => 0,
            Self::UNSUPPORTED_PROTOCOL_VERSION => 1,
            Self::CLIENT_ID_NOT_VALID => 2,
            Self::SERVER_UNAVAILABLE | Self::SERVER_BUSY | Self::SERVER_SHUTTING_DOWN => 3,
            Self::BAD_USER_NAME_OR_PASSWORD => 4,
            Self::NOT_AUTHORIZED | Self::BANNED => 5,
            _ => return None,
        })
    }

    /// The reason that a 3.1.1 CONNACK's return code stands for.
    #[must_use]
    pub const fn from_return_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::SUCCESS,
            1 => Self::UNSUPPORTED_PROTOCOL_VERSION,
            2 => Self::CLIENT_ID_NOT_VALID,
            3 => Self::SERVER_UNAVAILABLE,
            4 => Self::BAD_USER_NAME_OR_PASSWORD,
            5 => Self::NOT_AUTHORIZED,
            _ => return None,
        })
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02X} {}", self.0, self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_reason_exactly_when_the_specification_has_it() {
        let known: Vec<u8> = (0..=255).filter(|byte| Reason::from_byte(*byte).is_some()).collect();
        let all: Vec<u8> = Reason::ALL.iter().map(|reason| reason.byte()).collect();
        assert_eq!(known, all);
        assert_eq!(all.len(), 43);
        assert!(Reason::from_byte(0x7F).is_none() && Reason::from_byte(0xA3).is_none());
        assert_eq!(Reason::TOPIC_ALIAS_INVALID.to_string(), "0x94 Topic alias invalid");
    }

    #[test]
    fn return_codes_of_the_older_protocol_come_back_as_they_went() {
        for code in 0..=5 {
            assert_eq!(Reason::from_return_code(code).and_then(Reason::to_return_code), Some(code));
        }
        assert_eq!(Reason::from_return_code(6), None);
        assert_eq!(Reason::PACKET_TOO_LARGE.to_return_code(), None);
    }
}
