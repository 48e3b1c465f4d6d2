//! Credentials are added outside, where they belong, and do not come back.

use cofferdam_domain::egress::{EgressPolicy, Refusal, Scheme};
use cofferdam_egress::{
    Credential, CredentialHost, CredentialSource, Credentials, DoorwayOptions, HeaderFormat, Roots,
};
use http::{HeaderName, HeaderValue, Response};
use http_body_util::Full;

use crate::{
    host::{Authority, Got, Host},
    inside::{fetch, request, start_tls},
    scene::{Scene, rule},
};

const SECRET: &str = "ghs_S3cretValueThatNobodyInsideMaySee";

struct Setting {
    host: Host,
    scene: Scene,
    _folder: tempfile::TempDir,
}

/// A host that answers as told; a rule that adds a credential below `/with/`, and one that adds none below `/without/`.
async fn setting(answer: impl Fn(&Got) -> Response<Full<bytes::Bytes>> + Send + Sync + 'static) -> Setting {
    speaking(&["h2", "http/1.1"], answer).await
}

/// The same with a host that speaks these protocols.
async fn speaking(
    protocols: &[&str],
    answer: impl Fn(&Got) -> Response<Full<bytes::Bytes>> + Send + Sync + 'static,
) -> Setting {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, SECRET).unwrap();
    let host = Host::answering(Some(authority.vouch("a.example", protocols)), answer).await;
    let with = cofferdam_domain::egress::EgressRule {
        name: "with".into(),
        paths: vec!["/with/**".parse().unwrap()],
        credential: Some("token".into()),
        ..rule("a.example", Scheme::Https, host.address)
    };
    let without = cofferdam_domain::egress::EgressRule {
        name: "without".into(),
        paths: vec!["/without/**".parse().unwrap()],
        ..rule("a.example", Scheme::Https, host.address)
    };
    let credential = Credential {
        name: "token".into(),
        host: "a.example".parse().unwrap(),
        scheme: Scheme::Https,
        port: None,
        methods: vec!["GET".parse().unwrap()],
        paths: Vec::new(),
        header: HeaderName::from_static("authorization"),
        format: HeaderFormat::default(),
        placeholder: Vec::new(),
        source: CredentialSource::File(file),
    };
    let paths = serde_json::from_str(r#"["/with/**"]"#).unwrap();
    let credential = Credential { paths, ..credential };
    let tls = Roots { host: false, extra: authority.pem().into_bytes() }.tls().unwrap();
    let worker = CredentialHost { variables: Default::default(), tls };
    let credentials = Credentials::new(vec![credential], worker).unwrap();
    let policy = EgressPolicy { rules: vec![with, without], ..EgressPolicy::default() };
    let scene = Scene::with(policy, DoorwayOptions { credentials, ..DoorwayOptions::default() }, &authority);
    Setting { host, scene, _folder: folder }
}

impl Setting {
    async fn send(
        &self,
        method: &str,
        path: &str,
        two: bool,
    ) -> Result<Response<bytes::Bytes>, hyper::Error> {
        let protocols: &[&str] = if two { &["h2"] } else { &["http/1.1"] };
        let stream = self.scene.connect("a.example", 443).await;
        let stream = start_tls(&self.scene, stream, "a.example", protocols).await.unwrap();
        let mut request = request(method, "a.example", path, two, "");
        request.headers_mut().insert("authorization", "Bearer of-the-attacker".parse().unwrap());
        request.headers_mut().insert("accept-encoding", "gzip, br".parse().unwrap());
        request.headers_mut().insert("range", "bytes=0-3".parse().unwrap());
        for login in ["cookie", "private-token", "job-token", "x-api-key", "x-whatever"] {
            request.headers_mut().insert(login, "of-the-attacker".parse().unwrap());
        }
        request.headers_mut().insert("x-github-api-version", "2022-11-28".parse().unwrap());
        fetch(stream, two, request).await
    }
}

#[tokio::test]
async fn the_secret_is_added_only_where_it_belongs() {
    let setting = setting(|_| Response::new(Full::default())).await;
    for two in [true, false] {
        setting.send("GET", "/with/x", two).await.unwrap();
        let got = setting.host.got().pop().unwrap();
        assert_eq!(got.headers.get_all("authorization").iter().count(), 1);
        assert_eq!(got.headers["authorization"], format!("Bearer {SECRET}"));
        assert_eq!(got.headers["accept-encoding"], "identity");
        assert!(!got.headers.contains_key("range"));
        setting.send("GET", "/without/x", two).await.unwrap();
        let got = setting.host.got().pop().unwrap();
        assert!(!got.headers.contains_key("authorization"), "what the sandbox sent is taken away");
    }
    let passed = setting.scene.log.passed.lock().unwrap().clone();
    assert_eq!(passed[0].credential.as_deref(), Some("token"));
    assert_eq!(passed[1].credential, None);
    assert_eq!(setting.host.accepted(), 2, "requests with and without the key share no connection");
    // Permitted by the rule, but not by the credential.
    let answer = setting.send("POST", "/with/x", true).await.unwrap();
    assert_eq!(answer.headers()["cofferdam-refused"], "credential");
    assert_eq!(setting.host.got().len(), 4);
}

#[tokio::test]
async fn a_secret_that_comes_back_is_cut() {
    let plain = SECRET.to_owned();
    let base64 = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("x{SECRET}"))
    };
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    for form in [plain, base64, hex] {
        let body = format!("{}{form}{}", "y".repeat(100_000), "z".repeat(1000));
        let setting = setting(move |_| Response::new(Full::from(body.clone()))).await;
        for two in [true, false] {
            assert!(setting.send("GET", "/with/x", two).await.is_err(), "{form}");
        }
        setting.scene.log.wait_for(Refusal::Reflected).await;
    }
    let setting = setting(|got| {
        let mut answer = Response::new(Full::default());
        answer.headers_mut().insert("x-echo", got.headers.get("authorization").unwrap().clone());
        answer
    })
    .await;
    let answer = setting.send("GET", "/with/x", true).await.unwrap();
    assert_eq!(answer.headers()["cofferdam-refused"], "reflected");
    assert!(!format!("{answer:?}").contains(SECRET));
}

#[tokio::test]
async fn an_answer_that_nobody_can_look_into_is_refused() {
    let setting = setting(|_| {
        let mut answer = Response::new(Full::from("anything"));
        answer.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        answer
    })
    .await;
    let answer = setting.send("GET", "/with/x", false).await.unwrap();
    assert_eq!(answer.headers()["cofferdam-refused"], "encoding");
}

#[tokio::test]
async fn answers_without_the_secret_come_whole() {
    // Ends with what may be the beginning of one.
    let body = format!("{}Bearer {}", "y".repeat(200_000), &SECRET[..10]);
    let expected = body.clone();
    let setting = setting(move |_| Response::new(Full::from(body.clone()))).await;
    for two in [true, false] {
        let answer = setting.send("GET", "/with/x", two).await.unwrap();
        assert!(answer.body() == &expected, "{} bytes", answer.body().len());
    }
}

#[tokio::test]
async fn nobody_logs_in_beside_the_credential() {
    let setting = setting(|_| Response::new(Full::default())).await;
    for two in [true, false] {
        setting.send("GET", "/with/x?per_page=1", two).await.unwrap();
        let got = setting.host.got().pop().unwrap();
        let mut names: Vec<&str> = got.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept-encoding", "authorization", "x-github-api-version"]);
        setting.send("GET", "/without/x", two).await.unwrap();
        let got = setting.host.got().pop().unwrap();
        for login in ["cookie", "private-token", "job-token", "x-api-key"] {
            assert!(!got.headers.contains_key(login), "{login}");
        }
        assert!(got.headers.contains_key("x-whatever"));
        let before = setting.host.got().len();
        for query in ["private_token=x", "a=b&private%5Ftoken=x", "api_key=x", "Access-Token[]=x"] {
            for place in ["with", "without"] {
                let answer = setting.send("GET", &format!("/{place}/x?{query}"), two).await.unwrap();
                assert_eq!(answer.headers()["cofferdam-refused"], "query", "{place} {query}");
            }
        }
        assert_eq!(setting.host.got().len(), before);
    }
}

#[tokio::test]
async fn nobody_logs_in_by_a_form() {
    const PARTS: &str =
        "--x\r\nContent-Disposition: form-data; name=\"private_token\"\r\n\r\nmine\r\n--x--\r\n";
    let setting = setting(|_| Response::new(Full::default())).await;
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let long = "x=y&".repeat(100_000);
    for (fields, body, passes) in [
        (&[kind][..], "title=x", true),
        (&[kind], "a=b&private_token=mine", false),
        (&[("content-type", "application/x-www-form-urlencoded,x")], "private_token=mine", false),
        // What it is not said to be is taken for a form as well.
        (&[], "private_token=mine", false),
        (&[("content-type", "text/plain")], "private_token=mine", true),
        (&[kind, ("content-encoding", "gzip")], "title=x", false),
        (&[("content-type", "multipart/form-data; boundary=x")], PARTS, false),
        (&[kind], &long, false),
    ] {
        let stream = setting.scene.connect("a.example", 443).await;
        let stream = start_tls(&setting.scene, stream, "a.example", &["http/1.1"]).await.unwrap();
        let mut request = request("POST", "a.example", "/without/x", false, body);
        for (name, value) in fields {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        let answer = fetch(stream, false, request).await.unwrap();
        let code = answer.headers().get("cofferdam-refused").map(HeaderValue::as_bytes);
        assert_eq!(code, (!passes).then_some(&b"body"[..]), "{fields:?} {}", body.len());
    }
    assert_eq!(setting.host.got().len(), 2);
}

#[tokio::test]
async fn nobody_logs_in_by_json() {
    let setting = setting(|_| Response::new(Full::default())).await;
    let json = ("content-type", "application/json");
    let padding = "x".repeat(100_000);
    let long = format!("{{\"text\":\"{padding}\",\"n\":1}}");
    let (early, late) = (
        format!("{{\"password\":1,\"text\":\"{padding}\"}}"),
        format!("{{\"text\":\"{padding}\",\"password\":1}}"),
    );
    for (fields, body, passes) in [
        (&[json][..], "{\"title\":\"password\"}", true),
        (&[json], "{\"session\":{\"password\":\"mine\"}}", false),
        (&[json], "{\"private\\u005ftoken\":\"mine\"}", false),
        // What it is said to be matters less than what it looks like.
        (&[("content-type", "text/plain")], "{\"token\":\"mine\"}", false),
        (&[json, ("content-encoding", "gzip")], "{}", false),
        (&[json], "\u{feff}{}", false),
        (&[json], &long, true),
        (&[json], &early, false),
        (&[json], &late, false),
    ] {
        let stream = setting.scene.connect("a.example", 443).await;
        let stream = start_tls(&setting.scene, stream, "a.example", &["http/1.1"]).await.unwrap();
        let mut request = request("POST", "a.example", "/without/x", false, body);
        for (name, value) in fields {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        // A program that is still sending may see no more than the end of its connection.
        let answer = fetch(stream, false, request).await;
        let passed = answer.as_ref().is_ok_and(|answer| !answer.headers().contains_key("cofferdam-refused"));
        assert_eq!(passed, passes, "{fields:?} {}", body.len());
    }
    let got = setting.host.got();
    assert_eq!(got.iter().map(|got| got.body.len()).collect::<Vec<_>>(), [20, long.len()]);
}

#[tokio::test]
async fn a_secret_does_not_come_back_in_a_reason_phrase() {
    let setting = speaking(&["http/1.1"], |_| {
        let mut answer = Response::new(Full::from("fine"));
        answer.extensions_mut().insert(hyper::ext::ReasonPhrase::from_static(SECRET.as_bytes()));
        answer
    })
    .await;
    let answer = setting.send("GET", "/with/x", false).await.unwrap();
    assert_eq!(answer.body(), "fine");
    assert!(answer.extensions().get::<hyper::ext::ReasonPhrase>().is_none(), "{answer:?}");
}

#[tokio::test]
async fn a_secret_does_not_come_back_in_names_or_pieces() {
    let half = SECRET.len() / 2;
    let (lower, upper) = (SECRET.to_ascii_lowercase(), SECRET.to_ascii_uppercase());
    let heads = [
        vec![(format!("x-{lower}"), String::new())],
        vec![
            ("x-one".to_owned(), SECRET[..half].to_owned()),
            ("x-two".to_owned(), SECRET[half..].to_owned()),
        ],
        vec![
            ("x-one".to_owned(), SECRET[..half].to_owned()),
            ("x-one".to_owned(), SECRET[half..].to_owned()),
        ],
        vec![("x-one".to_owned(), upper)],
    ];
    for head in heads {
        let fields = head.clone();
        let setting = setting(move |_| {
            let mut answer = Response::new(Full::default());
            for (name, value) in &fields {
                answer.headers_mut().append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            answer
        })
        .await;
        for two in [true, false] {
            let answer = setting.send("GET", "/with/x", two).await.unwrap();
            assert_eq!(answer.headers()["cofferdam-refused"], "reflected", "{head:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_in_another_transfer_coding_is_refused() {
    for coding in ["gzip, chunked", "x-own, chunked"] {
        let setting = speaking(&["http/1.1"], move |_| {
            let mut answer = Response::new(Full::from("anything"));
            answer.headers_mut().insert("transfer-encoding", coding.parse().unwrap());
            answer
        })
        .await;
        for path in ["/with/x", "/without/x"] {
            let answer = setting.send("GET", path, false).await.unwrap();
            assert_eq!(answer.headers()["cofferdam-refused"], "encoding", "{path}");
        }
    }
}
