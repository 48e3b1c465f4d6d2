//! Contents that Git LFS keeps: found, brought, put in their place, taken out, sent.

/// Servers that lie, lead elsewhere, or do not come to an end.
mod hostile;
/// The real Gitea and the real git-lfs.
mod real;

use std::{collections::BTreeSet, fs, os::unix::fs::symlink, path::Path};

use cofferdam_domain::Digest;
use cofferdam_forge::{
    Collected, Contents, LfsPointer, LfsRules, LfsShelf, RepositoryAddress, checkout_script, new_contents,
};

use crate::fixture::{Session, World, commit, git, id, init, sandboxed, world, write};

const TRACKED: &str = "*.bin filter=lfs diff=lfs merge=lfs -text\n";

fn pointer(content: &[u8]) -> LfsPointer {
    LfsPointer { content: Digest::of(content), size: content.len() as u64 }
}

/// Puts contents where git-lfs has those of a repository.
fn store(repository: &Path, contents: &[&[u8]]) {
    let shelf = LfsShelf::new(repository.join(".git/lfs/objects"));
    for content in contents {
        assert!(shelf.put(pointer(content), content).unwrap());
    }
}

/// Makes the session's workspace once more, with what `contents` brings of what the base has.
async fn with_contents(world: &World, session: &Session, contents: &Contents) -> LfsShelf {
    let lent = LfsShelf::new(world.path(&format!("{}/lent", session.id)));
    let scratch = world.path("scratch");
    let wanted = session.seed.pointers(&world.git, &session.cones, &scratch).await.unwrap();
    contents.bring(&wanted, None, &lent).await.unwrap();
    assert!(!scratch.exists());
    fs::remove_dir_all(&session.workspace).unwrap();
    fs::create_dir_all(&session.workspace).unwrap();
    let (seed, workspace) = (session.seed.path().to_str().unwrap(), session.workspace.to_str().unwrap());
    let argv = checkout_script(seed, workspace, lent.path().to_str().unwrap(), &session.cones);
    let (code, output) = sandboxed(&argv);
    assert_eq!(code, 0, "{}", String::from_utf8_lossy(&output));
    lent
}

fn contents(world: &World, address: &RepositoryAddress) -> Contents {
    world.mirrors().contents(address, None)
}

/// What the session has made of it, on a shelf, and what of it there is.
async fn made(world: &World, session: &Session, head: &str) -> (LfsShelf, BTreeSet<LfsPointer>) {
    let new = session.quarantine.new_pointers(&[&session.base.commit], &id(head)).await.unwrap();
    let shelf = LfsShelf::new(world.path(&format!("{}/made", session.id)));
    let bundle = new_contents(session.bundle.to_str().unwrap());
    for place in [Path::new(&bundle), &session.workspace.join(".git/lfs/objects")] {
        for pointer in &new {
            if let Ok(bytes) = fs::read(LfsShelf::new(place).place(&pointer.content)) {
                assert!(shelf.put(*pointer, &bytes).unwrap());
            }
        }
    }
    (shelf, new)
}

#[tokio::test]
async fn only_files_that_git_gives_to_lfs_are_wanted() {
    let world = world();
    init(&world.source);
    let all: Vec<String> = (0..8_u8).map(|number| pointer(&[number]).to_string()).collect();
    write(
        &world.source,
        &[
            (".gitattributes", "*.bin filter=lfs\n[attr]big filter=lfs -text\n*.big big\nkeep.bin -filter\n"),
            ("deep/.gitattributes", "*.dat filter=lfs\n"),
            ("a.bin", &all[0]),
            ("b.big", &all[1]),
            ("keep.bin", &all[2]),
            ("deep/c.dat", &all[3]),
            ("d.dat", &all[4]),
            ("deep/again.bin", &all[0]),
            ("deep/longer.bin", &format!("{}x", all[5])),
            ("other/e \u{e9}.bin", &all[6]),
        ],
    );
    symlink(&all[7], world.source.join("link.bin")).unwrap();
    commit(&world.source, &[], "Pointers");
    let session = world.session().await;
    let wanted = |cones: &[&str]| {
        let cones: Vec<String> = cones.iter().map(|cone| (*cone).to_owned()).collect();
        let (session, world) = (&session, &world);
        async move { session.seed.pointers(&world.git, &cones, &world.path("scratch")).await.unwrap() }
    };
    let named = |numbers: &[u8]| numbers.iter().map(|number| pointer(&[*number])).collect::<Vec<_>>();
    assert_eq!(wanted(&[]).await, named(&[0, 1, 0, 3, 6]));
    assert_eq!(wanted(&["deep"]).await, named(&[0, 1, 0, 3]));
    assert_eq!(wanted(&["other"]).await, named(&[0, 1, 6]));
}

#[tokio::test]
async fn contents_are_in_their_place_and_pointers_come_out() {
    let world = world();
    init(&world.source);
    let (one, two, odd) = (b"one\n".repeat(900), b"\0two\n".to_vec(), b"not here".to_vec());
    write(
        &world.source,
        &[
            (".gitattributes", TRACKED),
            ("one.bin", &pointer(&one).to_string()),
            ("dir/two.bin", &pointer(&two).to_string()),
            ("odd.bin", &pointer(&odd).to_string()),
            ("plain", "plain\n"),
        ],
    );
    fs::write(world.source.join("empty.bin"), "").unwrap();
    commit(&world.source, &[], "First");
    store(&world.source, &[&one, &two]);
    let session = world.session().await;
    let contents = contents(&world, &session.address);
    with_contents(&world, &session, &contents).await;
    let at = |name: &str| session.workspace.join(name);
    assert_eq!(
        (fs::read(at("one.bin")).unwrap(), fs::read(at("dir/two.bin")).unwrap()),
        (one.clone(), two.clone())
    );
    assert_eq!(fs::read_to_string(at("odd.bin")).unwrap(), pointer(&odd).to_string());
    assert_eq!(git(&session.workspace, &["status", "--porcelain"]), "");
    assert_eq!(session.collect(), Collected::NothingChanged);
    // Also where nobody knows any more which files are as they were.
    fs::remove_file(at(".git/index")).unwrap();
    assert_eq!(session.collect(), Collected::NothingChanged);

    git(&session.workspace, &["reset", "-q", "--hard"]);
    let (new, third) = (b"a new one".to_vec(), b"committed\n".repeat(9));
    fs::write(at("third.bin"), &third).unwrap();
    git(&session.workspace, &["add", "."]);
    git(&session.workspace, &["commit", "-qm", "In between"]);
    fs::remove_file(at("third.bin")).unwrap();
    fs::write(at("one.bin"), &new).unwrap();
    fs::copy(at("dir/two.bin"), at("copy.bin")).unwrap();
    fs::write(at("plain"), "changed\n").unwrap();
    let received = session.receive().await;
    let (shelf, found) = made(&world, &session, &received.head).await;
    assert_eq!(found, BTreeSet::from([pointer(&new), pointer(&third)]));
    assert!(found.iter().all(|pointer| shelf.has(pointer)));
    let mut change = session.quarantine.change(&session.base.commit, &id(&received.head)).await.unwrap();
    let content = |name: &str| {
        let file = change.files.iter().find(|file| file.display_path() == name).unwrap();
        String::from_utf8(file.new.clone().unwrap().content.unwrap()).unwrap()
    };
    let names: Vec<String> = change.files.iter().map(cofferdam_domain::FileChange::display_path).collect();
    assert_eq!(names, ["copy.bin", "one.bin", "plain"]);
    assert_eq!(
        (content("one.bin"), content("copy.bin")),
        (pointer(&new).to_string(), pointer(&two).to_string())
    );
    cofferdam_forge::with_contents(&mut change, &found, &shelf);
    let kept = |content: &[u8]| change.kept.get(&Digest::of(content)).cloned();
    use cofferdam_domain::change::Kept;
    assert_eq!(kept(&new), Some(Kept::New { size: 9, content: Some(new.clone()) }));
    assert_eq!((kept(&two), kept(&third)), (Some(Kept::Known), None));

    let all: Vec<LfsPointer> = found.into_iter().collect();
    for _ in 0..2 {
        contents.send(&all, &shelf, "branch").await.unwrap();
    }
    let theirs = LfsShelf::new(world.source.join(".git/lfs/objects"));
    assert!(all.iter().all(|pointer| theirs.has(pointer)));
}

#[tokio::test]
async fn a_pointer_that_an_agent_makes_up_is_only_a_pointer() {
    let world = world();
    init(&world.source);
    commit(&world.source, &[(".gitattributes", TRACKED), ("plain", "plain\n")], "First");
    let secret = b"of another branch".to_vec();
    store(&world.source, &[&secret]);
    let session = world.session().await;
    fs::write(session.workspace.join("a.bin"), pointer(&secret).to_string()).unwrap();
    let received = session.receive().await;
    let (shelf, found) = made(&world, &session, &received.head).await;
    assert_eq!(found, BTreeSet::from([pointer(&secret)]));
    assert!(!shelf.has(&pointer(&secret)));
    let mut change = session.quarantine.change(&session.base.commit, &id(&received.head)).await.unwrap();
    cofferdam_forge::with_contents(&mut change, &found, &shelf);
    assert!(change.kept.is_empty());
}

#[tokio::test]
async fn no_more_is_kept_than_is_configured() {
    let world = world();
    init(&world.source);
    let all: Vec<Vec<u8>> = (1..=4_u8).map(|number| vec![number; 10 * usize::from(number)]).collect();
    commit(&world.source, &[("plain", "plain\n")], "First");
    store(&world.source, &all.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let wanted: Vec<LfsPointer> = all.iter().map(|content| pointer(content)).collect();
    let rules = LfsRules { largest: 30, all: 40, ..LfsRules::default() };
    let address = world.address().await;
    let contents = world.mirrors().lfs(rules).contents(&address, None);
    let lent = LfsShelf::new(world.path("lent"));
    let brought = contents.bring(&wanted, None, &lent).await.unwrap();
    assert_eq!(brought.here, BTreeSet::from([wanted[0], wanted[1]]));
    assert!(
        brought.lacking[&wanted[2]].contains("`all`") && brought.lacking[&wanted[3]].contains("`largest`")
    );
    // What nobody wants makes room.
    let brought = contents.bring(&wanted[2..3], None, &lent).await.unwrap();
    assert_eq!(brought.here, BTreeSet::from([wanted[2]]));
    let made = LfsShelf::new(world.path("made"));
    assert!(made.put(wanted[3], &all[3]).unwrap());
    let brought = contents.bring(&wanted[3..], Some(&made), &lent).await.unwrap();
    assert_eq!((brought.here.len(), brought.lacking.len()), (1, 0));
}
