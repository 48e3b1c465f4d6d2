//! Names: answered by the door, asked of nobody else.

use cofferdam_domain::egress::{Operation, Refusal, Scheme};

use crate::{
    host::Authority,
    scene::{Scene, rule},
};

/// A question as resolvers send it.
pub(crate) fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    message
}

#[tokio::test]
async fn known_names_have_one_placeholder_and_others_do_not_exist() {
    let authority = Authority::new();
    let rules = vec![rule("a.example", Scheme::Https, "127.0.0.1:9".parse().unwrap())];
    let scene = Scene::new(rules, &authority);
    let placeholder = scene.placeholder("a.example").await.unwrap();
    assert_eq!(scene.placeholder("A.Example").await, Some(placeholder));
    for (name, kind) in [("secret.evil.example", 1), ("evil.example", 16), ("b.a.example", 28)] {
        let answer = scene.ask(&question(name, kind)).await;
        assert_eq!(answer[3] & 0xf, 3, "{name} does not exist");
    }
    for kind in [28, 65, 64, 16, 15, 5, 255] {
        let answer = scene.ask(&question("a.example", kind)).await;
        assert_eq!((answer[3] & 0xf, answer[7]), (0, 0), "nothing of type {kind}, and that is no error");
    }
    let refused = scene.log.wait_for(Refusal::Name).await;
    assert_eq!(refused.operation, Operation::Name { name: "secret.evil.example".into() });
    assert!(scene.log.codes().iter().all(|code| *code == Refusal::Name));
}
