//! What was noted for sessions on a repository before one begins: looked up once, by the repository's one name, in its own organisation only.

use cofferdam_agent::Agent;
use cofferdam_domain::{
    EventBody, Memories, Memory, Part,
    memory::{MOST_BYTES, place},
};
use cofferdam_forge::Mirror;
use cofferdam_tools::Notes;

use crate::{WorkerError, patience::patiently, stage::StageContext};

/// What is recalled, if anything.
pub(crate) async fn recall(
    context: &StageContext,
    mirror: &Mirror,
) -> Result<Option<EventBody>, WorkerError> {
    let wanted = context.agent.fixed().is_some_and(|fixed| fixed.policy.memory.is_used());
    // A review of a stranger's change is read by that stranger.
    let for_strangers = context.agent.review().is_some_and(|review| review.foreign);
    if !wanted || for_strangers || context.part != Part::FIRST {
        return Ok(None);
    }
    let mut places: Vec<String> = context.task()?.addresses().into_iter().filter_map(place).collect();
    places.extend(place(&mirror.found_at()));
    places.sort_unstable();
    places.dedup();
    let found = patiently(|| context.parts.policies.memories(context.org, &places)).await?;
    let recalled = bounded(found);
    let nothing = recalled.memories.is_empty() && recalled.left_out == 0;
    Ok((!nothing).then(|| EventBody::MemoriesRecalled(Box::new(recalled))))
}

/// What is known of the notes that a session proposes.
pub(crate) fn notes(agent: &Agent) -> Notes {
    Notes {
        proposed: agent.proposed(),
        private: agent.exceeds_repository(),
        nameless: agent.task().is_none_or(|task| place(&task.repository).is_none()),
    }
}

/// As many of the newest as there is room for.
fn bounded((mut memories, more): (Vec<Memory>, u32)) -> Memories {
    let mut size = 0_usize;
    let fits = |memory: &&Memory| {
        size = size.saturating_add(memory.text.len());
        size <= MOST_BYTES
    };
    let room = memories.iter().take_while(fits).count();
    let left_out = memories.len() - room;
    memories.truncate(room);
    Memories { memories, left_out: more.saturating_add(u32::try_from(left_out).unwrap_or(u32::MAX)) }
}

#[cfg(test)]
mod tests {
    use cofferdam_domain::{MemoryId, MemorySource, Timestamp};

    use super::*;

    #[test]
    fn the_newest_that_fit_are_recalled() {
        let memory = |bytes: usize| Memory {
            id: MemoryId::from_u128(1),
            repository: None,
            text: "x".repeat(bytes),
            source: MemorySource::Person { by: "ann".into() },
            at: Timestamp(1),
            private: false,
        };
        let recalled = bounded(((0..50).map(|_| memory(2_000)).collect(), 7));
        assert_eq!((recalled.memories.len(), recalled.left_out), (12, 45));
        let all = bounded((vec![memory(1); 50], 0));
        assert_eq!((all.memories.len(), all.left_out), (50, 0));
    }
}
