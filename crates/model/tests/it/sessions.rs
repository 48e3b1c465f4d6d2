//! A session of every kind of answer, in every format.

use cofferdam_domain::{
    Block, StopReason, ToolCall,
    message::{Family, Opaque},
};
use cofferdam_model::{Progress, Transcript};
use cofferdam_testkit::FakeProvider;
use serde_json::Value;

use crate::support::{FAMILIES, ask, config, converse, model, model_name, request, user};

const TRANSCRIPT: &str = r#"
name = "all kinds"

[[step]]
expect.contains = ["fix it"]
reasoning = "I should look. 「うん」"
text = "Let me see."
call = [{ tool = "shell", args = { command = "ls" } }, { tool = "shell", args = { command = "screenshot" } }]

[[step]]
expect.contains = ["result of shell"]
reasoning = "[redacted] hidden"
call = [{ tool = "no such tool!", raw = '{"command": "cut o' }]

[[step]]
reasoning = "And now?"
call = [{ tool = "edit", json = '{"z": 1, "a": "b"}' }]

[[step]]
text = "All done.\nBye 👋"
"#;

async fn played(family: Family, name: &str) -> (FakeProvider, Vec<cofferdam_domain::Answer>) {
    let fake = FakeProvider::start(family, Transcript::parse(TRANSCRIPT).unwrap()).await.unwrap();
    let mut model = model(&config(&fake, family, name)).await;
    let mut request = request(vec![user("fix it")]);
    let answers = converse(model.as_mut(), &mut request, 10).await;
    fake.assert_clean();
    (fake, answers.unwrap())
}

#[tokio::test]
async fn what_a_model_says_arrives_as_it_was_said() {
    for family in FAMILIES {
        let (_fake, answers) = played(family, model_name(family)).await;
        assert_eq!(answers.len(), 4, "{family:?}");
        let calls = |at: usize| answers[at].tool_calls().collect::<Vec<&ToolCall>>();
        assert_eq!(calls(0)[0].object().unwrap()["command"], "ls", "{family:?}");
        assert_eq!((calls(0).len(), calls(0)[1].name.as_str()), (2, "shell"));
        assert_eq!(answers[0].text(), "Let me see.");
        let thought = answers[0].blocks.iter().find_map(|block| match block {
            Block::Reasoning(reasoning) => Some(reasoning.text.as_str()),
            Block::Text { .. } | Block::ToolCall(_) | Block::ToolResult(_) | Block::Image(_) => None,
        });
        assert_eq!(thought, Some("I should look. 「うん」"), "{family:?}");
        if family != Family::Gemini {
            assert_eq!(calls(1)[0].arguments, "{\"command\": \"cut o", "{family:?}");
            assert_eq!(calls(2)[0].arguments, r#"{"a":"b","z":1}"#);
        }
        assert_eq!(
            (answers[2].stop.clone(), answers[3].stop.clone()),
            (StopReason::ToolUse, StopReason::EndTurn)
        );
        assert_eq!(answers[3].text(), "All done.\nBye 👋");
        assert_eq!(answers[3].model, "all kinds");
        let usage = answers[3].usage;
        assert!(
            usage.input > 0 && usage.cache_read > usage.input && usage.output > 0,
            "{family:?} {usage:?}"
        );
    }
}

#[tokio::test]
async fn every_request_extends_the_one_before() {
    for family in FAMILIES {
        let (fake, _) = played(family, model_name(family)).await;
        let bodies: Vec<_> = fake.requests().into_iter().map(|request| request.body).collect();
        assert_eq!(bodies.len(), 4);
        for pair in bodies.windows(2) {
            let shared = pair[0].iter().zip(&pair[1]).take_while(|(one, other)| one == other).count();
            let tail = pair[0].len() - shared;
            assert!(tail < 260, "{family:?}: {tail} bytes of a request changed in the next");
            let messages = |body: &[u8]| {
                let mut body: Value = serde_json::from_slice(body).unwrap();
                ["messages", "input", "contents"]
                    .iter()
                    .find_map(|name| Some(body.get_mut(*name)?.take()))
                    .unwrap()
            };
            let unmarked = |value: Value| {
                let text = value.to_string().replace(r#""cache_control":{"type":"ephemeral"},"#, "");
                serde_json::from_str::<Vec<Value>>(&text).unwrap()
            };
            let (before, after) = (unmarked(messages(&pair[0])), unmarked(messages(&pair[1])));
            assert_eq!(before[..], after[..before.len()], "{family:?}");
        }
    }
}

#[tokio::test]
async fn claude_that_thinks_as_it_likes() {
    let (fake, _) = played(Family::Anthropic, "claude-opus-5-5").await;
    let body: Value = serde_json::from_slice(&fake.requests()[3].body).unwrap();
    assert_eq!(body["thinking"], serde_json::json!({"type": "adaptive", "display": "summarized"}));
    let kinds: Vec<&str> = body["messages"][1]["content"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|block| block["type"].as_str())
        .collect();
    assert_eq!(kinds, ["thinking", "text", "tool_use", "tool_use"]);
    assert_eq!(body["messages"][3]["content"][0]["type"], "redacted_thinking");
    // Tools, system, and the last block of the last message carry the cache marks.
    let messages = body["messages"].as_array().unwrap();
    let last = messages.last().unwrap()["content"].as_array().unwrap().last().unwrap();
    for marked in [&body["tools"][1], &body["system"][0], last] {
        assert_eq!(marked["cache_control"]["type"], "ephemeral");
    }
    assert_eq!(body.to_string().matches("cache_control").count(), 3);
}

#[tokio::test]
async fn a_picture_reaches_the_model() {
    for family in FAMILIES {
        let (fake, _) = played(family, model_name(family)).await;
        let body = fake.requests()[1].body.clone();
        // base64 of the picture in support.rs.
        assert!(String::from_utf8_lossy(&body).contains("bm90IHJlYWxseSBhIHBpY3R1cmU="), "{family:?}");
    }
}

#[tokio::test]
async fn the_phase_of_a_message_goes_back_to_openai() {
    let (fake, _) = played(Family::OpenaiResponses, "gpt-6.1-sol").await;
    let body: Value = serde_json::from_slice(&fake.requests()[1].body).unwrap();
    let kinds: Vec<&str> =
        body["input"].as_array().unwrap().iter().filter_map(|item| item["type"].as_str()).collect();
    assert_eq!(kinds[..5], ["message", "reasoning", "message", "function_call", "function_call"]);
    assert_eq!(body["input"][2]["phase"], "commentary");
}

/// History of another family, as after a fallback: its reasoning stays behind, everything else is understood.
#[tokio::test]
async fn history_of_one_family_is_accepted_by_the_others() {
    for from in FAMILIES {
        let fake = FakeProvider::start(from, Transcript::parse(TRANSCRIPT).unwrap()).await.unwrap();
        let mut first = model(&config(&fake, from, model_name(from))).await;
        let mut request = request(vec![user("fix it")]);
        converse(first.as_mut(), &mut request, 2).await.unwrap();
        for to in FAMILIES.into_iter().filter(|to| *to != from) {
            let fake = FakeProvider::start(to, Transcript::parse(TRANSCRIPT).unwrap()).await.unwrap();
            let mut second = model(&config(&fake, to, model_name(to))).await;
            let answers = converse(second.as_mut(), &mut request.clone(), 10).await;
            fake.assert_clean();
            assert_eq!(answers.unwrap().len(), 2, "{from:?} to {to:?}");
        }
    }
}

/// What a log may hold and an API would refuse as it stands.
#[tokio::test]
async fn odd_history_is_brought_into_an_acceptable_form() {
    for family in FAMILIES {
        let transcript =
            Transcript::parse("name = 'x'\n[[step]]\ntext = 'a'\n[[step]]\ntext = 'b'\n[[step]]\ntext = 'c'")
                .unwrap();
        let fake = FakeProvider::start(family, transcript).await.unwrap();
        let mut model = model(&config(&fake, family, model_name(family))).await;
        let mut odd = request(vec![user("go")]);
        // An empty answer, blank texts, and opaque data that is not what it should be.
        let opaque = |json: &str| Some(Opaque { family, json: json.into() });
        let reasoning = |json: &str| {
            Block::Reasoning(cofferdam_domain::message::Reasoning { text: "t".into(), opaque: opaque(json) })
        };
        let assistant = |blocks| {
            std::sync::Arc::new(cofferdam_domain::Message { role: cofferdam_domain::Role::Assistant, blocks })
        };
        odd.messages.push(assistant(vec![]));
        odd.messages.push(user(" "));
        odd.messages.push(assistant(vec![reasoning("not json"), reasoning("\"text\""), Block::text("said")]));
        odd.messages.push(user("go on"));
        let (answer, _) = ask(model.as_mut(), &odd).await;
        fake.assert_clean();
        assert!(answer.is_ok(), "{family:?}");
    }
}

#[tokio::test]
async fn an_answer_is_heard_while_it_comes() {
    for family in FAMILIES {
        let fake = FakeProvider::start(family, Transcript::parse(TRANSCRIPT).unwrap()).await.unwrap();
        let mut model = model(&config(&fake, family, model_name(family))).await;
        let (_, heard) = ask(model.as_mut(), &request(vec![user("fix it")])).await;
        let text: String = heard
            .iter()
            .filter_map(|progress| match progress {
                Progress::Text(text) => Some(text.as_str()),
                Progress::Reasoning(_) | Progress::Tool(_) | Progress::Retry { .. } => None,
            })
            .collect();
        assert_eq!(text, "Let me see.", "{family:?}");
        assert!(heard.contains(&Progress::Tool("shell".into())), "{family:?}");
        assert!(heard.iter().any(|progress| matches!(progress, Progress::Reasoning(_))), "{family:?}");
    }
}

#[tokio::test]
async fn a_new_epoch_starts_over_and_so_does_another_conversation() {
    let steps = "name = 'x'\n[[step]]\ntext = 'a'\n[[step]]\ntext = 'b'";
    for (family, epoch) in FAMILIES.into_iter().flat_map(|family| [(family, 1), (family, 0)]) {
        let fake = FakeProvider::start(family, Transcript::parse(steps).unwrap()).await.unwrap();
        let mut model = model(&config(&fake, family, model_name(family))).await;
        ask(model.as_mut(), &request(vec![user("something long ago")])).await.0.unwrap();
        let mut later = request(vec![user("what is left of it")]);
        later.epoch = epoch;
        ask(model.as_mut(), &later).await.0.unwrap();
        let body = fake.requests()[1].body.clone();
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains("what is left of it") && !body.contains("long ago"), "{family:?}");
    }
}

#[tokio::test]
async fn stop_reasons() {
    let steps = "name = 'x'\n[[step]]\ntext = 'half a sen'\nstop = 'max_tokens'\n[[step]]\ntext = 'no'\nstop = 'refusal'";
    for family in FAMILIES {
        let fake = FakeProvider::start(family, Transcript::parse(steps).unwrap()).await.unwrap();
        let mut model = model(&config(&fake, family, model_name(family))).await;
        let mut request = request(vec![user("go")]);
        let answers = converse(model.as_mut(), &mut request, 1).await.unwrap();
        assert_eq!(answers[0].stop, StopReason::MaxTokens, "{family:?}");
        request.messages.push(user("go on"));
        let answers = converse(model.as_mut(), &mut request, 1).await.unwrap();
        assert!(matches!(answers[0].stop, StopReason::Refusal { .. }), "{family:?} {:?}", answers[0].stop);
    }
}
