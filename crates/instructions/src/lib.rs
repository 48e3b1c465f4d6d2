//! Texts in a repository that advise agents: which files are such texts, what they say, and when they are about what is being done.
//!
//! What this crate is for: [`Gathering`] is told what a commit has, says which files it wants to see, and makes of their bytes what a session is
//! given: `AGENTS.md` and what other programs call the same, rules with globs, skills in the Agent Skills format, kinds of subagents. [`about()`] says which of them
//! a path brings up. [`Playbook`] reads a task with gaps, which an organisation keeps for its people, and fills them.
//!
//! What it never does: I/O; follow a link, a path out of the repository, an alias of YAML or a circle of imports; leave a character unseen;
//! believe what a text says about itself. Whatever the bytes are, what comes out is bounded, and what was left out is said.
//!
//! Where to start reading: `kind.rs` (which files), `gathering.rs` (from bytes to [`Instructions`](cofferdam_domain::event::Instructions)).

#![forbid(unsafe_code)]

mod about;
mod front_matter;
mod gathering;
mod glob;
mod imports;
mod kind;
mod pack;
mod playbook;
mod rule;
mod skill;
mod subagent;

pub use about::about;
pub use front_matter::{FrontMatter, FrontMatterError, Value, split};
pub use gathering::{Gathered, Gathering, Given, Listed, MOST_BYTES, MOST_FILE};
pub use glob::fits;
pub use imports::named;
pub use kind::{is_candidate, kind_of, skill_folder};
pub use pack::{packed, placed};
pub use playbook::{
    Accepts, InvalidPlaybook, InvalidValues, MOST_PLAYBOOK, Parameter, Playbook, PlaybookName,
};
pub use skill::{InvalidSkill, Skill, SkillName};
pub use subagent::{InvalidSubagent, SUBAGENT_FILE, Subagent};
