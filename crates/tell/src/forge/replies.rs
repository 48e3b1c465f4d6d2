//! The agent's answers to what reviewers remarked, each with what the platform knows of it.

use cofferdam_domain::{Thread, tool::Reply};

use super::comment::quoted;

/// Bytes of an answer that are shown.
const LONGEST: usize = 4_000;

/// A remark of a reviewer.
#[derive(Debug, Clone)]
pub(crate) struct Remark {
    /// Where.
    pub(crate) thread: Thread,
    /// The discussion that it is part of.
    pub(crate) discussion: String,
}

/// What was answered.
#[derive(Debug, Clone)]
pub(crate) struct Replied {
    /// To which remark.
    pub(crate) to: u64,
    /// Whether the agent says that it has changed something for it.
    fixed: bool,
    /// The agent's words.
    text: String,
    /// The commit that its turn has pushed, if it has.
    pub(crate) commit: Option<String>,
}

/// A remark with its answer.
pub(crate) struct Answer<'a> {
    pub(crate) remark: &'a Remark,
    pub(crate) reply: &'a Replied,
}

impl Replied {
    pub(crate) fn new(reply: &Reply) -> Self {
        let Reply { to, fixed, text } = reply;
        Self { to: *to, fixed: *fixed, text: text.clone(), commit: None }
    }

    /// Whether nothing is left to be said: there is a commit, and the agent says that it mends this.
    pub(crate) const fn settles(&self) -> bool {
        self.fixed && self.commit.is_some()
    }

    /// The answer as it is said. The commit is the platform's word; that it mends what was remarked is the agent's.
    pub(crate) fn body(&self) -> String {
        let words = quoted(&self.text, LONGEST);
        match (&self.commit, self.fixed) {
            (Some(commit), true) => format!("Fixed in {commit}, says the agent:\n\n{words}"),
            (None, true) => {
                format!("The agent says that it has changed this, but nothing was pushed:\n\n{words}")
            }
            (Some(_) | None, false) => format!("Not changed, says the agent:\n\n{words}"),
        }
    }
}
