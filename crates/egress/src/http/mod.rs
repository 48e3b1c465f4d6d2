//! What programs and hosts say to each other, request by request.

mod beside;
mod body;
mod fields;
mod gathered;
mod guard;
mod head;
mod json;
mod pace;
mod package;
mod pass;
mod request;
mod serve;
mod socket;
mod tunnel;

pub use self::head::{Framing, Head, MalformedHead, read_head};
pub(crate) use self::{
    beside::JsonLogins,
    body::Upload,
    fields::{for_one, for_two},
    package::Packages,
    request::{Site, Wanted},
    serve::{Visit, farewell, serve_one, serve_two},
    tunnel::tunnel,
};
