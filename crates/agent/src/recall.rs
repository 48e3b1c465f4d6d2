//! What the platform itself remembers of a session, for a model whose conversation is cut: from the log, not from the model's own notes.
//!
//! The notes that a model writes for itself may be poor, and may have been written for it by whatever it has read. So nothing that counts
//! hangs on them: what people said, the plan, the files, the tests that fail, what may still be used, and what is to be answered are said
//! again by the platform. What stands in there of others is quoted, as everywhere.

use std::sync::Arc;

use cofferdam_domain::{
    ToolCall, ToolOutcome, ToolStatus,
    tool::{PlanState, ToolEffect},
};

use crate::{
    Agent,
    excerpt::{excerpt, first_line},
    wording::{self, quote},
};

/// Messages of people that are remembered. Of more, those in the middle are forgotten.
const MOST_WORDS: usize = 48;
/// Paths that are remembered of each kind.
const MOST_PATHS: usize = 100;
/// Paths of files that were only read that are told.
const READ_TOLD: usize = 12;
/// Bytes of a path.
const LONGEST_PATH: usize = 300;
/// Bytes of a failed test's output that are kept.
const LONGEST_OUTPUT: usize = 6 * 1024;
/// Bytes of a command.
const LONGEST_COMMAND: usize = 1024;
/// The part of the window, in hundredths, that what is remembered may fill, and the least and the most bytes that it may in any case.
const ROOM: u64 = 15;
const LEAST_ROOM: usize = 4 * 1024;
const MOST_ROOM: usize = 64 * 1024;

/// Words in the command lines of tests.
const TESTS: [&str; 11] =
    ["test", "pytest", "unittest", "nextest", "spec", "tox", "jest", "ctest", "check", "verify", "bats"];

/// What is remembered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recall {
    /// What people have said, as the model was told, the oldest first.
    words: Arc<Vec<Arc<str>>>,
    /// Messages in the middle that are forgotten.
    forgotten: usize,
    /// Files that calls are known to have changed, the latest last.
    edited: Arc<Vec<Arc<str>>>,
    /// Files that were read, the latest last.
    read: Arc<Vec<Arc<str>>>,
    /// The tests that failed last, unless they have succeeded since.
    failing: Option<Arc<Failing>>,
}

/// A command that looks like tests, and failed.
#[derive(Debug)]
struct Failing {
    command: String,
    output: String,
}

impl Recall {
    /// Somebody has said something, in the words in which the model is told.
    pub(crate) fn hear(&mut self, said: &Arc<str>) {
        let words = Arc::make_mut(&mut self.words);
        words.push(Arc::clone(said));
        if words.len() > MOST_WORDS {
            // The first ones often say what must hold to the end.
            words.remove(MOST_WORDS / 3);
            self.forgotten += 1;
        }
    }

    /// What people have said, the oldest first.
    pub(crate) fn words(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.words.iter().map(|said| &**said)
    }

    /// A call has ended.
    pub(crate) fn see(&mut self, call: &ToolCall, outcome: &ToolOutcome, test_command: Option<&str>) {
        if let Some(ToolEffect::Edited { paths }) = &outcome.effect {
            paths.iter().for_each(|path| latest(&mut self.edited, path));
        }
        let Ok(arguments) = call.object() else { return };
        let argument = |name: &str| arguments.get(name).and_then(serde_json::Value::as_str);
        if call.name == "read"
            && outcome.status == ToolStatus::Ok
            && let Some(path) = argument("path")
        {
            latest(&mut self.read, path);
        }
        let tests = |command: &&str| looks_like_tests(command, test_command);
        if call.name == "shell"
            && let Some(command) = argument("command").filter(tests)
        {
            self.tested(command, outcome);
        }
    }

    fn tested(&mut self, command: &str, outcome: &ToolOutcome) {
        // The shell's outcome begins with how the command ended.
        if outcome.status == ToolStatus::Ok && outcome.text.starts_with("[exit 0 ") {
            self.failing.take_if(|failing| failing.command == excerpt(command, LONGEST_COMMAND));
            return;
        }
        if outcome.status == ToolStatus::Refused {
            return;
        }
        self.failing = Some(Arc::new(Failing {
            command: excerpt(command, LONGEST_COMMAND),
            output: excerpt(&outcome.text, LONGEST_OUTPUT),
        }));
    }
}

/// Puts a path last.
fn latest(paths: &mut Arc<Vec<Arc<str>>>, path: &str) {
    let path: Arc<str> = excerpt(path, LONGEST_PATH).into();
    let paths = Arc::make_mut(paths);
    paths.retain(|known| *known != path);
    paths.push(path);
    if paths.len() > MOST_PATHS {
        paths.remove(0);
    }
}

fn looks_like_tests(command: &str, configured: Option<&str>) -> bool {
    let configured = configured.map(str::trim).filter(|configured| !configured.is_empty());
    if configured.is_some_and(|configured| command.contains(configured)) {
        return true;
    }
    let mut words = command.split(|character: char| !character.is_ascii_alphanumeric());
    words.any(|word| {
        // Gradle's tasks have names like `integrationTest`.
        TESTS.iter().any(|test| word == *test || word.strip_suffix('s') == Some(test))
            || word.ends_with("Test")
    })
}

impl Agent {
    /// What the platform knows of the work, for a model that will not see the beginning of the conversation again.
    pub(crate) fn recalled(&self) -> String {
        let window = self.conversation.as_ref().and_then(crate::conversation::Conversation::window);
        let room = room(window);
        let Recall { edited, read, failing, .. } = &self.recall;
        let mut parts = Vec::new();
        parts.extend(self.words_of_people(room / 2));
        parts.extend(self.plan_so_far(room / 8));
        if !edited.is_empty() {
            parts.push(format!("Files that you have changed:\n{}", listed(edited.iter(), room / 16)));
        }
        let looked = read.iter().rev().filter(|path| !edited.contains(path)).take(READ_TOLD);
        let looked: Vec<&Arc<str>> = looked.collect();
        if !looked.is_empty() {
            let paths = looked.into_iter().rev();
            parts.push(format!("Files that you have read last:\n{}", listed(paths, room / 16)));
        }
        if let Some(Failing { command, output }) = failing.as_deref() {
            let about = format!(" command={:?}", excerpt(command, room / 16));
            let quoted = quote("output", &about, &self.seed(), &excerpt(output, room / 8));
            parts.push(format!("The last tests that failed and have not succeeded since:\n\n{quoted}"));
        }
        if !self.remarks().is_empty() {
            let numbers: Vec<String> = self.remarks().iter().map(u64::to_string).collect();
            parts.push(format!(
                "Remarks that you are to answer in `finish`, by number: {}.",
                numbers.join(", ")
            ));
        }
        parts.extend(self.used());
        parts.join("\n\n")
    }

    fn words_of_people(&self, room: usize) -> Option<String> {
        let Recall { words, forgotten, .. } = &self.recall;
        let (mut told, mut size) = (Vec::new(), 0);
        // The latest are the surest to be told; of a long one both ends.
        for said in words.iter().rev() {
            if size >= room {
                break;
            }
            let said = excerpt(said, room / 2);
            size += said.len();
            told.push(said);
        }
        told.reverse();
        let left_out = forgotten + words.len() - told.len();
        if told.is_empty() && left_out == 0 {
            return None;
        }
        let more = if left_out > 0 { format!(" ({left_out} more are left out)") } else { String::new() };
        Some(format!("What you were told since, the oldest first{more}:\n\n{}", told.join("\n\n")))
    }

    /// The agent's list and the first item of it that is not done.
    fn plan_so_far(&self, room: usize) -> Option<String> {
        if self.plan().is_empty() {
            return None;
        }
        let lines: Vec<String> = self
            .plan()
            .iter()
            .map(|item| format!("- [{}] {}", state(item.state), excerpt(&item.text, 400)))
            .collect();
        let quoted = quote("plan", "", &self.seed(), &excerpt(&lines.join("\n"), room.max(1024)));
        let next = self.unfinished().map_or_else(String::new, |item| format!(" You were at {item}."));
        Some(format!("Your plan as you last showed it.{next}\n\n{quoted}"))
    }

    /// The item of the agent's list at which the work stands, quoted; `None` where nothing is left, or there is no list.
    pub(crate) fn unfinished(&self) -> Option<String> {
        let at = |wanted: PlanState| self.plan().iter().find(|item| item.state == wanted);
        let item = at(PlanState::InProgress).or_else(|| at(PlanState::Pending))?;
        Some(format!("{:?}", first_line(&item.text, 200)))
    }

    fn used(&self) -> Option<String> {
        let budget = &self.facts.fixed.as_ref()?.policy.budget;
        Some(wording::used(&self.spent_in_turn(), budget))
    }

    /// That the sandbox is a new one, and where the work stood.
    pub(crate) fn sandbox_anew(&self) -> String {
        match self.unfinished().filter(|_| self.rules() >= 1) {
            Some(item) => format!("{} By your plan you were at {item}.", wording::SANDBOX_ANEW),
            None => wording::SANDBOX_ANEW.to_owned(),
        }
    }

    /// Which version of the loop's rules holds.
    pub(crate) fn rules(&self) -> u16 {
        self.facts.fixed.as_ref().map_or(crate::RULES, |fixed| fixed.rules)
    }
}

const fn state(state: PlanState) -> &'static str {
    match state {
        PlanState::Pending => "to do",
        PlanState::InProgress => "in progress",
        PlanState::Done => "done",
    }
}

fn room(window: Option<u64>) -> usize {
    // About 3.5 bytes a token.
    let bytes = window.map_or(MOST_ROOM as u64, |window| window.saturating_mul(ROOM) / 100 * 7 / 2);
    usize::try_from(bytes).unwrap_or(MOST_ROOM).clamp(LEAST_ROOM, MOST_ROOM)
}

fn listed<'a>(paths: impl DoubleEndedIterator<Item = &'a Arc<str>>, room: usize) -> String {
    let (mut lines, mut size) = (Vec::new(), 0);
    for path in paths.rev() {
        let line = format!("- {path:?}");
        size += line.len();
        if size > room.max(LONGEST_PATH * 2) {
            lines.push("- and others".to_owned());
            break;
        }
        lines.push(line);
    }
    lines.reverse();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_of_tests_are_known() {
        for command in [
            "cargo test --offline 2>&1",
            "python3 -m unittest 2>&1",
            "pytest -x tests/test_a.py",
            "npm run test",
            "make check",
            "go test ./...",
            "./gradlew integrationTest",
        ] {
            assert!(looks_like_tests(command, None), "{command}");
        }
        for command in ["ls -la", "cat latest.txt", "git status", "echo attestation"] {
            assert!(!looks_like_tests(command, None), "{command}");
        }
        assert!(looks_like_tests("cd /workspace && ./prove-it", Some(" ./prove-it ")));
    }

    #[test]
    fn the_first_and_the_latest_words_are_kept() {
        let mut recall = Recall::default();
        (0..100).for_each(|number| recall.hear(&number.to_string().into()));
        assert_eq!(recall.words.len(), MOST_WORDS);
        assert_eq!((&*recall.words[0], &**recall.words.last().unwrap(), recall.forgotten), ("0", "99", 52));
    }

    #[test]
    fn a_path_that_is_used_again_is_the_latest() {
        let mut paths = Arc::default();
        ["a", "b", "a"].iter().for_each(|path| latest(&mut paths, path));
        assert_eq!(paths.iter().map(|path| &**path).collect::<Vec<_>>(), ["b", "a"]);
        (0..200).for_each(|number| latest(&mut paths, &number.to_string()));
        assert_eq!((paths.len(), &**paths.last().unwrap()), (MOST_PATHS, "199"));
    }
}
