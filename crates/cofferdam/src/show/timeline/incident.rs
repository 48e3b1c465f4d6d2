//! What goes otherwise than it should, as lines for people.

use cofferdam_domain::EventBody;

use super::{Timeline, limit_name, nudge_name, stage_name};
use crate::terminal::{Style, inert};

impl Timeline {
    /// The lines for an event of this kind; none for any other.
    #[expect(clippy::wildcard_enum_match_arm, reason = "`texts` lists every event; here is one kind of them")]
    pub(super) fn incident(&self, body: &EventBody) -> Vec<String> {
        let paint = |style, text: &str| self.terminal.paint(style, text);
        match body {
            EventBody::StageFailed { stage, reason } => {
                vec![paint(Style::Bad, &format!("{} failed: {}", stage_name(*stage), inert(reason)))]
            }
            EventBody::ModelFailed { message, .. } => {
                vec![paint(Style::Bad, &format!("model: {}", inert(message)))]
            }
            EventBody::Nudged { reason, text } => {
                vec![paint(Style::Warn, &format!("nudge ({}): {}", nudge_name(*reason), self.cut(text, 160)))]
            }
            EventBody::ToolLost { call } => {
                vec![paint(
                    Style::Warn,
                    &format!("{} was cut short; whether it had its effect is unknown", self.name(*call)),
                )]
            }
            EventBody::AlarmRaised { rule, what, .. } => {
                vec![paint(Style::Bad, &format!("alarm {}: {}", inert(rule), inert(what)))]
            }
            EventBody::FilesDeleted { files, of, .. } => {
                vec![paint(Style::Warn, &format!("{files} of {of} files of the repository were deleted"))]
            }
            EventBody::SandboxFrozen { reason, .. } => {
                vec![paint(Style::Bad, &format!("sandbox frozen: {}", inert(reason)))]
            }
            EventBody::SandboxReleased { by, .. } => {
                vec![paint(Style::Warn, &format!("sandbox released by {}", inert(by)))]
            }
            EventBody::Compacted { replaced, .. } => {
                vec![paint(Style::Dim, &format!("{replaced} earlier messages replaced by a summary"))]
            }
            EventBody::LimitReached { limit, .. } => {
                vec![paint(Style::Warn, &format!("limit reached: {}", limit_name(*limit)))]
            }
            EventBody::CancelAsked { by } => {
                vec![paint(Style::Warn, &format!("cancellation asked by {}", inert(by)))]
            }
            _ => Vec::new(),
        }
    }
}
