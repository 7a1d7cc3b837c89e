//! XML as CAP uses it: elements with text, one namespace, nothing that could grow or ask for more.
//!
//! Refused are document types (and with them all entities but XML's own five), processing instructions, other encodings than
//! UTF-8, more than [`DEPTH_MAX`] levels, and characters that XML doesn't have. Elements of other namespaces (signatures) are
//! passed over.

use quick_xml::NsReader;
use quick_xml::events::{BytesDecl, BytesRef, Event};
use quick_xml::name::{Namespace, ResolveResult};

/// How deep elements may lie in each other: CAP needs five, a signature nine.
pub const DEPTH_MAX: usize = 16;

/// What is found in a document.
pub enum Found<'t> {
    /// An element of the namespace begins.
    Begin,
    /// An element of the namespace ends; its own text.
    End(&'t str),
}

/// Calls `found` for each element of the namespace, with the names from the root to it.
///
/// # Errors
/// What is wrong with the document, or what `found` says.
pub fn walk(
    text: &str,
    namespace: &str,
    mut found: impl FnMut(&[String], Found<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = NsReader::from_str(text);
    let config = reader.config_mut();
    config.expand_empty_elements = true;
    config.check_comments = true;
    let mut path = Path::default();
    loop {
        let (resolved, event) = reader.read_resolved_event().map_err(|error| format!("XML: {error}"))?;
        let is_ours = matches!(resolved, ResolveResult::Bound(Namespace(bound)) if bound == namespace);
        match event {
            Event::Start(start) => {
                let name = start.local_name().as_ref().to_owned();
                if path.begin(name, is_ours)? {
                    found(&path.names, Found::Begin)?;
                }
            }
            Event::End(_) => {
                if path.is_wanted() {
                    let text = path.texts.last().map_or("", String::as_str);
                    found(&path.names, Found::End(text.trim()))?;
                }
                path.end();
            }
            Event::Text(text) => path.say(&text)?,
            Event::CData(text) => path.say(&text)?,
            Event::GeneralRef(reference) => path.say(&resolve(&reference)?.to_string())?,
            Event::Decl(declaration) => check_encoding(&declaration)?,
            Event::Comment(_) => {}
            Event::DocType(_) => return Err("a document type is not taken".to_owned()),
            Event::PI(_) => return Err("a processing instruction is not taken".to_owned()),
            Event::Empty(_) => return Err("XML: an empty element that was not opened".to_owned()),
            Event::Eof => return path.finished(),
        }
    }
}

/// Where the reader is.
#[derive(Default)]
struct Path {
    /// From the root: the elements of the namespace.
    names: Vec<String>,
    /// The text of each so far.
    texts: Vec<String>,
    /// How many elements of other namespaces lie around the reader within those.
    foreign: usize,
    has_root: bool,
}

impl Path {
    fn begin(&mut self, name: String, is_ours: bool) -> Result<bool, String> {
        if self.names.len() + self.foreign >= DEPTH_MAX {
            return Err(format!("elements lie more than {DEPTH_MAX} deep"));
        }
        if self.names.is_empty() && self.foreign == 0 {
            if self.has_root {
                return Err("a second document follows".to_owned());
            }
            self.has_root = true;
        }
        if !is_ours || self.foreign > 0 {
            self.foreign += 1;
            return Ok(false);
        }
        self.names.push(name);
        self.texts.push(String::new());
        Ok(true)
    }

    const fn is_wanted(&self) -> bool {
        self.foreign == 0
    }

    fn end(&mut self) {
        if self.foreign > 0 {
            self.foreign -= 1;
            return;
        }
        self.names.pop();
        self.texts.pop();
    }

    fn say(&mut self, text: &str) -> Result<(), String> {
        if text.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t')) {
            return Err("a control character is not taken".to_owned());
        }
        match self.texts.last_mut() {
            Some(all) if self.foreign == 0 => all.push_str(text),
            Some(_) => {}
            None if self.foreign > 0 || text.trim_matches(['\u{feff}', ' ', '\n', '\r', '\t']).is_empty() => {}
            None => return Err("text stands outside of the document".to_owned()),
        }
        Ok(())
    }

    fn finished(&self) -> Result<(), String> {
        match (self.names.is_empty() && self.foreign == 0, self.has_root) {
            (true, true) => Ok(()),
            (_, false) => Err("there is no element".to_owned()),
            (false, true) => Err("the document breaks off".to_owned()),
        }
    }
}

/// A character by its number, or one of XML's own five entities.
fn resolve(reference: &BytesRef<'_>) -> Result<char, String> {
    let name: &str = reference;
    let number = match name.strip_prefix('#') {
        Some(digits) => match digits.strip_prefix('x') {
            Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16).ok(),
            None if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            _ => None,
        },
        None => None,
    };
    match (name, number) {
        ("amp", _) => Ok('&'),
        ("lt", _) => Ok('<'),
        ("gt", _) => Ok('>'),
        ("apos", _) => Ok('\''),
        ("quot", _) => Ok('"'),
        (_, Some(number)) => char::from_u32(number).ok_or_else(|| "a reference to no character".to_owned()),
        _ => Err("an entity is not taken".to_owned()),
    }
}

fn check_encoding(declaration: &BytesDecl<'_>) -> Result<(), String> {
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(name)) if name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("us-ascii") => Ok(()),
        _ => Err("the encoding is UTF-8".to_owned()),
    }
}
