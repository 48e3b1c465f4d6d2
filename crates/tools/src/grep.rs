//! `grep`: finds text in files.

use std::time::Duration;

use async_trait::async_trait;
use cofferdam_domain::{ToolOutcome, amount::counted};
use cofferdam_sandbox::{FileProblem, FoundFile, SandboxError, Search, SearchResult};

use crate::{
    call::{Arguments, Definition, Field, Kind, as_they_are},
    files::missing,
    place::Place,
    text::shorten,
    tool::{Context, Failure, Tool, outcome},
};

/// Bytes of result that are shown.
const MAX_BYTES: usize = 30_000;
/// Characters of a found line that are shown.
const MAX_LINE: usize = 400;
/// Matching lines after which counting stops.
const MAX_COUNTED: u64 = 20_000;
/// Matching lines that are shown unless the call says otherwise, and at most.
const MATCHES: (u64, u64) = (100, 1000);
/// How long a search may take.
const PATIENCE: Duration = Duration::from_secs(30);

static DEFINITION: Definition = Definition {
    name: "grep",
    description: "Search files by regular expression (Rust syntax). Files that .gitignore names are left out unless hidden.",
    fields: &[
        Field::required("pattern", Kind::Text, "").or(&["query", "regex", "search", "searchpattern"]),
        Field::optional("path", Kind::Text, "file or directory").or(&[
            "root",
            "dir",
            "directory",
            "dirpath",
            "file",
        ]),
        Field::optional("glob", Kind::Text, "only files like *.rs").or(&[
            "include",
            "filepattern",
            "includepattern",
        ]),
        Field::optional(
            "mode",
            Kind::Choice { words: &["lines", "files", "count"], aliases: MODES },
            "default lines",
        )
        .or(&["outputmode"]),
        Field::optional("context", Kind::Count { least: 0, most: 20 }, "lines around each match")
            .or(&["c", "contextlines"]),
        Field::optional("ignore_case", Kind::Flag, "").or(&["i", "caseinsensitive"]),
        Field::optional("literal", Kind::Flag, "pattern is plain text").or(&["fixedstrings"]),
        Field::optional("multiline", Kind::Flag, ""),
        Field::optional("hidden", Kind::Flag, ""),
        Field::optional("limit", Kind::Count { least: 1, most: MATCHES.1 }, "default 100")
            .or(&["maxresults", "headlimit"]),
    ],
    parallel: true,
    read_only: true,
    example: r#"{"pattern":"fn parse_\\w+","path":"src","glob":"*.rs"}"#,
    adapt: as_they_are,
    bare: None,
};

const MODES: &[(&str, &str)] =
    &[("content", "lines"), ("files_with_matches", "files"), ("files_only", "files")];

/// The tool.
pub(crate) struct Grep;

#[async_trait]
impl Tool for Grep {
    fn definition(&self) -> &'static Definition {
        &DEFINITION
    }

    async fn call(&self, context: &Context<'_>, arguments: &Arguments) -> Result<ToolOutcome, Failure> {
        let pattern = arguments.text("pattern");
        if pattern.is_empty() {
            return Err(Failure::new("The pattern is empty. To find files by name, use `glob`."));
        }
        let mode = arguments.optional_text("mode").unwrap_or("lines");
        let wanted = arguments.count("limit").unwrap_or(MATCHES.0);
        let limit = if mode == "lines" { wanted } else { MAX_COUNTED };
        let (root, mut result) = search(context, arguments, limit, |search| {
            search.pattern = Some(pattern.to_owned());
            search.glob = arguments.optional_text("glob").filter(|glob| !glob.is_empty()).map(str::to_owned);
            search.literal = arguments.flag("literal");
            search.ignore_case = arguments.flag("ignore_case");
            search.multiline = arguments.flag("multiline");
            search.context = if mode == "lines" { arguments.count("context").unwrap_or(0) as u32 } else { 0 };
        })
        .await
        .map_err(|failure| explain(failure, arguments.flag("literal")))?;
        if result.files.is_empty() {
            return Ok(outcome(nothing(&result, arguments.flag("hidden"))));
        }
        let text = match mode {
            "lines" => by_lines(&root, &result),
            other => {
                if result.files.len() as u64 > wanted {
                    result.files.truncate(wanted as usize);
                    result.cut = true;
                }
                by_files(&root, &result, other == "count")
            }
        };
        Ok(outcome(text))
    }
}

fn explain(failure: Failure, literal: bool) -> Failure {
    if literal || !failure.0.contains("regex") {
        return failure;
    }
    Failure(format!("{}\nTo search for it as plain text, set literal.", failure.0))
}

fn nothing(result: &SearchResult, hidden: bool) -> String {
    if result.cut {
        return "No matches so far, but time was over. Narrow path or glob.".to_owned();
    }
    let hint =
        if hidden { "" } else { " Hidden and ignored files were left out; hidden: true searches them." };
    format!("No matches.{hint}")
}

/// Lines under the name of their file: `12:` before a match, `12-` before context, `--` where lines are left
/// out.
fn by_lines(root: &Place, result: &SearchResult) -> String {
    let mut text = String::new();
    let mut full = false;
    let mut matches = 0;
    'files: for file in &result.files {
        let mut heading = format!("{}\n", found_path(root, file));
        let mut previous = None;
        let around = file.lines.iter().any(|line| !line.is_match);
        for line in &file.lines {
            let gap = around && previous.is_some_and(|number| line.number > number + 1);
            previous = Some(line.number);
            let mark = if line.is_match { ':' } else { '-' };
            let found = String::from_utf8_lossy(&line.text);
            let gap = if gap { "--\n" } else { "" };
            let shown = format!("{heading}{gap}{}{mark}{}\n", line.number, shorten(&found, MAX_LINE));
            if text.len() + shown.len() > MAX_BYTES {
                full = true;
                break 'files;
            }
            matches += usize::from(line.is_match);
            text.push_str(&shown);
            heading.clear();
        }
        text.push('\n');
    }
    let text = text.trim_end_matches('\n');
    if full || result.cut {
        let matches = if matches == 1 { "1 match".to_owned() } else { format!("{matches} matches") };
        return format!("{text}\n\n[cut after {matches}: narrow pattern, path or glob]");
    }
    text.to_owned()
}

fn by_files(root: &Place, result: &SearchResult, count: bool) -> String {
    let matches = |file: &FoundFile| file.lines.iter().filter(|line| line.is_match).count();
    let mut text = String::new();
    let mut shown = 0;
    for file in &result.files {
        let path = found_path(root, file);
        let line = if count { format!("{path}: {}\n", matches(file)) } else { format!("{path}\n") };
        if text.len() + line.len() > MAX_BYTES {
            break;
        }
        text.push_str(&line);
        shown += 1;
    }
    if count {
        let all: usize = result.files.iter().map(matches).sum();
        text.push_str(&format!(
            "[{} in {}]\n",
            counted(all as u64, "matching line"),
            counted(result.files.len() as u64, "file")
        ));
    }
    if result.cut || shown < result.files.len() {
        text.push_str(&format!(
            "[cut after {}: narrow pattern, path or glob]\n",
            counted(shown as u64, "file")
        ));
    }
    text.truncate(text.trim_end_matches('\n').len());
    text
}

/// Searches below the call's `path`, with what all searches have in common filled in.
pub(crate) async fn search(
    context: &Context<'_>,
    arguments: &Arguments,
    limit: u64,
    specify: impl FnOnce(&mut Search),
) -> Result<(Place, SearchResult), Failure> {
    let root = match arguments.optional_text("path") {
        Some(path) if !path.is_empty() => Place::of(path)?,
        Some(_) | None => Place::workspace(),
    };
    let mut search = Search {
        root: root.absolute().to_owned(),
        pattern: None,
        glob: None,
        literal: false,
        ignore_case: false,
        multiline: false,
        context: 0,
        hidden: arguments.flag("hidden"),
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
        timeout: PATIENCE,
    };
    specify(&mut search);
    match context.sandbox.search(search).await {
        Ok(result) => Ok((root, result)),
        Err(SandboxError::File { problem: FileProblem::Missing, .. }) => {
            Err(missing(context.sandbox, &root).await)
        }
        Err(error) => Err(error.into()),
    }
}

/// A found file's path as other tools take it: from the workspace, or absolute outside of it.
pub(crate) fn found_path(root: &Place, file: &FoundFile) -> String {
    let path = String::from_utf8_lossy(&file.path);
    // A search in one file names that file itself.
    if path.starts_with('/') {
        return Place::of(&path).map_or_else(|_| path.into_owned(), |place| place.to_string());
    }
    root.child(&path).to_string()
}
