//! What the host takes from a hand, which may be hostile: replies, and the records of listings and searches.

#![no_main]

use cofferdam_hand::protocol::{
    frame,
    message::Reply,
    records::{Decoder, Entry, Found},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(reply) = frame::decode::<Reply>(bytes) {
        assert_eq!(frame::encode(&reply).expect("a decoded message fits"), bytes);
    }
    drain::<Entry>(bytes);
    drain::<Found>(bytes);
});

fn drain<T: serde::de::DeserializeOwned>(bytes: &[u8]) {
    let mut decoder = Decoder::default();
    decoder.push(bytes);
    while let Ok(Some(_)) = decoder.next_record::<T>() {}
}
