//! Passwords as they are kept: argon2id hashes in the usual text form, made and checked here.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};

use super::secret::Secret;

/// The shortest password that is taken (NIST SP 800-63B asks for as much).
pub const PASSWORD_LEN_MIN: usize = 8;

/// The longest one: more is not a password but work for us.
pub const PASSWORD_LEN_MAX: usize = 1_024;

/// The most memory that a hash may ask for: each check takes as much, and hashes may come from elsewhere.
const MEMORY_KIB_MAX: u32 = 256 << 10;

/// The most passes over that memory.
const PASSES_MAX: u32 = 16;

/// The most lanes.
const LANES_MAX: u32 = 16;

/// What new hashes ask for: OWASP's first choice of 2024 that stays below 20 MiB. About 20 ms of one core.
const MEMORY_KIB: u32 = 19 << 10;
const PASSES: u32 = 2;

const SALT_LEN: usize = 16;
const HASH_LEN: usize = 32;

/// A hash in PHC form, `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`. It isn't shown either: it can be guessed at.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

/// What is wrong with a hash or a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Not of the form.
    #[error("a password is kept as `$argon2id$v=19$m=...,t=...,p=...$SALT$HASH`; `headwater user passwd` writes one")]
    Form,
    /// More work than is done for a login.
    #[error("the hash asks for too much: at most m={MEMORY_KIB_MAX}, t={PASSES_MAX}, p={LANES_MAX}")]
    TooMuch,
    /// Too few bytes.
    #[error("a password has at least {PASSWORD_LEN_MIN} bytes")]
    TooShort,
    /// Too many bytes.
    #[error("a password has at most {PASSWORD_LEN_MAX} bytes")]
    TooLong,
    /// The system gave no random bytes, or no memory.
    #[error("this machine can't make a hash now")]
    Machine,
}

impl PasswordHash {
    /// Hashes a new password.
    ///
    /// # Errors
    /// When it is too short or too long.
    pub fn of(password: &Secret) -> Result<Self, PasswordError> {
        match password.reveal().len() {
            0..PASSWORD_LEN_MIN => return Err(PasswordError::TooShort),
            PASSWORD_LEN_MIN..=PASSWORD_LEN_MAX => {}
            _ => return Err(PasswordError::TooLong),
        }
        let mut made = Self { memory_kib: MEMORY_KIB, passes: PASSES, lanes: 1, salt: vec![0; SALT_LEN], hash: vec![] };
        SystemRandom::new().fill(&mut made.salt).map_err(|_| PasswordError::Machine)?;
        made.hash = vec![0; HASH_LEN];
        made.hash = made.hash_of(password).ok_or(PasswordError::Machine)?;
        Ok(made)
    }

    /// A hash that no password has, at the cost of this one: who tries a name that isn't there waits as long.
    pub(super) fn of_nobody(like: Option<&Self>) -> Self {
        let (memory_kib, passes, lanes) =
            like.map_or((MEMORY_KIB, PASSES, 1), |like| (like.memory_kib, like.passes, like.lanes));
        let hash_len = like.map_or(HASH_LEN, |like| like.hash.len());
        let mut salt = vec![0; SALT_LEN];
        // Without randomness the hash is still one that nobody's password is checked against: its entry doesn't exist.
        let _ = SystemRandom::new().fill(&mut salt);
        Self { memory_kib, passes, lanes, salt, hash: vec![0; hash_len] }
    }

    /// How much work a check is: memory times passes.
    pub(super) fn cost(&self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.passes)
    }

    /// Reads a hash.
    ///
    /// # Errors
    /// `Form`, `TooMuch`.
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        let parts: Vec<&str> = text.split('$').collect();
        let ["", "argon2id", "v=19", costs, salt, hash] = parts[..] else { return Err(PasswordError::Form) };
        let costs: Vec<&str> = costs.split(',').collect();
        let [memory, passes, lanes] = costs[..] else { return Err(PasswordError::Form) };
        let number = |text: &str, name: &str| -> Result<u32, PasswordError> {
            let digits = text.strip_prefix(name).ok_or(PasswordError::Form)?;
            digits.parse().map_err(|_| PasswordError::Form)
        };
        let bytes = |text: &str| STANDARD_NO_PAD.decode(text).map_err(|_| PasswordError::Form);
        let read = Self {
            memory_kib: number(memory, "m=")?,
            passes: number(passes, "t=")?,
            lanes: number(lanes, "p=")?,
            salt: bytes(salt)?,
            hash: bytes(hash)?,
        };
        if read.memory_kib > MEMORY_KIB_MAX || read.passes > PASSES_MAX || read.lanes > LANES_MAX {
            return Err(PasswordError::TooMuch);
        }
        let is_sound = (8..=64).contains(&read.salt.len()) && (16..=64).contains(&read.hash.len());
        if !is_sound || read.argon2().is_none() {
            return Err(PasswordError::Form);
        }
        Ok(read)
    }

    /// As it is kept.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { memory_kib, passes, lanes, salt, hash } = self;
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
        format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}")
    }

    /// Whether this is the password. Takes its time, on purpose: tens of milliseconds.
    #[must_use]
    pub fn is_of(&self, password: &Secret) -> bool {
        if password.reveal().len() > PASSWORD_LEN_MAX {
            return false;
        }
        let Some(hash) = self.hash_of(password) else { return false };
        // Every byte is looked at, whatever the first ones say.
        hash.len() == self.hash.len() && hash.iter().zip(&self.hash).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }

    fn hash_of(&self, password: &Secret) -> Option<Vec<u8>> {
        let mut hash = vec![0; self.hash.len()];
        self.argon2()?.hash_password_into(password.reveal(), &self.salt, &mut hash).ok()?;
        Some(hash)
    }

    fn argon2(&self) -> Option<Argon2<'static>> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(self.hash.len())).ok()?;
        Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("...")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_hash_and_by_nothing_else() {
        let made = PasswordHash::of(&Secret::new("correct horse")).unwrap();
        let read = PasswordHash::parse(&made.to_text()).unwrap();
        assert!(read == made && read.is_of(&Secret::new("correct horse")));
        assert!(!read.is_of(&Secret::new("correct hors")) && !read.is_of(&Secret::new("")));
        assert_ne!(PasswordHash::of(&Secret::new("correct horse")).unwrap().salt, made.salt);
        assert!(!PasswordHash::of_nobody(Some(&made)).is_of(&Secret::new("")));
    }

    /// From the tests of the reference implementation (phc-winner-argon2, `test.c`).
    #[test]
    fn a_hash_made_elsewhere_is_understood() {
        let text = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let read = PasswordHash::parse(text).unwrap();
        assert_eq!(read.to_text(), text);
        assert!(read.is_of(&Secret::new("password")));
        assert!(!read.is_of(&Secret::new("Password")));
    }

    #[test]
    fn what_is_no_hash_or_asks_for_too_much_is_refused() {
        let good = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(PasswordHash::parse(good).is_ok());
        for (was, is) in [
            ("argon2id", "argon2i"),
            ("v=19", "v=16"),
            ("m=19456,t=2", "t=2,m=19456"),
            ("c29tZXNhbHQ", "c29t"),
            ("c29tZXNhbHQ", "c29tZXNhbHQ="),
            ("$CTF", "$C F"),
            ("m=19456", "m=-1"),
            ("m=19456", "m=1"),
            ("p=1", "p=0"),
        ] {
            assert_eq!(PasswordHash::parse(&good.replace(was, is)), Err(PasswordError::Form), "{was} -> {is}");
        }
        for text in ["", "secret", "$argon2id$"] {
            assert_eq!(PasswordHash::parse(text), Err(PasswordError::Form), "{text}");
        }
        for (was, is) in [("m=19456", "m=4194304"), ("t=2", "t=99"), ("p=1", "p=255")] {
            assert_eq!(PasswordHash::parse(&good.replace(was, is)), Err(PasswordError::TooMuch), "{was} -> {is}");
        }
        assert_eq!(PasswordHash::of(&Secret::new("short")), Err(PasswordError::TooShort));
        assert_eq!(PasswordHash::of(&Secret::new(vec![b'x'; 1_025])), Err(PasswordError::TooLong));
    }
}
