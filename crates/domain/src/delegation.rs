//! Work that one session hands to another: a subagent is a session of its own, whose task was written by the model of the session that it
//! works for.

use serde::{Deserialize, Serialize};

use crate::{Budget, CallId, Digest, Label, ResultSchema, SessionId, Spent, Timestamp, ToolCall};

/// The tool by which a session hands work out.
pub const DELEGATE: &str = "delegate";
/// So many subagents of one session work at once.
pub const MOST_AT_ONCE: usize = 4;
/// So many subagents one session has in all its turns.
pub const MOST_IN_ALL: usize = 16;
/// So many sessions may stand one below the other, beside the one that a person asked for.
pub const DEEPEST: u8 = 2;
/// The longest instruction, in bytes.
pub const MAX_INSTRUCTION: usize = 32 * 1024;

/// What a subagent is for. That says which tools it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubagentKind {
    /// Finds something out by reading.
    Explore,
    /// Works out how something is to be done.
    Plan,
    /// Changes files; the change comes back as a patch.
    Implement,
    /// Runs programs and says what they show.
    Test,
    /// Looks for what is wrong with what is there.
    Review,
}

impl SubagentKind {
    /// All that there are.
    pub const ALL: [Self; 5] = [Self::Explore, Self::Plan, Self::Implement, Self::Test, Self::Review];

    /// Its name, as a model and the log have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Explore => "explore",
            Self::Plan => "plan",
            Self::Implement => "implement",
            Self::Test => "test",
            Self::Review => "review",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind that a call asks for, where it says a built-in one.
    #[must_use]
    pub fn wanted(call: &ToolCall) -> Option<Self> {
        Self::named(&wanted(call)?)
    }

    /// Whether what it changes comes back.
    #[must_use]
    pub const fn changes_files(self) -> bool {
        matches!(self, Self::Implement)
    }

    /// Whether it may run programs.
    #[must_use]
    pub const fn runs_programs(self) -> bool {
        match self {
            Self::Implement | Self::Test | Self::Review => true,
            Self::Explore | Self::Plan => false,
        }
    }
}

/// The name of the kind that a call asks for, whatever it is.
#[must_use]
pub fn wanted(call: &ToolCall) -> Option<String> {
    let arguments: serde_json::Value = serde_json::from_str(&call.arguments).ok()?;
    Some(arguments.get("kind")?.as_str()?.to_owned())
}

/// What a kind of subagent that a file describes comes down to: a built-in kind, and what is taken from that. Nothing can be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomShape {
    /// The built-in kind that it is one of: it has at most what that has.
    pub base: SubagentKind,
    /// The tools that it keeps of that, by [`TOOL_GROUPS`]; all of them where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// The kind whose model it has, where that is another one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<SubagentKind>,
}

impl CustomShape {
    /// Whether it keeps the tools of this group, if its base has them.
    #[must_use]
    pub fn keeps(&self, group: &str) -> bool {
        self.tools.as_ref().is_none_or(|kept| kept.iter().any(|kept| kept == group))
    }
}

/// The names of tools that a file can keep for its kind. Each stands for all tools that are of its sort: `shell` for those that run commands, `edit` for
/// whichever tool changes files.
pub const TOOL_GROUPS: [&str; 9] =
    ["read", "grep", "glob", "list", "shell", "edit", "write", "browser", "computer"];

/// The kind that a subagent was asked for by, where a file describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomKind {
    /// Its name.
    pub name: String,
    /// Who gives it.
    pub giver: crate::event::Giver,
    /// The digest of its file.
    pub digest: Digest,
    /// What it comes down to.
    pub shape: CustomShape,
}

/// For which session a session works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Which.
    pub session: SessionId,
    /// The call that began it.
    pub call: CallId,
    /// What for.
    pub kind: SubagentKind,
    /// How far below the session that a person asked for: 1 for one that works for that.
    pub depth: u8,
    /// What the result has to look like, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<ResultSchema>,
    /// The kind of which it is, where a file describes that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Box<CustomKind>>,
}

impl Parent {
    /// Whether it takes a fresh look at what that session has made ([`crate::self_review`]). Then the task is in the platform's words.
    #[must_use]
    pub fn looks_afresh(&self) -> bool {
        self.call == crate::self_review::NO_CALL
    }
}

/// What came of delegated work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegated {
    /// The session that did it.
    pub session: SessionId,
    /// What for.
    pub kind: SubagentKind,
    /// All that it used, and those that worked for it.
    pub spent: Spent,
    /// How it ended, in one word, as in [`Outcome`](crate::Outcome).
    pub outcome: String,
    /// What became of its change, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Patched>,
    /// Why its sandbox was frozen, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
}

/// What became of a subagent's change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patched {
    /// The files that it touches, as text for people; not all where there are many.
    pub files: Vec<String>,
    /// Whether it is in the workspace now.
    pub applied: bool,
}

/// A share of a budget, for each of `several` that are to begin now: whoever hands the work out keeps as much as one of them. They work at the same
/// time, so each has nearly all of the time that is left.
#[must_use]
pub fn share(left: Budget, several: u32) -> Budget {
    let parts = several.saturating_add(1);
    Budget {
        steps: left.steps / parts,
        tokens: left.tokens / u64::from(parts),
        cost: crate::Cost(left.cost.0 / u64::from(parts)),
        wall_ms: left.wall_ms / 5 * 4,
    }
}

/// The id of the session that a call begins: the same for the same call, made at the same time of the log. `at` also says where it stands among
/// others.
#[must_use]
pub fn subagent_id(parent: SessionId, call: CallId, at: Timestamp, arguments: &str) -> SessionId {
    let mut bytes = b"cofferdam subagent\0".to_vec();
    bytes.extend_from_slice(&parent.as_u128().to_be_bytes());
    bytes.extend_from_slice(&call.step.to_be_bytes());
    bytes.extend_from_slice(&call.index.to_be_bytes());
    bytes.extend_from_slice(&at.0.to_be_bytes());
    bytes.extend_from_slice(arguments.as_bytes());
    let mut random = [0_u8; 16];
    random.copy_from_slice(&Digest::of(&bytes).as_bytes()[..16]);
    // RFC 9562, section 5.7: 48 bits of milliseconds, the version, 12 bits, the variant, 62 bits.
    let random = u128::from_be_bytes(random);
    let low = random & ((1 << 80) - 1) & !(0xf << 76) & !(0b11 << 62);
    SessionId::from_u128((u128::from(at.0 & 0xffff_ffff_ffff) << 80) | low | (0x7 << 76) | (0b10 << 62))
}

/// The label of a result: as untrusted as whatever was read for it.
#[must_use]
pub fn label_of(read: impl IntoIterator<Item = Label>) -> Label {
    // Its task and its words were written by a model.
    read.into_iter().fold(Label::SANDBOX, Label::join)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cost, label::Audience};

    #[test]
    fn names_are_those_of_the_log() {
        for kind in SubagentKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(SubagentKind::named(kind.name()), Some(kind));
        }
    }

    #[test]
    fn shares_never_add_up_to_more_than_there_is() {
        let left = Budget { steps: 101, tokens: 1_000_003, cost: Cost(7), wall_ms: 1_000 };
        for several in 0..20 {
            let one = share(left, several);
            assert!(
                one.steps * (several + 1) <= left.steps && one.tokens * u64::from(several + 1) <= left.tokens
            );
            assert!(one.cost.0 * u64::from(several + 1) <= left.cost.0 && one.wall_ms < left.wall_ms);
        }
        assert_eq!(share(left, u32::MAX).steps, 0);
    }

    #[test]
    fn an_id_follows_from_the_call_and_its_time() {
        let (parent, call) = (SessionId::from_u128(5), CallId { step: 1, index: 2 });
        let id = subagent_id(parent, call, Timestamp(1_700_000_000_000), "{}");
        assert_eq!(id, subagent_id(parent, call, Timestamp(1_700_000_000_000), "{}"));
        let others = [
            subagent_id(SessionId::from_u128(6), call, Timestamp(1_700_000_000_000), "{}"),
            subagent_id(parent, CallId { step: 1, index: 3 }, Timestamp(1_700_000_000_000), "{}"),
            subagent_id(parent, call, Timestamp(1_700_000_000_001), "{}"),
            subagent_id(parent, call, Timestamp(1_700_000_000_000), "{ }"),
        ];
        assert!(others.iter().all(|other| *other != id));
        assert_eq!((id.as_u128() >> 76) & 0xf, 7);
        assert_eq!((id.as_u128() >> 62) & 3, 2);
        assert_eq!(id.as_u128() >> 80, 1_700_000_000_000);
    }

    #[test]
    fn a_result_is_never_trusted() {
        assert_eq!(label_of([]), Label::SANDBOX);
        let secret = Label { audience: Audience::Requester, ..Label::PLATFORM };
        assert_eq!(label_of([secret]), secret.join(Label::SANDBOX));
    }
}
