//! What is not read of what somebody wrote, or not as they wrote it. What began a session has this with its task; of what is said later, it stands
//! in the log beside the message.

use cofferdam_domain::{EventBody, Label, amount::counted};

/// What a session is told of it: in which ways, each with how many characters. `None` where all is read as it was written. `who` is a name as people
/// read it.
pub(crate) fn told(who: &str, ways: &[(String, u64)]) -> Option<EventBody> {
    let ways: Vec<String> =
        ways.iter().map(|(way, characters)| format!("{} {way}", counted(*characters, "character"))).collect();
    (!ways.is_empty()).then(|| EventBody::MessageReceived {
        from: "Cofferdam".to_owned(),
        text: format!("Not all of what {who} wrote is read as it was written: {}.", ways.join("; ")),
        label: Label::PLATFORM,
        about: None,
    })
}
