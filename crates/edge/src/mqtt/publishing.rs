//! Publications of a client: judged one by one, handed to the hub in runs, answered in order.

use headwater_event::{Event, EventId, Publication, Refusal, Text, Time, Topic};

use super::connection::Connection;
use super::front::Counts;
use super::headers;
use super::keep;
use super::owed::Answer;
use super::packet::{AckKind, Publish, Qos, Reason, Version, encode_ack};
use super::refusal;

/// The publications of one read that have passed, on their way to the hub.
#[derive(Default)]
pub(super) struct Run {
    /// To be kept.
    batch: Vec<Publication>,
    answers: Vec<Answer>,
    /// How many of the answers are PUBACKs.
    acknowledgements: usize,
    bytes: usize,
    /// A packet id of QoS 2 is among them.
    has_qos_2: bool,
    /// To be told to those who watch, and kept nowhere.
    passing: Vec<Event>,
}

/// Why a publication isn't taken.
enum No {
    /// Its acknowledgement can say so.
    Refused(Reason),
    /// The connection must end.
    Fault(Reason, &'static str),
}

impl Connection {
    pub(super) fn on_publish(&mut self, publish: Publish, run: &mut Run) {
        Counts::add(&self.front.counts.publications);
        let (qos, id) = (publish.qos, publish.packet_id);
        match self.judge(publish, run) {
            Ok(()) => {}
            Err(No::Fault(reason, why)) => self.fail(reason, why),
            Err(No::Refused(reason)) => self.refuse(qos, id, reason, run),
        }
    }

    fn judge(&mut self, publish: Publish, run: &mut Run) -> Result<(), No> {
        let (qos, id) = (publish.qos, publish.packet_id);
        if qos == Qos::ExactlyOnce && self.about.session.open.contains(&id) {
            // Received before, and not yet released: it's the same publication (section 4.3.3).
            self.hand_in(run);
            let mut packet = Vec::new();
            encode_ack(AckKind::PubRec, self.about.version, id, Reason::SUCCESS, &mut packet);
            self.unfinished().owed.said(packet);
            return Ok(());
        }
        self.keep_to_receive_maximum(qos, run)?;
        let topic = self.topic_of(&publish)?;
        let len = publish.payload.len();
        let checked = self.front.hub.precheck(self.outlet.who(), &topic, len);
        checked.map_err(|refusal| No::Refused(refusal::publish_reason(&refusal)))?;
        // Other edges, as groups, hear of nothing but what is in the log.
        let is_heard_there = self.front.elsewhere.is_some();
        let is_wanted_by_group = qos == Qos::AtMostOnce && self.front.shares.want(topic.as_str());
        let is_kept = qos > Qos::AtMostOnce || publish.retain || is_wanted_by_group || is_heard_there;
        // A state may be met by a subscription that is yet to come; 3.1.1 has none that leaves one's own out.
        let may_be_met = publish.retain && self.about.version == Version::V5;
        let from = (self.about.is_marking || may_be_met).then(|| self.mark().clone());
        // What is told once and kept nowhere has QoS 0 anyway.
        let kept_qos = if is_kept { qos } else { Qos::AtLeastOnce };
        let headers =
            headers::of_publication(kept_qos, publish.properties.as_deref(), from.as_ref()).map_err(No::Refused)?;
        let event = Event { id: id_of(&publish)?, topic, headers, payload: publish.payload, at: Time::default() };
        if !is_kept {
            run.passing.push(event);
            return Ok(());
        }
        run.bytes += len;
        run.batch.push(Publication { event, sticky: publish.retain });
        run.acknowledgements += usize::from(qos == Qos::AtLeastOnce);
        run.answers.push(match qos {
            Qos::AtMostOnce => Answer::None,
            Qos::AtLeastOnce => Answer::Acknowledge(id),
            Qos::ExactlyOnce => Answer::Receive(id),
        });
        if qos == Qos::ExactlyOnce {
            run.has_qos_2 = true;
            self.about.session.open.insert(id);
        }
        Ok(())
    }

    /// This client's mark: the same on all of its connections.
    pub(super) fn mark(&mut self) -> &Text {
        let key = self.claim.key();
        self.about.mark.get_or_insert_with(|| keep::mark_of(key))
    }

    /// More publications under way than we said we'd take are a fault (MQTT 5.0 section 3.3.4); 3.1.1 has no such word, and
    /// its clients are left to wait.
    fn keep_to_receive_maximum(&self, qos: Qos, run: &Run) -> Result<(), No> {
        let owed = self.open.as_ref().map_or(0, |open| open.owed.acknowledgements()) + run.acknowledgements;
        // Those of QoS 2 are under way until they're released, long after PUBREC was sent (section 4.9).
        let under_way = owed + self.about.session.open.len();
        let max = usize::from(self.front.settings.in_flight_max);
        if qos > Qos::AtMostOnce && self.about.version == Version::V5 && under_way >= max {
            return Err(No::Fault(Reason::RECEIVE_MAXIMUM_EXCEEDED, "more publications under way than may be"));
        }
        Ok(())
    }

    /// The topic, by its name or by the number that the client gave to it (section 3.3.2.3.4).
    fn topic_of(&mut self, publish: &Publish) -> Result<Topic, No> {
        let alias = publish.properties.as_ref().and_then(|properties| properties.topic_alias);
        let named = match publish.topic.is_empty() {
            true => None,
            false => Some(Topic::new(publish.topic.clone()).map_err(|_| No::Refused(Reason::TOPIC_NAME_INVALID))?),
        };
        let Some(alias) = alias else {
            return named.ok_or(No::Fault(Reason::PROTOCOL_ERROR, "a publication without a topic"));
        };
        if alias == 0 || alias > super::greeting::TOPIC_ALIAS_MAX {
            return Err(No::Fault(Reason::TOPIC_ALIAS_INVALID, "a topic alias beyond the maximum"));
        }
        let at = usize::from(alias) - 1;
        match named {
            Some(topic) => {
                if self.about.aliases.len() <= at {
                    self.about.aliases.resize(at + 1, None);
                }
                self.about.aliases[at] = Some(topic.detached());
                Ok(topic)
            }
            None => self
                .about
                .aliases
                .get(at)
                .cloned()
                .flatten()
                .ok_or(No::Fault(Reason::PROTOCOL_ERROR, "a topic alias that was never given a topic")),
        }
    }

    /// Says no to one publication, where there is a word for it.
    fn refuse(&mut self, qos: Qos, id: u16, reason: Reason, run: &mut Run) {
        if self.about.version == Version::V5 && qos > Qos::AtMostOnce {
            // Those before it are answered before it.
            self.hand_in(run);
            let kind = if qos == Qos::AtLeastOnce { AckKind::PubAck } else { AckKind::PubRec };
            let mut packet = Vec::new();
            encode_ack(kind, Version::V5, id, reason, &mut packet);
            self.unfinished().owed.said(packet);
            return;
        }
        Counts::add(&self.front.counts.refused_silently);
        if qos > Qos::AtMostOnce {
            // 3.1.1: a positive acknowledgement would be a lie, so the connection ends (section 3.3.5).
            self.hand_in(run);
            self.close_for_want_of_words();
        }
    }

    /// Hands to the hub what has gathered.
    pub(super) fn hand_in(&mut self, run: &mut Run) {
        let Run { batch, answers, acknowledgements: _, bytes, has_qos_2, passing } = std::mem::take(run);
        if !passing.is_empty() {
            self.pass(passing);
        }
        if batch.is_empty() {
            return;
        }
        let (hub, session) = (&self.front.hub, &self.about.session);
        let entered = if has_qos_2 && session.is_kept() {
            // That it was received must be known whenever it is stored: one without the other stores it twice.
            hub.publish_with_note(self.outlet.who(), batch, keep::keep(hub, session, None))
        } else {
            hub.publish(self.outlet.who(), batch)
        };
        match entered {
            Ok(durable) => self.unfinished().owed.published(durable, answers, bytes),
            Err(refusal) => self.refuse_run(&answers, &refusal),
        }
    }

    /// The hub refused a whole run.
    fn refuse_run(&mut self, answers: &[Answer], refusal: &Refusal) {
        let reason = refusal::publish_reason(refusal);
        for answer in answers {
            let (qos, id) = match answer {
                Answer::None => (Qos::AtMostOnce, 0),
                Answer::Acknowledge(id) => (Qos::AtLeastOnce, *id),
                Answer::Receive(id) => {
                    self.about.session.open.remove(id);
                    (Qos::ExactlyOnce, *id)
                }
            };
            self.refuse(qos, id, reason, &mut Run::default());
        }
    }

    fn pass(&mut self, events: Vec<Event>) {
        let hub = &self.front.hub;
        if hub.pass(self.outlet.who(), events).is_err() {
            Counts::add(&self.front.counts.refused_silently);
        }
        if !hub.has_room_to_pass() {
            let hub = std::sync::Arc::clone(hub);
            self.unfinished().room = Some(Box::pin(async move { hub.room_to_pass().await }));
        }
    }
}

/// The publisher's own name for the event, where it gave one.
fn id_of(publish: &Publish) -> Result<EventId, No> {
    let named = publish.properties.as_ref().and_then(|properties| {
        properties.user_properties.iter().find(|(name, _)| name.as_str() == headers::EVENT_ID).map(|(_, id)| id)
    });
    match named {
        Some(id) => EventId::from_text(id.detached()).map_err(|_| No::Refused(Reason::IMPLEMENTATION_SPECIFIC_ERROR)),
        None => Ok(EventId::generate()),
    }
}
