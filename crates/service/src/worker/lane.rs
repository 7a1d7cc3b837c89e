//! Where batches are carried out: on the store's one writing thread, or on a thread of its own with a connection to PostgreSQL.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::batch::{self, Batch, Context, Outcome};
use crate::guard;
use crate::store::{Engine, Job, Session, Store, StoreError, Writes};

/// A batch comes back with what became of it, to be put in again where the store failed.
pub(super) type Ended = (Batch, Result<Outcome, StoreError>);

/// The way to one place where batches are carried out, one at a time.
#[derive(Clone)]
pub(super) enum Lane {
    /// The writer of a store, which others use too.
    Writer(Store),
    /// A thread of its own.
    Thread(mpsc::Sender<(Batch, oneshot::Sender<Ended>)>),
}

impl Lane {
    /// As many as the store takes, `wanted` at the most; what they write passes the fence of a life.
    pub(super) fn open(
        store: &Store,
        context: &Arc<Context>,
        wanted: usize,
        life: Option<i64>,
    ) -> Result<Vec<Self>, StoreError> {
        if store.postgres().is_none() {
            return Ok(vec![Self::Writer(store.clone())]);
        }
        (0..wanted.max(1))
            .filter_map(|at| Some((at, store.session(life)?)))
            .map(|(at, session)| thread(at, session, context))
            .collect()
    }

    /// Carries out a batch; `None` when the place is gone, and what was in the batch comes again from the bus.
    pub(super) async fn run(self, context: Arc<Context>, batch: Batch) -> Option<Ended> {
        let (answer, answered) = oneshot::channel();
        match self {
            Self::Writer(store) => {
                let job = BatchJob { context, batch, outcome: None, answer };
                store.put(Box::new(job)).await.ok()?;
            }
            Self::Thread(thread) => thread.send((batch, answer)).await.ok()?,
        }
        answered.await.ok()
    }
}

/// A batch on SQLite's writer.
struct BatchJob {
    context: Arc<Context>,
    batch: Batch,
    outcome: Option<Outcome>,
    answer: oneshot::Sender<Ended>,
}

impl Job for BatchJob {
    fn run(&mut self, conn: &mut dyn Writes) -> Result<(), StoreError> {
        let mut engine = Engine::Sqlite(conn);
        self.outcome = Some(guard::drive(batch::run(&mut engine, &self.context, &self.batch))?);
        Ok(())
    }

    fn done(self: Box<Self>, result: Result<(), StoreError>) {
        let Self { batch, outcome, answer, .. } = *self;
        let outcome = result.and_then(|()| outcome.ok_or(StoreError::Closed));
        // A worker that is gone gets its deliveries again, and finds them in the inbox.
        drop(answer.send((batch, outcome)));
    }
}

/// A lane of PostgreSQL: handlers needn't cross threads, so each has a thread with a small runtime.
fn thread(at: usize, session: Session, context: &Arc<Context>) -> Result<Lane, StoreError> {
    // One under way, and none behind it: the worker decides late what goes where.
    let (lane, batches) = mpsc::channel(1);
    let failed = |error: std::io::Error| StoreError::Unavailable(format!("can't start a thread: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let context = Arc::clone(context);
    let thread = std::thread::Builder::new().name(format!("{} {at}", context.service.name));
    thread.spawn(move || runtime.block_on(serve(session, &context, batches))).map_err(failed)?;
    Ok(Lane::Thread(lane))
}

async fn serve(mut session: Session, context: &Context, mut batches: mpsc::Receiver<(Batch, oneshot::Sender<Ended>)>) {
    while let Some((batch, answer)) = batches.recv().await {
        let mut result = transaction(&mut session, context, &batch).await;
        match &mut result {
            Err(error) => session.rollback(error).await,
            Ok(outcome) if !outcome.causes.is_empty() => {
                // Only now can those who park at the same time see what arrived; should this fail, they look themselves.
                match batch::woken(&mut Engine::Postgres(&mut session), &mut outcome.causes).await {
                    Ok(woken) => outcome.woken = woken,
                    Err(error) => tracing::debug!("what waits was not looked for: {error}"),
                }
            }
            Ok(_) => {}
        }
        // A worker that is gone gets its deliveries again, and finds them in the inbox.
        drop(answer.send((batch, result)));
    }
}

async fn transaction(session: &mut Session, context: &Context, batch: &Batch) -> Result<Outcome, StoreError> {
    session.begin().await?;
    let outcome = batch::run(&mut Engine::Postgres(session), context, batch).await?;
    session.commit().await?;
    Ok(outcome)
}
