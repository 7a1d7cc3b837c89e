//! A service's place on the bus: its group, made anew where the service wants other events than before.

use headwater_event::{Bus, BusError, Filter, GroupName, GroupOptions, GroupStat, Member, Start};

use crate::batch::Context;
use crate::running::StartError;

/// Joins the service's group, and makes it when there's none. `alone`: no other process is to get anything of it.
pub(crate) async fn join(bus: &dyn Bus, context: &Context, alone: bool) -> Result<Box<dyn Member>, StartError> {
    let service = context.service.name;
    let failed = |error| StartError::Bus { name: service, error };
    // Both names were checked.
    let name =
        GroupName::new(format!("service/{service}")).map_err(|_| failed(BusError::Unable("keep such a group")))?;
    let late = Filter::new(context.late_topic.as_str()).map_err(|_| failed(BusError::Unable("keep such a topic")))?;
    let mut filters: Vec<Filter> = context.service.routes.iter().map(|(filter, _)| filter.clone()).collect();
    filters.push(late);
    let mut start = context.service.options.start;
    if let Some(stat) = of_other_filters(bus, &name, &filters) {
        // All that it has settled stays settled; what it has handled beyond that is in the inbox.
        start = Start::After(end(bus, &stat, service).await?);
    }
    match bus.join(&name, options(context, filters.clone(), start, alone)).await {
        // Retention has freed what it had not seen: it begins with what there is.
        Err(BusError::Gone { .. }) => {
            bus.join(&name, options(context, filters, Start::Oldest, alone)).await.map_err(failed)
        }
        joined => joined.map_err(failed),
    }
}

fn options(context: &Context, filters: Vec<Filter>, start: Start, alone: bool) -> GroupOptions {
    let options = &context.service.options;
    GroupOptions {
        start,
        in_flight_max: options.in_flight_max.max(1),
        lease: options.lease,
        // The kit counts itself: a process that is killed often must not make dead letters of what it had in hand.
        attempts_max: 0,
        backoff: options.backoff,
        alone,
        ..GroupOptions::new(filters)
    }
}

/// The group as it stands, if it was made for other events.
fn of_other_filters(bus: &dyn Bus, name: &GroupName, filters: &[Filter]) -> Option<GroupStat> {
    let sorted = |filters: &[Filter]| {
        let mut texts: Vec<String> = filters.iter().map(ToString::to_string).collect();
        texts.sort_unstable();
        texts.dedup();
        texts
    };
    // There may be a hundred thousand of them: the page begins right before this one.
    let mut before = name.as_str().to_owned();
    before.pop();
    let before = GroupName::new(before).ok()?;
    let mut after = Some(before);
    while let Some(from) = after {
        let page = bus.groups(Some(&from), 64);
        if let Some(stat) = page.iter().find(|stat| stat.name == *name) {
            return (sorted(&stat.filters) != sorted(filters)).then(|| stat.clone());
        }
        after = page.last().map(|stat| stat.name.clone()).filter(|last| last < name);
    }
    None
}

/// Ends a group that keeps nothing that would be lost; gives up to where it had settled.
async fn end(bus: &dyn Bus, stat: &GroupStat, service: &'static str) -> Result<u64, StartError> {
    let refuse = |why: &str| Err(StartError::Group { name: service, why: why.to_owned() });
    if stat.dead > 0 {
        return refuse("it has dead letters, which would be lost; retry or discard them first");
    }
    if stat.members > 0 {
        return refuse("other workers of it are joined; stop them first");
    }
    tracing::info!(
        "the service {service} wants other events than before: its group begins anew after {}",
        stat.settled
    );
    bus.end_group(&stat.name).await.map_err(|error| StartError::Bus { name: service, error })?;
    Ok(stat.settled.seq)
}
