//! What the store's refusals mean to whoever asked. The one place where they get a status.

use cofferdam_store::{StoreError, TenantError};

use crate::problem::{Kind, Problem};

impl From<TenantError> for Problem {
    fn from(error: TenantError) -> Self {
        match error {
            TenantError::NotFound(what) => Self::not_found(what),
            TenantError::Forbidden { needs } => Self::new(
                Kind::Forbidden,
                format!("this takes the rank {}: ask an admin of your organisation", needs.name()),
            ),
            TenantError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::UnknownSession(_)
            | StoreError::UnknownBlob(_)
            | StoreError::NotMember
            | StoreError::Missing { .. } => Self::not_found("thing"),
            StoreError::Exists(_) | StoreError::Taken { .. } | StoreError::LastAdmin => {
                Self::new(Kind::Conflict, error.to_string())
            }
            StoreError::TooLarge { .. } => Self::new(Kind::TooLarge, error.to_string()),
            StoreError::Full { .. } => Self::full(&error),
            StoreError::Closed
            | StoreError::Busy { .. }
            | StoreError::BucketAway { .. }
            | StoreError::Unavailable { .. } => Self::unavailable(&error),
            StoreError::Claimed { .. }
            | StoreError::Fenced { .. }
            | StoreError::Behind { .. }
            | StoreError::Corrupt { .. }
            | StoreError::DamagedObject { .. }
            | StoreError::NoBucket(_)
            | StoreError::BucketRefuses { .. }
            | StoreError::Newer { .. }
            | StoreError::Address { .. }
            | StoreError::Absent { .. }
            | StoreError::Deaf
            | StoreError::Untrusted { .. }
            | StoreError::Encode { .. }
            | StoreError::Database { .. }
            | StoreError::File { .. } => Self::internal(&error),
        }
    }
}
