//! How a session begins for somebody outside. Done twice it is done once.

use cofferdam_domain::{Digest, EventBody, Owner, SessionId, Task, Timestamp};
use cofferdam_store::{Everything, Placement, StoreError, Ticket};

use crate::{Place, processor::now};

/// A session's id from what asked for it and when that arrived: an id of its usual form (RFC 9562, section 5.7), and the same each time.
#[must_use]
pub fn session_id(at: Timestamp, parts: &[&str]) -> SessionId {
    let mut content = Vec::new();
    for part in parts {
        content.extend_from_slice(&(part.len() as u64).to_be_bytes());
        content.extend_from_slice(part.as_bytes());
    }
    let mut random = [0; 16];
    random.copy_from_slice(&Digest::of(&content).as_bytes()[..16]);
    let random = u128::from_be_bytes(random);
    let time = u128::from(at.0 & 0xffff_ffff_ffff) << 80;
    let rest = random & ((1 << 80) - 1) & !(0xf << 76) & !(0b11 << 62);
    SessionId::from_u128(time | rest | 7 << 76 | 0b10 << 62)
}

/// Whose a session is that was asked for outside: everybody there is somebody of their own here, so that shares of what may run hold for them
/// too. They cannot sign in as that, and no OpenID provider is called like a way in.
///
/// # Errors
/// When the store fails.
pub async fn owner(
    store: &dyn Everything,
    place: Place,
    source: &str,
    account: &str,
    name: &str,
) -> Result<Owner, StoreError> {
    let issuer = format!("way:{source}");
    let Place { org, project } = place;
    if let Some(user) = store.user_by_subject(&issuer, account).await? {
        return Ok(Owner { org, project, user });
    }
    let name = if name.is_empty() { account } else { name };
    let user = match store.create_user(name, Some((&issuer, account)), now()).await {
        Ok(user) => user,
        // Another process has met them at the same time.
        Err(error @ StoreError::Taken { .. }) => {
            store.user_by_subject(&issuer, account).await?.ok_or(error)?
        }
        Err(error) => return Err(error),
    };
    Ok(Owner { org, project, user })
}

/// Makes a session for the queue. `false` when it was made before, by the same request, which did not live to say so.
///
/// # Errors
/// When the store fails.
pub async fn begin(
    store: &dyn Everything,
    owner: Owner,
    session: SessionId,
    task: Task,
    rest: Vec<EventBody>,
) -> Result<bool, StoreError> {
    let ticket = Ticket { owner, placement: Placement::Queued { priority: 0 } };
    let first = EventBody::TaskAccepted { task };
    match store.enqueue(ticket, session, now(), first, rest).await {
        Ok(_) => Ok(true),
        Err(StoreError::Exists(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_what_asked() {
        let at = Timestamp(1_795_340_167_000);
        let id = session_id(at, &["forge", "delivery"]);
        assert_eq!(id, session_id(at, &["forge", "delivery"]));
        assert_ne!(id, session_id(at, &["forged", "elivery"]));
        assert_ne!(id, session_id(Timestamp(1), &["forge", "delivery"]));
        let uuid = id.as_u128();
        assert_eq!((uuid >> 80, uuid >> 76 & 0xf, uuid >> 62 & 0b11), (1_795_340_167_000, 7, 0b10));
    }
}
