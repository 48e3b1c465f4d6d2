//! `browser_act`: does something on a page.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_browser::{Deed, Target, Way};
use cofferdam_domain::ToolOutcome;
use cofferdam_sandbox::WORKSPACE;
use serde_json::{Map, Value};

use super::{Surf, answer, snapshot::target};
use crate::{
    call::{Arguments, Definition, Field, Kind},
    tool::{Context, Failure, Tool},
};

/// Bytes of a text that is written.
const MOST_TEXT: usize = 64 << 10;

static DEFINITION: Definition = Definition {
    name: "browser_act",
    description: "Do one thing on the page: click, double_click, hover, type (text into target, in the place of what is there), press (key), select \
                  (values of a list), upload (files), scroll (target into view, or to), wait (until text is there), back, forward, reload, \
                  new_tab (url), switch_tab and close_tab (tab). Answers with what has changed in the outline.",
    fields: &[
        Field::required(
            "action",
            Kind::Choice {
                words: &[
                    "click",
                    "double_click",
                    "hover",
                    "type",
                    "press",
                    "select",
                    "upload",
                    "scroll",
                    "wait",
                    "back",
                    "forward",
                    "reload",
                    "new_tab",
                    "switch_tab",
                    "close_tab",
                ],
                aliases: &[
                    ("fill", "type"),
                    ("press_key", "press"),
                    ("key", "press"),
                    ("select_option", "select"),
                    ("wait_for", "wait"),
                    ("check", "click"),
                    ("uncheck", "click"),
                    ("tap", "click"),
                    ("go_back", "back"),
                    ("go_forward", "forward"),
                    ("refresh", "reload"),
                ],
            },
            "",
        ),
        Field::optional("target", Kind::Text, "a ref like e12 from a snapshot, or a CSS selector")
            .or(&["ref", "selector", "element"]),
        Field::optional("text", Kind::Text, "for type and wait"),
        Field::optional("append", Kind::Flag, "type: after what is there"),
        Field::optional("submit", Kind::Flag, "type: then press Enter"),
        Field::optional("key", Kind::Text, "such as Enter, Tab, ArrowDown, Control+a").or(&["keys"]),
        Field::optional("values", Kind::Text, "select: values or words of options, one a line")
            .or(&["value", "options"]),
        Field::optional("files", Kind::Text, "upload: paths, one a line").or(&["paths", "file", "path"]),
        Field::optional(
            "to",
            Kind::Choice {
                words: &["down", "up", "top", "bottom"],
                aliases: &[("end", "bottom"), ("start", "top")],
            },
            "scroll",
        )
        .or(&["direction"]),
        Field::optional("gone", Kind::Flag, "wait: until the text is gone"),
        Field::optional("seconds", Kind::Count { least: 1, most: 60 }, "wait: at most; default 10")
            .or(&["time", "timeout"]),
        Field::optional("url", Kind::Text, "new_tab"),
        Field::optional("tab", Kind::Count { least: 1, most: 10_000 }, "").or(&["index"]),
        Field::optional(
            "dialogs",
            Kind::Choice { words: &["dismiss", "accept"], aliases: &[] },
            "how to answer confirm and prompt dialogs that this opens; default dismiss",
        ),
        Field::optional("dialog_text", Kind::Text, "answer to a prompt dialog").or(&["prompttext"]),
    ],
    parallel: false,
    read_only: false,
    example: r#"{"action":"click","target":"e12"}"#,
    adapt: join_lists,
    bare: None,
};

/// Models like to write lists as lists.
fn join_lists(arguments: &mut Map<String, Value>) {
    for name in ["values", "value", "options", "files", "paths"] {
        let Some(Value::Array(items)) = arguments.get(name) else { continue };
        let words: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
        if let Some(words) = words {
            let joined = words.join("\n");
            arguments.insert(name.to_owned(), joined.into());
        }
    }
}

/// The tool.
pub(super) struct Act(pub(super) Arc<Surf>);

#[async_trait]
impl Tool for Act {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let deed = deed(arguments)?;
        if let Deed::Upload(_, files) = &deed {
            for file in files {
                // Whether it is there, in words better than the browser's.
                context.sandbox.read(file, 0, 0).await?;
            }
        }
        let mut held = self.0.open(context).await?;
        let done = held.browser()?.act(&deed, answer(arguments)).await;
        let done = held.judge(done).await?;
        held.tell(context, &done).await
    }
}

fn deed(arguments: &Arguments) -> Result<Deed, Failure> {
    let action = arguments.text("action");
    let some = target(arguments)?;
    let needed = || -> Result<Target, Failure> {
        let missing = || {
            Failure(format!("{action} needs a `target`: a ref like e12 from a snapshot, or a CSS selector."))
        };
        some.clone().ok_or_else(missing)
    };
    let given = |name: &str| {
        let missing = || Failure(format!("{action} needs `{name}`."));
        arguments.optional_text(name).filter(|text| !text.is_empty()).ok_or_else(missing)
    };
    let lines = |name: &str| -> Result<Vec<String>, Failure> {
        Ok(given(name)?
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .take(50)
            .map(str::to_owned)
            .collect())
    };
    let tab = arguments.count("tab").and_then(|tab| u32::try_from(tab).ok());
    Ok(match action {
        "click" => Deed::Click(needed()?, false),
        "double_click" => Deed::Click(needed()?, true),
        "hover" => Deed::Hover(needed()?),
        "type" => {
            let text = arguments
                .optional_text("text")
                .ok_or_else(|| Failure::new("type needs `text`; it may be empty."))?;
            if text.len() > MOST_TEXT {
                return Err(Failure(format!("A text has at most {} KiB.", MOST_TEXT >> 10)));
            }
            let (append, submit) = (arguments.flag("append"), arguments.flag("submit"));
            Deed::Type { target: some, text: text.to_owned(), append, submit }
        }
        "press" => Deed::Press(given("key")?.to_owned()),
        "select" => Deed::Select(needed()?, lines("values")?),
        "upload" => Deed::Upload(needed()?, lines("files")?.iter().map(|file| absolute(file)).collect()),
        "scroll" => match (some, arguments.text("to")) {
            (Some(target), "") => Deed::Show(target),
            (_, "up") => Deed::Scroll(Way::Up),
            (_, "top") => Deed::Scroll(Way::Top),
            (_, "bottom") => Deed::Scroll(Way::Bottom),
            (_, _) => Deed::Scroll(Way::Down),
        },
        "wait" => Deed::Wait {
            text: arguments.optional_text("text").filter(|text| !text.is_empty()).map(str::to_owned),
            gone: arguments.flag("gone"),
            seconds: arguments.count("seconds").unwrap_or(10),
        },
        "back" => Deed::Back,
        "forward" => Deed::Forward,
        "reload" => Deed::Reload,
        "new_tab" => {
            let url = arguments.optional_text("url").filter(|url| !url.is_empty());
            let url = url.map(str::parse).transpose();
            Deed::NewTab(url.map_err(|error| Failure(format!("Not opened. {error}.")))?)
        }
        "switch_tab" => {
            Deed::SwitchTab(tab.ok_or_else(|| Failure::new("switch_tab needs `tab`, its number."))?)
        }
        _ => Deed::CloseTab(tab),
    })
}

fn absolute(file: &str) -> String {
    if file.starts_with('/') { file.to_owned() } else { format!("{WORKSPACE}/{file}") }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::ToolCall;

    use super::*;

    fn asked(arguments: &str) -> Result<Deed, String> {
        let call =
            ToolCall { provider_id: "x".into(), name: "".into(), arguments: arguments.into(), opaque: None };
        let arguments = Arguments::of(&call, &DEFINITION).map_err(|failure| failure.0)?;
        deed(&arguments).map_err(|failure| failure.0)
    }

    #[test]
    fn what_is_asked_becomes_a_deed() {
        assert_eq!(asked(r#"{"action":"click","ref":"e3"}"#), Ok(Deed::Click(Target::Ref(3), false)));
        let select = asked(r#"{"action":"select_option","target":"e3","values":["One way","b"]}"#).unwrap();
        assert_eq!(select, Deed::Select(Target::Ref(3), vec!["One way".into(), "b".into()]));
        let files = asked(r##"{"action":"upload","target":"#f","files":"a.txt\n/tmp/b"}"##).unwrap();
        assert_eq!(
            files,
            Deed::Upload(Target::Selector("#f".into()), vec!["/workspace/a.txt".into(), "/tmp/b".into()])
        );
        assert_eq!(asked(r#"{"action":"scroll","to":"end"}"#), Ok(Deed::Scroll(Way::Bottom)));
        for (bad, wanted) in [
            (r#"{"action":"click"}"#, "`target`"),
            (r#"{"action":"press"}"#, "`key`"),
            (r#"{"action":"type","target":"e1"}"#, "`text`"),
            (r#"{"action":"new_tab","url":"file:///etc/passwd"}"#, "only http"),
            (r#"{"action":"switch_tab"}"#, "number"),
            (r#"{"action":"dance"}"#, "double_click"),
        ] {
            let problem = asked(bad).unwrap_err();
            assert!(problem.contains(wanted), "{bad}: {problem}");
        }
    }
}
