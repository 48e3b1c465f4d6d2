//! The file in which a virtual display keeps what it shows, as a program beside it may have written it. The first two bytes are the size.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tools/src/picture/xwd.rs"]
mod xwd;

fuzz_target!(|input: &[u8]| {
    let Some(([width, height], file)) = input.split_first_chunk::<2>() else { return };
    let (width, height) = (u32::from(*width).max(1), u32::from(*height).max(1));
    let Ok(colours) = xwd::colours(file, width, height) else { return };
    assert_eq!(colours.len() as u64, u64::from(width) * u64::from(height) * 3);
    assert!(file.len() as u64 <= xwd::longest(width, height));
});
