//! Work cut short anywhere and done again: by leftovers put in place, and by ending the work at many
//! instants.

use std::{fs, time::Duration};

use cofferdam_forge::{Forge, Mirrors, branch_of};

use crate::fixture::{World, git, id, small_world, write};

/// The directory of the world's only mirror.
fn holder(world: &World) -> std::path::PathBuf {
    let mut entries = fs::read_dir(world.path("data/mirrors")).unwrap();
    entries.next().unwrap().unwrap().path()
}

#[tokio::test]
async fn leftovers_of_a_killed_update() {
    let world = small_world();
    world.update().await.unwrap();
    let mirror = holder(&world).join("mirror.git");
    for lock in [
        "HEAD.lock",
        "packed-refs.lock",
        "config.lock",
        "shallow.lock",
        "refs/heads/main.lock",
        "refs/tags/deep/x.lock",
    ] {
        write(&mirror, &[(lock, "")]);
    }
    write(
        &mirror,
        &[
            ("objects/pack/tmp_pack_x", "half"),
            ("objects/tmp_objdir-incoming-1/x", ""),
            ("../mirror.new/HEAD", ""),
        ],
    );
    git(&world.source, &["commit", "-q", "--allow-empty", "-m", "Third"]);
    let tip = id(&git(&world.source, &["rev-parse", "HEAD"]));
    let updated = world.update().await.unwrap();
    let base = updated.resolve(None).await.unwrap();
    assert_eq!(base.commit, tip);
    assert!(!mirror.join("objects/pack/tmp_pack_x").exists());
    // Half a seed has no seed's name.
    write(&holder(&world), &[("seeds/new/HEAD", "ref: refs/heads/none\n")]);
    let seed = updated.seed(&base).await.unwrap();
    assert_eq!(git(seed.path(), &["rev-parse", "main"]), tip.as_str());
}

#[tokio::test]
async fn an_update_dropped_at_any_instant_can_be_done_again() {
    let world = small_world();
    let address = world.address().await;
    let tip = id(&git(&world.source, &["rev-parse", "HEAD"]));
    for round in 0..12_u64 {
        let mirrors = Mirrors::new(world.git.clone(), world.path(&format!("data/round{round}")));
        // Dropping the future kills git: cut at ever later instants, from before the first command to after
        // the last.
        let cut = tokio::time::timeout(Duration::from_millis(3 * round), mirrors.update(&address)).await;
        drop(cut);
        let mirror = mirrors.update(&address).await.unwrap();
        let base = mirror.resolve(None).await.unwrap();
        assert_eq!(base.commit, tip);
        drop(tokio::time::timeout(Duration::from_millis(3 * round), mirror.seed(&base)).await);
        mirror.seed(&base).await.unwrap();
    }
}

#[tokio::test]
async fn publishing_dropped_at_any_instant_leaves_one_branch_and_one_pull_request() {
    let world = small_world();
    git(&world.source, &["checkout", "-q", "--detach"]);
    let session = world.session().await;
    write(&session.workspace, &[("README", "changed\n")]);
    let head = session.publishable().await;
    let forge = world.forge();
    let publish = async || {
        forge.push(&session.push(&head)).await.unwrap();
        forge.open(&session.pull_request(&head)).await.unwrap();
        forge.merge(&session.address, &head, &session.authorship()).await.unwrap()
    };
    for round in 0..25_u64 {
        drop(tokio::time::timeout(Duration::from_millis(2 * round), publish()).await);
    }
    let merged = publish().await;
    assert_eq!(git(&world.source, &["rev-parse", &branch_of(session.id)]), head.as_str());
    assert_eq!(
        git(&world.source, &["for-each-ref", "--format=%(refname)", "refs/heads/cofferdam"]).lines().count(),
        1
    );
    assert_eq!(forge.list().unwrap(), [merged]);
    assert_eq!(git(&world.source, &["rev-parse", "main"]), head.as_str());
}

#[tokio::test]
async fn leftovers_of_the_forge_and_the_quarantine() {
    let world = small_world();
    git(&world.source, &["checkout", "-q", "--detach"]);
    let session = world.session().await;
    write(&session.workspace, &[("other", "x\n")]);
    let forge_directory = world.path("data/forge");
    write(
        &forge_directory,
        &[
            ("outgoing.pack", "half"),
            ("merge.git/HEAD", "half"),
            ("pulls/ses_x.new", "{"),
            ("repositories/x.new/HEAD", ""),
        ],
    );
    write(&world.source, &[(&format!(".git/refs/heads/{}.lock", branch_of(session.id)), "")]);
    let received = session.receive().await;
    // Made again for the same base, the quarantine still has what was received; half of one is replaced.
    let path = world.path(&format!("data/{}.git", session.id));
    let again = cofferdam_forge::Quarantine::create(&world.git, &path, &session.seed).await.unwrap();
    assert_eq!(again.change(&session.base.commit, &id(&received.head)).await.unwrap().files.len(), 1);
    fs::remove_file(path.join("cofferdam-base")).unwrap();
    let head = session.publishable().await;
    world.forge().push(&session.push(&head)).await.unwrap();
    world.forge().open(&session.pull_request(&head)).await.unwrap();
    let tree = git(&world.source, &["rev-parse", "main^{tree}"]);
    let moved = git(&world.source, &["commit-tree", &tree, "-p", "main", "-m", "Meanwhile"]);
    git(&world.source, &["update-ref", "refs/heads/main", &moved]);
    world.forge().merge(&session.address, &head, &session.authorship()).await.unwrap();
    assert_eq!(git(&world.source, &["show", "main:other"]), "x");
    assert!(!forge_directory.join("outgoing.pack").exists() && !forge_directory.join("merge.git").exists());
}
