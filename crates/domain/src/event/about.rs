//! What can be asked of every event.

use super::EventBody;
use crate::{BlobRef, Part};

impl EventBody {
    /// The variant's name as stored, for filters and people.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TaskAccepted { .. } => "task_accepted",
            Self::Claimed { .. } => "claimed",
            Self::PolicyFixed(_) => "policy_fixed",
            Self::StageStarted { .. } => "stage_started",
            Self::StageFailed { .. } => "stage_failed",
            Self::RepositoryReady(_) => "repository_ready",
            Self::InstructionsFound(_) => "instructions_found",
            Self::MemoriesRecalled(_) => "memories_recalled",
            Self::SandboxReady { .. } => "sandbox_ready",
            Self::ModelAsked { .. } => "model_asked",
            Self::ModelAnswered { .. } => "model_answered",
            Self::ModelFailed { .. } => "model_failed",
            Self::Nudged { .. } => "nudged",
            Self::ToolStarted { .. } => "tool_started",
            Self::ToolFinished { .. } => "tool_finished",
            Self::ToolLost { .. } => "tool_lost",
            Self::EgressAllowed(_) => "egress_allowed",
            Self::EgressRefused(_) => "egress_refused",
            Self::PackageFetched(_) => "package_fetched",
            Self::AccessAsked(_) => "access_asked",
            Self::AccessDecided(_) => "access_decided",
            Self::AlarmRaised { .. } => "alarm_raised",
            Self::SandboxFrozen { .. } => "sandbox_frozen",
            Self::SandboxReleased { .. } => "sandbox_released",
            Self::Compacted { .. } => "compacted",
            Self::MessageReceived { .. } => "message_received",
            Self::LimitReached { .. } => "limit_reached",
            Self::PauseAsked { .. } => "pause_asked",
            Self::ContinueAsked { .. } => "continue_asked",
            Self::QuestionAsked { .. } => "question_asked",
            Self::QuestionAnswered { .. } => "question_answered",
            Self::PlanProposed { .. } => "plan_proposed",
            Self::PlanDecided { .. } => "plan_decided",
            Self::Checkpointed { .. } => "checkpointed",
            Self::FilesDeleted { .. } => "files_deleted",
            Self::CheckpointStored { .. } => "checkpoint_stored",
            Self::RolledBack { .. } => "rolled_back",
            Self::Forked { .. } => "forked",
            Self::TerminalOpened { .. } => "terminal_opened",
            Self::TerminalClosed { .. } => "terminal_closed",
            Self::BudgetExceeded { .. } => "budget_exceeded",
            Self::Delegated { .. } => "delegated",
            Self::CancelAsked { .. } => "cancel_asked",
            Self::WorkFinished { .. } => "work_finished",
            Self::ObjectsReceived(_) => "objects_received",
            Self::NothingChanged => "nothing_changed",
            Self::Examined { .. } => "examined",
            Self::EvidenceRun(_) => "evidence_run",
            Self::EvidenceMissing { .. } => "evidence_missing",
            Self::SelfReviewed(_) => "self_reviewed",
            Self::AttemptReady { .. } => "attempt_ready",
            Self::AttemptChosen { .. } => "attempt_chosen",
            Self::AttemptPassedOver { .. } => "attempt_passed_over",
            Self::Pushed { .. } => "pushed",
            Self::Overtaken { .. } => "overtaken",
            Self::PullRequestOpened(_) => "pull_request_opened",
            Self::SessionEnded { .. } => "session_ended",
            Self::MergeAsked { .. } => "merge_asked",
            Self::CloseAsked { .. } => "close_asked",
            Self::MergeFailed { .. } => "merge_failed",
            Self::PullRequestClosed { .. } => "pull_request_closed",
            Self::Beside { .. } => "beside",
        }
    }

    /// Which of the session's repositories the event is about, and what it says of that.
    #[must_use]
    pub fn in_part(&self) -> (Part, &Self) {
        if let Self::Beside { part, body } = self { (*part, body) } else { (Part::FIRST, self) }
    }

    /// The same event, about this one of the session's repositories.
    #[must_use]
    pub fn about_part(self, part: Part) -> Self {
        if part == Part::FIRST { self } else { Self::Beside { part, body: Box::new(self) } }
    }

    /// Whether the content that the event refers to may expire before the event: it says nothing that the log does not.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::CheckpointStored { .. })
    }

    /// Blobs that the event refers to.
    #[must_use]
    pub fn blobs(&self) -> Vec<BlobRef> {
        match self {
            Self::ToolFinished { outcome, .. } => {
                let larger = match &outcome.effect {
                    Some(crate::tool::ToolEffect::Screenshot { picture, .. }) => Some(picture.blob),
                    Some(_) | None => None,
                };
                let pictures = outcome.images.iter().map(|image| image.blob);
                outcome.whole.into_iter().chain(pictures).chain(larger).collect()
            }
            Self::EvidenceRun(run) => vec![run.output],
            Self::ObjectsReceived(received) => {
                let known = received.patch.into_iter().chain(received.objects);
                known.chain(received.contents.iter().copied()).collect()
            }
            Self::TerminalClosed { recording, .. } => vec![*recording],
            Self::CheckpointStored { archive, .. } => vec![*archive],
            Self::InstructionsFound(found) => found.skills.into_iter().collect(),
            Self::Beside { body, .. } => body.blobs(),
            Self::TaskAccepted { .. }
            | Self::Claimed { .. }
            | Self::PolicyFixed(_)
            | Self::StageStarted { .. }
            | Self::Delegated { .. }
            | Self::StageFailed { .. }
            | Self::RepositoryReady(_)
            | Self::MemoriesRecalled(_)
            | Self::SandboxReady { .. }
            | Self::ModelAsked { .. }
            | Self::ModelAnswered { .. }
            | Self::ModelFailed { .. }
            | Self::Nudged { .. }
            | Self::ToolStarted { .. }
            | Self::ToolLost { .. }
            | Self::EgressAllowed(_)
            | Self::EgressRefused(_)
            | Self::PackageFetched(_)
            | Self::AccessAsked(_)
            | Self::AccessDecided(_)
            | Self::AlarmRaised { .. }
            | Self::SandboxFrozen { .. }
            | Self::SandboxReleased { .. }
            | Self::Compacted { .. }
            | Self::MessageReceived { .. }
            | Self::LimitReached { .. }
            | Self::PauseAsked { .. }
            | Self::ContinueAsked { .. }
            | Self::QuestionAsked { .. }
            | Self::QuestionAnswered { .. }
            | Self::PlanProposed { .. }
            | Self::PlanDecided { .. }
            | Self::Checkpointed { .. }
            | Self::FilesDeleted { .. }
            | Self::RolledBack { .. }
            | Self::Forked { .. }
            | Self::TerminalOpened { .. }
            | Self::BudgetExceeded { .. }
            | Self::CancelAsked { .. }
            | Self::WorkFinished { .. }
            | Self::NothingChanged
            | Self::Examined { .. }
            | Self::EvidenceMissing { .. }
            | Self::SelfReviewed(_)
            | Self::AttemptReady { .. }
            | Self::AttemptChosen { .. }
            | Self::AttemptPassedOver { .. }
            | Self::Pushed { .. }
            | Self::Overtaken { .. }
            | Self::PullRequestOpened(_)
            | Self::SessionEnded { .. }
            | Self::MergeAsked { .. }
            | Self::CloseAsked { .. }
            | Self::MergeFailed { .. }
            | Self::PullRequestClosed { .. } => Vec::new(),
        }
    }
}
