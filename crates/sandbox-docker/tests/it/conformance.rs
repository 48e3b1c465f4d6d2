//! What every driver must do.

use std::sync::Arc;

use cofferdam_conformance::Scene;

use crate::engine::driver;

async fn open() -> Option<Scene> {
    driver().await.map(|driver| Scene::new(Arc::new(driver)))
}

cofferdam_conformance::suite!(open);
