//! Figures: how long things take. Not run with the others.

use std::sync::Arc;

use cofferdam_conformance::Scene;

use crate::engine::driver;

const ROUNDS: usize = 20;

#[tokio::test]
#[ignore = "measures; run it alone, in release, with --nocapture"]
async fn figures() {
    let Some(driver) = driver().await else { return };
    println!("{}", driver.level());
    cofferdam_conformance::figures::figures(&Scene::new(Arc::new(driver)), ROUNDS).await;
}
