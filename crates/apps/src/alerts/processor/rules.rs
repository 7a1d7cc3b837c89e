//! What a report does to the alert of a place: plain functions from what is known and what came to what is told.
//!
//! | what is active | what comes | what is told, in this order | what is active then |
//! |---|---|---|---|
//! | nothing | a report that ends later than now | `open` | the report |
//! | nothing | a report that is over | `open` | nothing |
//! | A | a report that ends later than A | `open` of the report, `close` with A's first moment and the *new* end | A until the new end |
//! | A | a report of another type that ends no later | `open` of the report, `update` of A | A as "Mixed Threats" |
//! | A | any other report | `open` of the report | A |
//! | A | a revision of A (CAP Update) | `update`, or `all-clear` when it is over | the revision |
//! | A | its end, or a CAP Cancel | `all-clear` | nothing |
//!
//! An `open` has the type of its report. `close` and `update` speak of all of A: their type is "Mixed Threats" as soon as
//! reports of different types have come together in it.

use headwater_event::Time;

/// The type of an alert in which reports of different types have come together.
pub const MIXED: &str = "Mixed Threats";

/// What one event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A report came.
    Open,
    /// The alert that was there goes on until a later end.
    Close,
    /// The alert that is there is another one now.
    Update,
    /// It is over.
    AllClear,
    /// One may come.
    PreAlert,
    /// None came, or it's there.
    PreAlertEnd,
}

impl Word {
    /// As clients read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Close => "close",
            Self::Update => "update",
            Self::AllClear => "all-clear",
            Self::PreAlert => "pre-alert",
            Self::PreAlertEnd => "pre-alert-end",
        }
    }

    /// The last level of its topic: what only one who wants it hears.
    pub const fn level(self) -> &'static str {
        match self {
            Self::Open | Self::Close => "alert",
            Self::Update => "update",
            Self::AllClear => "all-clear",
            Self::PreAlert | Self::PreAlertEnd => "pre-alert",
        }
    }
}

/// What is known of a place where something is active, and what a report says: of one kind, since then, until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The type.
    pub kind: String,
    /// When it was sent first, as its source wrote it.
    pub sent: String,
    /// When it ends.
    pub ends: Time,
}

/// One event to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What it says.
    pub word: Word,
    /// Of what.
    pub alert: Alert,
    /// Whether it is how things stand now, for those who come later.
    pub is_state: bool,
}

/// What follows from something that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What is told, in this order.
    pub told: Vec<Told>,
    /// What is active from now on.
    pub active: Option<Alert>,
}

/// A report.
pub fn report(active: Option<Alert>, report: Alert, now: Time) -> Verdict {
    let Some(active) = active.filter(|active| active.ends > now) else {
        let is_active = report.ends > now;
        let told = vec![tell(Word::Open, &report, is_active)];
        return Verdict { told, active: is_active.then_some(report) };
    };
    let is_longer = report.ends > active.ends;
    let is_over = report.ends <= now;
    let kind = if is_over { active.kind.clone() } else { together(&active.kind, &report.kind) };
    let is_changed = kind != active.kind;
    let ends = active.ends.max(report.ends);
    let all = Alert { kind, sent: active.sent, ends };
    let mut told = vec![tell(Word::Open, &report, false)];
    if is_longer {
        told.push(tell(Word::Close, &all, true));
    } else if is_changed {
        told.push(tell(Word::Update, &all, true));
    }
    Verdict { told, active: Some(all) }
}

/// A new version of the alert that is active.
pub fn revise(active: Alert, new: Alert, now: Time) -> Verdict {
    let revised = Alert { sent: active.sent, ..new };
    if revised.ends <= now {
        return end(revised);
    }
    Verdict { told: vec![tell(Word::Update, &revised, true)], active: Some(revised) }
}

/// It is over.
pub fn end(active: Alert) -> Verdict {
    Verdict { told: vec![tell(Word::AllClear, &active, false)], active: None }
}

/// One may come. A warning that is there already is made longer, never shorter.
pub fn pre_alert(active: Option<Alert>, warning: Alert, now: Time) -> Verdict {
    let all = match active.filter(|active| active.ends > now) {
        None => warning,
        Some(active) => Alert {
            kind: together(&active.kind, &warning.kind),
            sent: active.sent,
            ends: active.ends.max(warning.ends),
        },
    };
    let is_active = all.ends > now;
    Verdict { told: vec![tell(Word::PreAlert, &all, is_active)], active: is_active.then_some(all) }
}

/// A new version of the pre-alert that is active.
pub fn revise_pre_alert(active: Alert, new: Alert, now: Time) -> Verdict {
    let revised = Alert { sent: active.sent, ..new };
    if revised.ends <= now { pre_alert_end(revised) } else { pre_alert(None, revised, now) }
}

/// None came, or it's there.
pub fn pre_alert_end(active: Alert) -> Verdict {
    Verdict { told: vec![tell(Word::PreAlertEnd, &active, false)], active: None }
}

fn together(one: &str, other: &str) -> String {
    if one == other { one.to_owned() } else { MIXED.to_owned() }
}

fn tell(word: Word, alert: &Alert, is_state: bool) -> Told {
    Told { word, alert: alert.clone(), is_state }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(kind: &str, sent: &str, ends: u64) -> Alert {
        Alert { kind: kind.into(), sent: sent.into(), ends: Time(ends) }
    }

    fn told(verdict: &Verdict) -> Vec<(&'static str, &str, &str, u64, bool)> {
        let spell = |told: &'_ Told| (told.word.name(), told.alert.ends.0, told.is_state);
        let texts = verdict.told.iter().map(|told| (told.alert.kind.as_str(), told.alert.sent.as_str()));
        verdict
            .told
            .iter()
            .map(spell)
            .zip(texts)
            .map(|((word, ends, state), (kind, sent))| (word, kind, sent, ends, state))
            .collect()
    }

    const NOW: Time = Time(100);

    #[test]
    fn the_first_report_opens() {
        let verdict = report(None, alert("Fire", "t1", 200), NOW);
        assert_eq!(told(&verdict), [("open", "Fire", "t1", 200, true)]);
        assert_eq!(verdict.active, Some(alert("Fire", "t1", 200)));
    }

    #[test]
    fn a_report_that_is_over_is_told_and_leaves_nothing_behind() {
        let verdict = report(None, alert("Fire", "t1", 100), NOW);
        assert_eq!(told(&verdict), [("open", "Fire", "t1", 100, false)]);
        assert_eq!(verdict.active, None);
    }

    #[test]
    fn a_later_end_opens_and_closes_with_the_first_moment_and_the_new_end() {
        let verdict = report(Some(alert("Fire", "t1", 200)), alert("Fire", "t2", 300), NOW);
        assert_eq!(told(&verdict), [("open", "Fire", "t2", 300, false), ("close", "Fire", "t1", 300, true)]);
        assert_eq!(verdict.active, Some(alert("Fire", "t1", 300)));
    }

    #[test]
    fn different_types_become_mixed_threats_and_stay_so() {
        let verdict = report(Some(alert("Fire", "t1", 200)), alert("Flood", "t2", 300), NOW);
        assert_eq!(told(&verdict), [("open", "Flood", "t2", 300, false), ("close", MIXED, "t1", 300, true)]);
        let verdict = report(verdict.active, alert("Flood", "t3", 400), NOW);
        assert_eq!(told(&verdict), [("open", "Flood", "t3", 400, false), ("close", MIXED, "t1", 400, true)]);
        assert_eq!(verdict.active, Some(alert(MIXED, "t1", 400)));
    }

    #[test]
    fn an_end_that_is_no_later_closes_nothing() {
        for ends in [150, 200] {
            let verdict = report(Some(alert("Fire", "t1", 200)), alert("Fire", "t2", ends), NOW);
            assert_eq!(told(&verdict), [("open", "Fire", "t2", ends, false)]);
            assert_eq!(verdict.active, Some(alert("Fire", "t1", 200)));
        }
    }

    #[test]
    fn another_type_that_ends_no_later_updates_what_is_there() {
        let verdict = report(Some(alert("Fire", "t1", 200)), alert("Flood", "t2", 150), NOW);
        assert_eq!(told(&verdict), [("open", "Flood", "t2", 150, false), ("update", MIXED, "t1", 200, true)]);
        assert_eq!(verdict.active, Some(alert(MIXED, "t1", 200)));
        let verdict = report(Some(alert("Fire", "t1", 200)), alert("Flood", "t2", 90), NOW);
        assert_eq!(told(&verdict), [("open", "Flood", "t2", 90, false)], "what is over mixes with nothing");
    }

    #[test]
    fn what_has_ended_is_no_longer_extended() {
        let verdict = report(Some(alert("Fire", "t1", 100)), alert("Flood", "t2", 300), NOW);
        assert_eq!(told(&verdict), [("open", "Flood", "t2", 300, true)]);
    }

    #[test]
    fn a_revision_replaces_type_and_end_and_may_be_the_end() {
        let verdict = revise(alert("Fire", "t1", 200), alert("Flood", "t2", 150), NOW);
        assert_eq!(told(&verdict), [("update", "Flood", "t1", 150, true)]);
        let verdict = revise(alert("Fire", "t1", 200), alert("Fire", "t2", 100), NOW);
        assert_eq!(told(&verdict), [("all-clear", "Fire", "t1", 100, false)]);
        assert_eq!(verdict.active, None);
    }

    #[test]
    fn a_warning_is_never_an_alert() {
        let verdict = pre_alert(None, alert("Fire", "t1", 200), NOW);
        assert_eq!(told(&verdict), [("pre-alert", "Fire", "t1", 200, true)]);
        let verdict = pre_alert(verdict.active, alert("Flood", "t2", 150), NOW);
        assert_eq!(told(&verdict), [("pre-alert", MIXED, "t1", 200, true)]);
        let revised = revise_pre_alert(verdict.active.clone().unwrap(), alert("Flood", "t3", 120), NOW);
        assert_eq!(told(&revised), [("pre-alert", "Flood", "t1", 120, true)], "a new version may be shorter");
        let over = revise_pre_alert(verdict.active.clone().unwrap(), alert("Flood", "t3", 100), NOW);
        assert_eq!((told(&over)[0].0, &over.active), ("pre-alert-end", &None));
        let verdict = pre_alert_end(verdict.active.unwrap());
        assert_eq!(told(&verdict), [("pre-alert-end", MIXED, "t1", 200, false)]);
        for word in [Word::PreAlert, Word::PreAlertEnd] {
            assert_eq!(word.level(), "pre-alert");
            assert!(word.name().starts_with("pre-alert"));
        }
    }
}
