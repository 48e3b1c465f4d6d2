//! Streams that last: new events of a session, changed sessions of an organisation.
//!
//! Nothing is polled: items come from the store as they are written. Now and then each stream says that it is there, and looks at that
//! occasion whether its reader may still read; it looks at once when somebody's rights shrink in this process. It ends when they may not, when the
//! session is gone, when the store fails, and when the server stops: a reader that comes back is told why.

use std::collections::BTreeSet;

use cofferdam_domain::{Seq, SessionId};
use cofferdam_store::SessionRow;
use futures_util::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use tokio::{sync::watch, time};

use crate::{access::Signed, limits, problem::Problem, shared::stopped, tail::Frame};

/// What comes of a stream.
#[derive(Debug)]
pub(crate) enum Live<T> {
    /// Something new.
    Item(T),
    /// Nothing, but the stream is alive.
    Here,
}

/// The events of a session after a place: those that there are, then each new one, as they are sent.
pub(crate) async fn session_events(
    signed: Signed,
    session: SessionId,
    after: Seq,
) -> Result<BoxStream<'static, Live<Frame>>, Problem> {
    let shared = signed.shared.clone();
    let tenant = signed.tenant.clone();
    session_frames(signed, session, async move { shared.tails().watch(tenant, session, after).await }).await
}

/// What is sent of a session, for as long as it may be seen.
pub(crate) async fn session_frames(
    signed: Signed,
    session: SessionId,
    frames: impl Future<Output = Result<BoxStream<'static, Frame>, Problem>> + Send,
) -> Result<BoxStream<'static, Live<Frame>>, Problem> {
    let open = slot(&signed)?;
    let frames = frames.await?;
    Ok(Watched::new(signed, Some(session), frames, open).stream().boxed())
}

/// The sessions that whoever asks may see, each time that one has changed.
pub(crate) async fn session_changes(
    signed: Signed,
) -> Result<impl Stream<Item = Live<SessionRow>> + Send + use<>, Problem> {
    /// How many changes are looked at together: several of one session are one.
    const TOGETHER: usize = 256;
    let open = slot(&signed)?;
    let changes = signed.tenant.changes().await?;
    let tenant = signed.tenant.clone();
    let rows = changes.ready_chunks(TOGETHER).flat_map(|changed| {
        let once: BTreeSet<SessionId> = changed.into_iter().collect();
        stream::iter(once)
    });
    let rows = rows.filter_map(move |session| {
        let tenant = tenant.clone();
        // Of another project, or gone since.
        async move { tenant.session(session).await.ok() }
    });
    Ok(Watched::new(signed, None, rows.boxed(), open).stream())
}

fn slot(signed: &Signed) -> Result<limits::Stream, Problem> {
    signed.shared.streams().open(signed.actor().user, signed.shared.limits().streams)
}

/// Why a stream looks whether it may go on.
enum Happened {
    Rights,
    Heartbeat,
}

/// A stream with what may end it.
struct Watched<T> {
    signed: Signed,
    /// What must still be there.
    session: Option<SessionId>,
    items: BoxStream<'static, T>,
    heartbeat: time::Interval,
    rights: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    _open: limits::Stream,
}

impl<T: Send + 'static> Watched<T> {
    fn new(
        signed: Signed,
        session: Option<SessionId>,
        items: BoxStream<'static, T>,
        open: limits::Stream,
    ) -> Self {
        let period = signed.shared.limits().heartbeat;
        let mut heartbeat = time::interval_at(time::Instant::now() + period, period);
        heartbeat.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let (rights, stopping) = (signed.shared.rights(), signed.shared.stopping());
        Self { signed, session, items, heartbeat, rights, stopping, _open: open }
    }

    fn stream(self) -> impl Stream<Item = Live<T>> + Send + use<T> {
        stream::unfold(self, |mut watched| async move {
            let item = watched.next().await?;
            Some((item, watched))
        })
    }

    async fn next(&mut self) -> Option<Live<T>> {
        loop {
            let happened = tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => return None,
                changed = self.rights.changed() => changed.ok().map(|()| Happened::Rights)?,
                _ = self.heartbeat.tick() => Happened::Heartbeat,
                item = self.items.next() => return item.map(Live::Item),
            };
            if !may_go_on(&self.signed, self.session).await {
                return None;
            }
            match happened {
                Happened::Rights => {}
                Happened::Heartbeat => return Some(Live::Here),
            }
        }
    }
}

/// Whether somebody may still see the session, or at all.
async fn may_go_on(signed: &Signed, session: Option<SessionId>) -> bool {
    if !signed.still().await {
        return false;
    }
    match session {
        Some(session) => signed.tenant.session(session).await.is_ok(),
        None => true,
    }
}
