//! One file for each command. Each takes what was typed and the parts it needs, and says how the program ends.

pub(crate) mod access;
pub(crate) mod admin;
pub(crate) mod attack;
pub(crate) mod audit;
pub(crate) mod cancel;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod forge;
pub(crate) mod frozen;
pub(crate) mod models;
pub(crate) mod policy;
pub(crate) mod pull_request;
pub(crate) mod replay;
pub(crate) mod resume;
pub(crate) mod run;
pub(crate) mod sandbox;
pub(crate) mod schedule;
pub(crate) mod sessions;
pub(crate) mod show;
pub(crate) mod steer;
pub(crate) mod tools;
pub(crate) mod up;
