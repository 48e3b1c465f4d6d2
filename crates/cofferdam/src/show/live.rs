//! A session while it runs: progress for people, or events for programs.

use std::sync::Mutex;

use cofferdam_domain::{Cost, Event, EventBody, Usage, event::ModelInfo};
use cofferdam_model::Progress;
use cofferdam_worker::{Live, Watch};

use super::{Detail, Timeline, tokens};
use crate::terminal::{Style, Terminal, inert};

/// Progress for people: the timeline as it grows, and now and then what has been spent.
pub(crate) struct LiveView {
    terminal: Terminal,
    state: Mutex<State>,
}

struct State {
    timeline: Timeline,
    model: Option<ModelInfo>,
    usage: Usage,
    cost: Cost,
}

impl LiveView {
    /// A view that writes to the terminal. `past` is what has happened before somebody watches: not shown again, but counted.
    pub(crate) fn new(terminal: Terminal, past: &[Event]) -> Self {
        let mut state = State {
            timeline: Timeline::new(terminal, Detail::Brief),
            model: None,
            usage: Usage::default(),
            cost: Cost::default(),
        };
        for event in past {
            drop(state.timeline.lines(event));
            state.count(&event.body);
        }
        Self { terminal, state: Mutex::new(state) }
    }
}

impl State {
    /// Counts what an event says was spent; whether it said so.
    fn count(&mut self, body: &EventBody) -> bool {
        if let EventBody::PolicyFixed(fixed) = body {
            self.model = Some(fixed.model.clone());
        }
        let EventBody::ModelAnswered { answer, .. } = body else { return false };
        self.usage += answer.usage;
        self.cost += answer.cost_by(self.model.as_ref().and_then(|model| model.prices.as_ref()));
        true
    }
}

impl Watch for LiveView {
    fn event(&self, event: &Event) {
        let Ok(mut state) = self.state.lock() else { return };
        for line in state.timeline.lines(event) {
            self.terminal.line(&line);
        }
        if state.count(&event.body) && state.cost > Cost::default() {
            let spent = format!("so far: {} tokens, {}", tokens(state.usage.total()), state.cost);
            self.terminal.line(&self.terminal.paint(Style::Dim, &format!("{:>9}  {spent}", "")));
        }
    }

    fn live(&self, live: Live<'_>) {
        match live {
            Live::Model(Progress::Retry { reason, after, fallback }) => {
                let next = fallback.map(|name| format!(" with {name}")).unwrap_or_default();
                let text =
                    format!("model: {}; trying again{next} in {:.1} s", inert(&reason), after.as_secs_f64());
                self.terminal.line(&self.terminal.paint(Style::Warn, &format!("{:>9}  {text}", "")));
            }
            Live::Model(Progress::Text(_) | Progress::Reasoning(_) | Progress::Tool(_))
            | Live::Output { .. } => {}
        }
    }
}

/// Events for programs: one JSON object a line, as in the log.
pub(crate) struct JsonLines(pub(crate) Terminal);

impl Watch for JsonLines {
    fn event(&self, event: &Event) {
        if let Ok(json) = serde_json::to_string(event) {
            self.0.json(&json);
        }
    }

    fn live(&self, _: Live<'_>) {}
}
