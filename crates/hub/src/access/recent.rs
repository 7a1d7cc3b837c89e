//! Passwords that were right a short while ago, so that a client that shows its own with every request doesn't cost 20 ms
//! each time. Only a keyed digest is kept, the key is made at the start and is nowhere else.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ring::hmac;
use ring::rand::SystemRandom;

use super::secret::Secret;

/// For how long a right password is known. An entry among the users that has changed ends it at once, whatever this says.
const KNOWN_FOR: Duration = Duration::from_secs(300);

/// How many are known: some 100 bytes each, so 2 MiB; and as many devices as may come back at once after an outage.
const KNOWN_MAX: usize = 16_384;

/// The digest of a name and its password.
pub(super) type Digest = [u8; 32];

/// The table.
pub(super) struct Recent {
    key: Option<hmac::Key>,
    known: Mutex<HashMap<Digest, Known>>,
}

#[derive(Clone, Copy)]
struct Known {
    version: u64,
    until: Instant,
}

impl Recent {
    pub(super) fn new() -> Self {
        // Without a key nothing is remembered: slower, and as safe.
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok();
        Self { key, known: Mutex::default() }
    }

    /// What a name and password are known by.
    pub(super) fn digest(&self, user: &str, password: &Secret) -> Option<Digest> {
        let mut context = hmac::Context::with_key(self.key.as_ref()?);
        context.update(&user.len().to_be_bytes());
        context.update(user.as_bytes());
        context.update(password.reveal());
        context.sign().as_ref().try_into().ok()
    }

    /// Which version of an entry this was right for.
    pub(super) fn find(&self, digest: &Digest) -> Option<u64> {
        let known = *self.lock().get(digest)?;
        (known.until > Instant::now()).then_some(known.version)
    }

    pub(super) fn remember(&self, digest: Digest, version: u64) {
        let now = Instant::now();
        let mut known = self.lock();
        if known.len() >= KNOWN_MAX {
            known.retain(|_, known| known.until > now);
            // Whoever is forgotten is checked once more.
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
        }
        known.insert(digest, Known { version, until: now + KNOWN_FOR });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
