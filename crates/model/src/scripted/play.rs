//! Which step a request asks for, and what it answers.

use std::{collections::BTreeMap, time::Duration};

use cofferdam_domain::{
    Answer, Block, Message, Messages, ModelRequest, Role, StopReason, ToolCall, Usage, message::Reasoning,
};
use regex::Regex;
use serde_json::Value;

use super::transcript::{After, Arguments, Call, Fault, Step, Stop, Transcript};
use crate::{failure::excerpt, wire::json};

/// What a transcript has for a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Played {
    /// The step, counted from 0; it goes on counting where the last step repeats.
    pub step: usize,
    /// The answer.
    pub answer: Answer,
    /// How long the model takes.
    pub delay: Duration,
    /// What fails before.
    pub fault: Option<Fault>,
}

/// The agent did something else than the transcript foresaw.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(String);

/// Named groups and what they matched.
type Found = BTreeMap<String, String>;

impl Transcript {
    /// The answer to `request`.
    ///
    /// # Errors
    /// When the transcript is at its end, or the step expects something else than was sent. The message names
    /// the step.
    pub fn play(&self, request: &ModelRequest) -> Result<Played, Mismatch> {
        let at = position(&request.messages);
        let last = request.messages.last().map(|message| texts(message)).unwrap_or_default();
        if let Some(summary) = &self.summary
            && last.last().is_some_and(|text| summary.when.is_match(text))
        {
            let text = format!("{}\n\n[transcript at step {at}]", summary.text);
            let answer = self.answer(vec![Block::Text { text }], StopReason::EndTurn, request);
            return Ok(Played { step: at, answer, delay: Duration::ZERO, fault: None });
        }
        let step = match (self.steps.get(at), self.after, self.steps.last()) {
            (Some(step), _, _) => step,
            (None, After::Repeat, Some(last)) => last,
            (None, After::Silence, _) => {
                let answer = self.answer(Vec::new(), StopReason::EndTurn, request);
                return Ok(Played { step: at, answer, delay: Duration::ZERO, fault: None });
            }
            (None, After::Fail | After::Repeat, _) => {
                let what = format!(
                    "the transcript {:?} has {} steps and was asked for another: end it with a call of the tool that finishes, or set after",
                    self.info.name,
                    self.steps.len()
                );
                return Err(Mismatch(what));
            }
        };
        let found = step.check(&last.join("\n"), &request.messages).map_err(|what| {
            Mismatch(format!(
                "step {} ({:?}) of the transcript {:?}: {what}",
                at + 1,
                step.name,
                self.info.name
            ))
        })?;
        let answer = self.answer(step.blocks(at, &found), step.stop(), request);
        Ok(Played { step: at, answer, delay: Duration::from_millis(step.delay_ms), fault: step.fault })
    }

    fn answer(&self, blocks: Vec<Block>, stop: StopReason, request: &ModelRequest) -> Answer {
        let usage = usage(&blocks, request);
        Answer { blocks, stop, usage, model: self.info.name.clone(), cost: None }
    }
}

impl Step {
    /// Whether what was sent is what the step expects, and what its expressions found.
    fn check(&self, last: &str, messages: &Messages) -> Result<Found, String> {
        let sent = || format!("what was sent is: {}", excerpt(last));
        if let Some(wanted) = self.contains.iter().find(|wanted| !last.contains(*wanted)) {
            return Err(format!("expected {wanted:?}; {}", sent()));
        }
        if let Some(unwanted) = self.lacks.iter().find(|unwanted| last.contains(*unwanted)) {
            return Err(format!("did not expect {unwanted:?}; {}", sent()));
        }
        let mut found = Found::new();
        if let Some(regex) = &self.matches {
            let hit =
                groups(regex, last).ok_or_else(|| format!("expected a match of {regex}; {}", sent()))?;
            found.extend(hit);
        }
        for regex in &self.find {
            let hit = messages.iter().rev().find_map(|message| groups(regex, &texts(message).join("\n")));
            found.extend(hit.ok_or_else(|| format!("nothing in the conversation matches {regex}"))?);
        }
        Ok(found)
    }

    fn blocks(&self, at: usize, found: &Found) -> Vec<Block> {
        let mut blocks = Vec::new();
        if !self.reasoning.is_empty() {
            let text = fill(&self.reasoning, found);
            blocks.push(Block::Reasoning(Reasoning { text, opaque: None }));
        }
        if !self.text.is_empty() {
            blocks.push(Block::Text { text: fill(&self.text, found) });
        }
        let calls = self.calls.iter().enumerate();
        blocks.extend(
            calls.map(|(index, call)| Block::ToolCall(call.fill(format!("call_s{at}_{index}"), found))),
        );
        blocks
    }

    fn stop(&self) -> StopReason {
        match self.stop {
            Some(Stop::EndTurn) => StopReason::EndTurn,
            Some(Stop::ToolUse) => StopReason::ToolUse,
            Some(Stop::MaxTokens) => StopReason::MaxTokens,
            Some(Stop::Refusal) => StopReason::Refusal { explanation: String::new() },
            None if self.calls.is_empty() => StopReason::EndTurn,
            None => StopReason::ToolUse,
        }
    }
}

impl Call {
    fn fill(&self, provider_id: String, found: &Found) -> ToolCall {
        let arguments = match &self.arguments {
            Arguments::Raw(raw) => fill(raw, found),
            Arguments::Object(object) => {
                let mut value = Value::Object(object.clone());
                fill_value(&mut value, found);
                json(&value)
            }
        };
        ToolCall { provider_id, name: fill(&self.tool, found), arguments, opaque: None }
    }
}

/// How many steps have been played: see the module's documentation.
fn position(messages: &Messages) -> usize {
    let mut after = 0;
    for message in messages.iter().rev() {
        match message.role {
            Role::Assistant => {
                let step = message.blocks.iter().find_map(|block| match block {
                    Block::ToolCall(call) => step_of(&call.provider_id),
                    Block::Text { .. } | Block::Reasoning(_) | Block::ToolResult(_) | Block::Image(_) => None,
                });
                if let Some(step) = step {
                    return step + 1 + after;
                }
                after += 1;
            }
            Role::User => {
                if let Some(at) = texts(message).iter().rev().find_map(|text| marker(text)) {
                    return at + after;
                }
            }
        }
    }
    after
}

fn step_of(id: &str) -> Option<usize> {
    let (step, _) = id.strip_prefix("call_s")?.split_once('_')?;
    // Ids come back from the log, but a bound costs nothing.
    step.parse().ok().filter(|step| *step < 1 << 32)
}

fn marker(text: &str) -> Option<usize> {
    let (_, rest) = text.rsplit_once("[transcript at step ")?;
    rest.split_once(']')?.0.parse().ok().filter(|step| *step < 1 << 32)
}

/// What the platform says in a message: texts and tool results.
fn texts(message: &Message) -> Vec<&str> {
    match message.role {
        Role::User => message.blocks.iter().filter_map(said).collect(),
        Role::Assistant => Vec::new(),
    }
}

const fn said(block: &Block) -> Option<&str> {
    match block {
        Block::Text { text } => Some(text.as_str()),
        Block::ToolResult(result) => Some(result.text.as_str()),
        Block::Reasoning(_) | Block::ToolCall(_) | Block::Image(_) => None,
    }
}

fn groups(regex: &Regex, text: &str) -> Option<Found> {
    let captures = regex.captures_iter(text).last()?;
    let named = regex.capture_names().flatten();
    Some(named.filter_map(|name| Some((name.to_owned(), captures.name(name)?.as_str().to_owned()))).collect())
}

/// The text with `${name}` replaced by what was found; names that were not found stay.
fn fill(text: &str, found: &Found) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        if let Some(kept) = before.strip_suffix('$') {
            out.push_str(kept);
            out.push_str("${");
            rest = &from[2..];
            continue;
        }
        out.push_str(before);
        match from[2..].split_once('}').and_then(|(name, after)| Some((found.get(name)?, after))) {
            Some((value, after)) => {
                out.push_str(value);
                rest = after;
            }
            None => {
                out.push_str("${");
                rest = &from[2..];
            }
        }
    }
    out + rest
}

fn fill_value(value: &mut Value, found: &Found) {
    match value {
        Value::String(text) => *text = fill(text, found),
        Value::Array(items) => items.iter_mut().for_each(|item| fill_value(item, found)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill_value(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => (),
    }
}

fn usage(blocks: &[Block], request: &ModelRequest) -> Usage {
    let tokens = |bytes: usize| bytes.div_ceil(4) as u64;
    // The request before this one ended with the last message before the last answer.
    let after = request.messages.iter().rev().position(|message| message.role == Role::Assistant);
    let before = after.map_or(0, |after| request.messages.len() - 1 - after);
    let sizes = |message: &std::sync::Arc<Message>| size(&message.blocks);
    let known: usize = request.messages.iter().take(before).map(sizes).sum();
    let new: usize = request.messages.iter().skip(before).map(sizes).sum();
    let tools = request.tools.iter().map(|tool| tool.name.len() + tool.description.len()).sum::<usize>();
    let fixed = request.system.len() + tools;
    let (input, cache_read) = if before == 0 { (fixed + new, 0) } else { (new, fixed + known) };
    Usage {
        input: tokens(input),
        cache_read: tokens(cache_read),
        output: tokens(size(blocks)),
        ..Usage::default()
    }
}

fn size(blocks: &[Block]) -> usize {
    let size = |block: &Block| match block {
        Block::Text { text } => text.len(),
        Block::Reasoning(reasoning) => reasoning.text.len(),
        Block::ToolCall(call) => call.name.len() + call.arguments.len(),
        Block::ToolResult(result) => result.text.len(),
        // About what providers count for a picture.
        Block::Image(_) => 4 * 1500,
    };
    blocks.iter().map(size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders() {
        let found = Found::from([("a".to_owned(), "1".to_owned())]);
        assert_eq!(fill("${a} $${a} ${b} ${a", &found), "1 ${a} ${b} ${a");
    }

    #[test]
    fn the_number_of_a_step_is_read_from_ids_and_marks() {
        assert_eq!((step_of("call_s12_0"), step_of("call_12"), step_of("toolu_1")), (Some(12), None, None));
        assert_eq!(marker("x [transcript at step 1] y [transcript at step 7]\n</summary>"), Some(7));
    }
}
