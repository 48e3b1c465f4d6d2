//! `cofferdam memory`: what an organisation has noted for later sessions. Whoever approves a proposal approves the bytes that its digest stands for.

use anyhow::{Context as _, Result, bail};
use cofferdam_domain::{
    Digest, Memory, MemoryId, MemorySource, OrgId, Timestamp,
    hidden::hidden,
    memory::{self, MOST_KEPT, NoMemory},
};
use cofferdam_forge::{Git, RepositoryAddress};
use cofferdam_store::{Everything, Noted, Proposed, is_crowded};
use serde_json::json;

use super::{accounted::account, admin::org_named};
use crate::{
    args::{
        MemoryAddArguments, MemoryApproveArguments, MemoryArguments, MemoryCommand, MemoryEditArguments,
        MemoryListArguments,
    },
    compose::App,
    exit::Exit,
    terminal::{Style, inert},
};

/// Does one thing.
pub(crate) async fn memory(app: &App, command: &MemoryCommand) -> Result<Exit> {
    match command {
        MemoryCommand::List(arguments) => list(app, arguments).await,
        MemoryCommand::Add(arguments) => add(app, arguments).await,
        MemoryCommand::Edit(arguments) => edit(app, arguments).await,
        MemoryCommand::Remove(arguments) => remove(app, arguments).await,
        MemoryCommand::Approve(arguments) => approve(app, arguments).await,
        MemoryCommand::Reject(arguments) => reject(app, arguments).await,
    }
}

/// What is said where no more can be proposed.
const CROWDED: &str = "As many proposals wait as may, of one project or in all: what its sessions propose now is dropped. Decide about some to make room.";

/// One text in a list.
struct Listed<'t> {
    id: MemoryId,
    proposed: bool,
    repository: Option<&'t str>,
    text: &'t str,
    from: String,
    at: Timestamp,
    private: bool,
}

async fn list(app: &App, arguments: &MemoryListArguments) -> Result<Exit> {
    let store = app.store().await?;
    let org = org_named(&*store, &arguments.org).await?;
    let only = match &arguments.repo {
        // One that is gone from this machine still has its name.
        Some(repository) => Some(match place(repository).await {
            Ok(place) => place,
            Err(error) => memory::place(repository).ok_or(error)?,
        }),
        None => None,
    };
    let (proposals, memories) = (store.proposals(org).await?, store.memories(org).await?);
    if is_crowded(&proposals) && !arguments.json {
        app.terminal.line(&app.terminal.paint(Style::Warn, CROWDED));
    }
    let proposals = proposals.iter().map(|proposed: &Proposed| Listed {
        id: proposed.id,
        proposed: true,
        repository: proposed.repository.as_deref(),
        text: &proposed.text,
        from: format!("proposed by an agent in {}", proposed.session),
        at: proposed.at,
        private: proposed.private,
    });
    let memories = memories.iter().map(|memory: &Memory| Listed {
        id: memory.id,
        proposed: false,
        repository: memory.repository.as_deref(),
        text: &memory.text,
        from: memory.source.words(),
        at: memory.at,
        private: memory.private,
    });
    let is_meant =
        |one: &Listed<'_>| only.is_none() || one.repository.is_none() || one.repository == only.as_deref();
    let mut nothing = true;
    for one in proposals.chain(memories).filter(is_meant) {
        nothing = false;
        if arguments.json {
            app.terminal.json(&line(&one));
        } else {
            show(app, &one);
        }
    }
    if nothing && !arguments.json {
        app.terminal.line("Nothing is noted or proposed. `cofferdam memory add` notes something.");
    }
    Ok(Exit::Success)
}

fn line(one: &Listed<'_>) -> String {
    let Listed { id, proposed, repository, text, from, at, private } = one;
    let state = if *proposed { "proposed" } else { "noted" };
    json!({
        "id": id,
        "state": state,
        "repository": repository,
        "text": text,
        "digest": Digest::of(text.as_bytes()),
        "hidden": unseen(text),
        "from": from,
        "at": at.utc(),
        "private": private,
    })
    .to_string()
}

/// A text with its exact words: what is decided about is seen.
fn show(app: &App, one: &Listed<'_>) {
    let Listed { id, proposed, repository, text, from, at, private } = one;
    let terminal = app.terminal;
    let about = repository.map_or_else(|| "all repositories".to_owned(), inert);
    let style = if *proposed { Style::Warn } else { Style::Bold };
    terminal.line(&format!("{}  about {about}", terminal.paint(style, &id.to_string())));
    terminal.line(&terminal.paint(Style::Dim, &format!("    {}, {}", inert(from), at.utc())));
    if *private {
        let words =
            "    the session held what not everybody may see who may read its repository: this may be of it";
        terminal.line(&terminal.paint(Style::Warn, words));
    }
    for words in inert(text).split('\n') {
        terminal.line(&format!("    | {words}"));
    }
    if unseen(text) > 0 {
        let words = format!("    {} characters in it cannot be seen; they are written out", unseen(text));
        terminal.line(&terminal.paint(Style::Warn, &words));
    }
    let digest = Digest::of(text.as_bytes());
    if *proposed {
        terminal.line(&format!("    cofferdam memory approve {id} {digest}"));
    } else {
        terminal.line(&terminal.paint(Style::Dim, &format!("    {digest}")));
    }
}

fn unseen(text: &str) -> usize {
    hidden(&text.chars().collect::<Vec<char>>()).len()
}

/// The name under which a repository's memories are kept.
async fn place(repository: &str) -> Result<String> {
    let here = std::env::current_dir().context("the current directory is gone")?;
    let address = RepositoryAddress::parse(&Git::find()?, repository, &here).await?;
    Ok(memory::place(&address.to_string()).ok_or(NoMemory::Place)?)
}

fn written(app: &App, id: MemoryId, text: &str, repository: Option<String>) -> Result<Memory> {
    memory::check(text).map_err(|problem| anyhow::anyhow!("what is to be remembered: {problem}"))?;
    let source = MemorySource::Person { by: app.user() };
    Ok(Memory { id, repository, text: text.to_owned(), source, at: cofferdam_worker::now(), private: false })
}

async fn add(app: &App, arguments: &MemoryAddArguments) -> Result<Exit> {
    let MemoryAddArguments { text, repo, everywhere, org } = arguments;
    let repository = if *everywhere { None } else { Some(place(repo).await?) };
    let memory = written(app, MemoryId::generate(), text, repository)?;
    let store = app.store().await?;
    let org = org_named(&*store, org).await?;
    let noted = store.note(org, memory).await?;
    done(app, &*store, org, ("memory.added", noted)).await
}

async fn edit(app: &App, arguments: &MemoryEditArguments) -> Result<Exit> {
    let MemoryEditArguments { id, text, repo, everywhere, org } = arguments;
    let store = app.store().await?;
    let org = org_named(&*store, org).await?;
    let repository = match repo {
        _ if *everywhere => None,
        Some(repository) => Some(place(repository).await?),
        None => present(&*store, org, *id).await?,
    };
    let noted = store.amend(org, written(app, *id, text, repository)?).await?;
    done(app, &*store, org, ("memory.changed", noted)).await
}

/// What a memory or a proposal is about now.
async fn present(store: &dyn Everything, org: OrgId, id: MemoryId) -> Result<Option<String>> {
    let memory = store.memories(org).await?.into_iter().find(|memory| memory.id == id);
    if let Some(memory) = memory {
        return Ok(memory.repository);
    }
    match store.proposals(org).await?.into_iter().find(|proposed| proposed.id == id) {
        Some(proposed) => Ok(proposed.repository),
        None => missing(),
    }
}

async fn remove(app: &App, arguments: &MemoryArguments) -> Result<Exit> {
    let store = app.store().await?;
    let org = org_named(&*store, &arguments.org).await?;
    if !store.unlearn(org, arguments.id).await? {
        return missing();
    }
    account(app, &*store, org, "memory.removed", &arguments.id.to_string(), json!({})).await?;
    app.terminal.line(&format!("{}: no session that begins from now on is told of it", arguments.id));
    Ok(Exit::Success)
}

async fn approve(app: &App, arguments: &MemoryApproveArguments) -> Result<Exit> {
    let MemoryApproveArguments { id, digest, org } = arguments;
    let store = app.store().await?;
    let org = org_named(&*store, org).await?;
    let noted = store.approve_memory(org, *id, *digest, &app.user()).await?;
    done(app, &*store, org, ("memory.approved", noted)).await
}

async fn reject(app: &App, arguments: &MemoryArguments) -> Result<Exit> {
    let store = app.store().await?;
    let org = org_named(&*store, &arguments.org).await?;
    let Some(proposed) = store.reject_memory(org, arguments.id).await? else { return missing() };
    let detail = json!({ "digest": proposed.digest(), "session": proposed.session });
    account(app, &*store, org, "memory.rejected", &arguments.id.to_string(), detail).await?;
    app.terminal.line(&format!("{}: rejected; no session is told of it", arguments.id));
    Ok(Exit::Success)
}

/// Writes down what was noted, and says it.
async fn done(app: &App, store: &dyn Everything, org: OrgId, (action, noted): (&str, Noted)) -> Result<Exit> {
    let memory = match noted {
        Noted::Done(memory) => memory,
        Noted::Missing => return missing(),
        Noted::Full => bail!(
            "the organisation has {MOST_KEPT} memories, which is the most: `cofferdam memory remove` makes room"
        ),
    };
    let detail = json!({ "digest": memory.digest(), "repository": memory.repository });
    account(app, store, org, action, &memory.id.to_string(), detail).await?;
    let about = memory.repository.as_deref().map_or_else(|| "all repositories".to_owned(), inert);
    app.terminal.line(&format!("{}: sessions on {about} that begin from now on are told of it", memory.id));
    Ok(Exit::Success)
}

fn missing<T>() -> Result<T> {
    bail!(
        "there is no such memory, or not with this digest: `cofferdam memory list` has those that there are"
    )
}
