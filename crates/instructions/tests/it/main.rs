//! From what a commit has to what a session is given.

mod gathering;
