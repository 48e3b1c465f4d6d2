//! The children of process 1 that carry out a request: which they are, and how far they have come.

use cofferdam_hand::protocol::{
    message::{Exited, Reply, ReplyBody, RequestId, SearchProblem, StartProblem, Status, Tested, Usage},
    text::Notice,
};
use rustix::process::Pid;

/// How far a child has come with its task, by what it has reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// A watcher whose command does not run yet.
    Starting,
    /// A watcher whose command runs.
    Running,
    /// A watcher whose command has ended, but not everything that it started.
    Exited,
    /// A search.
    Searching,
    /// The self-test.
    Testing,
    /// It has reported its end, or that it could not start; there is nothing more to come.
    Done,
}

impl Task {
    /// The reply when the child is gone before it has reported.
    pub(super) fn lost(self, why: &str) -> ReplyBody {
        match self {
            Self::Starting => ReplyBody::NotStarted(StartProblem::Other(Notice::new(why))),
            Self::Searching => ReplyBody::NotSearched(SearchProblem::Killed),
            Self::Testing => {
                ReplyBody::Tested(Tested { passed: 0, failed: Some(Notice::new("the self-test was killed")) })
            }
            Self::Running | Self::Exited | Self::Done => {
                ReplyBody::Exited(Exited { status: Status::Lost, usage: Usage::default() })
            }
        }
    }
}

#[derive(Debug)]
struct Child {
    pid: Pid,
    id: RequestId,
    task: Task,
}

/// The children that belong to a request. Few at a time, so a plain list.
#[derive(Debug, Default)]
pub(super) struct Children(Vec<Child>);

impl Children {
    /// Adds a child that was forked for a request.
    pub(super) fn insert(&mut self, pid: Pid, id: RequestId, task: Task) {
        self.0.push(Child { pid, id, task });
    }

    /// Whether a child works for this request.
    pub(super) fn contains(&self, id: RequestId) -> bool {
        self.find(id).is_some()
    }

    /// Whether this process belongs to a request.
    pub(super) fn knows(&self, pid: Pid) -> bool {
        self.0.iter().any(|child| child.pid == pid)
    }

    /// The child that works for a request.
    pub(super) fn find(&self, id: RequestId) -> Option<(Pid, Task)> {
        self.0.iter().find(|child| child.id == id).map(|child| (child.pid, child.task))
    }

    /// All of them.
    pub(super) fn pids(&self) -> Vec<Pid> {
        self.0.iter().map(|child| child.pid).collect()
    }

    /// Forgets a child; says what it was doing.
    pub(super) fn remove(&mut self, pid: Pid) -> Option<(RequestId, Task)> {
        let at = self.0.iter().position(|child| child.pid == pid)?;
        let child = self.0.swap_remove(at);
        Some((child.id, child.task))
    }

    /// Takes note of what a child reports.
    pub(super) fn note(&mut self, report: &Reply) {
        let Some(child) = self.0.iter_mut().find(|child| child.id == report.id) else { return };
        if let Some(task) = reached(&report.body) {
            child.task = task;
        }
    }
}

/// What a child that reports this is doing next; `None` for what no child reports.
fn reached(report: &ReplyBody) -> Option<Task> {
    match report {
        ReplyBody::Started => Some(Task::Running),
        ReplyBody::Exited(_) => Some(Task::Exited),
        ReplyBody::NotStarted(_)
        | ReplyBody::Searched { .. }
        | ReplyBody::NotSearched(_)
        | ReplyBody::Tested(_) => Some(Task::Done),
        ReplyBody::Hello
        | ReplyBody::Emptied
        | ReplyBody::Killed { .. }
        | ReplyBody::Read(_)
        | ReplyBody::Written(_)
        | ReplyBody::Removed
        | ReplyBody::Stat(_)
        | ReplyBody::Listed { .. }
        | ReplyBody::File(_)
        | ReplyBody::Pong
        | ReplyBody::Bye
        | ReplyBody::Refused(_)
        | ReplyBody::Broken(_) => None,
    }
}
