//! The ways in: what people ask where they already are becomes a session, and what they say there later reaches it.
//!
//! What this crate is for: a [`Way`] is a forge, a chat, another program or a schedule. The [`Door`] keeps what arrives by it, proved, before it is
//! acknowledged; the [`Processor`] takes it from the store in order and has its way deal with it: a session begins, an open one hears something,
//! or nothing happens, and why is written down. Done twice it is done once.
//!
//! What it never does: believe a delivery about what its sender may do. That is looked up when it is dealt with. What outsiders and bots wrote never
//! asks for anything and never steers; where it is shown to an agent, it is labelled as untrusted.
//!
//! Where to start reading: `way` (what a way in is), `processor` (what happens to an arrival), then `forge/reading` (what may be meant) and
//! `forge/decide` (what becomes of it), which are pure.

#![forbid(unsafe_code)]

pub mod begin;
mod concealed;
mod door;
mod forge;
mod hook;
mod job;
mod place;
mod playbook;
mod processor;
mod schedule;
mod slack;
mod table;
mod way;

pub use door::{Answer, Door};
pub use forge::{ForgeSettings, ForgeTrouble, ForgeWay, Found, Grade, OpenForge, TogetherSettings};
pub use hook::{
    ConditionSettings, Encoding, Hook, HookSettings, HookWay, IdSettings, InvalidHook, InvalidProof,
    LARGEST_BODY, ProofSettings,
};
pub use place::{NoPlace, Place};
pub use processor::{Processor, again, now};
pub use schedule::{
    Calendar, Clock, InvalidCalendar, InvalidSchedule, Missed, Overlap, Schedule, ScheduleSettings,
    ScheduleWay, SystemClock, Timekeeper,
};
pub use slack::{
    Delivered, Listener, OpenSlack, Shown, SlackSettings, SlackTrouble, SlackWay, Unreadable, Uttered, shown,
};
pub use way::{Accepted, Kept, Refused, Way};
