//! Opening a log: make it or read it back, cut what was never acknowledged, and start its threads.

use std::io;
use std::sync::{Arc, Condvar, Mutex, OnceLock, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use crate::ahead::{AHEAD_START, Ahead};
use crate::beside::{LOCK_NAME, tell};
use crate::core::{Core, Counts, Slot};
use crate::derived::Derived;
use crate::disk::{Disk, DiskFile, RealDisk};
use crate::header::{DATA_START, HEAD_AT, Head, IDENTITY_AT, Identity, PAGE};
use crate::ids::Ids;
use crate::intake::Intake;
use crate::keeper::Keeper;
use crate::options::{OpenError, OpenOptions};
use crate::recovery::{Recovered, recover};
use crate::retention::Bounds;
use crate::view::View;

/// The log's file.
pub(crate) const LOG_NAME: &str = "events.log";

/// The name of a log that is being made; it's renamed once it's complete.
const NEW_NAME: &str = "events.log.new";

/// Says what was tried when the system refuses.
pub(crate) fn trying<T>(disk: &dyn Disk, what: &'static str, result: io::Result<T>) -> Result<T, OpenError> {
    result.map_err(|source| OpenError::Io { what, folder: disk.folder(), source })
}

/// The disk of these options.
pub(crate) fn disk_of(options: &OpenOptions) -> Result<Arc<dyn Disk>, OpenError> {
    match &options.disk {
        Some(disk) => Ok(disk.clone()),
        None => match RealDisk::new(&options.folder) {
            Ok(disk) => Ok(Arc::new(disk)),
            Err(source) => {
                Err(OpenError::Io { what: "make the folder", folder: options.folder.display().to_string(), source })
            }
        },
    }
}

/// How often, and how long apart, the lock is tried: those who read beside a server look at it for some microseconds.
const LOCK_TRIES: u32 = 10;
const LOCK_WAIT: Duration = Duration::from_millis(20);

/// Takes the folder for this process.
pub(crate) fn lock(disk: &dyn Disk) -> Result<Arc<dyn DiskFile>, OpenError> {
    for try_number in 1..=LOCK_TRIES {
        if let Some(lock) = trying(disk, "lock the folder", disk.lock(LOCK_NAME))? {
            return Ok(lock);
        }
        if try_number < LOCK_TRIES {
            std::thread::sleep(LOCK_WAIT);
        }
    }
    Err(OpenError::Locked { folder: disk.folder() })
}

/// An open log and its threads.
pub(crate) type Opened = (Arc<Core>, Vec<JoinHandle<()>>);

/// Opens the log, or makes a new one.
pub(crate) fn open(options: &OpenOptions, derived: Box<dyn Derived>) -> Result<Opened, OpenError> {
    let disk = disk_of(options)?;
    let lock = lock(&*disk)?;
    match disk.open(LOG_NAME, true) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let created = create(&*disk, options);
            trying(&*disk, "make a log", created)?;
        }
        other => drop(trying(&*disk, "open the log", other)?),
    }
    let writing = trying(&*disk, "open the log", disk.open(LOG_NAME, true))?;
    let (identity, head) = read_header(&*disk, &*writing)?;
    let mut derived = derived;
    let recovered = recover(options, &disk, &writing, identity, head, &mut *derived)?;
    start(options, disk, lock, writing, identity, head, recovered, derived)
}

/// Makes a log under another name first, so that one by the right name is always whole.
fn create(disk: &dyn Disk, options: &OpenOptions) -> io::Result<()> {
    let (one, two) = (Uuid::new_v4().as_u128(), Uuid::new_v4().as_u128());
    let identity = Identity {
        // Some 31 bits of chance; 0 belongs to no log.
        epoch: ((one >> 96) as u32).max(1),
        created: options.clock.now(),
        tag: (one as u64) ^ (two as u64).rotate_left(32),
        id_key: Uuid::new_v4().as_u128().to_be_bytes().map(|byte| byte ^ 0x5a),
    };
    let file = disk.create(NEW_NAME)?;
    let len = DATA_START + AHEAD_START.min(options.ahead_bytes);
    file.write_at(0, &vec![0; usize::try_from(len).unwrap_or(0)])?;
    for at in IDENTITY_AT {
        file.write_at(at, &identity.encode())?;
    }
    let (at, note) = Head::NEW.encode(&identity);
    file.write_at(at, &note)?;
    file.sync()?;
    drop(file);
    disk.rename(NEW_NAME, LOG_NAME)?;
    disk.sync_folder()
}

/// Reads the first pages.
pub(crate) fn read_header(disk: &dyn Disk, file: &dyn DiskFile) -> Result<(Identity, Head), OpenError> {
    let foreign = |why: String| OpenError::Foreign { folder: disk.folder(), why };
    let mut page = vec![0; PAGE];
    let read = trying(disk, "read the log", file.read_at(IDENTITY_AT[0], &mut page))?;
    let identity = Identity::decode(&page[..read]).map_err(|error| foreign(error.to_string()))?;
    let mut notes = [vec![0; PAGE], vec![0; PAGE]];
    for (note, at) in notes.iter_mut().zip(HEAD_AT) {
        trying(disk, "read the log", file.read_at(at, note))?;
    }
    match Head::decode([&notes[0], &notes[1]], &identity) {
        Some(head) => Ok((identity, head)),
        None => Err(foreign("both notes of where it begins are damaged".into())),
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of a log, each made where it can fail")]
fn start(
    options: &OpenOptions,
    disk: Arc<dyn Disk>,
    lock: Arc<dyn DiskFile>,
    writing: Arc<dyn DiskFile>,
    identity: Identity,
    head: Head,
    mut recovered: Recovered,
    derived: Box<dyn Derived>,
) -> Result<Opened, OpenError> {
    let (last, end, covered) = (recovered.last, recovered.end, recovered.covered);
    let replayed = recovered.replayed;
    let ids = std::mem::replace(&mut recovered.ids, Ids::new(&identity.id_key, 0, Duration::ZERO));
    let numbers = std::mem::take(&mut recovered.numbers);
    let reading = trying(&*disk, "open the log", disk.open(LOG_NAME, false))?;
    let filling = trying(&*disk, "open the log", disk.open(LOG_NAME, true))?;
    let len = trying(&*disk, "measure the log", writing.size())?;
    tell(&*lock, &identity, end, last);
    let core = Arc::new(Core {
        identity,
        clock: options.clock.clone(),
        disk,
        writing,
        reading,
        lock: Mutex::new(Some(lock)),
        intake: Mutex::new(Intake::new(identity.epoch, last, end, ids, numbers)),
        work: Condvar::new(),
        view: RwLock::new(View::new(recovered, head)),
        derived: Mutex::new(Slot { state: derived, folded_to: end }),
        checkpointing: Mutex::new(()),
        bounds: Bounds { bytes: options.retain_bytes, age: options.retain_age },
        freeing: Mutex::new(()),
        head_note: Mutex::new(head),
        keeper: Keeper::new(options, end, covered),
        ahead: Arc::new(Ahead::new(end, len, options.ahead_bytes)),
        head: watch::Sender::new(last),
        failed: OnceLock::new(),
        counts: Counts { replayed: replayed.into(), ..Counts::default() },
        threaded: options.threads,
    });
    let threads = if options.threads { start_threads(&core, filling)? } else { Vec::new() };
    Ok((core, threads))
}

fn start_threads(core: &Arc<Core>, filling: Arc<dyn DiskFile>) -> Result<Vec<JoinHandle<()>>, OpenError> {
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        let spawned = std::thread::Builder::new().name(name.into()).spawn(run);
        trying(&*core.disk, "start a thread", spawned)
    };
    let writer = core.clone();
    let ahead = core.ahead.clone();
    let keeper = core.clone();
    Ok(vec![
        spawn("headwater-log", Box::new(move || writer.write_all()))?,
        spawn("headwater-zeros", Box::new(move || ahead.run(&*filling)))?,
        spawn("headwater-keeper", Box::new(move || keeper.keep()))?,
    ])
}
