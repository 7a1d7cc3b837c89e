//! Reads a settings file into pairs of name and text, each with its line. What the texts mean is not known here.

use toml::de::{DeTable, DeValue};

use super::fault::Faults;

/// One setting as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// `section.name`.
    pub name: String,
    /// The value as text.
    pub text: String,
    /// The line, from 1.
    pub line: usize,
}

/// All settings of a file, in the order of their lines. What is no TOML is told with its line, and the rest still read.
pub fn read(path: &str, text: &str, faults: &mut Faults) -> Vec<Written> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        faults.add(format!("{path} line {line}"), error.message().to_owned(), None);
    }
    let mut written = Vec::new();
    walk(path, text, "", table.get_ref(), &mut written, faults);
    written.sort_by_key(|written| written.line);
    written
}

fn walk(path: &str, text: &str, above: &str, table: &DeTable<'_>, out: &mut Vec<Written>, faults: &mut Faults) {
    for (name, value) in table {
        if above.is_empty() && name.get_ref() == super::bridge::SECTION {
            // Tables of their own, any number of them: `bridge` reads those.
            continue;
        }
        let line = line_of(text, name.span().start);
        let name = if above.is_empty() { name.get_ref().to_string() } else { format!("{above}.{}", name.get_ref()) };
        match value.get_ref() {
            DeValue::Table(below) => walk(path, text, &name, below, out, faults),
            value => match plain(value) {
                Some(text) => out.push(Written { name, text, line }),
                None => faults.add(
                    format!("{path} line {line}"),
                    format!("{name} can't be a date or a list of lists"),
                    None,
                ),
            },
        }
    }
}

/// A value as the text that a flag would have.
fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Array(items) => {
            let texts: Option<Vec<String>> = items.iter().map(|item| plain(item.get_ref())).collect();
            texts.map(|texts| texts.join(","))
        }
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// The line of a byte, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_has_its_line() {
        let mut faults = Faults::default();
        let written =
            read("f", "# c\nroles = \"all\"\n[http]\naddr = 'off'\n\n[apps]\nenabled = ['a', 'b']\n", &mut faults);
        let seen: Vec<_> = written.iter().map(|w| (w.name.as_str(), w.text.as_str(), w.line)).collect();
        assert_eq!(seen, [("roles", "all", 2), ("http.addr", "off", 4), ("apps.enabled", "a,b", 7)]);
        assert_eq!(faults, Faults::default());
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line_beside_the_rest() {
        let mut faults = Faults::default();
        let written = read("f", "[http]\naddr = \n[frames]\naddr = 'off'\n", &mut faults);
        assert_eq!(faults.0.len(), 1);
        assert_eq!(faults.0[0].place, "f line 2");
        assert!(written.iter().any(|w| w.name == "frames.addr"), "{written:?}");
    }
}
