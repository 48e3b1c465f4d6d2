//! A real model, where a llama.cpp server is at hand: set `COFFERDAM_LLAMA_URL` to its address
//! (`http://127.0.0.1:8080`). It speaks three of the four formats.

use std::{env, sync::Arc};

use cofferdam_domain::event::ModelFailure;
use cofferdam_model::{ModelsConfig, NoBlobs, open};

use crate::support::{ask, request, user};

#[tokio::test]
async fn a_real_model_answers_or_fails_in_good_order() {
    let Ok(url) = env::var("COFFERDAM_LLAMA_URL") else {
        eprintln!("SKIPPED: no real model: set COFFERDAM_LLAMA_URL to the address of a llama.cpp server");
        return;
    };
    for kind in ["openai_chat", "openai_responses", "anthropic"] {
        let text = format!(
            "[retry]\ntries = 1\n[providers.real]\nkind = '{kind}'\nbase_url = '{}/v1'\ndefault = 'local'",
            url.trim_end_matches('/')
        );
        let config: ModelsConfig = toml::from_str(&text).unwrap();
        let mut model = open(&config, &|_| None, None, Arc::new(NoBlobs)).await.unwrap();
        let mut request =
            request(vec![user("List the files of this folder: call the tool shell with the command ls.")]);
        request.max_output_tokens = 64;
        match ask(model.as_mut(), &request).await {
            (Ok(answer), heard) => {
                eprintln!("{kind}: {:?} {:?}", answer.stop, answer.blocks);
                assert!(!answer.blocks.is_empty() && !heard.is_empty(), "{kind}");
                assert!(answer.usage.output > 0 && answer.usage.prompt() > 0, "{kind} {:?}", answer.usage);
                // Small models write the call into their text; that counts in every format.
                assert!(answer.tool_calls().all(|call| !call.provider_id.is_empty()), "{kind}");
            }
            (Err(error), _) => {
                assert!(matches!(error.kind, ModelFailure::Unavailable), "{kind}: {error}");
                eprintln!("{kind}: {error}");
            }
        }
    }
}
