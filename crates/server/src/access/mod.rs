//! Who asks: an API token or the cookie of a browser that is signed in, and how one gets to be.

mod cookies;
mod cross_site;
mod openid;
mod presented;
pub(crate) mod sign_in;
mod signed;

pub(crate) use cross_site::refuse_cross_site;
pub use openid::{Admit, InvalidOpenId, OpenId, OpenIdSettings, Who};
pub(crate) use presented::Presented;
pub(crate) use signed::Signed;
