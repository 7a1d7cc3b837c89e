//! The rules against the plainest reading of them, over all topics of a small world (class 1 and 2 of the known faults of
//! brokers: a wildcard that reaches past a deny, a shared subscription that isn't asked).

use std::collections::HashMap;

use headwater_event::{Filter, Principal, Time, Topic};

use super::Ask;
use super::explain::judged;
use super::index::Asker;
use super::pattern::{For, Pattern};
use super::policy::{Openness, Policy};
use super::roles::{Role, Rules};
use super::users::Users;

/// The letters that rules and filters use; topics have one more, so that "any text" is more than all of these.
const LETTERS: [&str; 3] = ["a", "b", "c"];
const TOPIC_LETTERS: [&str; 5] = ["a", "b", "c", "other", "$SYS"];
/// One level more than the longest pattern, so that "the rest" is more than what patterns name.
const TOPIC_LEVELS: usize = 4;

/// A set of topics, by their numbers.
type Topics = Vec<u64>;

/// Every topic there is in this world.
fn world() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut longest: Vec<String> = vec![String::new()];
    for depth in 0..TOPIC_LEVELS {
        let longer = longest.iter().flat_map(|before| {
            TOPIC_LETTERS.map(|letter| if depth == 0 { letter.to_owned() } else { format!("{before}/{letter}") })
        });
        longest = longer.collect();
        all.extend(longest.iter().cloned());
    }
    all
}

/// Matching as the specification tells it, by recursion over levels.
fn matches(pattern: &[&str], topic: &[&str]) -> bool {
    match (pattern, topic) {
        ([], []) | (["#"], _) => true,
        (["+", pattern @ ..], [_, topic @ ..]) => matches(pattern, topic),
        ([wanted, pattern @ ..], [level, topic @ ..]) => wanted == level && matches(pattern, topic),
        _ => false,
    }
}

struct Oracle {
    topics: Vec<String>,
    known: HashMap<String, Topics>,
}

impl Oracle {
    /// The topics that a text without placeholders matches.
    fn of(&mut self, text: &str) -> &Topics {
        let topics = &self.topics;
        self.known.entry(text.to_owned()).or_insert_with(|| {
            let mut set = vec![0; topics.len().div_ceil(64)];
            let pattern: Vec<&str> = text.split('/').collect();
            for (number, topic) in topics.iter().enumerate() {
                let levels: Vec<&str> = topic.split('/').collect();
                let is_hidden = topic.starts_with('$') && text.starts_with(['+', '#']);
                if !is_hidden && matches(&pattern, &levels) {
                    set[number / 64] |= 1 << (number % 64);
                }
            }
            set
        })
    }
}

/// A small generator with a seed, so that a failure can be had again (Numerical Recipes' constants).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides as u64) as usize
    }

    /// A filter of one to three levels; a pattern has placeholders too.
    fn filter(&mut self, is_pattern: bool) -> String {
        let depth = 1 + self.throw(TOPIC_LEVELS - 1);
        let mut levels: Vec<&str> = Vec::new();
        for at in 0..depth {
            let is_first = at == 0 && self.throw(12) == 0;
            levels.push(match self.throw(if is_pattern { 9 } else { 7 }) {
                0..3 if is_first => "$SYS",
                letter @ 0..3 => LETTERS[letter],
                3 | 4 => "+",
                5 | 6 if at + 1 == depth => "#",
                7 => "{user}",
                8 => "{client}",
                _ => "a",
            });
        }
        if levels == ["$SYS"] {
            levels.push("#");
        }
        levels.join("/")
    }
}

struct Rule {
    written: Vec<String>,
    read: Vec<Pattern>,
}

impl Rule {
    fn some(dice: &mut Dice, most: usize, purpose: For) -> Self {
        let mut written: Vec<String> = (0..dice.throw(most + 1)).map(|_| dice.filter(true)).collect();
        written.retain(|text| Pattern::new(text, purpose).is_ok());
        let read = written.iter().map(|text| Pattern::new(text, purpose).unwrap()).collect();
        Self { written, read }
    }

    /// The rule with names in place of placeholders; without a name an allowing one is left out and a denying one is any.
    fn meant(&self, user: Option<&str>, client: Option<&str>, is_deny: bool) -> Vec<String> {
        let put = |text: &str, placeholder: &str, name: Option<&str>| match name {
            _ if !text.contains(placeholder) => Some(text.to_owned()),
            Some(name) => Some(text.replace(placeholder, name)),
            None => is_deny.then(|| text.replace(placeholder, "+")),
        };
        let both = |text: &String| put(&put(text, "{user}", user)?, "{client}", client);
        self.written.iter().filter_map(both).collect()
    }
}

fn is_within(inner: &Topics, outer: &Topics) -> bool {
    inner.iter().zip(outer).all(|(inner, outer)| inner & !outer == 0)
}

fn meet(one: &Topics, other: &Topics) -> bool {
    one.iter().zip(other).any(|(one, other)| one & other != 0)
}

/// What rules mean for one who asks, as the oracle tells it.
struct Meaning {
    allow: Vec<Topics>,
    deny: Vec<Topics>,
}

impl Meaning {
    fn new(oracle: &mut Oracle, allow: &Rule, deny: &Rule, user: Option<&str>, client: Option<&str>) -> Self {
        let mut topics = |rule: &Rule, is_deny| -> Vec<Topics> {
            rule.meant(user, client, is_deny).iter().map(|text| oracle.of(text).clone()).collect()
        };
        Self { allow: topics(allow, false), deny: topics(deny, true) }
    }

    fn may_watch(&self, wanted: &Topics) -> bool {
        self.allow.iter().any(|allow| is_within(wanted, allow)) && !self.deny.iter().any(|deny| meet(wanted, deny))
    }

    fn may_have(&self, topic: usize) -> bool {
        let has = |set: &Topics| set[topic / 64] & (1 << (topic % 64)) != 0;
        self.allow.iter().any(has) && !self.deny.iter().any(has)
    }
}

#[test]
fn class_1_acl_by_wildcard_overlap() {
    const RULES: usize = 10_000;
    const FILTERS: usize = 110;
    let mut dice = Dice(0x00ac_ce55);
    let mut oracle = Oracle { topics: world(), known: HashMap::new() };
    let (mut cases, mut granted) = (0_u64, 0_u64);
    for round in 0..RULES {
        let (allow, deny) = (Rule::some(&mut dice, 4, For::Watching), Rule::some(&mut dice, 2, For::Watching));
        let user = [Some("a"), Some("b"), None, Some("+")][dice.throw(4)];
        let client = [Some("b"), None, Some("a/b")][dice.throw(3)];
        let role = Role { subscribe: allow.read.clone(), deny_subscribe: deny.read.clone(), ..Role::default() };
        let rules = Rules::new([("r", &role)]).unwrap();
        let who = Asker::new(rules.set(&["r".into()]), user, client);
        // A name that means more than itself is none.
        let meaning =
            Meaning::new(&mut oracle, &allow, &deny, user.filter(|n| *n != "+"), client.filter(|n| *n == "b"));
        for _ in 0..FILTERS {
            let text = dice.filter(false);
            // One in four as a shared subscription: the group's name must change nothing.
            let asked =
                if dice.throw(4) == 0 { format!("$share/{}/{text}", LETTERS[dice.throw(3)]) } else { text.clone() };
            let filter = judged(&asked).unwrap();
            let may = rules.may_watch(&who, &filter);
            let said =
                format!("round {round}: {text} by {:?} but {:?} as {user:?} {client:?}", allow.written, deny.written);
            assert_eq!(may, meaning.may_watch(oracle.of(&text)), "{said}");
            cases += 1;
            granted += u64::from(may);
        }
    }
    assert!(cases >= 1_000_000 && granted >= cases / 20, "{granted} of {cases}: too few to say anything");
}

#[test]
fn class_1_publishing_by_wildcard_overlap() {
    const RULES: usize = 1_500;
    let mut dice = Dice(0x00ac_ce56);
    let mut oracle = Oracle { topics: world(), known: HashMap::new() };
    let topics: Vec<Topic> = oracle.topics.iter().map(|text| Topic::new(text.as_str()).unwrap()).collect();
    let mut cases = 0_u64;
    for _ in 0..RULES {
        let (allow, deny) = (Rule::some(&mut dice, 4, For::Publishing), Rule::some(&mut dice, 2, For::Publishing));
        let user = [Some("a"), None][dice.throw(2)];
        let role = Role { publish: allow.read.clone(), deny_publish: deny.read.clone(), ..Role::default() };
        let rules = Rules::new([("r", &role)]).unwrap();
        let who = Asker::new(rules.set(&["r".into()]), user, None);
        let meaning = Meaning::new(&mut oracle, &allow, &deny, user, None);
        for (number, topic) in topics.iter().enumerate() {
            let said = format!("{topic} by {:?} but {:?} as {user:?}", allow.written, deny.written);
            assert_eq!(rules.may_publish(&who, topic), meaning.may_have(number), "{said}");
            cases += 1;
        }
    }
    assert!(cases >= 1_000_000);
}

#[test]
fn what_is_explained_is_what_is_decided() {
    let mut dice = Dice(0x00ac_ce58);
    let mut because = HashMap::new();
    for _ in 0..4_000 {
        let (allow, deny) = (Rule::some(&mut dice, 4, For::Watching), Rule::some(&mut dice, 2, For::Watching));
        let role = Role { subscribe: allow.read.clone(), deny_subscribe: deny.read.clone(), ..Role::default() };
        let rules = Rules::new([("anonymous", &role)]).unwrap();
        let policy = Policy::new(Openness::Rules, rules, Users::default(), None);
        let who = Principal::anonymous().with_client("b");
        for _ in 0..20 {
            let filter = Filter::new(dice.filter(false)).unwrap();
            let ask = Ask::Watch(&filter);
            let explained = policy.explain(&who, ask, || Time(0));
            assert_eq!(explained.is_allowed, policy.may_watch(&who, &filter, || Time(0)), "{filter}: {explained:?}");
            assert_eq!(explained.rules.len(), allow.read.len() + deny.read.len());
            let written = explained.rules.iter().all(|rule| {
                let from = if rule.denies { &deny.written } else { &allow.written };
                from.contains(&rule.pattern) && rule.role == "anonymous"
            });
            assert!(written, "{explained:?}");
            *because.entry(explained.because.word()).or_insert(0) += 1;
        }
    }
    assert!(["allowed", "denied", "no_rule"].iter().all(|word| because[word] > 1_000), "{because:?}");
}

/// Which is what the property comes down to: whatever a permitted watch is told was permitted.
#[test]
fn class_1_what_is_delivered_is_allowed() {
    let mut dice = Dice(0x00ac_ce57);
    let mut oracle = Oracle { topics: world(), known: HashMap::new() };
    let topics = oracle.topics.clone();
    let mut delivered = 0_u64;
    while delivered < 1_000_000 {
        let (allow, deny) = (Rule::some(&mut dice, 4, For::Watching), Rule::some(&mut dice, 2, For::Watching));
        let role = Role { subscribe: allow.read.clone(), deny_subscribe: deny.read.clone(), ..Role::default() };
        let rules = Rules::new([("r", &role)]).unwrap();
        let who = Asker::new(rules.set(&["r".into()]), Some("a"), Some("b"));
        let meaning = Meaning::new(&mut oracle, &allow, &deny, Some("a"), Some("b"));
        for _ in 0..20 {
            let filter = Filter::new(dice.filter(false)).unwrap();
            if !rules.may_watch(&who, &filter) {
                continue;
            }
            for (number, topic) in topics.iter().enumerate().filter(|(_, topic)| filter.matches(topic)) {
                assert!(
                    meaning.may_have(number),
                    "{topic} by {filter} with {:?} but {:?}",
                    allow.written,
                    deny.written
                );
                delivered += 1;
            }
        }
    }
}
