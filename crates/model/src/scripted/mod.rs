//! A model that plays a transcript: the same loop, tools, sandbox and gate as with any model, without a key
//! or a network.
//!
//! A transcript is a TOML file. Its steps are answers, given in order:
//!
//! ```toml
//! name = "fix the sum"                 # shown as the model's name
//! after = "fail"                       # what follows the last step: fail (the default), repeat (the last step for ever), silence
//!
//! [[step]]
//! name = "look"                        # for error messages; "step 1" when absent
//! reasoning = "I should run the tests first."
//! text = "Let me see what fails."
//! call = [{ tool = "shell", args = { command = "pytest -q" } }]
//!
//! [[step]]
//! name = "fix"
//! expect.contains = ["1 failed"]       # all of these stand in what the agent sent last (prompt or tool results)
//! expect.lacks = ["command not found"] # none of these does
//! expect.matches = '(?m)^(?<file>\S+\.py):(?<line>\d+): AssertionError'
//! find = ['commit (?<base>[0-9a-f]{7,40})']  # the same for the whole conversation, latest match first
//! text = "The bug is in ${file}."      # named groups; "$${" writes "${"
//!
//! [[step.call]]                        # several calls may run side by side
//! tool = "edit"
//! json = '{"path": "${file}", "old": "a-b", "new": "a+b"}'   # args as JSON instead of TOML
//!
//! [[step]]
//! name = "a model at its worst"
//! fault = { kind = "disconnect", times = 2 }   # or overload: so many tries fail before the answer comes
//! delay_ms = 10
//! stop = "max_tokens"                  # or refusal, end_turn, tool_use; by default what fits the calls
//! call = [{ tool = "no_such_tool", raw = '{"cut": "off' }]   # raw: the arguments as they are, JSON or not
//!
//! [summary]                            # how requests to sum up the conversation are answered (compaction)
//! text = "The tests fail in sum.py."
//! ```
//!
//! **Which step comes next** is read off the request, so that a resumed session goes on where it stood and
//! the same request gets the same answer: a step's calls carry its number in their ids (`call_s0_0`), and
//! every answer after the last such call counts one. Without any such call, all answers in the request are
//! counted. Both survive compaction, because the agent keeps the latest answers word for word; a summary also
//! ends in `[transcript at step N]`, which counts where no answer with a call is left. A request is one for a
//! summary when the last text in it matches `summary.when`; the words of Cofferdam's agent are the default.
//!
//! **Usage** is made up from sizes, four bytes to a token: what the request shares with the one before counts
//! as read from the cache.

mod model;
mod play;
mod transcript;

pub use model::Scripted;
pub use play::{Mismatch, Played};
pub use transcript::{Fault, FaultKind, Transcript, TranscriptError};
