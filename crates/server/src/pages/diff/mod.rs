//! The page that shows a change: a list of its files in the order in which a reviewer should look, each with its lines.
//!
//! The patch is text that the worker made from git objects, but every line in it is the agent's. It is parsed strictly as far as it is shown:
//! what does not parse is said, never guessed. Highlighting is a small lexer with a bound on its input, not a grammar engine: it may be wrong about
//! a colour, never about a character.

mod highlight;
mod markup;
mod order;
mod patch;
mod words;

pub(crate) use markup::{Shown, page};
