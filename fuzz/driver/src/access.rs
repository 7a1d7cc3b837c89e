//! What a stranger shows at the door, and the lines of rules and users.

use std::sync::LazyLock;

use headwater_event::{Clock, Filter, Principal, Time, Topic};
use headwater_hub::access::{
    Access, Ask, Credentials, For, Keys, Openness, PasswordHash, Pattern, Policy, Proof, Role, Rules, Secret,
    TokenRules, Tokens, Users, judged,
};

/// 32 bytes, as HS256 wants.
const KEYS: &str = r#"{"keys":[{"kty":"oct","kid":"k","k":"YSBzaGFyZWQga2V5IG9mIHRoaXJ0eS10d28gYnl0ZXM"}]}"#;

/// Pieces of tokens, hashes and rules.
pub const WORDS: &[&[u8]] = &[
    b".",
    b"{",
    b"}",
    b"\"alg\":\"none\"",
    b"\"exp\":",
    b"1e999",
    b"null",
    b"$argon2id$v=19$",
    b"m=",
    b"{user}",
    b"{client}",
    b"+",
    b"#",
    b"/",
    b"$SYS/",
    b"$share/g/",
    b":",
    b"=",
    b"\"keys\":[",
];

/// Somebody who may everything that rules can open, and nothing else.
static ACCESS: LazyLock<Access> = LazyLock::new(|| {
    let rules = TokenRules { issuer: "i".into(), audience: "a".into(), ..TokenRules::default() };
    let keys = Keys::read(&Secret::new(KEYS)).expect("the keys above");
    Access::keeping(
        Policy::new(Openness::Rules, Rules::default(), Users::default(), Some(Tokens::new(keys, rules))),
        Clock::manual(Time(1)),
    )
});

/// Valid ones of each.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsifQ.eyJpc3MiOiJpIiwiYXVkIjoiYSIsInN1YiI6InUiLCJleHAiOjl9.AAAA",
        "ada:a password",
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        KEYS,
        "devices/{user}/+/{client}/#",
        "$share/g/devices/+/up",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Nobody gets in by chance, nothing panics, what is written is read again, and no pattern opens what is reserved.
///
/// # Panics
/// When one of these is broken.
pub fn access(bytes: &[u8]) {
    token(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(hash) = PasswordHash::parse(text) {
        assert!(PasswordHash::parse(&hash.to_text()).is_ok_and(|again| again == hash), "{text:?}");
    }
    let _ = Keys::read(&Secret::new(bytes));
    let _ = judged(text);
    for purpose in [For::Publishing, For::Watching] {
        if let Ok(pattern) = Pattern::new(text, purpose) {
            rule(pattern, text, purpose);
        }
    }
}

fn token(bytes: &[u8]) {
    let proof = Proof::from_field(Secret::new(bytes));
    if !matches!(proof, Proof::Token(_)) {
        return; // A password costs 20 ms by design, and an empty field is nobody.
    }
    let shown = Credentials { proof, ..Credentials::none([10, 0, 0, bytes.len() as u8].into()) };
    let mut answer = ACCESS.authenticate(shown);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(answer) = answer.as_mut().poll(&mut context) else {
        panic!("a token is judged at once")
    };
    assert!(answer.is_err(), "nobody has the key");
}

fn rule(pattern: Pattern, text: &str, purpose: For) {
    let said = pattern.to_string();
    assert!(Pattern::new(&said, purpose).is_ok_and(|again| again == pattern), "{text:?} is told as {said:?}");
    let role = match purpose {
        For::Publishing => Role { publish: vec![pattern], ..Role::default() },
        For::Watching => Role { subscribe: vec![pattern], ..Role::default() },
    };
    let rules = Rules::new([("anonymous", &role)]).expect("one rule is not too many");
    let access = Access::keeping(Policy::new(Openness::Rules, rules, Users::default(), None), Clock::manual(Time(1)));
    let who = Principal::anonymous().with_client("c");
    for reserved in ["$", "$audit/login", "$share/g/a", "$SYS"] {
        if let (Ok(topic), Ok(filter)) = (Topic::new(reserved), Filter::new(reserved)) {
            assert!(!access.explain(&who, Ask::Publish(&topic)).is_allowed, "{text:?} opens {reserved}");
            assert!(!access.explain(&who, Ask::Watch(&filter)).is_allowed, "{text:?} opens {reserved}");
        }
    }
}
