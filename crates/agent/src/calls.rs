//! The tool calls of one step: which may start now, which are under way, and what came of them.

use std::sync::Arc;

use cofferdam_domain::{
    CallId, Delegated, ToolCall, ToolOutcome, ToolStatus, delegation, message::ToolResult, tool::ToolEffect,
};

use crate::{stuck::Record, wording};

/// So many calls of one step run at once.
const MAX_AT_ONCE: usize = 8;

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    id: CallId,
    tool: Arc<ToolCall>,
    parallel: bool,
    /// Whether another session carries it out.
    delegates: bool,
    /// Whether that session is chosen, or it is settled that there is none.
    settled: bool,
    state: CallState,
}

#[derive(Debug, Clone)]
enum CallState {
    Waiting,
    Running,
    /// It was running when its worker was lost.
    CutShort,
    Done {
        result: Arc<ToolResult>,
        record: Option<Record>,
    },
}

impl Call {
    /// A call that waits to be run, or that will not be run for the given reason.
    pub(crate) fn new(id: CallId, tool: ToolCall, parallel: bool, not_run: Option<&str>) -> Self {
        let (delegates, settled) = (false, false);
        let mut call =
            Self { id, tool: Arc::new(tool), parallel, delegates, settled, state: CallState::Waiting };
        if let Some(reason) = not_run {
            call.fail(reason);
        }
        call
    }

    /// The same call, to be carried out by another session if `delegates`.
    #[must_use]
    pub(crate) const fn by_another(mut self, delegates: bool) -> Self {
        self.delegates = delegates;
        self
    }

    fn fail(&mut self, text: &str) {
        let result = self.result(text.to_owned(), Vec::new(), true);
        self.state = CallState::Done { result: Arc::new(result), record: None };
    }

    fn result(
        &self,
        text: String,
        images: Vec<cofferdam_domain::message::Image>,
        is_error: bool,
    ) -> ToolResult {
        let ToolCall { provider_id, name, .. } = &*self.tool;
        ToolResult { provider_id: provider_id.clone(), name: name.clone(), text, images, is_error }
    }
}

/// All calls of a step, in the order of the answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls(Vec<Call>);

impl Calls {
    pub(crate) const fn new(calls: Vec<Call>) -> Self {
        Self(calls)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every call has its result.
    pub(crate) fn all_done(&self) -> bool {
        self.0.iter().all(|call| matches!(call.state, CallState::Done { .. }))
    }

    pub(crate) fn any_running(&self) -> bool {
        self.0.iter().any(|call| matches!(call.state, CallState::Running))
    }

    /// The first call that was cut short and is not recorded as lost.
    pub(crate) fn cut_short(&self) -> Option<CallId> {
        self.0.iter().find(|call| matches!(call.state, CallState::CutShort)).map(|call| call.id)
    }

    /// The calls that may start now: the first that is not done, and with it those right after it if all of
    /// them may run beside others.
    pub(crate) fn startable(&self) -> impl Iterator<Item = (CallId, ToolCall)> {
        let done = self.0.iter().take_while(|call| matches!(call.state, CallState::Done { .. })).count();
        let rest = self.0.get(done..).unwrap_or_default();
        let together = rest.iter().take_while(|call| call.parallel).count().max(1).min(rest.len());
        let run = &rest[..together];
        let running = |call: &&Call| matches!(call.state, CallState::Running);
        let mut room = delegation::MOST_AT_ONCE
            .saturating_sub(run.iter().filter(running).filter(|call| call.delegates).count());
        let running = run.iter().filter(running).count();
        run.iter()
            .filter(|call| matches!(call.state, CallState::Waiting))
            .filter(move |call| {
                let fits = !call.delegates || room > 0;
                room -= usize::from(fits && call.delegates);
                fits
            })
            .take(MAX_AT_ONCE.saturating_sub(running))
            .map(|call| (call.id, ToolCall::clone(&call.tool)))
    }

    /// The calls that other sessions are to carry out and for which none is chosen yet.
    pub(crate) fn to_delegate(&self) -> impl Iterator<Item = (CallId, &ToolCall)> {
        let waits = |call: &&Call| matches!(call.state, CallState::Waiting);
        self.0
            .iter()
            .filter(waits)
            .filter(|call| call.delegates && !call.settled)
            .map(|call| (call.id, &*call.tool))
    }

    /// It is settled who carries the call out. Whether that was open.
    pub(crate) fn settle(&mut self, id: CallId) -> bool {
        let Some(call) = self.find(id, |state| matches!(state, CallState::Waiting)) else { return false };
        let open = call.delegates && !call.settled;
        call.settled |= open;
        open
    }

    /// No other session carries anything out for this one any more: where that is still wanted, one is to be chosen anew.
    pub(crate) fn unsettle(&mut self) {
        self.0.iter_mut().for_each(|call| call.settled = false);
    }

    /// Whether anything runs that ends with the worker that has it.
    pub(crate) fn any_running_here(&self) -> bool {
        self.0.iter().any(|call| matches!(call.state, CallState::Running) && !call.delegates)
    }

    /// The call was started. Whether it could be.
    pub(crate) fn start(&mut self, id: CallId) -> bool {
        let Some(call) = self.find(id, |state| matches!(state, CallState::Waiting)) else { return false };
        call.state = CallState::Running;
        true
    }

    /// What a call was to do.
    pub(crate) fn called(&self, id: CallId) -> Option<Arc<ToolCall>> {
        self.0.iter().find(|call| call.id == id).map(|call| Arc::clone(&call.tool))
    }

    /// The call ended. Whether it was under way. Pictures are left out for models that cannot see.
    pub(crate) fn finish(&mut self, id: CallId, outcome: &ToolOutcome, millis: u64, sees: bool) -> bool {
        let Some(call) = self.find(id, |state| matches!(state, CallState::Running)) else { return false };
        let is_error = outcome.status != ToolStatus::Ok;
        let images = if sees { outcome.images.clone() } else { Vec::new() };
        let mut text = outcome.text.clone();
        if !sees && !outcome.images.is_empty() {
            text.push_str(wording::NO_IMAGES);
        } else if text.trim().is_empty() && images.is_empty() {
            // Some providers refuse an empty result.
            wording::NO_OUTPUT.clone_into(&mut text);
        }
        let record = Record::new(&call.tool, outcome, millis);
        let result = Arc::new(call.result(text, images, is_error));
        call.state = CallState::Done { result, record: Some(record) };
        true
    }

    /// The call is lost. Whether it was cut short.
    pub(crate) fn lose(&mut self, id: CallId) -> bool {
        let Some(call) = self.find(id, |state| matches!(state, CallState::CutShort)) else { return false };
        call.fail(wording::CALL_LOST);
        true
    }

    /// Calls that have not started will not be run.
    pub(crate) fn drop_waiting(&mut self, reason: &str) {
        for call in &mut self.0 {
            if matches!(call.state, CallState::Waiting) {
                call.fail(reason);
            }
        }
    }

    /// The worker was lost, and with it whatever ran. What another session carries out goes on where that one's log ends.
    pub(crate) fn cut(&mut self) {
        for call in &mut self.0 {
            if matches!(call.state, CallState::Running) {
                call.state = if call.delegates { CallState::Waiting } else { CallState::CutShort };
            }
        }
    }

    /// Ends the step: its results, and what is to be remembered of the calls that ran.
    pub(crate) fn close(&mut self) -> (Vec<Arc<ToolResult>>, Vec<Record>) {
        let mut results = Vec::new();
        let mut records = Vec::new();
        for call in std::mem::take(&mut self.0) {
            if let CallState::Done { result, record } = call.state {
                results.push(result);
                records.extend(record);
            }
        }
        (results, records)
    }

    fn find(&mut self, id: CallId, in_state: impl Fn(&CallState) -> bool) -> Option<&mut Call> {
        self.0.iter_mut().find(|call| call.id == id && in_state(&call.state))
    }
}

/// Whether a call shows progress by itself, rather than by what it returned.
pub(crate) fn has_edited(outcome: &ToolOutcome) -> bool {
    let applied = |done: &Delegated| done.patch.as_ref().is_some_and(|patch| patch.applied);
    matches!(&outcome.effect, Some(ToolEffect::Edited { .. }))
        || matches!(&outcome.effect, Some(ToolEffect::Delegated(done)) if applied(done))
}
