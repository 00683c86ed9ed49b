//! Configurations, endings and questions that several tests share.
use super::{Rng, Script, World, nonstop};
use gemini_live::Ending;
use gemini_session::{Cause, Config, Event};
use std::time::Duration;

pub const MINUTE: u64 = 60_000;

pub fn translate() -> Config {
    Config::translate("models/translate", "es", Duration::from_secs(10))
}

pub fn dialogue() -> Config {
    Config::dialogue("models/live", "interpret", Duration::from_secs(20))
}

pub fn closed(code: u16, reason: &str) -> Ending {
    Ending::Closed {
        code,
        reason: reason.to_owned(),
    }
}

pub fn refused(status: u16, retry_after: Option<Duration>) -> Ending {
    Ending::Refused {
        status,
        retry_after,
        message: String::new(),
    }
}

pub fn unavailable() -> Ending {
    closed(1011, "The service is currently unavailable.")
}

/// A connection that the server closes right behind the upgrade, as it reports nearly everything.
pub fn closes(ending: Ending) -> Script {
    Script {
        never_set_up: true,
        ends_at: Some(100),
        ending: Some(ending),
        ..Script::default()
    }
}

pub fn world(
    seed: u64,
    config: Config,
    minutes: u64,
    script: impl Fn(u64, u64) -> Script + 'static,
) -> World {
    let phrases = nonstop(&mut Rng::new(seed), 1_000, minutes * MINUTE);
    World::new(seed, config, phrases, script)
}

/// Everything from `from` on was heard, in order and once.
pub fn expect_whole_from(world: &World, from: u64, what: &str) {
    let problems: Vec<String> = world.listener.verdict(from, u64::MAX);
    assert!(
        problems.is_empty(),
        "{what}\n{}\n{:#?}",
        problems.join("\n"),
        world.events
    );
    world.expect_settled();
}

pub fn failed_by(world: &World, wanted: Cause) -> Vec<u64> {
    world
        .events
        .iter()
        .filter(|(_, event)| matches!(event, Event::Failed { cause, .. } if *cause == wanted))
        .map(|(at, _)| *at)
        .collect()
}
