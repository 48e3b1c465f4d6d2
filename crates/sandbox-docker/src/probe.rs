//! What `doctor` tells of an engine.

use cofferdam_sandbox::{Finding, SandboxError, State};

use crate::{DockerOptions, driver::judge, engine::Engine};

/// Looks at the engine, and says whether it will do; makes nothing.
pub async fn probe(options: &DockerOptions) -> Vec<Finding> {
    let engine = match Engine::connect(&options.socket).await {
        Ok(engine) => engine,
        Err(error) => return vec![missing("container engine", "sandboxes of the docker driver", error)],
    };
    let mut findings = vec![match judge(&engine, options).await {
        Ok(kind) => {
            let weak = kind.walls.level.contains("weak");
            Finding {
                what: "container engine",
                state: if weak { State::Weak } else { State::Ok },
                found: format!("{} at {}", kind.walls.level, engine.socket().display()),
                meaning: "sandboxes with users, kernel and limits of their own",
                remedy: weak.then(|| {
                    "have the engine map users (`userns-remap`), or name a `runtime` with a kernel of its own".to_owned()
                }),
            }
        }
        Err(error) => missing("container engine", "sandboxes of the docker driver", error),
    }];
    findings.push(match engine.image(&options.image).await {
        Ok(found) => Finding {
            what: "image",
            state: State::Ok,
            found: format!("{} ({})", options.image, found.id.unwrap_or_default()),
            meaning: "the system of sandboxes",
            remedy: None,
        },
        Err(error) => missing("image", "the system of sandboxes", error),
    });
    findings
}

fn missing(what: &'static str, meaning: &'static str, error: SandboxError) -> Finding {
    let (found, remedy) = if let SandboxError::Host { missing, remedy } = error {
        (missing, Some(remedy))
    } else {
        (error.to_string(), None)
    };
    Finding { what, state: State::Missing, found, meaning, remedy }
}
