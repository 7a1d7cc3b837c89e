//! Whether a server is new enough, by the version that it says.

/// Compares by the first three numbers; what is no number counts as 0.
pub(crate) fn is_at_least(version: &str, least: [u32; 3]) -> bool {
    let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse::<u32>().unwrap_or(0));
    [numbers.next(), numbers.next(), numbers.next()].map(Option::unwrap_or_default) >= least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (version, wanted) in [
            ("2.9.10", false),
            ("2.10.22", false),
            ("2.10.23", true),
            ("2.11.0-RC.1", true),
            ("3.0.0", true),
            ("3", true),
            ("2.10", false),
            ("99999999999.1.1", false),
            ("", false),
        ] {
            assert_eq!(is_at_least(version, [2, 10, 23]), wanted, "{version}");
        }
    }
}
