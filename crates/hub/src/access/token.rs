//! Signed tokens that say who somebody is: JSON Web Tokens (RFC 7519, RFC 8725), signed by HS256, RS256 or EdDSA.
//!
//! In this order: the size, the form, a key by the token's key id *and* the algorithm that this key is for, the signature,
//! and only then what the token says. Nothing that it says is believed before.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use headwater_event::{Login, Principal, Time};
use serde_json::Value;

use super::credentials::BEARER;
use super::keys::{Algorithm, Key, Keys};
use super::roles::{ANONYMOUS, ROLES_MAX};
use super::secret::Secret;
use super::users::NAME_LEN_MAX;

/// The longest token: what fits into a header of a request.
pub const TOKEN_LEN_MAX: usize = 8_192;

/// How much the issuer's clock may be away from ours at the most.
pub const LEEWAY_MAX: Duration = Duration::from_secs(300);

/// What a token must say to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// Who must have made it (`iss`).
    pub issuer: String,
    /// Whom it must be meant for (`aud`).
    pub audience: String,
    /// Which claim is the user's name.
    pub user_claim: String,
    /// Which claim lists the roles; a dot leads into an object, as in `realm_access.roles`.
    pub roles_claim: String,
    /// How much the issuer's clock may be away from ours.
    pub leeway: Duration,
}

impl Default for TokenRules {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            user_claim: "sub".to_owned(),
            roles_claim: "roles".to_owned(),
            leeway: Duration::from_secs(5),
        }
    }
}

/// What tokens are checked with.
#[derive(Debug)]
pub struct Tokens {
    keys: Keys,
    /// One a key: what a login by it stands on.
    versions: Vec<u64>,
    rules: TokenRules,
}

/// Why a token isn't taken: for the log and the audit trail. A client is told nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("it's no token")]
    Form,
    #[error("there is no key for it")]
    Key,
    #[error("its signature is wrong")]
    Signature,
    #[error("it's from another issuer")]
    Issuer,
    #[error("it's for another audience")]
    Audience,
    #[error("it has expired, or doesn't say when it will")]
    Expired,
    #[error("it isn't valid yet")]
    Early,
    #[error("it names no user that could be one")]
    User,
}

impl Tokens {
    /// With these keys, under these conditions.
    #[must_use]
    pub fn new(keys: Keys, rules: TokenRules) -> Self {
        let version = |key: &Key| {
            let mut hasher = std::collections::hash_map::DefaultHasher::new();
            (key.print, &rules.issuer, &rules.audience, &rules.user_claim, &rules.roles_claim).hash(&mut hasher);
            hasher.finish()
        };
        Self { versions: keys.keys.iter().map(version).collect(), keys, rules }
    }

    /// Whether a login by this version still stands: its key is still one of ours, and the conditions are the same.
    pub(super) fn stands(&self, version: u64) -> bool {
        self.versions.contains(&version)
    }

    /// Who shows this token.
    pub(super) fn check(&self, token: &Secret, now: Time) -> Result<Principal, TokenError> {
        let token = token.reveal();
        if token.len() > TOKEN_LEN_MAX {
            return Err(TokenError::Form);
        }
        let token = std::str::from_utf8(token).map_err(|_| TokenError::Form)?;
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Form)?;
        let (head, claims) =
            signed.split_once('.').filter(|(_, claims)| !claims.contains('.')).ok_or(TokenError::Form)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Form)?;
        let version = self.find(&object(head)?, signed.as_bytes(), &signature)?;
        self.read(&object(claims)?, version, now)
    }

    /// The key that signed it; gives what a login by it stands on.
    fn find(&self, head: &Value, signed: &[u8], signature: &[u8]) -> Result<u64, TokenError> {
        // What we don't know of must be understood (RFC 7515, section 4.1.11).
        if head.get("crit").is_some() {
            return Err(TokenError::Form);
        }
        let algorithm = head.get("alg").and_then(Value::as_str).and_then(Algorithm::named).ok_or(TokenError::Key)?;
        let id = match head.get("kid") {
            None => None,
            Some(id) => Some(id.as_str().ok_or(TokenError::Form)?),
        };
        let fits = |key: &Key| key.algorithm() == algorithm && id.is_none_or(|id| key.id.as_deref() == Some(id));
        let mut fitting = self.keys.keys.iter().zip(&self.versions).filter(|(key, _)| fits(key)).peekable();
        if fitting.peek().is_none() {
            return Err(TokenError::Key);
        }
        fitting.find(|(key, _)| key.signed(signed, signature)).map(|(_, version)| *version).ok_or(TokenError::Signature)
    }

    /// What a token says that is known to be true.
    fn read(&self, claims: &Value, version: u64, now: Time) -> Result<Principal, TokenError> {
        let rules = &self.rules;
        if claims.get("iss").and_then(Value::as_str) != Some(&rules.issuer) {
            return Err(TokenError::Issuer);
        }
        let is_ours = match claims.get("aud") {
            Some(Value::String(audience)) => *audience == rules.audience,
            Some(Value::Array(audiences)) => audiences.iter().any(|one| one.as_str() == Some(&rules.audience)),
            _ => false,
        };
        if !is_ours {
            return Err(TokenError::Audience);
        }
        let until = moment(claims, "exp")?.ok_or(TokenError::Expired)?.plus(rules.leeway);
        if until <= now {
            return Err(TokenError::Expired);
        }
        if moment(claims, "nbf")?.is_some_and(|from| from > now.plus(rules.leeway)) {
            return Err(TokenError::Early);
        }
        let user = claims.get(&rules.user_claim).and_then(Value::as_str).filter(|name| is_name(name));
        let roles = roles(claims, &rules.roles_claim).ok_or(TokenError::User)?;
        let login = Login::Token { version, until };
        Ok(Principal::named(user.ok_or(TokenError::User)?, roles, login))
    }
}

fn object(part: &str) -> Result<Value, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Form)?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object).ok_or(TokenError::Form)
}

/// A moment in seconds since 1970. One that is there and no number is no token, rather than no limit (CVE-2026-25537).
fn moment(claims: &Value, name: &str) -> Result<Option<Time>, TokenError> {
    let Some(claim) = claims.get(name) else { return Ok(None) };
    let seconds = claim.as_f64().filter(|seconds| *seconds >= 0.0).ok_or(TokenError::Form)?;
    // A cast from a float stays within the number's range.
    Ok(Some(Time((seconds * 1_000_000.0) as u64)))
}

/// An issuer's names are its own (an address, a URN): only what would fool a reader or a log is refused here; whether one can
/// stand for a level is asked where rules want that.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_LEN_MAX
        && !name.chars().any(char::is_control)
        && ![ANONYMOUS, BEARER].contains(&name)
}

/// The roles: a list of texts, or one text with spaces between. None where the claim is missing.
fn roles(claims: &Value, path: &str) -> Option<Arc<[Box<str>]>> {
    let mut claim = claims.get(path);
    if claim.is_none() {
        claim = path.split('.').try_fold(claims, |value, part| value.get(part));
    }
    let names: Vec<Box<str>> = match claim {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => text.split_whitespace().map(Into::into).collect(),
        Some(Value::Array(list)) => list.iter().map(|one| one.as_str().map(Into::into)).collect::<Option<_>>()?,
        Some(_) => return None,
    };
    let is_sound = names.len() <= ROLES_MAX && names.iter().all(|name| name.len() <= NAME_LEN_MAX);
    is_sound.then(|| names.into())
}
