//! The server: the HTTP API, the web pages, and who may use them.
//!
//! What this crate is for: people and programs ask for work, watch it live, steer it, decide about what it asks for, and look at what came of
//! it. [`Server`] answers them from the store and writes into sessions' logs what they decide; [`Client`] asks such a server.
//!
//! What it never does: talk to a worker, run anything, or read the configuration. It holds of the store only what belongs to whoever
//! asks ([`cofferdam_store::Tenant`]), and nothing that anybody else wrote is shown otherwise than inert.
//!
//! Where to start reading: `server.rs` (the parts and the loop), then `access` (who asks), then `actions` (what can be done), then `api`.

#![forbid(unsafe_code)]

mod access;
mod act;
mod actions;
mod api;
mod client;
mod cursor;
mod desk;
mod forges;
mod headers;
mod hooks;
mod limits;
mod live;
mod metrics;
mod numbers;
mod origin;
mod outward;
mod pages;
mod patience;
mod problem;
mod proof;
mod refused;
mod server;
mod shared;
mod standing;
mod tail;

pub use access::{Admit, InvalidOpenId, OpenId, OpenIdSettings, Who};
pub use act::Act;
pub use actions::sealed_as;
pub use client::{Client, ClientError};
pub use desk::{Desk, Link, Refusal};
pub use forges::{
    AppForm, AppSeen, AppWish, BelongTogether, BudgetSeen, ForgeSeen, ForgeWish, Forges, NewApp, NoNewApp,
};
pub use hooks::{Hooks, Posted};
pub use limits::Limits;
pub use numbers::serve_numbers;
pub use origin::{InvalidOrigin, Origin};
pub use server::{
    AuditKey, Choices, Clock, Eraser, Numbers, Repositories, SealError, SecretSeal, Server, ServerParts,
    Threads,
};
