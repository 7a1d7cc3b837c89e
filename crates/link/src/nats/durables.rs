//! What a group is on the server: a durable pull consumer of each stream, or, where one process is to be alone in it, one after
//! the other.
//!
//! Who takes a place over doesn't share the consumer of the one before, whose requests are still there if it's only frozen, and
//! which would bring what is out late and behind what is new. It makes one of its own, from where the one before had settled
//! all, and then deletes the older ones: what was asked for there ends, and who wakes finds nothing to take or to settle.
//! Their names are numbered and the highest counts, so it doesn't matter where in this somebody dies. What the one before had settled
//! beyond that place comes again.

use std::collections::{BTreeSet, HashMap};

use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, Info};
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::{ConsumerCreateStrictErrorKind, Stream};
use futures_util::StreamExt as _;
use headwater_event::{BusError, Filter, GroupName, GroupOptions, Start};

use super::shared::Shared;
use super::subjects;

/// How many deliveries are asked for at a time.
pub(super) const AT_ONCE: usize = 64;

/// Where a consumer's filters are written down, a line each: its subjects may say more than they do.
const FILTERS: &str = "headwater-filters";

/// Whose consumer it is: two that make one of the same name at once are told apart.
const MAKER: &str = "headwater-maker";

/// How many names the server gives with one answer. Who comes and goes between two answers can hide another.
const NAMES_AT_ONCE: usize = 1_024;

pub(super) type Pull = Consumer<Config>;

/// A group's consumers.
pub(super) struct Durables {
    /// What they are called.
    pub(super) name: String,
    /// Of the log.
    pub(super) events: Pull,
    /// Of the letters that are to be tried again.
    pub(super) again: Pull,
    /// What the group wants.
    pub(super) filters: Vec<Filter>,
}

/// What the consumer of this number is called; 0 is the one that processes share.
fn name_of(token: &str, number: u64) -> String {
    if number == 0 { token.to_owned() } else { format!("{token}~{number}") }
}

/// The number of one of a group's consumers. No group's token has a `~`.
fn number_of(token: &str, name: &str) -> Option<u64> {
    match name.strip_prefix(token)? {
        "" => Some(0),
        rest => rest.strip_prefix('~')?.parse().ok(),
    }
}

/// What stands beside the letters for as long as a group is one that was taken over: without it there's no need to look for
/// numbered names. A consumer, as those outlast all limits of a stream.
fn mark_of(token: &str) -> String {
    format!("{token}~")
}

/// The numbers of a group's consumers.
async fn numbers(shared: &Shared, stream: &Stream, token: &str) -> Result<BTreeSet<u64>, BusError> {
    let mut numbers = BTreeSet::new();
    for pass in 1.. {
        let (mut names, mut count, known) = (stream.consumer_names(), 0, numbers.len());
        while let Some(name) = names.next().await {
            numbers.extend(number_of(token, &name.map_err(|error| shared.storage(error))?));
            count += 1;
        }
        // Of more than one answer each is asked for until nothing more is found.
        if count < NAMES_AT_ONCE || pass > 1 && known == numbers.len() {
            break;
        }
    }
    Ok(numbers)
}

/// How a consumer stands; `None` when there's none.
async fn info(shared: &Shared, stream: &Stream, name: &str) -> Result<Option<Info>, BusError> {
    match stream.consumer_info(name).await {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(None),
        Err(error) => Err(shared.storage(error)),
    }
}

async fn delete(shared: &Shared, stream: &Stream, name: &str) -> Result<(), BusError> {
    match stream.delete_consumer(name).await {
        Ok(_) => Ok(()),
        Err(error) if info(shared, stream, name).await?.is_some() => Err(shared.storage(error)),
        Err(_) => Ok(()),
    }
}

/// What a group's consumer is called that counts now.
pub(super) async fn current(shared: &Shared, group: &GroupName) -> Result<Option<String>, BusError> {
    let token = subjects::group(group);
    if info(shared, &shared.stream, &token).await?.is_some() {
        return Ok(Some(token));
    }
    if info(shared, &shared.letters, &mark_of(&token)).await?.is_none() {
        return Ok(None);
    }
    let highest = numbers(shared, &shared.stream, &token).await?.pop_last();
    Ok(highest.map(|number| name_of(&token, number)))
}

/// The consumer of the log that a group shares, made when there is none.
pub(super) async fn of_log(
    shared: &Shared,
    group: &GroupName,
    options: &GroupOptions,
) -> Result<(Pull, Vec<Filter>), BusError> {
    let token = subjects::group(group);
    let mut known = shared.stream.get_consumer::<Config>(&token).await.ok();
    if known.is_none()
        && let Some(name) = current(shared, group).await?
    {
        known = Some(shared.stream.get_consumer(&name).await.map_err(|error| shared.storage(error))?);
    }
    if let Some(known) = known {
        let filters = filters_of(known.cached_info());
        return Ok((known, filters));
    }
    let config = Config { durable_name: Some(token), ..new_config(shared, options).await? };
    let made = shared.stream.create_consumer(config).await.map_err(|error| shared.storage(error))?;
    Ok((made, options.filters.clone()))
}

/// The consumers that a group's members share, made when there are none.
pub(super) async fn of_all(shared: &Shared, group: &GroupName, options: &GroupOptions) -> Result<Durables, BusError> {
    let (events, filters) = of_log(shared, group, options).await?;
    let name = events.cached_info().name.clone();
    let again = Config { durable_name: Some(name.clone()), ..again_config(shared, group, options) };
    let again = shared.letters.get_or_create_consumer(&name, again).await.map_err(|error| shared.storage(error))?;
    Ok(Durables { name, events, again, filters })
}

/// Takes a group's place over, from whoever had it.
pub(super) async fn of_one(shared: &Shared, group: &GroupName, options: &GroupOptions) -> Result<Durables, BusError> {
    let token = subjects::group(group);
    let mark = mark_of(&token);
    let config = Config {
        durable_name: Some(mark.clone()),
        filter_subject: format!("{}{mark}", subjects::AGAIN),
        ack_policy: AckPolicy::Explicit,
        ..Config::default()
    };
    shared.letters.get_or_create_consumer(&mark, config).await.map_err(|error| shared.storage(error))?;
    let before = numbers(shared, &shared.stream, &token).await?.pop_last();
    let config = match before {
        None => new_config(shared, options).await?,
        Some(number) => {
            let before = info(shared, &shared.stream, &name_of(&token, number)).await?;
            following(shared, options, before.ok_or_else(|| taken(shared))?)
        }
    };
    let number = before.map_or(1, |before| before + 1);
    let name = name_of(&token, number);
    let events = make(shared, &shared.stream, &name, config).await?.ok_or_else(|| taken(shared))?;
    // Whoever was frozen in the midst of this makes one that was there and is gone.
    if numbers(shared, &shared.stream, &token).await?.pop_last() != Some(number) {
        delete(shared, &shared.stream, &name).await?;
        return Err(taken(shared));
    }
    let again = again_of_one(shared, group, options, number).await?;
    for older in numbers(shared, &shared.stream, &token).await?.range(..number) {
        delete(shared, &shared.stream, &name_of(&token, *older)).await?;
    }
    let filters = filters_of(events.cached_info());
    Ok(Durables { name, events, again, filters })
}

/// The same for the letters, by the number that the log has said; what else is there is of those before.
async fn again_of_one(
    shared: &Shared,
    group: &GroupName,
    options: &GroupOptions,
    number: u64,
) -> Result<Pull, BusError> {
    let token = subjects::group(group);
    let name = name_of(&token, number);
    // One of this number is of a group that was ended by halves.
    delete(shared, &shared.letters, &name).await?;
    let before = numbers(shared, &shared.letters, &token).await?;
    let config = match before.last() {
        None => again_config(shared, group, options),
        Some(number) => {
            let before = info(shared, &shared.letters, &name_of(&token, *number)).await?;
            following(shared, options, before.ok_or_else(|| taken(shared))?)
        }
    };
    let made = make(shared, &shared.letters, &name, config).await?.ok_or_else(|| taken(shared))?;
    for other in before {
        delete(shared, &shared.letters, &name_of(&token, other)).await?;
    }
    Ok(made)
}

/// Another process is about the same, and is the one that counts.
fn taken(shared: &Shared) -> BusError {
    shared.storage("has a group that another process is taking over")
}

/// Makes a consumer; `None` when another has.
async fn make(shared: &Shared, stream: &Stream, name: &str, mut config: Config) -> Result<Option<Pull>, BusError> {
    config.durable_name = Some(name.to_owned());
    config.metadata.insert(MAKER.to_owned(), uuid::Uuid::new_v4().to_string());
    match stream.create_consumer_strict(config).await {
        Ok(made) => Ok(Some(made)),
        Err(error) if error.kind() == ConsumerCreateStrictErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(shared.storage(error)),
    }
}

/// Forgets all that a group has.
pub(super) async fn forget(shared: &Shared, group: &GroupName) -> Result<(), BusError> {
    let token = subjects::group(group);
    let is_marked = info(shared, &shared.letters, &mark_of(&token)).await?.is_some();
    for stream in [&shared.stream, &shared.letters] {
        let numbers = if is_marked { numbers(shared, stream, &token).await? } else { BTreeSet::from([0]) };
        for number in numbers {
            delete(shared, stream, &name_of(&token, number)).await?;
        }
    }
    if is_marked {
        delete(shared, &shared.letters, &mark_of(&token)).await?;
    }
    Ok(())
}

fn filters_of(info: &Info) -> Vec<Filter> {
    let written = info.config.metadata.get(FILTERS).map(String::as_str).unwrap_or_default();
    written.lines().filter_map(|line| line.parse().ok()).collect()
}

/// What a group begins with that isn't there.
async fn new_config(shared: &Shared, options: &GroupOptions) -> Result<Config, BusError> {
    let deliver_policy = match options.start {
        Start::Oldest => DeliverPolicy::All,
        Start::Now => DeliverPolicy::ByStartSequence { start_sequence: shared.look().await? + 1 },
        Start::After(seq) => {
            let head = shared.look().await?;
            if seq > head {
                return Err(BusError::NoSuchPosition { head: shared.head() });
            }
            if seq < shared.oldest().seq {
                return Err(BusError::Gone { oldest: shared.oldest() });
            }
            DeliverPolicy::ByStartSequence { start_sequence: seq + 1 }
        }
    };
    let lines: Vec<_> = options.filters.iter().map(ToString::to_string).collect();
    Ok(Config {
        deliver_policy,
        filter_subjects: subjects::of_filters(&options.filters),
        metadata: HashMap::from([(FILTERS.into(), lines.join("\n"))]),
        ..config(shared, options)
    })
}

fn again_config(shared: &Shared, group: &GroupName, options: &GroupOptions) -> Config {
    let filter_subject = format!("{}{}.>", subjects::AGAIN, subjects::group(group));
    Config { filter_subject, ..config(shared, options) }
}

fn config(shared: &Shared, options: &GroupOptions) -> Config {
    Config {
        ack_policy: AckPolicy::Explicit,
        ack_wait: shared.ack_wait,
        // As many again as are worked on wait for another try, over all processes.
        max_ack_pending: i64::try_from(options.in_flight_max.saturating_mul(2).max(AT_ONCE)).unwrap_or(i64::MAX),
        max_deliver: -1,
        ..Config::default()
    }
}

/// What goes on where another has settled all; whoever has changed that one since has changed this one too.
fn following(shared: &Shared, options: &GroupOptions, before: Info) -> Config {
    let begun_after = match before.config.deliver_policy {
        DeliverPolicy::ByStartSequence { start_sequence } => start_sequence.saturating_sub(1),
        _ => 0,
    };
    let settled = before.ack_floor.stream_sequence.max(begun_after);
    let mut metadata = before.config.metadata;
    // What the server itself has written there.
    metadata.retain(|key, _| !key.starts_with("_nats."));
    Config {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: settled + 1 },
        ack_wait: before.config.ack_wait,
        filter_subject: before.config.filter_subject,
        filter_subjects: before.config.filter_subjects,
        num_replicas: before.config.num_replicas,
        memory_storage: before.config.memory_storage,
        metadata,
        ..config(shared, options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numbered_name_is_of_one_group_alone() {
        for number in [0, 1, 27] {
            assert_eq!(number_of("a", &name_of("a", number)), Some(number));
            assert_eq!(number_of("ab", &name_of("a", number)), None);
            assert_eq!(number_of("a", &name_of("ab", number)), None);
        }
        assert_eq!(number_of("a", &mark_of("a")), None);
        let other = subjects::group(&GroupName::new("a~1").unwrap());
        assert_eq!(number_of("a", &other), None, "{other}");
    }
}
