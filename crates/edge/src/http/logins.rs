//! Logins of browsers: a random name in a cookie, and who it stands for. Bounded in number and in time.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use headwater_event::{Clock, Principal, Time};
use uuid::Uuid;

/// The cookie's name.
const NAME: &str = "headwater-session";

/// How long a login lasts, however busy it is: a working day.
const LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// How long it lasts unused: a page that is open asks every second, so this begins when it is closed.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// How many there are at most; beyond that the one that was idle longest ends. A few hundred bytes each.
const LOGINS_MAX: usize = 1_024;

/// Letters of a login's name: 256 bits in hexadecimal, of which 244 are random.
const TOKEN_LEN: usize = 64;

/// The present logins; clones are the same.
#[derive(Clone)]
pub struct Logins {
    table: Arc<Mutex<HashMap<String, Login>>>,
    clock: Clock,
}

struct Login {
    who: Principal,
    since: Time,
    used: Time,
}

/// Their number alone: the names of logins are secrets.
impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").field("present", &self.lock().len()).finish_non_exhaustive()
    }
}

impl Default for Logins {
    fn default() -> Self {
        Self::new(Clock::system())
    }
}

impl Logins {
    /// No logins yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { table: Arc::default(), clock }
    }

    /// Begins a login for somebody who has just proved who they are; gives the `Set-Cookie` line. `is_secure` when the
    /// browser came by HTTPS.
    #[must_use]
    pub fn begin(&self, who: Principal, is_secure: bool) -> String {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let now = self.clock.now();
        let mut table = self.lock();
        table.retain(|_, login| login.is_good(now));
        if table.len() >= LOGINS_MAX {
            let oldest = table.iter().min_by_key(|(_, login)| login.used).map(|(token, _)| token.clone());
            oldest.and_then(|token| table.remove(&token));
        }
        table.insert(token.clone(), Login { who, since: now, used: now });
        line(&token, LIFE.as_secs(), is_secure)
    }

    /// Who sends this request, by its cookie. `None` without one, and when it stands for nobody any more.
    #[must_use]
    pub fn find(&self, headers: &HeaderMap) -> Option<Principal> {
        let token = token(headers)?;
        let now = self.clock.now();
        let mut table = self.lock();
        let login = table.get_mut(token)?;
        if !login.is_good(now) {
            table.remove(token);
            return None;
        }
        login.used = now;
        Some(login.who.clone())
    }

    /// Ends the login of this request; gives the `Set-Cookie` line that makes the browser forget it.
    #[must_use]
    pub fn end(&self, headers: &HeaderMap, is_secure: bool) -> String {
        if let Some(token) = token(headers) {
            self.lock().remove(token);
        }
        line("", 0, is_secure)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Login>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Login {
    fn is_good(&self, now: Time) -> bool {
        now.since(self.since) < LIFE && now.since(self.used) < IDLE
    }
}

fn line(token: &str, seconds: u64, is_secure: bool) -> String {
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{NAME}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// The login's name among the cookies of a request.
fn token(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    let (_, token) = cookies.find(|(name, value)| *name == NAME && value.len() == TOKEN_LEN)?;
    Some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: &str) -> Principal {
        Principal::named(name, Arc::default(), headwater_event::Login::Nothing)
    }

    fn with(cookies: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, cookies.parse().unwrap())])
    }

    /// As a browser sends a cookie back.
    fn back(line: &str) -> HeaderMap {
        with(&format!("theme=dark; {}", line.split(';').next().unwrap()))
    }

    fn found(logins: &Logins, headers: &HeaderMap) -> Option<String> {
        logins.find(headers).map(|who| who.name().to_owned())
    }

    #[test]
    fn a_cookie_stands_for_who_logged_in_until_it_is_ended() {
        let logins = Logins::new(Clock::manual(Time(1)));
        let (ada, bob) = (logins.begin(who("ada"), false), logins.begin(who("bob"), true));
        assert!(ada.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{ada}");
        assert!(bob.ends_with("; SameSite=Strict; Secure"), "{bob}");
        assert_eq!(found(&logins, &back(&ada)).as_deref(), Some("ada"));
        assert_eq!(found(&logins, &back(&bob)).as_deref(), Some("bob"));
        assert!(logins.end(&back(&ada), false).contains("Max-Age=0"));
        assert_eq!(found(&logins, &back(&ada)), None);
        assert_eq!(found(&logins, &back(&bob)).as_deref(), Some("bob"));
        for headers in [HeaderMap::new(), with(""), with("headwater-session"), with("headwater-session=x"), with(";;=")]
        {
            assert_eq!(found(&logins, &headers), None);
        }
        assert_eq!(found(&logins, &with(&format!("headwater-session={}", "0".repeat(TOKEN_LEN)))), None);
        assert!(!format!("{logins:?}").contains(&bob[18..40]), "a login's name is a secret");
    }

    #[test]
    fn a_login_ends_when_it_is_idle_and_after_a_day_however_busy() {
        let clock = Clock::manual(Time(1));
        let logins = Logins::new(clock.clone());
        let idle = logins.begin(who("idle"), false);
        let busy = logins.begin(who("busy"), false);
        for _ in 0..23 {
            clock.advance(LIFE / 24);
            assert!(found(&logins, &back(&busy)).is_some());
        }
        assert_eq!(found(&logins, &back(&idle)), None);
        clock.advance(LIFE / 24);
        assert_eq!(found(&logins, &back(&busy)), None);
        assert!(logins.lock().is_empty());
    }

    #[test]
    fn their_number_is_bounded_and_the_idlest_goes_first() {
        let clock = Clock::manual(Time(1));
        let logins = Logins::new(clock.clone());
        let lines: Vec<_> = (0..LOGINS_MAX)
            .map(|_| {
                clock.advance(Duration::from_millis(1));
                logins.begin(who("ada"), false)
            })
            .collect();
        assert!(found(&logins, &back(&lines[0])).is_some());
        let _ = logins.begin(who("bob"), false);
        assert_eq!(logins.lock().len(), LOGINS_MAX);
        assert!(found(&logins, &back(&lines[0])).is_some() && found(&logins, &back(&lines[1])).is_none());
    }
}
