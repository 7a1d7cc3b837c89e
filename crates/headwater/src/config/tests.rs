//! The settings as a whole: order, faults, and every setting at its edges.

use super::key::Kind;
use super::read::{Loaded, Open, Origin, Sources, load};
use super::table::KEYS;

fn sources(file: &str, env: &[(&str, &str)], flags: &[(&str, &str, &str)]) -> Sources {
    let own = |text: &&str| (*text).to_owned();
    Sources {
        file: (!file.is_empty()).then(|| ("headwater.toml".to_owned(), file.to_owned())),
        env: env.iter().map(|(name, text)| (own(name), own(text))).collect(),
        flags: flags.iter().map(|(flag, name, text)| (own(flag), own(name), own(text))).collect(),
    }
}

fn origin(loaded: &Loaded, name: &str) -> Origin {
    let at = KEYS.iter().position(|key| key.name == name).unwrap();
    loaded.origins[at].clone()
}

#[test]
fn flags_win_over_environment_over_file_over_default() {
    let file = "[http]\naddr = '127.0.0.1:1'\n[frames]\naddr = '127.0.0.1:2'\n[data]\ndir = 'a'\n";
    let env = [("HEADWATER_HTTP", "127.0.0.1:3"), ("HEADWATER_FRAMES", "127.0.0.1:4")];
    let mut loaded = load(&sources(file, &env, &[("http", "http.addr", "127.0.0.1:5")])).unwrap();
    for (name, value, from) in [
        ("http.addr", "127.0.0.1:5", Origin::Flag("http".into())),
        ("frames.addr", "127.0.0.1:4", Origin::Env("HEADWATER_FRAMES".into())),
        ("data.dir", "a", Origin::File { path: "headwater.toml".into(), line: 6 }),
        ("apps.enabled", "intake,shop,alerts", Origin::Default),
    ] {
        assert_eq!(origin(&loaded, name), from);
        assert_eq!(super::table::find(name).unwrap().show(&mut loaded.config), value);
    }
}

#[test]
fn all_faults_are_told_at_once_with_place_and_proposal() {
    let file = "[http]\nadr = 'off'\n[frames]\naddr = '7007'\n";
    let env = [("HEADWATER_FRMAES", "off"), ("HEADWATER_ENGINE", "kafka://me:secret@127.0.0.1")];
    let faults = load(&sources(file, &env, &[("apps", "apps.enabled", "intak")])).unwrap_err().to_string();
    for part in [
        "headwater.toml line 2: there is no setting \"http.adr\" (did you mean http.addr?)",
        "headwater.toml line 4: frames.addr: \"7007\" is no address",
        "(did you mean 127.0.0.1:7007?)",
        "HEADWATER_FRMAES: there is no setting by this name (did you mean HEADWATER_FRAMES?)",
        "HEADWATER_ENGINE: engine: \"kafka://me:***@127.0.0.1\" is none of mqtt:...",
        "--apps: apps.enabled: there is no application \"intak\" (did you mean \"intake\"?)",
    ] {
        assert!(faults.contains(part), "{part:?} is missing in:\n{faults}");
    }
}

#[test]
fn everybody_may_all_only_without_a_file_on_loopback_or_by_word() {
    let anonymous = "[access]\nanonymous = 'all'\n";
    let beyond = [("http", "http.addr", "0.0.0.0:8080")];
    for (file, flags, open) in [
        ("", &[][..], Open::OnLoopback),
        ("# nothing\n", &[], Open::No),
        ("", &beyond, Open::No),
        (anonymous, &[], Open::BySetting),
        (anonymous, &beyond, Open::BySetting),
        ("[access]\nanonymous = 'none'\n", &[], Open::No),
    ] {
        assert_eq!(load(&sources(file, &[], flags)).unwrap().open(), open, "{file:?} {flags:?}");
    }
}

#[test]
fn every_default_is_within_its_own_bounds_and_reads_back() {
    let mut config = super::Config::default();
    for key in KEYS {
        let shown = key.show(&mut config);
        key.set(&mut config, &shown).unwrap_or_else(|(why, _)| panic!("{}: {why}", key.name));
        assert_eq!(key.show(&mut config), shown, "{}", key.name);
    }
}

#[test]
fn every_number_is_taken_or_refused_with_a_sentence_at_0_1_and_its_maximum() {
    for key in KEYS {
        let Some((min, max)) = key.bounds() else { continue };
        let is_span = matches!(key.kind, Kind::Span { .. } | Kind::OptionalSpan { .. });
        let one = if is_span { "1 us" } else { "1" };
        let beyond = if is_span { max.replacen(char::is_numeric, "9999", 1) } else { u64::MAX.to_string() };
        let try_it = |text: &str| load(&sources("", &[], &[("set", key.name, text)]));
        for text in ["0", one] {
            if let Err(faults) = try_it(text) {
                let why = faults.to_string();
                let clear = why.contains(key.name) && (why.contains("at least") || why.contains("less than"));
                assert!(clear, "{} = {text}: {why}", key.name);
            }
        }
        if !min.starts_with('0') {
            assert!(try_it("0").is_err(), "{} = 0, though {min} is the least", key.name);
        }
        let mut loaded = try_it(&max).unwrap_or_else(|faults| panic!("{} = {max}: {faults}", key.name));
        assert_eq!(key.show(&mut loaded.config), max, "{}", key.name);
        assert!(try_it(&beyond).is_err(), "{} = {beyond}", key.name);
    }
}

#[test]
fn names_in_the_environment_are_all_different() {
    let mut names: Vec<String> = KEYS.iter().map(super::key::Key::env).collect();
    names.sort();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}
