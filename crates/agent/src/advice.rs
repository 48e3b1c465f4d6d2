//! What advises the agent: texts of the repository's base commit and skills, shown to the model as quotations that order nothing.
//!
//! Those that are always about the work are shown when they are found, the others when the model reads or changes a file that they are about,
//! each once. After a compaction they are shown anew. Of a skill the model sees name and description, until it asks for more.

use std::{collections::BTreeSet, sync::Arc};

use cofferdam_domain::{
    Part, ToolCall, ToolOutcome,
    delegation::DELEGATE,
    event::{Applies, Giver, Instruction, InstructionKind, Instructions},
    tool::ToolEffect,
};
use cofferdam_instructions::about;

use crate::{Agent, compaction::room_for_results, conversation::Conversation, excerpt::excerpt, wording};

/// Where the agent's files are, as it may write their paths.
const WORKSPACE: &str = "/workspace/";
/// Tools whose `path` is a file that they look at or change.
const FILE_TOOLS: [&str; 3] = ["read", "edit", "write"];
/// Names that models have for that argument.
const PATH_NAMES: [&str; 6] = ["path", "file_path", "filePath", "filepath", "file", "filename"];
/// Bytes of what is shown at once, whatever the model's window.
const MOST_SHOWN: usize = 64 * 1024;
/// Bytes of what is said about one kind of subagent.
const LONGEST_ABOUT: usize = 1024;

/// What advises, and what of it the model has been shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Advice {
    found: Option<Arc<Instructions>>,
    shown: BTreeSet<usize>,
}

impl Agent {
    /// What advises in this session, if something does.
    #[must_use]
    pub fn instructions(&self) -> Option<&Arc<Instructions>> {
        self.advice.found.as_ref()
    }

    pub(crate) fn instructions_found(&mut self, found: &Instructions) -> bool {
        let fits = self.working() && self.advice.found.is_none();
        if fits {
            self.advice.found = Some(Arc::new(found.clone()));
            if let Some(text) = self.lasting_advice() {
                self.draft.say(text);
            }
        }
        fits
    }

    /// The kinds of subagents that files describe, where this session hands work out. They are quoted, and not in the description of the tool: the model is
    /// asked for the first time before anybody knows of them, and what it was shown then stays as it is.
    pub(crate) fn custom_kinds(&self) -> impl Iterator<Item = &Instruction> {
        let fixed = self.facts.fixed.as_ref();
        let delegates = fixed.is_some_and(|fixed| fixed.tools.iter().any(|tool| tool.name == DELEGATE));
        let files = self.advice.found.as_ref().map(|found| found.files.as_slice()).unwrap_or_default();
        files.iter().filter(move |file| {
            delegates && file.kind == InstructionKind::Subagent && file.applies == Applies::OnRequest
        })
    }

    /// How the kind of subagent works that this session was asked to be.
    fn own_kind(&self, found: &Instructions) -> Option<String> {
        let own =
            |file: &&Instruction| file.kind == InstructionKind::Subagent && file.applies == Applies::Always;
        let files: Vec<&Instruction> = found.files.iter().filter(own).collect();
        let texts = self.quoted(files);
        (!texts.is_empty()).then(|| format!("{}\n\n{}", wording::OWN_KIND, texts.join("\n\n")))
    }

    /// What is always about the work, and what else there is.
    pub(crate) fn lasting_advice(&self) -> Option<String> {
        let found = self.advice.found.as_ref()?;
        if let Some(text) = self.own_kind(found) {
            return Some(text);
        }
        let always = found.files.iter().filter(|file| file.applies == Applies::Always).collect();
        let texts = self.quoted(always);
        let kinds: Vec<String> = self.custom_kinds().filter_map(custom_kind).collect();
        let later = [later(found), kinds.join("\n")].into_iter().filter(|text| !text.is_empty());
        let later = later.collect::<Vec<_>>().join("\n");
        if texts.is_empty() && later.is_empty() {
            return None;
        }
        let mut paragraphs = vec![wording::ADVICE.to_owned()];
        paragraphs.extend(texts);
        if !later.is_empty() {
            paragraphs.push(format!(
                "{}{}\n\n{}",
                wording::ADVICE_LATER,
                if kinds.is_empty() { "" } else { wording::ADVICE_KINDS },
                wording::quote("on_offer", "", &self.seed(), &later)
            ));
        }
        Some(paragraphs.join("\n\n"))
    }

    /// The conversation has begun anew: what was shown for single files is gone from it.
    pub(crate) fn forget_advice(&mut self) {
        self.advice.shown.clear();
    }

    /// Shows what is about the files of a call that has ended.
    pub(crate) fn advise_on(&mut self, call: &ToolCall, outcome: &ToolOutcome) {
        let Some(found) = self.advice.found.clone() else { return };
        let mut new = Vec::new();
        for path in paths(call, outcome) {
            let Some(path) = self.in_repository(&path) else { continue };
            new.extend(
                about(&found.files, &path).into_iter().filter(|index| self.advice.shown.insert(*index)),
            );
        }
        let files: Vec<&Instruction> = new.into_iter().filter_map(|index| found.files.get(index)).collect();
        let texts = self.quoted(files);
        if !texts.is_empty() {
            self.draft.say(format!("{}\n\n{}", wording::ADVICE_NOW, texts.join("\n\n")));
        }
    }

    /// A path from the root of the repository, as the model wrote it or a tool told it.
    fn in_repository(&self, path: &str) -> Option<String> {
        let path = path.strip_prefix(WORKSPACE).unwrap_or(path);
        let path = path.strip_prefix("./").unwrap_or(path);
        // Of several repositories, each has a directory of its own.
        let path = match self.facts.task.as_ref().and_then(|task| task.directory(Part::FIRST)) {
            Some(directory) => path.strip_prefix(directory.as_str())?.strip_prefix('/')?,
            None => path,
        };
        (!path.starts_with('/') && !path.split('/').any(|part| part == "..")).then(|| path.to_owned())
    }

    fn quoted(&self, files: Vec<&Instruction>) -> Vec<String> {
        let window = self.conversation.as_ref().and_then(Conversation::window);
        let mut room = MOST_SHOWN.min(room_for_results(window));
        let mut texts = Vec::new();
        for file in files.into_iter().filter(|file| !file.text.trim().is_empty()) {
            let text = excerpt(&file.text, room);
            room -= text.len().min(room);
            let about = format!(" path={:?} from={}", file.path, file.giver.words());
            texts.push(wording::quote("advice", &about, &self.seed(), &text));
            if room < 200 {
                break;
            }
        }
        texts
    }
}

/// What a call has read or changed.
fn paths(call: &ToolCall, outcome: &ToolOutcome) -> Vec<String> {
    if let Some(ToolEffect::Edited { paths }) = &outcome.effect {
        return paths.clone();
    }
    if !FILE_TOOLS.contains(&call.name.as_str()) {
        return Vec::new();
    }
    let Ok(arguments) = call.object() else { return Vec::new() };
    let path = PATH_NAMES.iter().find_map(|name| arguments.get(*name)).and_then(|path| path.as_str());
    path.map(str::to_owned).into_iter().collect()
}

/// What is not shown yet: one line each.
fn later(found: &Instructions) -> String {
    let organisation_first = |giver: Giver| found.files.iter().filter(move |file| file.giver == giver);
    let files = organisation_first(Giver::Organisation).chain(organisation_first(Giver::Repository));
    let lines: Vec<String> = files.filter_map(line).collect();
    lines.join("\n")
}

/// A kind of subagent that a file describes.
fn custom_kind(file: &Instruction) -> Option<String> {
    let (name, shape) = (file.name.as_deref()?, file.shape.as_ref()?);
    let about = excerpt(file.description.as_deref().unwrap_or_default(), LONGEST_ABOUT);
    Some(format!(
        "- kind of subagent {name} (from the {}, with what {} has): {about}",
        file.giver.words(),
        shape.base.name()
    ))
}

fn line(file: &Instruction) -> Option<String> {
    let about = file.description.as_deref().unwrap_or_default();
    match (&file.applies, file.kind) {
        (Applies::Below { directory }, _) => Some(format!("- {:?}: for files in {directory:?}", file.path)),
        (Applies::Matching { globs, .. }, _) => {
            Some(format!("- {:?}: for files like {}", file.path, excerpt(&globs.join(", "), 300)))
        }
        (Applies::OnRequest, InstructionKind::Skill) => {
            Some(format!("- skill {} (from the {}): {about}", file.name.as_deref()?, file.giver.words()))
        }
        // They are listed by themselves, where work can be handed out.
        (Applies::OnRequest, InstructionKind::Subagent) => None,
        (Applies::OnRequest, _) => Some(format!("- {:?}: on request. {about}", file.path)),
        (Applies::Always | Applies::Never, _) => None,
    }
}
