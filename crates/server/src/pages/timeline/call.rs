//! A tool call and its result, cut to what a page shows.

use cofferdam_domain::{CallId, Digest, Seq, ToolCall, ToolOutcome, tool::ToolEffect};
use serde_json::{Map, Value};

use super::{Call, CallState, Ended};
use crate::pages::text::{Excerpt, cut, printed};

/// What a call is about, in the order in which it is looked for.
const SUBJECTS: [&str; 8] = ["command", "path", "pattern", "action", "question", "title", "host", "outcome"];
/// Characters of the subject's line.
const SUBJECT: usize = 300;
/// Arguments that are shown one by one, and the bytes of each.
const MOST_ARGUMENTS: usize = 12;
const ARGUMENT: usize = 2 * 1024;
/// Bytes of the beginning and of the end of an output: mostly the end says how it went.
const OUTPUT_HEAD: usize = 2 * 1024;
const OUTPUT_TAIL: usize = 4 * 1024;
/// Pictures of a call.
const MOST_PICTURES: usize = 8;
/// Items of a plan.
const MOST_ITEMS: usize = 40;

/// A call as the model wrote it.
pub(super) fn asked(id: CallId, call: &ToolCall) -> Call {
    let tool = cut(&call.name, 60);
    // Megabytes of arguments are not parsed to show three lines of them.
    let object = (call.arguments.len() <= 256 * 1024).then(|| call.object().ok()).flatten();
    let Some(object) = object else {
        let arguments = vec![("arguments".to_owned(), Excerpt::ends(&call.arguments, ARGUMENT, 512))];
        return Call {
            id,
            tool,
            subject: cut(&call.arguments, SUBJECT),
            arguments,
            state: CallState::Waiting,
        };
    };
    let subject = SUBJECTS
        .into_iter()
        .find_map(|name| Some((name, object.get(name)?.as_str().filter(|text| !text.trim().is_empty())?)));
    // A command of several lines is shown whole as well.
    let repeated =
        subject.filter(|(_, text)| text.trim().contains('\n') || text.len() > SUBJECT).map(|(name, _)| name);
    let arguments = object
        .iter()
        .filter(|(name, _)| {
            subject.is_none_or(|(subject, _)| subject != name.as_str()) || repeated == Some(name)
        })
        .take(MOST_ARGUMENTS)
        .map(|(name, value)| (cut(name, 60), argument(value)))
        .collect();
    let subject = subject.map_or_else(|| described(&object), |(_, text)| cut(text, SUBJECT));
    Call { id, tool, subject, arguments, state: CallState::Waiting }
}

/// What stands in the place of a subject where there is none.
fn described(object: &Map<String, Value>) -> String {
    let names: Vec<&str> = object.keys().take(6).map(String::as_str).collect();
    cut(&names.join(", "), SUBJECT)
}

fn argument(value: &Value) -> Excerpt {
    match value {
        Value::String(text) => Excerpt::ends(text, ARGUMENT, 512),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            let text = serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string());
            Excerpt::ends(&text, ARGUMENT, 512)
        }
    }
}

/// What came of a call.
pub(super) fn ended(seq: Seq, outcome: &ToolOutcome, millis: u64) -> Ended {
    let text = printed(&outcome.text);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let plan = match &outcome.effect {
        Some(ToolEffect::Plan { items }) => items.iter().take(MOST_ITEMS).cloned().collect(),
        Some(_) | None => Vec::new(),
    };
    Ended {
        seq,
        status: outcome.status,
        head: cut(first.split(" after ").next().unwrap_or(first), 100),
        failed: first.starts_with("exit ") && !first.starts_with("exit 0"),
        output: Excerpt::ends(&text, OUTPUT_HEAD, OUTPUT_TAIL),
        whole: outcome.whole,
        plan,
        pictures: pictures(outcome),
        millis,
    }
}

/// The pictures of a call. One of a page is kept larger than the model is shown it.
fn pictures(outcome: &ToolOutcome) -> Vec<(Digest, Digest)> {
    let full = match &outcome.effect {
        Some(ToolEffect::Screenshot { picture, .. }) => Some(picture.blob.digest),
        Some(_) | None => None,
    };
    let shown = outcome.images.iter().take(MOST_PICTURES).map(|image| image.blob.digest);
    let pictures: Vec<_> = shown.map(|shown| (shown, full.unwrap_or(shown))).collect();
    if pictures.is_empty() { full.map(|full| (full, full)).into_iter().collect() } else { pictures }
}
