//! The worker against real sandboxes, git and store.

mod crash;
mod fatal;
mod scene;
