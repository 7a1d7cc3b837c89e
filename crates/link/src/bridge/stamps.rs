//! What an event carries about the bridges that it came by: where it began, how many it passed, and which was the last.
//!
//! They are user properties in MQTT 5 and headers here. Anybody may write them; who does only keeps an event of their own
//! from going further.

use headwater_event::{Epoch, Event, Text};

/// The log that an event entered first.
pub(super) const ORIGIN: &str = "headwater-origin";
/// How many bridges it has passed.
pub(super) const HOPS: &str = "headwater-hops";
/// The bridge by which it came in here; it goes no further than this hub.
pub(super) const VIA: &str = "headwater-via";
/// The user property of a CONNACK by which a Headwater says which log it has.
pub(super) const LOG: &str = "headwater-log";

/// All that stands on an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps {
    pub origin: Option<Epoch>,
    pub hops: u32,
    pub via: Option<String>,
}

impl Stamps {
    /// As they stand on an event here.
    pub(super) fn of(event: &Event) -> Self {
        Self::read(event.headers.iter())
    }

    /// As they stand among user properties.
    pub(super) fn among(user: &[(Text, Text)]) -> Self {
        Self::read(user.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    fn read<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut stamps = Self::default();
        for (name, value) in pairs {
            match name {
                ORIGIN => stamps.origin = value.parse().ok(),
                // What can't be read has come too far.
                HOPS => stamps.hops = value.parse().unwrap_or(u32::MAX),
                VIA => stamps.via = Some(value.to_owned()),
                _ => {}
            }
        }
        stamps
    }
}

/// Whether a name is one of these: they are never passed on as they stand.
pub(super) fn is_stamp(name: &str) -> bool {
    [ORIGIN, HOPS, VIA].contains(&name)
}
