//! A fresh look at a change before it is delivered: by a model that has seen only the task, the change and the evidence, and tries to refute them.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::json;

use crate::{
    CallId, ResultSchema, SessionId, Spent, Timestamp,
    delegation::subagent_id,
    schema::InvalidSchema,
    tool::{Finish, FinishOutcome, LineRemark},
};

/// So often a change is looked at before it is delivered, at the most.
pub const MOST_ROUNDS: u8 = 3;
/// Bytes of what is said about the change as a whole.
pub const MAX_SUMMARY: usize = 6_000;
/// Remarks on lines.
const MOST_REMARKS: usize = 12;
/// Bytes of one.
const MAX_REMARK: usize = 2_400;
/// Bytes of a path.
const MAX_PATH: usize = 1_200;

/// The call that a session which looks afresh is said to be begun by: none, for steps are counted from 1.
pub const NO_CALL: CallId = CallId { step: 0, index: 0 };

/// One round of it. Prose of a model's: advice, and no word of the platform's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfReview {
    /// Which round, counted from 1 in each turn.
    pub round: u32,
    /// The session in which it was done.
    pub session: SessionId,
    /// The commit that was looked at, object id in hexadecimal. With several repositories, that of the first one that has a change.
    pub commit: String,
    /// Whether something was found for which the agent should go back to work.
    pub refuted: bool,
    /// What was found, in Markdown.
    pub summary: String,
    /// What was found about lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<LineRemark>,
    /// Why it could not be done, where it could not. Then nothing was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Why its sandbox was frozen, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
    /// What it used.
    pub spent: Spent,
}

/// What a session that looked has to say, in the form that [`schema`] asks for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opinion {
    /// Whether the agent should go back to work.
    pub refuted: bool,
    /// What it makes of the change.
    pub summary: String,
    /// What it found about lines.
    #[serde(default)]
    pub findings: Vec<LineRemark>,
}

impl Opinion {
    /// What a session said at its end; `None` where that has another form, or it gave up.
    #[must_use]
    pub fn of(finish: &Finish) -> Option<Self> {
        if finish.outcome != FinishOutcome::Done {
            return None;
        }
        let said = serde_json::from_str(&finish.summary).ok()?;
        // Whoever took it down has held it against the same form; nobody hangs on that.
        let meets = schema().is_ok_and(|schema| schema.problems(&said).is_empty());
        serde_json::from_value(said).ok().filter(|_| meets)
    }
}

/// The form of what it has to say.
///
/// # Errors
/// Never: a test holds that it is a schema.
pub fn schema() -> Result<ResultSchema, InvalidSchema> {
    // Lengths are in characters, of up to four bytes each.
    ResultSchema::try_from(json!({
        "type": "object",
        "properties": {
            "refuted": { "type": "boolean", "description": "true only for something that has to be mended before this is merged" },
            "summary": { "type": "string", "minLength": 1, "maxLength": MAX_SUMMARY / 4 },
            "findings": {
                "type": "array",
                "maxItems": MOST_REMARKS,
                "items": {
                    "type": "object",
                    "properties": {
                        "path": { "type": "string", "minLength": 1, "maxLength": MAX_PATH / 4 },
                        "line": { "type": "integer", "minimum": 1 },
                        "text": { "type": "string", "minLength": 1, "maxLength": MAX_REMARK / 4 }
                    },
                    "required": ["path", "line", "text"],
                    "additionalProperties": false
                }
            }
        },
        "required": ["refuted", "summary"],
        "additionalProperties": false
    }))
}

/// The id of the session that looks at what a stretch of work has made: the same for the same stretch, which ended at this time of the log.
#[must_use]
pub fn reviewer_id(session: SessionId, finished: Timestamp) -> SessionId {
    subagent_id(session, NO_CALL, finished, "a fresh look")
}

/// How often, as it is configured.
pub(crate) fn rounds<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    let rounds = u8::deserialize(from)?;
    if rounds > MOST_ROUNDS {
        return Err(D::Error::custom(format!("self_review is at most {MOST_ROUNDS}, and 0 for never")));
    }
    Ok(rounds)
}

/// The same where it need not be said.
pub(crate) fn rounds_if_said<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u8>, D::Error> {
    rounds(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(outcome: FinishOutcome, summary: &str) -> Option<Opinion> {
        Opinion::of(&Finish {
            outcome,
            title: "Result".into(),
            summary: summary.into(),
            replies: Vec::new(),
            remarks: Vec::new(),
        })
    }

    #[test]
    fn what_meets_the_schema_is_an_opinion() {
        let schema = schema().unwrap();
        for good in [
            r#"{"refuted":false,"summary":"It holds."}"#,
            r#"{"refuted":true,"summary":"No.","findings":[{"path":"a","line":3,"text":"Overflows."}]}"#,
        ] {
            assert!(schema.problems(&serde_json::from_str(good).unwrap()).is_empty(), "{good}");
            assert!(said(FinishOutcome::Done, good).is_some(), "{good}");
            assert!(said(FinishOutcome::GaveUp, good).is_none());
        }
        // The longest that the schema lets through, in the longest characters.
        let (summary, text) = ("\u{10348}".repeat(MAX_SUMMARY / 4), "\u{10348}".repeat(MAX_REMARK / 4));
        let remark = json!({"path": "\u{10348}".repeat(MAX_PATH / 4), "line": 1, "text": text});
        let longest = json!({"refuted": true, "summary": summary, "findings": vec![remark; MOST_REMARKS]});
        assert!(schema.problems(&longest).is_empty(), "{:?}", schema.problems(&longest));
        assert!(said(FinishOutcome::Done, &longest.to_string()).is_some());
    }

    #[test]
    fn anything_else_is_none() {
        for bad in [
            "",
            "refuted",
            "[]",
            "{}",
            r#"{"refuted":"yes","summary":"x"}"#,
            r#"{"refuted":true,"summary":"x","approve":true}"#,
            r#"{"refuted":true,"summary":"x","findings":[{"path":"a","line":0,"text":"t"}]}"#,
            r#"{"refuted":true,"summary":"x","findings":[{"path":"a","line":1,"text":"t","to":"main"}]}"#,
        ] {
            assert_eq!(said(FinishOutcome::Done, bad), None, "{bad}");
        }
        let long = json!({"refuted": true, "summary": "x".repeat(MAX_SUMMARY + 1)}).to_string();
        assert_eq!(said(FinishOutcome::Done, &long), None);
    }

    #[test]
    fn each_stretch_of_work_has_one() {
        let session = SessionId::from_u128(5);
        let id = reviewer_id(session, Timestamp(1_000));
        assert_eq!(id, reviewer_id(session, Timestamp(1_000)));
        assert_ne!(id, reviewer_id(session, Timestamp(1_001)));
        assert_ne!(id, reviewer_id(SessionId::from_u128(6), Timestamp(1_000)));
    }

    #[test]
    fn events_without_the_later_fields_are_read() {
        let text = r#"{"round":1,"session":"SES","commit":"c","refuted":false,"summary":"s","spent":{"steps":0,"usage":{},"cost":0,"wall_ms":0}}"#;
        let text = text.replace("SES", &SessionId::from_u128(1).to_string());
        let read: SelfReview = serde_json::from_str(&text).unwrap();
        assert!(read.failed.is_none() && read.frozen.is_none() && read.remarks.is_empty());
        let again = serde_json::to_string(&read).unwrap();
        assert!(!again.contains("failed") && !again.contains("frozen"), "{again}");
    }
}
