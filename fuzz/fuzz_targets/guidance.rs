//! No parser: a fault behind four bytes that chance does not find in time. `xtask fuzz` begins with it, and goes on only when
//! it is found: coverage then guides.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some([0x7f, 0xc0, 0xff, 0xda]) = bytes.first_chunk() {
        panic!("the seeded fault");
    }
});
