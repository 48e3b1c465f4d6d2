//! Content in an object store: a real one, and everything that may go wrong with it.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use cofferdam_domain::{Digest, Secret};
use cofferdam_store::{BucketOptions, Everything, StoreError, open, open_with};
use cofferdam_testkit::{Objects, Postgres};
use tempfile::TempDir;

use crate::events::{output, session, soon};

const BUCKET: &str = "contents";

fn options(objects: &Objects, bucket: &str, secret: &str) -> BucketOptions {
    let options = BucketOptions::parse(&format!("s3://{bucket}/of/tests")).unwrap();
    let options = options.at(&objects.endpoint()).unwrap();
    let key = [
        ("AWS_ACCESS_KEY_ID", Objects::KEY.0),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", "us-east-1"),
    ];
    key.into_iter().fold(options, |options, (name, value)| options.with(name, Secret::new(value)).unwrap())
}

/// An object store, a place for a store in a directory, and perhaps a database.
struct Scene {
    objects: Objects,
    folder: TempDir,
    database: Option<String>,
}

impl Scene {
    fn new() -> Option<Self> {
        let objects = Objects::start()?;
        objects.bucket(BUCKET);
        Some(Self { objects, folder: tempfile::tempdir().unwrap(), database: None })
    }

    fn on_postgres() -> Option<Self> {
        let database = Postgres::shared()?.database();
        Some(Self { database: Some(database), ..Self::new()? })
    }

    fn address(&self) -> String {
        self.database.clone().unwrap_or_else(|| self.folder.path().join("store").display().to_string())
    }

    async fn open(&self) -> Arc<dyn Everything> {
        let options = options(&self.objects, BUCKET, Objects::KEY.1);
        open_with(&self.address(), Some(&options)).await.unwrap()
    }

    /// The objects that there are.
    fn files(&self) -> Vec<PathBuf> {
        let blobs = self.objects.files(BUCKET).join("of/tests/blobs");
        fs::read_dir(blobs).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }

    /// A file with so many bytes.
    fn file(&self, size: usize) -> PathBuf {
        let path = self.folder.path().join(format!("file-{size}"));
        fs::write(&path, bytes(size)).unwrap();
        path
    }
}

/// Bytes that do not repeat within a part.
fn bytes(size: usize) -> Vec<u8> {
    (0..size.div_ceil(8))
        .flat_map(|number| (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(size)
        .collect()
}

async fn comes_back(scene: Scene) {
    let store = scene.open().await;
    store.try_bucket().await.unwrap();
    for size in [0, 1, 8 << 20, (20 << 20) + 5] {
        let content = bytes(size);
        let blob = store.put_blob(&content).await.unwrap();
        assert_eq!((blob.digest, blob.size), (Digest::of(&content), size as u64));
        assert!(store.blob(blob.digest).await.unwrap() == content, "{size} bytes");
        assert_eq!(store.put_blob(&content).await.unwrap(), blob);
    }
    assert_eq!(scene.files().len(), 4, "what is stored again is there once");
    let large = scene.file(70 << 20);
    let blob = store.put_file(&large).await.unwrap().unwrap();
    let back = scene.folder.path().join("back");
    store.fetch_file(blob.digest, &back).await.unwrap();
    assert!(fs::read(&back).unwrap() == bytes(70 << 20));
    assert!(
        matches!(store.blob(blob.digest).await, Err(StoreError::TooLarge { .. })),
        "that is too much for memory"
    );
    assert!(matches!(store.blob(Digest::of(b"unknown")).await, Err(StoreError::UnknownBlob(_))));
    // A session's content goes with it, now.
    let session = session(&*store).await;
    let at = cofferdam_domain::Timestamp(1);
    store.append(session, cofferdam_store::Writer::Anybody, at, vec![output(blob)]).await.unwrap();
    store.verify(session).await.unwrap();
    store.forget(session).await.unwrap();
    assert_eq!(scene.files().len(), 4);
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 4);
    store.clear().await.unwrap();
    assert_eq!(scene.files(), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_in_a_bucket_comes_back_with_sqlite() {
    let Some(scene) = Scene::new() else { return };
    comes_back(scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_in_a_bucket_comes_back_with_postgres() {
    let Some(scene) = Scene::on_postgres() else { return };
    comes_back(scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_before_there_was_a_bucket_is_found() {
    let (Some(here), Some(database)) = (Scene::new(), Scene::on_postgres()) else { return };
    for scene in [here, database] {
        let before = open(&scene.address()).await.unwrap();
        let old = before.put_blob(b"old").await.unwrap();
        let store = scene.open().await;
        assert_eq!(store.blob(old.digest).await.unwrap(), b"old");
        let new = store.put_blob(b"new").await.unwrap();
        let error = before.blob(new.digest).await.unwrap_err();
        assert!(matches!(error, StoreError::NoBucket(_)), "{error}");
        // What is there already in the other place may be stored in this one.
        assert_eq!(before.put_blob(b"new").await.unwrap(), new);
        assert_eq!(before.blob(new.digest).await.unwrap(), b"new");
        assert_eq!(store.blob(new.digest).await.unwrap(), b"new");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_bucket_is_said() {
    let Some(mut scene) = Scene::new() else { return };
    let address = scene.address();
    let tried = async |bucket: &str, secret: &str, objects: &Objects| {
        let store = open_with(&address, Some(&options(objects, bucket, secret))).await.unwrap();
        store.try_bucket().await.unwrap_err()
    };
    let error = tried(BUCKET, "another-secret", &scene.objects).await;
    assert!(matches!(error, StoreError::BucketRefuses { .. }), "{error:?}");
    assert!(error.to_string().contains("credentials are refused"), "{error}");
    let error = tried("nothere", Objects::KEY.1, &scene.objects).await;
    assert!(error.to_string().contains("there is no such bucket"), "{error:?}");
    let store = scene.open().await;
    let blob = store.put_blob(b"content").await.unwrap();
    scene.objects.kill();
    for error in [store.try_bucket().await.unwrap_err(), store.blob(blob.digest).await.unwrap_err()] {
        assert!(matches!(error, StoreError::BucketAway { .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains(Objects::KEY.1), "no secret is told");
    }
    scene.objects.again();
    assert_eq!(store.blob(blob.digest).await.unwrap(), b"content");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_during_an_upload_leaves_nothing_behind() {
    let Some(mut scene) = Scene::new() else { return };
    let store = scene.open().await;
    let file = scene.file(60 << 20);
    let upload = {
        let (store, file) = (Arc::clone(&store), file.clone());
        tokio::spawn(async move { store.put_file(&file).await })
    };
    // It has begun when its key is written down.
    let begun = async {
        while store.clear().await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    soon(begun).await;
    scene.objects.kill();
    let error = upload.await.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::BucketAway { .. }), "{error:?}");
    scene.objects.again();
    let blob = store.put_file(&file).await.unwrap().unwrap();
    let back = scene.folder.path().join("back");
    store.fetch_file(blob.digest, &back).await.unwrap();
    assert!(fs::read(&back).unwrap() == bytes(60 << 20));
    assert_eq!(scene.files().len(), 1);
    assert!(
        store.clear().await.unwrap().is_some(),
        "the other upload's key is removed when its time is over"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_was_changed_is_never_used_and_mended_by_whoever_stores_it_again() {
    let Some(mut scene) = Scene::new() else { return };
    let store = scene.open().await;
    let session = session(&*store).await;
    let content = bytes((9 << 20) + 3);
    let damages: [fn(&mut Vec<u8>); 3] =
        [|bytes| bytes[8 << 20] ^= 1, |bytes| bytes.truncate(8 << 20), Vec::clear];
    for damage in damages {
        let blob = store.put_blob(&content).await.unwrap();
        let at = cofferdam_domain::Timestamp(1);
        store.append(session, cofferdam_store::Writer::Anybody, at, vec![output(blob)]).await.unwrap();
        let object = scene
            .files()
            .into_iter()
            .max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap())
            .unwrap();
        let mut changed = content.clone();
        damage(&mut changed);
        fs::write(&object, changed).unwrap();
        // It would believe for a while that the object has the length that it had.
        scene.objects.kill();
        scene.objects.again();
        let back = scene.folder.path().join("back");
        for error in [
            store.fetch_file(blob.digest, &back).await.unwrap_err(),
            store.blob(blob.digest).await.unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::DamagedObject { .. }), "{error:?}");
            assert!(error.to_string().contains(object.file_name().unwrap().to_str().unwrap()), "{error}");
        }
        assert!(!back.exists() && !back.with_extension("unfinished").exists());
        assert!(store.verify(session).await.unwrap_err().to_string().contains("damaged"));
        // Even if it is as it was: nobody knows what else was done.
        fs::write(&object, &content).unwrap();
        assert!(store.blob(blob.digest).await.is_err());
        store.put_blob(&content).await.unwrap();
        assert!(store.blob(blob.digest).await.unwrap() == content);
        store.verify(session).await.unwrap();
        assert!(object.exists(), "it is kept to be looked at");
    }
    let blob = store.put_blob(b"to be removed").await.unwrap();
    let object = scene.files().into_iter().find(|path| fs::read(path).unwrap() == b"to be removed").unwrap();
    fs::remove_file(object).unwrap();
    scene.objects.kill();
    scene.objects.again();
    let error = store.blob(blob.digest).await.unwrap_err();
    assert!(matches!(error, StoreError::DamagedObject { .. }), "{error:?}");
    assert_eq!(store.put_blob(b"to be removed").await.unwrap(), blob);
    assert_eq!(store.blob(blob.digest).await.unwrap(), b"to be removed");
}
