//! `glob`: finds files by name.

use async_trait::async_trait;
use cofferdam_domain::ToolOutcome;

use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    grep::{found_path, search},
    tool::{Context, Failure, Tool, outcome},
};

static DEFINITION: Definition = Definition {
    name: "glob",
    description: "Find files by glob, newest first. Files that .gitignore names are left out unless hidden.",
    fields: &[
        Field::required("pattern", Kind::Text, "like **/*.rs or src/**/*_test.{js,ts}").or(&[
            "glob",
            "query",
            "globpattern",
        ]),
        Field::optional("path", Kind::Text, "directory to start from").or(&[
            "root",
            "dir",
            "directory",
            "dirpath",
        ]),
        Field::optional("hidden", Kind::Flag, ""),
        Field::optional("limit", Kind::Count { least: 1, most: 1000 }, "default 200")
            .or(&["maxresults", "headlimit"]),
    ],
    parallel: true,
    read_only: true,
    example: r#"{"pattern":"**/*.toml"}"#,
    adapt: as_they_are,
    bare: None,
};

/// The tool.
pub(crate) struct Glob;

#[async_trait]
impl Tool for Glob {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let pattern = arguments.text("pattern");
        if pattern.is_empty() {
            return Err(Failure::new("The pattern is empty. All files: **/*"));
        }
        // An absolute pattern means the same below the workspace.
        let pattern = pattern.strip_prefix("/workspace/").unwrap_or(pattern);
        let limit = arguments.count("limit").unwrap_or(200);
        let (root, result) = search(context, arguments, limit, |search| {
            search.glob = Some(pattern.to_owned());
        })
        .await?;
        if result.files.is_empty() {
            let cut = if result.cut { " Time was over; narrow the path." } else { "" };
            return Ok(outcome(format!("No files match {pattern}.{cut}")));
        }
        let mut lines: Vec<String> = result.files.iter().map(|file| found_path(&root, file)).collect();
        if result.cut {
            lines.push(format!("[cut after {} files: narrow the pattern or the path]", lines.len()));
        }
        Ok(outcome(lines.join("\n")))
    }
}
