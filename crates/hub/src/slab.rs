//! A table whose places keep their numbers while others come and go.

/// Entries by number. A freed number is given out again, so whoever keeps one must know when its entry is gone.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Option<u32>,
    len: u32,
}

#[derive(Debug)]
enum Place<T> {
    Taken(T),
    /// Taken, and the entry is in somebody's hands for a moment.
    Out,
    Free {
        next: Option<u32>,
    },
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), free: None, len: 0 }
    }

    pub(crate) fn insert(&mut self, entry: T) -> u32 {
        self.len += 1;
        if let Some(at) = self.free {
            let place = &mut self.places[at as usize];
            if let Place::Free { next } = place {
                self.free = *next;
            }
            *place = Place::Taken(entry);
            return at;
        }
        // Most tables have one entry for all their life; the growth from there on is Vec's own.
        if self.places.capacity() == 0 {
            self.places.reserve_exact(1);
        }
        self.places.push(Place::Taken(entry));
        // Tables are bounded far below: one entry for each connection or subscription.
        u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn remove(&mut self, at: u32) -> Option<T> {
        let place = self.places.get_mut(at as usize)?;
        if !matches!(place, Place::Taken(_)) {
            return None;
        }
        let Place::Taken(entry) = std::mem::replace(place, Place::Free { next: self.free }) else { return None };
        self.free = Some(at);
        self.len -= 1;
        if self.len == 0 {
            // Nobody knows a number of this table any more: give the memory back.
            *self = Self::new();
        }
        Some(entry)
    }

    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        match self.places.get(at as usize)? {
            Place::Taken(entry) => Some(entry),
            Place::Out | Place::Free { .. } => None,
        }
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        match self.places.get_mut(at as usize)? {
            Place::Taken(entry) => Some(entry),
            Place::Out | Place::Free { .. } => None,
        }
    }

    /// Takes an entry into one's hands, to be put back soon: its place stays its own.
    pub(crate) fn take_out(&mut self, at: u32) -> Option<T> {
        let place = self.places.get_mut(at as usize)?;
        if !matches!(place, Place::Taken(_)) {
            return None;
        }
        match std::mem::replace(place, Place::Out) {
            Place::Taken(entry) => Some(entry),
            Place::Out | Place::Free { .. } => None,
        }
    }

    /// Puts an entry back into its place.
    pub(crate) fn put_back(&mut self, at: u32, entry: T) {
        if let Some(place @ Place::Out) = self.places.get_mut(at as usize) {
            *place = Place::Taken(entry);
        }
    }

    /// How many entries there are.
    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// One more than the highest number in use.
    pub(crate) fn end(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::replace(self, Self::new()).places.into_iter().filter_map(|place| match place {
            Place::Taken(entry) => Some(entry),
            Place::Out | Place::Free { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_while_others_come_and_go() {
        let mut slab = Slab::new();
        let (a, b, c) = (slab.insert('a'), slab.insert('b'), slab.insert('c'));
        assert_eq!(slab.remove(b), Some('b'));
        assert_eq!(slab.remove(b), None);
        assert_eq!((slab.get(a), slab.get(b), slab.get(c)), (Some(&'a'), None, Some(&'c')));
        assert_eq!(slab.insert('d'), b);
        assert_eq!((slab.len(), slab.end()), (3, 3));
        assert_eq!(slab.drain().collect::<String>(), "adc");
        assert_eq!((slab.len(), slab.end()), (0, 0));
    }
}
