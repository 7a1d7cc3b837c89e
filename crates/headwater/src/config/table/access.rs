//! Who may do what, and what the program tells.

use std::time::Duration;

use headwater_hub::access::LEEWAY_MAX;

use super::{LONGEST, SHORTEST};
use crate::config::key::{Key, Kind};
use crate::config::{Anonymous, Config};

/// These settings.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "access.anonymous",
        flag: None,
        kind: Kind::Word { words: &["auto", "all", "none"], set: set_anonymous, get: |c| c.anonymous as usize },
        help: "What clients may do that show nothing: `all` lets everybody publish and watch everywhere but on reserved \
               topics, whatever the rules say; `none` lets none of them in; `auto` leaves it to the role `anonymous`. \
               While there is no settings file, no rules' file, and every listener is on loopback, `auto` is `all`.",
    },
    Key {
        name: "access.users_file",
        flag: None,
        kind: Kind::AutoFile(|c| &mut c.access.users_file),
        help: "The users, as `headwater user` writes them; `auto` is `users.toml` in the data folder, where there is one.",
    },
    Key {
        name: "access.rules_file",
        flag: None,
        kind: Kind::AutoFile(|c| &mut c.access.rules_file),
        help: "What each role may publish and watch; `auto` is `rules.toml` in the data folder, where there is one. \
               Without rules nobody may anything.",
    },
    Key {
        name: "access.token_keys_file",
        flag: None,
        kind: Kind::OptionalFile(|c| &mut c.access.token_keys_file),
        help: "The keys that tokens are signed with, a JWK set; without it no token is taken.",
    },
    Key {
        name: "access.token_issuer",
        flag: None,
        kind: Kind::Text(|c| &mut c.access.tokens.issuer),
        help: "Who must have made a token (`iss`), letter by letter.",
    },
    Key {
        name: "access.token_audience",
        flag: None,
        kind: Kind::Text(|c| &mut c.access.tokens.audience),
        help: "Whom a token must be meant for (`aud`).",
    },
    Key {
        name: "access.token_user_claim",
        flag: None,
        kind: Kind::Text(|c| &mut c.access.tokens.user_claim),
        help: "Which claim of a token is the user's name.",
    },
    Key {
        name: "access.token_roles_claim",
        flag: None,
        kind: Kind::Text(|c| &mut c.access.tokens.roles_claim),
        help: "Which claim of a token lists the user's roles; a dot leads into an object (`realm_access.roles`).",
    },
    Key {
        name: "access.token_leeway",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.access.tokens.leeway, min: Duration::ZERO, max: LEEWAY_MAX },
        help: "How far the issuer's clock may be from ours.",
    },
    Key {
        name: "access.ask_service",
        flag: None,
        kind: Kind::Switch(|c| &mut c.access.asks_service),
        help: "Whether those whom users and keys don't know are asked about: a service that watches `$auth/ask` answers \
               ([access.md](access.md)).",
    },
    Key {
        name: "access.service_wait",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.access.asking.wait, min: SHORTEST, max: Duration::from_secs(60) },
        help: "How long its answer may take.",
    },
    Key {
        name: "access.service_holds",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.access.asking.holds, min: Duration::from_secs(1), max: LONGEST },
        help: "For how long an answer holds that doesn't say so itself.",
    },
    Key {
        name: "logging.level",
        flag: None,
        kind: Kind::Levels(|c| &mut c.logging.level),
        help: "How much is told: `error`, `warn`, `info`, `debug`, `trace`, `off`, also by module (`info,headwater_hub=debug`).",
    },
    Key {
        name: "logging.json",
        flag: None,
        kind: Kind::Switch(|c| &mut c.logging.json),
        help: "One JSON object a line in place of text.",
    },
];

fn set_anonymous(config: &mut Config, word: usize) {
    config.anonymous = [Anonymous::Auto, Anonymous::All, Anonymous::None][word];
}
