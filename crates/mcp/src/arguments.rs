//! What must be true of the arguments of a call, and which call it is, exactly.

use cofferdam_domain::{
    Digest,
    foreign::{ArgumentRule, ArgumentTest, ForeignTool},
};
use globset::GlobMatcher;
use regex::Regex;
use serde_json::{Map, Value, json};

fn path_glob(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    Ok(globset::GlobBuilder::new(pattern).literal_separator(true).build()?.compile_matcher())
}

/// What is wrong with a rule, in words for whoever wrote it.
pub(crate) fn check(rule: &ArgumentRule) -> Result<(), String> {
    match &rule.must {
        ArgumentTest::Glob(pattern) => {
            path_glob(pattern).map(drop).map_err(|error| format!("{pattern:?} is no glob: {error}"))
        }
        ArgumentTest::Regex(pattern) => {
            whole(pattern).map(drop).map_err(|error| format!("{pattern:?} is no regular expression: {error}"))
        }
        ArgumentTest::OneOf(values) if values.is_empty() => Err("`one_of` names nothing".to_owned()),
        ArgumentTest::OneOf(_) | ArgumentTest::Prefix(_) | ArgumentTest::Absent => Ok(()),
    }
}

/// A regular expression that fits a text as a whole or not at all.
fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(&format!(r"\A(?:{pattern})\z")).size_limit(1 << 20).build()
}

/// Whether a call with these arguments may be.
///
/// # Errors
/// What must be true of an argument and is not.
pub fn permits(rules: &[ArgumentRule], arguments: &Map<String, Value>) -> Result<(), String> {
    rules.iter().try_for_each(|rule| holds(rule, arguments))
}

fn holds(rule: &ArgumentRule, arguments: &Map<String, Value>) -> Result<(), String> {
    let name = &rule.name;
    let value = arguments.get(name);
    let text = value.and_then(Value::as_str);
    // A text that climbs out of where it begins does not begin there.
    let climbs = text.is_some_and(|text| text.split(['/', '\\']).any(|part| part == ".."));
    let (holds, wanted) = match &rule.must {
        ArgumentTest::OneOf(values) => {
            let all: Vec<String> = values.iter().map(ToString::to_string).collect();
            (value.is_some_and(|value| values.contains(value)), format!("be one of {}", all.join(", ")))
        }
        ArgumentTest::Prefix(prefix) => {
            let begins = text.is_some_and(|text| text.starts_with(prefix.as_str()));
            (begins && !climbs, format!("begin with {prefix:?} and not climb out of it"))
        }
        ArgumentTest::Glob(pattern) => {
            let fits = path_glob(pattern).is_ok_and(|glob| text.is_some_and(|text| glob.is_match(text)));
            (fits && !climbs, format!("fit {pattern:?}"))
        }
        ArgumentTest::Regex(pattern) => {
            let fits = whole(pattern).is_ok_and(|regex| text.is_some_and(|text| regex.is_match(text)));
            (fits, format!("fit the regular expression {pattern:?}"))
        }
        ArgumentTest::Absent => (value.is_none(), "be left out".to_owned()),
    };
    if holds { Ok(()) } else { Err(format!("policy wants the argument {name:?} to {wanted}")) }
}

/// The digest of one exact call: what a person approves, and the log notes. What is asked of a server beside its tools is never the same as a call
/// of one of these.
#[must_use]
pub fn exact(tool: &ForeignTool, arguments: &Map<String, Value>) -> Digest {
    let mut call = json!({ "server": tool.server, "tool": tool.name, "arguments": arguments });
    if let Some(call) = call.as_object_mut().filter(|_| !tool.kind.is_tool()) {
        call.insert("kind".to_owned(), json!(tool.kind));
    }
    Digest::of(crate::catalogue::canonical(&call).as_bytes())
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::foreign::{ForeignKind, Permit};

    use super::*;

    #[test]
    fn arguments_are_held_against_the_rules() {
        let rule = |test: &Value| -> [ArgumentRule; 1] {
            [serde_json::from_value(json!({"name": "path", "must": test})).unwrap()]
        };
        let holds =
            |test: &Value, arguments: Value| permits(&rule(test), arguments.as_object().unwrap()).is_ok();
        let prefix = json!({"prefix": "/workspace/docs/"});
        assert!(holds(&prefix, json!({"path": "/workspace/docs/a"})));
        for other in [json!({"path": "/workspace/docs/../a"}), json!({"path": 1}), json!({})] {
            assert!(!holds(&prefix, other));
        }
        let one = json!({"one_of": ["a", 2]});
        assert!(holds(&one, json!({"path": 2})) && !holds(&one, json!({"path": "2"})));
        let glob = json!({"glob": "docs/*.md"});
        assert!(holds(&glob, json!({"path": "docs/a.md"})) && !holds(&glob, json!({"path": "docs/x/a.md"})));
        let regex = json!({"regex": "[a-z]+-[0-9]+"});
        assert!(holds(&regex, json!({"path": "abc-12"})) && !holds(&regex, json!({"path": "abc-12\n"})));
        assert!(!holds(&regex, json!({"path": "x abc-12"})));
        let absent = json!("absent");
        assert!(holds(&absent, json!({})) && !holds(&absent, json!({"path": null})));
        let why = permits(&rule(&prefix), &Map::new()).unwrap_err();
        assert!(why.contains("begin with"), "{why}");
    }

    #[test]
    fn one_call_has_one_digest() {
        let tool = |name: &str, kind| ForeignTool {
            server: "s".into(),
            name: name.into(),
            called: "s__t".into(),
            kind,
            description: String::new(),
            parameters: Value::Null,
            permit: Permit::Ask,
            read_only: false,
            arguments: Vec::new(),
        };
        let one = json!({"a": 1, "b": {"x": 1, "y": 2}});
        let same = json!({"b": {"y": 2, "x": 1}, "a": 1});
        let digest = |name, kind, arguments: &Value| exact(&tool(name, kind), arguments.as_object().unwrap());
        let of = digest("t", ForeignKind::Tool, &one);
        assert_eq!(of, digest("t", ForeignKind::Tool, &same));
        let call = json!({"server": "s", "tool": "t", "arguments": one});
        assert_eq!(
            of,
            Digest::of(crate::catalogue::canonical(&call).as_bytes()),
            "what people approved holds on"
        );
        for other in [
            digest("t", ForeignKind::Tool, &json!({"a": 1})),
            digest("u", ForeignKind::Tool, &one),
            digest("t", ForeignKind::ReadResource, &one),
        ] {
            assert_ne!(of, other);
        }
    }
}
