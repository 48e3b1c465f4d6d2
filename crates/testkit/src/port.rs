//! A port for a server that is killed and started again at the same address.
//!
//! A port that was merely seen to be free is anybody's in the meantime: of another test, or of a connection that leaves the machine. These are
//! below the range from which the kernel gives ports by itself (`ip_local_port_range`, ip(7)), and a lock on a file keeps other tests off.

#![expect(clippy::unwrap_used, reason = "only tests use it, and they fail by panicking")]

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
};

/// Where the search begins and how far it goes: below 32768, where Linux begins to give ports by itself.
const FIRST: u16 = 21_000;
const MANY: u16 = 10_000;

/// A port that no other test has for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    /// Locked.
    _held: File,
}

impl Port {
    /// Takes one at which nothing listens.
    pub(crate) fn take() -> Self {
        let folder =
            env::temp_dir().join(format!("cofferdam-test-ports-{}", rustix::process::getuid().as_raw()));
        fs::create_dir_all(&folder).unwrap();
        // Processes begin at places of their own, so that they seldom meet.
        let from = u16::try_from(std::process::id() % u32::from(MANY)).unwrap();
        let mut ports = (0..MANY).map(|step| FIRST + (from + step) % MANY);
        ports
            .find_map(|number| {
                let held = File::create(folder.join(number.to_string())).unwrap();
                held.try_lock().ok()?;
                TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
                Some(Self { number, _held: held })
            })
            .unwrap()
    }

    /// Its number.
    pub(crate) const fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_gets_it_until_it_is_given_back() {
        let ports: Vec<Port> = (0..20).map(|_| Port::take()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 20);
        drop(ports);
        // What listens without asking is seen.
        let first = Port::take();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, first.number())).unwrap();
        let number = first.number();
        drop(first);
        assert!((0..50).map(|_| Port::take()).all(|port| port.number() != number));
        drop(listener);
    }
}
