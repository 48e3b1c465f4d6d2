//! A Java trust store: the JKS format, as the JDK's own `sun.security.provider.JavaKeyStore` reads and writes it.
//!
//! All numbers are big-endian: the magic number, the version 2, the count of entries; for each trusted certificate
//! its kind 2, an alias, the time in milliseconds, the type of certificate, its length, and its bytes; at the end a
//! SHA-1 digest over the password in UTF-16, the words `Mighty Aphrodite`, and all that came before. Nothing in it
//! is secret; the password is the one that every JDK's own trust store has.

use ring::digest;
use rustls::pki_types::CertificateDer;

/// The password of every JDK's own trust store.
pub(super) const PASSWORD: &str = "changeit";

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
const TRUSTED_CERTIFICATE: u32 = 2;

/// A trust store with these certificates.
pub(super) fn trust_store<'a>(
    certificates: impl ExactSizeIterator<Item = &'a CertificateDer<'static>>,
) -> Vec<u8> {
    let mut store = Vec::new();
    store.extend(MAGIC.to_be_bytes());
    store.extend(VERSION.to_be_bytes());
    store.extend(length(certificates.len()));
    for (number, certificate) in certificates.enumerate() {
        store.extend(TRUSTED_CERTIFICATE.to_be_bytes());
        text(&mut store, &format!("cofferdam-{number}"));
        store.extend(0_u64.to_be_bytes());
        text(&mut store, "X.509");
        store.extend(length(certificate.len()));
        store.extend(certificate.as_ref());
    }
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    for unit in PASSWORD.encode_utf16() {
        context.update(&unit.to_be_bytes());
    }
    context.update(b"Mighty Aphrodite");
    context.update(&store);
    store.extend(context.finish().as_ref());
    store
}

/// A text as `DataOutputStream.writeUTF` writes it; ours are ASCII and short.
fn text(store: &mut Vec<u8>, text: &str) {
    store.extend(u16::try_from(text.len()).unwrap_or_default().to_be_bytes());
    store.extend(text.as_bytes());
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or_default().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::authority::Authority;

    #[test]
    fn the_jdk_reads_it() {
        let authority = Authority::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trust.jks");
        std::fs::write(&path, trust_store([authority.certificate()].into_iter())).unwrap();
        let listed = Command::new("keytool")
            .args(["-list", "-storetype", "JKS", "-storepass", PASSWORD, "-keystore"])
            .arg(&path)
            .output();
        let Ok(listed) = listed else {
            eprintln!("SKIPPED: keytool is not installed");
            return;
        };
        let said = String::from_utf8_lossy(&listed.stdout);
        assert!(listed.status.success(), "{said}{}", String::from_utf8_lossy(&listed.stderr));
        assert!(said.contains("cofferdam-0") && said.contains("trustedCertEntry"), "{said}");
    }
}
