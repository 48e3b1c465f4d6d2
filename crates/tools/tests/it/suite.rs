//! The bench on which tools are tried, and the list of all cases, so that every kind of sandbox runs every
//! case.

use std::{
    any::Any,
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use cofferdam_domain::{
    BlobRef, CallId, Digest, ToolCall, ToolOutcome, ToolStatus,
    event::EditFormat,
    policy::{Limits, Questions},
};
use cofferdam_sandbox::Sandbox;
use cofferdam_tools::{Blobs, Context, MAX_TEXT, Notes, Toolbox};
use serde_json::Value;

/// A sandbox with tools over it.
pub(crate) struct Bench {
    pub(crate) sandbox: Box<dyn Sandbox>,
    pub(crate) toolbox: Toolbox,
    pub(crate) patches: Toolbox,
    pub(crate) with_memory: Toolbox,
    pub(crate) blobs: Memory,
    pub(crate) limits: Limits,
    pub(crate) questions: Questions,
    pub(crate) remarks: Vec<u64>,
    pub(crate) notes: Notes,
    pub(crate) watched: Mutex<Vec<u8>>,
    calls: AtomicU32,
    /// What has to live as long as the sandbox: its directories.
    _held: Option<Box<dyn Any + Send + Sync>>,
}

/// Blobs in memory.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) Mutex<HashMap<Digest, Vec<u8>>>);

#[async_trait]
impl Blobs for Memory {
    async fn put(&self, content: &[u8]) -> Option<BlobRef> {
        let digest = Digest::of(content);
        self.0.lock().unwrap().insert(digest, content.to_vec());
        Some(BlobRef { digest, size: content.len() as u64 })
    }
}

impl Bench {
    pub(crate) fn new(sandbox: Box<dyn Sandbox>, held: Option<Box<dyn Any + Send + Sync>>) -> Self {
        Self {
            sandbox,
            toolbox: Toolbox::standard(EditFormat::Replace),
            with_memory: Toolbox::standard(EditFormat::Replace).with_memory(true),
            patches: Toolbox::standard(EditFormat::ApplyPatch),
            blobs: Memory::default(),
            limits: Limits::default(),
            questions: Questions::Proceed,
            remarks: Vec::new(),
            notes: Notes::default(),
            watched: Mutex::default(),
            calls: AtomicU32::new(0),
            _held: held,
        }
    }

    /// A call with the arguments as the model wrote them.
    pub(crate) async fn raw(&self, tool: &str, arguments: &str) -> ToolOutcome {
        let toolbox = match tool {
            "apply_patch" => &self.patches,
            "remember" => &self.with_memory,
            _ => &self.toolbox,
        };
        let watch = |bytes: &[u8]| self.watched.lock().unwrap().extend_from_slice(bytes);
        let context = Context {
            call: CallId { step: self.calls.fetch_add(1, Ordering::Relaxed) + 1, index: 0 },
            sandbox: self.sandbox.as_ref(),
            blobs: &self.blobs,
            limits: &self.limits,
            questions: self.questions,
            remarks: &self.remarks,
            notes: self.notes,
            skills: None,
            foreign: None,
            delegates: None,
            watch: &watch,
        };
        let call = ToolCall {
            provider_id: "id".into(),
            name: tool.into(),
            arguments: arguments.into(),
            opaque: None,
        };
        let outcome = toolbox.call(&context, &call).await;
        assert!(outcome.text.len() <= MAX_TEXT, "{} bytes from {tool}", outcome.text.len());
        assert!(!outcome.text.is_empty(), "nothing to read from {tool}");
        outcome
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> ToolOutcome {
        self.raw(tool, &arguments.to_string()).await
    }

    /// The text of a call that succeeds.
    pub(crate) async fn ok(&self, tool: &str, arguments: Value) -> String {
        let outcome = self.call(tool, arguments).await;
        assert_eq!(outcome.status, ToolStatus::Ok, "{}", outcome.text);
        timeless(&outcome.text)
    }

    /// The text of a call that fails.
    pub(crate) async fn error(&self, tool: &str, arguments: Value) -> String {
        let outcome = self.call(tool, arguments).await;
        assert_eq!(outcome.status, ToolStatus::Error, "{}", outcome.text);
        outcome.text
    }

    pub(crate) async fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        self.sandbox.write(path, content.as_ref(), None).await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Vec<u8> {
        self.sandbox.read(path, 0, 64 << 20).await.unwrap().bytes
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        String::from_utf8(self.get(path).await).unwrap()
    }

    pub(crate) async fn exists(&self, path: &str) -> bool {
        self.sandbox.read(path, 0, 1).await.is_ok()
    }
}

/// A text without the times in it: `0.4 s` becomes `T`.
pub(crate) fn timeless(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let unit = ["ms", "s"]
            .into_iter()
            .find(|unit| word.strip_prefix(unit).is_some_and(|rest| !rest.starts_with(char::is_alphabetic)));
        match (words.last_mut(), unit) {
            (Some(number), Some(unit)) if number.parse::<f64>().is_ok() => {
                *number = format!("T{}", &word[unit.len()..]);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words.join(" ")
}

/// All cases, as tests in the module that says how a bench is opened. A host that cannot open one says so and
/// passes over.
macro_rules! cases {
    ($open:ident) => {
        crate::suite::cases! { $open:
            shell: runs_commands, long_output_is_cut_and_kept, says_how_it_ended, times_out_with_its_tree,
                cleans_what_terminals_show, understands_foreign_arguments, background_commands_live_on,
                background_commands_take_input, background_failures_show_at_once, output_is_watched_as_it_comes,
                side_by_side;
            files: reads_with_numbers, reads_in_pages, pictures_are_shown, what_is_no_text_is_described,
                missing_files_have_suggestions, writes, writes_nothing_over_unseen_changes, lists_trees,
                whole_outputs_can_be_paged;
            edit: edits_what_was_read, must_have_been_read_and_unchanged, keeps_ends_and_mode, refusals,
                foreign_shapes, lists_as_text;
            apply_patch: changes_several_files, all_or_nothing, takes_back_what_it_wrote, keeps_the_mode_of_what_it_moves,
                several_operations_on_one_file, bare_text_is_a_patch, deletes_what_is_no_text;
            search: greps, greps_files_and_counts, bad_patterns, globs, nothing_found;
            session: plans, asks, remembers, finishes, unknown_tools, broken_arguments, nothing_is_unbounded;
            recorded: edits_of_recorded_runs;
        }
    };
    ($open:ident: $($module:ident: $($case:ident),*;)*) => {
        mod tools {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if let Some(bench) = super::super::$open().await {
                        crate::$module::$case(bench).await;
                    }
                })*
            })*
        }
    };
}
pub(crate) use cases;
