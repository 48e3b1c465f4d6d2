//! Whether an address is this machine's own.

use std::net::IpAddr;

/// Whether the host of a URL (RFC 3986, section 3.2.2) is this machine: `localhost`, or an address of its loopback interface.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_what_cannot_be_elsewhere_is_this_machine() {
        for here in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]", "::1"] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in
            ["", "localhost.example", "127.0.0.1.example", "10.0.0.1", "[::]", "0.0.0.0", "[::ffff:10.0.0.1]"]
        {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }
}
