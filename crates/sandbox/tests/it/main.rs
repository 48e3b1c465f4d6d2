//! The native driver, for real: as the user that runs the tests and, if that is root, as an ordinary user as well.

mod as_user;
mod commands;
mod figures;
mod files;
mod host;
mod isolation;
mod layers;
mod lifecycle;
mod limits;
mod support;
mod toolchains;
