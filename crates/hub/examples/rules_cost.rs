//! What asking the rules costs: nanoseconds a question, without rules, with one and with a thousand, for ten thousand users.
//!
//! `cargo run --release -p headwater-hub --example rules_cost`

#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;

use headwater_event::{Clock, Principal, Topic};
use headwater_hub::access::{Access, Credentials, For, Openness, Pattern, Policy, Proof, Role, Rules, User, Users};

const USERS: usize = 10_000;
const ASKED: usize = 2_000_000;

fn main() {
    for rules in [0, 1, 1_000] {
        for (what, roles_each) in [("one role", 1), ("four roles", 4)] {
            let (access, who) = place(rules, roles_each);
            let topics: Vec<_> =
                (0..USERS).map(|n| Topic::new(format!("plant/7/line/3/machine/u{n}/t")).unwrap()).collect();
            let began = Instant::now();
            let mut allowed = 0;
            for at in 0..ASKED {
                allowed += usize::from(access.may_publish(black_box(&who[at % USERS]), &topics[at % USERS]).is_ok());
            }
            let each = began.elapsed().as_nanos() as f64 / ASKED as f64;
            assert_eq!(allowed, ASKED);
            println!("{rules:>5} rules, {what:<10}: {each:>6.1} ns a publication");
        }
    }
}

fn place(rules: usize, roles_each: usize) -> (Access, Vec<Principal>) {
    if rules == 0 {
        return (Access::open(), vec![Principal::anonymous(); USERS]);
    }
    let per_role = rules.div_ceil(4);
    let roles: Vec<_> = (0..4)
        .map(|role| {
            let texts = (7..7 + per_role).map(|n| format!("plant/{n}/line/+/machine/{{user}}/#"));
            let publish = texts.map(|text| Pattern::new(&text, For::Publishing).unwrap()).collect();
            (format!("r{role}"), Role { publish, ..Role::default() })
        })
        .collect();
    let rules = Rules::new(roles.iter().map(|(name, role)| (name.as_str(), role))).unwrap();
    let held: Vec<String> = (0..roles_each).map(|role| format!("r{role}")).collect();
    let users = (0..USERS).map(|n| User {
        name: format!("u{n}"),
        certificates: vec![format!("u{n}.example")],
        roles: held.clone(),
        ..User::default()
    });
    let users = Users::new(users).unwrap();
    let access = Access::keeping(Policy::new(Openness::Rules, rules, users, None), Clock::system());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let login = |n: usize| {
        let proof = Proof::Certificate { names: vec![format!("u{n}.example").into()] };
        runtime
            .block_on(access.authenticate(Credentials { proof, ..Credentials::none([127, 0, 0, 1].into()) }))
            .unwrap()
    };
    let who = (0..USERS).map(login).collect();
    (access, who)
}
