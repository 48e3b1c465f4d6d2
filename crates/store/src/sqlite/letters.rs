//! Hearing of letters on one machine.

use super::SqliteStore;
use crate::{StoreError, log::rings::Listener, records::letters::Postbox};

impl Postbox for SqliteStore {
    fn listen_to_letters(&self) -> Result<Listener, StoreError> {
        self.news.listen_to_letters()
    }
}
