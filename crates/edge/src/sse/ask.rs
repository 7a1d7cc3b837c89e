//! What a watcher asks for, from the head of its request.

use headwater_event::{Filter, Position};
use headwater_hub::{From as Begin, WhenBehind};

use crate::http::{Problem, Query, bad_parameter};
use crate::ws::Origins;

/// A request for live events, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What is wanted.
    pub filter: Filter,
    /// Where to begin.
    pub from: Begin,
    /// Whether the latest states come first.
    pub sticky: bool,
    /// What to do when the client is too slow.
    pub behind: WhenBehind,
    /// The page of another site that may read this.
    pub origin: Option<String>,
}

impl Ask {
    /// Reads a request.
    ///
    /// # Errors
    /// 400 that names what is wrong.
    pub(crate) fn from_head(head: &httparse::Request<'_, '_>, origins: &Origins) -> Result<Self, Problem> {
        let query = head.path.and_then(|target| target.split_once('?')).map(|(_, query)| query);
        let query = Query::read(query, &["filter", "from", "sticky", "behind"])?;
        let from = match last_event_id(head)? {
            // A browser comes back to the same address, with what it saw last: that's the later word.
            Some(position) => Begin::After(position),
            None => query.from()?.unwrap_or(Begin::Now),
        };
        let sticky = match query.flag("sticky")? {
            Some(true) if from != Begin::Now && query.get("from").is_some() => {
                return Err(bad_parameter(
                    "sticky",
                    "the latest states come only with what happens now, without `from`",
                ));
            }
            Some(sticky) => sticky && from == Begin::Now,
            // Whoever comes new wants to know how things stand (promise 4); whoever comes back knows.
            None => from == Begin::Now,
        };
        let behind = match query.get("behind") {
            None | Some("catch_up") => WhenBehind::CatchUp,
            Some("gap") => WhenBehind::Gap,
            Some("disconnect") => WhenBehind::Disconnect,
            Some(_) => return Err(bad_parameter("behind", "is `catch_up`, `gap` or `disconnect`")),
        };
        let origin = header(head, "origin").filter(|origin| origins.may_connect(Some(origin), ""));
        Ok(Self { filter: query.filter()?, from, sticky, behind, origin: origin.map(str::to_owned) })
    }
}

fn last_event_id(head: &httparse::Request<'_, '_>) -> Result<Option<Position>, Problem> {
    match header(head, "last-event-id") {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|error| bad_parameter("Last-Event-ID", error)),
    }
}

fn header<'h>(head: &'h httparse::Request<'_, '_>, name: &str) -> Option<&'h str> {
    let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    // What is not text is nothing that we would understand.
    Some(std::str::from_utf8(found.value).unwrap_or("?").trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(target: &str, more: &str) -> Result<Ask, Problem> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n{more}\r\n");
        let mut headers = [httparse::EMPTY_HEADER; 8];
        let mut request = httparse::Request::new(&mut headers);
        assert!(request.parse(head.as_bytes()).unwrap().is_complete());
        Ask::from_head(&request, &Origins { allowed: vec!["https://app.example".into()] })
    }

    #[test]
    fn a_newcomer_gets_the_state_first_and_one_who_comes_back_what_it_missed() {
        let new = ask("/v1/live?filter=a/%2B", "").unwrap();
        assert_eq!((new.filter.as_str(), new.from, new.sticky), ("a/+", Begin::Now, true));
        let bare = ask("/v1/live?sticky=false", "").unwrap();
        assert_eq!((bare.filter.as_str(), bare.sticky), ("#", false));
        let from = ask("/v1/live?filter=a&from=7:3", "").unwrap();
        assert_eq!((from.from, from.sticky), (Begin::After(Position::new(7, 3)), false));
        let back = ask("/v1/live?filter=a&from=start&sticky=false", "Last-Event-ID: 7:9\r\n").unwrap();
        assert_eq!((back.from, back.sticky), (Begin::After(Position::new(7, 9)), false));
        let back = ask("/v1/live?filter=a&sticky=true", "Last-Event-ID: 7:9\r\n").unwrap();
        assert_eq!((back.from, back.sticky), (Begin::After(Position::new(7, 9)), false));
        assert_eq!(ask("/v1/live", "Last-Event-ID:\r\n").unwrap().from, Begin::Now);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (target, more, name) in [
            ("/v1/live?filter=%2B%2B", "", "filter"),
            ("/v1/live?filter=a&filter=b", "", "filter"),
            ("/v1/live?from=now", "", "from"),
            ("/v1/live?from=start&sticky=true", "", "sticky"),
            ("/v1/live?behind=never", "", "behind"),
            ("/v1/live?fitler=a", "", "fitler"),
            ("/v1/live", "Last-Event-ID: 7\r\n", "Last-Event-ID"),
            ("/v1/live", "Last-Event-ID: \u{ff}\r\n", "Last-Event-ID"),
        ] {
            let problem = ask(target, more).unwrap_err();
            assert_eq!((problem.status.as_u16(), problem.more[0].1.as_str()), (400, name), "{target} {more}");
        }
    }

    #[test]
    fn pages_of_an_allowed_origin_may_read_it() {
        assert_eq!(
            ask("/v1/live", "Origin: https://app.example\r\n").unwrap().origin.as_deref(),
            Some("https://app.example")
        );
        assert_eq!(ask("/v1/live", "Origin: https://evil.example\r\n").unwrap().origin, None);
    }
}
