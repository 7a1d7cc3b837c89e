//! JSON in which nothing can be read in two ways: no key twice, no lone surrogate, no number beyond a double.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Any JSON value that holds to the rules; what it says is not kept.
///
/// Nesting is bounded by the reader (128 levels), so this can't run out of stack.
pub struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        while items.next_element::<Strict>()?.is_some() {}
        Ok(Strict)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Strict, A::Error> {
        // The standard hasher is keyed at random: a client can't choose keys that collide.
        let mut seen: HashSet<String> = HashSet::new();
        while let Some(key) = members.next_key::<String>()? {
            members.next_value::<Strict>()?;
            if let Some(twice) = seen.replace(key) {
                return Err(A::Error::custom(format_args!("the key `{twice}` stands twice in one object")));
            }
        }
        Ok(Strict)
    }
}

/// Headers as JSON: an object whose values are strings, or arrays of strings for a name that repeats.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HeaderPairs(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for HeaderPairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadHeaders)
    }
}

struct ReadHeaders;

impl<'de> Visitor<'de> for ReadHeaders {
    type Value = HeaderPairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of headers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<HeaderPairs, A::Error> {
        let (mut pairs, mut seen) = (Vec::new(), HashSet::new());
        while let Some(name) = members.next_key::<String>()? {
            for value in members.next_value::<Values>()?.0 {
                pairs.push((name.clone(), value));
            }
            if let Some(twice) = seen.replace(name) {
                return Err(A::Error::custom(format_args!("the header `{twice}` stands twice")));
            }
        }
        Ok(HeaderPairs(pairs))
    }
}

/// One value or several.
struct Values(Vec<String>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadValues)
    }
}

struct ReadValues;

impl<'de> Visitor<'de> for ReadValues {
    type Value = Values;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an array of strings")
    }

    fn visit_str<E>(self, value: &str) -> Result<Values, E> {
        Ok(Values(vec![value.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Values, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element()? {
            values.push(value);
        }
        Ok(Values(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_strict(text: &str) -> bool {
        serde_json::from_str::<Strict>(text).is_ok()
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for good in
            ["null", "[]", r#"{"a":{"b":1},"b":[{"a":1},{"a":2}]}"#, "-0.5e-3", "123456789012345678901234567890"]
        {
            assert!(is_strict(good), "{good}");
        }
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"[{"x":{"a":1,"b":2,"a":3}}]"#,
            r#""\ud800""#,
            "1e999",
            "NaN",
            "01",
            "[1,]",
            "{'a':1}",
            "\"\t\"",
        ] {
            assert!(!is_strict(bad), "{bad}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_costs_no_stack() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_strict(&nested(100)));
        assert!(!is_strict(&nested(129)));
        assert!(!is_strict(&nested(400_000)));
    }

    #[test]
    fn headers_are_strings_or_arrays_of_strings() {
        let read = |text| serde_json::from_str::<HeaderPairs>(text);
        let pairs = [("a", "1"), ("b", "2"), ("b", "3")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read(r#"{"a":"1","b":["2","3"]}"#).unwrap().0, pairs);
        for bad in [r#"{"a":1}"#, r#"{"a":null}"#, r#"{"a":[["x"]]}"#, r#"{"a":"1","a":"2"}"#, r#"["a"]"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
