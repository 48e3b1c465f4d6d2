//! Which addresses may be dialled.
//!
//! A name says nothing about where it leads: whoever owns it may point it at the machine that the door runs on, at the
//! company's network, or at the cloud's metadata service. So every address is judged before it is dialled, and an
//! IPv6 address that some gateway on the way turns into an IPv4 address is judged as that one as well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::egress::Addresses;

/// What an address is for (IANA special-purpose address registries, RFC 6890), in the order of what is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressClass {
    /// Reached through the internet. The documentation ranges (RFC 5737, RFC 3849, RFC 9637) count as public: nobody
    /// routes them, and closed networks put mirrors there.
    Public,
    /// Of a private network: RFC 1918, unique local (RFC 4193), shared between carrier and customer (RFC 6598),
    /// benchmarking (RFC 2544), site-local (RFC 3879).
    Private,
    /// For protocols, for the future, or for nothing.
    Reserved,
    /// All hosts of a network.
    Broadcast,
    /// Groups of hosts.
    Multicast,
    /// The link itself.
    LinkLocal,
    /// No address, or "this network".
    Unspecified,
    /// The machine itself.
    Loopback,
    /// Where clouds hand out credentials.
    Metadata,
}

impl AddressClass {
    /// What an address is for, as seen by whoever routes it in the worst way.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Reserved => "reserved",
            Self::Broadcast => "broadcast",
            Self::Multicast => "multicast",
            Self::LinkLocal => "link-local",
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Metadata => "metadata",
        }
    }
}

impl std::fmt::Display for AddressClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An address may not be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressProblem {
    /// Of a class that no name may lead to.
    #[error("{address} is a {class} address, which no name may lead to")]
    Never {
        /// The address.
        address: IpAddr,
        /// What it is for.
        class: AddressClass,
    },
    /// In a private network, and the rule is about public addresses.
    #[error(
        "{address} is a private address: the administrator permits it with addresses = \"private\" in the rule"
    )]
    Private {
        /// The address.
        address: IpAddr,
    },
    /// Not the one that the rule names.
    #[error("{address} is not {at}, which is the only address that the rule permits")]
    Elsewhere {
        /// The address.
        address: IpAddr,
        /// What the rule names.
        at: SocketAddr,
    },
}

/// Whether a host that may be at `addresses` may be dialled at this one.
///
/// # Errors
/// When it may not.
pub fn may_dial(address: IpAddr, addresses: &Addresses) -> Result<(), AddressProblem> {
    let class = AddressClass::of(address);
    match addresses {
        Addresses::At(at) if at.ip() == address => Ok(()),
        Addresses::At(at) => Err(AddressProblem::Elsewhere { address, at: *at }),
        Addresses::Public | Addresses::Private if class > AddressClass::Private => {
            Err(AddressProblem::Never { address, class })
        }
        Addresses::Public if class == AddressClass::Private => Err(AddressProblem::Private { address }),
        Addresses::Public | Addresses::Private => Ok(()),
    }
}

/// Azure's platform resource and Alibaba's and Oracle's metadata services lie in ranges that are for something else;
/// the others are link-local.
const METADATA_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// Amazon's and Google's.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

fn of_v4(address: Ipv4Addr) -> AddressClass {
    if METADATA_V4.contains(&address) {
        return AddressClass::Metadata;
    }
    match address.octets() {
        [0, ..] => AddressClass::Unspecified,
        [127, ..] => AddressClass::Loopback,
        [169, 254, ..] => AddressClass::LinkLocal,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] | [198, 18..=19, ..] => {
            AddressClass::Private
        }
        [192, 0, 0, _] | [192, 88, 99, _] => AddressClass::Reserved,
        [224..=239, ..] => AddressClass::Multicast,
        [255, 255, 255, 255] => AddressClass::Broadcast,
        [240..=255, ..] => AddressClass::Reserved,
        _ => AddressClass::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> AddressClass {
    if METADATA_V6.contains(&address) {
        return AddressClass::Metadata;
    }
    let itself = match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => return AddressClass::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => return AddressClass::Loopback,
        // What only carries: mapped, compatible, translated (RFC 4291, 2.5.5; RFC 2765), NAT64 (RFC 6052, RFC 8215).
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => AddressClass::Public,
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => AddressClass::Public,
        // Teredo (RFC 4380), benchmarking (RFC 5180), documentation; the rest of 2001::/23 is for protocols.
        [0x2001, 0 | 0xdb8, ..] => AddressClass::Public,
        [0x2001, 2, 0, ..] => AddressClass::Private,
        [0x2001, 1..=0x1ff, ..] => AddressClass::Reserved,
        [0x2000..=0x3fff, ..] => AddressClass::Public,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => AddressClass::Private,
        [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
        [0xff00..=0xffff, ..] => AddressClass::Multicast,
        _ => AddressClass::Reserved,
    };
    carried(address).into_iter().flatten().map(of_v4).fold(itself, AddressClass::max)
}

/// The IPv4 addresses that a gateway may find in an IPv6 address.
fn carried(address: Ipv6Addr) -> [Option<Ipv4Addr>; 4] {
    let bytes = address.octets();
    let at = |[a, b, c, d]: [usize; 4]| {
        let byte = |place: usize| bytes.get(place).copied().unwrap_or_default();
        Ipv4Addr::new(byte(a), byte(b), byte(c), byte(d))
    };
    let last = at([12, 13, 14, 15]);
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            [Some(last), None, None, None]
        }
        // Which of the layouts of RFC 6052, section 2.2 is in use is not known here; the empty ones are not.
        [0x64, 0xff9b, 1, ..] => {
            [at([6, 7, 9, 10]), at([7, 9, 10, 11]), at([9, 10, 11, 12]), last].map(|found| {
                match found.octets() {
                    [0, ..] => None,
                    [_, ..] => Some(found),
                }
            })
        }
        [0x2002, ..] => [Some(at([2, 3, 4, 5])), None, None, None],
        // The client's address is written inverted (RFC 4380, section 4).
        [0x2001, 0, ..] => [Some(at([4, 5, 6, 7])), Some(Ipv4Addr::from(!u32::from(last))), None, None],
        // ISATAP (RFC 5214, section 6.1): the host's part says it, whatever the network.
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => [Some(last), None, None, None],
        _ => [None; 4],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn class(text: &str) -> AddressClass {
        AddressClass::of(text.parse().unwrap())
    }

    #[test]
    fn each_range_is_known_from_its_first_to_its_last() {
        use AddressClass::{
            Broadcast, LinkLocal, Loopback, Metadata, Multicast, Private, Public, Reserved, Unspecified,
        };
        for (first, last, wanted) in [
            ("0.0.0.0", "0.255.255.255", Unspecified),
            ("1.0.0.0", "9.255.255.255", Public),
            ("10.0.0.0", "10.255.255.255", Private),
            ("100.63.255.255", "100.63.255.255", Public),
            ("100.64.0.0", "100.127.255.255", Private),
            ("100.100.100.200", "100.100.100.200", Metadata),
            ("100.128.0.0", "126.255.255.255", Public),
            ("127.0.0.0", "127.255.255.255", Loopback),
            ("168.63.129.16", "168.63.129.16", Metadata),
            ("169.254.0.0", "169.254.255.255", LinkLocal),
            ("169.254.169.254", "169.254.169.254", Metadata),
            ("169.254.170.2", "169.254.170.2", Metadata),
            ("172.15.255.255", "172.15.255.255", Public),
            ("172.16.0.0", "172.31.255.255", Private),
            ("172.32.0.0", "172.32.0.0", Public),
            ("192.0.0.0", "192.0.0.255", Reserved),
            ("192.0.0.192", "192.0.0.192", Metadata),
            ("192.0.2.0", "192.0.2.255", Public),
            ("192.88.99.0", "192.88.99.255", Reserved),
            ("192.168.0.0", "192.168.255.255", Private),
            ("198.18.0.0", "198.19.255.255", Private),
            ("198.51.100.0", "203.0.113.255", Public),
            ("223.255.255.255", "223.255.255.255", Public),
            ("224.0.0.0", "239.255.255.255", Multicast),
            ("240.0.0.0", "255.255.255.254", Reserved),
            ("255.255.255.255", "255.255.255.255", Broadcast),
            ("::", "::", Unspecified),
            ("::1", "::1", Loopback),
            ("100::", "100::ffff:ffff:ffff:ffff", Reserved),
            ("1fff::", "1fff::", Reserved),
            ("2001:2::", "2001:2:0:ffff::", Private),
            ("2001:1::", "2001:1ff::", Reserved),
            ("2001:200::", "2001:da8::", Public),
            ("2001:db8::", "2001:db8:ffff::", Public),
            ("2600::", "3fff:ffff::", Public),
            ("4000::", "fbff::", Reserved),
            ("5f00::", "5f00::", Reserved),
            ("fc00::", "fdff:ffff::", Private),
            ("fd00:ec2::254", "fd00:ec2::254", Metadata),
            ("fd20:ce::254", "fd20:ce::254", Metadata),
            ("fe80::", "febf:ffff::", LinkLocal),
            ("fec0::", "feff:ffff::", Private),
            ("ff00::", "ffff:ffff::", Multicast),
        ] {
            assert_eq!((class(first), class(last)), (wanted, wanted), "{first} to {last}");
        }
    }

    #[test]
    fn what_gateways_turn_into_ipv4_is_judged_as_that() {
        for text in [
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1:7f00:0:100::",
            "64:ff9b:1::127.0.0.1",
            "2002:7f00:1::1",
            "2001:0:7f00:1::",
            "2001:0:808:808:0:0:80ff:fffe",
            "2001:4860::5efe:127.0.0.1",
            "2001:4860::200:5efe:127.0.0.1",
        ] {
            assert_eq!(class(text), AddressClass::Loopback, "{text}");
        }
        for text in [
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::8.8.8.8",
            "64:ff9b:1:808:8:800::",
            "2002:808:808::1",
            "2001:0:808:808:0:0:f7f7:f7f7",
        ] {
            assert_eq!(class(text), AddressClass::Public, "{text}");
        }
        assert_eq!(class("64:ff9b::169.254.169.254"), AddressClass::Metadata);
        assert_eq!(class("64:ff9b:2::8.8.8.8"), AddressClass::Reserved);
    }

    #[test]
    fn a_rule_says_where_its_host_may_be() {
        let at = Addresses::At("127.0.0.1:8443".parse().unwrap());
        let may = |text: &str, addresses: &Addresses| may_dial(text.parse().unwrap(), addresses);
        assert_eq!(may("8.8.8.8", &Addresses::Public), Ok(()));
        assert!(matches!(may("10.0.0.1", &Addresses::Public), Err(AddressProblem::Private { .. })));
        assert_eq!(may("10.0.0.1", &Addresses::Private), Ok(()));
        assert_eq!(may("8.8.8.8", &Addresses::Private), Ok(()));
        for text in [
            "127.0.0.1",
            "169.254.169.254",
            "::1",
            "224.0.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "100.100.100.200",
        ] {
            for addresses in [Addresses::Public, Addresses::Private] {
                assert!(matches!(may(text, &addresses), Err(AddressProblem::Never { .. })), "{text}");
            }
        }
        assert_eq!(may("127.0.0.1", &at), Ok(()));
        for text in ["127.0.0.2", "8.8.8.8", "::ffff:127.0.0.1"] {
            assert!(matches!(may(text, &at), Err(AddressProblem::Elsewhere { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_form_hides_an_address(bits in any::<u32>(), special in any::<bool>(), noise in any::<u64>()) {
            // Half of the time one that may not be dialled.
            let bits = if special { bits & 0x00ff_ffff | 127 << 24 } else { bits };
            let v4 = Ipv4Addr::from(bits);
            let wide = u128::from(bits);
            let noise = u128::from(noise);
            let (high, low) = (wide >> 16, wide & 0xffff);
            for form in [
                0xffff_u128 << 32 | wide,
                0xffff_u128 << 48 | wide,
                0x64_ff9b_u128 << 96 | wide,
                0x64_ff9b_0001_u128 << 80 | high << 64 | (low >> 8) << 48 | (low & 0xff) << 40 | noise & 0xff_ffff,
                0x64_ff9b_0001_u128 << 80 | noise >> 48 << 64 | wide,
                0x2002_u128 << 112 | wide << 80 | noise,
                0x2001_u128 << 112 | 0x0808_0808_u128 << 64 | noise >> 32 << 32 | u128::from(!bits),
                0x2001_u128 << 112 | wide << 64 | noise,
                0x2606_4700_u128 << 96 | (noise >> 32) << 64 | 0x5efe_u128 << 32 | wide,
                0x2606_4700_u128 << 96 | (noise >> 32) << 64 | 0x0200_5efe_u128 << 32 | wide,
            ] {
                let form = Ipv6Addr::from(form);
                prop_assert!(of_v6(form) >= of_v4(v4) || v4.octets()[0] == 0, "{} hides {}", form, v4);
            }
        }

        #[test]
        fn what_may_be_dialled_is_what_the_standard_library_takes_for_global(bits in any::<u128>(), v4 in any::<u32>()) {
            for address in [IpAddr::from(Ipv6Addr::from(bits)), IpAddr::from(Ipv4Addr::from(v4))] {
                if may_dial(address, &Addresses::Private).is_ok() {
                    let canonical = address.to_canonical();
                    prop_assert!(!canonical.is_loopback() && !canonical.is_unspecified() && !canonical.is_multicast());
                }
                if may_dial(address, &Addresses::Public).is_ok() {
                    let global = match address.to_canonical() {
                        IpAddr::V4(v4) => !v4.is_private() && !v4.is_link_local() && !v4.is_broadcast(),
                        IpAddr::V6(v6) => !v6.is_unique_local() && !v6.is_unicast_link_local(),
                    };
                    prop_assert!(global, "{} is not global", address);
                }
            }
        }
    }
}
