//! What an object store's refusals mean, and what to do about them.
//!
//! Codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>. They stand in the body of the answer, which is kept in the
//! error's text.

use std::error::Error;

use cofferdam_domain::causes::with_causes;

use crate::StoreError;

/// Codes and what they mean. The first that is in the text counts.
const REFUSALS: &[(&str, &str)] = &[
    ("NoSuchBucket", "there is no such bucket: make it, or name another in [store] blobs"),
    ("RequestTimeTooSkewed", "this machine's clock and the object store's are too far apart: set them right"),
    ("InvalidAccessKeyId", CREDENTIALS),
    ("SignatureDoesNotMatch", CREDENTIALS),
    ("ExpiredToken", "the credentials have expired: give new ones"),
    ("InvalidToken", CREDENTIALS),
    ("AccessDenied", RIGHTS),
    ("AllAccessDisabled", RIGHTS),
    ("PermanentRedirect", REGION),
    ("AuthorizationHeaderMalformed", REGION),
    ("redirect without LOCATION", REGION),
    (
        "InstanceMetadata",
        "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or [store] credentials",
    ),
    (
        "169.254.",
        "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or [store] credentials",
    ),
];

const CREDENTIALS: &str = "the credentials are refused: look at the key and its secret";
const RIGHTS: &str =
    "these credentials may not do this: they need to get, put and delete objects, and to abort uploads";
const REGION: &str = "the bucket is in another region: set [store] region";

/// What a failure means.
pub(super) fn meaning(address: &str, error: object_store::Error) -> StoreError {
    let text = with_causes(&error);
    let address = address.to_owned();
    if let Some((_, reason)) = REFUSALS.iter().find(|(code, _)| text.contains(code)) {
        return StoreError::BucketRefuses { address, reason, source: Box::new(error) };
    }
    let reason = if matches!(error, object_store::Error::Unauthenticated { .. }) {
        CREDENTIALS
    } else if matches!(error, object_store::Error::PermissionDenied { .. }) {
        RIGHTS
    } else if text.contains("status code: 4") {
        // An answer that says that the request is wrong, which it stays.
        "the object store does not accept the request"
    } else {
        return StoreError::BucketAway { address, source: Box::new(error) };
    };
    StoreError::BucketRefuses { address, reason, source: Box::new(error) }
}

/// What it means that an object cannot be read.
pub(super) fn meaning_of_reading(address: &str, object: &str, error: object_store::Error) -> StoreError {
    if let object_store::Error::NotFound { source, .. } = &error
        && !is_no_bucket(&**source)
    {
        return StoreError::Corrupt { what: format!("{object} is gone") };
    }
    // It is shorter than it says: there is no such range to go on with.
    if with_causes(&error).contains("InvalidRange") {
        return StoreError::Corrupt { what: format!("{object} is too short") };
    }
    meaning(address, error)
}

/// Whether it is the bucket that is not there.
pub(super) fn is_no_bucket(error: &(dyn Error + 'static)) -> bool {
    with_causes(error).contains("NoSuchBucket")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn what_is_wrong_is_told_from_what_passes() {
        for (text, expected) in [
            (
                "Server returned non-2xx status code: 404 Not Found: <Code>NoSuchBucket</Code>",
                "no such bucket",
            ),
            ("status code: 403 Forbidden: <Code>RequestTimeTooSkewed</Code>", "clock"),
            ("status code: 403 Forbidden: <Code>SignatureDoesNotMatch</Code>", "credentials are refused"),
            ("Server returned non-2xx status code: 400 Bad Request: ", "does not accept"),
            ("error sending request for url (http://169.254.169.254/latest/api/token)", "AWS_ACCESS_KEY_ID"),
        ] {
            let meant = meaning("s3://b", generic(text));
            assert!(matches!(meant, StoreError::BucketRefuses { .. }), "{meant:?}");
            assert!(meant.to_string().contains(expected), "{meant}");
        }
        for text in ["error sending request: connection refused", "status code: 503 Service Unavailable: "] {
            let meant = meaning("s3://b", generic(text));
            assert!(matches!(meant, StoreError::BucketAway { .. }), "{meant:?}");
        }
    }
}
