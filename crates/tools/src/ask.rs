//! `ask`: a question to the requester, who is usually not there.

use async_trait::async_trait;
use cofferdam_domain::{ToolOutcome, policy::Questions, tool::ToolEffect};

use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    tool::{Context, Failure, Tool, noted},
};

/// Characters of a question.
const MAX_QUESTION: usize = 4000;

static DEFINITION: Definition = Definition {
    name: "ask",
    description: "Ask the requester what only they can know. Usually nobody is there: look for the answer in the repository first.",
    fields: &[Field::required("question", Kind::Text, "").or(&["text", "message", "questions"])],
    parallel: false,
    read_only: true,
    example: r#"{"question":"Should the old flag keep working?"}"#,
    adapt: as_they_are,
    bare: None,
};

/// The tool.
pub(crate) struct Ask;

#[async_trait]
impl Tool for Ask {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let question = arguments.text("question").trim();
        if question.is_empty() || question.chars().count() > MAX_QUESTION {
            return Err(Failure(format!("A question has 1 to {MAX_QUESTION} characters.")));
        }
        let answer = match context.questions {
            Questions::Proceed => {
                "Nobody is there to answer. Proceed on your best judgement, choose what is easiest to undo, and state the question and \
                 your assumption in the summary when you finish."
            }
            Questions::Stop => "Nobody is there to answer. The session stops here with your question.",
            Questions::Wait => {
                "Your question is put to people. The work goes on when somebody has answered it."
            }
        };
        Ok(noted(answer, ToolEffect::Question { text: question.to_owned() }))
    }
}
