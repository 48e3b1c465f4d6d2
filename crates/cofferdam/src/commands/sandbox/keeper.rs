//! The keeper of a sandbox: a process that has it, its zygote and its egress door, and does what people ask over the control socket.
//!
//! It is started by `cofferdam sandbox start` and stays when that has ended. When it ends, in whatever way, the kernel ends the sandbox; what
//! the sandbox wrote stays until it is destroyed.

use std::{
    io, mem,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use cofferdam_egress::Serving;
use cofferdam_sandbox::{Driver, LayerError, LayerStack, Sandbox, SandboxSpec};
use cofferdam_worker::OpenDoor;
use tokio::{
    net::{UnixListener, UnixStream},
    signal::unix::{SignalKind, signal},
    sync::{RwLock, watch},
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

use super::{
    attend,
    furnish::{Wanted, furnish},
    kept::{About, Kept, check_name},
    refusals::Refusals,
    wire::{self, Answer, Request, Seen},
};
use crate::{args::KeepArguments, compose::App, exit::Exit, terminal::complain};

/// How long somebody who has connected may take to say what he wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at a time.
const CONNECTIONS: usize = 64;

/// What a keeper has.
pub(super) struct Keeper {
    kept: Kept,
    about: Mutex<About>,
    driver: Arc<dyn Driver>,
    spec: SandboxSpec,
    door: Option<OpenDoor>,
    serving: Mutex<Option<Serving>>,
    /// `None` once it has ended. Whoever has a command running reads it.
    pub(super) sandbox: RwLock<Option<Box<dyn Sandbox>>>,
    pub(super) refusals: Arc<Refusals>,
    pub(super) commands: AtomicU32,
    pub(super) output_limit: u64,
    frozen: AtomicBool,
    /// Why it was frozen without anybody asking for it.
    pub(super) alarm: watch::Sender<Option<String>>,
    /// Turns true when commands are to stop.
    pub(super) ending: watch::Sender<bool>,
    /// Turns true when there is nothing left to keep.
    over: watch::Sender<bool>,
}

/// Keeps a sandbox until it is destroyed, nobody has wanted anything of it for long, or the process is told to end.
pub(super) async fn keep(app: &App, arguments: &KeepArguments) -> Result<Exit> {
    // Whoever started it may close his terminal.
    rustix::process::setsid().context("failed to leave the session of the terminal")?;
    let kept = Kept::find(app.data()?, arguments.id)?;
    let _lock = kept.lock()?;
    let made = match Keeper::make(app, kept).await {
        Ok(keeper) => keeper.listen().map(|listener| (Arc::new(keeper), listener)),
        Err(error) => Err(error),
    };
    match made {
        Ok((keeper, listener)) => {
            // Without anybody who wants it there is nothing to keep.
            report(&Answer::Seen(keeper.look()))?;
            keeper.serve(listener).await
        }
        Err(error) => {
            report(&Answer::Refused(format!("{error:#}")))?;
            Ok(Exit::Failed)
        }
    }
}

/// Tells whoever started this process, and then nobody any more.
fn report(answer: &Answer) -> Result<()> {
    let text = serde_json::to_vec(answer)?;
    let mut rest = text.as_slice();
    while !rest.is_empty() {
        let written =
            rustix::io::write(rustix::stdio::stdout(), rest).context("nobody waits for this sandbox")?;
        rest = rest.get(written..).unwrap_or_default();
    }
    let nowhere =
        std::fs::File::options().write(true).open("/dev/null").context("failed to open /dev/null")?;
    rustix::stdio::dup2_stdout(nowhere).context("failed to close standard output")
}

impl Keeper {
    async fn make(app: &App, kept: Kept) -> Result<Self> {
        let about = kept.about()?;
        let refusals = Arc::new(Refusals::logged());
        let trust = kept.trust();
        let wanted = Wanted {
            id: kept.id,
            layer: &kept.layer,
            lower: about.workspace.iter().cloned().collect(),
            policy: about.policy.as_deref(),
            root: about.root,
            trust: &trust,
        };
        let (spec, door) = furnish(app, wanted, refusals.clone()).await?;
        let keeper = Self {
            kept,
            about: Mutex::new(about),
            driver: app.driver().await?,
            spec,
            door,
            serving: Mutex::default(),
            sandbox: RwLock::default(),
            refusals,
            commands: AtomicU32::new(0),
            output_limit: app.config.policy.limits.output,
            frozen: AtomicBool::new(false),
            alarm: watch::Sender::new(None),
            ending: watch::Sender::new(false),
            over: watch::Sender::new(false),
        };
        let sandbox = keeper.open().await?;
        *keeper.sandbox.write().await = Some(sandbox);
        Ok(keeper)
    }

    /// Makes the sandbox, over its layer as it is.
    async fn open(&self) -> Result<Box<dyn Sandbox>> {
        let sandbox = self.driver.create(self.spec.clone()).await?;
        if let Some(door) = &self.door {
            door.plant(&*sandbox).await;
        }
        let serving = self.door.as_ref().map(|door| door.serve(&*sandbox)).transpose()?;
        drop(mem::replace(&mut *self.serving.lock().unwrap_or_else(PoisonError::into_inner), serving));
        let about = {
            let mut about = self.about();
            about.level = Some(sandbox.level().to_owned());
            about.clone()
        };
        self.kept.write(&about)?;
        Ok(sandbox)
    }

    fn about(&self) -> MutexGuard<'_, About> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The control socket. What lies in its place was left by a keeper that is dead.
    fn listen(&self) -> Result<UnixListener> {
        let path = self.kept.socket();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let bound = self.kept.with_socket(|socket| {
            let listener = UnixListener::bind(socket)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        });
        bound.with_context(|| format!("failed to listen at {}", path.display()))
    }

    async fn serve(self: Arc<Self>, listener: UnixListener) -> Result<Exit> {
        let mut terminate = signal(SignalKind::terminate()).context("failed to wait for signals")?;
        let mut over = self.over.subscribe();
        let mut alarms = self.refusals.alarms();
        let freezes = !self.about().keep_running;
        let idle = Duration::from_secs(self.about().idle);
        let mut connections = JoinSet::new();
        let reason = loop {
            let (none, room) = (connections.is_empty(), connections.len() < CONNECTIONS);
            tokio::select! {
                accepted = listener.accept(), if room => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(Arc::clone(&self).attend(stream));
                    }
                }
                _ = connections.join_next(), if !none => {}
                _ = alarms.changed(), if freezes => {
                    let reason = *alarms.borrow_and_update();
                    self.freeze_because(reason.unwrap_or_default()).await;
                }
                // Somebody means to look at one that is frozen.
                () = sleep(idle), if none && !self.frozen.load(Ordering::Acquire) => break "nobody wanted anything of it for long",
                _ = terminate.recv() => break "it was told to end",
                _ = over.changed() => return Ok(Exit::Success),
            }
        };
        drop(listener);
        self.end(reason).await?;
        Ok(Exit::Success)
    }

    /// One connection: who it is, what he wants, and the answer.
    async fn attend(self: Arc<Self>, stream: UnixStream) {
        if !is_ours(&stream) {
            complain("somebody else's connection was refused");
            return;
        }
        let (mut from, mut to) = stream.into_split();
        let Ok(Ok(Some(frame))) = timeout(PATIENCE, wire::read(&mut from)).await else { return };
        let answer = match frame.message() {
            Ok(Request::Exec(exec)) => attend::run(&self, exec, from, &mut to).await,
            Ok(request) => self.carry_out(request).await,
            Err(error) => Err(error.into()),
        };
        let answer = answer.unwrap_or_else(|error| Answer::Refused(format!("{error:#}")));
        // Whoever has gone away needs no answer.
        timeout(PATIENCE, wire::send(&mut to, &answer)).await.ok();
        if !self.kept.exists() {
            self.over.send_replace(true);
        }
    }

    async fn carry_out(&self, request: Request) -> Result<Answer> {
        match request {
            Request::Look => return Ok(Answer::Seen(self.look())),
            Request::Exec(_) => bail!("a command needs its connection"),
            Request::Freeze => {
                self.sandbox.read().await.as_ref().context(ENDED)?.freeze().await?;
                self.frozen.store(true, Ordering::Release);
                complain("frozen");
            }
            Request::Thaw => {
                self.sandbox.read().await.as_ref().context(ENDED)?.thaw().await?;
                self.frozen.store(false, Ordering::Release);
                self.alarm.send_replace(None);
                complain("thawed");
            }
            Request::Snapshot { name } => return self.snapshot(name).await,
            Request::RollBack { snapshot } => {
                let snapshot = snapshot.parse().context("no snapshot has such a name")?;
                self.renew(move |layer| layer.roll_back(snapshot)).await?;
            }
            Request::Destroy => self.destroy().await?,
        }
        Ok(Answer::Done)
    }

    /// Something in it wanted what nobody has a reason to want: it stands still until a person has looked. Its files stay.
    async fn freeze_because(&self, reason: &str) {
        if self.frozen.load(Ordering::Acquire) {
            return;
        }
        let sandbox = self.sandbox.read().await;
        let Some(sandbox) = sandbox.as_ref() else { return };
        match sandbox.freeze().await {
            Ok(()) => {
                self.frozen.store(true, Ordering::Release);
                complain(&format!("frozen: {reason}"));
                self.alarm.send_replace(Some(reason.to_owned()));
            }
            Err(error) => {
                // What cannot be stopped where it stands is ended.
                complain(&format!("{reason}, and it cannot be frozen: {error}"));
                self.ending.send_replace(true);
                self.over.send_replace(true);
            }
        }
    }

    fn look(&self) -> Seen {
        Seen {
            id: self.kept.id,
            frozen: self.frozen.load(Ordering::Acquire),
            reason: self.alarm.borrow().clone(),
            commands: self.commands.load(Ordering::Acquire),
            level: self.about().level.clone().unwrap_or_default(),
        }
    }

    async fn snapshot(&self, name: Option<String>) -> Result<Answer> {
        if let Some(name) = &name {
            check_name(name)?;
            ensure!(
                !self.about().names.contains_key(name),
                "a snapshot of it is called {name} already: give another name"
            );
        }
        let id = self.renew(|layer| layer.snapshot()).await?.to_string();
        if let Some(name) = name {
            let about = {
                let mut about = self.about();
                about.names.insert(name, id.clone());
                about.clone()
            };
            self.kept.write(&about)?;
        }
        Ok(Answer::Snapshot(id))
    }

    /// Changes the layer, for which the sandbox is made anew.
    async fn renew<T: Send + 'static>(
        &self,
        change: impl FnOnce(&LayerStack) -> Result<T, LayerError> + Send + 'static,
    ) -> Result<T> {
        ensure!(
            !self.frozen.load(Ordering::Acquire),
            "it is frozen: `cofferdam sandbox thaw {}` first",
            self.kept.id
        );
        let busy = "a command is running in it: wait until it has ended, or end it";
        ensure!(self.commands.load(Ordering::Acquire) == 0, "{busy}");
        let mut slot = timeout(PATIENCE, self.sandbox.write()).await.context(busy)?;
        let sandbox = slot.take().context(ENDED)?;
        sandbox.destroy().await?;
        let layer = LayerStack::at(&self.kept.layer);
        let changed = spawn_blocking(move || change(&layer)).await.context("changing the layer failed")?;
        match self.open().await {
            Ok(sandbox) => *slot = Some(sandbox),
            Err(error) => return Err(error.context("it could not be made again; destroy it, or fork it")),
        }
        Ok(changed?)
    }

    /// Ends the sandbox, but not what it wrote.
    async fn end(&self, reason: &str) -> Result<()> {
        complain(&format!("ends: {reason}"));
        let stopped = self.stop(reason).await;
        let about = About { ended: Some(reason.to_owned()), ..self.about().clone() };
        self.kept.write(&about)?;
        std::fs::remove_file(self.kept.socket()).context("failed to remove the control socket")?;
        stopped
    }

    async fn destroy(&self) -> Result<()> {
        self.stop("it was destroyed").await?;
        let kept = self.kept.clone();
        spawn_blocking(move || kept.remove()).await.context("removing it failed")?
    }

    async fn stop(&self, reason: &str) -> Result<()> {
        self.ending.send_replace(true);
        let sandbox = self.sandbox.write().await.take();
        if let Some(door) = &self.door {
            door.close(reason);
        }
        drop(self.serving.lock().unwrap_or_else(PoisonError::into_inner).take());
        match sandbox {
            Some(sandbox) => Ok(sandbox.destroy().await?),
            None => Ok(()),
        }
    }
}

/// What is said of a keeper that no longer has a sandbox.
pub(super) const ENDED: &str = "the sandbox has ended";

/// Whether the other end of a connection is a process of this user.
pub(super) fn is_ours(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw())
}
