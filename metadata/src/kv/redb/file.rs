//! The open file: opened anew after errors that leave it unusable, and left alone while its path leads elsewhere.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redb::Database;
use tokio::time::Instant;

use super::opening::{Missing, Opened, opened_again};
use super::place::{Away, Place};
use super::renewed::Doubt;
use super::rows::Failed;
use crate::kv::KvError;
use crate::said::Said;

/// Between attempts to open a failing file: doubled from the first of these up to the second. Each attempt reads the
/// whole file to repair it.
const REOPEN_AFTER: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

pub(super) type Opener = Box<dyn Fn(Missing, &Doubt) -> Result<Opened, KvError> + Send>;

/// What is wrong where the path leads to another file than the one that is open, or to none: a sentence.
pub(super) type Displaced = Arc<Mutex<Option<String>>>;

/// The open database, opened anew after errors that leave it unusable.
pub(super) struct Reopening {
    opener: Opener,
    /// Away after an I/O error: redb refuses everything then until it is opened anew.
    database: Option<Database>,
    /// Where its file is, from which it is opened anew; away where that failed: then the path is opened.
    place: Option<Place>,
    /// Whoever has the store may look.
    displaced: Displaced,
    is_displaced: bool,
    /// That it is, in the log.
    told: Said<()>,
    /// Since the last commit that succeeded.
    failures: u32,
    /// Why it failed last.
    why: String,
    not_before: Option<Instant>,
    doubt: Doubt,
}

impl Reopening {
    pub(super) fn start(opener: Opener) -> Result<Self, KvError> {
        let doubt = Doubt::default();
        let (database, place) = opener(Missing::Create, &doubt)?;
        Ok(Self {
            opener,
            database: Some(database),
            place,
            displaced: Displaced::default(),
            is_displaced: false,
            told: Said::seldom(1),
            failures: 0,
            why: String::new(),
            not_before: None,
            doubt,
        })
    }

    pub(super) fn displaced(&self) -> Displaced {
        Arc::clone(&self.displaced)
    }

    /// Does it on the open database, if its file is where it was.
    pub(super) fn with<T>(
        &mut self,
        work: impl FnOnce(&Database) -> Result<T, Failed>,
    ) -> Result<T, KvError> {
        self.look().map_err(KvError::Unavailable)?;
        let database = match self.database.take() {
            Some(database) => database,
            None => self.reopen()?,
        };
        // Where redb panics it is not closed either: that would write to a file that is damaged.
        let database = ManuallyDrop::new(database);
        let done = work(&database);
        let database = ManuallyDrop::into_inner(database);
        match done {
            Ok(done) => {
                self.database = Some(database);
                Ok(done)
            }
            Err(Failed::Plain(error)) => {
                self.database = Some(database);
                Err(error)
            }
            Err(Failed::Poisoned(error)) => {
                self.failed(&error);
                Err(error)
            }
        }
    }

    /// The disk takes what is written.
    pub(super) fn works(&mut self) {
        self.failures = 0;
    }

    fn reopen(&mut self) -> Result<Database, KvError> {
        if self.not_before.is_some_and(|time| Instant::now() < time) {
            let why = &self.why;
            let text = format!("the database failed ({why}) and is opened again soon");
            return Err(KvError::Unavailable(text));
        }
        let opened = match &self.place {
            Some(place) => opened_again(place, &self.doubt),
            None => (self.opener)(Missing::Refuse, &self.doubt),
        };
        match opened {
            Ok((database, place)) => {
                self.place = place;
                Ok(database)
            }
            Err(error) => {
                // Nothing of this process may stay in the way of whoever mends the file system.
                self.place = None;
                // It is anybody's meanwhile.
                self.doubt = Doubt::default();
                self.failed(&error);
                Err(error)
            }
        }
    }

    /// Whether the path leads to the file that is open. That is not so easily undone as an error of the disk, and shall not
    /// be: the file that is open is the only one that has what was acknowledged.
    ///
    /// # Errors
    /// With a sentence for the operator.
    pub(super) fn look(&mut self) -> Result<(), String> {
        let looked = self.place.as_ref().map_or(Ok(()), Place::look);
        match &looked {
            Ok(()) if self.is_displaced => {
                self.is_displaced = false;
                *self.displaced.lock() = None;
                tracing::info!("the file of the metadata is in its place again");
            }
            Err(Away::Displaced(said)) => {
                if !self.is_displaced {
                    self.is_displaced = true;
                    *self.displaced.lock() = Some(said.clone());
                }
                if self.told.admit(()).is_some() {
                    tracing::error!("{said}");
                }
            }
            Ok(()) | Err(Away::Unclear(_)) => {}
        }
        looked.map_err(Away::said)
    }

    /// Closes the file. One that only this process has is saved beside its path, for it goes with the process.
    pub(super) fn close(mut self) {
        // What it finds is kept, and said.
        let _ = self.look();
        drop(self.database.take());
        let Some(place) = self.place.filter(|_| self.is_displaced) else {
            return;
        };
        let path = place.path().display();
        match place.save() {
            Ok(copy) => tracing::error!(
                "the file {path} was removed or replaced while this process had it open, and this process ends: what it had is \
                 saved in {}; put that in the place of {path} before anything is started on it",
                copy.display()
            ),
            Err(error) => tracing::error!(
                "the file {path} was removed or replaced while this process had it open, and this process ends: what it \
                 acknowledged is lost, unless that file was moved or copied, for a copy could not be made beside it ({error})"
            ),
        }
    }

    /// The first attempt to open it anew may be at once, so that a single fault passes quickly.
    fn failed(&mut self, why: &KvError) {
        self.why = match why {
            KvError::Unavailable(reason) | KvError::Unknown(reason) => reason.clone(),
            other => other.to_string(),
        };
        let (first, longest) = REOPEN_AFTER;
        self.not_before = self.failures.checked_sub(1).map(|repeated| {
            let wait = first.saturating_mul(1 << repeated.min(10));
            Instant::now() + wait.min(longest)
        });
        self.failures = self.failures.saturating_add(1);
    }
}
