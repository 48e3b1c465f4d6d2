//! `propose_plan`: what the agent means to do, for a person to approve before anything is changed.

use async_trait::async_trait;
use cofferdam_domain::{ToolOutcome, tool::ToolEffect};

use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    tool::{Context, Failure, Tool, noted},
};

/// Characters of a plan: a person reads it.
const MAX_PLAN: usize = 20_000;

static DEFINITION: Definition = Definition {
    name: "propose_plan",
    description: "Propose how you will do the task, once you know the code that it touches. Nothing may be changed before a person has \
                  approved the plan. Say what will change and where, how it will be tested, and what you are unsure of.",
    fields: &[Field::required("plan", Kind::Text, "Markdown").or(&["text", "content", "proposal"])],
    parallel: false,
    read_only: true,
    example: r##"{"plan":"1. Reproduce the failure in tests/parse.rs\n2. Accept a trailing comma in src/parse.rs"}"##,
    adapt: as_they_are,
    bare: Some("plan"),
};

/// The tool.
pub(crate) struct ProposePlan;

#[async_trait]
impl Tool for ProposePlan {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, _: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let plan = arguments.text("plan").trim();
        if plan.is_empty() || plan.chars().count() > MAX_PLAN {
            return Err(Failure(format!("A plan has 1 to {MAX_PLAN} characters.")));
        }
        let text = "Your plan is before a person. The work goes on when they have decided about it.";
        Ok(noted(text, ToolEffect::Proposal { text: plan.to_owned() }))
    }
}
