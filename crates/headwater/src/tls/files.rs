//! Certificates and keys as they lie in files.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use headwater_edge::tls::{Asked, TlsMaterial};
use headwater_event::Clock;

/// The longest file that is read, in bytes: a bundle with every authority of the public web has 250 KiB.
const FILE_LEN_MAX: u64 = 4 << 20;

/// What a key's mode must not have: rights of everybody. The owner's group may read it, as Debian's `ssl-cert` group and a
/// Kubernetes volume with an `fsGroup` do.
const OTHERS: u32 = 0o007;

/// Where they lie.
#[derive(Clone)]
pub struct Files {
    /// The chain, our own certificate first.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Whose certificates clients show.
    pub client_ca: Option<PathBuf>,
    /// Whether they are asked.
    pub asked: Asked,
    /// Judges whether a certificate is in its time.
    pub clock: Clock,
}

/// What changes when a file does: also when another is put in its place, or a link leads elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(Vec<Option<Seen>>);

/// Device, file, length, and when it was written, to the nanosecond.
type Seen = (u64, u64, u64, i64, i64);

impl Files {
    /// Reads all of them.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it; never a part of a key.
    pub fn read(&self) -> anyhow::Result<TlsMaterial> {
        let cert = read("tls.cert", &self.cert)?;
        let about = metadata("tls.key", &self.key)?;
        if about.mode() & OTHERS != 0 {
            let path = self.key.display();
            bail!(
                "tls.key: everybody on this machine may use {path} (mode {:03o}): chmod o= {path}",
                about.mode() & 0o777
            );
        }
        let key = read("tls.key", &self.key)?;
        let material = TlsMaterial::from_pem(&cert, &key, self.clock.clone());
        let material = material.with_context(|| format!("{}, {}", self.cert.display(), self.key.display()))?;
        let Some(path) = &self.client_ca else { return Ok(material) };
        let authorities = read("tls.client_ca", path)?;
        material.asking(self.asked, &authorities).with_context(|| path.display().to_string())
    }

    /// How they lie there now.
    pub fn stamp(&self) -> Stamp {
        let all = [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()];
        let stamp = |path: &PathBuf| {
            let about = fs::metadata(path).ok()?;
            Some((about.dev(), about.ino(), about.len(), about.mtime(), about.mtime_nsec()))
        };
        Stamp(all.into_iter().flatten().map(stamp).collect())
    }
}

fn metadata(setting: &str, path: &Path) -> anyhow::Result<Metadata> {
    fs::metadata(path).with_context(|| format!("{setting}: can't read {}", path.display()))
}

fn read(setting: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    if metadata(setting, path)?.len() > FILE_LEN_MAX {
        bail!("{setting}: {} is too long for certificates", path.display());
    }
    fs::read(path).with_context(|| format!("{setting}: can't read {}", path.display()))
}
