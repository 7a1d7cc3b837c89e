//! SUBSCRIBE (section 3.8).

use headwater_event::Text;

use super::header::Kind;
use super::names::{check_filter, split_shared};
use super::properties::{MISPLACED, Property, Section, id, once, one_more, put_pairs, put_varint, read_each};
use super::put::{Body, Put, TooLong, write};
use super::reader::Reader;
use super::{Fault, Qos, Reason, Version};

/// The most filters of one packet: as many as a client may hold subscriptions by default. Each costs some 40 bytes beside
/// its text, so a packet of 1 MiB of the shortest would otherwise grow to 10.
pub const FILTERS_MAX: usize = 65_536;

/// Wants filters, each in its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Never 0.
    pub packet_id: u16,
    /// By what the client knows deliveries for these filters; never 0. 5.0 only.
    pub id: Option<u32>,
    /// At least one.
    pub filters: Vec<(Text, SubscribeOptions)>,
    /// In their order. 5.0 only.
    pub user_properties: Vec<(Text, Text)>,
}

/// How a filter is wanted (section 3.8.3.1). The default is that of 3.1.1, which has but the QoS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// The most that deliveries may have.
    pub qos: Qos,
    /// Whether the client's own publications stay away.
    pub no_local: bool,
    /// Whether deliveries have the retain flag that their publication had.
    pub retain_as_published: bool,
    /// Whether topics' latest are sent first.
    pub retain_handling: RetainHandling,
}

/// Whether topics' latest are sent when a subscription is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetainHandling {
    /// 0: always.
    #[default]
    Always,
    /// 1: when the subscription wasn't there yet.
    WhenNew,
    /// 2: never.
    Never,
}

impl SubscribeOptions {
    pub(in crate::mqtt) fn read(byte: u8, version: Version) -> Result<Self, Fault> {
        let reserved = match version {
            Version::V311 => 0b1111_1100,
            Version::V5 => 0b1100_0000,
        };
        if byte & reserved != 0 {
            return Err(Fault::malformed("a reserved bit of the subscription options is set"));
        }
        let Some(qos) = Qos::from_bits(byte & 0b11) else {
            return Err(match version {
                Version::V311 => Fault::malformed("there is no QoS 3"),
                Version::V5 => Fault::protocol("there is no QoS 3"),
            });
        };
        let retain_handling = match byte >> 4 & 0b11 {
            0 => RetainHandling::Always,
            1 => RetainHandling::WhenNew,
            2 => RetainHandling::Never,
            _ => return Err(Fault::protocol("there is no retain handling 3")),
        };
        Ok(Self { qos, no_local: byte & 0b100 != 0, retain_as_published: byte & 0b1000 != 0, retain_handling })
    }

    pub(in crate::mqtt) fn byte(self, version: Version) -> u8 {
        if version == Version::V311 {
            return self.qos.bits();
        }
        let retain_handling = match self.retain_handling {
            RetainHandling::Always => 0,
            RetainHandling::WhenNew => 1,
            RetainHandling::Never => 2,
        };
        self.qos.bits() | u8::from(self.no_local) << 2 | u8::from(self.retain_as_published) << 3 | retain_handling << 4
    }
}

impl Subscribe {
    pub(super) fn read(reader: &mut Reader<'_>, version: Version) -> Result<Self, Fault> {
        let packet_id = reader.packet_id()?;
        let (mut subscription_id, mut user_properties) = (None, Vec::new());
        if version == Version::V5 {
            read_each(reader, |property| match property {
                Property::SubscriptionId(id) => once(&mut subscription_id, id),
                Property::User(name, value) => one_more(&mut user_properties, name, value),
                _ => Err(MISPLACED),
            })?;
        }
        let mut filters = Vec::new();
        while !reader.is_empty() {
            room_for_one(filters.len())?;
            let filter = reader.text_with_nul()?;
            let options = SubscribeOptions::read(reader.byte()?, version)?;
            check_filter(&filter)?;
            if options.no_local && split_shared(&filter).is_some() {
                return Err(Fault::protocol("a shared subscription can't be without the client's own publications"));
            }
            filters.push((filter, options));
        }
        if filters.is_empty() {
            return Err(Fault::protocol("SUBSCRIBE names no filter"));
        }
        Ok(Self { packet_id, id: subscription_id, filters, user_properties })
    }

    /// Appends it.
    ///
    /// # Errors
    /// When it can't be written; then nothing was appended.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), TooLong> {
        if self.id.is_some_and(|id| id > super::varint::MAX) {
            return Err(TooLong);
        }
        write(Kind::Subscribe, self, version, out)
    }
}

/// Checks that a packet with this many filters may have one more.
pub(super) fn room_for_one(count: usize) -> Result<(), Fault> {
    if count == FILTERS_MAX {
        return Err(Fault::new(Reason::QUOTA_EXCEEDED, "a packet has at most 65,536 filters"));
    }
    Ok(())
}

impl Section for Subscribe {
    fn put_fields(&self, put: &mut impl Put) {
        if let Some(subscription_id) = self.id {
            put_varint(put, id::SUBSCRIPTION_ID, subscription_id);
        }
        put_pairs(put, &self.user_properties);
    }
}

impl Body for Subscribe {
    fn put(&self, version: Version, put: &mut impl Put) {
        put.u16(self.packet_id);
        if version == Version::V5 {
            Section::put(self, put);
        }
        for (filter, options) in &self.filters {
            put.prefixed(filter.as_bytes());
            put.byte(options.byte(version));
        }
    }
}
