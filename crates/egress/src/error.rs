//! Why a doorway or a door could not be made.

use std::io;

use crate::{credential::CredentialProblem, problem::PolicyProblem, registry::InvalidPackageRule};

/// A doorway or a door could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The session's certificate authority could not be made.
    #[error("the session's certificate authority could not be made")]
    Authority(#[source] rcgen::Error),
    /// No certificate to trust was found.
    #[error(
        "no trusted root certificates were found on this host, so no HTTPS host could be verified: install the system's certificates (the package is usually called ca-certificates), or name a PEM file with roots in the configuration"
    )]
    NoRoots,
    /// A PEM file has no certificate.
    #[error("the extra root certificates are not in PEM form, or one of them is no certificate")]
    ExtraRoots,
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[source] rustls::Error),
    /// The system's random numbers could not be had.
    #[error("the system gave no random numbers")]
    Random,
    /// The directory of the package cache cannot be used.
    #[error("the directory of the package cache cannot be used")]
    Cache(#[source] io::Error),
    /// The policy is wrong.
    #[error("the egress policy is wrong")]
    Policy(#[from] PolicyProblem),
    /// A rule about packages is wrong.
    #[error("a rule about packages is wrong")]
    Package(#[from] InvalidPackageRule),
    /// A credential is wrong.
    #[error("a credential is wrong")]
    Credential(#[from] CredentialProblem),
}
