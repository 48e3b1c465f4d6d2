//! `cofferdam up`, `server` and `worker`: the service, whole or in parts.

use std::{net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use cofferdam_domain::Owner;
use cofferdam_server::{OpenId, Origin, Server, serve_numbers};
use cofferdam_store::{Everything, Shares};
use cofferdam_worker::{Service, ServiceNews, ServiceOptions, StopSignal};
use tokio::net::TcpListener;

use crate::{
    apps::KeptForges,
    args::UpArguments,
    commands::admin::org_named,
    compose::{App, Facing},
    desk::ForgeDesk,
    exit::Exit,
    log_lines,
    telemetry::{Ear, count},
    terminal::{Style, complain},
    ways::Ways,
};

/// Everything in one process.
pub(crate) async fn up(app: &App, arguments: &UpArguments) -> Result<Exit> {
    let stop = app.stop_on_interrupt();
    let store = app.tried_store().await?;
    let kept = KeptForges::open(app, &store).await?;
    let (server, listener, ways) = begin(app, &store, &kept, arguments.listen).await?;
    let upkeep = app.upkeep(&store, true).run(stop.clone());
    let outside = ways.run(app.routes()?, told_origin(app, &listener)?, stop.clone());
    let worker = work(app, store, &kept, stop.clone());
    let serve = async {
        server.serve(listener, stop.clone()).await.context("the server can take no more connections")
    };
    // When one part fails, the other is not told to stop: it is dropped, and the kernel ends its sandboxes. Nothing is lost by that.
    tokio::try_join!(
        serve,
        worker,
        async {
            upkeep.await;
            Ok(())
        },
        done(outside),
        done(kept.follow(stop.clone()))
    )?;
    Ok(Exit::Success)
}

/// The API and the pages.
pub(crate) async fn server(app: &App, arguments: &UpArguments) -> Result<Exit> {
    let stop = app.stop_on_interrupt();
    let store = app.tried_store().await?;
    let kept = KeptForges::open(app, &store).await?;
    let (server, listener, ways) = begin(app, &store, &kept, arguments.listen).await?;
    let upkeep = app.upkeep(&store, false).run(stop.clone());
    let outside = ways.run(app.routes()?, told_origin(app, &listener)?, stop.clone());
    let follow = kept.follow(stop.clone());
    let serve =
        async { server.serve(listener, stop).await.context("the server can take no more connections") };
    tokio::try_join!(
        serve,
        async {
            upkeep.await;
            Ok(())
        },
        done(outside),
        done(follow)
    )?;
    Ok(Exit::Success)
}

/// A worker.
pub(crate) async fn worker(app: &App) -> Result<Exit> {
    log_lines::to_stderr();
    let stop = app.stop_on_interrupt();
    let store = app.tried_store().await?;
    app.terminal.line(&format!("{} works on what is queued", app.worker_name()));
    let upkeep = app.upkeep(&store, true).run(stop.clone());
    let numbers = numbers(app, stop.clone());
    let kept = KeptForges::open(app, &store).await?;
    let follow = kept.follow(stop.clone());
    tokio::try_join!(work(app, store, &kept, stop), numbers, done(follow), async {
        upkeep.await;
        Ok(())
    })?;
    Ok(Exit::Success)
}

/// What runs beside the parts that can fail.
async fn done(beside: impl Future<Output = ()>) -> Result<()> {
    beside.await;
    Ok(())
}

/// Where the pages are, for those who are told of sessions.
fn told_origin(app: &App, listener: &TcpListener) -> Result<String> {
    Ok(match &app.config.server.origin {
        Some(origin) => origin.clone(),
        None => {
            Origin::of_loopback(listener.local_addr().context("the listener has no address")?).to_string()
        }
    })
}

/// Shows the worker's numbers, if that is wanted.
async fn numbers(app: &App, stop: StopSignal) -> Result<()> {
    let Some(wanted) = app.config.worker.metrics else { return Ok(()) };
    let listener = TcpListener::bind(wanted)
        .await
        .with_context(|| format!("failed to listen on {wanted}: [worker] metrics names another address"))?;
    let address = listener.local_addr().context("the listener has no address")?;
    app.terminal.line(&format!("numbers at http://{address}/metrics"));
    if !wanted.ip().is_loopback() {
        complain(&format!("whoever reaches {address} can read this worker's numbers"));
    }
    serve_numbers(listener, app.counted.numbers(), stop).await.context("nobody can be shown numbers any more")
}

/// Listens, and says where.
async fn begin(
    app: &App,
    store: &Arc<dyn Everything>,
    kept: &Arc<KeptForges>,
    wanted: Option<SocketAddr>,
) -> Result<(Server, TcpListener, Ways)> {
    log_lines::to_stderr();
    let settings = &app.config.server;
    let wanted = wanted.unwrap_or(settings.listen);
    let origin = settings.origin.as_deref().map(Origin::parse).transpose().context("[server] origin")?;
    if origin.is_none() && !wanted.ip().is_loopback() {
        bail!(
            "{wanted} can be reached from other machines, and nothing would be encrypted: put a server that ends TLS in front and \
             set [server] origin to its https:// address, or listen on 127.0.0.1"
        );
    }
    let listener = TcpListener::bind(wanted).await.with_context(|| {
        format!("failed to listen on {wanted}: is another server there? --listen names another address")
    })?;
    let address = listener.local_addr().context("the listener has no address")?;
    let origin = origin.unwrap_or_else(|| Origin::of_loopback(address));
    let secrets = app.secrets(store);
    secrets.prepare().await?;
    let openid = openid(app, &**store).await.context("[server.openid]")?;
    let models = app.models_on_offer().await?;
    let ways = Ways::open(app, store, models.first().cloned(), kept.clone()).await?;
    let forges = ForgeDesk::new(&ways, kept.clone(), origin.clone(), &settings.github_enterprise)?;
    let (hooks, threads) = (Some(ways.hooks()), ways.threads());
    let forges: Option<Box<dyn cofferdam_server::Forges>> = Some(Box::new(forges));
    let facing = Facing { origin: origin.clone(), models, openid, hooks, forges, threads };
    let server = app.server(store.clone(), secrets, facing);
    app.terminal
        .line(&format!("listening on {address}: {}", app.terminal.paint(Style::Bold, &origin.to_string())));
    for name in ways.posted() {
        app.terminal.line(&format!("webhooks of {name}: {origin}/hooks/{name}"));
    }
    for name in ways.heard() {
        app.terminal.line(&format!("listens to {name}"));
    }
    if !wanted.ip().is_loopback() {
        complain(&format!(
            "{address} is not encrypted: let nothing reach it but the server that ends TLS in front of it"
        ));
    }
    let has_links = !settings.openid.as_ref().is_some_and(|openid| openid.only);
    if has_links && nobody_has_signed_in(&**store).await? {
        let desk = server.desk(Owner::LOCAL.org, Owner::LOCAL.user, app.user());
        let link = desk.link(Owner::LOCAL.user).await?;
        app.terminal.line(&format!("sign in within 15 minutes: {}", link.url.expose()));
    }
    Ok((server, listener, ways))
}

/// Who else says who somebody is.
async fn openid(app: &App, store: &dyn Everything) -> Result<Option<OpenId>> {
    let Some(table) = &app.config.server.openid else { return Ok(None) };
    let org = org_named(store, &table.organisation).await?;
    Ok(Some(table.open(org).await?))
}

/// Whether this is the first time that anybody could.
async fn nobody_has_signed_in(store: &dyn Everything) -> Result<bool> {
    const LOOK: u32 = 500;
    let entries = store.audited(Owner::LOCAL.org, None, LOOK).await?;
    Ok(entries.len() < LOOK as usize && entries.iter().all(|entry| entry.action != "signed_in"))
}

/// Works on what is queued until it is told to stop.
async fn work(app: &App, store: Arc<dyn Everything>, kept: &KeptForges, stop: StopSignal) -> Result<()> {
    let settings = app.config.worker;
    let parts = app.parts(store.clone(), app.host()?, app.config.policy.clone()).await?;
    let learning = kept.teach(parts.forges.clone(), parts.git.clone(), stop.clone());
    let telling = app.telling(store.clone(), Ear::Log)?;
    let tally = app.counted.tally.clone();
    let options = ServiceOptions {
        slots: NonZeroUsize::try_from(settings.slots).unwrap_or(NonZeroUsize::MIN),
        grace: GRACE,
        watch: telling.clone(),
        news: Arc::new(move |news| {
            count(&tally, news);
            tell(news);
        }),
        shares: Shares {
            per_user: settings.per_user,
            per_org: settings.per_organisation,
            per_repository: settings.per_repository,
        },
        patience: Duration::from_secs(u64::from(settings.patience.get())),
    };
    let (worked, ()) = tokio::join!(Service::run(parts, store, options, stop), learning);
    telling.finish().await;
    worked.context("the worker stopped; what it had goes on elsewhere, or when it is back")
}

/// How long what runs may take to come to a safe point when the worker is to end.
const GRACE: Duration = Duration::from_secs(60);

/// Writes down what happens in the worker.
fn tell(news: ServiceNews<'_>) {
    match news {
        ServiceNews::Entered(worker) => tracing::info!(%worker, "the worker is present"),
        ServiceNews::Taken(session, crashes) => tracing::info!(%session, crashes, "taken"),
        ServiceNews::Released(session, _) => tracing::info!(%session, "given back"),
        ServiceNews::TakenBack(session) => tracing::info!(%session, "taken back by somebody"),
        ServiceNews::Because(session, reason) => {
            tracing::warn!(%session, reason, "something of this machine failed")
        }
        ServiceNews::Failed(session) => tracing::warn!(%session, "could not go on; it is tried again"),
        ServiceNews::Overtaken(session) => tracing::warn!(%session, "another worker has it"),
        ServiceNews::Deleted(session) => {
            tracing::info!(%session, "deleted by somebody; nothing of it is left here")
        }
        ServiceNews::StoreFailed(error) => tracing::warn!(%error, "the store cannot be asked"),
        ServiceNews::Lost => tracing::warn!("silent for too long: others have the sessions of this worker"),
        ServiceNews::Draining(left) => tracing::info!(left, "takes no more sessions"),
    }
}
