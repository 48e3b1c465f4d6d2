//! `cofferdam admin`: who may use a server, set up on the machine that has the store.

use std::{num::NonZeroU32, sync::Arc};

use anyhow::{Context, Result, bail};
use cofferdam_domain::{LetterId, NoticeKind, OrgId, Owner, Rank, Seq, UserId, amount::counted};
use cofferdam_server::{Link, Origin, Server};
use cofferdam_store::{Everything, Letter, Member, Retention};
use cofferdam_tell::{Message, Names};
use serde_json::json;

use super::accounted::account;
use crate::{
    args::{AdminCommand, LinkArguments, OrgArguments, RetentionArguments, TokenArguments, UserArguments},
    compose::{App, Facing},
    exit::Exit,
    secrets::Rotated,
    terminal::inert,
};

/// Does one thing.
pub(crate) async fn admin(app: &App, command: &AdminCommand) -> Result<Exit> {
    if let AdminCommand::TellTest(arguments) = command {
        return tell_test(app, &arguments.name).await;
    }
    let store = app.store().await?;
    if let AdminCommand::RotateKey = command {
        return rotate_key(app, &store).await;
    }
    let settings = &app.config.server;
    let origin = match settings.origin.as_deref() {
        Some(origin) => Origin::parse(origin).context("[server] origin")?,
        None => Origin::of_loopback(settings.listen),
    };
    let server = app.server(store.clone(), app.secrets(&store), Facing::alone(origin));
    match command {
        AdminCommand::Link(arguments) => link(app, &*store, &server, arguments).await?,
        AdminCommand::User(arguments) => user(app, &*store, &server, arguments).await?,
        AdminCommand::Token(arguments) => token(app, &*store, &server, arguments).await?,
        AdminCommand::Org(arguments) => org(app, &*store, &server, arguments).await?,
        AdminCommand::Retention(arguments) => retention(app, &*store, arguments).await?,
        AdminCommand::RotateKey | AdminCommand::TellTest(_) => {}
    }
    Ok(Exit::Success)
}

/// Tells one channel that nothing has happened.
async fn tell_test(app: &App, name: &str) -> Result<Exit> {
    let routes = app.routes()?;
    let names: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
    let Some(route) = routes.iter().find(|route| route.name == name) else {
        bail!("there is no channel {name:?}: the [[tell]] tables have {}", names.join(", "));
    };
    let letter = Letter {
        id: LetterId::generate(),
        kind: NoticeKind::Test,
        owner: Owner::LOCAL,
        session: None,
        seq: Seq::START,
        at: cofferdam_worker::now(),
        title: format!("A test of the channel {name}"),
        text: None,
        pull_request: None,
    };
    route
        .channel
        .tell(&Message::new(&letter, &Names::default(), None))
        .await
        .with_context(|| format!("{name} was not told"))?;
    app.terminal.line(&format!("{name} was told: {}", letter.id));
    Ok(Exit::Success)
}

async fn link(app: &App, store: &dyn Everything, server: &Server, arguments: &LinkArguments) -> Result<()> {
    let org = org_named(store, &arguments.org).await?;
    let member = member_named(store, org, &arguments.user).await?;
    let link = server.desk(org, Owner::LOCAL.user, app.user()).link(member.user).await?;
    show(app, &link);
    Ok(())
}

async fn user(app: &App, store: &dyn Everything, server: &Server, arguments: &UserArguments) -> Result<()> {
    let org = org_named(store, &arguments.org).await?;
    let desk = server.desk(org, Owner::LOCAL.user, app.user());
    let link = desk.add_user(arguments.name.clone(), arguments.rank).await?;
    show(app, &link);
    Ok(())
}

async fn token(app: &App, store: &dyn Everything, server: &Server, arguments: &TokenArguments) -> Result<()> {
    let org = org_named(store, &arguments.org).await?;
    let member = member_named(store, org, &arguments.user).await?;
    let desk = server.desk(org, member.user, app.user());
    let (_, token) = desk.token(arguments.name.clone(), arguments.rank, arguments.days).await?;
    app.terminal.line(token.expose());
    Ok(())
}

async fn org(app: &App, store: &dyn Everything, server: &Server, arguments: &OrgArguments) -> Result<()> {
    let org = store.create_org(&arguments.name, cofferdam_worker::now()).await?;
    let desk = server.desk(org.id, Owner::LOCAL.user, app.user());
    let link = desk.add_user(arguments.admin.clone(), Rank::Admin).await?;
    show(app, &link);
    Ok(())
}

/// Another master key for the secrets in the store. Servers and workers go on meanwhile.
async fn rotate_key(app: &App, store: &Arc<dyn Everything>) -> Result<Exit> {
    let Rotated { keys, earlier } = app.secrets(store).rotate().await?;
    let what = counted(keys as u64, "data key");
    account(app, &**store, Owner::LOCAL.org, "master_key.rotated", &what, json!({})).await?;
    let done = format!(
        "{} encrypted with the present master key; none is left under an earlier one",
        counted(keys as u64, "data key")
    );
    app.terminal.line(&done);
    app.terminal.line(&match earlier {
        Some(earlier) => format!(
            "the earlier key is {}: servers and workers on this data directory take the new one by themselves. Remove it when no copy of the store \
             from before now is to be read any more; then another rotation can begin",
            earlier.display()
        ),
        None if keys == 0 => "an earlier key is needed only for copies of the store from before: without those it can be destroyed".to_owned(),
        None => "run this again when every server and worker has been started with the present key: when it finds nothing more to do, the earlier \
                 key can be taken out of [secrets] earlier and destroyed, unless copies of the store from before are to be read"
            .to_owned(),
    });
    Ok(Exit::Success)
}

/// For how long an organisation keeps what has ended.
async fn retention(app: &App, store: &dyn Everything, arguments: &RetentionArguments) -> Result<()> {
    let org = org_named(store, &arguments.org).await?;
    let configured = Retention::from(app.config.retention).keeping;
    let mut own = store.keeping(org).await?;
    let RetentionArguments { sessions, files, org: name } = arguments;
    if sessions.is_some() || files.is_some() {
        own.sessions = sessions.map_or(own.sessions, NonZeroU32::new);
        own.files = files.map_or(own.files, NonZeroU32::new);
        let wider = |own: Option<NonZeroU32>, all: Option<NonZeroU32>| {
            own.zip(all).is_some_and(|(own, all)| own > all)
        };
        if wider(own.sessions, configured.sessions) || wider(own.files, configured.files) {
            bail!("an organisation can only keep things for less time than [retention] says for all");
        }
        store.set_keeping(org, own).await?;
    }
    let kept = configured.narrowed(own);
    let days = |days: Option<NonZeroU32>| {
        days.map_or("until somebody deletes them".to_owned(), |days| {
            format!("for {}", counted(days.get().into(), "day"))
        })
    };
    app.terminal.line(&format!(
        "{}: after its end a session is kept {}, its files {}",
        inert(name),
        days(kept.sessions),
        days(kept.files.or(kept.sessions))
    ));
    Ok(())
}

fn show(app: &App, link: &Link) {
    app.terminal.line(&format!("{}: sign in within 15 minutes: {}", link.user, link.url.expose()));
}

pub(crate) async fn org_named(store: &dyn Everything, name: &str) -> Result<OrgId> {
    let orgs = store.orgs().await?;
    match orgs.iter().find(|org| org.name == name || org.id.to_string() == name) {
        Some(org) => Ok(org.id),
        None => bail!("there is no organisation {}: `cofferdam admin org` makes one", inert(name)),
    }
}

/// The member of that name, if there is one; or of that id.
async fn member_named(store: &dyn Everything, org: OrgId, named: &str) -> Result<Member> {
    let members = store.members(org).await?;
    let id: Option<UserId> = named.parse().ok();
    let mut found = members.into_iter().filter(|member| member.name == named || Some(member.user) == id);
    match (found.next(), found.next()) {
        (Some(member), None) => Ok(member),
        (Some(_), Some(_)) => bail!("several users are called {}: name one by their id", inert(named)),
        (None, _) => bail!(
            "nobody in the organisation is called {}: `cofferdam admin user` makes a user",
            inert(named)
        ),
    }
}
