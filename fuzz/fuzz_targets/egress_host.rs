//! What stands for a host: in rules, in URLs, in Host and SNI, in questions for names.

#![no_main]

use std::net::IpAddr;

use cofferdam_domain::egress::{HostName, HostPattern};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(name) = text.parse::<HostName>() {
        assert_eq!(name.as_str(), text);
        assert!(text.parse::<IpAddr>().is_err());
        assert!(
            text.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
        );
        assert!(
            HostPattern::Exactly(name.clone()).matches(&name)
                && !HostPattern::Below(name.clone()).matches(&name)
        );
    }
    if let Ok(pattern) = text.parse::<HostPattern>() {
        assert_eq!(pattern.to_string(), text);
        assert!(pattern.covers(&pattern));
    }
});
