//! The native driver, for real: as the user that runs the tests and, if that is root, as an ordinary user as well.

#[cfg(test)]
mod as_user;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod figures;
#[cfg(test)]
mod files;
#[cfg(test)]
mod host;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod support;
#[cfg(test)]
mod toolchains;
