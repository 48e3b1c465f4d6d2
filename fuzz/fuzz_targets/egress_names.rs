//! What the egress door reads of questions for names, and of a resolver's answers to its own.

#![no_main]

use std::net::IpAddr;

use cofferdam_egress::{Answered, Question, Reply, read_answer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(question) = Question::read(bytes) {
        let address = IpAddr::from([198, 18, 0, 1]);
        let answer = question.answer(Reply::Address(address), 60);
        if question.kind == 1 && question.class == 1 {
            assert_eq!(read_answer(bytes, &answer), Ok(Answered::Addresses(vec![address])));
        }
    }
    let asked = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];
    if let Ok(Answered::Addresses(addresses)) = read_answer(&asked, bytes) {
        assert!(addresses.len() <= bytes.len() / 4);
    }
});
