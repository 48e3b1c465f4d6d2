//! Headers of the bundles that come out of sandboxes: what is taken names one commit and the place of its pack.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/forge/src/bundle.rs"]
mod bundle;
#[expect(dead_code, reason = "what the crate uses and this does not")]
#[path = "../../crates/forge/src/object_id.rs"]
mod object_id;

use object_id::ObjectId;

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = bundle::Header::parse(bytes) else { return };
    let (said, pack) = bytes.split_at(header.pack);
    assert!(said.ends_with(b"\n\n"));
    assert!(pack.starts_with(b"PACK\0\0\0\x02"));
    assert_eq!(pack[8..12], header.objects.to_be_bytes());
    let reference = format!("\n{} refs/heads/cofferdam\n", header.head.as_str());
    let count = said.windows(reference.len()).filter(|window| *window == reference.as_bytes()).count();
    assert_eq!(count, 1);
});
