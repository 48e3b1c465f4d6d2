//! Which bucket, and how it is reached.

use cofferdam_domain::Secret;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};

use crate::StoreError;

/// The longest name of a bucket, in characters.
const MAX_NAME: usize = 63;

/// The longest prefix, in bytes: keys have 1,024 at most, and ours some 110.
const MAX_PREFIX: usize = 512;

/// Which bucket of an S3-compatible object store, what in it, and how it is reached.
#[derive(Debug, Clone)]
pub struct BucketOptions {
    name: String,
    /// Empty, or ends with a slash.
    prefix: String,
    endpoint: Option<String>,
    settings: Vec<(AmazonS3ConfigKey, Secret)>,
}

impl BucketOptions {
    /// The bucket with this address: `s3://bucket` or `s3://bucket/prefix`.
    ///
    /// # Errors
    /// [`StoreError::Address`].
    pub fn parse(address: &str) -> Result<Self, StoreError> {
        let wrong = || StoreError::Address {
            address: address.chars().take(200).collect(),
            reason: "write it as s3://bucket or s3://bucket/prefix; what is in the prefix may be letters, digits and !_.*'()-",
        };
        let rest = address.strip_prefix("s3://").ok_or_else(wrong)?;
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        // <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
        let is_name = (3..=MAX_NAME).contains(&name.len())
            && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'));
        // <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>
        let is_prefix = prefix.is_empty()
            || prefix.split('/').all(|part| {
                !matches!(part, "" | "." | "..")
                    && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!_.*'()-".contains(&byte))
            });
        if !is_name || !is_prefix || prefix.len() > MAX_PREFIX {
            return Err(wrong());
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { name: name.to_owned(), prefix, endpoint: None, settings: Vec::new() })
    }

    /// The same at another store than Amazon's: its `http://` or `https://` address.
    ///
    /// # Errors
    /// [`StoreError::Address`].
    pub fn at(mut self, endpoint: &str) -> Result<Self, StoreError> {
        let rest = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
        let is_place = rest.is_some_and(|rest| {
            !rest.is_empty()
                && !rest.contains(['@', '?', '#'])
                && rest.chars().all(|one| one.is_ascii_graphic())
        });
        if !is_place {
            let reason = "the endpoint of an object store begins with https:// (or http://) and a host";
            return Err(StoreError::Address { address: "the endpoint".to_owned(), reason });
        }
        self.endpoint = Some(endpoint.trim_end_matches('/').to_owned());
        Ok(self)
    }

    /// The same with a setting by the name that Amazon's programs know (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, …). What is not set is asked of the
    /// machine: the metadata of the instance that this runs on.
    ///
    /// # Errors
    /// [`StoreError::Address`] when there is no such setting.
    pub fn with(mut self, name: &str, value: Secret) -> Result<Self, StoreError> {
        let key = name.to_ascii_lowercase().parse().map_err(|_| StoreError::Address {
            address: name.to_owned(),
            reason: "this is no setting of an S3 client",
        })?;
        self.settings.push((key, value));
        Ok(self)
    }

    /// Whether nothing is encrypted on the way.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"))
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// For people.
    pub(super) fn address(&self) -> String {
        let at = self.endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
        format!("s3://{}/{}{at}", self.name, self.prefix.trim_end_matches('/'))
    }

    pub(super) fn build(&self, builder: AmazonS3Builder) -> object_store::Result<AmazonS3> {
        let mut builder = builder.with_bucket_name(&self.name);
        for (key, value) in &self.settings {
            builder = builder.with_config(*key, value.expose());
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (address, shown, prefix) in [
            ("s3://bucket", "s3://bucket/", ""),
            ("s3://bucket/", "s3://bucket/", ""),
            ("s3://my.bucket-1/a/b", "s3://my.bucket-1/a/b", "a/b/"),
            ("s3://bucket/a/", "s3://bucket/a", "a/"),
        ] {
            let options = BucketOptions::parse(address).unwrap();
            assert_eq!((options.address().as_str(), options.prefix()), (shown, prefix));
        }
        for wrong in [
            "",
            "bucket",
            "s3:/bucket",
            "s3://",
            "s3://ab",
            "s3://Bucket",
            "s3://-ab",
            "s3://bucket//a",
            "s3://bucket/../a",
            "s3://bucket/a b",
            "s3://bucket/a?x",
            "s3://user@bucket/a",
            "https://bucket",
        ] {
            assert!(BucketOptions::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn endpoints() {
        let options = || BucketOptions::parse("s3://bucket/a").unwrap();
        let at = options().at("http://127.0.0.1:9000/").unwrap();
        assert!(at.is_plain() && at.address() == "s3://bucket/a at http://127.0.0.1:9000");
        assert!(!options().is_plain() && !options().at("https://s3.example.com").unwrap().is_plain());
        for wrong in ["", "s3.example.com", "ftp://x", "http://", "https://user:pass@host", "https://a?b"] {
            assert!(options().at(wrong).is_err(), "{wrong}");
        }
        assert!(options().with("AWS_NO_SUCH_THING", Secret::new("x")).is_err());
        let secret = options().with("AWS_SECRET_ACCESS_KEY", Secret::new("hush")).unwrap();
        assert!(!format!("{secret:?}").contains("hush"));
    }
}
