//! The nouns that come from outside as text or bytes: topics, filters, ids, positions, headers.

use bytes::Bytes;
use headwater_event::{EventId, Filter, Headers, Position, Text, Topic};

/// A filter and a topic, parted by a line end: matching agrees with the plainest matcher that could be right.
pub fn filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (filter, topic) = text.split_once('\n').unwrap_or((text, text));
    let (Ok(filter), Ok(topic)) = (Filter::new(filter), Topic::new(topic)) else { return };
    let is_hidden = topic.as_str().starts_with('$') && filter.as_str().starts_with(['+', '#']);
    let (wanted, have): (Vec<_>, Vec<_>) = (filter.as_str().split('/').collect(), topic.as_str().split('/').collect());
    let matches = filter.matches(topic.as_str());
    assert_eq!(matches, !is_hidden && plainly_matches(&wanted, &have), "{filter} {topic}");
    if matches {
        assert!(topic.as_str().starts_with(filter.fixed_prefix()));
    }
    assert!(Filter::from(&topic).matches(topic.as_str()));
}

fn plainly_matches(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        ([], []) | (["#"], _) => true,
        (["+", filter @ ..], [_, topic @ ..]) => plainly_matches(filter, topic),
        ([wanted, filter @ ..], [level, topic @ ..]) => wanted == level && plainly_matches(filter, topic),
        _ => false,
    }
}

/// Filters and topics of MQTT 5.0 section 4.7.
pub fn filter_seeds() -> Vec<Vec<u8>> {
    ["sport/+/player1\nsport/tennis/player1", "#\n$SYS/a", "sport/#\nsport", "/+\n/finance", "a//b\na//b"]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
}

/// Levels.
pub const FILTER_WORDS: &[&[u8]] = &[b"/", b"+", b"#", b"$", b"/+/", b"/#", b"\n", b"\xc2\x85", b"\xf0\x9f\x98\x80"];

/// Ids and positions come out as they went in; stored headers read as what they were made from.
pub fn names(data: &[u8]) {
    if let Ok(text) = Text::from_utf8(Bytes::copy_from_slice(data)) {
        if let Ok(id) = EventId::from_text(text.clone()) {
            assert_eq!(id.to_string(), text.as_str());
        }
        if let Ok(position) = text.parse::<Position>() {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
    }
    if let Ok(headers) = Headers::from_stored(Bytes::copy_from_slice(data)) {
        let stored: usize = headers.iter().map(|(name, value)| 6 + name.len() + value.len()).sum();
        assert_eq!(stored, data.len());
    }
}

/// One of each.
pub fn name_seeds() -> Vec<Vec<u8>> {
    let headers = Headers::from_pairs([("content-type", "text/plain"), ("x", ""), ("x", "ü")]).unwrap_or_default();
    vec![
        b"018f4e9a-6e1c-7d3b-9a52-0c6b1f2d3e4a".to_vec(),
        b"order-17".to_vec(),
        b"4294967295:18446744073709551615".to_vec(),
        headers.as_stored().to_vec(),
    ]
}
