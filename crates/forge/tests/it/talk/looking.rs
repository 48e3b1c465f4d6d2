//! What a forge shows of what is there.

use cofferdam_domain::{Subject, Timestamp};
use cofferdam_forge::{
    hook::{Account, AccountKind},
    remote::{Right, TalkError},
};

use super::{World, person, skipped};

fn is_missing<T>(answer: &Result<T, TalkError>) -> bool {
    matches!(answer, Err(TalkError::Missing { .. }))
}

pub(crate) async fn an_account_knows_itself(world: &impl World) {
    let me = world.talk().me().await.unwrap();
    assert!(me.id != 0 && !me.login.is_empty(), "{me:?}");
    assert_eq!(world.talk().me().await.unwrap(), me);
}

pub(crate) async fn a_repository_is_found_by_its_path(world: &impl World) {
    for private in [true, false] {
        let at = world.repository(private).await;
        let found = world.talk().repository(&at.path).await.unwrap();
        assert_eq!((found.id, &found.path, found.private), (at.id, &at.path, private));
        assert_eq!(found.public, !private);
        assert_eq!(found.default_branch.as_deref(), Some("main"));
        assert!(found.clone_url.contains(&at.path), "{}", found.clone_url);
    }
    for none in ["nobody/nothing", "nothing", "", "/", "a/../b", "nobody/.."] {
        let answer = world.talk().repository(none).await;
        assert!(is_missing(&answer), "{none}: {answer:?}");
    }
}

pub(crate) async fn a_right_is_what_was_given(world: &impl World) {
    for private in [true, false] {
        let at = world.repository(private).await;
        for right in [Right::Read, Right::Triage, Right::Write, Right::Admin] {
            let Some(person) = world.person(&at, right).await else { continue };
            let found = world.talk().right_of(&at, &person.account).await.unwrap();
            assert_eq!(found, right, "private: {private}");
            // An account that was deleted, and whose name is another's now.
            let former = Account { id: person.account.id + 1_000_000, ..person.account };
            assert_eq!(world.talk().right_of(&at, &former).await.unwrap(), Right::None);
        }
        let Some(outsider) = person(world, &at, Right::None).await else { return };
        assert_eq!(world.talk().right_of(&at, &outsider.account).await.unwrap(), Right::None);
        let ghost = Account { id: 0, login: outsider.account.login, kind: AccountKind::Bot };
        assert_eq!(world.talk().right_of(&at, &ghost).await.unwrap(), Right::None);
    }
}

pub(crate) async fn an_issue_is_as_it_is(world: &impl World) {
    let at = world.repository(false).await;
    let Some(author) = person(world, &at, Right::Write).await else { return };
    let (title, body) = ("The total is wrong", "It says `3`.\n\n- with *two* parts: ä, 漢, 🦀");
    let number = world.issue(&at, &author, title, body).await;
    let found = world.talk().issue(&at, number).await.unwrap();
    assert_eq!((found.number, found.title.as_str(), found.body.as_str()), (number, title, body));
    assert_eq!((found.author.id, found.open), (author.account.id, true));
    assert!(found.updated.is_some());
    world.commit(&at, "some-branch", "a.txt", "a\n").await;
    let pull = world.pull(&at, &author, "some-branch", "A pull request").await;
    for none in [number + 1_000_000, pull] {
        let answer = world.talk().issue(&at, none).await;
        if none != pull || number != pull {
            assert!(is_missing(&answer), "{none}: {answer:?}");
        }
    }
    assert!(is_missing(&world.talk().pull(&at, number + 1_000_000).await));
    let found = world.talk().pull(&at, pull).await.unwrap();
    assert_eq!((found.number, found.title.as_str(), found.draft), (pull, "A pull request", false));
    assert_eq!((found.branch.as_str(), found.base.as_str()), ("some-branch", "main"));
}

pub(crate) async fn comments_come_in_order(world: &impl World) {
    let at = world.repository(false).await;
    let Some(author) = person(world, &at, Right::Write).await else { return };
    let number = world.issue(&at, &author, "An issue", "").await;
    let subject = Subject::Issue(number);
    for text in ["one", "two", "three"] {
        world.comment(&at, &author, subject, text).await;
    }
    let all = world.talk().comments(&at, subject, None, 10).await.unwrap();
    let texts: Vec<&str> = all.iter().map(|comment| comment.body.as_str()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    assert!(all.iter().all(|comment| comment.author.id == author.account.id && comment.id != 0));
    let latest = world.talk().comments(&at, subject, None, 2).await.unwrap();
    assert_eq!(latest, all[1..]);
    let changed = all.iter().filter_map(|comment| comment.updated).max().unwrap();
    let hour = 60 * 60 * 1000;
    let since = |time| world.talk().comments(&at, subject, Some(Timestamp(time)), 10);
    assert_eq!(since(changed.0 - hour).await.unwrap(), all);
    assert_eq!(since(changed.0 + hour).await.unwrap(), []);
    let none = world.talk().comments(&at, Subject::Issue(number + 1_000_000), None, 10).await;
    assert!(is_missing(&none), "{none:?}");
}

pub(crate) async fn a_repository_keeps_its_number(world: &impl World) {
    let at = world.repository(false).await;
    let Some(author) = person(world, &at, Right::Write).await else { return };
    let number = world.issue(&at, &author, "Of the first", "").await;
    if !world.rename(&at).await {
        return skipped("repositories cannot be renamed there");
    }
    // There is another one at the old path now.
    assert_ne!(world.talk().repository(&at.path).await.unwrap().id, at.id);
    assert_eq!(world.talk().issue(&at, number).await.unwrap().title, "Of the first");
    let said = super::mark("task");
    let id = world.talk().say(&at, Subject::Issue(number), &said, "Here").await.unwrap();
    let all = world.talk().comments(&at, Subject::Issue(number), None, 10).await.unwrap();
    assert_eq!(all.iter().map(|comment| comment.id).collect::<Vec<_>>(), [id]);
}

pub(crate) async fn what_is_hostile_stays_text(world: &impl World) {
    let at = world.repository(false).await;
    let Some(author) = person(world, &at, Right::Write).await else { return };
    let body =
        format!("<!-- hidden --> <script>alert(1)</script> \u{202e}abc\u{202c} {}", "x".repeat(50_000));
    let number = world.issue(&at, &author, "\"; DROP TABLE issues; --", &body).await;
    let found = world.talk().issue(&at, number).await.unwrap();
    assert_eq!((found.title.as_str(), found.body.len()), ("\"; DROP TABLE issues; --", body.len()));
    let mark = super::mark("task");
    let long = "ä".repeat(200_000);
    let id = world.talk().say(&at, Subject::Issue(number), &mark, &long).await.unwrap();
    // It was cut, and is found again.
    assert_eq!(world.talk().say(&at, Subject::Issue(number), &mark, &long).await.unwrap(), id);
    let said = world.talk().comments(&at, Subject::Issue(number), None, 10).await.unwrap();
    assert_eq!(said.len(), 1);
    assert!(mark.is_in(&said[0].body) && said[0].body.starts_with("ää"));
}
