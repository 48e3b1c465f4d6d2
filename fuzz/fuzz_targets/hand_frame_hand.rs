//! What a hand takes from the host: requests.

#![no_main]

use cofferdam_hand::protocol::{frame, message::Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = frame::decode::<Request>(bytes) {
        assert_eq!(frame::encode(&request).expect("a decoded message fits"), bytes);
    }
});
