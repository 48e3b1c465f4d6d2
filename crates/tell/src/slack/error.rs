//! Why Slack does not do what it is asked for, and what helps.

use cofferdam_domain::Timestamp;
use serde_json::Value;

/// Slack does not do it. In words for the operator, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlackError {
    /// The token is not taken.
    #[error(
        "{slack} does not take the token ({error}): install the app in the workspace again and put the new token where [[slack]] {slack:?} says"
    )]
    Token {
        /// Its name.
        slack: String,
        /// Slack's word for it.
        error: String,
    },
    /// The token may not do this.
    #[error(
        "the app lacks a scope at {slack} ({needed}, for {method}): add it under OAuth & Permissions and install the app again"
    )]
    Scope {
        /// Its name.
        slack: String,
        /// What was asked.
        method: &'static str,
        /// Which one.
        needed: String,
    },
    /// What it is about is not there, or not for this app.
    #[error(
        "{slack} has nothing to show or change there ({error}, {method}): is the app in the channel? /invite it"
    )]
    Missing {
        /// Its name.
        slack: String,
        /// What was asked.
        method: &'static str,
        /// Slack's word for it.
        error: String,
    },
    /// It is not done.
    #[error("{slack} refuses {method}: {error}")]
    Refused {
        /// Its name.
        slack: String,
        /// What was asked.
        method: &'static str,
        /// Slack's word for it.
        error: String,
    },
    /// Not now.
    #[error("{slack} cannot be asked for {method} now: {reason}")]
    ForNow {
        /// Its name.
        slack: String,
        /// What was asked.
        method: &'static str,
        /// Why.
        reason: String,
        /// Not before then, if it says so.
        again: Option<Timestamp>,
    },
    /// Its answer is not as documented.
    #[error("{slack} answers {method} otherwise than is documented")]
    Malformed {
        /// Its name.
        slack: String,
        /// What was asked.
        method: &'static str,
    },
}

impl SlackError {
    /// What an answer says that is not `ok`.
    pub(super) fn said(slack: &str, method: &'static str, answer: &Value) -> Self {
        let slack = slack.to_owned();
        let error = word(&answer["error"]);
        match &*error {
            "invalid_auth"
            | "not_authed"
            | "account_inactive"
            | "token_revoked"
            | "token_expired"
            | "no_permission"
            | "not_allowed_token_type"
            | "org_login_required"
            | "ekm_access_denied" => Self::Token { slack, error },
            "missing_scope" => Self::Scope { slack, method, needed: word(&answer["needed"]) },
            "channel_not_found"
            | "not_in_channel"
            | "is_archived"
            | "thread_not_found"
            | "message_not_found"
            | "user_not_found"
            | "users_not_found"
            | "user_not_visible"
            | "no_such_subteam"
            | "cant_update_message"
            | "no_item_specified"
            | "bad_timestamp" => Self::Missing { slack, method, error },
            "internal_error"
            | "fatal_error"
            | "service_unavailable"
            | "request_timeout"
            | "team_added_to_org"
            | "rate_limited"
            | "accesslimited" => {
                Self::ForNow { slack, method, reason: format!("it says {error}"), again: None }
            }
            _ => Self::Refused { slack, method, error },
        }
    }

    /// Whether it is Slack's word for this.
    pub(super) fn is(&self, word: &str) -> bool {
        match self {
            Self::Token { error, .. } | Self::Missing { error, .. } | Self::Refused { error, .. } => {
                error == word
            }
            Self::Scope { .. } | Self::ForNow { .. } | Self::Malformed { .. } => false,
        }
    }
}

/// One of Slack's words, which may be shown.
fn word(value: &Value) -> String {
    const LONGEST: usize = 200;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':' | b'.' | b',');
    match value.as_str() {
        Some(word) if !word.is_empty() && word.len() <= LONGEST && word.bytes().all(fits) => word.to_owned(),
        Some(_) | None => "without a reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_slack_says_is_shown_only_where_it_is_a_word() {
        let said = |error: &str| {
            SlackError::said("work", "chat.postMessage", &json!({ "ok": false, "error": error }))
        };
        assert!(said("token_revoked").to_string().contains("put the new token"));
        assert!(matches!(said("channel_not_found"), SlackError::Missing { .. }));
        assert!(matches!(said("internal_error"), SlackError::ForNow { .. }));
        for hostile in ["", "a\nb", "<!channel>", &"x".repeat(300)] {
            assert!(said(hostile).to_string().ends_with("without a reason"), "{hostile}");
        }
        let scope = json!({ "error": "missing_scope", "needed": "users:read", "provided": "chat:write" });
        assert!(
            SlackError::said("work", "users.info", &scope)
                .to_string()
                .contains("(users:read, for users.info)")
        );
    }
}
