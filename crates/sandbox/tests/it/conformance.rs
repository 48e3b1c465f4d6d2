//! What every driver must do.

use cofferdam_conformance::Scene;

use crate::support::Place;

async fn open() -> Option<Scene> {
    Place::new().await.map(Place::into_scene)
}

cofferdam_conformance::suite!(open);
