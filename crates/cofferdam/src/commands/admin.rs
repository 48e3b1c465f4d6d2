//! `cofferdam admin`: who may use a server, set up on the machine that has the store.

use anyhow::{Context, Result, bail};
use cofferdam_domain::{OrgId, Owner, Rank, UserId};
use cofferdam_server::{Link, Origin, Server};
use cofferdam_store::{Everything, Member};

use crate::{
    args::{AdminCommand, LinkArguments, OrgArguments, TokenArguments, UserArguments},
    compose::App,
    exit::Exit,
    terminal::inert,
};

/// Does one thing.
pub(crate) async fn admin(app: &App, command: &AdminCommand) -> Result<Exit> {
    let store = app.store().await?;
    let settings = &app.config.server;
    let origin = match settings.origin.as_deref() {
        Some(origin) => Origin::parse(origin).context("[server] origin")?,
        None => Origin::of_loopback(settings.listen),
    };
    let server = app.server(store.clone(), app.secrets(&store), origin, Vec::new());
    match command {
        AdminCommand::Link(arguments) => link(app, &*store, &server, arguments).await?,
        AdminCommand::User(arguments) => user(app, &*store, &server, arguments).await?,
        AdminCommand::Token(arguments) => token(app, &*store, &server, arguments).await?,
        AdminCommand::Org(arguments) => org(app, &*store, &server, arguments).await?,
    }
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

fn show(app: &App, link: &Link) {
    app.terminal.line(&format!("{}: sign in within 15 minutes: {}", link.user, link.url.expose()));
}

async fn org_named(store: &dyn Everything, name: &str) -> Result<OrgId> {
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
