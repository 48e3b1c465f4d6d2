//! Alarms while a session is worked on: when the door is to tell of what it refuses, and what happens at once when a rule freezes the sandbox.

use cofferdam_domain::{Consequence, Policy};

use super::Run;

/// The fewest refusals that a rule of the policy's own hears of before the door tells of them by itself, which it does every few seconds.
const FEWEST_REFUSALS: u32 = 10;

impl Run<'_> {
    /// Whether the log says that the sandbox is frozen, or is to be. Then nothing passes any more, and its processes stand where they are: one
    /// that cannot be stopped is destroyed all the same, a moment later.
    pub(super) async fn freeze_if_alarmed(&mut self) -> bool {
        let agent = self.log.agent();
        if !agent.is_alarmed() {
            return false;
        }
        self.door.close(agent.frozen().unwrap_or("the sandbox is to be frozen"));
        if let Some(sandbox) = &self.sandbox {
            sandbox.freeze().await.ok();
        }
        true
    }
}

/// After how many refusals the rules that freeze are to hear of all of them, also of those that are counted with their like: the fewest that one
/// of them waits for, but not so few that every single one is an event; 0 where there is no such rule.
pub(super) fn burst(policy: &Policy) -> u64 {
    let alarms = policy.alarms.iter();
    let own = alarms.clone().flat_map(|alarms| &alarms.rules);
    let own = own.filter(|rule| rule.event == "egress_refused" && rule.then == Consequence::Freeze);
    let counts = own.map(|rule| rule.count.max(FEWEST_REFUSALS));
    let limit = policy.egress.limits.refusals_before_freeze;
    let counts = counts.chain(alarms.map(|alarms| alarms.escapes)).chain([limit]);
    counts.filter(|count| *count > 0).min().unwrap_or_default().into()
}
