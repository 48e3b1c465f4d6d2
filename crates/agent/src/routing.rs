//! Which of a session's models is asked: its own, or one that its [`Routes`](cofferdam_domain::event::Routes) have for what is being done.

use cofferdam_domain::{
    Answer, Cost,
    event::{Fixed, ModelInfo, ModelRole},
    money::Prices,
};

use crate::Agent;

/// Tokens that a summary may take. It is asked for 1,500 words.
const SUMMARY_TOKENS: u64 = 4096;

impl Agent {
    /// The kind of work that the next request is for, where the session has another model for it than its own. A conversation that would not
    /// fit into that model's window is the session's own model's.
    #[must_use]
    pub fn asked_of(&self, compaction: bool) -> Option<(ModelRole, &ModelInfo)> {
        let fixed = self.facts.fixed.as_deref()?;
        let planning = || {
            self.planning().then_some(ModelRole::Plan).and_then(|role| Some((role, fixed.routes.get(role)?)))
        };
        if !compaction {
            return planning();
        }
        let Some(model) = fixed.routes.get(ModelRole::Compact) else { return planning() };
        let tokens = self.plan_request(true)?.tokens;
        let fits = tokens.saturating_add(SUMMARY_TOKENS) <= model.context_window;
        if fits { Some((ModelRole::Compact, model)) } else { planning() }
    }

    /// The kind of work that the request under way is for, where another model than the session's own is asked.
    #[must_use]
    pub fn asking(&self) -> Option<(ModelRole, &ModelInfo)> {
        let role = self.asked.as_ref()?.asked_of?;
        Some((role, self.facts.fixed.as_deref()?.routes.get(role)?))
    }

    /// What the answer to the request under way costs.
    #[must_use]
    pub fn cost_of(&self, answer: &Answer) -> Cost {
        let asked_of = self.asked.as_ref().and_then(|asked| asked.asked_of);
        let prices = self.facts.fixed.as_deref().and_then(|fixed| prices(fixed, asked_of, answer));
        answer.cost_by(prices)
    }

    /// The model that the conversation is with.
    pub(crate) fn model_at_work<'f>(&self, fixed: &'f Fixed) -> &'f ModelInfo {
        self.planning().then(|| fixed.routes.get(ModelRole::Plan)).flatten().unwrap_or(&fixed.model)
    }
}

/// The prices by which an answer is counted whose cost its provider's side did not work out.
pub(crate) fn prices<'f>(
    fixed: &'f Fixed,
    asked_of: Option<ModelRole>,
    answer: &Answer,
) -> Option<&'f Prices> {
    let routed = asked_of.and_then(|role| fixed.routes.get(role));
    // One that could not be asked was stood in for by the session's own.
    let routed = routed.filter(|model| answer.model != fixed.model.name || model.name == fixed.model.name);
    routed.unwrap_or(&fixed.model).prices.as_ref()
}
