//! The first pages of the log: what file this is, and from where on it still holds events.

use headwater_event::{Epoch, Seq, Time};

/// One page: the block of common file systems, and the unit that a disk tears at the worst.
pub(crate) const PAGE: usize = 4_096;

/// Where the first batch begins: behind two identity pages and two pages for the head.
pub(crate) const DATA_START: u64 = 4 * PAGE as u64;

/// The version of the format that this program writes and reads.
pub(crate) const VERSION: u32 = 1;

/// No text file starts with these bytes, and a transfer that changes line ends or strips bits breaks them.
const MAGIC: [u8; 8] = *b"\x89HWLOG\r\n";

/// Where the two copies of the identity stand: a damaged first page must not cost the log.
pub(crate) const IDENTITY_AT: [u64; 2] = [0, 3 * PAGE as u64];

/// Where the two notes of the head stand; they're written in turn, so that a torn one leaves the other.
pub(crate) const HEAD_AT: [u64; 2] = [PAGE as u64, 2 * PAGE as u64];

/// What file this is; written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Which log; never 0.
    pub epoch: Epoch,
    /// When the file was made.
    pub created: Time,
    /// What batch marks carry, drawn at random: no payload can forge a mark without having read the file.
    pub tag: u64,
    /// The key of the hash of event ids, drawn at random: nobody can choose ids that collide.
    pub id_key: [u8; 16],
}

/// Why a first page can't be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("it is not a Headwater log")]
    Foreign,
    #[error("it has format version {0}, and this program reads version {VERSION}")]
    Version(u32),
    #[error("its first page is damaged")]
    Damaged,
}

impl Identity {
    /// The page as it stands in the file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(PAGE);
        page.extend_from_slice(&MAGIC);
        page.extend_from_slice(&VERSION.to_be_bytes());
        page.extend_from_slice(&self.epoch.to_be_bytes());
        page.extend_from_slice(&self.created.as_micros().to_be_bytes());
        page.extend_from_slice(&self.tag.to_be_bytes());
        page.extend_from_slice(&self.id_key);
        seal(page, PAGE)
    }

    /// Reads one page.
    pub(crate) fn decode(page: &[u8]) -> Result<Self, IdentityError> {
        if page.get(..8) != Some(&MAGIC[..]) {
            return Err(IdentityError::Foreign);
        }
        // The version stands before the checksum, which another version may compute in another way.
        let version = number::<4>(page, 8).map(u32::from_be_bytes).ok_or(IdentityError::Damaged)?;
        if version != VERSION {
            return Err(IdentityError::Version(version));
        }
        let page = opened(page, PAGE).ok_or(IdentityError::Damaged)?;
        let field = |at| number::<8>(page, at).map(u64::from_be_bytes).ok_or(IdentityError::Damaged);
        let epoch = number::<4>(page, 12).map(u32::from_be_bytes).ok_or(IdentityError::Damaged)?;
        let id_key = number::<16>(page, 32).ok_or(IdentityError::Damaged)?;
        if epoch == 0 {
            return Err(IdentityError::Damaged);
        }
        Ok(Self { epoch, created: Time(field(16)?), tag: field(24)?, id_key })
    }
}

/// From where on the file holds events: retention has freed what lies before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Counts the notes; the valid one with the higher count holds.
    pub generation: u64,
    /// All events up to and with this one are freed.
    pub freed: Seq,
    /// Where the first batch that is kept begins.
    pub first: u64,
}

/// The length of a note of the head: one sector of the smallest kind.
const HEAD_LEN: usize = 512;

impl Head {
    /// The head of a log that never freed anything.
    pub(crate) const NEW: Self = Self { generation: 0, freed: 0, first: DATA_START };

    /// The note as it stands in the file, and where.
    pub(crate) fn encode(&self, identity: &Identity) -> (u64, Vec<u8>) {
        let mut note = Vec::with_capacity(HEAD_LEN);
        note.extend_from_slice(&identity.tag.to_be_bytes());
        note.extend_from_slice(&self.generation.to_be_bytes());
        note.extend_from_slice(&self.freed.to_be_bytes());
        note.extend_from_slice(&self.first.to_be_bytes());
        let at = HEAD_AT[usize::from(!self.generation.is_multiple_of(2))];
        (at, seal(note, HEAD_LEN))
    }

    /// The newer of the two notes; `None` when neither can be read. A new file has [`Head::NEW`] as its first note, so
    /// that even the second one may be torn.
    pub(crate) fn decode(pages: [&[u8]; 2], identity: &Identity) -> Option<Self> {
        pages.iter().filter_map(|page| Self::decode_one(page, identity)).max_by_key(|head| head.generation)
    }

    fn decode_one(page: &[u8], identity: &Identity) -> Option<Self> {
        let note = opened(page, HEAD_LEN)?;
        let field = |at| number::<8>(note, at).map(u64::from_be_bytes);
        let head = Self { generation: field(8)?, freed: field(16)?, first: field(24)? };
        (field(0)? == identity.tag && head.first >= DATA_START).then_some(head)
    }
}

/// Fills up with zeros and ends with the CRC32C of all before.
fn seal(mut bytes: Vec<u8>, len: usize) -> Vec<u8> {
    bytes.resize(len - 4, 0);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

/// What [`seal`] closed, if it's whole.
fn opened(bytes: &[u8], len: usize) -> Option<&[u8]> {
    let (body, crc) = bytes.get(..len)?.split_last_chunk::<4>()?;
    (crc32c::crc32c(body) == u32::from_be_bytes(*crc)).then_some(body)
}

/// `N` bytes at this place.
pub(crate) fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { epoch: 7, created: Time(1), tag: 2, id_key: [3; 16] };

    #[test]
    fn the_identity_reads_back() {
        assert_eq!(Identity::decode(&IDENTITY.encode()), Ok(IDENTITY));
    }

    #[test]
    fn another_version_is_told_from_damage_and_from_another_file() {
        let mut page = IDENTITY.encode();
        page[100] ^= 1;
        assert_eq!(Identity::decode(&page), Err(IdentityError::Damaged));
        page[11] = 2;
        assert_eq!(Identity::decode(&page), Err(IdentityError::Version(2)));
        page[0] = b'#';
        assert_eq!(Identity::decode(&page), Err(IdentityError::Foreign));
        assert_eq!(Identity::decode(&[]), Err(IdentityError::Foreign));
    }

    #[test]
    fn the_newer_whole_note_of_the_head_holds() {
        let older = Head { generation: 4, freed: 10, first: 20_000 };
        let newer = Head { generation: 5, freed: 30, first: 40_000 };
        let ((a, older_note), (b, mut newer_note)) = (older.encode(&IDENTITY), newer.encode(&IDENTITY));
        assert_ne!(a, b);
        assert_eq!(Head::decode([&older_note, &newer_note], &IDENTITY), Some(newer));
        newer_note[17] ^= 1;
        assert_eq!(Head::decode([&older_note, &newer_note], &IDENTITY), Some(older));
        assert_eq!(Head::decode([&[0; 512], &newer_note], &IDENTITY), None);
    }
}
