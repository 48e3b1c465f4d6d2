//! Where a task or a message came in, if that was elsewhere.

use cofferdam_domain::{About, Origin, amount::counted};

use crate::terminal::{Style, Terminal, inert};

/// Where a task was asked for, and what of it is not as it was written there.
pub(super) fn asked(terminal: Terminal, origin: &Origin) -> Vec<String> {
    let place = match origin {
        Origin::Forge(asked) => format!("in {}", asked.thread),
        Origin::Chat(spoken) => format!("in the chat {}", spoken.conversation.chat),
        Origin::Hook { hook, .. } => format!("through the webhook {hook}"),
        Origin::Schedule { schedule, due } => format!("by the schedule {schedule} for {}", due.utc()),
    };
    let mut lines = vec![terminal.paint(Style::Dim, &format!("asked {}", inert(&place)))];
    lines.extend(origin.concealed().iter().map(|(way, characters)| {
        let words = format!("{} {}", counted(*characters, "character"), inert(way));
        terminal.paint(Style::Warn, &words)
    }));
    lines
}

/// What a message is about, with what a review says about lines.
pub(super) fn about(terminal: Terminal, about: &About, cut: &dyn Fn(&str) -> String) -> Vec<String> {
    let what = match about {
        About::Comment { thread, .. } => format!("a comment on {thread}"),
        About::Review { thread, .. } => format!("a review of {thread}"),
        About::Check { thread, name, commit, attempt } => {
            format!("check {name} of {thread} failed on {commit}, attempt {attempt}")
        }
        About::Said { conversation, .. } => format!("said in the chat {}", conversation.chat),
    };
    let mut lines = vec![terminal.paint(Style::Dim, &inert(&what))];
    lines.extend(
        about.remarks().iter().map(|remark| format!("  {}: {}", inert(&remark.place()), cut(&remark.text))),
    );
    lines
}
