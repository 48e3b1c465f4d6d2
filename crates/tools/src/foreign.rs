//! Tools of other programs among ours: shown as they were approved, or found by a tool where they are many.
//!
//! What stands here knows no protocol: whoever has the programs carries calls out. All that comes back is untrusted, bounded, and kept whole
//! where it is long, as the output of a command is.

use cofferdam_domain::{
    ToolCall, ToolOutcome, ToolSpec,
    foreign::{Foreign, ForeignTool, Permit},
};
use serde_json::{Map, Value, json};

use crate::{
    picture,
    text::{Bounds, cleaned, closest, head_and_tail, shorten},
    tool::{Context, Failure, ForeignReply, outcome},
    whole,
};

/// The tool that finds tools.
const FIND: &str = "find_tools";
/// The tool that calls what was found.
const CALL: &str = "call_tool";
/// Bytes of a call's arguments.
const MAX_ARGUMENTS: usize = 256 << 10;
/// Tools that are found at once.
const MAX_FOUND: usize = 8;
/// Bytes of what is told of them.
const MAX_TOLD: usize = 24 << 10;
/// How much of an answer is shown.
const SHOWN: Bounds = Bounds { bytes: 30_000, lines: 1_000, line: 4_000 };

/// The tools of other programs that a session has.
#[derive(Debug, Default)]
pub(crate) struct ForeignTools(Foreign);

impl ForeignTools {
    pub(crate) const fn new(foreign: Foreign) -> Self {
        Self(foreign)
    }

    /// What the model is shown: the tools, or the two that find and call them. The same bytes every time.
    pub(crate) fn specs(&self) -> Vec<ToolSpec> {
        if self.0.tools.is_empty() {
            return Vec::new();
        }
        if self.0.searched {
            return vec![self.finder(), caller()];
        }
        let spec = |tool: &ForeignTool| ToolSpec {
            name: tool.called.clone(),
            description: described(tool),
            parameters: tool.parameters.clone(),
            // What one approval permits is made once: the next call is not begun before this one has used it up.
            parallel: tool.read_only && tool.permit == Permit::Allow,
            read_only: tool.read_only,
        };
        self.0.tools.iter().map(spec).collect()
    }

    /// Whether a call by this name is for one of them.
    pub(crate) fn has(&self, name: &str) -> bool {
        if self.0.tools.is_empty() {
            return false;
        }
        let ways = self.0.searched && [FIND, CALL].contains(&name);
        ways || self.named(name).is_some()
    }

    /// What they can be called by.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let ways = [FIND, CALL].into_iter().filter(|_| self.0.searched && !self.0.tools.is_empty());
        let shown = self.0.tools.iter().filter(|_| !self.0.searched).map(|tool| tool.called.as_str());
        ways.chain(shown)
    }

    /// Carries out a call of one of them, or of a tool that finds and calls them.
    pub(crate) async fn call(&self, context: &Context<'_>, call: &ToolCall) -> Result<ToolOutcome, Failure> {
        let mut arguments = arguments(&call.arguments)?;
        if let Some(tool) = self.named(&call.name) {
            return carry_out(context, tool, arguments).await;
        }
        if call.name == FIND {
            let query = arguments.get("query").and_then(Value::as_str).unwrap_or_default();
            return Ok(outcome(self.find(query)));
        }
        let name = arguments.get("name").and_then(Value::as_str).unwrap_or_default();
        let Some(tool) = self.named(name) else {
            let near = closest(name, self.0.tools.iter().map(|tool| tool.called.as_str()));
            let meant = near.map_or(String::new(), |near| format!(" Did you mean {near}?"));
            return Err(Failure(format!(
                "There is no tool {:?} to be called with `{CALL}`.{meant} `{FIND}` tells which there are.",
                shorten(name, 80)
            )));
        };
        let inner = match arguments.remove("arguments") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(inner)) => inner,
            // Some models write the arguments of arguments as text.
            Some(Value::String(text)) => self::arguments(&text)?,
            Some(_) => return Err(Failure::new("`arguments` is an object with the arguments of the tool.")),
        };
        carry_out(context, tool, inner).await
    }

    fn named(&self, name: &str) -> Option<&ForeignTool> {
        self.0.tools.iter().find(|tool| tool.called == name)
    }

    fn finder(&self) -> ToolSpec {
        let servers: Vec<String> = self
            .0
            .servers
            .iter()
            .map(|server| {
                let count = self.0.tools.iter().filter(|tool| tool.server == server.name).count();
                format!("{} ({count})", server.name)
            })
            .collect();
        ToolSpec {
            name: FIND.to_owned(),
            description: format!(
                "Find tools of other programs by what they do. There are: {}. Each is told with its arguments; call it with `{CALL}`. What is \
                 told of a tool is its program's own words.",
                servers.join(", ")
            ),
            parameters: json!({
                "type": "object",
                "properties": {"query": {"type": "string", "description": "words of what you need; a program's name for all of its tools"}},
                "required": ["query"],
                "additionalProperties": false
            }),
            parallel: true,
            read_only: true,
        }
    }

    /// The tools that have most of the words, those first that have them in their names.
    fn find(&self, query: &str) -> String {
        let words: Vec<String> = query
            .to_lowercase()
            .split(|character: char| !character.is_alphanumeric())
            .filter(|word| word.len() > 2)
            .take(20)
            .map(str::to_owned)
            .collect();
        let mut found: Vec<(usize, &ForeignTool)> = self
            .0
            .tools
            .iter()
            .map(|tool| (score(tool, &words), tool))
            .filter(|(score, _)| *score > 0)
            .collect();
        found.sort_by(|(one, first), (other, second)| other.cmp(one).then(first.called.cmp(&second.called)));
        if found.is_empty() {
            let names: Vec<&str> = self.0.tools.iter().map(|tool| tool.called.as_str()).take(100).collect();
            return format!("No tool has a word of that. Some that there are: {}.", names.join(", "));
        }
        let mut told = String::new();
        for (_, tool) in found.iter().take(MAX_FOUND) {
            let one = format!("{}: {}\narguments: {}\n\n", tool.called, described(tool), tool.parameters);
            if told.len() + one.len() > MAX_TOLD {
                break;
            }
            told.push_str(&one);
        }
        if told.is_empty() {
            told = "What there is to say of the tool that fits best is too long to be told.\n".to_owned();
        }
        let rest: Vec<&str> =
            found.iter().skip(MAX_FOUND).take(30).map(|(_, tool)| tool.called.as_str()).collect();
        if !rest.is_empty() {
            told.push_str(&format!("Less likely: {}.", rest.join(", ")));
        }
        told.trim_end().to_owned()
    }
}

fn caller() -> ToolSpec {
    ToolSpec {
        name: CALL.to_owned(),
        description: format!("Call a tool that `{FIND}` has found."),
        parameters: json!({
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": "its name, as it was told"},
                "arguments": {"type": "object", "description": "its arguments"}
            },
            "required": ["name", "arguments"],
            "additionalProperties": false
        }),
        parallel: false,
        read_only: false,
    }
}

fn score(tool: &ForeignTool, words: &[String]) -> usize {
    let (name, text) = (tool.called.to_lowercase(), tool.description.to_lowercase());
    let one = |word: &String| {
        let in_name = if name.contains(word.as_str()) { 3 } else { 0 };
        in_name + usize::from(text.contains(word.as_str()))
    };
    words.iter().map(one).sum()
}

/// What the model is told of a tool: that these are not the platform's words, and that a person may be asked.
fn described(tool: &ForeignTool) -> String {
    let asks = match tool.permit {
        Permit::Ask => " A person is asked about each call.",
        Permit::Allow | Permit::Deny => "",
    };
    if tool.kind.is_tool() {
        format!("What the program {} says of this tool of its own:{asks} {}", tool.server, tool.description)
    } else {
        // These words are ours, and quote a program's.
        format!("{}{asks}", tool.description)
    }
}

fn arguments(text: &str) -> Result<Map<String, Value>, Failure> {
    if text.len() > MAX_ARGUMENTS {
        return Err(Failure(format!("The arguments are longer than {} KiB.", MAX_ARGUMENTS >> 10)));
    }
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        Ok(_) => Err(Failure::new("The arguments are no JSON object.")),
        Err(error) => Err(Failure(format!("The arguments are no JSON: {error}."))),
    }
}

async fn carry_out(
    context: &Context<'_>,
    tool: &ForeignTool,
    arguments: Map<String, Value>,
) -> Result<ToolOutcome, Failure> {
    let Some(foreign) = context.foreign else {
        return Err(Failure(format!("The program {} is not there.", tool.server)));
    };
    let reply = foreign.call(tool, arguments, context.watch).await;
    Ok(kept(context, reply).await)
}

/// The reply as an outcome: what is too long is kept whole beside it, pictures go to the store.
async fn kept(context: &Context<'_>, reply: ForeignReply) -> ToolOutcome {
    let ForeignReply { status, text, pictures, label, effect } = reply;
    let (clean, _) = cleaned(text.as_bytes());
    let (mut shown, cut) = head_and_tail(&clean, SHOWN);
    let mut blob = None;
    if cut {
        let whole = whole::keep(context, text.as_bytes(), &clean).await;
        blob = whole.blob;
        shown = format!("{shown}\n{}", whole.hint);
    }
    let mut images = Vec::new();
    for bytes in pictures {
        match picture::keep(context.blobs, bytes).await {
            Ok(kept) => {
                blob = blob.or(kept.whole);
                if let Some(note) = kept.note {
                    shown.push_str(&format!("\n[picture {}: {note}]", images.len() + 1));
                }
                images.push(kept.image);
            }
            Err(why) => shown.push_str(&format!("\n[a picture cannot be shown: {why}]")),
        }
    }
    ToolOutcome { status, text: shown, images, whole: blob, label, effect }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::{
        Digest,
        foreign::{ForeignKind, ForeignServer},
    };

    use super::*;

    fn tool(server: &str, name: &str, description: &str) -> ForeignTool {
        ForeignTool {
            server: server.into(),
            name: name.into(),
            called: format!("{server}__{name}"),
            kind: ForeignKind::Tool,
            description: description.into(),
            parameters: json!({"type": "object"}),
            permit: Permit::Ask,
            read_only: false,
            arguments: Vec::new(),
        }
    }

    fn tools(searched: bool, tools: Vec<ForeignTool>) -> ForeignTools {
        let servers = vec![ForeignServer { name: "docs".into(), digest: Digest::ZERO, public: false }];
        ForeignTools::new(Foreign { servers, tools, searched })
    }

    #[test]
    fn few_are_shown_and_many_are_found() {
        let all = vec![tool("docs", "read_page", "Reads a page"), tool("docs", "put", "Writes to the wiki")];
        let few = tools(false, all.clone());
        assert_eq!(few.names().collect::<Vec<_>>(), ["docs__read_page", "docs__put"]);
        assert!(few.specs()[0].description.contains("A person is asked"), "{:?}", few.specs());
        let many = tools(true, all);
        assert_eq!(many.names().collect::<Vec<_>>(), [FIND, CALL]);
        assert!(many.has("docs__put"), "one that is known by name may be called");
        assert!(many.specs()[0].description.contains("docs (2)"));
        let found = many.find("a wiki PAGE");
        assert!(found.find("docs__read_page") < found.find("docs__put"), "{found}");
        assert!(many.find("nothing like it").starts_with("No tool"));
        let none = tools(true, Vec::new());
        assert!(none.specs().is_empty() && !none.has(FIND) && none.names().next().is_none());
    }

    #[test]
    fn resources_are_told_of_in_our_words_and_found_like_tools() {
        let read = ForeignTool {
            kind: ForeignKind::ReadResource,
            read_only: true,
            permit: Permit::Allow,
            ..tool("docs", "read_resource", "Reads a resource of the program docs.")
        };
        let few = tools(false, vec![read.clone()]);
        let spec = &few.specs()[0];
        assert_eq!(spec.description, "Reads a resource of the program docs.");
        assert!(spec.read_only && spec.parallel);
        assert!(tools(true, vec![read]).find("a resource").starts_with("docs__read_resource"));
    }

    #[test]
    fn calls_that_are_asked_about_are_made_one_by_one() {
        let reads = |permit| ForeignTool { permit, read_only: true, ..tool("docs", "get", "Gets") };
        for (permit, parallel) in [(Permit::Allow, true), (Permit::Ask, false)] {
            assert_eq!(tools(false, vec![reads(permit)]).specs()[0].parallel, parallel, "{permit:?}");
        }
    }

    #[test]
    fn what_is_found_has_an_end() {
        let long = "page ".repeat(1_600);
        let all = (0..200).map(|number| tool("docs", &format!("page_{number:03}"), &long)).collect();
        let found = tools(true, all).find("page");
        assert!(found.len() <= MAX_TOLD + 1_000 && found.contains("Less likely"), "{}", found.len());
    }

    #[test]
    fn arguments_are_an_object() {
        assert!(arguments("").unwrap().is_empty());
        assert_eq!(arguments(r#"{"a":1}"#).unwrap().len(), 1);
        for bad in ["[]", "1", "{", &format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_ARGUMENTS))] {
            assert!(arguments(bad).is_err());
        }
    }
}
