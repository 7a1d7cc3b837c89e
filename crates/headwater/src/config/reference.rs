//! Writes `docs/configuration.md` from the table of settings.

use std::fmt::Write;

use super::Config;
use super::key::{Key, Kind};
use super::table::{KEYS, SECTIONS};

const HEAD: &str = "# Configuration

<!-- Written from the table in crates/headwater/src/config/table/ by `headwater check --reference`; a test keeps it current. -->

Every setting can stand in a settings file, in the environment, and many as a flag. Flags win over the environment, the
environment over the file, the file over the default. `headwater check --origin` prints every value and where it comes from.

The file is the one that `--config FILE` (or `HEADWATER_CONFIG`) names, else `headwater.toml` in the working folder if there is
one. A setting `section.name` stands under its section:

```toml
[limits]
payload_max = \"2 MiB\"
```

Any setting is also a flag: `--set 'limits.payload_max=2 MiB'`. In the environment its name is in capitals, with `_` for the
dot: `HEADWATER_LIMITS_PAYLOAD_MAX`; a setting that has a flag of its own is called after the flag (`--http` is `HEADWATER_HTTP`).
A name that isn't known is refused, with the nearest known one proposed; all that is wrong is told at once.

Sizes are whole numbers with B, kB, KiB, MB, MiB, GB, GiB, TB or TiB (a bare number is bytes); durations need one of us, ms, s,
min, h, d. Where `off` is a value, it switches the thing off.

Beside the settings the commands know `HEADWATER_ADDR` (which hub `pub` and `sub` talk to), `HEADWATER_CA` (as their `--ca`),
`HEADWATER_READY_FILE` (as `--ready-file`) and `HEADWATER_LOG` (a short name for `HEADWATER_LOGGING_LEVEL`).

Bridges to other MQTT brokers stand in the settings file alone, a table `[[bridge]]` each: [bridges.md](bridges.md).
";

/// The reference as a page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    let mut config = Config::default();
    for (section, about) in SECTIONS {
        let title = if section.is_empty() { "Above all sections".to_owned() } else { format!("`[{section}]`") };
        let _ = write!(
            page,
            "\n## {title}\n\n{about}\n\n| setting | default | may be | environment | |\n|---|---|---|---|---|\n"
        );
        for key in KEYS.iter().filter(|key| section_of(key) == *section) {
            let name = key.name.rsplit('.').next().unwrap_or(key.name);
            let default = key.show(&mut config);
            let env = key.env();
            let flag = key.flag.map(|flag| format!("Flag `--{flag}`. ")).unwrap_or_default();
            let _ = writeln!(page, "| `{name}` | {default} | {} | `{env}` | {flag}{} |", may_be(key), key.help);
        }
    }
    page
}

pub fn section_of(key: &Key) -> &'static str {
    key.name.split_once('.').map_or("", |(section, _)| section)
}

fn may_be(key: &Key) -> String {
    let range = key.bounds().map(|(min, max)| format!("{min} to {max}")).unwrap_or_default();
    match &key.kind {
        Kind::Folder(_) => "a folder".to_owned(),
        Kind::Address(_) => "address and port, or `off`".to_owned(),
        Kind::OptionalFile(_) => "a file, or `off`".to_owned(),
        Kind::AutoFile(_) => "a file, or `auto`".to_owned(),
        Kind::Text(_) => "a text, or `none`".to_owned(),
        Kind::Cert(_) => "`off`, `auto`, a file, or CERT,KEY".to_owned(),
        Kind::Protocols(_) => "`http`, `mqtt`, `frames`, or `none`".to_owned(),
        Kind::Switch(_) => "`true`, `false`".to_owned(),
        Kind::Count { .. } | Kind::Size { .. } | Kind::Span { .. } => range,
        Kind::OptionalSize { .. } | Kind::OptionalSpan { .. } => format!("{range}, or `off`"),
        Kind::Word { words, .. } => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Levels(_) => "a level, or levels by module".to_owned(),
        Kind::Texts(_) => "a list, or `none`".to_owned(),
        Kind::Apps(_) => "names, or `none`".to_owned(),
        Kind::Roles(_) => "`all`, or a list of names".to_owned(),
        Kind::Server { word, schemes, .. } => {
            let schemes: Vec<String> = schemes.iter().map(|scheme| format!("`{scheme}:...`")).collect();
            format!("`{word}`, {}", schemes.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_docs_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let stored = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            stored == page(),
            "docs/configuration.md is old: `cargo run -- check --reference > docs/configuration.md`"
        );
    }

    #[test]
    fn every_setting_stands_in_a_section_that_the_reference_shows() {
        for key in KEYS {
            assert!(SECTIONS.iter().any(|(section, _)| *section == section_of(key)), "{}", key.name);
        }
    }
}
