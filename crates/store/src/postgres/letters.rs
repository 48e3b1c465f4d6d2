//! Hearing of letters that many machines share.

use super::PostgresStore;
use crate::{StoreError, log::rings::Listener, records::letters::Postbox};

impl Postbox for PostgresStore {
    fn listen_to_letters(&self) -> Result<Listener, StoreError> {
        self.news.rings().letters(self.news.hold()).ok_or(StoreError::Deaf)
    }
}
