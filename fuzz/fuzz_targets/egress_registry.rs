//! Paths of registries, as programs in sandboxes ask for them, and the answers of indexes, as registries give them.

#![no_main]

use cofferdam_domain::egress::{Addresses, Method, RequestPath, Scheme};
use cofferdam_egress::{Checksum, CrateTemplate, Part, Reading, Registry, RegistryKind, read_index};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (kind, part, bytes) = input;
    let kind = RegistryKind::ALL[usize::from(kind) % RegistryKind::ALL.len()];
    drop(read_index(kind, "v1.0.0", bytes));
    // As a module's zip, in pieces. Nothing hashes to this.
    let sum = Checksum::go_module("h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").expect("a sum");
    let mut zip = sum.begin();
    bytes.chunks(11).for_each(|piece| zip.take(piece));
    assert!(!zip.agrees());
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let part = match part % 5 {
        0 => Part::Whole,
        1 => Part::Index,
        2 => Part::Files,
        3 => Part::Sums,
        _ => Part::Crates(text.parse().unwrap_or_else(|_| CrateTemplate::usual())),
    };
    let Ok(path) = text.parse::<RequestPath>() else { return };
    let registry = Registry {
        kind,
        part,
        scheme: Scheme::Https,
        host: "registry.example".parse().expect("a host's name"),
        port: 443,
        base: String::new(),
        addresses: Addresses::Public,
        credential: None,
    };
    // What is read is of the registry's own kind, and neither a query nor another method makes more of it.
    let reading = registry.read(&Method::GET, &path, None);
    assert!(reading.as_ref().is_none_or(|reading: &Reading| reading.kind() == kind));
    assert_eq!(registry.read(&Method::GET, &path, Some("")), None);
    assert_eq!(registry.read(&Method::POST, &path, None), None);
    if let Some(name) = reading.as_ref().and_then(Reading::name) {
        assert!(
            !name.contains(['%', '?', '#', ' '])
                && !name.split('/').any(|part| matches!(part, "" | "." | ".."))
        );
    }
});
