//! A few connections that read, each on a thread of its own, beside the writer.

use std::sync::{Arc, OnceLock};
use std::thread;

use tokio::sync::oneshot;

use super::Place;
use super::intake::Intake;
use super::session::{Session, Writes, prepare};
use crate::store::{Row, Statement, StoreError, Value};

/// Reads are short and the machine has other work: two are one that is long and one for all the others.
const THREADS: usize = 2;

/// How many reads may wait.
const READS_MAX: usize = 1_024;

/// How many reads a thread takes at once.
const READS_PER_TURN_MAX: usize = 16;

struct Read {
    statement: Statement,
    params: Vec<Value>,
    /// Only prepares it.
    is_check: bool,
    answer: oneshot::Sender<Result<Vec<Row>, StoreError>>,
}

/// The way to the threads.
pub(crate) struct Readers {
    intake: Arc<Intake<Read>>,
    place: Arc<Place>,
    started: OnceLock<()>,
}

impl Readers {
    pub(super) fn new(place: Arc<Place>) -> Self {
        Self { intake: Arc::new(Intake::new(READS_MAX)), place, started: OnceLock::new() }
    }

    pub(crate) async fn query(&self, statement: &Statement, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.ask(*statement, params.to_vec(), false).await
    }

    pub(crate) async fn prepare_all(&self, statements: &[&'static Statement]) -> Result<(), StoreError> {
        for statement in statements {
            self.ask(**statement, Vec::new(), true).await?;
        }
        Ok(())
    }

    async fn ask(&self, statement: Statement, params: Vec<Value>, is_check: bool) -> Result<Vec<Row>, StoreError> {
        self.start();
        let (answer, answered) = oneshot::channel();
        self.intake.put(Read { statement, params, is_check, answer }).await?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    fn start(&self) {
        self.started.get_or_init(|| {
            for at in 1..=THREADS {
                let (intake, place) = (Arc::clone(&self.intake), Arc::clone(&self.place));
                let thread = thread::Builder::new().name(format!("read {} {at}", place.name));
                if let Err(error) = thread.spawn(move || read(&intake, &place)) {
                    tracing::error!("can't start a thread that reads the store {}: {error}", self.place.name);
                    // One thread is enough to go on.
                    if at == 1 {
                        self.intake.close();
                    }
                }
            }
        });
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.intake.close();
    }
}

/// A thread: one connection after the other, until nothing more can come.
fn read(intake: &Intake<Read>, place: &Place) {
    let mut reads = intake.take(READS_PER_TURN_MAX);
    while !reads.is_empty() {
        match place.connect_reader() {
            Ok(conn) => {
                let mut session = Session::reader(&conn);
                let mut is_good = true;
                while is_good && !reads.is_empty() {
                    for read in reads {
                        is_good &= answer(&mut session, read);
                    }
                    reads = intake.take(READS_PER_TURN_MAX);
                }
            }
            Err(error) => {
                for read in reads {
                    drop(read.answer.send(Err(error.clone())));
                }
                reads = intake.take(READS_PER_TURN_MAX);
            }
        }
    }
}

/// Answers; gives whether the connection is still to be trusted.
fn answer(session: &mut Session<'_>, read: Read) -> bool {
    // Who asked may be gone.
    if read.answer.is_closed() {
        return true;
    }
    let result = match read.is_check {
        true => prepare(session.conn(), &read.statement).map(|_| Vec::new()),
        false => session.query(&read.statement, &read.params),
    };
    let is_good = !matches!(result, Err(StoreError::Unavailable(_)));
    let _ = read.answer.send(result);
    is_good
}
