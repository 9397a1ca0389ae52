//! A block that somebody asked the cache for: here, on its way, or not to be had. Made by `cache`.

use std::fmt;
use std::sync::Arc;

use futures::future::{BoxFuture, Shared, WeakShared};
use metadata::planted;
use tokio::sync::oneshot;

use super::download::{Blocks, RawBlock};
use super::error::StoreError;
use super::kept::Source;

/// What a download brought. The room that it took is given back by then: who has to wait for more holds nothing that others
/// stand in line for.
pub(super) type Downloaded = Result<Arc<Blocks>, StoreError>;
pub(super) type Download = BoxFuture<'static, Downloaded>;
pub(super) type Run = Shared<Download>;

/// A block that is in memory, or on its way there.
pub enum Coming {
    Here(RawBlock, Source),
    Loading(Loading),
    /// It was read just now and is damaged.
    Damaged(StoreError),
    /// There is no room for more than what else was asked for.
    NotNow,
}

impl fmt::Debug for Coming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(_, source) => f.debug_tuple("Here").field(source).finish(),
            Self::Loading(loading) => loading.fmt(f),
            Self::Damaged(error) => f.debug_tuple("Damaged").field(error).finish(),
            Self::NotNow => f.write_str("NotNow"),
        }
    }
}

impl fmt::Debug for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl Coming {
    /// The download that it waits for, if it does.
    #[must_use]
    pub fn awaited(&self) -> Option<Awaited> {
        match self {
            Self::Loading(loading) => loading.run.downgrade().map(Awaited),
            Self::Here(..) | Self::Damaged(_) | Self::NotNow => None,
        }
    }

    /// Once it is here; none if it is not on its way.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn block(self) -> Result<Option<(RawBlock, Source)>, StoreError> {
        match self {
            Self::Here(block, source) => Ok(Some((block, source))),
            Self::Loading(loading) => {
                let brought = loading.run.await?;
                let index = loading.index;
                planted!(let index = "wrong-block-of-a-run" => index.saturating_sub(1));
                Ok(Some((brought[index].clone()?, Source::Store)))
            }
            Self::Damaged(error) => Err(error),
            Self::NotNow => Ok(None),
        }
    }
}

/// One of the blocks of a download.
pub struct Loading {
    pub(super) run: Run,
    pub(super) index: usize,
}

/// A download that is known and not waited for.
#[derive(Debug)]
pub struct Awaited(pub(super) WeakShared<Download>);

/// What somebody waited for in line, and may want again in a moment: it keeps its places until this is dropped. Made by
/// `cache`.
#[derive(Debug)]
pub struct InLine {
    pub(super) _wanted: oneshot::Sender<()>,
}
