//! A hub with users and rules, for the tests of every edge: `ada` may publish and watch `ada/#` and her intake, `admin` holds
//! the role of that name, anonymous clients may watch `public/#`.

use std::sync::OnceLock;

use headwater_event::Clock;
use headwater_hub::Settings;
use headwater_hub::access::{Access, For, Openness, PasswordHash, Pattern, Policy, Role, Rules, Secret, User, Users};

/// `ada`'s, and `admin`'s.
pub const PASSWORD: &str = "the secret";

/// What anonymous clients may publish, beside watching `public/#`.
pub fn policy(users: Vec<User>, anonymous_publish: &[&str]) -> Policy {
    let patterns = |texts: &[&str], purpose| texts.iter().map(|text| Pattern::new(text, purpose).unwrap()).collect();
    let role = |publish: &[&str], subscribe: &[&str]| Role {
        publish: patterns(publish, For::Publishing),
        subscribe: patterns(subscribe, For::Watching),
        ..Role::default()
    };
    let rules = Rules::new([
        ("anonymous", &role(anonymous_publish, &["public/#"])),
        ("own", &role(&["{user}/#", "intake/{client}"], &["{user}/#"])),
    ]);
    Policy::new(Openness::Rules, rules.unwrap(), Users::new(users).unwrap(), None)
}

pub fn users() -> Vec<User> {
    // Made once: a hash is work by design.
    static HASH: OnceLock<PasswordHash> = OnceLock::new();
    let hash = HASH.get_or_init(|| PasswordHash::of(&Secret::new(PASSWORD)).unwrap());
    let user = |name: &str, role: &str| User {
        name: name.into(),
        password: Some(hash.clone()),
        roles: vec![role.into()],
        ..User::default()
    };
    vec![user("ada", "own"), user("admin", "admin")]
}

/// The settings of such a hub, and what can be changed while it runs.
pub fn settings() -> (Settings, Access) {
    settings_with(&[])
}

pub fn settings_with(anonymous_publish: &[&str]) -> (Settings, Access) {
    let access = Access::keeping(policy(users(), anonymous_publish), Clock::system());
    (Settings { access: access.clone(), ..Settings::default() }, access)
}
