//! Snapshots of a layer, going back, forks, squashing.

use std::{fs, time::Instant};

use cofferdam_sandbox::{Driver as _, LayerError, LayerStack, SnapshotId, remove_layer, workspace_upper};

use crate::support::{Place, eventually, exists, run, sh, shell};

/// Runs a script in a sandbox of its own over a layer.
async fn in_layer(place: &Place, layer: &str, script: &str) -> String {
    let sandbox = place.sandbox(layer).await;
    let printed = sh(&*sandbox, script).await;
    sandbox.destroy().await.unwrap();
    printed
}

#[tokio::test]
async fn a_session_goes_back_to_what_it_was() {
    let Some(place) = Place::new().await else { return };
    let stack = LayerStack::at(&place.path("layer"));
    in_layer(&place, "layer", "echo 1 > state; echo 1 > ~/state; rm src/one.rs; mkdir d; echo x > d/x").await;
    let first = stack.snapshot().unwrap();
    let look = "cat state ~/state; ls src d; cat README";
    assert_eq!(in_layer(&place, "layer", look).await, "1\n1\nd:\nx\n\nsrc:\noriginal\n");
    in_layer(
        &place,
        "layer",
        "echo 2 > state; rm ~/state README; rm -r d; mkdir d; echo y > d/y; echo new > src/one.rs",
    )
    .await;
    let second = stack.snapshot().unwrap();
    in_layer(&place, "layer", "rm -rf src state").await;
    let third = stack.snapshot().unwrap();
    in_layer(&place, "layer", "echo 4 > state").await;
    assert_eq!(stack.snapshots().unwrap(), [first, second, third]);

    stack.roll_back(second).unwrap();
    assert_eq!(stack.snapshots().unwrap(), [first, second]);
    assert_eq!(
        in_layer(&place, "layer", "cat state src/one.rs; ls d; ls ~ README 2>&1 | grep -c state").await,
        "2\nnew\ny\n0\n"
    );
    stack.roll_back(first).unwrap();
    assert_eq!(in_layer(&place, "layer", look).await, "1\n1\nd:\nx\n\nsrc:\noriginal\n");
    assert!(matches!(stack.roll_back(third), Err(LayerError::Unknown { .. })));
}

#[tokio::test]
async fn forks_begin_alike_and_know_nothing_of_each_other() {
    let Some(place) = Place::new().await else { return };
    let stack = LayerStack::at(&place.path("layer"));
    in_layer(&place, "layer", "echo common > state; echo home > ~/state; chmod 000 README").await;
    let snapshot = stack.snapshot().unwrap();
    // The origin goes on while others begin from it.
    let origin = place.sandbox("layer").await;
    for name in ["one", "two", "three"] {
        stack.fork(snapshot, &place.path(name)).unwrap();
        assert_eq!(
            in_layer(&place, name, &format!("cat state ~/state; echo {name} > state; rm ~/state")).await,
            "common\nhome\n"
        );
    }
    assert_eq!(sh(&*origin, "cat state").await, "common\n");
    origin.destroy().await.unwrap();
    assert_eq!(in_layer(&place, "one", "cat state").await, "one\n");
    assert!(matches!(stack.fork(snapshot, &place.path("one")), Err(LayerError::Exists(_))));
    let unknown: SnapshotId = "snp_00000000000000000000000000000001".parse().unwrap();
    assert!(matches!(stack.fork(unknown, &place.path("four")), Err(LayerError::Unknown { .. })));
    assert!(!exists(&place.path("four")));

    // A fork needs a part that its origin has gone back from.
    let late = LayerStack::at(&place.path("two")).snapshot().unwrap();
    LayerStack::at(&place.path("two")).fork(late, &place.path("kept")).unwrap();
    LayerStack::at(&place.path("two")).roll_back(snapshot).unwrap();
    in_layer(&place, "two", "echo two > state").await;
    // A fork of a fork, and each survives the others.
    let later = LayerStack::at(&place.path("one")).snapshot().unwrap();
    LayerStack::at(&place.path("one")).fork(later, &place.path("grandchild")).unwrap();
    remove_layer(&place.path("layer")).unwrap();
    remove_layer(&place.path("one")).unwrap();
    assert_eq!(in_layer(&place, "two", "cat state").await, "two\n");
    assert_eq!(in_layer(&place, "grandchild", "cat state; ls ~ | sed '/^go$/d'").await, "one\n");
    remove_layer(&place.path("two")).unwrap();
    assert_eq!(in_layer(&place, "kept", "cat state; ls ~ | sed '/^go$/d'").await, "two\n");
    for name in ["three", "grandchild", "kept"] {
        remove_layer(&place.path(name)).unwrap();
    }
    for name in ["layer", "one", "two", "three", "grandchild"] {
        assert!(!exists(&place.path(name)), "{name} is left");
    }
}

#[tokio::test]
async fn a_layer_in_use_is_left_alone() {
    let Some(place) = Place::new().await else { return };
    let stack = LayerStack::at(&place.path("layer"));
    in_layer(&place, "layer", "echo 1 > state").await;
    let snapshot = stack.snapshot().unwrap();
    let sandbox = place.sandbox("layer").await;
    assert!(matches!(stack.snapshot(), Err(LayerError::InUse(_))));
    assert!(matches!(stack.roll_back(snapshot), Err(LayerError::InUse(_))));
    // One that was only dropped counts until its last process is gone.
    let _process = sandbox.start(shell("sleep 1000")).await.unwrap();
    drop(sandbox);
    eventually("it can be snapshot", || stack.snapshot().is_ok()).await;
}

#[tokio::test]
async fn a_deep_layer_is_squashed_and_looks_the_same() {
    let Some(place) = Place::new().await else { return };
    let stack = LayerStack::at(&place.path("layer"));
    let mut snapshots = Vec::new();
    for number in 0..20 {
        let script = match number {
            3 => "rm -r src; echo 'a file' > src",
            5 => {
                "rm src; mkdir src; echo back > src/two.rs; ln -s two.rs src/link; setfattr -n user.mine -v kept src 2>/dev/null"
            }
            9 => "rm README; mkdir -p a/b/c; echo deep > a/b/c/d; chmod 700 a; echo h > ~/h",
            12 => "mv a/b/c/d a/e; rm -r a/b; mkdir -p a/b; echo again > a/b/f; chmod 600 a/e",
            13 => "mkdir -p gone/x gone/y; touch gone/x/1 gone/x/2 gone/y/1",
            14 => "rm gone/x/1; rm -r gone/y",
            _ => "true",
        };
        in_layer(&place, "layer", &format!("{script}; echo {number} > state; echo {number} > own{number}"))
            .await;
        snapshots.push(stack.snapshot().unwrap());
    }
    let look = "cat state ~/h src/two.rs src/link a/e a/b/f; ls -A; ls -R a src gone; stat -c '%a %U' a a/e; ls README src/one.rs 2>&1 | wc -l";
    let before = in_layer(&place, "layer", look).await;
    assert!(before.contains("deep\nagain\n"), "{before}");
    // The sandbox above has had it squashed in the background; one that runs meanwhile does not mind.
    let running = place.sandbox("layer").await;
    eventually("it is squashed", || stack.squash().is_ok_and(|more| !more)).await;
    assert_eq!(sh(&*running, look).await, before);
    running.destroy().await.unwrap();
    let merged = || {
        let names = fs::read_dir(place.path("layer")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("merged-")).count()
    };
    // One that came too late removes what it merged.
    eventually("one is left", || merged() == 1).await;
    assert_eq!(in_layer(&place, "layer", look).await, before);
    assert_eq!(stack.snapshots().unwrap(), snapshots, "all of them can still be gone back to");
    LayerStack::at(&place.path("layer")).fork(snapshots[18], &place.path("fork")).unwrap();
    assert_eq!(in_layer(&place, "fork", "cat state; ls own19 2>/dev/null; cat a/e").await, "18\ndeep\n");
    stack.roll_back(snapshots[4]).unwrap();
    assert_eq!(
        in_layer(&place, "layer", "cat state src README; ls own5 2>/dev/null").await,
        "4\na file\noriginal\n"
    );
}

#[tokio::test]
async fn the_time_that_a_snapshot_takes_does_not_grow_with_the_files() {
    let Some(place) = Place::new().await else { return };
    let mut times = Vec::new();
    for (name, files) in [("few", 10), ("many", 5000)] {
        let stack = LayerStack::at(&place.path(name));
        in_layer(&place, name, &format!("i=0; while [ $i -lt {files} ]; do : > f$i; i=$((i+1)); done")).await;
        let started = Instant::now();
        let snapshot = stack.snapshot().unwrap();
        stack.fork(snapshot, &place.path(&format!("{name}-fork"))).unwrap();
        times.push(started.elapsed());
        assert_eq!(in_layer(&place, &format!("{name}-fork"), "ls | grep -c ^f").await, format!("{files}\n"));
    }
    // Copying would take hundreds of times as long; other work on the machine takes its share of both.
    assert!(times[1] < times[0] * 20 + std::time::Duration::from_millis(50), "{times:?}");
}

#[tokio::test]
async fn a_killed_worker_leaves_the_old_history_or_the_new_one() {
    let Some(place) = Place::new().await else { return };
    let stack = LayerStack::at(&place.path("layer"));
    in_layer(&place, "layer", "echo 1 > state").await;
    stack.snapshot().unwrap();
    in_layer(&place, "layer", "echo 2 > state").await;
    let file = place.path("layer/stack");
    let whole = fs::read_to_string(&file).unwrap();
    // What a change leaves when it ends before its rename.
    fs::write(place.path("layer/stack.new"), &whole[..whole.len() / 2]).unwrap();
    fs::create_dir(place.path("layer/discarded-1")).unwrap();
    assert_eq!(in_layer(&place, "layer", "cat state").await, "2\n");
    stack.snapshot().unwrap();
    assert_eq!(stack.snapshots().unwrap().len(), 2);
    // A file that was cut is told, not believed.
    fs::write(&file, &whole[..whole.len() - 5]).unwrap();
    let error = stack.snapshots().unwrap_err();
    assert!(matches!(&error, LayerError::Damaged { .. }) && error.to_string().contains("line"), "{error}");
    assert!(place.driver.create(place.spec("layer")).await.is_err());
    fs::write(&file, whole).unwrap();
    assert_eq!(fs::read_to_string(workspace_upper(&place.path("layer")).join("state")).unwrap(), "2\n");
}

#[tokio::test]
async fn sixty_snapshots_are_no_trouble() {
    let Some(place) = Place::new().await else { return };
    let stack = LayerStack::at(&place.path("layer"));
    for number in 0..60 {
        // A directory as a sandbox would have left it: making sixty sandboxes is not what this is about.
        if number % 20 == 0 {
            in_layer(&place, "layer", &format!("echo {number} > own{number}; echo {number} > ~/own{number}"))
                .await;
        }
        stack.snapshot().unwrap();
    }
    assert_eq!(in_layer(&place, "layer", "ls -A . ~").await.matches("own").count(), 6);
    let sandbox = place.sandbox("layer").await;
    assert_eq!(
        run(&*sandbox, shell("mv own0 own1 && cat own1")).await.exit,
        cofferdam_domain::evidence::Exit::Code(0)
    );
    sandbox.destroy().await.unwrap();
    for _ in 60..64 {
        stack.snapshot().unwrap();
    }
    assert!(matches!(stack.snapshot(), Err(LayerError::TooDeep { .. })));
}
