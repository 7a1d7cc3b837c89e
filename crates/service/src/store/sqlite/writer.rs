//! The one thread that writes a file: all jobs that wait share one commit.

use std::sync::{Arc, OnceLock};
use std::thread;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::Place;
use super::intake::Intake;
use super::session::{Session, Writes};
use crate::store::{Pulse, StoreError};

/// How many jobs may wait. A worker has one under way at a time, so that's far beyond the services of one store.
const JOBS_MAX: usize = 256;

/// How many jobs share a commit at the most: each is a batch of its own, and all wait for the last.
const JOBS_PER_COMMIT_MAX: usize = 16;

/// A part of a transaction.
pub(crate) trait Job: Send {
    /// Does its work within the transaction. An error is one of the store and undoes the whole transaction; a job then runs
    /// once more from the beginning when it's put in again.
    fn run(&mut self, conn: &mut dyn Writes) -> Result<(), StoreError>;

    /// The transaction is on disk, or undone.
    fn done(self: Box<Self>, result: Result<(), StoreError>);
}

/// What has the connection for itself, between transactions.
pub(crate) type Alone = Box<dyn FnOnce(&Connection) + Send>;

enum Task {
    Shared(Box<dyn Job>),
    Alone(Alone),
}

/// The way to the thread.
pub(crate) struct Writer {
    intake: Arc<Intake<Task>>,
    place: Arc<Place>,
    pulse: Arc<Pulse>,
    started: OnceLock<()>,
}

/// How a round of work ended.
enum Round {
    Good,
    /// What the connection knows may no longer be what the file has.
    Reopen,
}

impl Writer {
    pub(super) fn new(place: Arc<Place>, pulse: Arc<Pulse>) -> Self {
        Self { intake: Arc::new(Intake::new(JOBS_MAX)), place, pulse, started: OnceLock::new() }
    }

    /// Puts a job in; it's told itself what became of it.
    pub(crate) async fn put(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        self.start();
        self.intake.put(Task::Shared(job)).await
    }

    /// Lends the connection.
    pub(crate) async fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.start();
        let (answer, answered) = oneshot::channel();
        let task: Alone = Box::new(move |conn| drop(answer.send(work(conn))));
        self.intake.put(Task::Alone(task)).await?;
        // Dropped without an answer: the file couldn't be opened.
        answered.await.map_err(|_| StoreError::Unavailable("the file can't be opened".into()))?
    }

    /// Begins the thread with the first work: who only reads needs none.
    fn start(&self) {
        self.started.get_or_init(|| {
            let (intake, place, pulse) = (Arc::clone(&self.intake), Arc::clone(&self.place), Arc::clone(&self.pulse));
            let runtime = tokio::runtime::Handle::try_current().ok();
            let thread = thread::Builder::new().name(format!("store {}", place.name));
            let started = thread.spawn(move || {
                // So that a handler may wait for what the runtime offers.
                let _entered = runtime.as_ref().map(tokio::runtime::Handle::enter);
                write(&intake, &place, &pulse);
            });
            if let Err(error) = started {
                tracing::error!("can't start a thread for the store {}: {error}", self.place.name);
                self.intake.close();
            }
        });
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.intake.close();
    }
}

/// The thread: one connection after the other, until nothing more can come.
fn write(intake: &Intake<Task>, place: &Place, pulse: &Pulse) {
    let mut first = intake.take(JOBS_PER_COMMIT_MAX);
    while !first.is_empty() {
        match place.connect() {
            Ok(conn) => first = serve(&conn, first, intake, place, pulse),
            Err(error) => {
                pulse.failing(&place.name, &error);
                refuse(first, &error);
                first = intake.take(JOBS_PER_COMMIT_MAX);
            }
        }
    }
}

/// One connection's life; gives the tasks that the next one begins with.
fn serve(conn: &Connection, first: Vec<Task>, intake: &Intake<Task>, place: &Place, pulse: &Pulse) -> Vec<Task> {
    let mut session = Session::new(conn);
    let mut tasks = first;
    while !tasks.is_empty() {
        let round = round(&mut session, tasks, place, pulse);
        tasks = intake.take(JOBS_PER_COMMIT_MAX);
        if matches!(round, Round::Reopen) {
            break;
        }
    }
    tasks
}

fn round(session: &mut Session<'_>, tasks: Vec<Task>, place: &Place, pulse: &Pulse) -> Round {
    let mut jobs = Vec::with_capacity(tasks.len());
    let mut end = Round::Good;
    for task in tasks {
        match task {
            Task::Shared(job) => jobs.push(job),
            Task::Alone(work) => {
                end = commit(session, std::mem::take(&mut jobs), place, pulse);
                work(session.conn());
            }
        }
    }
    match commit(session, jobs, place, pulse) {
        Round::Good => end,
        Round::Reopen => Round::Reopen,
    }
}

/// One transaction for all these jobs. They hear that it went well only when it is on disk.
fn commit(session: &mut Session<'_>, mut jobs: Vec<Box<dyn Job>>, place: &Place, pulse: &Pulse) -> Round {
    if jobs.is_empty() {
        return Round::Good;
    }
    let result = transaction(session, &mut jobs);
    let end = match &result {
        Ok(()) => {
            pulse.good();
            Round::Good
        }
        Err(error) => {
            pulse.failing(&place.name, error);
            let undone = session.rollback();
            // After a failed write only the file itself knows what it has; a busy one has lost nothing.
            if undone.is_err() || !matches!(error, StoreError::Busy(_)) { Round::Reopen } else { Round::Good }
        }
    };
    for job in jobs {
        job.done(result.clone());
    }
    end
}

fn transaction(session: &mut Session<'_>, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    session.begin()?;
    for job in jobs {
        job.run(session)?;
    }
    session.commit()
}

fn refuse(tasks: Vec<Task>, error: &StoreError) {
    for task in tasks {
        if let Task::Shared(job) = task {
            job.done(Err(error.clone()));
        }
    }
}
