//! The agent driven through whole sessions by a worker, a model and tools that live in memory.

mod crashes;
mod delivery;
mod limits;
mod properties;
mod replay;
mod requests;
mod script;
mod steps;
mod window;
mod world;
