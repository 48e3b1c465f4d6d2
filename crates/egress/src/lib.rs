//! The egress door: the one way out of a sandbox, closed by default, by operation rather than by domain.
//!
//! What this crate is for: a [`Doorway`] belongs to a worker, a [`Door`] to one session. A door takes the
//! listeners that were made inside a sandbox's network namespace, reads what programs say there (TLS is ended with
//! an authority of the session's own), decides each request by the session's rules, adds credentials where they
//! belong, and sends on what may leave. Everything that passes is written down before it is sent, everything
//! refused is written down and answered in a way that the program understands.
//!
//! What it never does: send anything that no rule permits, mend what is malformed, dial an address that it has not
//! checked, follow a redirect, or give a secret to a sandbox. It knows nothing of agents, models or sandboxes: a
//! listener is all that it sees of one.
//!
//! Where to start reading: `decide.rs` (the rules as a pure decision), then `connection.rs` (one connection from accept
//! to end) and `http/pass.rs` (one request from decision to answer).

#![forbid(unsafe_code)]

mod address;
mod advice;
mod authority;
mod cache;
mod clock;
mod connection;
mod credential;
mod decide;
mod door;
mod doorway;
mod error;
mod explain;
mod fetch;
mod grants;
mod hello;
mod hold;
mod http;
mod ledger;
mod listeners;
mod meter;
mod names;
mod patience;
mod problem;
mod reason;
mod record;
mod refuse;
mod registry;
mod rules;
mod stream;
mod target;
mod tasks;
mod unread;
mod upstream;
mod watchlist;

pub use address::{AddressClass, AddressProblem, may_dial};
pub use advice::{Advice, advice};
pub use authority::{Place, Trust, TrustFile};
pub use cache::{CacheKey, Cached, Checked, Claim, Filled, Filling, PackageCache};
pub use credential::{
    CommandSource, Credential, CredentialHost, CredentialProblem, CredentialSource, Credentials,
    GithubAppSource, HeaderFormat, Injection, InvalidFormat, InvalidRepository, Keeper, KvVersion,
    PathTemplate, Reflected, ReflectionPatterns, ReflectionScan, RepositoryName, VaultLogin, VaultSource,
};
pub use decide::{Allowed, Body, Connection, Decision, Denied, Miss, Request};
pub use door::{Door, Serving};
pub use doorway::{About, Doorway, DoorwayOptions};
pub use error::EgressError;
pub use explain::{Explanation, Judged, Verdict};
pub use hello::{BadHello, Hello, read_hello};
pub use http::{Framing, Head, MalformedHead, read_head};
pub use listeners::{Capture, Listeners};
pub use names::{Answered, MalformedMessage, Question, Reply, read_answer};
pub use patience::Patience;
pub use problem::{Fault, PolicyProblem, problems};
pub use record::{NotRecorded, Record};
pub use registry::{
    BuiltIn, Checksum, Comparison, ConfigFiles, CrateTemplate, Discovery, HostFiles, InvalidPackageRule,
    Listed, Listing, ListingProblem, Listings, PackageRefusal, PackageRules, Part, Reading, Registry,
    RegistryKind, Settings, discover, read_index,
};
pub use rules::Rules;
pub use target::{InvalidTarget, Target};
pub use upstream::{Resolver, Roots};
pub use watchlist::SecretForm;
