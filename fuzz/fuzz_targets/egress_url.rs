//! URLs: what is accepted means the same to a parser as browsers have it.

#![no_main]

use cofferdam_egress::Target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(target) = text.parse::<Target>() else { return };
    // It knows that some xn-- labels mean nothing, which the resolver is left to find out here.
    let Ok(other) = url::Url::parse(text) else {
        assert!(text.contains("xn--"), "{text:?}");
        return;
    };
    assert_eq!(other.scheme(), target.scheme.as_str());
    assert_eq!(other.host(), Some(url::Host::Domain(target.host.as_str())));
    assert_eq!(other.port_or_known_default(), Some(target.port()));
    assert_eq!(other.path(), target.path.as_str());
    assert_eq!(other.query().is_some(), target.query.is_some());
    assert!(other.username().is_empty() && other.password().is_none() && other.fragment().is_none());
});
