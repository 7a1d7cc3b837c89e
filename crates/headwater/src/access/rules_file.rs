//! The rules' file: what each role may publish and watch.
//!
//! ```toml
//! [roles.device]
//! publish = ["devices/{user}/up/#"]
//! subscribe = ["devices/{user}/down/#"]
//! deny_publish = ["devices/{user}/up/raw"]
//! ```

use headwater_hub::access::{For, NAME_LEN_MAX, Pattern, PatternError, Role};
use toml::de::DeTable;

use super::toml_file::{Reading, parse};
use crate::config::{Faults, nearest};

/// What a role's table holds.
const KEYS: [&str; 4] = ["publish", "subscribe", "deny_publish", "deny_subscribe"];

/// Reads the rules. An empty file is good, and allows nobody anything.
pub fn read(path: &str, text: &str, faults: &mut Faults) -> Vec<(String, Role)> {
    let parsed = parse(path, text, faults);
    let mut reading = Reading { path, text, faults };
    let tables = reading.tables("roles", &parsed);
    tables.into_iter().map(|(name, at, table)| (name.clone(), role(&mut reading, &name, at, table))).collect()
}

fn role(reading: &mut Reading<'_>, name: &str, at: usize, table: &DeTable<'_>) -> Role {
    if name.is_empty() || name.len() > NAME_LEN_MAX || name.chars().any(char::is_control) {
        reading.fault(at, format!("a role's name has 1 to {NAME_LEN_MAX} bytes and no control characters"), None);
    }
    let mut role = Role::default();
    for (key, value) in table {
        let key_at = key.span().start;
        let (list, purpose) = match &**key.get_ref() {
            "publish" => (&mut role.publish, For::Publishing),
            "deny_publish" => (&mut role.deny_publish, For::Publishing),
            "subscribe" => (&mut role.subscribe, For::Watching),
            "deny_subscribe" => (&mut role.deny_subscribe, For::Watching),
            other => {
                reading.unknown(key_at, other, &KEYS);
                continue;
            }
        };
        for (text, at) in reading.texts(key.get_ref(), value) {
            match Pattern::new(&text, purpose) {
                Ok(pattern) => list.push(pattern),
                Err(error) => {
                    let proposal = proposal(&text, &error);
                    reading.fault(at, format!("{text:?}: {error}"), proposal);
                }
            }
        }
    }
    role
}

/// What may have been meant.
fn proposal(text: &str, error: &PatternError) -> Option<String> {
    let PatternError::Placeholder { level } = error else { return None };
    let word = level.trim_matches(['{', '}', '$', '%']);
    let meant = nearest(word, ["user", "client"]).or(match word {
        "username" | "name" | "u" => Some("user"),
        "clientid" | "client_id" | "c" => Some("client"),
        _ => None,
    })?;
    Some(format!("{:?}", text.replace(level, &format!("{{{meant}}}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<(String, String, Option<String>)> {
        let mut faults = Faults::default();
        read("rules.toml", text, &mut faults);
        faults.0.into_iter().map(|fault| (fault.place, fault.what, fault.proposal)).collect()
    }

    #[test]
    fn rules_are_read_as_they_are_written() {
        let mut faults = Faults::default();
        let text =
            "[roles.device]\npublish = ['d/{user}/up/#']\nsubscribe = ['d/{user}/#', '$SYS/#']\n\n[roles.anonymous]\n";
        let roles = read("f", text, &mut faults);
        assert_eq!(faults, Faults::default());
        let seen: Vec<_> =
            roles.iter().map(|(name, role)| (&**name, role.publish.len(), role.subscribe.len())).collect();
        assert_eq!(seen, [("anonymous", 0, 0), ("device", 1, 2)]);
        assert!(read("f", "", &mut faults).is_empty() && faults == Faults::default(), "an empty file is good");
    }

    #[test]
    fn what_is_wrong_has_its_line_and_a_proposal() {
        for (text, line, said, proposal) in [
            ("[roles.a]\nsubscribe = ['a/#/b']", 2, "`#` stands alone in the last level", None),
            ("[roles.a]\n\npublish = [\n'a',\n'a/{usr}/b']", 5, "placeholder", Some("\"a/{user}/b\"")),
            ("[roles.a]\npublish = ['a/{username}']", 2, "placeholder", Some("\"a/{user}\"")),
            ("[roles.a]\npublish = ['dev-{client}']", 2, "placeholder", None),
            ("[roles.a]\npublish = ['$SYS/a']", 2, "belong to the hub", None),
            ("[roles.a]\nsubscribe = ['$audit/#']", 2, "belong to the hub", None),
            ("[roles.a]\npublish = 'a/#'", 2, "a list of texts", Some("publish = [\"a/#\"]")),
            ("[roles.a]\npublish = [1]", 2, "and this is none", None),
            ("[roles.a]\nsubscirbe = ['a']", 2, "there is no \"subscirbe\"", Some("subscribe")),
            ("[role.a]\npublish = ['a']", 1, "there is no section", Some("[roles.NAME]")),
            ("roles = 7", 1, "outside of every table", Some("[roles.NAME]")),
            ("[roles]\npublish = ['a']", 2, "is no table", Some("[roles.publish]")),
            ("[roles.a]\npublish = ['a'\n[roles.b]", 3, "no TOML", None),
            ("[roles.a]\n[roles.a]", 2, "no TOML", None),
        ] {
            let told = faults(text);
            let (place, what, meant) = told.first().unwrap_or_else(|| panic!("{text} is good"));
            assert_eq!(
                (place.as_str(), meant.as_deref()),
                (&*format!("rules.toml line {line}"), proposal),
                "{text}: {told:?}"
            );
            assert!(what.contains(said), "{text}: {what}");
        }
    }
}
