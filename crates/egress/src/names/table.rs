//! Placeholder addresses: one for each name that a sandbox may know, so that the address of a connection tells the name.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Mutex, PoisonError},
};

use cofferdam_domain::egress::HostName;

/// Names at most. A placeholder is never given to another name, so that an address that a program remembers can
/// only ever mean the one thing; the table is bounded instead.
const MOST: usize = 8192;
/// The first of the addresses that are meant for measurements between networks and routed by nobody (RFC 2544).
const FIRST_V4: u32 = u32::from_be_bytes([198, 18, 0, 1]);
/// The first of a range that is local to its site (RFC 4193).
const FIRST_V6: u128 = 0xfdc0_ffe7_da11_0000_0000_0000_0000_0001;

/// The names of one door and their placeholders.
#[derive(Debug, Default)]
pub(crate) struct Placeholders {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    numbers: HashMap<HostName, u32>,
    names: Vec<HostName>,
}

impl Placeholders {
    /// The placeholder's number of this name; a new one if it has none. `None` when the table is full.
    pub(crate) fn number(&self, name: &HostName) -> Option<u32> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = table.numbers.get(name) {
            return Some(*number);
        }
        if table.names.len() >= MOST {
            return None;
        }
        let number = u32::try_from(table.names.len()).ok()?;
        table.names.push(name.clone());
        table.numbers.insert(name.clone(), number);
        Some(number)
    }

    /// The name that this address stands for.
    pub(crate) fn name(&self, address: IpAddr) -> Option<HostName> {
        let number = match address {
            IpAddr::V4(address) => u32::from(address).checked_sub(FIRST_V4)?,
            IpAddr::V6(address) => u32::try_from(u128::from(address).checked_sub(FIRST_V6)?).ok()?,
        };
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.names.get(usize::try_from(number).ok()?).cloned()
    }
}

/// The placeholder of this number for IPv4.
pub(crate) fn v4(number: u32) -> IpAddr {
    Ipv4Addr::from(FIRST_V4 + number).into()
}

/// The placeholder of this number for IPv6.
pub(crate) fn v6(number: u32) -> IpAddr {
    Ipv6Addr::from(FIRST_V6 + u128::from(number)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_tell_names_and_the_table_is_bounded() {
        let placeholders = Placeholders::default();
        for number in 0..u32::try_from(MOST).unwrap() {
            let name: HostName = format!("n{number}.example").parse().unwrap();
            assert_eq!(placeholders.number(&name), Some(number));
            assert_eq!(placeholders.number(&name), Some(number));
            assert_eq!(placeholders.name(v4(number)).as_ref(), Some(&name));
            assert_eq!(placeholders.name(v6(number)).as_ref(), Some(&name));
        }
        assert_eq!(placeholders.number(&"one-more.example".parse().unwrap()), None);
        for stranger in ["198.18.0.0", "198.19.255.255", "127.0.0.1", "::1", "fdc0:ffe7:da11::"] {
            assert_eq!(placeholders.name(stranger.parse().unwrap()), None, "{stranger}");
        }
        let last = Ipv4Addr::from(FIRST_V4 + u32::try_from(MOST).unwrap());
        assert!(last < Ipv4Addr::new(198, 20, 0, 0), "{last} is within 198.18.0.0/15");
    }
}
