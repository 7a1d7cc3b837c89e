//! `--tls auto`: a certificate that the hub makes for itself and keeps, for development.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use headwater_event::Clock;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};

use crate::config::Config;

/// How long it is good for: more than 825 days is refused by Apple's systems, whoever vouches for it.
const GOOD_FOR: Duration = Duration::from_secs(800 * 86_400);

/// From which age on a start makes a new one.
const RENEWED_AFTER: Duration = Duration::from_secs(700 * 86_400);

/// How much before now it begins to be good: clocks of clients lag.
const GOOD_BEFORE: Duration = Duration::from_secs(86_400);

/// The certificate and the key in this folder, made where there are none.
///
/// # Errors
/// When they can't be written.
pub fn in_folder(folder: &Path, config: &Config, clock: &Clock) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (cert, key) = (folder.join("tls-auto.crt"), folder.join("tls-auto.key"));
    if key.exists() && is_young(&cert, clock) {
        return Ok((cert, key));
    }
    let pair = KeyPair::generate()?;
    let own = params(config, clock)?.self_signed(&pair)?;
    // The certificate last: a start that is cut short between them makes both again.
    write(&key, 0o600, &pair.serialize_pem())?;
    write(&cert, 0o644, &own.pem())?;
    Ok((cert, key))
}

fn is_young(cert: &Path, clock: &Clock) -> bool {
    let Ok(about) = fs::metadata(cert) else { return false };
    let now = clock.now().as_micros() / 1_000_000;
    now.saturating_sub(u64::try_from(about.mtime()).unwrap_or(0)) < RENEWED_AFTER.as_secs()
}

fn params(config: &Config, clock: &Clock) -> anyhow::Result<CertificateParams> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut names = vec!["localhost".to_owned()];
    let host = host.trim();
    // A name that a certificate can't hold is left out: it is a convenience.
    if !host.is_empty() && host != "localhost" && rustls::pki_types::DnsName::try_from(host).is_ok() {
        names.push(host.to_owned());
    }
    let mut params = CertificateParams::new(names)?;
    let mut ips: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for ip in config.listeners().map(|addr| addr.ip()) {
        if !ip.is_unspecified() && !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    params.subject_alt_names.extend(ips.into_iter().map(SanType::IpAddress));
    params.distinguished_name.push(DnType::CommonName, "Headwater, for development");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = Duration::from_micros(clock.now().as_micros());
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(GOOD_BEFORE);
    params.not_after = epoch + now + GOOD_FOR;
    Ok(params)
}

/// Writes a file whole or not at all, with its mode from its first byte on.
fn write(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    let beside = path.with_extension("tmp");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(fs::rename(&beside, path)?)
}

#[cfg(test)]
mod tests {
    use headwater_event::Time;

    use super::*;

    #[test]
    fn it_is_made_once_kept_secret_and_made_anew_when_it_grows_old() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::default();
        let make = |clock: &Clock| {
            let (cert, key) = in_folder(folder.path(), &config, clock).unwrap();
            assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
            (fs::read(cert).unwrap(), fs::read(key).unwrap())
        };
        let now = Clock::system().now();
        let first = make(&Clock::manual(now));
        assert_eq!(make(&Clock::manual(now.plus(RENEWED_AFTER - GOOD_BEFORE))), first);
        let second = make(&Clock::manual(now.plus(RENEWED_AFTER + GOOD_BEFORE)));
        assert!(second.0 != first.0 && second.1 != first.1);
        fs::remove_file(folder.path().join("tls-auto.key")).unwrap();
        assert_ne!(make(&Clock::manual(Time(now.as_micros()))), second);
    }
}
