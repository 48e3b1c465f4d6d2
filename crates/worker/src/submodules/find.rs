//! Which submodules a base has, of those which may be read, and which have to be left out.

use std::collections::VecDeque;

use cofferdam_domain::{
    amount::counted,
    causes::with_causes,
    event::{Submodule, SubmoduleReading},
};
use cofferdam_forge::{
    Base, ForgeError, Mirror, MirrorError, ModuleName, NamedSubmodule, RepositoryAddress, SubmoduleRules,
    SubmoduleSource,
};

use super::{Placed, reach, shown};
use crate::{WorkerError, stage::StageContext};

/// How many of those that are left out, and of those that are there, are told by name.
const MOST_TOLD: usize = 6;
/// Characters of a reason.
const LONGEST_REASON: usize = 300;

/// What was found.
#[derive(Default)]
pub(crate) struct Found {
    /// Each after the one that it is in.
    pub(crate) placed: Vec<Placed>,
    /// What people and the agent are told.
    pub(crate) notes: Vec<String>,
}

/// The submodules of a base, and theirs, as far as they may be read, with so many bytes of what Git LFS keeps of them.
pub(crate) async fn find(
    context: &StageContext,
    mirror: &Mirror,
    (base, cones): (&Base, &[String]),
    contents: Option<u64>,
) -> Result<Found, WorkerError> {
    if base.submodules == 0 {
        return Ok(Found::default());
    }
    let mut search = Search {
        context,
        rules: context.parts.mirrors.submodule_rules(),
        root: mirror,
        cones,
        placed: Vec::new(),
        left_out: LeftOut::default(),
        asked: 0,
        bytes: 0,
        contents,
    };
    let first = Level {
        mirror: mirror.clone(),
        base: base.clone(),
        inside: String::new(),
        above: Vec::new(),
        of_strangers: false,
    };
    let mut levels = VecDeque::from([first]);
    while let Some(level) = levels.pop_front() {
        levels.extend(search.look_into(&level).await?);
    }
    let mut notes = Vec::new();
    notes.extend(told(&search.placed));
    let kept = search.placed.iter().filter_map(|placed| placed.lent.as_ref());
    notes.extend(kept.flat_map(|lent| lent.notes.clone()).take(MOST_TOLD));
    notes.extend(search.left_out.told());
    Ok(Found { placed: search.placed, notes })
}

/// A repository whose submodules are looked for.
struct Level {
    mirror: Mirror,
    base: Base,
    /// Where it is in the workspace, with a slash after it; nothing for the session's own.
    inside: String,
    /// The addresses of the submodules that it is in.
    above: Vec<String>,
    /// Whether it, or one that it is in, was read as anybody: those whose words these are choose nothing that a credential opens.
    of_strangers: bool,
}

struct Search<'a> {
    context: &'a StageContext,
    rules: &'a SubmoduleRules,
    root: &'a Mirror,
    cones: &'a [String],
    placed: Vec<Placed>,
    left_out: LeftOut,
    /// How many were asked for, those with them that were left out then.
    asked: usize,
    /// Bytes of the files of those that were asked for.
    bytes: u64,
    /// How many bytes of what Git LFS keeps may still be brought; nothing is asked for where that is not wanted.
    contents: Option<u64>,
}

impl Search<'_> {
    /// Finds the submodules of one repository. Returns them, to be looked into.
    async fn look_into(&mut self, level: &Level) -> Result<Vec<Level>, WorkerError> {
        let named = level.mirror.submodules(&level.base).await.map_err(ForgeError::from)?;
        self.left_out.more += level.base.submodules.saturating_sub(named.len() as u64);
        let mut below = Vec::new();
        for submodule in named {
            let path = format!("{}{}", level.inside, submodule.path);
            match self.take(level, &path, submodule).await? {
                Ok(next) => below.push(next),
                Err(why) => self.left_out.add(&path, why),
            }
        }
        Ok(below)
    }

    /// Takes one in, or says why not.
    async fn take(
        &mut self,
        level: &Level,
        path: &str,
        found: NamedSubmodule,
    ) -> Result<Result<Level, String>, WorkerError> {
        let (url, reading) = match self.admit(level, path, found.named) {
            Ok(admitted) => admitted,
            Err(why) => return Ok(Err(why)),
        };
        self.asked += 1;
        let way = match reach(self.context, self.root.access(), &url, &reading).await {
            Ok(way) => way,
            Err(error) => return refused(error).map(Err),
        };
        if self.root.is_shared_more_than(way.access.as_ref()) {
            return Ok(Err("it is private and the repository is public: what is in it could get where everybody reads it".to_owned()));
        }
        let contents = self.contents.map(|left| way.contents(self.context, left));
        let brought = async {
            let mirror = way.mirror(self.context).await?;
            mirror.bring_commit(&found.commit).await.map_err(ForgeError::from)?;
            let base = mirror.resolve_commit(&found.commit).await.map_err(ForgeError::from)?;
            Ok((mirror, base))
        };
        let (mirror, base) = match brought.await {
            Ok(brought) => brought,
            Err(error) => return refused(error).map(Err),
        };
        // What was asked for is on this machine, whether it is taken in or not.
        self.bytes = self.bytes.saturating_add(base.bytes);
        if self.bytes > self.rules.bytes {
            return Ok(Err(self.too_many_bytes()));
        }
        let seed = match mirror.seed(&base).await.map_err(ForgeError::from) {
            Ok(seed) => seed,
            Err(error) => return refused(error.into()).map(Err),
        };
        let commit = found.commit.to_string();
        let above = level.above.iter().cloned().chain([url.clone()]).collect();
        let of_strangers = level.of_strangers || reading == SubmoduleReading::Anybody;
        let submodule = Submodule { path: path.to_owned(), commit, url, reading };
        let placed = Placed::of(self.context, submodule, seed, contents.as_ref()).await?;
        self.contents = self.contents.map(|left| left.saturating_sub(placed.bytes()));
        self.placed.push(placed);
        Ok(Ok(Level { mirror, base, inside: format!("{path}/"), above, of_strangers }))
    }

    /// Where it is and as whom it is read, before anybody is asked.
    fn admit(
        &self,
        level: &Level,
        path: &str,
        named: Result<ModuleName, String>,
    ) -> Result<(String, SubmoduleReading), String> {
        let rules = self.rules;
        if !rules.bring {
            return Err("`bring` of [repositories.submodules] is off".to_owned());
        }
        if self.asked >= rules.most {
            return Err(format!(
                "there are more than {}, which is `most` of [repositories.submodules]",
                counted(rules.most as u64, "submodule")
            ));
        }
        if self.bytes >= rules.bytes {
            return Err(self.too_many_bytes());
        }
        if level.above.len() >= rules.depth {
            return Err(format!(
                "it lies deeper than {} in one another, which is `depth` of [repositories.submodules]",
                counted(rules.depth as u64, "submodule")
            ));
        }
        let inside = |cone: &String| {
            path.strip_prefix(&**cone).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if !self.cones.is_empty() && !self.cones.iter().any(inside) {
            return Err("it is not in the directories that the workspace has".to_owned());
        }
        let (url, reading) = self.source(level, named?)?;
        if level.above.contains(&url) || url == self.root.address().to_string() {
            return Err("it leads back to where it is in".to_owned());
        }
        Ok((url, reading))
    }

    fn source(&self, level: &Level, named: ModuleName) -> Result<(String, SubmoduleReading), String> {
        // A repository on this machine has copies of those that its people work with.
        if let RepositoryAddress::Local(local) = level.mirror.address()
            && let Some(copy) = local.copy_of(&named.name)
        {
            return Ok((named.url, SubmoduleReading::Copy(copy)));
        }
        let root = self.root.address();
        let kin =
            |address: &RepositoryAddress| self.context.parts.forges.are_kin(self.context.org, root, address);
        let found = if level.of_strangers {
            self.rules.source_of_strangers(&named.url)?
        } else {
            self.rules.source(root, &named.url, kin)?
        };
        match found {
            // Nothing that is kept for whoever may read this repository gets near what others have written.
            SubmoduleSource::Together(_) if self.is_of_others() => {
                Err("what comes from another repository is looked at without what only this one's account may read".to_owned())
            }
            SubmoduleSource::Together(address) => Ok((address.to_string(), SubmoduleReading::Together)),
            SubmoduleSource::Anybody(address) => Ok((address.to_string(), SubmoduleReading::Anybody)),
        }
    }

    fn is_of_others(&self) -> bool {
        self.root.access().is_some() && self.context.agent.review().is_some_and(|review| review.foreign)
    }

    fn too_many_bytes(&self) -> String {
        format!(
            "with it there would be more than {} bytes of submodules, which is `bytes` of [repositories.submodules]",
            self.rules.bytes
        )
    }
}

/// The reason for people, where trying again would not help, or where the only thing that is wrong is an address that a text has made up.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other errors are passed on")]
fn refused(error: WorkerError) -> Result<String, WorkerError> {
    match &error {
        WorkerError::OtherRepository(_) => {
            Ok("it belongs to another owner now than the repository itself".to_owned())
        }
        WorkerError::Forge(ForgeError::Mirror(MirrorError::Fetch { .. }) | ForgeError::Address(_)) => {
            Ok(with_causes(&error))
        }
        error if error.is_fault_of_the_task() => Ok(with_causes(error)),
        _ => Err(error),
    }
}

/// Those that are left out, with the reasons of the first ones.
#[derive(Default)]
struct LeftOut {
    first: Vec<(String, String)>,
    /// How many besides.
    more: u64,
}

impl LeftOut {
    fn add(&mut self, path: &str, why: String) {
        if self.first.len() < MOST_TOLD {
            self.first.push((shown(path), why.chars().take(LONGEST_REASON).collect()));
        } else {
            self.more += 1;
        }
    }

    fn told(&self) -> Vec<String> {
        let count = self.first.len() as u64 + self.more;
        if count == 0 {
            return Vec::new();
        }
        let (are, their) = if count == 1 { ("is", "its") } else { ("are", "their") };
        let head =
            format!("{} {are} left out, and nothing is in {their} place.", counted(count, "submodule"));
        let first =
            self.first.iter().map(|(path, why)| format!("The submodule `{path}` is left out: {why}."));
        std::iter::once(head).chain(first).collect()
    }
}

/// What is said of those that are there.
fn told(placed: &[Placed]) -> Option<String> {
    let paths: Vec<String> = placed
        .iter()
        .take(MOST_TOLD)
        .map(|placed| format!("`{}` ({})", shown(&placed.submodule.path), shown(&placed.submodule.url)))
        .collect();
    let count = placed.len() as u64;
    (count > 0).then(|| {
        let (are, more) = match (count, placed.len().saturating_sub(MOST_TOLD)) {
            (1, _) => ("is", String::new()),
            (_, 0) => ("are", String::new()),
            (_, more) => ("are", format!(" and {more} more")),
        };
        format!(
            "{} {are} in the workspace, to be read, built and tested with: {}{more}. No change inside of them is delivered.",
            counted(count, "submodule"),
            paths.join(", ")
        )
    })
}
