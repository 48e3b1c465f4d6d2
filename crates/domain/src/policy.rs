//! What a session may do and use.

use serde::{Deserialize, Serialize};

use crate::{Cost, Usage, egress::EgressPolicy};

/// What a session may do. Fixed at its start; nothing later in the session can change it except a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Hard limits on what the agent may use.
    pub budget: Budget,
    /// Hard limits on what its sandbox may use.
    pub limits: Limits,
    /// What the agent hears when it asks a question and nobody is there.
    pub questions: Questions,
    /// Globs of paths (from the root of the repository, case-insensitive) that a change may not touch without
    /// a person, beside the built-in ones.
    pub protected_paths: Vec<String>,
    /// The command that tests the repository, run by `sh -c` at its root; `None` means that it is found out
    /// from the files.
    pub test_command: Option<String>,
    /// How often the gate may send findings back to the agent before it holds the change for a person.
    pub gate_rounds: u32,
    /// What may leave the sandboxes.
    #[serde(skip_serializing_if = "EgressPolicy::is_default")]
    pub egress: EgressPolicy,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            budget: Budget::default(),
            limits: Limits::default(),
            questions: Questions::default(),
            protected_paths: Vec::new(),
            test_command: None,
            gate_rounds: 2,
            egress: EgressPolicy::default(),
        }
    }
}

/// What the agent hears when it asks and nobody is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Questions {
    /// To proceed on its best judgement and write its assumption down.
    #[default]
    Proceed,
    /// To stop: the session ends with the question as its reason.
    Stop,
}

/// Hard limits of a session. Reaching one is a soft landing: the agent gets one more answer to wrap up in,
/// then what there is is delivered as a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Model answers.
    pub steps: u32,
    /// Prompt and answer tokens of all model calls together.
    pub tokens: u64,
    /// Money for all model calls together, in millionths of a dollar. Never reached by models without a
    /// price.
    pub cost: Cost,
    /// Milliseconds from the first claim to the end of the agent's work. Time in which no worker has the
    /// session does not count.
    pub wall_ms: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: 200, tokens: 20_000_000, cost: Cost(10_000_000), wall_ms: 2 * 60 * 60 * 1000 }
    }
}

/// What has been used of a budget so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Model answers received.
    pub steps: u32,
    /// Tokens, by kind.
    pub usage: Usage,
    /// Money.
    pub cost: Cost,
    /// Milliseconds of work since the first claim, counted as in [`Budget::wall_ms`].
    pub wall_ms: u64,
}

/// Which hard limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// [`Budget::steps`].
    Steps,
    /// [`Budget::tokens`].
    Tokens,
    /// [`Budget::cost`].
    Cost,
    /// [`Budget::wall_ms`].
    Wall,
    /// The agent went in circles in spite of nudges.
    Stuck,
    /// The model failed or refused again and again.
    Model,
}

impl Budget {
    /// The first limit that `spent` has reached, if any.
    #[must_use]
    pub fn reached(&self, spent: &Spent) -> Option<LimitKind> {
        if spent.steps >= self.steps {
            Some(LimitKind::Steps)
        } else if spent.usage.total() >= self.tokens {
            Some(LimitKind::Tokens)
        } else if spent.cost >= self.cost {
            Some(LimitKind::Cost)
        } else if spent.wall_ms >= self.wall_ms {
            Some(LimitKind::Wall)
        } else {
            None
        }
    }
}

/// Hard limits of one sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of memory of all its processes together; swap is off.
    pub memory: u64,
    /// Processes and threads.
    pub processes: u32,
    /// Processor time, in thousandths of one processor.
    pub cpu_milli: u32,
    /// Bytes that may be written to disk.
    pub disk: u64,
    /// Bytes of output that are kept of one command.
    pub output: u64,
    /// Milliseconds that one command may run when it does not say.
    pub command_ms: u64,
    /// Milliseconds that one command may run at the very most.
    pub command_max_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 4 << 30,
            processes: 1024,
            cpu_milli: 2000,
            disk: 8 << 30,
            output: 16 << 20,
            command_ms: 2 * 60 * 1000,
            command_max_ms: 30 * 60 * 1000,
        }
    }
}
