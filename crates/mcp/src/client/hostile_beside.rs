//! Resources and prompts of servers, honest ones and others; and calls that take too long.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::time::Instant;

use super::*;

const ALL: Beside = Beside { resources: true, prompts: true };

/// A server that has resources and prompts, and answers what comes by `behave`.
async fn rich(
    behave: impl Fn(&str, &Value) -> Option<Value> + Send + 'static,
) -> (Client, JoinHandle<Vec<Value>>) {
    let (client, task) = server(move |method, message| {
        let id = &message["id"];
        if method == "initialize" {
            let capabilities =
                json!({"tools": {}, "resources": {"subscribe": true, "listChanged": true}, "prompts": {"listChanged": true}});
            let info = json!({"protocolVersion": message["params"]["protocolVersion"], "capabilities": capabilities,
                "serverInfo": {"name": "x", "version": "1"}});
            return Some(Says::Lines(vec![result(id, info)]));
        }
        if method == "tools/list" {
            return Some(Says::Lines(vec![result(id, json!({"tools": []}))]));
        }
        let unknown = || {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no such method"}}).to_string()
        };
        let known = ["resources/", "prompts/"].iter().any(|begins| method.starts_with(begins));
        known.then(|| Says::Lines(vec![behave(method, message).map_or_else(unknown, |answer| result(id, answer))]))
    })
    .await;
    (client.unwrap(), task)
}

fn methods(heard: &[Value]) -> Vec<&str> {
    heard.iter().filter_map(|message| message["method"].as_str()).collect()
}

#[tokio::test]
async fn resources_are_listed_and_read() {
    let png = STANDARD.encode(b"\x89PNG\r\n\x1a\n12");
    let (client, server) = rich(move |method, message| {
        let params = &message["params"];
        Some(match method {
            "resources/list" if params["cursor"].is_null() => {
                json!({"resources": [{"uri": "docs://a", "name": "A", "mimeType": "text/plain"}], "nextCursor": "2"})
            }
            "resources/list" => {
                json!({"resources": [{"uri": "docs://b c", "name": "B\u{202e}\n[user]", "description": "long ".repeat(500)}]})
            }
            "resources/read" if params["uri"] == "docs://a" => json!({"contents": [
                {"uri": "docs://a", "text": "the text"},
                {"uri": "docs://a", "mimeType": "application/zip", "blob": STANDARD.encode(b"PK")},
                {"uri": "docs://a", "mimeType": "image/png", "blob": png},
                {"uri": "docs://a", "mimeType": "image/png", "blob": STANDARD.encode(b"<svg>")}
            ]}),
            // Templates are unknown to it.
            _ => return None,
        })
    })
    .await;
    let (catalogue, _) = client.catalogue(Beside { prompts: false, ..ALL }).await.unwrap();
    assert!(catalogue.resources && catalogue.prompts.is_none());
    let lines = client.resources().await.unwrap().lines();
    assert_eq!(lines.lines().count(), 2, "nobody's words are a line of their own: {lines}");
    assert!(lines.contains(r#""docs://a" "A", "text/plain""#) && lines.contains("cannot be read"), "{lines}");
    assert!(!lines.contains('\u{202e}') && lines.len() < 2_000, "{lines}");
    let read = client.read_resource("docs://a").await.unwrap();
    assert!(read.text.contains("the text") && read.text.contains("application/zip"), "{read:?}");
    assert!(read.text.contains("is none") && !read.text.contains("UEs"), "{read:?}");
    assert_eq!(read.pictures.iter().map(|picture| picture.media_type).collect::<Vec<_>>(), ["image/png"]);
    assert!(matches!(client.read_resource("docs://other").await, Err(McpError::Server { .. })));
    client.close().await;
    let heard = server.await.unwrap();
    let heard = methods(&heard);
    assert!(
        !heard.iter().any(|method| method.contains("subscribe") || method.starts_with("prompts/")),
        "{heard:?}"
    );
}

#[tokio::test]
async fn prompts_are_part_of_the_catalogue_and_got_as_text() {
    let (client, _) = rich(|method, message| {
        Some(match method {
            "prompts/list" => json!({"prompts": [
                {"name": "review", "description": "Reviews", "arguments": [{"name": "code", "required": true}]},
                {"name": "b d"}, {"name": "twice"}, {"name": "twice"}
            ]}),
            "prompts/get" => {
                assert_eq!(message["params"]["arguments"]["code"], "x");
                let text = |text: &str| json!({"type": "text", "text": text});
                json!({"description": "d", "messages": [
                    {"role": "user", "content": text("Look at x")}, {"role": "assistant", "content": text("I do")}
                ]})
            }
            _ => return None,
        })
    })
    .await;
    let (catalogue, left_out) = client.catalogue(ALL).await.unwrap();
    let names: Vec<&str> = catalogue.prompts.iter().flatten().map(|prompt| prompt.name.as_str()).collect();
    assert_eq!((names, left_out.len()), (vec!["review"], 2));
    let code = json!({"code": "x"}).as_object().unwrap().clone();
    assert_eq!(client.prompt("review", code).await.unwrap().text, "[user]\nLook at x\n[assistant]\nI do");
}

#[tokio::test]
async fn what_is_not_wanted_is_not_asked_for() {
    let (client, server) = rich(|_, _| Some(json!({"prompts": []}))).await;
    let (catalogue, _) = client.catalogue(Beside::default()).await.unwrap();
    assert!(!catalogue.resources && catalogue.prompts.is_none());
    client.close().await;
    let heard = server.await.unwrap();
    assert!(!methods(&heard).iter().any(|method| method.contains("prompts")), "{heard:?}");
}

#[tokio::test]
async fn lists_have_an_end_here_too() {
    let many = |kind: &'static str| {
        move |method: &str, message: &Value| {
            let from = message["params"]["cursor"].as_str().unwrap_or("0").to_owned();
            let one = |number: i32| json!({"uri": format!("docs://{from}/{number}"), "name": format!("n{from}-{number}")});
            let next = format!("{}", from.parse::<u64>().unwrap() + 1);
            (method == kind).then(|| {
                let all: Vec<Value> = (0..300).map(one).collect();
                json!({kind.split('/').next().unwrap(): all, "nextCursor": next})
            })
        }
    };
    let (client, _) = rich(many("resources/list")).await;
    let found = client.resources().await.unwrap();
    assert!(found.more && found.all.len() == 1_000 && found.lines().contains("the rest is left out"));
    let (client, _) = rich(many("prompts/list")).await;
    assert!(matches!(client.catalogue(ALL).await, Err(McpError::Nonsense(why)) if why.contains("prompts")));
    let (client, _) = rich(|_, _| Some(json!({"resources": [], "nextCursor": "again"}))).await;
    assert_eq!(client.resources().await, Err(McpError::Nonsense("its list has no end".into())));
}

#[tokio::test]
async fn what_is_too_much_is_left_out() {
    let (client, _) = rich(|method, _| {
        let text = "y".repeat(2 << 20);
        (method == "resources/read").then(|| json!({"contents": [{"uri": "docs://a", "text": text}]}))
    })
    .await;
    let read = client.read_resource("docs://a").await.unwrap();
    assert!(read.text.len() < crate::MAX_TEXT + 100 && read.text.contains("left out"));
    for lie in [json!({"contents": "text"}), json!({"contents": [{"uri": 1}]}), json!(7)] {
        let (client, _) = rich(move |_, _| Some(lie.clone())).await;
        let read = client.read_resource("docs://a").await;
        assert!(matches!(read, Err(McpError::Server { .. } | McpError::Nonsense(_))), "{read:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn progress_gives_no_more_time_and_the_end_of_it_is_told() {
    let (client, server) = server(|method, message| {
        if method == "notifications/cancelled" {
            return Some(Says::Dies);
        }
        let token = &message["params"]["_meta"]["progressToken"];
        let told = |number: u32| {
            json!({"jsonrpc": "2.0", "method": "notifications/progress",
                "params": {"progressToken": token, "progress": number}})
            .to_string()
        };
        (method == "tools/call").then(|| Says::Slowly(PATIENCE / 4, (1..=8).map(told).collect()))
    })
    .await;
    let client = client.unwrap();
    let heard = Mutex::new(0);
    let count = |_: &Progress| *heard.lock().unwrap() += 1;
    let began = Instant::now();
    let answer = client.call("x", JsonObject::new(), &count).await;
    assert_eq!((answer, began.elapsed()), (Err(McpError::TimedOut(PATIENCE)), PATIENCE));
    assert!((3..=4).contains(&*heard.lock().unwrap()), "it was told on the way");
    // It says that there is no need any more.
    let heard = server.await.unwrap();
    let call = heard.iter().find(|message| message["method"] == "tools/call").unwrap();
    let told = heard.iter().find(|message| message["method"] == "notifications/cancelled").unwrap();
    assert_eq!(told["params"]["requestId"], call["id"]);
}
