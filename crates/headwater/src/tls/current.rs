//! Reads certificates anew: when it's asked for by SIGHUP, and when their files have changed.

use std::sync::Arc;
use std::time::Duration;

use headwater_edge::tls::Tls;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::files::{Files, Stamp};
use super::fingerprint;

/// How often the files are looked at: a renewed certificate is in use before whoever renewed it has looked.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Keeps listeners' certificates what their files say, for as long as it's polled. Files that can't be used are said once,
/// and what was used before stays in use.
///
/// # Errors
/// When the signal can't be listened for.
pub async fn keep_current(tls: Arc<Tls>, files: Files, mut read: Stamp) -> std::io::Result<()> {
    let mut asked = signal(SignalKind::hangup())?;
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_asked = tokio::select! {
            _ = asked.recv() => true,
            _ = look.tick() => false,
        };
        let (here, before) = (files.clone(), read.clone());
        // The files may lie on another machine: whoever waits for them must not be one of the runtime's own threads.
        let looked = tokio::task::spawn_blocking(move || {
            let stamp = here.stamp();
            let material = (is_asked || stamp != before).then(|| here.read());
            (stamp, material)
        });
        let Ok((stamp, material)) = looked.await else { continue };
        read = stamp;
        match material {
            None => {}
            Some(Err(error)) => {
                tracing::error!("the certificates in use stay in use, as the new ones can't be: {error:#}")
            }
            Some(Ok(material)) => match tls.replace(&material) {
                Ok(()) => {
                    let print = fingerprint(material.own_certificate());
                    tracing::info!("certificates read anew from {}: SHA-256 {print}", files.cert.display());
                }
                Err(error) => tracing::error!("the certificates in use stay in use: {error}"),
            },
        }
    }
}
