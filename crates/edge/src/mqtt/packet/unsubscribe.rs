//! UNSUBSCRIBE (section 3.10).

use headwater_event::Text;

use super::header::Kind;
use super::names::check_filter;
use super::properties::{MISPLACED, Property, Section, one_more, put_pairs, read_each};
use super::put::{Body, Put, TooLong, write};
use super::reader::Reader;
use super::subscribe::room_for_one;
use super::{Fault, Version};

/// Wants filters no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Never 0.
    pub packet_id: u16,
    /// At least one.
    pub filters: Vec<Text>,
    /// In their order. 5.0 only.
    pub user_properties: Vec<(Text, Text)>,
}

impl Unsubscribe {
    pub(super) fn read(reader: &mut Reader<'_>, version: Version) -> Result<Self, Fault> {
        let packet_id = reader.packet_id()?;
        let mut user_properties = Vec::new();
        if version == Version::V5 {
            read_each(reader, |property| match property {
                Property::User(name, value) => one_more(&mut user_properties, name, value),
                _ => Err(MISPLACED),
            })?;
        }
        let mut filters = Vec::new();
        while !reader.is_empty() {
            room_for_one(filters.len())?;
            let filter = reader.text_with_nul()?;
            check_filter(&filter)?;
            filters.push(filter);
        }
        if filters.is_empty() {
            return Err(Fault::protocol("UNSUBSCRIBE names no filter"));
        }
        Ok(Self { packet_id, filters, user_properties })
    }

    /// Appends it.
    ///
    /// # Errors
    /// When it can't be written; then nothing was appended.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), TooLong> {
        write(Kind::Unsubscribe, self, version, out)
    }
}

impl Section for Unsubscribe {
    fn put_fields(&self, put: &mut impl Put) {
        put_pairs(put, &self.user_properties);
    }
}

impl Body for Unsubscribe {
    fn put(&self, version: Version, put: &mut impl Put) {
        put.u16(self.packet_id);
        if version == Version::V5 {
            Section::put(self, put);
        }
        for filter in &self.filters {
            put.prefixed(filter.as_bytes());
        }
    }
}
