//! Submodules of a session's repositories: which may be read, their files in workspaces and in the sandboxes of tests, and what of them was changed.
//!
//! Each is mirrored like any other repository and lent to the sandbox that makes a base layer, where it is checked out at its path. What is there is
//! for reading, building and testing: a session delivers nothing to a submodule's repository. Whatever of this cannot be done leaves the place
//! empty, and says why.

mod find;

use std::path::PathBuf;

use cofferdam_domain::{
    Digest, Finding, Severity, Task,
    change::{Received, Undelivered},
    event::{Submodule, SubmoduleReading},
    hidden::visible,
};
use cofferdam_forge::{
    Access, ForgeError, Mirror, RepositoryAddress, Seed, changed_submodules, submodule_script,
    submodules_script,
};
use cofferdam_sandbox::{ReadOnly, Sandbox};

use crate::{
    WorkerError,
    collect::{object_id, quarantine},
    script::{self, SEED},
    stage::StageContext,
};

pub(crate) use find::find;

/// How long it may take to see what was changed.
const LOOK_TIME: std::time::Duration = std::time::Duration::from_secs(600);
/// Characters of a path or an address in what people are told.
const LONGEST_SHOWN: usize = 150;

/// A submodule with what a sandbox checks it out from.
pub(crate) struct Placed {
    pub(crate) submodule: Submodule,
    seed: Seed,
}

/// Names which submodules a layer has. `None` where it has none.
pub(crate) fn name(submodules: &[Submodule]) -> Option<Digest> {
    let mut text = String::from("submodules");
    for Submodule { path, commit, url: _, reading: _ } in submodules {
        text.push_str(&format!("\0{path}\0{commit}"));
    }
    (!submodules.is_empty()).then(|| Digest::of(text.as_bytes()))
}

/// The submodules of the base, to be checked out: those that the log names, or as the base has them that was merged meanwhile.
pub(crate) async fn placed(context: &StageContext) -> Result<Vec<Placed>, WorkerError> {
    let repository = context.repository()?;
    if repository.submodules.is_empty() {
        return Ok(Vec::new());
    }
    if context.agent.merged().is_some() {
        let mirror = context.mirror().await?;
        let base = mirror.resolve(Some(&repository.base_commit)).await.map_err(ForgeError::from)?;
        return Ok(find(context, &mirror, &base, &repository.cones).await?.placed);
    }
    let root = context.address().await?;
    let access = context.access(&root).await?;
    let mut placed = Vec::new();
    for submodule in &repository.submodules {
        let mirror = reach(context, access.as_ref(), &submodule.url, &submodule.reading).await?;
        let commit = object_id(&submodule.commit)?;
        mirror.bring_commit(&commit).await.map_err(ForgeError::from)?;
        let base = mirror.resolve_commit(&commit).await.map_err(ForgeError::from)?;
        let seed = mirror.seed(&base).await.map_err(ForgeError::from)?;
        placed.push(Placed { submodule: submodule.clone(), seed });
    }
    Ok(placed)
}

/// The mirror of a submodule's repository, up to date. What is read with the rights of the session's own repository must still be its neighbour:
/// addresses are texts, and repositories move.
async fn reach(
    context: &StageContext,
    root: Option<&Access>,
    url: &str,
    reading: &SubmoduleReading,
) -> Result<Mirror, WorkerError> {
    let place = match reading {
        SubmoduleReading::Copy(path) => path,
        SubmoduleReading::Together | SubmoduleReading::Anybody => url,
    };
    let parts = &context.parts;
    let address = RepositoryAddress::parse(&parts.git, place, std::path::Path::new("/")).await;
    let address = address.map_err(ForgeError::from)?;
    let access = match (reading, root) {
        (SubmoduleReading::Together, Some(root)) => {
            let access = parts.forges.access(context.org, &address).await.map_err(ForgeError::from)?;
            if !access.as_ref().is_some_and(|access| access.is_kin(root)) {
                return Err(WorkerError::OtherRepository(address.to_string()));
            }
            access
        }
        // A copy is a path that this worker has found itself; nothing else here is one.
        (SubmoduleReading::Copy(_), _) => None,
        (SubmoduleReading::Together | SubmoduleReading::Anybody, _) => {
            if let RepositoryAddress::Local(_) = address {
                return Err(WorkerError::Log("a submodule is on this machine"));
            }
            None
        }
    };
    Ok(parts.mirrors.update_with(&address, access).await.map_err(ForgeError::from)?)
}

/// What the sandbox that makes a layer is lent for them.
pub(crate) fn lent(placed: &[Placed]) -> impl Iterator<Item = ReadOnly> {
    placed.iter().enumerate().map(|(number, placed)| ReadOnly {
        host: placed.seed.path().to_owned(),
        inside: PathBuf::from(seed_inside(number)),
    })
}

fn seed_inside(number: usize) -> String {
    format!("{SEED}-of-submodule-{number}")
}

/// The commands that check them out into a workspace, which has its own files already.
pub(crate) fn scripts(placed: &[Placed], workspace: &str) -> impl Iterator<Item = Vec<String>> {
    placed.iter().enumerate().map(move |(number, one)| {
        let path = &one.submodule.path;
        let below = |other: &&Placed| {
            path.strip_prefix(&*other.submodule.path).is_some_and(|rest| rest.starts_with('/'))
        };
        let within =
            placed.iter().filter(below).map(|other| &*other.submodule.path).max_by_key(|path| path.len());
        let (repository, path) = match within {
            Some(within) => {
                (format!("{workspace}/{within}"), path.get(within.len() + 1..).unwrap_or_default())
            }
            None => (workspace.to_owned(), &**path),
        };
        submodule_script(&seed_inside(number), &repository, path, one.seed.commit())
    })
}

/// The submodules in which the agent left other files than their commits have, as far as the sandbox says.
pub(crate) async fn changed(
    context: &StageContext,
    sandbox: &dyn Sandbox,
) -> Result<Vec<Undelivered>, WorkerError> {
    let submodules = &context.repository()?.submodules;
    if submodules.is_empty() {
        return Ok(Vec::new());
    }
    let paths: Vec<&str> = submodules.iter().map(|submodule| &*submodule.path).collect();
    let argv = submodules_script(&context.workspace(), &paths);
    // Nothing is delivered of it either way: what cannot be looked at is not told.
    let Some(finished) = script::run(sandbox, argv, "/", LOOK_TIME, 64 * 1024).await? else {
        return Ok(Vec::new());
    };
    let changed = changed_submodules(&finished.output.joined());
    let changed = changed.into_iter().filter_map(|(number, only_added)| {
        let path = (*paths.get(number)?).to_owned();
        Some(Undelivered { path, only_added })
    });
    Ok(changed.collect())
}

/// What the gate is to see where nothing but files of submodules was changed: the repository as it was, with that. `None` where there is nothing to
/// be sent back.
pub(crate) async fn nothing_but(
    context: &StageContext,
    changed: Vec<Undelivered>,
    as_it_was: &cofferdam_forge::ObjectId,
) -> Result<Option<Received>, WorkerError> {
    if changed.iter().all(|change| change.only_added) {
        return Ok(None);
    }
    let received = quarantine(context).await?.offered(as_it_was).await.map_err(ForgeError::from)?;
    Ok(Some(Received { submodules: changed, ..received }))
}

/// What the gate says of them.
pub(crate) fn findings(context: &StageContext, received: &Received) -> Result<Vec<Finding>, WorkerError> {
    let known = &context.repository()?.submodules;
    let task = context.task()?;
    let finding = |change: &Undelivered| {
        let submodule = known.iter().find(|submodule| submodule.path == change.path)?;
        Some(Finding {
            rule: "submodule".to_owned(),
            severity: if change.only_added { Severity::Warning } else { Severity::Blocking },
            path: shown(&change.path),
            line: None,
            why: why(submodule, change, task),
        })
    };
    Ok(received.submodules.iter().filter_map(finding).collect())
}

fn why(submodule: &Submodule, change: &Undelivered, task: &Task) -> String {
    let url = shown(&submodule.url);
    let beside = task.parts().find(|part| {
        let plain = |address: &str| address.trim_end_matches('/').trim_end_matches(".git").to_owned();
        task.at(*part).is_some_and(|(address, _)| plain(address) == plain(&submodule.url))
    });
    let what = if change.only_added { "files were added" } else { "changes" };
    let there = match beside.and_then(|part| task.directory(part)) {
        Some(directory) => format!("make them in `{directory}/`, where this session has that repository"),
        None => format!("start the session with `--also {url}` to change that repository"),
    };
    format!("{what} inside the submodule {url}: they are not delivered. Undo them here; {there}")
}

/// A text of a repository's as people and the agent are shown it.
fn shown(text: &str) -> String {
    visible(text.as_bytes()).replace('`', "'").chars().take(LONGEST_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::{Also, Source};

    use super::*;

    fn submodule(path: &str, url: &str) -> Submodule {
        let reading = SubmoduleReading::Together;
        Submodule { path: path.into(), commit: "1".repeat(40), url: url.into(), reading }
    }

    fn task(also: &[&str]) -> Task {
        let also = also.iter().map(|also| Also { repository: (*also).into(), base: None }).collect();
        let task = Task::new("Do it.".into(), "https://h/a/app".into(), None, "ann".into(), Source::Cli);
        task.unwrap().and_also(also).unwrap()
    }

    #[test]
    fn a_layer_is_named_by_the_commits_and_where_they_are() {
        let one = submodule("lib", "https://h/a/lib");
        assert_eq!(name(&[]), None);
        assert_eq!(
            name(std::slice::from_ref(&one)),
            name(&[Submodule { url: "https://h/x".into(), ..one.clone() }])
        );
        for other in [
            Submodule { path: "lab".into(), ..one.clone() },
            Submodule { commit: "2".repeat(40), ..one.clone() },
        ] {
            assert_ne!(name(std::slice::from_ref(&one)), name(&[other]));
        }
    }

    #[test]
    fn what_to_do_is_said() {
        let lib = submodule("lib", "https://h/a/lib.git");
        let change = Undelivered { path: "lib".into(), only_added: false };
        let said = why(&lib, &change, &task(&[]));
        assert!(said.contains("not delivered") && said.contains("`--also https://h/a/lib.git`"), "{said}");
        let said = why(&lib, &change, &task(&["https://h/a/lib"]));
        assert!(said.contains("in `lib/`") && !said.contains("--also"), "{said}");
        let said = why(&lib, &Undelivered { only_added: true, ..change }, &task(&[]));
        assert!(said.starts_with("files were added"), "{said}");
    }

    #[test]
    fn texts_of_repositories_are_inert() {
        assert_eq!(shown("a`b\u{202e}c"), "a'b\\u{202e}c");
        assert_eq!(shown(&"x".repeat(1000)).len(), LONGEST_SHOWN);
    }
}
