//! Filters that other filters cover.

use headwater_event::Filter;

/// The filters that are left when those are taken out that another one covers: each event then comes once, mostly.
pub(crate) fn without_covered(filters: &[Filter]) -> Vec<&Filter> {
    let covered = |at: usize, filter: &Filter| {
        filters.iter().enumerate().any(|(other, by)| other != at && covers(by, filter) && (other < at || by != filter))
    };
    filters.iter().enumerate().filter(|(at, filter)| !covered(*at, filter)).map(|(_, filter)| filter).collect()
}

/// Whether every topic that `filter` wants is wanted by `by` too.
fn covers(by: &Filter, filter: &Filter) -> bool {
    let (by, filter) = (by.as_str(), filter.as_str());
    if filter.starts_with('$') && by.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = filter.split('/');
    for wanted in by.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some("#")) | (_, None) => return false,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_filter_covers_is_left_out() {
        let left = |filters: &[&str]| {
            let filters: Vec<Filter> = filters.iter().map(|text| text.parse().unwrap()).collect();
            without_covered(&filters).into_iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(left(&["g/+", "g/a", "other/#"]), ["g/+", "other/#"]);
        assert_eq!(left(&["a", "a"]), ["a"]);
        assert_eq!(left(&["#", "a/b", "$SYS/#"]), ["#", "$SYS/#"]);
        assert_eq!(left(&["a/+", "a/#"]), ["a/#"]);
        assert_eq!(left(&["a/+/c", "a/b/+", "a"]), ["a/+/c", "a/b/+", "a"]);
        assert_eq!(left(&["a/#", "a"]), ["a/#"]);
    }
}
