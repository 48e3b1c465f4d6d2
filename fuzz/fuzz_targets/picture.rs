//! Pictures out of sandboxes and of other programs, as they are made fit for models.

#![no_main]

use cofferdam_domain::message::Image;
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tools/src/picture/decode.rs"]
mod decode;
#[path = "../../crates/tools/src/picture/encode.rs"]
mod encode;
#[path = "../../crates/tools/src/picture/fit.rs"]
mod fit;
#[path = "../../crates/tools/src/picture/shrink.rs"]
mod shrink;

use fit::{Fitted, Limits, fit};

/// Less than in the product, so that much is tried in little time.
const LIMITS: Limits = Limits { longest: 32, bytes: 4_000, side: 2_000, pixels: 40_000 };

fuzz_target!(|input: &[u8]| {
    assert!(Limits::OF_MODELS.memory() < fit::MAX_FILE as usize * 20);
    let Ok(fitted) = fit(input, &LIMITS) else { return };
    match &fitted {
        Fitted::AsItIs { media_type } => assert_eq!(Image::kind(input), Some(*media_type)),
        Fitted::Scaled { media_type, bytes, from, to } => {
            assert!(bytes.len() <= LIMITS.bytes && to.0.max(to.1) <= LIMITS.longest);
            assert!(to.0 >= 1 && to.1 >= 1 && to.0 <= from.0 && to.1 <= from.1);
            let shown = decode::decode(media_type, bytes, &LIMITS).expect("what is shown can be decoded");
            assert_eq!((shown.width, shown.height), *to);
        }
    }
    assert_eq!(fit(input, &LIMITS), Ok(fitted), "the same for the same bytes");
});
