//! What an engine without history can't be given: events, what groups have not finished, their places, dead letters.

use anyhow::bail;

use super::source::Source;

/// What stays in the log.
pub struct Left {
    /// Its events, latest states among them.
    pub events: u64,
    pub groups: usize,
    /// Deliveries that groups have still to finish.
    pub unfinished: u64,
    pub letters: usize,
    /// A group that would miss something, and what.
    worst: Option<(String, u64, usize)>,
}

impl Left {
    /// Counts it.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn behind(source: &Source) -> anyhow::Result<Self> {
        let groups = source.unfinished().await?;
        let worst = groups.iter().max_by_key(|(group, count)| (*count, group.dead));
        let worst = worst.filter(|(group, count)| *count > 0 || group.dead > 0);
        Ok(Self {
            events: source.head() - source.freed(),
            groups: groups.len(),
            unfinished: groups.iter().map(|(_, count)| count).sum(),
            letters: groups.iter().map(|(group, _)| group.dead).sum(),
            worst: worst.map(|(group, count)| (group.name.to_string(), *count, group.dead)),
        })
    }

    /// Whether somebody would miss it.
    ///
    /// # Errors
    /// Who would, and what to do about it.
    pub fn is_nobodys_loss(&self) -> anyhow::Result<()> {
        match &self.worst {
            None => Ok(()),
            Some((group, 0, letters)) => bail!(
                "the engine keeps no history, and {group} has {letters} dead letters: have them tried again or forgotten \
                 (`headwater dead`), leave them behind by --leave-unfinished, or take over into nats://, which keeps all"
            ),
            Some((group, count, _)) => bail!(
                "the engine keeps no history, and {group} has {count} events that it has not finished: run the hub until they \
                 are, leave them behind by --leave-unfinished, or take over into nats://, which keeps all"
            ),
        }
    }
}
