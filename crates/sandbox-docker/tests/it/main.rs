//! The docker driver on a real engine, which is started for these tests and ended with them.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod door;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod figures;
#[cfg(test)]
mod image;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod refusals;
