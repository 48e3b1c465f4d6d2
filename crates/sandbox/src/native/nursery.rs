//! The zygote that a driver has at present. One that is killed takes its sandboxes with it, and nothing else: the next sandbox comes from
//! another.

use std::{
    os::fd::{AsFd as _, BorrowedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cofferdam_hand::protocol::zygote::{Ids, Prepare, RootEntry};
use tokio::task::spawn_blocking;

use super::{cgroup::Groups, owner, zygote::Zygote};
use crate::SandboxError;

/// The zygote that a driver has at present.
#[derive(Debug)]
pub(super) struct Nursery {
    needs: Needs,
    groups: Arc<Groups>,
    present: Mutex<Present>,
}

/// What every zygote of a driver is told.
#[derive(Debug, Clone)]
pub(super) struct Needs {
    pub(super) ids: Ids,
    pub(super) root: Vec<RootEntry>,
    pub(super) system: Vec<RootEntry>,
}

#[derive(Debug)]
struct Present {
    zygote: Arc<Zygote>,
    /// The driver has ended.
    closed: bool,
}

impl Nursery {
    /// Starts the first one. Blocks.
    pub(super) fn new(needs: Needs, groups: Arc<Groups>) -> Result<Self, SandboxError> {
        let zygote = Arc::new(start(&needs, &groups)?);
        Ok(Self { needs, groups, present: Mutex::new(Present { zygote, closed: false }) })
    }

    /// The zygote of now, whether or not it lives.
    pub(super) fn present(&self) -> Arc<Zygote> {
        Arc::clone(&self.lock().zygote)
    }

    /// One that lives.
    pub(super) async fn zygote(self: &Arc<Self>) -> Result<Arc<Zygote>, SandboxError> {
        let present = self.present();
        if present.lives() {
            return Ok(present);
        }
        let nursery = Arc::clone(self);
        let another = spawn_blocking(move || nursery.another()).await;
        another.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// Starts another in the place of one that is dead. Whoever else wants one waits for it.
    fn another(&self) -> Result<Arc<Zygote>, SandboxError> {
        let mut present = self.lock();
        if present.closed {
            return Err(SandboxError::Gone("its driver has ended".to_owned()));
        }
        if !present.zygote.lives() {
            present.zygote = Arc::new(start(&self.needs, &self.groups)?);
        }
        Ok(Arc::clone(&present.zygote))
    }

    /// Has the zygote end, and with it all that it made; there is no other.
    pub(super) fn close(&self) {
        let mut present = self.lock();
        present.closed = true;
        present.zygote.shut_down();
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(needs: &Needs, groups: &Groups) -> Result<Zygote, SandboxError> {
    let lock = match needs.ids {
        Ids::Blocks(_) => Some(owner::lock_file()?),
        Ids::Shared(_) => None,
    };
    let opened = groups.for_zygote();
    let (names, descriptors) =
        opened.map_err(|source| SandboxError::Setup { step: "open control groups".to_owned(), source })?;
    let lock = lock.iter().map(|file| file.as_fd());
    let descriptors: Vec<BorrowedFd<'_>> = lock.chain(descriptors.iter().map(|file| file.as_fd())).collect();
    let Needs { ids, root, system } = needs.clone();
    Zygote::start(Prepare { ids, root, system, groups: names }, &descriptors)
}
