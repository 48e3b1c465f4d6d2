//! Providers that fail, each in its own words.

use std::{sync::Arc, time::Duration};

use cofferdam_domain::{event::ModelFailure, message::Family};
use cofferdam_model::{ModelsConfig, Progress, Transcript};
use cofferdam_testkit::{FakeProvider, Fault};

use crate::support::{FAMILIES, ask, config, converse, env, model, model_name, request, user};

const ONE: &str = "name = 'one'\nafter = 'repeat'\n[[step]]\ntext = 'hello there, this is an answer'";

async fn fake(family: Family, faults: &[Fault]) -> FakeProvider {
    let fake = FakeProvider::start(family, Transcript::parse(ONE).unwrap()).await.unwrap();
    fake.inject(faults.iter().cloned());
    fake
}

fn retries(heard: &[Progress]) -> usize {
    heard.iter().filter(|progress| matches!(progress, Progress::Retry { .. })).count()
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    for family in FAMILIES {
        for fault in [
            Fault::RateLimited("0".into()),
            Fault::ServerError,
            Fault::Overloaded,
            Fault::Cut,
            Fault::Stall,
            Fault::ErrorInStream,
            Fault::Garbage,
        ] {
            let fake = fake(family, &[fault.clone(), fault.clone()]).await;
            let mut model = model(&config(&fake, family, model_name(family))).await;
            let (answer, heard) = ask(model.as_mut(), &request(vec![user("go")])).await;
            assert_eq!(answer.unwrap().text(), "hello there, this is an answer", "{family:?} {fault:?}");
            assert_eq!((retries(&heard), fake.requests().len()), (2, 3), "{family:?} {fault:?}");
            let bodies: Vec<_> = fake.requests().into_iter().map(|request| request.body).collect();
            assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "a retry sends the same bytes");
            fake.assert_clean();
        }
    }
}

#[tokio::test]
async fn what_does_not_pass_is_told_at_once() {
    let cases = [
        (Fault::Unauthorised, ModelFailure::Unauthorised, "FAKE_KEY"),
        (Fault::NoSuchModel, ModelFailure::Rejected, "cofferdam models"),
        (Fault::ContextOverflow, ModelFailure::ContextOverflow, "does not fit"),
        (Fault::Redirect, ModelFailure::Rejected, "base_url"),
        (Fault::WebPage, ModelFailure::Rejected, "base_url"),
        (Fault::OutOfCredit, ModelFailure::Unavailable, "models.fallback"),
    ];
    for family in FAMILIES {
        for (fault, kind, remedy) in &cases {
            let fake = fake(family, std::slice::from_ref(fault)).await;
            let mut model = model(&config(&fake, family, model_name(family))).await;
            let (answer, heard) = ask(model.as_mut(), &request(vec![user("go")])).await;
            let error = answer.unwrap_err();
            assert_eq!((error.kind, retries(&heard)), (*kind, 0), "{family:?} {fault:?} {}", error.message);
            assert!(error.message.contains(remedy), "{family:?} {fault:?} {}", error.message);
            assert!(!error.message.contains("sk-fake"), "the key is told: {}", error.message);
        }
    }
}

#[tokio::test]
async fn tries_are_bounded() {
    let fake = fake(Family::Anthropic, &[const { Fault::ServerError }; 9]).await;
    let mut model = model(&config(&fake, Family::Anthropic, "claude-opus-5-5")).await;
    let (answer, heard) = ask(model.as_mut(), &request(vec![user("go")])).await;
    let error = answer.unwrap_err();
    assert_eq!((error.kind, retries(&heard), fake.requests().len()), (ModelFailure::Unavailable, 2, 3));
    assert!(error.message.contains("3 tries"), "{}", error.message);
}

#[tokio::test]
async fn the_provider_is_left_alone_for_as_long_as_it_asks() {
    let fake = fake(Family::OpenaiChat, &[Fault::RateLimited("0.4".into())]).await;
    let mut model = model(&config(&fake, Family::OpenaiChat, "local")).await;
    ask(model.as_mut(), &request(vec![user("go")])).await.0.unwrap();
    let requests = fake.requests();
    assert!(requests[1].at - requests[0].at >= Duration::from_millis(400));
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    let gone = fake(Family::OpenaiChat, &[]).await;
    let config = config(&gone, Family::OpenaiChat, "local");
    drop(gone);
    let mut model = model(&config).await;
    let (answer, heard) = ask(model.as_mut(), &request(vec![user("go")])).await;
    let error = answer.unwrap_err();
    assert_eq!((error.kind, retries(&heard)), (ModelFailure::Unavailable, 2));
    assert!(error.message.contains("cannot connect to http://127.0.0.1"), "{}", error.message);
}

#[tokio::test]
async fn a_slow_stream_is_no_fault() {
    for family in FAMILIES {
        let fake = fake(family, &[Fault::SlowDrip]).await;
        let mut model = model(&config(&fake, family, model_name(family))).await;
        let (answer, heard) = ask(model.as_mut(), &request(vec![user("go")])).await;
        assert_eq!(
            (answer.unwrap().text().as_str(), retries(&heard)),
            ("hello there, this is an answer", 0),
            "{family:?}"
        );
    }
}

/// A provider that no longer takes the reasoning it once gave gets the conversation without it.
#[tokio::test]
async fn reasoning_that_is_refused_is_left_out() {
    let steps = "name = 'x'\n[[step]]\nreasoning = 'secret thought'\ncall = [{tool = 'shell'}]\n[[step]]\nreasoning = 'another'\ncall = [{tool = 'shell'}]\n[[step]]\ntext = 'done'";
    for (family, name) in [
        (Family::Anthropic, "claude-haiku-4-5"),
        (Family::Anthropic, "claude-opus-5-5"),
        (Family::OpenaiResponses, "gpt-6.1-sol"),
    ] {
        let fake = FakeProvider::start(family, Transcript::parse(steps).unwrap()).await.unwrap();
        let mut model = model(&config(&fake, family, name)).await;
        let mut request = request(vec![user("go")]);
        converse(model.as_mut(), &mut request, 1).await.unwrap();
        fake.inject([Fault::BadReasoning]);
        converse(model.as_mut(), &mut request, 5).await.unwrap();
        fake.assert_clean();
        let bodies: Vec<String> = fake
            .requests()
            .iter()
            .map(|request| String::from_utf8_lossy(&request.body).into_owned())
            .collect();
        let has: Vec<bool> = bodies.iter().map(|body| body.contains("secret thought")).collect();
        assert_eq!(has, [false, true, false, false], "{name}");
        assert!(bodies[3].contains("another"), "later reasoning is sent again");
        assert!(!bodies[3].contains(r#""summary":"auto""#), "summaries are not asked for again");
    }
}

#[tokio::test]
async fn another_model_steps_in_and_stays_for_a_while() {
    let first = fake(Family::Anthropic, &[const { Fault::Overloaded }; 3]).await;
    let second = fake(Family::OpenaiResponses, &[]).await;
    let text = format!(
        "default = 'one'\nfallback = ['keyless', 'two/gpt-6.1-sol']\n[retry]\ntries = 3\nfirst_delay_ms = 1\n\
         [providers.one]\nkind = 'anthropic'\nbase_url = '{}'\nkey_env = 'FAKE_KEY'\ndefault = 'claude-opus-5-5'\n\
         [providers.two]\nkind = 'openai_responses'\nbase_url = '{}'\nkey_env = 'FAKE_KEY'\n\
         [providers.keyless]\nkind = 'openai_chat'\nbase_url = 'https://x.invalid'\nkey_env = 'NOT_SET'\ndefault = 'm'",
        first.base_url(),
        second.base_url()
    );
    let config: ModelsConfig = toml::from_str(&text).unwrap();
    let mut model =
        cofferdam_model::open(&config, &env, None, Arc::new(cofferdam_model::NoBlobs)).await.unwrap();
    let (answer, heard) = ask(model.as_mut(), &request(vec![user("go")])).await;
    let answer = answer.unwrap();
    // It costs what the model that answered charges, not what the one that was asked for does.
    let rows = cofferdam_model::list(&config, &env).await.unwrap();
    let prices = |name: &str| rows.iter().find(|row| row.name == name).and_then(|row| row.prices).unwrap();
    assert_eq!(answer.cost, Some(prices("openai/gpt-6.1-sol").cost(&answer.usage)));
    assert_ne!(answer.cost, Some(prices("anthropic/claude-opus-5-5").cost(&answer.usage)));
    let named = heard.iter().any(|progress| matches!(progress, Progress::Retry { fallback: Some(name), .. } if name == "two/gpt-6.1-sol"));
    assert!(named, "{heard:?}");
    ask(model.as_mut(), &request(vec![user("go")])).await.0.unwrap();
    assert_eq!((first.requests().len(), second.requests().len()), (3, 2));
    second.assert_clean();
}

#[tokio::test]
async fn the_connection_is_kept() {
    let fake = fake(Family::OpenaiChat, &[]).await;
    let mut model = model(&config(&fake, Family::OpenaiChat, "local")).await;
    for _ in 0..20 {
        ask(model.as_mut(), &request(vec![user("go")])).await.0.unwrap();
    }
    let requests = fake.requests();
    assert!(requests.iter().all(|request| request.peer == requests[0].peer), "{requests:?}");
}
