//! What may leave a sandbox: rules as the administrator writes them, requests as the egress door reads them, and what
//! the log says about both.
//!
//! Everything here is parsed strictly: what is not in its one canonical form is refused, never mended, so that
//! what a rule was matched against is what is sent.

mod canary;
mod host;
mod path;
mod record;
mod rule;

pub use canary::{Canary, InvalidCanary, SecretShapes, Watch};
pub use host::{HostName, HostPattern, InvalidHost};
pub use path::{InvalidPath, PathPattern, RequestPath};
pub use record::{Access, AccessAsk, Fetched, Operation, Passed, Refusal, Refused};
pub use rule::{
    AccessPolicy, Addresses, BodyLimit, EgressLimits, EgressPolicy, EgressRule, Inspection, InvalidMethod,
    Method, Registries, RegistryPlace, Scheme,
};
