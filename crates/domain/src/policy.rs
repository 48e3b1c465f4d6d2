//! What a session may do and use.

use serde::{Deserialize, Serialize};

use crate::{
    Alarms, Cost, Usage,
    egress::{AccessPolicy, EgressPolicy},
};

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
    /// How many levels of subagents there may be: 0 for none, at most 2.
    #[serde(skip_serializing_if = "is_usual_delegation")]
    pub delegation: u8,
    /// What may leave the sandboxes.
    #[serde(skip_serializing_if = "EgressPolicy::is_default")]
    pub egress: EgressPolicy,
    /// The names of the only servers (MCP) whose tools the session may call; `None` for all that are configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<String>>,
    /// When the session raises an alarm. `None` in sessions that began before there were such rules: then only those stand that always do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarms: Option<Alarms>,
    /// Whether what the repository and the organisation have to say to agents is shown to them.
    #[serde(skip_serializing_if = "Advice::is_used")]
    pub instructions: Advice,
    /// Whether what was noted for later sessions is shown to the agent, and it may put forward more.
    #[serde(skip_serializing_if = "Advice::is_used")]
    pub memory: Advice,
    /// How often a fresh session looks at the change before it is delivered; 0 for never, at most [`MOST_ROUNDS`](crate::self_review::MOST_ROUNDS).
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "crate::self_review::rounds")]
    pub self_review: u8,
    /// What is done when a session that has read what outsiders may have written, and holds what is not public, wants to change the world outside.
    #[serde(skip_serializing_if = "Mixed::is_usual")]
    pub mixed: Mixed,
    /// The only models that the session may ask, as `provider/name`; `*` at the end stands for anything. `None` for all that are configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
}

/// What follows when untrusted words and private data have come together in a session, and a tool would act on the world outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mixed {
    /// A person decides about each such call.
    #[default]
    Ask,
    /// What the tools' own rules say holds unchanged.
    Allow,
}

impl Mixed {
    /// Whether it is what holds where nothing is said.
    #[must_use]
    pub const fn is_usual(&self) -> bool {
        matches!(self, Self::Ask)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(rounds: &u8) -> bool {
    *rounds == 0
}

/// A session may have subagents, and those none.
const USUAL_DELEGATION: u8 = 1;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_usual_delegation(levels: &u8) -> bool {
    *levels == USUAL_DELEGATION
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
            delegation: USUAL_DELEGATION,
            egress: EgressPolicy::default(),
            servers: None,
            alarms: None,
            instructions: Advice::Use,
            memory: Advice::Use,
            self_review: 0,
            mixed: Mixed::Ask,
            models: None,
        }
    }
}

/// What is done with texts that advise agents: `AGENTS.md` and others like it, rules, skills.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// They are shown to the agent as what they are: advice, which permits nothing.
    #[default]
    Use,
    /// Nobody looks for them.
    Off,
}

impl Advice {
    /// Whether they are shown.
    #[must_use]
    pub const fn is_used(&self) -> bool {
        matches!(self, Self::Use)
    }
}

impl Policy {
    /// The same with less room: every limit is the lower of both, rules can only be left out, protected paths only be added.
    #[must_use]
    pub fn narrowed_by(&self, narrowing: &Narrowing) -> Self {
        let Narrowing {
            budget,
            limits,
            questions,
            protected_paths,
            test_command,
            gate_rounds,
            delegation,
            egress,
            servers,
            instructions,
            memory,
            self_review,
            mixed,
            models,
        } = narrowing;
        let mut policy = self.clone();
        lower(&mut policy.budget.steps, budget.steps);
        lower(&mut policy.budget.tokens, budget.tokens);
        lower(&mut policy.budget.cost, budget.cost);
        lower(&mut policy.budget.wall_ms, budget.wall_ms);
        lower(&mut policy.limits.memory, limits.memory);
        lower(&mut policy.limits.processes, limits.processes);
        lower(&mut policy.limits.cpu_milli, limits.cpu_milli);
        lower(&mut policy.limits.disk, limits.disk);
        lower(&mut policy.limits.output, limits.output);
        lower(&mut policy.limits.command_ms, limits.command_ms);
        lower(&mut policy.limits.command_max_ms, limits.command_max_ms);
        lower(&mut policy.gate_rounds, *gate_rounds);
        lower(&mut policy.delegation, *delegation);
        policy.questions = questions.unwrap_or(policy.questions);
        if *instructions == Some(Advice::Off) {
            policy.instructions = Advice::Off;
        }
        if *memory == Some(Advice::Off) {
            policy.memory = Advice::Off;
        }
        // It permits nothing, however often it is.
        policy.self_review = self_review.unwrap_or(policy.self_review);
        if *mixed == Some(Mixed::Ask) {
            policy.mixed = Mixed::Ask;
        }
        if let Some(models) = models {
            policy.models = Some(only_both(policy.models.as_deref(), models));
        }
        policy.test_command = test_command.clone().or(policy.test_command);
        policy
            .protected_paths
            .extend(protected_paths.iter().filter(|path| !self.protected_paths.contains(path)).cloned());
        if let Some(kept) = servers {
            let had = |name: &&String| policy.servers.as_ref().is_none_or(|had| had.contains(name));
            policy.servers = Some(kept.iter().filter(had).cloned().collect());
        }
        if let Some(kept) = &egress.rules {
            policy.egress.rules.retain(|rule| kept.contains(&rule.name));
        }
        if egress.access == Some(AccessPolicy::Refuse) {
            policy.egress.access = AccessPolicy::Refuse;
        }
        if egress.registries == Some(false) {
            policy.egress.registries.enabled = false;
        }
        policy
    }
}

/// Whether a model, `provider/name`, is among those that may be asked; all may where there is no list.
#[must_use]
pub fn permits_model(only: Option<&[String]>, model: &str) -> bool {
    let fits = |pattern: &String| match pattern.strip_suffix('*') {
        Some(start) => model.starts_with(start),
        None => model == pattern,
    };
    only.is_none_or(|only| only.iter().any(fits))
}

/// The same of a model as somebody has named it: whether that alone rules it out. What a short name, a provider's name or a recording's stands for shows when
/// it is opened.
#[must_use]
pub fn rules_out_model(only: Option<&[String]>, named: &str) -> bool {
    named.contains('/') && !named.starts_with("scripted:") && !permits_model(only, named)
}

/// Patterns for what fits both lists.
fn only_both(had: Option<&[String]>, kept: &[String]) -> Vec<String> {
    let Some(had) = had else { return kept.to_vec() };
    let covers = |wide: &String, narrow: &String| match wide.strip_suffix('*') {
        Some(start) => narrow.starts_with(start),
        None => wide == narrow,
    };
    let of_both = |one: &String| {
        kept.iter()
            .filter_map(|other| {
                if covers(one, other) { Some(other.clone()) } else { covers(other, one).then(|| one.clone()) }
            })
            .collect::<Vec<_>>()
    };
    had.iter().flat_map(of_both).collect()
}

fn lower<T: PartialOrd>(limit: &mut T, to: Option<T>) {
    if let Some(to) = to.filter(|to| to < limit) {
        *limit = to;
    }
}

/// What takes room away from a policy. What it does not speak of stays. Whatever it says, nothing is permitted that was not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Narrowing {
    /// Lower limits on what the agent may use.
    pub budget: NarrowBudget,
    /// Lower limits on what its sandbox may use.
    pub limits: NarrowLimits,
    /// What the agent hears when it asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub questions: Option<Questions>,
    /// More globs of paths that a change may not touch without a person.
    pub protected_paths: Vec<String>,
    /// The command that tests the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_command: Option<String>,
    /// How often the gate may send findings back at the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_rounds: Option<u32>,
    /// How many levels of subagents there may be at the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegation: Option<u8>,
    /// What may no longer leave the sandboxes.
    pub egress: NarrowEgress,
    /// The names of the servers (MCP) whose tools may still be called; all if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<String>>,
    /// `off`, so that nothing is shown that advises agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<Advice>,
    /// `off`, so that nothing noted earlier is shown and nothing new is put forward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Advice>,
    /// How often a fresh session looks at the change before it is delivered; more often or less, since it permits nothing.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::self_review::rounds_if_said"
    )]
    pub self_review: Option<u8>,
    /// `ask`, so that a person decides where untrusted words and private data have come together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixed: Option<Mixed>,
    /// The only models that may still be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
}

/// See [`Budget`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of Budget")]
pub struct NarrowBudget {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u64>,
}

/// See [`Limits`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of Limits")]
pub struct NarrowLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_milli: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_max_ms: Option<u64>,
}

/// What is taken away of [`EgressPolicy`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NarrowEgress {
    /// The names of the rules that stay; all if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<String>>,
    /// `refuse`, so that the agent can ask for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessPolicy>,
    /// `false`, so that no package registry can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registries: Option<bool>,
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
    /// Nothing, until a person has answered: the session waits.
    Wait,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::EgressRule;

    fn own() -> Policy {
        let mut policy = Policy { protected_paths: vec!["a/**".into()], ..Policy::default() };
        for name in ["docs", "mirror"] {
            policy.egress.rules.push(EgressRule::new(name, "docs.example.com".parse().unwrap()));
        }
        policy.egress.access = AccessPolicy::Ask;
        policy.egress.registries.enabled = true;
        policy
    }

    fn narrowed(text: &str) -> Policy {
        own().narrowed_by(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn what_is_not_spoken_of_stays() {
        assert_eq!(narrowed("{}"), own());
        assert_eq!(serde_json::from_str::<Narrowing>("{}").unwrap(), Narrowing::default());
    }

    #[test]
    fn nothing_becomes_wider() {
        let wide = narrowed(
            r#"{"budget":{"steps":4000000,"cost":99000000000},"limits":{"memory":1099511627776},"gate_rounds":99,
                "egress":{"rules":["docs","mirror","everything"],"access":"ask","registries":true}}"#,
        );
        assert_eq!(wide, own());
        let narrow = narrowed(
            r#"{"budget":{"steps":7},"limits":{"memory":1048576},"protected_paths":["a/**","b"],"questions":"wait",
                "egress":{"rules":["docs"],"access":"refuse","registries":false}}"#,
        );
        assert_eq!(
            (narrow.budget.steps, narrow.limits.memory, narrow.questions),
            (7, 1 << 20, Questions::Wait)
        );
        assert_eq!(narrow.protected_paths, ["a/**", "b"]);
        let names: Vec<&str> = narrow.egress.rules.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, ["docs"]);
        assert!(narrow.egress.access == AccessPolicy::Refuse && !narrow.egress.registries.enabled);
    }

    #[test]
    fn a_fresh_look_is_taken_as_often_as_is_said_within_bounds() {
        assert_eq!(own().self_review, 0);
        assert_eq!(narrowed(r#"{"self_review":2}"#).self_review, 2);
        let often = Policy { self_review: 3, ..own() };
        let none: Narrowing = serde_json::from_str(r#"{"self_review":0}"#).unwrap();
        assert_eq!(often.narrowed_by(&none).self_review, 0);
        assert_eq!(often.narrowed_by(&Narrowing::default()).self_review, 3);
        for bad in ["4", "-1", "300", "true", "null"] {
            let text = format!("{{\"self_review\":{bad}}}");
            assert!(serde_json::from_str::<Policy>(&text).is_err(), "{bad}");
            assert!(serde_json::from_str::<Narrowing>(&text).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_models_that_fit_may_be_asked() {
        let only: Vec<String> = vec!["a/large".into(), "b/*".into()];
        for (model, permitted) in [("a/large", true), ("a/large-2", false), ("b/x", true), ("bb/x", false)] {
            assert_eq!(permits_model(Some(&only), model), permitted, "{model}");
            assert!(permits_model(None, model) && !permits_model(Some(&[]), model));
            assert_eq!(rules_out_model(Some(&only), model), !permitted);
        }
        assert!(!rules_out_model(Some(&only), "large") && !rules_out_model(Some(&only), "scripted:/a.toml"));
        let policy = Policy { models: Some(only), ..own() };
        let left =
            |narrowing: &str| policy.narrowed_by(&serde_json::from_str(narrowing).unwrap()).models.unwrap();
        assert_eq!(left(r#"{"models":["*"]}"#), ["a/large", "b/*"]);
        assert_eq!(left(r#"{"models":["b/small","a/*","c/d"]}"#), ["a/large", "b/small"]);
        assert_eq!(left(r#"{"models":[]}"#), [] as [String; 0]);
        assert_eq!(narrowed(r#"{"models":["a/*"]}"#).models.unwrap(), ["a/*"]);
        let allow = Policy { mixed: Mixed::Allow, ..own() };
        let said = |text: &str| serde_json::from_str::<Narrowing>(text).unwrap();
        assert_eq!(allow.narrowed_by(&said(r#"{"mixed":"ask"}"#)).mixed, Mixed::Ask);
        assert_eq!(own().narrowed_by(&said(r#"{"mixed":"allow"}"#)).mixed, Mixed::Ask);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for text in
            [r#"{"budgets":{}}"#, r#"{"budget":{"step":1}}"#, r#"{"egress":{"rules":[{"name":"x"}]}}"#]
        {
            assert!(serde_json::from_str::<Narrowing>(text).is_err(), "{text}");
        }
    }
}
