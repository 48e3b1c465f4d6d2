//! Files that may be pointers of Git LFS: what is taken is the one text of that pointer.

#![no_main]

use cofferdam_forge::LfsPointer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(pointer) = LfsPointer::parse(bytes) else { return };
    assert!((bytes.len() as u64) < LfsPointer::LIMIT);
    assert_eq!(pointer.to_string().as_bytes(), bytes);
});
