//! What comes of a session, as lines for people.

use cofferdam_domain::{EventBody, SelfReview, pull_request::PullRequestState, tool::LineRemark};

use super::{Timeline, finish_name};
use crate::{
    show::size,
    terminal::{Style, inert},
};

impl Timeline {
    /// The lines for an event of this kind; none for any other.
    #[expect(clippy::wildcard_enum_match_arm, reason = "`texts` lists every event; here is one kind of them")]
    pub(super) fn delivery(&self, body: &EventBody) -> Vec<String> {
        let paint = |style, text: &str| self.terminal.paint(style, text);
        match body {
            EventBody::WorkFinished { finish, .. } => {
                let title = self.cut(&finish.title, 120);
                let mut lines = vec![format!("{} {title}", paint(Style::Bold, finish_name(finish.outcome)))];
                lines.extend(finish.replies.iter().map(|reply| {
                    let fixed = if reply.fixed { "fixed" } else { "not changed" };
                    format!("  to remark {}, {fixed}: {}", reply.to, self.cut(&reply.text, 200))
                }));
                lines.extend(finish.remarks.iter().map(|remark| self.remark(remark)));
                lines
            }
            EventBody::SelfReviewed(review) => self.fresh_look(review),
            EventBody::ObjectsReceived(received) => vec![format!("change received: {}", size(received.stat))],
            EventBody::NothingChanged => vec!["the workspace is as it was".to_owned()],
            EventBody::Examined { findings, verdict } => self.findings(findings, *verdict),
            EventBody::EvidenceRun(run) => vec![self.evidence(run)],
            EventBody::EvidenceMissing { reason } => {
                vec![paint(Style::Warn, &format!("no evidence: {}", inert(reason)))]
            }
            EventBody::Pushed { branch, commit } => {
                vec![format!("pushed {} ({})", inert(branch), commit.get(..12).unwrap_or(commit))]
            }
            EventBody::PullRequestOpened(pull_request) => vec![paint(
                Style::Bold,
                &format!(
                    "{} #{}: {}",
                    if pull_request.draft { "draft pull request" } else { "pull request" },
                    pull_request.number,
                    inert(&pull_request.title)
                ),
            )],
            EventBody::SessionEnded { outcome } => vec![self.ended(outcome)],
            EventBody::PullRequestClosed { state } => vec![match state {
                PullRequestState::Open => "reopened".to_owned(),
                PullRequestState::Merged { commit } => {
                    paint(Style::Good, &format!("merged as {}", commit.get(..12).unwrap_or(commit)))
                }
                PullRequestState::Closed => "closed without merging".to_owned(),
            }],
            _ => Vec::new(),
        }
    }

    /// What a model found that took a fresh look: its words, not the platform's.
    fn fresh_look(&self, review: &SelfReview) -> Vec<String> {
        let paint = |style, text: &str| self.terminal.paint(style, text);
        let by = format!("fresh look {} ({})", review.round, review.session);
        if let Some(why) = &review.failed {
            return vec![paint(Style::Warn, &format!("{by} could not be taken: {}", self.cut(why, 300)))];
        }
        let (style, what) = if review.refuted {
            (Style::Warn, "a model found")
        } else {
            (Style::Good, "a model found nothing to send the change back for")
        };
        let mut lines =
            vec![format!("{}: {}", paint(style, &format!("{by}, {what}")), self.cut(&review.summary, 400))];
        lines.extend(review.remarks.iter().map(|remark| self.remark(remark)));
        lines
    }

    fn remark(&self, remark: &LineRemark) -> String {
        format!("  on {}:{}: {}", self.cut(&remark.path, 200), remark.line, self.cut(&remark.text, 200))
    }
}
