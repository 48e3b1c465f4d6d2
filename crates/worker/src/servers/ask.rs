//! What a call asks of a server: one of its tools, or what it has beside them. The model's arguments are data, and looked through before anything
//! is sent.

use cofferdam_domain::foreign::{ForeignKind, ForeignTool};
use cofferdam_mcp::{Answer, Client, McpError, Progress, plain_uri};
use serde_json::{Map, Value};

/// Bytes of a value that a prompt is given.
const MAX_VALUE: usize = 32 << 10;

/// Something to be asked of a server, as far as arguments can be looked through without it.
#[derive(Debug, PartialEq)]
pub(super) enum Ask {
    /// That it does something.
    Tool { name: String, arguments: Map<String, Value> },
    /// Which resources it has.
    Resources,
    /// What one of them holds.
    Resource { uri: String },
    /// One of the prompts that were approved.
    Prompt { name: String, arguments: Map<String, Value> },
}

impl Ask {
    /// What a call asks for; what is wrong with its arguments, in words for a model.
    pub(super) fn of(tool: &ForeignTool, mut arguments: Map<String, Value>) -> Result<Self, String> {
        let ask = match tool.kind {
            ForeignKind::Tool => return Ok(Self::Tool { name: tool.name.clone(), arguments }),
            ForeignKind::ListResources => Self::Resources,
            ForeignKind::ReadResource => {
                let uri = text(&mut arguments, "uri")?;
                plain_uri(&uri)?;
                Self::Resource { uri }
            }
            ForeignKind::GetPrompt => {
                let name = text(&mut arguments, "name")?;
                let known = tool.parameters.pointer("/properties/name/enum").and_then(Value::as_array);
                if !known.is_some_and(|known| known.iter().any(|known| known == name.as_str())) {
                    return Err(
                        "there is no prompt of that name: the description says which there are".to_owned()
                    );
                }
                Self::Prompt { name, arguments: values(arguments.remove("arguments"))? }
            }
        };
        match arguments.keys().next() {
            None => Ok(ask),
            Some(other) => Err(format!("there is no argument {other:?}")),
        }
    }

    /// Asks it. `told` hears how far a tool is.
    pub(super) async fn at(
        self,
        client: &Client,
        told: &(dyn Fn(&Progress) + Send + Sync),
    ) -> Result<Answer, McpError> {
        match self {
            Self::Tool { name, arguments } => client.call(&name, arguments, told).await,
            Self::Resources => {
                let text = client.resources().await?.lines();
                Ok(Answer { text, ..Answer::default() })
            }
            Self::Resource { uri } => client.read_resource(&uri).await,
            Self::Prompt { name, arguments } => client.prompt(&name, arguments).await,
        }
    }
}

/// What a person is asked to permit.
pub(super) fn in_words(tool: &ForeignTool) -> String {
    match tool.kind {
        ForeignKind::Tool => format!("the tool {} of the program {} be called", tool.name, tool.server),
        ForeignKind::ListResources => format!("the program {} be asked which resources it has", tool.server),
        ForeignKind::ReadResource => format!("a resource of the program {} be read", tool.server),
        ForeignKind::GetPrompt => format!("a prompt of the program {} be got", tool.server),
    }
}

fn text(arguments: &mut Map<String, Value>, name: &str) -> Result<String, String> {
    match arguments.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("`{name}` is a text")),
        None => Err(format!("`{name}` is missing")),
    }
}

/// What a prompt is given: texts.
fn values(given: Option<Value>) -> Result<Map<String, Value>, String> {
    match given {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(values)) => {
            match values.iter().find(|(_, value)| value.as_str().is_none_or(|text| text.len() > MAX_VALUE)) {
                None => Ok(values),
                Some((name, _)) => {
                    Err(format!("{name:?} of `arguments` is a text of at most {} KiB", MAX_VALUE >> 10))
                }
            }
        }
        Some(_) => Err("`arguments` is an object with texts".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::foreign::Permit;
    use serde_json::json;

    use super::*;

    fn ask(kind: ForeignKind, arguments: &Value) -> Result<Ask, String> {
        let tool = ForeignTool {
            server: "docs".into(),
            name: "any".into(),
            called: "docs__any".into(),
            kind,
            description: String::new(),
            parameters: json!({"type": "object", "properties": {"name": {"enum": ["review"]}}}),
            permit: Permit::Allow,
            read_only: true,
            arguments: Vec::new(),
        };
        Ask::of(&tool, arguments.as_object().unwrap().clone())
    }

    #[test]
    fn only_what_is_meant_is_asked() {
        let uri = "docs://a/b";
        assert_eq!(ask(ForeignKind::ListResources, &json!({})), Ok(Ask::Resources));
        let read = ask(ForeignKind::ReadResource, &json!({"uri": uri}));
        assert_eq!(read, Ok(Ask::Resource { uri: uri.into() }));
        let given = json!({"name": "review", "arguments": {"code": "x"}});
        let Ok(Ask::Prompt { name, arguments }) = ask(ForeignKind::GetPrompt, &given) else { panic!() };
        assert_eq!((name.as_str(), Value::Object(arguments)), ("review", json!({"code": "x"})));
        for (kind, bad, wanted) in [
            (ForeignKind::ListResources, json!({"cursor": "x"}), "no argument"),
            (ForeignKind::ReadResource, json!({}), "missing"),
            (ForeignKind::ReadResource, json!({"uri": 1}), "text"),
            (ForeignKind::ReadResource, json!({"uri": "docs://a/../b"}), ".."),
            (ForeignKind::ReadResource, json!({"uri": "docs://a/%2e%2e/b"}), "hides"),
            (ForeignKind::ReadResource, json!({"uri": uri, "_meta": {}}), "no argument"),
            (ForeignKind::GetPrompt, json!({"name": "secret"}), "no prompt"),
            (ForeignKind::GetPrompt, json!({"name": "review", "arguments": []}), "object"),
            (ForeignKind::GetPrompt, json!({"name": "review", "arguments": {"code": 1}}), "text"),
            (
                ForeignKind::GetPrompt,
                json!({"name": "review", "arguments": {"code": "x".repeat(MAX_VALUE + 1)}}),
                "KiB",
            ),
        ] {
            let why = ask(kind, &bad).unwrap_err();
            assert!(why.contains(wanted), "{bad}: {why}");
        }
    }
}
