//! What the files of users and rules have in common: tables of tables, each value with its line, each fault with a proposal.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::{Faults, line_of, nearest};

/// The largest file that is read: a million lines, more than anybody writes by hand or by script.
pub const FILE_LEN_MAX: u64 = 64 << 20;

/// A file being read.
pub struct Reading<'a> {
    pub path: &'a str,
    pub text: &'a str,
    pub faults: &'a mut Faults,
}

/// A value and where it stands.
pub type Value<'t> = Spanned<DeValue<'t>>;

impl Reading<'_> {
    pub fn line(&self, at: usize) -> usize {
        line_of(self.text, at)
    }

    /// Says what is wrong at this byte.
    pub fn fault(&mut self, at: usize, what: impl Into<String>, proposal: Option<String>) {
        let place = format!("{} line {}", self.path, self.line(at));
        self.faults.add(place, what, proposal);
    }

    /// The tables below `[SECTION.name]`, each with its name and place; whatever else the file holds is a fault.
    ///
    /// What TOML itself has to say is told by its place alone: a parser's words may quote what stands there.
    pub fn tables<'t>(
        &mut self,
        section: &str,
        parsed: &'t (DeTable<'t>, bool),
    ) -> Vec<(String, usize, &'t DeTable<'t>)> {
        let mut found = Vec::new();
        for (name, value) in &parsed.0 {
            let at = name.span().start;
            let DeValue::Table(below) = value.get_ref() else {
                self.fault(
                    at,
                    format!("{:?} stands outside of every table", name.get_ref()),
                    Some(format!("[{section}.NAME]")),
                );
                continue;
            };
            if name.get_ref() != section {
                self.fault(at, format!("there is no section {:?}", name.get_ref()), Some(format!("[{section}.NAME]")));
                continue;
            }
            for (name, value) in below {
                let at = name.span().start;
                match value.get_ref() {
                    DeValue::Table(table) => found.push((name.get_ref().to_string(), at, table)),
                    _ => self.fault(
                        at,
                        format!("{:?} is no table", name.get_ref()),
                        Some(format!("[{section}.{}]", name.get_ref())),
                    ),
                }
            }
        }
        found
    }

    /// A list of texts, each with its place.
    pub fn texts(&mut self, name: &str, value: &Value<'_>) -> Vec<(String, usize)> {
        let at = value.span().start;
        let DeValue::Array(items) = value.get_ref() else {
            let proposal = value.get_ref().as_str().map(|text| format!("{name} = [{text:?}]"));
            self.fault(at, format!("{name} is a list of texts"), proposal);
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::String(text) => texts.push((text.to_string(), item.span().start)),
                _ => self.fault(item.span().start, format!("{name} is a list of texts, and this is none"), None),
            }
        }
        texts
    }

    /// A name that isn't known, and the nearest that is.
    pub fn unknown(&mut self, at: usize, name: &str, known: &[&'static str]) {
        let proposal = nearest(name, known.iter().copied()).map(str::to_owned);
        self.fault(at, format!("there is no {name:?} here; there is {}", known.join(", ")), proposal);
    }
}

/// Parses a file; what is no TOML is told by its lines, and nothing of the rest counts then.
pub fn parse<'t>(path: &str, text: &'t str, faults: &mut Faults) -> (DeTable<'t>, bool) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let is_good = errors.is_empty();
    for error in errors {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        faults.add(format!("{path} line {line}"), format!("this is no TOML: {}", quiet(error.message())), None);
    }
    (table.into_inner(), is_good)
}

/// A parser's word without what it quotes: in these files that may be a secret.
fn quiet(message: &str) -> String {
    message.split(['`', '"', '\'']).step_by(2).collect::<Vec<_>>().join("...")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_parser_quotes_is_not_told() {
        assert_eq!(quiet("duplicate key `secret` in table `users`"), "duplicate key ... in table ...");
        assert_eq!(quiet("expected newline"), "expected newline");
    }

    /// Both readers, fed with files that were good once: they read or refuse, name a line that is there, and never panic. The
    /// seed is fixed, so a failure comes again.
    #[test]
    fn a_file_of_anything_is_read_or_refused_with_its_lines() {
        let rules =
            "[roles.a]\npublish = ['x/{user}/#', '+']\nsubscribe = [\n'$SYS/#',\n]\n[roles.b]\ndeny_publish = []\n";
        let users = "[users.ada]\npassword = '$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'\nroles = ['a']\ndisabled = false\n";
        let pieces = [
            "[", "]", "=", "'", "\"", "\n", "{user}", "#", "roles", "users", ".", ",", "\u{0}", "é", "{", "1e9", "true",
        ];
        let mut seed = 7_u64;
        let mut throw = |sides: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((seed >> 33) as usize) % sides
        };
        let (mut good, mut bad) = (0, 0);
        for round in 0..20_000 {
            let mut text: Vec<char> = if round % 2 == 0 { rules } else { users }.chars().collect();
            for _ in 0..=throw(4) {
                let at = throw(text.len().max(1)).min(text.len());
                match throw(3) {
                    0 => text.truncate(at),
                    1 => drop(text.drain(at..(at + throw(9)).min(text.len()))),
                    _ => drop(text.splice(at..at, pieces[throw(pieces.len())].chars()).collect::<Vec<_>>()),
                }
            }
            let text: String = text.into_iter().collect();
            let mut faults = Faults::default();
            if round % 2 == 0 {
                drop(super::super::rules_file::read("f", &text, &mut faults));
            } else {
                drop(super::super::users_file::read("f", &text, &mut faults));
            }
            for fault in &faults.0 {
                let line: usize = fault.place.strip_prefix("f line ").unwrap().parse().unwrap();
                assert!((1..=text.lines().count() + 1).contains(&line), "{text:?}: {fault:?}");
            }
            if faults.0.is_empty() { good += 1 } else { bad += 1 }
        }
        assert!(good > 500 && bad > 5_000, "{good} good, {bad} bad: too one-sided to say anything");
    }
}
