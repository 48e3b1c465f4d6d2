//! What the hand was asked and has not answered to the end, and what the answer is when it never will.

use cofferdam_hand::protocol::{
    message::{
        Exited, FileProblem, ReplyBody, RequestBody, SearchProblem, StartProblem, Status, Tested, Usage,
    },
    text::Notice,
};

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// A command that does not run yet.
    Starting,
    /// A command that runs.
    Running,
    /// A command that has ended, but not everything that it started.
    Exited,
    /// A search.
    Searching,
    /// The self-test.
    Testing,
    /// Something about a file.
    File,
    /// To kill something: that is done when the hand is gone.
    Kill,
    /// A greeting or a sign of life.
    Greeting,
}

impl Asked {
    /// What a request asks for.
    pub(super) const fn new(body: &RequestBody) -> Self {
        match body {
            RequestBody::Start(_) => Self::Starting,
            RequestBody::Search(_) => Self::Searching,
            RequestBody::SelfTest(_) => Self::Testing,
            RequestBody::Read { .. }
            | RequestBody::Write { .. }
            | RequestBody::Remove { .. }
            | RequestBody::Stat { .. }
            | RequestBody::List { .. } => Self::File,
            RequestBody::Kill { .. } => Self::Kill,
            RequestBody::Hello | RequestBody::Ping | RequestBody::Shutdown => Self::Greeting,
        }
    }

    /// Takes note of an answer; says whether another will come.
    pub(super) const fn goes_on_after(&mut self, answer: &ReplyBody) -> bool {
        match (&*self, answer) {
            (Self::Starting, ReplyBody::Started) => *self = Self::Running,
            (Self::Running, ReplyBody::Exited(_)) => *self = Self::Exited,
            (_, _) => return false,
        }
        true
    }

    /// The answers when the hand is gone.
    pub(super) fn lost(self, why: &str) -> Vec<ReplyBody> {
        let why = Notice::new(why);
        let exited = ReplyBody::Exited(Exited { status: Status::Lost, usage: Usage::default() });
        match self {
            Self::Starting => vec![ReplyBody::NotStarted(StartProblem::Other(why))],
            Self::Running => vec![exited, ReplyBody::Emptied],
            Self::Exited => vec![ReplyBody::Emptied],
            Self::Searching => vec![ReplyBody::NotSearched(SearchProblem::Killed)],
            Self::Testing => vec![ReplyBody::Tested(Tested { passed: 0, failed: Some(why) })],
            Self::File => vec![ReplyBody::File(FileProblem::Other(why))],
            Self::Kill => vec![ReplyBody::Killed { survivors: 0 }],
            Self::Greeting => vec![ReplyBody::Hello],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_answered_to_its_end_however_far_it_was() {
        let exited = ReplyBody::Exited(Exited { status: Status::Code(0), usage: Usage::default() });
        let mut asked = Asked::Starting;
        assert!(matches!(asked.lost("")[..], [ReplyBody::NotStarted(_)]));
        assert!(asked.goes_on_after(&ReplyBody::Started));
        assert!(matches!(asked.lost("")[..], [ReplyBody::Exited(_), ReplyBody::Emptied]));
        assert!(asked.goes_on_after(&exited));
        assert_eq!(asked.lost(""), [ReplyBody::Emptied]);
        assert!(!asked.goes_on_after(&ReplyBody::Emptied));
        assert!(!Asked::Starting.goes_on_after(&ReplyBody::NotStarted(StartProblem::NotFound)));
    }
}
