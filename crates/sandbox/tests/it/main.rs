//! The native driver, for real: as the user that runs the tests and, if that is root, as an ordinary user as well.

#[cfg(test)]
mod archives;
#[cfg(test)]
mod as_user;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod figures;
#[cfg(test)]
mod host;
#[cfg(test)]
mod ids;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod leaks;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod network;
#[cfg(test)]
mod pool;
#[cfg(test)]
mod root;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod support;
#[cfg(test)]
mod toolchains;
#[cfg(test)]
mod walls;
