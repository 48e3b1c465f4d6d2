//! Servers that hang, flood, die and lie, at the other end of a pipe.

use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, WriteHalf, split},
    task::JoinHandle,
};

#[path = "hostile_beside.rs"]
mod beside;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a server sends for a request: lines, or nothing more at all.
enum Says {
    Lines(Vec<String>),
    /// The same, with so much time before each.
    Slowly(Duration, Vec<String>),
    Dies,
}

fn result(id: &Value, result: Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()
}

fn tools(names: &[&str]) -> Value {
    let tools = names.iter();
    json!(
        tools
            .map(|name| json!({"name": name, "description": "does", "inputSchema": {"type": "object"}}))
            .collect::<Vec<_>>()
    )
}

/// A server of the revision with a handshake, which answers what comes after that by `behave`.
async fn server(
    behave: impl Fn(&str, &Value) -> Option<Says> + Send + 'static,
) -> (Result<Client, McpError>, JoinHandle<Vec<Value>>) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let task = tokio::spawn(run(theirs, behave));
    let (read, write) = split(ours);
    (Client::connect(read, write, PATIENCE).await, task)
}

async fn run(
    stream: DuplexStream,
    behave: impl Fn(&str, &Value) -> Option<Says> + Send + 'static,
) -> Vec<Value> {
    let (read, mut write) = split(stream);
    let mut lines = BufReader::new(read).lines();
    let mut heard = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        let message: Value = serde_json::from_str(&line).unwrap();
        heard.push(message.clone());
        let method = message["method"].as_str().unwrap_or_default();
        match behave(method, &message) {
            Some(Says::Dies) => break,
            Some(Says::Slowly(before, lines)) => {
                for line in lines {
                    tokio::time::sleep(before).await;
                    // Nobody may listen any more, and what is said then is read all the same.
                    say(&mut write, &line).await.ok();
                }
            }
            Some(Says::Lines(lines)) => {
                for line in lines {
                    if say(&mut write, &line).await.is_err() {
                        return heard;
                    }
                }
            }
            None if method == "initialize" => {
                let info = json!({"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
                    "serverInfo": {"name": "x", "version": "1"}});
                say(&mut write, &result(&message["id"], info)).await.unwrap();
            }
            None if method == "server/discover" => {
                let none = json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no such method"}});
                say(&mut write, &none.to_string()).await.unwrap();
            }
            None => {}
        }
    }
    heard
}

async fn say(write: &mut WriteHalf<DuplexStream>, line: &str) -> std::io::Result<()> {
    write.write_all(line.as_bytes()).await?;
    write.write_all(b"\n").await
}

fn on(
    wanted: &'static str,
    answer: impl Fn(&Value) -> Says + Send + 'static,
) -> impl Fn(&str, &Value) -> Option<Says> + Send {
    move |method, message| (method == wanted).then(|| answer(message))
}

async fn called(answer: impl Fn(&Value) -> Says + Send + 'static) -> Result<Answer, McpError> {
    let (client, _) = server(on("tools/call", answer)).await;
    client.unwrap().call("x", JsonObject::new(), &|_| {}).await
}

#[tokio::test]
async fn an_honest_server_is_used() {
    let honest = |method: &str, message: &Value| {
        let id = &message["id"];
        Some(Says::Lines(vec![match method {
            "tools/list" if message["params"]["cursor"].is_null() => {
                result(id, json!({"tools": tools(&["b"]), "nextCursor": "2"}))
            }
            "tools/list" => result(id, json!({"tools": tools(&["a"])})),
            "tools/call" => {
                assert_eq!(message["params"]["arguments"]["q"], "x");
                result(id, json!({"content": [{"type": "text", "text": "found"}]}))
            }
            _ => return None,
        }]))
    };
    let (client, _) = server(honest).await;
    let client = client.unwrap();
    let (catalogue, left_out) = client.catalogue(Beside::default()).await.unwrap();
    assert_eq!(catalogue.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(left_out.is_empty());
    let arguments = json!({"q": "x"}).as_object().unwrap().clone();
    let answer = client.call("a", arguments, &|_| {}).await.unwrap();
    assert_eq!(answer, Answer { text: "found".into(), ..Answer::default() });
    client.close().await;
}

#[tokio::test]
async fn a_list_without_end_is_ended() {
    let loops = on("tools/list", |message| {
        Says::Lines(vec![result(&message["id"], json!({"tools": tools(&["a"]), "nextCursor": "again"}))])
    });
    let endless = on("tools/list", |message| {
        let next = message["id"].to_string() + "x";
        Says::Lines(vec![result(&message["id"], json!({"tools": [], "nextCursor": next}))])
    });
    let (client, _) = server(loops).await;
    assert_eq!(
        client.unwrap().catalogue(Beside::default()).await,
        Err(McpError::Nonsense("its list has no end".into()))
    );
    let (client, _) = server(endless).await;
    assert_eq!(
        client.unwrap().catalogue(Beside::default()).await,
        Err(McpError::Nonsense("its list has no end".into()))
    );
    let names: Vec<String> = (0..=MAX_TOOLS).map(|number| format!("t{number}")).collect();
    let many = on("tools/list", move |message| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Says::Lines(vec![result(&message["id"], json!({"tools": tools(&names)}))])
    });
    let (client, _) = server(many).await;
    assert!(matches!(client.unwrap().catalogue(Beside::default()).await, Err(McpError::Nonsense(_))));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_not_waited_for() {
    let hung = called(|_| Says::Lines(Vec::new())).await;
    assert_eq!(hung, Err(McpError::TimedOut(PATIENCE)));
    let (client, _) = server(|_, _| Some(Says::Lines(Vec::new()))).await;
    assert!(matches!(client.err(), Some(McpError::TimedOut(_) | McpError::NoProtocol(_))));
    // It speaks, and never says what it has.
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(run(theirs, |_, _| None));
    let (read, write) = split(ours);
    let start = PATIENCE / 10;
    let begins = Box::pin(Client::connect(read, write, PATIENCE));
    let introduced = Client::introduced(start, Beside::default(), begins).await;
    assert_eq!(introduced.err(), Some(McpError::TimedOut(start)));
}

#[tokio::test]
async fn a_server_that_dies_is_told_of() {
    assert!(matches!(called(|_| Says::Dies).await, Err(McpError::Ended(_))));
    let (client, _) = server(|_, _| Some(Says::Dies)).await;
    assert!(matches!(client.err(), Some(McpError::NoProtocol(_))));
}

#[tokio::test]
async fn a_flood_ends_the_connection() {
    let log = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}});
    let flood = called(move |_| Says::Lines(vec![log.to_string(); 6_000])).await;
    assert!(matches!(&flood, Err(McpError::Ended(why)) if why.contains("messages")), "{flood:?}");
    let nothing = called(|_| Says::Lines(vec![String::new(); 6_000])).await;
    assert!(matches!(&nothing, Err(McpError::Ended(why)) if why.contains("messages")), "{nothing:?}");
    let blank = called(|_| Says::Lines(vec![" ".repeat(7 << 20); 5])).await;
    assert!(matches!(&blank, Err(McpError::Ended(why)) if why.contains("32 MiB")), "{blank:?}");
    let noise = called(|_| Says::Lines(vec!["this is no message".into(); 100])).await;
    assert!(matches!(&noise, Err(McpError::Ended(why)) if why.contains("no messages")), "{noise:?}");
    let giant = called(|_| Says::Lines(vec!["x".repeat(9 << 20)])).await;
    assert!(matches!(&giant, Err(McpError::Ended(why)) if why.contains("MiB")), "{giant:?}");
}

#[tokio::test]
async fn answers_that_are_none_are_not_waited_for() {
    for lie in [json!(7), json!({"content": "text"}), json!({"content": [{"type": "text"}]}), json!(null)] {
        let said = lie.clone();
        let answer = called(move |message| Says::Lines(vec![result(&message["id"], said.clone())])).await;
        let nothing = answer.as_ref().is_ok_and(|answer| answer.text.is_empty());
        assert!(
            nothing || matches!(answer, Err(McpError::Server { .. } | McpError::Nonsense(_))),
            "{lie}: {answer:?}"
        );
    }
    let deep = "[".repeat(5_000) + &"]".repeat(5_000);
    // Less than a MiB of text, and a hundred times that as maps.
    let wide = format!(r#"{{"content":[],"structuredContent":{{"a":[{}0]}}}}"#, r#"{"":0},"#.repeat(100_000));
    for (much, wrong) in [(deep, "form"), (wide, "more things")] {
        let answer = called(move |message| {
            Says::Lines(vec![format!(r#"{{"jsonrpc":"2.0","id":{},"result":{much}}}"#, message["id"])])
        });
        let answer = answer.await;
        let told =
            matches!(&answer, Err(McpError::Server { code: -32700, message }) if message.contains(wrong));
        assert!(told, "{wrong}: {answer:?}");
    }
    let refused = called(|message| {
        let error = json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32000, "message": "x".repeat(9_000)}});
        Says::Lines(vec![error.to_string()])
    });
    assert!(
        matches!(refused.await, Err(McpError::Server { code: -32000, message }) if message.len() == 2_000)
    );
}

#[tokio::test]
async fn nothing_of_the_clients_side_is_offered() {
    let asks = |method: &str, message: &Value| {
        if method == "initialize" {
            assert_eq!(message["params"]["capabilities"], json!({}));
        }
        if method != "tools/call" {
            return None;
        }
        let ask = |id: &str, method: &str, params: Value| {
            json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
        };
        let sampling = json!({"messages": [], "maxTokens": 10});
        let form = json!({"message": "password?", "requestedSchema": {"type": "object", "properties": {}}});
        Some(Says::Lines(vec![
            ask("s", "sampling/createMessage", sampling),
            ask("r", "roots/list", json!({})),
            ask("e", "elicitation/create", form),
            ask("p", "ping", json!({})),
        ]))
    };
    let (client, server) = server(asks).await;
    let client = client.unwrap();
    let call = client.call("x", JsonObject::new(), &|_| {});
    // The server says nothing more: what it heard until the call is called off is what counts.
    let refused = async {
        while client.refused().len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = call => panic!("nobody answered"),
        () = refused => {}
    }
    assert_eq!(client.refused().len(), 3);
    client.close().await;
    let heard = server.await.unwrap();
    let answer = |id: &str| heard.iter().find(|message| message["id"] == id && message["method"].is_null());
    for id in ["s", "r", "e"] {
        assert_eq!(
            answer(id).map(|answer| &answer["error"]["code"]),
            Some(&json!(-32601)),
            "{id}: {heard:?}"
        );
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_is_called_off() {
    let (client, server) = server(|method, message| {
        // Whoever hears that ends, and so this test.
        if method == "notifications/cancelled" {
            return Some(Says::Dies);
        }
        let token = &message["params"]["_meta"]["progressToken"];
        let told = json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": token, "progress": 1, "total": 3, "message": "m".repeat(900)}});
        (method == "tools/call").then(|| Says::Lines(vec![told.to_string()]))
    })
    .await;
    let client = client.unwrap();
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let sender = Mutex::new(sender);
    let tell = |progress: &Progress| drop(sender.lock().unwrap().send(progress.clone()));
    tokio::select! {
        _ = client.call("x", JsonObject::new(), &tell) => panic!("nobody answered"),
        progress = told.recv() => {
            let progress = progress.unwrap();
            assert_eq!((progress.total, progress.message.map(|text| text.len())), (Some(3.0), Some(200)));
        }
    }
    let heard = server.await.unwrap();
    assert!(heard.iter().any(|message| message["method"] == "notifications/cancelled"), "{heard:?}");
}
