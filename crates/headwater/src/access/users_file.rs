//! The users' file: read for the hub, read and written by `headwater user`.
//!
//! ```toml
//! [users.ada]
//! password = "$argon2id$v=19$m=19456,t=2,p=1$...$..."
//! roles = ["operator"]
//! ```

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use headwater_hub::access::{PasswordHash, User, check_name};
use rustix::fs::{FlockOperation, flock};
use toml::de::{DeTable, DeValue};

use super::toml_file::{FILE_LEN_MAX, Reading, parse};
use crate::config::Faults;

/// What a user's table holds.
const KEYS: [&str; 4] = ["password", "roles", "certificates", "disabled"];

/// The first lines of a file that we write.
const HEAD: &str =
    "# The users of a Headwater hub. Written by `headwater user`: what else stands here is lost at its next change.\n";

/// Reads the users. Whatever is wrong makes the whole file wrong: who is left out by mistake might be who should be out.
pub fn read(path: &str, text: &str, faults: &mut Faults) -> Vec<User> {
    let parsed = parse(path, text, faults);
    let mut reading = Reading { path, text, faults };
    let tables = reading.tables("users", &parsed);
    tables.into_iter().map(|(name, at, table)| user(&mut reading, name, at, table)).collect()
}

fn user(reading: &mut Reading<'_>, name: String, at: usize, table: &DeTable<'_>) -> User {
    if let Err(error) = check_name(&name) {
        reading.fault(at, error.to_string(), None);
    }
    let mut user = User { name, ..User::default() };
    for (key, value) in table {
        let at = value.span().start;
        let texts = |reading: &mut Reading<'_>| {
            reading.texts(key.get_ref(), value).into_iter().map(|(text, _)| text).collect::<Vec<_>>()
        };
        match (&**key.get_ref(), value.get_ref()) {
            // What was written in its place isn't shown: it may be the password itself.
            ("password", DeValue::String(text)) => match PasswordHash::parse(text) {
                Ok(hash) => user.password = Some(hash),
                Err(error) => reading.fault(at, error.to_string(), None),
            },
            ("password", _) => reading.fault(at, "a password's hash is a text", None),
            ("roles", _) => user.roles = texts(reading),
            ("certificates", _) => user.certificates = texts(reading),
            ("disabled", DeValue::Boolean(is_disabled)) => user.is_disabled = *is_disabled,
            ("disabled", _) => reading.fault(at, "disabled is true or false", None),
            (other, _) => reading.unknown(key.span().start, other, &KEYS),
        }
    }
    user
}

/// The users as they are written.
fn written(users: &[User]) -> String {
    let mut out = HEAD.to_owned();
    let list = |texts: &[String]| texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ");
    for user in users {
        // Writing into a String can't fail.
        let _ = writeln!(out, "\n[users.{}]", quoted(&user.name));
        if let Some(hash) = &user.password {
            let _ = writeln!(out, "password = {}", quoted(&hash.to_text()));
        }
        let _ = writeln!(out, "roles = [{}]", list(&user.roles));
        if !user.certificates.is_empty() {
            let _ = writeln!(out, "certificates = [{}]", list(&user.certificates));
        }
        if user.is_disabled {
            out.push_str("disabled = true\n");
        }
    }
    out
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Whether a file is closed to everybody who needn't read it.
///
/// # Errors
/// Says how to close it.
pub fn check_mode(path: &Path) -> Result<(), String> {
    let file = fs::metadata(path).map_err(|error| format!("can't be read: {error}"))?;
    let mode = file.mode() & 0o777;
    if is_closed(mode, file.uid(), rustix::process::geteuid().as_raw()) {
        return Ok(());
    }
    Err(format!("others on this machine can open it (mode {mode:03o}): chmod 600 {}", path.display()))
}

/// Only its owner may do anything; but root's file may be read by a group. That is how a secret is handed to a process
/// that isn't root and has no file of its own (a volume of Kubernetes, a credential of systemd).
const fn is_closed(mode: u32, owner: u32, us: u32) -> bool {
    let is_handed = owner == 0 && us != 0;
    mode & if is_handed { 0o037 } else { 0o077 } == 0
}

/// Reads a file of secrets: of bounded length, and closed to others.
pub fn secret_text(path: &Path) -> Result<String, String> {
    check_mode(path)?;
    plain_text(path)
}

/// Reads a file of bounded length.
pub fn plain_text(path: &Path) -> Result<String, String> {
    let len = fs::metadata(path).map_err(|error| format!("can't be read: {error}"))?.len();
    if len > FILE_LEN_MAX {
        return Err(format!("is too large: {len} bytes, at most {FILE_LEN_MAX}"));
    }
    fs::read_to_string(path).map_err(|error| format!("can't be read: {error}"))
}

/// The file, held by one command at a time.
pub struct UsersFile {
    path: PathBuf,
    /// Held until the command ends.
    _lock: File,
    /// In the order of their names.
    pub users: Vec<User>,
}

impl UsersFile {
    /// Opens it for a change, or begins one. Whoever else has it open is waited for.
    ///
    /// # Errors
    /// When it can't be read, holds something wrong, or is open to others.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.with_context(|| format!("can't make the folder {}", folder.display()))?;
        }
        // The file itself is replaced at each change, so the lock lies beside it.
        let lock_path = beside(path, "lock");
        let lock = File::options().create(true).append(true).mode(0o600).open(&lock_path);
        let lock = lock.with_context(|| format!("can't open {}", lock_path.display()))?;
        flock(&lock, FlockOperation::LockExclusive).context("can't lock the users' file")?;
        Ok(Self { path: path.to_owned(), _lock: lock, users: Self::look_into(path)? })
    }

    /// The users, in the order of their names; none where there is no file.
    ///
    /// # Errors
    /// When it can't be read, holds something wrong, or is open to others.
    pub fn look_into(path: &Path) -> anyhow::Result<Vec<User>> {
        let mut users = match secret_text(path) {
            Ok(text) => read_whole(path, &text)?,
            Err(_) if !path.exists() => Vec::new(),
            Err(why) => bail!("{}: {why}", path.display()),
        };
        users.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(users)
    }

    /// Writes it: whole, on disk, under a name of its own, and then in one step in the place of the old one.
    ///
    /// # Errors
    /// As the disk says; the old one is as it was then.
    pub fn save(mut self) -> anyhow::Result<()> {
        self.users.sort_by(|one, other| one.name.cmp(&other.name));
        let text = written(&self.users);
        // What can't be read again must not be written.
        read_whole(&self.path, &text)?;
        let fresh = beside(&self.path, "new");
        let done = self.replace(&fresh, &text);
        done.with_context(|| format!("can't write {}", self.path.display()))
    }

    fn replace(&self, fresh: &Path, text: &str) -> io::Result<()> {
        match fs::remove_file(fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::options().create_new(true).write(true).mode(0o600).open(fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(fresh, &self.path)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }
}

/// The users of a text that must be wholly good.
fn read_whole(path: &Path, text: &str) -> anyhow::Result<Vec<User>> {
    let mut faults = Faults::default();
    let users = read(&path.display().to_string(), text, &mut faults);
    if !faults.0.is_empty() {
        bail!("{faults}");
    }
    // Two users of one certificate can't be told apart.
    headwater_hub::access::Users::new(users.clone())?;
    Ok(users)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use headwater_hub::access::Secret;

    use super::*;

    #[test]
    fn a_file_is_closed_but_a_group_may_read_what_root_hands_to_it() {
        const US: u32 = 65_532;
        assert!(is_closed(0o600, US, US));
        assert!(!is_closed(0o640, US, US));
        assert!(is_closed(0o440, 0, US), "a secret of Kubernetes with fsGroup");
        assert!(!is_closed(0o460, 0, US));
        assert!(!is_closed(0o444, 0, US));
        assert!(!is_closed(0o440, 0, 0), "root needs no group");
        assert!(!is_closed(0o440, 1_000, US), "somebody else's");
    }

    fn told(text: &str) -> Vec<(String, String)> {
        let mut faults = Faults::default();
        read("users.toml", text, &mut faults);
        faults.0.into_iter().map(|fault| (fault.place, fault.what)).collect()
    }

    #[test]
    fn what_was_written_is_read_again() {
        let password = Some(PasswordHash::of(&Secret::new("correct horse")).unwrap());
        let users = [
            User { name: "ada".into(), password, roles: vec!["a \"b\"".into()], ..User::default() },
            User { name: "d.1".into(), certificates: vec!["d1.example".into()], is_disabled: true, ..User::default() },
        ];
        let mut faults = Faults::default();
        let text = written(&users);
        assert_eq!(read("f", &text, &mut faults), users, "{text}");
        assert_eq!(faults, Faults::default());
    }

    #[test]
    fn class_21_a_wrong_line_is_named_and_shows_nothing_of_a_secret() {
        for (text, line, said) in [
            ("[users.ada]\npassword = 'canary-secret'", 2, "$argon2id$"),
            ("[users.ada]\npassword = ['canary-secret']", 2, "is a text"),
            ("[users.ada]\npasswd = 'canary-secret'", 2, "there is no \"passwd\""),
            ("[users.ada]\nroles = 'admin'", 2, "a list of texts"),
            ("[users.ada]\ndisabled = 'yes'", 2, "true or false"),
            ("[users.'a/b']\nroles = []", 1, "can't be a user's name"),
            ("[users.anonymous]\nroles = []", 1, "the hub uses this word"),
            ("[user.ada]\nroles = []", 1, "there is no section"),
            ("ada = 'canary-secret'", 1, "outside of every table"),
            ("[users.ada]\npassword = 'canary-secret", 2, "no TOML"),
            ("[users.ada]\npassword = canary-secret", 2, "no TOML"),
            ("[users.ada]\n[users.ada]\n", 2, "no TOML"),
            ("{ \"users\": \"canary-secret\" }", 1, "no TOML"),
        ] {
            let told = told(text);
            assert!(!told.is_empty(), "{text} is good");
            assert!(
                told.iter().any(|(place, what)| *place == format!("users.toml line {line}") && what.contains(said)),
                "{text}: {told:?}"
            );
            assert!(!format!("{told:?}").contains("canary"), "{told:?}");
        }
    }
}
