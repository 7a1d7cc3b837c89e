//! Finds what was probably meant.

/// The known word that is nearest to what was written, unless all are far from it.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    let (far, word) = known.into_iter().map(|word| (distance(&written, &word.to_ascii_lowercase()), word)).min()?;
    // A third of the letters may differ: `frmaes` is `frames`, while `color` proposes nothing.
    (far <= 1 + written.chars().count().max(word.chars().count()) / 3).then_some(word)
}

/// How many letters must be put in, taken out, changed, or swapped with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + changed);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        let known = ["http.addr", "frames.addr", "frames.max_payload", "limits.payload_max"];
        for (written, meant) in [
            ("http.adr", Some("http.addr")),
            ("frmaes.addr", Some("frames.addr")),
            ("FRAMES.ADDR", Some("frames.addr")),
            ("limit.payload_max", Some("limits.payload_max")),
            ("colour", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written}");
        }
    }

    #[test]
    fn distances_count_letters() {
        for (a, b, far) in [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), far, "{a} {b}");
        }
    }
}
