//! Figures: how long things take. Not run with the others.

use crate::support::Place;

const ROUNDS: usize = 100;

#[tokio::test]
#[ignore = "measures; run it alone, in release, with --nocapture"]
async fn figures() {
    let Some(place) = Place::new().await else { return };
    println!("{}", place.driver.level());
    cofferdam_conformance::figures::figures(&place, ROUNDS).await;
}
