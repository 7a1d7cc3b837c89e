//! The applications.

use std::time::Duration;

use super::{A_CENTURY, LONGEST};
use crate::config::key::{Key, Kind};

/// These settings.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "apps.enabled",
        flag: Some("apps"),
        kind: Kind::Apps(|c| &mut c.apps),
        help: "Applications to run: a list of names, or `none`. There are `intake`, `shop` and `alerts`.",
    },
    Key {
        name: "shop.root_paths",
        flag: None,
        kind: Kind::Switch(|c| &mut c.shop.root_paths),
        help: "Whether its routes also stand at `/inventory` and `/order`, without `/shop`.",
    },
    Key {
        name: "shop.release_after",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.shop.release_after, min: Duration::from_secs(1), max: A_CENTURY },
        help: "After how long a reservation is released whose order never came.",
    },
    Key {
        name: "alerts.window",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.alerts.window, min: Duration::ZERO, max: LONGEST },
        help: "The same content within this time counts as one report; 0 counts each.",
    },
    Key {
        name: "alerts.record_kept",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.alerts.record_kept, min: LONGEST, max: A_CENTURY },
        help: "For how long it is on record who sent what.",
    },
    Key {
        name: "alerts.cap_sender",
        flag: None,
        kind: Kind::Text(|c| &mut c.alerts.cap_sender),
        help: "The sender in CAP files that are given out: without spaces, commas, `<` and `&`.",
    },
];
