//! SUBSCRIBE and UNSUBSCRIBE: what is granted, from where it begins, and that it's known after a crash before it's answered.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_event::{Filter, Later, Position, Receipts, Refusal, Text};
use headwater_hub::{From, Hub, Outlet, Standing, Watch, WatchError, WatchId, WhenBehind};

use super::connection::Connection;
use super::greeting::takes;
use super::packet::{Qos, Reason, RetainHandling, SubAck, Subscribe, SubscribeOptions, TooLong, split_shared, varint};
use super::refusal;
use super::session::Subscription;
use super::shares::{Share, group_name};
use super::spelling::{Kind, Spelling};

/// What has begun, by the filter as it was written; or that nothing has, as the session can't be saved.
pub(super) type Begun = Result<Vec<(Text, Began)>, Refusal>;

/// A subscription at work.
pub(super) enum Began {
    Watch(WatchId),
    Share(Share),
    /// It could not begin after all.
    Not(Refusal),
    /// A right was taken back while the client was away: the session keeps the subscription, and nothing is delivered.
    Withheld,
    /// The deliveries of the leftover of this number.
    Leftover(usize, WatchId),
}

/// A subscription that is to begin.
pub(super) struct Beginning {
    pub(super) written: Text,
    pub(super) filter: Filter,
    pub(super) group: Option<headwater_event::GroupName>,
    pub(super) from: From,
    pub(super) again: Vec<u64>,
    pub(super) wants_states: bool,
    /// The events begin elsewhere, or go on: only the states are wanted beside them.
    pub(super) is_only_states: bool,
    /// Only what an earlier connection was given and didn't acknowledge is wanted, for the leftover of this number.
    pub(super) leftover: Option<usize>,
    /// The watch that it replaces: what is under way for that one is taken over.
    pub(super) instead_of: Option<WatchId>,
    /// It was granted on an earlier connection.
    pub(super) is_resumed: bool,
    pub(super) kind: Kind,
}

impl Connection {
    pub(super) fn on_subscribe(&mut self, subscribe: Subscribe) {
        if self.is_answer_too_large(subscribe.filters.len()) {
            return;
        }
        let mut reasons = Vec::with_capacity(subscribe.filters.len());
        let mut beginnings = Vec::new();
        for (filter, options) in &subscribe.filters {
            match self.grant(filter, *options, subscribe.id.unwrap_or(0), &mut beginnings) {
                Ok(()) => reasons.push(Reason::granted(options.qos)),
                Err(reason) => reasons.push(reason),
            }
        }
        let mut answer = Vec::new();
        let suback = SubAck { packet_id: subscribe.packet_id, reasons, explanation: None };
        written(suback.encode(self.about.version, &mut answer));
        if beginnings.is_empty() {
            return self.answer_noted(answer);
        }
        self.begin(beginnings, answer);
    }

    /// Judges one subscription; what is granted is in the session from here on.
    fn grant(
        &mut self,
        written: &Text,
        options: SubscribeOptions,
        id: u32,
        beginnings: &mut Vec<Beginning>,
    ) -> Result<(), Reason> {
        let (group, filter) = self.read_filter(written)?;
        let may = self.front.hub.may_watch(self.outlet.who(), &filter);
        may.map_err(|refusal| refusal::reason(&refusal))?;
        let found = self.about.session.find(written);
        if found.is_err() && self.about.session.subscriptions.len() >= self.front.settings.subscriptions_max {
            return Err(Reason::QUOTA_EXCEEDED);
        }
        self.about.is_marking |= options.no_local;
        let head = self.front.hub.head();
        let wants_states = group.is_none()
            && match options.retain_handling {
                RetainHandling::Always => true,
                RetainHandling::WhenNew => found.is_err(),
                RetainHandling::Never => false,
            };
        let kind = self.kind(options, id);
        let mut subscription = Subscription {
            written: written.detached(),
            filter: filter.clone(),
            group: group.clone(),
            options,
            id,
            watch: None,
            standing: Standing { up_to: head.seq, again: Vec::new(), has_states: wants_states },
        };
        let mut beginning = Beginning {
            written: subscription.written.clone(),
            filter,
            group: group.clone(),
            from: From::Now,
            again: Vec::new(),
            wants_states,
            is_only_states: false,
            leftover: None,
            instead_of: None,
            is_resumed: false,
            kind,
        };
        match found {
            Ok(at) => {
                let share = self.about.shares.iter().find(|(of, _)| of == written);
                if let Some((_, share)) = share {
                    // It goes on as it is, but for how it's told; what is under way isn't sent again.
                    share.respell(Spelling::new(beginning.kind, self.front.hub.clock().clone()));
                    self.about.session.subscriptions[at] = subscription;
                    return Ok(());
                }
                self.go_on_from(at, &mut subscription, &mut beginning);
                self.about.session.subscriptions[at] = subscription;
            }
            Err(at) => {
                if let Some(group) = &group {
                    self.front.shares.enter(group, &subscription.filter);
                }
                if self.about.session.subscriptions.is_empty() {
                    // Most clients have one, and a vector would make room for four.
                    self.about.session.subscriptions.reserve_exact(1);
                }
                self.about.session.subscriptions.insert(at, subscription);
            }
        }
        if beginning.is_only_states || (beginning.wants_states && beginning.from != From::Now) {
            beginnings.push(beginning.states_alone());
            beginning.wants_states = false;
        }
        beginnings.push(beginning);
        Ok(())
    }

    /// A subscription that replaces one of the same filter loses nothing of what that one hadn't told (section 3.8.4).
    fn go_on_from(&mut self, at: usize, subscription: &mut Subscription, beginning: &mut Beginning) {
        let Some(watch) = self.about.session.subscriptions[at].watch else { return };
        self.take_standings();
        let Some(standing) = self.outlet.standing(watch) else { return };
        self.outlet.unwatch(watch);
        beginning.instead_of = Some(watch);
        if subscription.options.qos > Qos::AtMostOnce {
            beginning.from = From::After(Position { seq: standing.up_to, ..self.front.hub.head() });
            beginning.again = standing.again;
            // What is under way now stays under way, and isn't sent again on this connection; on the next one it would be.
            subscription.standing = self.about.session.subscriptions[at].standing.clone();
        }
    }

    /// `$share/NAME/FILTER` apart; the decoder has seen to its form.
    fn read_filter(&self, written: &Text) -> Result<(Option<headwater_event::GroupName>, Filter), Reason> {
        let (share, filter) = match split_shared(written) {
            Some((share, filter)) => (Some(share), filter),
            None => (None, written.as_str()),
        };
        let filter = Filter::new(filter).map_err(|_| Reason::TOPIC_FILTER_INVALID)?;
        let group = match share {
            Some(share) => Some(group_name(share, filter.as_str()).ok_or(Reason::TOPIC_FILTER_INVALID)?),
            None => None,
        };
        Ok((group, filter))
    }

    /// How a subscription of these options is told what happens.
    pub(super) fn kind(&mut self, options: SubscribeOptions, id: u32) -> Kind {
        Kind {
            version: self.about.version,
            options,
            id,
            not_from: options.no_local.then(|| self.mark().clone()),
            packet_len_max: self.about.packet_len_max,
            is_framed: self.wire.is_framed(),
            is_told: self.about.is_told,
        }
    }

    /// Saves the session, then lets the subscriptions begin, the first one behind the answer.
    fn begin(&mut self, beginnings: Vec<Beginning>, answer: Vec<u8>) {
        let noted = self.note_session();
        // Answers of earlier packets come before this one.
        let answer = self.wire.frame(answer);
        let later = begin_all(Arc::clone(&self.front.hub), Arc::clone(&self.outlet), noted, beginnings, answer);
        self.unfinished().beginning = Some(Box::pin(later));
    }

    /// Goes on with the subscriptions of a session that was kept. `standing` says from where each goes on.
    pub(super) fn resume(&mut self) {
        let head = self.front.hub.head();
        let mut beginnings = Vec::new();
        for at in 0..self.about.session.subscriptions.len() {
            let Subscription { written, filter, group, options, id, standing, .. } =
                self.about.session.subscriptions[at].clone();
            self.about.is_marking |= options.no_local;
            let is_kept = options.qos > Qos::AtMostOnce && group.is_none();
            let beginning = Beginning {
                written,
                filter,
                group,
                from: if is_kept { From::After(Position { seq: standing.up_to, ..head }) } else { From::Now },
                again: if is_kept { standing.again } else { Vec::new() },
                wants_states: false,
                is_only_states: false,
                leftover: None,
                instead_of: None,
                is_resumed: true,
                kind: self.kind(options, id),
            };
            if standing.has_states {
                beginnings.push(beginning.states_alone());
            }
            beginnings.push(beginning);
        }
        self.resume_leftovers(head, &mut beginnings);
        if beginnings.is_empty() {
            return;
        }
        let later = begin_all(Arc::clone(&self.front.hub), Arc::clone(&self.outlet), None, beginnings, Bytes::new());
        self.unfinished().beginning = Some(Box::pin(later));
    }

    /// Goes on with subscriptions that are beginning.
    pub(super) fn poll_beginning(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(open) = self.open.as_mut().filter(|open| open.held.is_none() && open.owed.is_empty()) else {
            return false;
        };
        let Some(beginning) = &mut open.beginning else { return false };
        let Poll::Ready(begun) = beginning.as_mut().poll(cx) else { return false };
        open.beginning = None;
        match begun {
            Ok(begun) => begun.into_iter().for_each(|(written, began)| self.has_begun(written, began)),
            Err(_) => self.fail(Reason::UNSPECIFIED_ERROR, "the session can't be saved"),
        }
        let groups = self.about.session.groups().map(|subscription| subscription.filter.clone()).collect();
        self.outlet.shares(groups);
        true
    }

    fn has_begun(&mut self, written: Text, began: Began) {
        match began {
            Began::Watch(id) => {
                if let Ok(at) = self.about.session.find(&written) {
                    self.about.session.subscriptions[at].watch = Some(id);
                }
            }
            Began::Leftover(number, id) => {
                let leftovers = &mut self.about.session.leftovers;
                if let Some(leftover) = leftovers.iter_mut().find(|leftover| leftover.number == Some(number)) {
                    leftover.of.watch = Some(id);
                }
            }
            Began::Share(share) => self.about.shares.push((written, share)),
            Began::Withheld => tracing::info!(
                client = self.claim.key().client(),
                filter = written.as_str(),
                "a subscription that isn't allowed any more is withheld"
            ),
            Began::Not(why) => {
                // A right was taken back meanwhile, or the log can't be read: the client must not believe it's subscribed.
                tracing::info!(filter = written.as_str(), %why, "a subscription could not begin");
                self.fail(refusal::reason(&why), "a subscription could not begin");
            }
        }
    }

    /// An answer has a byte for each filter. Where the client takes no packet of that size it can't be answered, and must
    /// not believe that nothing came of it: the connection ends.
    pub(super) fn is_answer_too_large(&mut self, filters: usize) -> bool {
        // Its packet id, and that there are no properties.
        let body = 2 + 1 + filters;
        let head = 1 + varint::len(u32::try_from(body).unwrap_or(varint::MAX));
        let is_too_large = !takes(self.about.packet_len_max, head + body);
        if is_too_large {
            self.fail(Reason::PACKET_TOO_LARGE, "the answer to so many filters is larger than you take");
        }
        is_too_large
    }

    /// Answers once the session is saved, where it is kept.
    pub(super) fn answer_noted(&mut self, answer: Vec<u8>) {
        match self.note_session() {
            Some(durable) => self.unfinished().owed.noted(durable, answer),
            None => self.unfinished().owed.said(answer),
        }
    }
}

impl Beginning {
    /// The states of the same subscription, without its events.
    fn states_alone(&self) -> Self {
        Self {
            written: self.written.clone(),
            filter: self.filter.clone(),
            group: None,
            from: From::Now,
            again: Vec::new(),
            wants_states: true,
            is_only_states: true,
            leftover: None,
            instead_of: None,
            is_resumed: self.is_resumed,
            kind: self.kind.clone(),
        }
    }

    fn watch(&self, clock: &headwater_event::Clock) -> Watch {
        Watch {
            filter: self.filter.clone(),
            from: self.from,
            sticky: self.wants_states,
            encoder: Spelling::shared(self.kind.clone(), clock.clone()),
            behind: WhenBehind::CatchUp,
            again: self.again.clone(),
            is_only_states: self.is_only_states,
            is_only_again: self.leftover.is_some(),
        }
    }
}

async fn begin_all(
    hub: Arc<Hub>,
    outlet: Arc<Outlet>,
    noted: Option<Later<'static, Result<Receipts, Refusal>>>,
    beginnings: Vec<Beginning>,
    answer: Bytes,
) -> Begun {
    if let Some(noted) = noted {
        noted.await?;
    }
    let mut begun = Vec::with_capacity(beginnings.len());
    let mut answer = Some(answer);
    for beginning in beginnings {
        if let Some(group) = &beginning.group {
            if let Some(answer) = answer.take()
                && outlet.send(answer).is_err()
            {
                // The client doesn't read its answers: it can't be told that this subscription begins.
                return Err(Refusal::Unavailable);
            }
            let spelling = Spelling::new(beginning.kind.clone(), hub.clock().clone());
            let share = Share::begin(&hub, &outlet, group, &beginning.filter, spelling).await;
            let is_resumed = beginning.is_resumed;
            begun.push((beginning.written, share.map_or_else(|why| not(why, is_resumed), Began::Share)));
            continue;
        }
        let began = begin_watch(&hub, &outlet, &beginning, &mut answer).await;
        if !beginning.is_only_states {
            let is_resumed = beginning.is_resumed;
            let began = match (began, beginning.leftover) {
                (Ok(id), Some(number)) => Began::Leftover(number, id),
                // Not allowed any more, or retention has freed all of it.
                (Err(_), Some(_)) => Began::Withheld,
                (Ok(id), None) => Began::Watch(id),
                (Err(why), None) => not(why, is_resumed),
            };
            begun.push((beginning.written, began));
        }
    }
    Ok(begun)
}

/// A subscription could not begin. One that was granted earlier waits for its right to come back.
fn not(why: Refusal, is_resumed: bool) -> Began {
    if is_resumed && why == Refusal::NotAllowed { Began::Withheld } else { Began::Not(why) }
}

async fn begin_watch(
    hub: &Hub,
    outlet: &Outlet,
    beginning: &Beginning,
    answer: &mut Option<Bytes>,
) -> Result<WatchId, Refusal> {
    let mut watch = beginning.watch(hub.clock());
    loop {
        let asked = watch.clone();
        let begun = outlet.watch_after(asked, |_, _| answer.take().unwrap_or_default()).await;
        match begun {
            Ok(id) => {
                if let Some(ended) = beginning.instead_of {
                    outlet.adopt(ended, id);
                }
                tell_own_states(hub, outlet, beginning);
                return Ok(id);
            }
            // Retention has freed what the client missed: it goes on with what there is.
            Err(WatchError::Gone { oldest }) if watch.from != From::After(oldest) => {
                watch.from = From::After(oldest);
                watch.again.retain(|seq| *seq > oldest.seq);
            }
            Err(WatchError::NoSuchPosition { head }) if watch.from != From::After(head) => {
                watch.from = From::After(head);
                watch.again.clear();
            }
            Err(WatchError::Refusal(refusal)) => return Err(refusal),
            Err(_) => return Err(Refusal::Unavailable),
        }
    }
}

/// The hub's own topics have no sticky events: what it said of them last is told in their place.
fn tell_own_states(hub: &Hub, outlet: &Outlet, beginning: &Beginning) {
    if !beginning.wants_states {
        return;
    }
    let spelling = Spelling::new(beginning.kind.clone(), hub.clock().clone());
    for event in hub.announced(&beginning.filter) {
        // They are few and short; a client that has no room for them gets the next ones.
        let _ = outlet.send(spelling.own_state(event).into());
    }
}

impl Reason {
    /// The reason that grants a subscription (MQTT 5.0 section 3.9.3); the return codes of 3.1.1 are the same numbers.
    pub(super) const fn granted(qos: Qos) -> Self {
        match qos {
            Qos::AtMostOnce => Self::SUCCESS,
            Qos::AtLeastOnce => Self::GRANTED_QOS_1,
            Qos::ExactlyOnce => Self::GRANTED_QOS_2,
        }
    }
}

/// An answer of one byte for each filter of a packet that was read fits into a packet.
pub(super) fn written(encoded: Result<(), TooLong>) {
    debug_assert!(encoded.is_ok(), "an answer is shorter than what it answers");
}
