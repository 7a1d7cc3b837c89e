//! The keys that tokens are checked with, read from a JWK set (RFC 7517). A key is bound to one algorithm for good.

use std::hash::{Hash, Hasher};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{hmac, signature};
use serde_json::Value;

use super::secret::Secret;

/// The most keys of a set: an issuer has two or three at a time, and a token without a key id is tried with each.
pub const KEYS_MAX: usize = 32;

/// The shortest shared key: as long as the hash (RFC 7518, section 3.2).
const HMAC_LEN_MIN: usize = 32;

/// The shortest RSA key, 2,048 bits (RFC 7518, section 3.3), and the longest that is checked.
const RSA_LEN: std::ops::RangeInclusive<usize> = 256..=1_024;

/// How a token may be signed. There is no word for "not at all".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Algorithm {
    Hs256,
    Rs256,
    EdDsa,
}

impl Algorithm {
    /// By its name in a token's head.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "RS256" => Some(Self::Rs256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// One key. Which algorithm it is for follows from what it is made of, never from what a token says: so a public RSA key
/// can't be taken for a shared secret.
pub(super) struct Key {
    pub(super) id: Option<String>,
    material: Material,
    /// Tells this key from others, in this process.
    pub(super) print: u64,
}

enum Material {
    Shared(Box<hmac::Key>),
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Ed25519(Vec<u8>),
}

impl Key {
    pub(super) const fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Shared(_) => Algorithm::Hs256,
            Material::Rsa { .. } => Algorithm::Rs256,
            Material::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// Whether this key signed these bytes.
    pub(super) fn signed(&self, bytes: &[u8], by: &[u8]) -> bool {
        match &self.material {
            Material::Shared(key) => hmac::verify(key, bytes, by).is_ok(),
            Material::Rsa { modulus, exponent } => {
                let key = signature::RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, bytes, by).is_ok()
            }
            Material::Ed25519(key) => {
                signature::UnparsedPublicKey::new(&signature::ED25519, key).verify(bytes, by).is_ok()
            }
        }
    }
}

/// The keys of one issuer.
#[derive(Default)]
pub struct Keys {
    pub(super) keys: Vec<Key>,
    /// Why others of the set are not used.
    pub left_out: Vec<String>,
    /// Whether the set holds a shared key, so that the file must be closed to others.
    pub is_secret: bool,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.keys.len())
    }
}

/// What is wrong with a set of keys. Nothing of a key is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Not of the form.
    #[error("no JWK set: it is one JSON object, {{\"keys\": [...]}}")]
    Form,
    /// Too many.
    #[error("a set has at most {KEYS_MAX} keys")]
    TooMany,
    /// One of them is broken.
    #[error("{which}: {what}")]
    Key {
        /// Which one, by its place and id.
        which: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Two keys of one id: it couldn't be told which one is meant.
    #[error("two keys have the id {0:?}")]
    TwoOfOneId(String),
    /// Nothing to check a token with.
    #[error("none of the keys can be used here: it takes HS256, RS256 and EdDSA (Ed25519)")]
    NoneUsable,
}

impl Keys {
    /// Reads a JWK set. Keys for other algorithms are left out, broken ones are errors.
    ///
    /// # Errors
    /// Says which key is wrong.
    pub fn read(set: &Secret) -> Result<Self, KeysError> {
        let set: Value = serde_json::from_slice(set.reveal()).map_err(|_| KeysError::Form)?;
        let listed = set.get("keys").and_then(Value::as_array).ok_or(KeysError::Form)?;
        if listed.len() > KEYS_MAX {
            return Err(KeysError::TooMany);
        }
        let mut read = Self::default();
        for (at, jwk) in listed.iter().enumerate() {
            let id = text(jwk, "kid").map(str::to_owned);
            let which = match &id {
                Some(id) => format!("key {} ({id:?})", at + 1),
                None => format!("key {}", at + 1),
            };
            if let Some(why) = unusable(jwk) {
                read.left_out.push(format!("{which}: {why}"));
                continue;
            }
            if id.is_some() && read.keys.iter().any(|key| key.id == id) {
                return Err(KeysError::TwoOfOneId(id.unwrap_or_default()));
            }
            let (material, print) = material(jwk).map_err(|what| KeysError::Key { which, what })?;
            read.is_secret |= matches!(material, Material::Shared(_));
            read.keys.push(Key { id, material, print });
        }
        if read.keys.is_empty() { Err(KeysError::NoneUsable) } else { Ok(read) }
    }
}

fn text<'a>(jwk: &'a Value, name: &str) -> Option<&'a str> {
    jwk.get(name)?.as_str()
}

/// Why a key is for something else.
fn unusable(jwk: &Value) -> Option<&'static str> {
    if text(jwk, "use").is_some_and(|purpose| purpose != "sig") {
        return Some("it isn't for signatures");
    }
    let expected = match (text(jwk, "kty"), text(jwk, "crv")) {
        (Some("oct"), _) => "HS256",
        (Some("RSA"), _) => "RS256",
        (Some("OKP"), Some("Ed25519")) => "EdDSA",
        _ => return Some("this kind of key isn't taken"),
    };
    // RFC 9864 names the curve in place of "EdDSA".
    let is_other = |named: &str| named != expected && !(expected == "EdDSA" && named == "Ed25519");
    text(jwk, "alg").is_some_and(is_other).then_some("its algorithm isn't taken")
}

fn material(jwk: &Value) -> Result<(Material, u64), &'static str> {
    let bytes = |name: &str| -> Result<Vec<u8>, &'static str> {
        let encoded = text(jwk, name).ok_or("a part of the key is missing")?;
        URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).map_err(|_| "a part of the key is no base64url")
    };
    match text(jwk, "kty") {
        Some("oct") => {
            let key = Secret::new(bytes("k")?);
            if key.reveal().len() < HMAC_LEN_MIN {
                return Err("a shared key has at least 32 bytes: a shorter one can be guessed");
            }
            let print = print(&[b"oct", key.reveal()]);
            Ok((Material::Shared(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key.reveal()))), print))
        }
        Some("RSA") => {
            let (modulus, exponent) = (bytes("n")?, bytes("e")?);
            let modulus: Vec<u8> = modulus.into_iter().skip_while(|byte| *byte == 0).collect();
            if !RSA_LEN.contains(&modulus.len()) {
                return Err("an RSA key has 2,048 to 8,192 bits");
            }
            let print = print(&[b"RSA", &modulus, &exponent]);
            Ok((Material::Rsa { modulus, exponent }, print))
        }
        _ => {
            let key = bytes("x")?;
            if key.len() != 32 {
                return Err("an Ed25519 key has 32 bytes");
            }
            let print = print(&[b"OKP", &key]);
            Ok((Material::Ed25519(key), print))
        }
    }
}

fn print(parts: &[&[u8]]) -> u64 {
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSA: &str = r#"{"kty":"RSA","kid":"r","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
    const SHARED: &str = r#"{"kty":"oct","kid":"s","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
    const ED25519: &str =
        r#"{"kty":"OKP","crv":"Ed25519","kid":"e","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    fn read(keys: &[&str]) -> Result<Keys, KeysError> {
        Keys::read(&Secret::new(format!("{{\"keys\":[{}]}}", keys.join(","))))
    }

    fn signed(key: &str, token: &str) -> bool {
        let (bytes, signature) = token.rsplit_once('.').unwrap();
        read(&[key]).unwrap().keys[0].signed(bytes.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
    }

    /// RFC 7515, appendix A.1 and A.2; RFC 8037, appendix A.4.
    #[test]
    fn the_examples_of_the_specifications_are_good() {
        let claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let shared =
            format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{claims}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        let rsa = format!(
            "eyJhbGciOiJSUzI1NiJ9.{claims}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        );
        let ed25519 = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg".to_owned();
        for (key, token) in [(SHARED, shared), (RSA, rsa), (ED25519, ed25519)] {
            assert!(signed(key, &token), "{key}");
            let changed = token.replacen('.', "A.", 1);
            assert!(!signed(key, &changed), "{key}");
        }
    }

    #[test]
    fn a_set_is_read_whole_or_not_at_all() {
        let keys = read(&[RSA, SHARED, ED25519]).unwrap();
        let algorithms: Vec<_> = keys.keys.iter().map(Key::algorithm).collect();
        assert_eq!(algorithms, [Algorithm::Rs256, Algorithm::Hs256, Algorithm::EdDsa]);
        assert!(keys.is_secret && !read(&[RSA, ED25519]).unwrap().is_secret);
        assert_eq!(read(&[RSA, &SHARED.replace("\"s\"", "\"r\"")]).unwrap_err(), KeysError::TwoOfOneId("r".into()));
        assert_eq!(read(&vec![RSA; 33]).unwrap_err(), KeysError::TooMany);
        for text in ["", "[]", "{}", "{\"keys\":{}}", "keys"] {
            assert_eq!(Keys::read(&Secret::new(text)).unwrap_err(), KeysError::Form, "{text}");
        }
        for broken in [
            r#"{"kty":"oct","k":"c2hvcnQ"}"#,
            r#"{"kty":"oct","k":"?"}"#,
            r#"{"kty":"oct"}"#,
            r#"{"kty":"RSA","n":"c2hvcnQ","e":"AQAB"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","x":"c2hvcnQ"}"#,
        ] {
            let error = read(&[RSA, broken]).unwrap_err();
            assert!(matches!(error, KeysError::Key { .. }), "{broken}: {error}");
        }
    }

    #[test]
    fn keys_for_something_else_are_left_out_and_said() {
        let encrypting = RSA.replace("\"kid\":\"r\"", "\"kid\":\"enc\",\"use\":\"enc\"");
        let other = RSA.replace("\"kid\":\"r\"", "\"kid\":\"r5\",\"alg\":\"RS512\"");
        let curve = r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#;
        let keys = read(&[&encrypting, &other, curve, RSA]).unwrap();
        assert_eq!((keys.keys.len(), keys.left_out.len()), (1, 3), "{:?}", keys.left_out);
        assert_eq!(read(&[&encrypting]).unwrap_err(), KeysError::NoneUsable);
    }
}
