//! How a sandbox comes to trust its session's authority: files in every usual place, and every usual variable.

use std::{path::PathBuf, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::pki_types::CertificateDer;

use super::{Authority, java};

/// The variable with the digest of the key that answers in the name of every server.
const KEY_VARIABLE: &str = "COFFERDAM_DOOR_KEY";

/// Where the files of our own are inside.
const OWN: &str = "/run/cofferdam/trust";

/// What a sandbox needs so that its programs trust the door.
#[derive(Debug, Clone)]
pub struct Trust {
    /// Files, all of which programs only read.
    pub files: Vec<TrustFile>,
    /// Variables for every command.
    pub variables: Vec<(String, String)>,
}

/// One file of it.
#[derive(Debug, Clone)]
pub struct TrustFile {
    /// Its path inside.
    pub inside: PathBuf,
    /// What it has; files with the same share it. Nothing in it is secret.
    pub content: Arc<[u8]>,
    /// How it comes to be there.
    pub place: Place,
}

/// How a file comes to be where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is put there, with the directories above it.
    Own,
    /// It takes the place of a file that is there already (a symbolic link followed), and is left out where there is none:
    /// it is where some distribution keeps the system's certificates.
    Over,
}

/// Where distributions keep all certificates in one file: Debian, Ubuntu, Arch and Alpine; Fedora and its relatives (two places);
/// openSUSE; Alpine and the BSDs.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Where distributions keep the trust store of their Java: Debian and Ubuntu; Fedora and its relatives.
const JAVA_STORES: [&str; 2] = ["/etc/ssl/certs/java/cacerts", "/etc/pki/ca-trust/extracted/java/cacerts"];

/// The variables by which programs are told a file with all the certificates that they should trust.
const BUNDLE_VARIABLES: [&str; 19] = [
    "SSL_CERT_FILE",                      // OpenSSL, Go, rustls-native-certs, uv, Ruby
    "NIX_SSL_CERT_FILE",                  // programs from Nix
    "CURL_CA_BUNDLE",                     // curl, and Python's requests
    "REQUESTS_CA_BUNDLE",                 // Python's requests
    "PIP_CERT",                           // pip
    "GIT_SSL_CAINFO",                     // git
    "CARGO_HTTP_CAINFO",                  // cargo
    "NPM_CONFIG_CAFILE",                  // npm, pnpm
    "npm_config_cafile",                  // the same, as npm itself hands it on
    "YARN_HTTPS_CA_FILE_PATH",            // yarn from 2 on
    "AWS_CA_BUNDLE",                      // the AWS command line and libraries
    "DENO_CERT",                          // Deno
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",   // gRPC
    "BUNDLE_SSL_CA_CERT",                 // Ruby's bundler
    "COMPOSER_CAFILE",                    // PHP's composer
    "PERL_LWP_SSL_CA_FILE",               // Perl's LWP
    "HEX_CACERTS_PATH",                   // Elixir's hex
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", // the Google Cloud command line
    "JULIA_SSL_CA_ROOTS_PATH",            // Julia
];

/// The trust in the session's authority beside the roots that the host trusts: programs that pass through need those.
pub(crate) fn trust(authority: &Authority, roots: &[CertificateDer<'static>]) -> Trust {
    let (authority, key) = (authority.certificate(), authority.leaf_digest());
    let own = pem(std::iter::once(authority)).into_bytes().into();
    let bundle = pem(roots.iter().chain([authority])).into_bytes().into();
    let all: Vec<_> = roots.iter().chain([authority]).collect();
    let store = java::trust_store(all.into_iter()).into();
    let file = |path: &str, content: &Arc<[u8]>, place| TrustFile {
        inside: PathBuf::from(path),
        content: content.clone(),
        place,
    };
    let (bundle_path, own_path) = (format!("{OWN}/bundle.pem"), format!("{OWN}/authority.pem"));
    let store_path = format!("{OWN}/java.jks");
    let mut files = vec![
        file(&bundle_path, &bundle, Place::Own),
        file(&own_path, &own, Place::Own),
        file(&store_path, &store, Place::Own),
    ];
    files.extend(BUNDLES.iter().map(|path| file(path, &bundle, Place::Over)));
    files.extend(JAVA_STORES.iter().map(|path| file(path, &store, Place::Over)));
    let mut variables: Vec<_> =
        BUNDLE_VARIABLES.iter().map(|name| ((*name).to_owned(), bundle_path.clone())).collect();
    // Node adds these to the roots that it brings along.
    variables.push(("NODE_EXTRA_CA_CERTS".to_owned(), own_path));
    // uv otherwise trusts only the roots that it brings along; the first name is the older one.
    variables.extend(["UV_NATIVE_TLS", "UV_SYSTEM_CERTS"].map(|name| (name.to_owned(), "true".to_owned())));
    let java = format!(
        "-Djavax.net.ssl.trustStore={store_path} -Djavax.net.ssl.trustStoreType=JKS -Djavax.net.ssl.trustStorePassword={}",
        java::PASSWORD
    );
    variables.push(("JAVA_TOOL_OPTIONS".to_owned(), java));
    // Chromium has roots of its own, and takes others out of no file: --ignore-certificate-errors-spki-list.
    variables.push((KEY_VARIABLE.to_owned(), key));
    Trust { files, variables }
}

/// Certificates in the form of RFC 7468.
fn pem<'a>(certificates: impl Iterator<Item = &'a CertificateDer<'static>>) -> String {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(certificate);
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(64));
            text.push_str(line);
            text.push('\n');
            rest = more;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn bundles_have_the_authority_and_every_root() {
        let (authority, root) = (Authority::new().unwrap(), Authority::new().unwrap());
        let roots = [root.certificate().clone()];
        let trust = trust(&authority, &roots);
        let read = |inside: &str| {
            let file = trust.files.iter().find(|file| file.inside == *inside).unwrap();
            CertificateDer::pem_slice_iter(&file.content).collect::<Result<Vec<_>, _>>().unwrap()
        };
        let both = vec![root.certificate().clone(), authority.certificate().clone()];
        assert_eq!(read("/etc/ssl/certs/ca-certificates.crt"), both);
        let (_, bundle) = trust.variables.iter().find(|(name, _)| name == "SSL_CERT_FILE").unwrap();
        assert_eq!(read(bundle), both);
        let (_, own) = trust.variables.iter().find(|(name, _)| name == "NODE_EXTRA_CA_CERTS").unwrap();
        assert_eq!(read(own), vec![authority.certificate().clone()]);
        let key = b"PRIVATE KEY";
        assert!(
            trust.files.iter().all(|file| !file.content.windows(key.len()).any(|window| window == key)),
            "keys stay outside"
        );
    }
}
