//! Transcripts played by the model itself.

use std::sync::Arc;

use cofferdam_domain::{Block, Message, Role, event::ModelFailure, message::Family};
use cofferdam_model::{Model, Progress, Scripted, Transcript};

use crate::support::{ask, converse, request, user};

const STEPS: &str = r#"
name = "x"
[summary]
text = "so far so good"
[[step]]
find = ['commit (?<base>[0-9a-f]{7})']
text = "base is ${base}"
call = [{ tool = "shell", args = { command = "show ${base}", list = ["${base}"] } }]
[[step]]
expect.contains = ["result of shell"]
call = [{ tool = "edit" }]
[[step]]
fault = { kind = "disconnect", times = 2 }
text = "done"
"#;

fn scripted(text: &str) -> Scripted {
    Scripted::new(Transcript::parse(text).unwrap())
}

#[tokio::test]
async fn answers_are_computed_and_repeatable() {
    let mut model = scripted(STEPS);
    assert_eq!((model.info().family, model.info().name.as_str()), (Family::Scripted, "x"));
    let mut request = request(vec![user("commit abc1234 is the base")]);
    let answers = converse(&mut model, &mut request, 9).await.unwrap();
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[0].text(), "base is abc1234");
    assert_eq!(
        answers[0].tool_calls().next().unwrap().arguments,
        r#"{"command":"show abc1234","list":["abc1234"]}"#
    );
    // The same request gets the same answer, from any instance.
    request.messages = request.messages.iter().take(3).cloned().collect();
    assert_eq!(scripted(STEPS).ask(&request, &mut |_| ()).await.unwrap(), answers[1]);
    let heard = ask(&mut model, &request).await.1;
    assert_eq!(heard, [Progress::Tool("edit".into())]);
}

#[tokio::test]
async fn it_goes_on_after_a_compaction() {
    let mut model = scripted(STEPS);
    let mut whole = request(vec![user("commit abc1234")]);
    converse(&mut model, &mut whole, 2).await.unwrap();
    let mut for_summary = whole.clone();
    for_summary
        .messages
        .push(user("The conversation is near the end of the context window and will be cut here."));
    let summary = ask(&mut model, &for_summary).await.0.unwrap().text();
    assert!(
        summary.starts_with("so far so good") && summary.ends_with("[transcript at step 2]"),
        "{summary}"
    );
    // With the latest answer kept, as the agent does; and with nothing kept.
    let kept = std::iter::once(user(&summary)).chain(whole.messages.iter().skip(3).cloned()).collect();
    for messages in [kept, vec![user(&format!("<summary>{summary}</summary>"))]] {
        let mut request = request(messages);
        request.epoch = 1;
        let (answer, heard) = ask(&mut model, &request).await;
        assert_eq!(answer.unwrap().text(), "done");
        assert_eq!(heard.iter().filter(|progress| matches!(progress, Progress::Retry { .. })).count(), 2);
    }
}

#[tokio::test]
async fn a_mismatch_names_the_step_and_what_was_sent() {
    let steps = "name = 'x'\n[[step]]\nname = 'greet'\nexpect.contains = ['hello']\ntext = 'a'";
    let error = ask(&mut scripted(steps), &request(vec![user("good bye")])).await.0.unwrap_err();
    assert_eq!(error.kind, ModelFailure::Rejected);
    for part in ["step 1", "\"greet\"", "\"hello\"", "good bye"] {
        assert!(error.message.contains(part), "{}", error.message);
    }
}

#[tokio::test]
async fn what_follows_the_last_step() {
    let steps = |after: &str| format!("name = 'x'\nafter = '{after}'\n[[step]]\ncall = [{{tool = 'shell'}}]");
    let mut request = request(vec![user("go")]);
    let answers = converse(&mut scripted(&steps("repeat")), &mut request, 50).await.unwrap();
    assert_eq!(answers.len(), 50, "for ever");
    let ids: std::collections::HashSet<_> =
        answers.iter().flat_map(|answer| answer.tool_calls()).map(|call| &call.provider_id).collect();
    assert_eq!(ids.len(), 50);
    let error = ask(&mut scripted(&steps("fail")), &request).await.0.unwrap_err();
    assert!(error.message.contains("was asked for another"), "{}", error.message);
    assert!(ask(&mut scripted(&steps("silence")), &request).await.0.unwrap().blocks.is_empty());
}

#[tokio::test]
async fn answers_without_calls_count_too() {
    let mut model = scripted(
        "name = 'x'\n[[step]]\ntext = 'a'\n[[step]]\ntext = 'b'\n[[step]]\ncall=[{tool='t'}]\n[[step]]\ntext='d'\n[[step]]\ntext='e'",
    );
    let mut request = request(vec![user("go")]);
    for expected in ["a", "b", "", "d", "e"] {
        let answer = ask(&mut model, &request).await.0.unwrap();
        assert_eq!(answer.text(), expected);
        request.messages.push(Arc::new(Message { role: Role::Assistant, blocks: answer.blocks }));
        request.messages.push(Arc::new(Message { role: Role::User, blocks: vec![Block::text("go on")] }));
    }
}

#[tokio::test]
async fn overload_without_end_is_a_failure() {
    let steps = "name = 'x'\n[[step]]\nfault = { kind = 'overload', times = 99 }\ntext = 'a'";
    let error = ask(&mut scripted(steps), &request(vec![user("go")])).await.0.unwrap_err();
    assert_eq!(error.kind, ModelFailure::Unavailable);
}
