//! Who comes in, what they may, and that both end when they are taken back.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use headwater_event::*;
use headwater_hub::access::*;
use headwater_hub::*;
use ring::{hmac, signature};

use crate::support::*;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;
const SHARED: &[u8; 32] = b"a shared key of thirty-two bytes";
const SEED: [u8; 32] = [7; 32];

fn patterns(texts: &[&str], purpose: For) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(text, purpose).unwrap()).collect()
}

fn role(publish: &[&str], subscribe: &[&str]) -> Role {
    Role {
        publish: patterns(publish, For::Publishing),
        subscribe: patterns(subscribe, For::Watching),
        ..Role::default()
    }
}

fn user(name: &str, password: &str, roles: &[&str]) -> User {
    User {
        name: name.into(),
        password: Some(PasswordHash::of(&Secret::new(password)).unwrap()),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        certificates: vec![format!("{name}.example")],
        is_disabled: false,
    }
}

fn rules() -> Rules {
    Rules::new([
        ("anonymous", &role(&[], &["public/#"])),
        ("device", &role(&["devices/{user}/up/#"], &["devices/{user}/down/#"])),
        ("client", &role(&["clients/{client}/#"], &["clients/{client}/#"])),
        ("operator", &role(&["devices/+/down/#"], &["devices/#", "$SYS/#"])),
    ])
    .unwrap()
}

fn policy(users: Vec<User>, keys: Option<Keys>) -> Policy {
    let rules_of_tokens =
        TokenRules { issuer: "https://issuer".into(), audience: "hub".into(), ..TokenRules::default() };
    let tokens = keys.map(|keys| Tokens::new(keys, rules_of_tokens));
    Policy::new(Openness::Rules, rules(), Users::new(users).unwrap(), tokens)
}

fn keys(which: &[&str]) -> Keys {
    let pair = signature::Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap();
    let public = URL_SAFE_NO_PAD.encode(signature::KeyPair::public_key(&pair));
    let jwks = which.iter().map(|which| match *which {
        "shared" => format!(r#"{{"kty":"oct","kid":"s","k":"{}"}}"#, URL_SAFE_NO_PAD.encode(SHARED)),
        _ => format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"e","x":"{public}"}}"#),
    });
    Keys::read(&Secret::new(format!("{{\"keys\":[{}]}}", jwks.collect::<Vec<_>>().join(",")))).unwrap()
}

/// Signs with what the head's algorithm wants, or with what is given.
fn token_by(head: &str, claims: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Secret {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    Secret::new(format!("{signed}.{signature}"))
}

fn by_shared(bytes: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SHARED), bytes).as_ref().to_vec()
}

fn by_ed25519(bytes: &[u8]) -> Vec<u8> {
    signature::Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap().sign(bytes).as_ref().to_vec()
}

fn claims(user: &str, roles: &str, lives: u64) -> String {
    let until = NOW + lives;
    format!(r#"{{"iss":"https://issuer","aud":"hub","sub":"{user}","roles":["{roles}"],"exp":{until}}}"#)
}

fn token(user: &str, roles: &str, lives: u64) -> Secret {
    token_by(r#"{"alg":"HS256","kid":"s"}"#, &claims(user, roles, lives), by_shared)
}

struct Guarded {
    house: House,
    access: Access,
    clock: Clock,
}

fn guarded(policy: Policy) -> Guarded {
    let clock = Clock::manual(Time(NOW * 1_000_000));
    let access = Access::keeping(policy, clock.clone());
    let house = house(Settings { access: access.clone(), clock: clock.clone(), ..Settings::default() });
    Guarded { house, access, clock }
}

impl Guarded {
    async fn login(&self, proof: Proof) -> Result<Principal, Refusal> {
        self.house.hub.authenticate(Credentials { proof, ..Credentials::none(PEER) }).await
    }

    async fn by_password(&self, user: &str, password: &str) -> Result<Principal, Refusal> {
        self.login(Proof::Password { user: user.into(), password: Secret::new(password) }).await
    }

    async fn by_token(&self, token: Secret) -> Result<Principal, Refusal> {
        self.login(Proof::Token(token)).await
    }

    fn may_publish(&self, who: &Principal, at: &str) -> bool {
        self.house.hub.may_publish(who, &topic(at)).is_ok()
    }

    fn may_watch(&self, who: &Principal, wanted: &str) -> bool {
        self.house.hub.may_watch(who, &filter(wanted)).is_ok()
    }
}

#[tokio::test]
async fn a_user_may_what_their_roles_say_and_nothing_else() {
    let place = guarded(policy(vec![user("d1", "correct horse", &["device"])], None));
    let who = place.by_password("d1", "correct horse").await.unwrap();
    assert_eq!((who.user(), who.roles().len()), (Some("d1"), 1));
    assert!(place.may_publish(&who, "devices/d1/up/t") && place.may_watch(&who, "devices/d1/down/#"));
    for other in ["devices/d2/up/t", "devices/d1/down/x", "public/a", "$SYS/a", "a"] {
        assert!(!place.may_publish(&who, other), "{other}");
    }
    for other in ["devices/+/down/#", "devices/d1/#", "#", "+/d1/down/#", "$SYS/#", "public/a"] {
        assert!(!place.may_watch(&who, other), "{other}");
    }
    let nobody = place.login(Proof::None).await.unwrap();
    assert!(place.may_watch(&nobody, "public/+") && !place.may_publish(&nobody, "public/a"));
}

#[tokio::test]
async fn class_22_no_rules_allow_nothing() {
    let users = Users::new([user("ada", "correct horse", &["device", "ghost"])]).unwrap();
    let place = guarded(Policy::new(Openness::Rules, Rules::default(), users, None));
    for who in [place.login(Proof::None).await.unwrap(), place.by_password("ada", "correct horse").await.unwrap()] {
        assert!(!place.may_publish(&who, "a") && !place.may_watch(&who, "a") && !place.may_watch(&who, "#"));
        assert!(!place.access.may_administer(&who));
    }
}

#[tokio::test]
async fn a_wrong_password_an_unknown_user_and_a_disabled_one_hear_the_same() {
    let disabled = User { is_disabled: true, ..user("off", "correct horse", &[]) };
    let without = User { password: None, ..user("cert", "correct horse", &[]) };
    let place = guarded(policy(vec![user("ada", "correct horse", &[]), disabled, without], None));
    for (name, password) in
        [("ada", "wrong horse"), ("ada", ""), ("nobody", "correct horse"), ("off", "correct horse"), ("cert", "")]
    {
        assert_eq!(place.by_password(name, password).await.err(), Some(Refusal::NotAuthenticated), "{name}");
    }
    assert!(place.by_password("ada", "correct horse").await.is_ok());
}

/// By counting work, not by a stopwatch: an unknown name has to go through the same check as a known one. (What a check costs
/// is the hash's own, and that of nobody is as dear as the dearest.)
#[tokio::test]
async fn class_21_an_unknown_user_costs_the_same() {
    let place = guarded(policy(vec![user("ada", "correct horse", &[])], None));
    let took = async |name: &str| {
        let mut best = Duration::MAX;
        for _ in 0..4 {
            let began = Instant::now();
            assert!(place.by_password(name, "wrong horse").await.is_err());
            best = best.min(began.elapsed());
        }
        best
    };
    let (known, unknown) = (took("ada").await, took("nobody").await);
    // A name that isn't checked at all takes some microseconds; the bound leaves room for a busy machine.
    assert!(unknown * 3 > known && known * 3 > unknown, "{known:?} for who is there, {unknown:?} for who isn't");
}

#[tokio::test]
async fn class_21_guessing_is_stopped_and_who_was_right_goes_on() {
    let place = guarded(policy(vec![user("ada", "correct horse", &[])], None));
    place.by_password("ada", "correct horse").await.unwrap();
    let mut wrong = 0;
    let refusal = loop {
        match place.by_password("ada", "wrong horse").await.unwrap_err() {
            Refusal::NotAuthenticated => wrong += 1,
            other => break other,
        }
    };
    assert!(matches!(refusal, Refusal::TooFast { .. }), "{refusal:?}");
    assert!((5..30).contains(&wrong), "{wrong}");
    assert!(place.by_password("ada", "correct horse").await.is_ok(), "who was in isn't locked out by a guesser");
    assert!(matches!(place.by_password("bob", "x").await, Err(Refusal::NotAuthenticated)), "another name has its own");
}

#[tokio::test]
async fn class_7_names_that_mean_more_than_themselves_are_refused() {
    let place = guarded(policy(vec![user("ada", "correct horse", &["client"])], Some(keys(&["shared"]))));
    let with_client = async |client: &str| {
        let proof = Proof::Password { user: "ada".into(), password: Secret::new("correct horse") };
        let shown = Credentials { proof, client_id: Some(client.into()), peer: PEER };
        place.house.hub.authenticate(shown).await
    };
    for client in ["+", "#", "a/b", "$SYS", "a+", "x\0", "x\u{7f}", "{user}"] {
        assert!(matches!(with_client(client).await, Err(Refusal::Malformed(_))), "{client:?}");
    }
    let who = with_client("tablet").await.unwrap();
    assert!(place.may_publish(&who, "clients/tablet/a") && !place.may_publish(&who, "clients/other/a"));
    for name in ["+", "#", "a/b", "$SYS"] {
        let refused = place.by_token(token(name, "device", 60)).await.err();
        assert_eq!(refused, Some(Refusal::NotAuthenticated), "{name:?}");
    }
    // Without placeholders in any rule these names are harmless.
    let plain = Rules::new([("operator", &role(&["a"], &["a"]))]).unwrap();
    place.access.replace(Policy::new(
        Openness::Rules,
        plain,
        Users::new([user("ada", "correct horse", &[])]).unwrap(),
        None,
    ));
    assert!(with_client("a/b").await.is_ok());
    assert!(with_client("x\0").await.is_err());
}

#[tokio::test]
async fn tokens_say_who_somebody_is_when_everything_about_them_is_right() {
    let place = guarded(policy(Vec::new(), Some(keys(&["shared", "ed25519"]))));
    let who = place.by_token(token("d1", "device", 60)).await.unwrap();
    assert!(who.user() == Some("d1") && place.may_publish(&who, "devices/d1/up/t"));
    let ed = r#"{"alg":"EdDSA","kid":"e"}"#;
    assert!(place.by_token(token_by(ed, &claims("d1", "device", 60), by_ed25519)).await.is_ok());
    assert!(place.by_token(token_by(r#"{"alg":"EdDSA"}"#, &claims("d1", "device", 60), by_ed25519)).await.is_ok());

    let good = claims("d1", "device", 60);
    let hs = r#"{"alg":"HS256","kid":"s"}"#;
    let public = signature::Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap();
    let public = signature::KeyPair::public_key(&public).as_ref().to_vec();
    let by_public = |bytes: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public), bytes).as_ref().to_vec();
    let no = |_: &[u8]| Vec::new();
    let wrong = [
        ("none", token_by(r#"{"alg":"none"}"#, &good, no)),
        ("None", token_by(r#"{"alg":"None","kid":"s"}"#, &good, no)),
        ("no algorithm", token_by(r#"{"kid":"s"}"#, &good, by_shared)),
        ("no signature", token_by(hs, &good, no)),
        ("a public key as a shared one", token_by(r#"{"alg":"HS256","kid":"e"}"#, &good, by_public)),
        ("a public key as a shared one, unnamed", token_by(r#"{"alg":"HS256"}"#, &good, by_public)),
        ("another algorithm than the key's", token_by(r#"{"alg":"EdDSA","kid":"s"}"#, &good, by_shared)),
        ("an unknown key", token_by(r#"{"alg":"HS256","kid":"x"}"#, &good, by_shared)),
        ("an algorithm that isn't taken", token_by(r#"{"alg":"HS512","kid":"s"}"#, &good, by_shared)),
        ("critical", token_by(r#"{"alg":"HS256","kid":"s","crit":["b64"],"b64":false}"#, &good, by_shared)),
        ("issuer", token_by(hs, &good.replace("https://issuer", "https://issuer/"), by_shared)),
        ("no issuer", token_by(hs, &good.replace("\"iss\"", "\"x\""), by_shared)),
        ("audience", token_by(hs, &good.replace("\"hub\"", "\"hub2\""), by_shared)),
        ("audiences", token_by(hs, &good.replace("\"hub\"", "[\"hub2\",7]"), by_shared)),
        ("no audience", token_by(hs, &good.replace("\"aud\"", "\"x\""), by_shared)),
        ("no expiry", token_by(hs, &good.replace("\"exp\"", "\"x\""), by_shared)),
        ("expiry as text", token_by(hs, &good.replace(&format!("{}", NOW + 60), "\"9999999999\""), by_shared)),
        ("expired", token_by(hs, &good.replace(&format!("{}", NOW + 60), &format!("{}", NOW - 6)), by_shared)),
        ("too early", token_by(hs, &good.replace('{', &format!("{{\"nbf\":{},", NOW + 60)), by_shared)),
        ("early as text", token_by(hs, &good.replace('{', "{\"nbf\":\"x\","), by_shared)),
        ("no user", token_by(hs, &good.replace("\"sub\"", "\"x\""), by_shared)),
        ("an empty user", token_by(hs, &good.replace("\"d1\"", "\"\""), by_shared)),
        ("anonymous", token_by(hs, &good.replace("\"d1\"", "\"anonymous\""), by_shared)),
        ("a user in two lines", token_by(hs, &good.replace("\"d1\"", "\"d1\\r\\nx\""), by_shared)),
        ("roles of another kind", token_by(hs, &good.replace("[\"device\"]", "{\"device\":1}"), by_shared)),
        ("no object", token_by(hs, "[]", by_shared)),
        ("too long", token_by(hs, &good.replace('{', &format!("{{\"x\":\"{}\",", "x".repeat(9_000))), by_shared)),
        ("nothing", Secret::new("")),
        ("dots", Secret::new("...")),
    ];
    for (number, (what, token)) in wrong.into_iter().enumerate() {
        // Each from its own address: they aren't to be refused for being many.
        let peer = IpAddr::from([10, 1, 0, u8::try_from(number).unwrap()]);
        let shown = Credentials { proof: Proof::Token(token), ..Credentials::none(peer) };
        let refused = place.house.hub.authenticate(shown).await.err();
        assert_eq!(refused, Some(Refusal::NotAuthenticated), "{what}");
    }
}

#[tokio::test]
async fn certificates_are_users_by_their_exact_names() {
    let place = guarded(policy(vec![user("d1", "correct horse", &["device"]), user("d2", "correct horse", &[])], None));
    let by = async |names: &[&str]| {
        let names = names.iter().map(|name| Text::from(*name)).collect();
        place.login(Proof::Certificate { names }).await
    };
    let who = by(&["d1.example"]).await.unwrap();
    assert!(who.user() == Some("d1") && place.may_publish(&who, "devices/d1/up/t"));
    assert_eq!(by(&["d1.example", "d2.example"]).await.err(), Some(Refusal::NotAuthenticated), "it could be either");
    for names in [&["D1.example"][..], &["d1.example.evil"], &[]] {
        assert!(by(names).await.unwrap().is_anonymous(), "{names:?}");
    }
    let disabled = User { is_disabled: true, ..user("d1", "correct horse", &["device"]) };
    place.access.replace(policy(vec![disabled], None));
    assert_eq!(by(&["d1.example"]).await.err(), Some(Refusal::NotAuthenticated));
}

/// Classes 3 and 4: what was allowed by a login that has ended is over, at once for what is asked and within a second for what
/// is running.
#[tokio::test]
async fn class_4_a_user_who_is_removed_disabled_or_changed_is_out() {
    let ada = user("d1", "correct horse", &["device"]);
    let disabled = User { is_disabled: true, ..ada.clone() };
    let changed = user("d1", "another horse", &["device"]);
    let without_role = User { roles: Vec::new(), ..ada.clone() };
    for (what, after) in
        [("removed", vec![]), ("disabled", vec![disabled]), ("changed", vec![changed]), ("no role", vec![without_role])]
    {
        let place = guarded(policy(vec![ada.clone()], None));
        let who = place.by_password("d1", "correct horse").await.unwrap();
        let hub = &place.house.hub;
        let socket = Socket::open();
        let (outlet, task) = connect_as(hub, &socket, &who);
        outlet.watch(watch("devices/d1/down/#")).await.unwrap();
        let began = Instant::now();
        place.access.replace(policy(after, None));
        assert!(!place.may_publish(&who, "devices/d1/up/t") && !place.may_watch(&who, "devices/d1/down/#"), "{what}");
        assert!(hub.history(&who, filter("devices/d1/down/#"), From::Oldest).is_err(), "{what}");
        assert!(hub.latest(&who, &filter("devices/d1/down/x"), None, 1).await.is_err(), "{what}");
        // Without a word from whoever replaced it.
        assert_eq!(task.await.unwrap(), Closed::NotAllowed, "{what}");
        assert!(began.elapsed() < Duration::from_secs(1), "{what}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_connection_that_watches_nothing_ends_with_its_login() {
    let place = guarded(policy(vec![user("d1", "correct horse", &["device"])], None));
    let who = place.by_password("d1", "correct horse").await.unwrap();
    let hub = &place.house.hub;
    let bell = Bell::new();
    let arrival = |who| Arrival { protocol: "test", peer: (PEER, 1).into(), who, client: None };
    let (nobody, other) = (Principal::anonymous(), Bell::new());
    let _present = (hub.presence().enter(arrival(&who), &bell), hub.presence().enter(arrival(&nobody), &other));
    place.access.replace(policy(Vec::new(), None));
    assert_eq!(hub.recheck().await, 1);
    assert!(bell.is_rung() && !other.is_rung());
}

#[tokio::test]
async fn who_had_logged_in_comes_on_with_the_roles_of_now() {
    let ada = user("d1", "correct horse", &[]);
    let place = guarded(policy(vec![ada.clone()], None));
    let who = place.by_password("d1", "correct horse").await.unwrap();
    assert!(!place.may_publish(&who, "devices/d1/up/t"));
    place.access.replace(policy(vec![User { roles: vec!["device".into()], ..ada }], None));
    assert!(place.may_publish(&who, "devices/d1/up/t"));
}

#[tokio::test]
async fn an_expired_token_ends_what_it_allowed_within_a_second() {
    let place = guarded(policy(Vec::new(), Some(keys(&["shared"]))));
    let who = place.by_token(token("d1", "device", 60)).await.unwrap();
    let socket = Socket::open();
    let (outlet, task) = connect_as(&place.house.hub, &socket, &who);
    outlet.watch(watch("devices/d1/down/#")).await.unwrap();
    // To the end of the token, and of what clocks may be apart.
    place.clock.advance(Duration::from_secs(60 + 5));
    assert!(!place.may_publish(&who, "devices/d1/up/t"), "at once");
    place.clock.advance(Duration::from_millis(250));
    let began = Instant::now();
    assert_eq!(task.await.unwrap(), Closed::NotAllowed);
    assert!(began.elapsed() < Duration::from_millis(750), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_key_that_is_taken_back_ends_its_tokens_and_a_user_can_be_locked_out() {
    let place = guarded(policy(Vec::new(), Some(keys(&["shared", "ed25519"]))));
    let shared = place.by_token(token("d1", "device", 60)).await.unwrap();
    let head = r#"{"alg":"EdDSA","kid":"e"}"#;
    let other = place.by_token(token_by(head, &claims("d1", "device", 60), by_ed25519)).await.unwrap();
    place.access.replace(policy(Vec::new(), Some(keys(&["ed25519"]))));
    assert!(!place.access.stands(&shared) && place.access.stands(&other));
    let locked = User { is_disabled: true, ..user("d1", "correct horse", &[]) };
    place.access.replace(policy(vec![locked], Some(keys(&["ed25519"]))));
    assert!(!place.access.stands(&other));
    assert!(place.by_token(token_by(head, &claims("d1", "device", 60), by_ed25519)).await.is_err());
}

#[tokio::test]
async fn class_2_a_shared_subscription_is_judged_by_the_filter_inside() {
    let denying = Role { deny_subscribe: patterns(&["a/secret/#"], For::Watching), ..role(&["#"], &["a/#"]) };
    let rules = Rules::new([("anonymous", &denying)]).unwrap();
    let place = guarded(Policy::new(Openness::Rules, rules, Users::default(), None));
    let hub = &place.house.hub;
    let group = GroupName::new("g").unwrap();
    let join = async |inner: &str| {
        hub.join(&anyone(), &filter(inner), &group, GroupOptions::new(vec![filter(inner)])).await.err()
    };
    for inner in ["a/#", "a/+/x", "a/secret", "a/secret/x", "#", "b", "$share/h/a/b"] {
        assert_eq!(join(inner).await, Some(Refusal::NotAllowed), "{inner}");
    }
    assert_eq!(join("a/b").await, None);
    // The outer form is nobody's to watch: whoever forgets to take it apart gets nothing.
    assert!(hub.may_watch(&anyone(), &filter("$share/g/a/b")).is_err());
}

#[tokio::test]
async fn class_8_no_rule_opens_what_is_reserved() {
    // Also a rule that was made without asking the reader of rules what it may name.
    let all = role(&["#", "+/#"], &["#", "+/#"]);
    let rules = Rules::new([("anonymous", &all)]).unwrap();
    let place = guarded(Policy::new(Openness::Rules, rules, Users::default(), None));
    for prefix in RESERVED_PREFIXES {
        for rest in ["", "SYS/a", "audit/login", "share/g/a", "mqtt/x", "auth/ask", "auth/answer/x"] {
            let text = format!("{prefix}{rest}");
            assert!(!place.may_publish(&anyone(), &text), "{text}");
            assert!(!place.may_watch(&anyone(), &text), "{text}: no rule names it");
            assert!(!place.may_watch(&anyone(), &format!("{text}/#")), "{text}");
        }
    }
    let operator = policy(vec![user("op", "correct horse", &["operator"])], None);
    place.access.replace(operator);
    let who = place.by_password("op", "correct horse").await.unwrap();
    assert!(place.may_watch(&who, "$SYS/#") && !place.may_publish(&who, "$SYS/a"));
    for text in ["$audit/#", "$share/g/devices/a", "$mqtt/#"] {
        assert!(!place.may_watch(&who, text), "{text}");
    }
}

impl Guarded {
    /// The trail about this, once it has so many entries.
    async fn trail(&self, about: &str, count: usize) -> Vec<String> {
        loop {
            let head = self.house.hub.head();
            let found = recorded(&self.house.log, about).await;
            if found.len() >= count {
                return found;
            }
            until("something is noted", || self.house.hub.head() != head).await;
        }
    }
}

#[tokio::test]
async fn logins_refusals_and_changes_are_on_record() {
    let place = guarded(policy(vec![user("ada", "correct horse", &["device", "admin"])], None));
    let hub = &place.house.hub;
    let who = place.by_password("ada", "correct horse").await.unwrap();
    place.by_password("ada", "wrong horse").await.unwrap_err();
    place.by_password("my-own-password", "x").await.unwrap_err();
    let logins = place.trail(AUDIT_LOGIN, 3).await;
    assert_eq!(logins[0], r#"{"what":"login","user":"ada","by":"password","peer":"10.0.0.9"}"#);
    assert!(logins[1].starts_with(r#"{"what":"login refused","user":"ada""#), "{}", logins[1]);
    assert!(!logins[2].contains("my-own-password"), "a name that isn't one may be a password: {}", logins[2]);
    assert!(!place.may_publish(&who, "elsewhere"));
    let refused = place.trail(AUDIT_REFUSED, 1).await;
    assert_eq!(refused[0], r#"{"what":"publish refused","user":"ada","topic":"elsewhere"}"#);
    hub.record_change(&who, "reload", &[("users", "1")]).await.unwrap();
    assert_eq!(place.trail(AUDIT_ADMIN, 1).await, [r#"{"what":"reload","user":"ada","users":"1"}"#]);
    assert_eq!(hub.record_change(&anyone(), "reload", &[]).await, Err(Refusal::NotAllowed));
}

#[tokio::test]
async fn a_flood_of_wrong_logins_is_counted_and_not_kept() {
    let place = guarded(policy(vec![user("ada", "correct horse", &[])], None));
    let hub = &place.house.hub;
    let began = Instant::now();
    let mut tried = 0_u8;
    // All within one second, each from its own address.
    while began.elapsed() < Duration::from_millis(500) && tried < 200 {
        let shown =
            Credentials { proof: Proof::Token(Secret::new("x")), ..Credentials::none([10, 2, 0, tried].into()) };
        hub.authenticate(shown).await.unwrap_err();
        tried += 1;
    }
    let logins = place.trail(AUDIT_LOGIN, 10).await;
    assert!(tried > 20 && logins.len() <= 20, "{} of {tried}", logins.len());
}

#[tokio::test]
async fn a_change_that_cannot_be_recorded_is_refused() {
    let place = guarded(policy(vec![user("ada", "correct horse", &["admin"])], None));
    let who = place.by_password("ada", "correct horse").await.unwrap();
    place.house.log.close().unwrap();
    assert_eq!(place.house.hub.record_change(&who, "reload", &[]).await, Err(Refusal::Unavailable));
}
