//! Lists that are given page by page: how much, and where the next page begins.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::problem::{Kind, Problem};

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paged {
    /// Where the page begins, as the page before said
    #[param(max_length = 100)]
    pub(super) cursor: Option<String>,
    /// At most this many; 100 where it is not said
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

impl Paged {
    /// How many of these are on the page.
    pub(super) fn limit(&self, what: &str) -> Result<u32, Problem> {
        limit(self.limit, 100, 200, what)
    }
}

/// How many of these are on a page, where that was asked for.
pub(super) fn limit(wanted: Option<u32>, usual: u32, most: u32, what: &str) -> Result<u32, Problem> {
    let limit = wanted.unwrap_or(usual);
    if (1..=most).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::new(Kind::Malformed, format!("a page has 1 to {most} {what}")))
    }
}

/// Where the page after this one begins: after its last entry, unless it is not full.
pub(crate) fn next<T, C>(page: &[T], limit: u32, after: impl FnOnce(&T) -> C) -> Option<C> {
    if page.len() < limit as usize { None } else { page.last().map(after) }
}
