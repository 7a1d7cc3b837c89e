//! How a client comes into a namespace: the gate, and what it missed if it was here before.

use std::fmt::Write;
use std::sync::Arc;

use headwater_event::{Position, Principal, Refusal, Text};
use headwater_hub::{Credentials, From, Proof, Secret, WatchError};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::front::new_sid;
use super::namespaces::Wish;
use super::packet;
use super::session::{Joined, Session};

/// What `auth` may say of who it is and where it was; a namespace reads the rest.
#[derive(Default, Deserialize)]
struct Shown {
    #[serde(default)]
    token: Option<String>,
    #[serde(default, alias = "username")]
    user: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    pid: Option<String>,
    #[serde(default)]
    offset: Option<String>,
}

/// Where a client that comes back was.
struct Before {
    pid: String,
    at: Position,
}

impl Shown {
    fn proof(&self) -> Proof {
        let login = |secret: &Option<String>| secret.as_ref().map(|secret| Secret::new(secret.as_bytes()));
        if let Some(token) = &self.token {
            return Proof::Token(Secret::new(token.as_bytes()));
        }
        Proof::from_login(self.user.as_deref().map(Text::from), login(&self.password))
    }

    /// A pid says where its connection began, for clients that haven't been told anything yet. It's no secret and gives no
    /// right: what may be told is asked anew.
    fn before(&self) -> Option<Before> {
        let pid = self.pid.as_ref().filter(|pid| pid.len() <= 64)?;
        let (_, began) = pid.split_once('.')?;
        let at = match &self.offset {
            Some(offset) => offset.parse().ok()?,
            None => began.parse().ok()?,
        };
        Some(Before { pid: pid.clone(), at })
    }
}

impl Session {
    /// Lets the client into a namespace, or says why not.
    pub(super) async fn connect(self: Arc<Self>, at: usize, auth: Option<Box<str>>) {
        let shared = Arc::clone(&self.shared);
        let name = shared.namespaces.name(at);
        let auth = auth.unwrap_or_else(|| "{}".into());
        // It was read once.
        let Ok(raw) = serde_json::from_str::<&RawValue>(&auth) else { return };
        // A member of another type is a namespace's own, or nothing.
        let shown: Shown = serde_json::from_str(&auth).unwrap_or_default();
        let namespace = Arc::clone(&shared.namespaces.at(at).namespace);
        let proof = if namespace.takes_logins() { shown.proof() } else { Proof::None };
        let who = match self.identify(proof).await {
            Ok(who) => who,
            Err(refusal) => return self.refuse(name, &refusal.to_string(), Some(&refusal)),
        };
        let Some(outlet) = self.outlet_for(&who) else {
            let refusal = Refusal::Malformed("one connection has one login: open another".into());
            return self.refuse(name, &refusal.to_string(), Some(&refusal));
        };
        let welcome = namespace.welcome(raw);
        let before = shown.before().filter(|_| namespace.recovers());
        let greet = |pid: Option<&str>| {
            let mut out = Vec::new();
            packet::write(b'0', name, None, &[], &mut out, |out| {
                out.extend_from_slice(format!("{{\"sid\":\"{}\"", new_sid()).as_bytes());
                if let Some(pid) = pid {
                    // A pid of ours has nothing to escape; one that was made up may.
                    out.extend_from_slice(b",\"pid\":");
                    headwater_event::json::write_str(pid, out);
                }
                out.push(b'}');
            });
            for emit in &welcome.emits {
                out.extend_from_slice(&self.emit(at, emit));
            }
            bytes::Bytes::from(out)
        };
        let mut watches = Vec::new();
        match &welcome.watch {
            None => self.say(greet(None)),
            Some(wish) => match self.begin(outlet, at, wish, before, namespace.recovers(), &greet).await {
                Ok(id) => watches.push((wish.filter.clone(), id)),
                Err(error) => {
                    let refusal = match error {
                        WatchError::Refusal(refusal) => refusal,
                        _ => Refusal::Unavailable,
                    };
                    return self.refuse(name, &refusal.to_string(), Some(&refusal));
                }
            },
        }
        let mut state = self.lock();
        state.was_connected = true;
        state.joined.reserve_exact(1);
        state.joined.push(Joined { at, watches });
    }

    async fn identify(&self, proof: Proof) -> Result<Principal, Refusal> {
        if matches!(proof, Proof::None) {
            return Ok(self.who.clone());
        }
        self.shared.hub.authenticate(Credentials { proof, client_id: None, peer: self.peer.ip() }).await
    }

    /// Begins what everybody here is told: after what the client had, or anew.
    async fn begin(
        &self,
        outlet: &headwater_hub::Outlet,
        at: usize,
        wish: &Wish,
        before: Option<Before>,
        recovers: bool,
        greet: &(impl Fn(Option<&str>) -> bytes::Bytes + Sync),
    ) -> Result<headwater_hub::WatchId, WatchError> {
        if let Some(before) = before {
            let again = Wish { from: From::After(before.at), sticky: false, ..wish.clone() };
            match outlet.watch_after(self.to_watch(at, again), |_, _| greet(Some(&before.pid))).await {
                // What it missed is gone, or it was with another log: it begins anew, and `recovered` is false.
                Err(WatchError::Gone { .. } | WatchError::NoSuchPosition { .. }) => {}
                begun => return begun,
            }
        }
        let answer = |after: Position| {
            if !recovers {
                return greet(None);
            }
            let mut pid = format!("{}.", new_sid());
            // With states to come first there is no place to go on from until all have been told.
            if !wish.sticky {
                let _ = write!(pid, "{after}");
            }
            greet(Some(&pid))
        };
        outlet.watch_after(self.to_watch(at, wish.clone()), |_, after| answer(after)).await
    }
}
