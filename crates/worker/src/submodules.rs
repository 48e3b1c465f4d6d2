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
    Access, Contents, ForgeError, Mirror, RepositoryAddress, Seed, changed_submodules, submodule_script,
    submodules_script,
};
use cofferdam_sandbox::{ReadOnly, Sandbox};

use crate::{
    WorkerError,
    collect::{object_id, quarantine},
    lfs::{self, LENT, Lent},
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
    /// What Git LFS keeps of it, as far as it can be had.
    lent: Option<Lent>,
}

impl Placed {
    async fn of(
        context: &StageContext,
        submodule: Submodule,
        seed: Seed,
        contents: Option<&Contents>,
    ) -> Result<Self, WorkerError> {
        let lent = match contents {
            Some(contents) => lfs::lend_beside(context, (&shown(&submodule.path), contents), &seed).await?,
            None => None,
        };
        Ok(Self { submodule, seed, lent })
    }

    /// Bytes of what Git LFS keeps of it.
    fn bytes(&self) -> u64 {
        self.lent.as_ref().map_or(0, |lent| lent.bytes)
    }

    /// Where the sandbox sees that, if there is something.
    fn contents_inside(&self, number: usize) -> Option<String> {
        self.lent.as_ref().map(|_| format!("{LENT}-of-submodule-{number}"))
    }
}

/// Names the contents of Git LFS that a layer has: the repository's `own`, and those of its submodules. `None` where there are none.
pub(crate) fn contents(own: Option<Digest>, placed: &[Placed]) -> Option<Digest> {
    let of_submodules = placed.iter().filter_map(|one| Some((&one.submodule.path, one.lent.as_ref()?.name?)));
    named_contents(own, of_submodules.map(|(path, name)| (path.as_str(), name)))
}

fn named_contents<'p>(
    own: Option<Digest>,
    of_submodules: impl Iterator<Item = (&'p str, Digest)>,
) -> Option<Digest> {
    let mut text = String::new();
    for (path, name) in of_submodules {
        text.push_str(&format!("\0{path}\0{}", name.hex()));
    }
    if text.is_empty() {
        return own;
    }
    let own = own.map_or_else(String::new, |own| own.hex());
    Some(Digest::of(format!("lfs of submodules\0{own}{text}").as_bytes()))
}

/// Names which submodules a layer has. `None` where it has none.
pub(crate) fn name(submodules: &[Submodule]) -> Option<Digest> {
    let mut text = String::from("submodules");
    for Submodule { path, commit, url: _, reading: _ } in submodules {
        text.push_str(&format!("\0{path}\0{commit}"));
    }
    (!submodules.is_empty()).then(|| Digest::of(text.as_bytes()))
}

/// The submodules of the base, to be checked out: those that the log names, or as the base has them that was merged meanwhile. What Git LFS keeps of
/// them is brought up to so many bytes, or not at all.
pub(crate) async fn placed(context: &StageContext, bytes: Option<u64>) -> Result<Vec<Placed>, WorkerError> {
    let repository = context.repository()?;
    if repository.submodules.is_empty() {
        return Ok(Vec::new());
    }
    if context.agent.merged().is_some() {
        let mirror = context.mirror().await?;
        let base = mirror.resolve(Some(&repository.base_commit)).await.map_err(ForgeError::from)?;
        return Ok(find(context, &mirror, (&base, &repository.cones), bytes).await?.placed);
    }
    let root = context.address().await?;
    let access = context.access(&root).await?;
    let (mut placed, mut left) = (Vec::new(), bytes);
    for submodule in &repository.submodules {
        let way = reach(context, access.as_ref(), &submodule.url, &submodule.reading).await?;
        let contents = left.map(|left| way.contents(context, left));
        let mirror = way.mirror(context).await?;
        let commit = object_id(&submodule.commit)?;
        mirror.bring_commit(&commit).await.map_err(ForgeError::from)?;
        let base = mirror.resolve_commit(&commit).await.map_err(ForgeError::from)?;
        let seed = mirror.seed(&base).await.map_err(ForgeError::from)?;
        let one = Placed::of(context, submodule.clone(), seed, contents.as_ref()).await?;
        left = left.map(|left| left.saturating_sub(one.bytes()));
        placed.push(one);
    }
    Ok(placed)
}

/// Where a submodule's repository is, and as whom it is read. Nothing of it has been fetched yet.
struct Reached {
    address: RepositoryAddress,
    access: Option<Access>,
}

impl Reached {
    /// What Git LFS keeps of it, up to so many bytes.
    fn contents(&self, context: &StageContext, bytes: u64) -> Contents {
        context.parts.mirrors.contents(&self.address, self.access.clone()).within(bytes)
    }

    /// Its mirror, up to date.
    async fn mirror(self, context: &StageContext) -> Result<Mirror, WorkerError> {
        let mirrors = &context.parts.mirrors;
        Ok(mirrors.update_with(&self.address, self.access).await.map_err(ForgeError::from)?)
    }
}

/// Finds a submodule's repository. What is read with the rights of the session's own repository must still be its neighbour: addresses are texts, and
/// repositories move.
async fn reach(
    context: &StageContext,
    root: Option<&Access>,
    url: &str,
    reading: &SubmoduleReading,
) -> Result<Reached, WorkerError> {
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
    Ok(Reached { address, access })
}

/// What the sandbox that makes a layer is lent for them.
pub(crate) fn lent(placed: &[Placed]) -> impl Iterator<Item = ReadOnly> {
    placed.iter().enumerate().flat_map(|(number, placed)| {
        let seed =
            ReadOnly { host: placed.seed.path().to_owned(), inside: PathBuf::from(seed_inside(number)) };
        let inside = placed.contents_inside(number).map(PathBuf::from);
        let contents =
            placed.lent.as_ref().zip(inside).map(|(lent, inside)| ReadOnly { inside, ..lent.read_only() });
        std::iter::once(seed).chain(contents)
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
        let lent = (seed_inside(number), one.contents_inside(number).unwrap_or_default());
        submodule_script((&lent.0, &lent.1), &repository, path, one.seed.commit())
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
    fn contents_of_submodules_are_in_the_name() {
        let (own, other) = (Digest::of(b"own"), Digest::of(b"other"));
        let named =
            |own, submodules: &[(&'static str, Digest)]| named_contents(own, submodules.iter().copied());
        assert_eq!((named(None, &[]), named(Some(own), &[])), (None, Some(own)));
        let all = [
            named(None, &[("lib", other)]),
            named(Some(own), &[("lib", other)]),
            named(Some(own), &[("lab", other)]),
            named(Some(own), &[("lib", own)]),
            named(Some(own), &[("lib", other), ("more", other)]),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(one.is_some() && *one != Some(own) && !all[..place].contains(one), "{place}");
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
