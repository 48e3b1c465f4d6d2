//! The protocol, from the inside out: messages, the frames that carry them, the socket that carries frames
//! and descriptors, and the records in which long results are written.

pub mod channel;
pub mod frame;
pub mod message;
pub mod records;
pub mod text;
pub mod tunnel;
pub mod zygote;
