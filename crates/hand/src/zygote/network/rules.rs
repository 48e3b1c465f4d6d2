//! The rules that lead connections to the door: one nf_tables table with one chain, in one batch
//! (`linux/netfilter/nf_tables.h`).
//!
//! In the notation of nft(8):
//!
//! ```text
//! table inet cofferdam {
//!     chain capture {
//!         type nat hook output priority dstnat; policy drop;
//!         ip daddr 127.0.0.0/8 accept
//!         ip daddr OWN_ADDRESS accept
//!         ip6 daddr ::1 accept
//!         meta l4proto tcp redirect to :DOOR_PORT
//!         udp dport 53 redirect
//!     }
//! }
//! ```
//!
//! The kernel asks this chain about the first packet of each flow. What it drops never becomes a flow, so
//! that every packet of it is a first one, and whoever sends it is told at once (`EPERM`). A redirection in
//! this hook leads to the family's loopback address, and answers come back as from the address that was
//! asked.

use cofferdam_hand::protocol::zygote::{DNS_PORT, DOOR_PORT};
use rustix::net::netlink::NETFILTER;

use super::netlink::{ACKNOWLEDGE, APPEND, Batch, CREATE, attribute, nested};

const TABLE: &[u8] = b"cofferdam\0";
const CHAIN: &[u8] = b"capture\0";

/// `NFNL_SUBSYS_NFTABLES`, the subsystem that requests are for.
const NF_TABLES: u16 = 10;
/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`: what is between them happens together or not at all.
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
/// `NFT_MSG_NEWTABLE`, `NFT_MSG_NEWCHAIN` and `NFT_MSG_NEWRULE`.
const NEW_TABLE: u16 = 0;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
/// `NFPROTO_INET`: both families.
const INET: u8 = 1;

/// `NF_INET_LOCAL_OUT`: packets that are sent from here.
const OUTPUT: u32 = 3;
/// `NF_IP_PRI_NAT_DST`.
const DESTINATION_NAT: i32 = -100;
/// `NF_DROP` and `NF_ACCEPT`.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

/// `NFT_REG_VERDICT` and `NFT_REG_1`, where expressions put and find things.
const VERDICT: u32 = 0;
const REGISTER: u32 = 1;
/// `NFT_META_NFPROTO` and `NFT_META_L4PROTO`.
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;
/// `NFT_PAYLOAD_NETWORK_HEADER` and `NFT_PAYLOAD_TRANSPORT_HEADER`.
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// IP protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Puts the rules into the current network namespace, which has none yet.
pub(super) fn install() -> rustix::io::Result<()> {
    let (own, loopback6) = (super::OWN_ADDRESS.octets(), std::net::Ipv6Addr::LOCALHOST.octets());
    // Offsets of destinations in the headers: RFC 791 section 3.1, RFC 8200 section 3, RFC 768.
    let rules = [
        [is(meta(META_FAMILY), &[IPV4]), is(payload(NETWORK_HEADER, 16, 1), &[127]), accept()].concat(),
        [is(meta(META_FAMILY), &[IPV4]), is(payload(NETWORK_HEADER, 16, 4), &own), accept()].concat(),
        [is(meta(META_FAMILY), &[IPV6]), is(payload(NETWORK_HEADER, 24, 16), &loopback6), accept()].concat(),
        [is(meta(META_PROTOCOL), &[TCP]), redirect_to(DOOR_PORT)].concat(),
        [
            is(meta(META_PROTOCOL), &[UDP]),
            is(payload(TRANSPORT_HEADER, 2, 2), &DNS_PORT.to_be_bytes()),
            redirect_to(DNS_PORT),
        ]
        .concat(),
    ];
    let mut batch = Batch::default();
    batch.add(BATCH_BEGIN, 0, &header(0, NF_TABLES));
    add(&mut batch, NEW_TABLE, CREATE, &[attribute(1, TABLE)]);
    add(&mut batch, NEW_CHAIN, CREATE, &chain());
    let last = rules.len() - 1;
    for (number, expressions) in rules.iter().enumerate() {
        let acknowledge = if number == last { ACKNOWLEDGE } else { 0 };
        let rule = [attribute(1, TABLE), attribute(2, CHAIN), nested(4, expressions)];
        add(&mut batch, NEW_RULE, CREATE | APPEND | acknowledge, &rule);
    }
    batch.add(BATCH_END, 0, &header(0, NF_TABLES));
    batch.carry_out(Some(NETFILTER))
}

fn add(batch: &mut Batch, kind: u16, flags: u16, attributes: &[Vec<u8>]) {
    let mut body = header(INET, 0).to_vec();
    body.extend(attributes.concat());
    batch.add(NF_TABLES << 8 | kind, flags, &body);
}

/// `struct nfgenmsg`: family, version 0, resource.
const fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

fn chain() -> [Vec<u8>; 5] {
    let hook = [attribute(1, &OUTPUT.to_be_bytes()), attribute(2, &DESTINATION_NAT.to_be_bytes())];
    [
        attribute(1, TABLE),
        attribute(3, CHAIN),
        nested(4, &hook),
        attribute(5, &DROP.to_be_bytes()),
        attribute(7, b"nat\0"),
    ]
}

/// One expression of a rule, as an element of its list of expressions.
fn expression(name: &[u8], attributes: &[Vec<u8>]) -> Vec<u8> {
    nested(1, &[attribute(1, name), nested(2, attributes)])
}

/// Loads what is known of the packet.
fn meta(key: u32) -> Vec<u8> {
    expression(b"meta\0", &[attribute(1, &REGISTER.to_be_bytes()), attribute(2, &key.to_be_bytes())])
}

/// Loads bytes of the packet.
fn payload(base: u32, offset: u32, length: u32) -> Vec<u8> {
    let fields = [(1, REGISTER), (2, base), (3, offset), (4, length)];
    expression(b"payload\0", &fields.map(|(kind, value): (u16, u32)| attribute(kind, &value.to_be_bytes())))
}

/// Goes on with the rule if what `load` loads is `value`.
fn is(load: Vec<u8>, value: &[u8]) -> Vec<Vec<u8>> {
    const EQUAL: u32 = 0;
    let compare = [
        attribute(1, &REGISTER.to_be_bytes()),
        attribute(2, &EQUAL.to_be_bytes()),
        nested(3, &[attribute(1, value)]),
    ];
    vec![load, expression(b"cmp\0", &compare)]
}

fn accept() -> Vec<Vec<u8>> {
    let verdict = nested(2, &[attribute(1, &ACCEPT.to_be_bytes())]);
    vec![expression(b"immediate\0", &[attribute(1, &VERDICT.to_be_bytes()), nested(2, &[verdict])])]
}

fn redirect_to(port: u16) -> Vec<Vec<u8>> {
    let value = nested(2, &[attribute(1, &port.to_be_bytes())]);
    vec![
        expression(b"immediate\0", &[attribute(1, &REGISTER.to_be_bytes()), value]),
        expression(b"redir\0", &[attribute(1, &REGISTER.to_be_bytes())]),
    ]
}
