//! The real program in its role `init`, as an ordinary child without namespaces, spoken to as the host speaks
//! to it.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod files;
#[cfg(test)]
mod host;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod search;
