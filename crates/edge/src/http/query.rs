//! What stands behind the `?`: known names only, each once, each with a value that means something.

use std::fmt::Display;
use std::str::FromStr;

use headwater_event::{Filter, Position};
use headwater_hub::From as Begin;

use super::escape::unescape;
use super::problem::Problem;

/// The parameters of one request.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads a query in which only these names may stand.
    ///
    /// # Errors
    /// 400 that names the parameter: unknown, twice, or broken.
    pub fn read(query: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = unescape(name).ok_or_else(|| Problem::malformed("a parameter's name is broken"))?;
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(bad(&name, format!("no such parameter here (known: {known})")));
            }
            if pairs.iter().any(|(have, _)| *have == name) {
                return Err(bad(&name, "stands here twice"));
            }
            let value = unescape(value).ok_or_else(|| bad(&name, "is not percent-encoded UTF-8"))?;
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// The parameter of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The parameter, read as what it should be.
    ///
    /// # Errors
    /// 400 that names it.
    pub fn parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.get(name).map(|value| value.parse().map_err(|error| bad(name, error))).transpose()
    }

    /// A parameter that says yes or no.
    ///
    /// # Errors
    /// 400 for anything but `true` and `false`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(bad(name, "is `true` or `false`")),
        }
    }

    /// `filter`, and everything where there is none.
    ///
    /// # Errors
    /// 400 that says which rule of filters is broken.
    pub fn filter(&self) -> Result<Filter, Problem> {
        match self.parsed("filter")? {
            Some(filter) => Ok(filter),
            None => Filter::new("#").map_err(|error| bad("filter", error)),
        }
    }

    /// `from`: a position, `start`, or nothing.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn from(&self) -> Result<Option<Begin>, Problem> {
        match self.get("from") {
            None => Ok(None),
            Some("start") => Ok(Some(Begin::Oldest)),
            Some(text) => match text.parse::<Position>() {
                Ok(position) => Ok(Some(Begin::After(position))),
                Err(error) => Err(bad("from", format!("{error}, or `start`"))),
            },
        }
    }

    /// `limit`: from 1 to the most.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn limit(&self, default: usize, max: usize) -> Result<usize, Problem> {
        match self.get("limit").map(str::parse::<usize>) {
            None => Ok(default),
            Some(Ok(limit)) if (1..=max).contains(&limit) => Ok(limit),
            Some(_) => Err(bad("limit", format!("is a number from 1 to {max}"))),
        }
    }
}

/// 400 about one parameter.
pub fn bad(name: &str, why: impl Display) -> Problem {
    Problem::malformed(format!("{name}: {why}")).with("parameter", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_strictly() {
        let query = Query::read(Some("filter=a/+/%23&from=7:3&limit=10&"), &["filter", "from", "limit"]).unwrap();
        assert_eq!(query.filter().unwrap().as_str(), "a/+/#");
        assert_eq!(query.from().unwrap(), Some(Begin::After(Position::new(7, 3))));
        assert_eq!(query.limit(1, 10).unwrap(), 10);
        for text in ["filtre=a", "filter=a&filter=b", "filter=%", "filter=%ff", "%=1"] {
            let problem = Query::read(Some(text), &["filter"]).unwrap_err();
            assert_eq!(problem.status.as_u16(), 400, "{text}");
        }
    }

    #[test]
    fn a_value_that_means_nothing_is_named() {
        let query =
            Query::read(Some("filter=a%23&from=never&limit=0&sticky=1"), &["filter", "from", "limit", "sticky"]);
        let query = query.unwrap();
        let named = |problem: Problem| problem.more[0].1.clone();
        assert_eq!(named(query.filter().unwrap_err()), "filter");
        assert_eq!(named(query.from().unwrap_err()), "from");
        assert_eq!(named(query.limit(1, 10).unwrap_err()), "limit");
        assert_eq!(named(query.flag("sticky").unwrap_err()), "sticky");
    }
}
