//! What may be wrong with a filter that doesn't match a topic: the mistakes that people make.

/// A few words, when the filter nearly matches; `None` when the two have nothing to do with each other.
pub fn hint(filter: &str, topic: &str) -> Option<&'static str> {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return Some("a wildcard in the first level matches nothing that begins with $");
    }
    if filter.eq_ignore_ascii_case(topic) || matches(&filter.to_lowercase(), &topic.to_lowercase()) {
        return Some("capital and small letters are different");
    }
    if matches(filter.trim_matches('/'), topic.trim_matches('/')) {
        return Some("a slash at the beginning or the end makes a level of its own");
    }
    let (wanted, levels): (Vec<&str>, Vec<&str>) = (filter.split('/').collect(), topic.split('/').collect());
    let fits = |count: usize| wanted.iter().zip(&levels).take(count).all(|(wanted, level)| fits(wanted, level));
    if wanted.len() < levels.len() && fits(wanted.len()) {
        return Some(match wanted.last() {
            Some(&"+") => "+ stands for one level alone, and the topic has more; # would take the rest",
            _ => "the topic has further levels; /# behind the filter would take them",
        });
    }
    if wanted.len() > levels.len() && fits(levels.len()) {
        return Some("the filter wants more levels than the topic has");
    }
    let differing = wanted.iter().zip(&levels).filter(|(wanted, level)| !self::fits(wanted, level)).count();
    (wanted.len() == levels.len() && wanted.len() > 1 && differing == 1).then_some("one level is another")
}

fn fits(wanted: &str, level: &str) -> bool {
    wanted == "+" || wanted == "#" || wanted == level
}

fn matches(filter: &str, topic: &str) -> bool {
    headwater_event::Filter::new(filter).is_ok_and(|filter| filter.matches(topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_mistakes_are_named() {
        for (filter, topic, word) in [
            ("#", "$SYS/a", "$"),
            ("Clinic/+", "clinic/3", "capital"),
            ("clinic/3", "CLINIC/3", "capital"),
            ("/clinic/3", "clinic/3", "slash"),
            ("clinic/3/", "clinic/3", "slash"),
            ("clinic/+", "clinic/3/slot", "one level alone"),
            ("clinic", "clinic/3", "further levels"),
            ("clinic/+/slot", "clinic/3", "more levels"),
            ("clinic/4/slot", "clinic/3/slot", "one level is another"),
        ] {
            let said = hint(filter, topic).unwrap_or_else(|| panic!("{filter} {topic}"));
            assert!(said.contains(word), "{filter} {topic}: {said}");
        }
        assert_eq!(hint("shop/orders", "clinic/3"), None);
        assert_eq!(hint("a", "b"), None);
    }
}
