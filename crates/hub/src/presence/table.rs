//! Entries in blocks: growing moves none, each keeps its place for life, and what is empty is given back.

use std::net::{Ipv6Addr, SocketAddr};

use headwater_event::{Principal, Time};

use super::{Connected, ConnectionId, Exit};

/// How many entries one block of the table has: an empty hub holds one of 14 KiB, and one that was crowded gives back
/// what is empty, a block at a time.
pub(super) const BLOCK_LEN: usize = 128;

/// What is kept of one connection: at most 112 bytes, since an idle one may cost 1.5 KiB in all.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) who: Principal,
    pub(super) exit: Exit,
    pub(super) client: Option<Box<str>>,
    pub(super) protocol: &'static str,
    pub(super) since: Time,
    pub(super) serial: u32,
    pub(super) port: u16,
    /// IPv4 as it is written in IPv6.
    pub(super) ip: Ipv6Addr,
}

impl Entry {
    pub(super) fn connected(&self, place: u32) -> Connected {
        Connected {
            id: ConnectionId { place, serial: self.serial },
            protocol: self.protocol,
            peer: self.peer(),
            who: self.who.clone(),
            client: self.client.as_deref().map(str::to_owned),
            since: self.since,
            exit: self.exit.clone(),
        }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.ip.to_canonical(), self.port)
    }
}

/// All entries.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) blocks: Vec<Block>,
    /// Blocks that have room, each once.
    open: Vec<u32>,
    serial: u32,
    pub(super) len: usize,
}

#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) slots: Vec<Slot>,
    taken: usize,
    /// The first free slot of a chain.
    free: Option<u8>,
    is_open: bool,
}

#[derive(Debug)]
pub(super) enum Slot {
    Taken(Entry),
    Free { next: Option<u8> },
}

impl Table {
    pub(super) fn insert(&mut self, mut entry: Entry) -> ConnectionId {
        let number = self.block_with_room();
        self.serial = self.serial.wrapping_add(1);
        entry.serial = self.serial;
        self.len += 1;
        let at = self.blocks[number].insert(entry);
        // A process has far fewer sockets.
        let place = u32::try_from(number * BLOCK_LEN + at).unwrap_or(u32::MAX);
        ConnectionId { place, serial: self.serial }
    }

    fn block_with_room(&mut self) -> usize {
        while let Some(number) = self.open.last() {
            let number = *number as usize;
            if self.blocks[number].taken < BLOCK_LEN {
                return number;
            }
            self.blocks[number].is_open = false;
            self.open.pop();
        }
        self.blocks.push(Block { is_open: true, ..Block::default() });
        let number = self.blocks.len() - 1;
        self.open.push(u32::try_from(number).unwrap_or(u32::MAX));
        number
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Entry> {
        let number = id.place as usize / BLOCK_LEN;
        let block = self.blocks.get_mut(number)?;
        let entry = block.remove(id.place as usize % BLOCK_LEN, id.serial)?;
        self.len -= 1;
        if !block.is_open {
            block.is_open = true;
            self.open.push(u32::try_from(number).unwrap_or(u32::MAX));
        }
        Some(entry)
    }

    /// The first entry at or after a place. Empty blocks are passed over at a glance.
    pub(super) fn next(&self, from: u32) -> Option<(u32, &Entry)> {
        let (first, inside) = (from as usize / BLOCK_LEN, from as usize % BLOCK_LEN);
        for (number, block) in self.blocks.iter().enumerate().skip(first).filter(|(_, block)| block.taken > 0) {
            let skipped = if number == first { inside } else { 0 };
            for (at, slot) in block.slots.iter().enumerate().skip(skipped) {
                if let Slot::Taken(entry) = slot {
                    return Some((u32::try_from(number * BLOCK_LEN + at).unwrap_or(u32::MAX), entry));
                }
            }
        }
        None
    }
}

impl Block {
    fn insert(&mut self, entry: Entry) -> usize {
        self.taken += 1;
        if let Some(at) = self.free {
            let slot = std::mem::replace(&mut self.slots[usize::from(at)], Slot::Taken(entry));
            self.free = match slot {
                Slot::Free { next } => next,
                Slot::Taken(_) => None,
            };
            return usize::from(at);
        }
        if self.slots.is_empty() {
            self.slots.reserve_exact(BLOCK_LEN);
        }
        self.slots.push(Slot::Taken(entry));
        self.slots.len() - 1
    }

    fn remove(&mut self, at: usize, serial: u32) -> Option<Entry> {
        if !matches!(self.slots.get(at), Some(Slot::Taken(entry)) if entry.serial == serial) {
            return None;
        }
        let slot = std::mem::replace(&mut self.slots[at], Slot::Free { next: self.free });
        // There are fewer than 256 slots in a block.
        self.free = u8::try_from(at).ok();
        self.taken -= 1;
        if self.taken == 0 {
            self.slots = Vec::new();
            self.free = None;
        }
        match slot {
            Slot::Taken(entry) => Some(entry),
            Slot::Free { .. } => None,
        }
    }
}
