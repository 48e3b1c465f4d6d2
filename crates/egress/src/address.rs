//! Which addresses may be dialled: the same rules for every connection of this program that somebody else has a say in.

pub use cofferdam_domain::address::{AddressClass, AddressProblem, may_dial};
