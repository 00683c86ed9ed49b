//! Every setting of the dubber, read together and refused together.
pub mod endpoint;
mod prices;
pub mod session;

use crate::gemini::dial::Target;
use crate::provider::fixtures::Fixtures;
use crate::provider::mock;
use crate::provider::schedule::Schedule;
use crate::session::{Limits, live};
use endpoint::{ENDPOINT_SETTINGS, GEMINI_API_KEY, GEMINI_VERTEX_PROJECT};
use media_types::MediaTime;
use service_kit::telemetry::TELEMETRY_SETTINGS;
use service_kit::{ConfigErrors, Env, Program, Reader, Setting, TelemetryConfig};
use session::{SESSION_SETTINGS, SessionSettings};
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// Where DubService listens.
pub const GRPC_ADDR: Setting = Setting {
    key: "DUBBER_GRPC_ADDR",
    default: "0.0.0.0:50053",
    allowed: "IP:PORT",
    help: "Listen address of DubService (gRPC)",
};
/// Where metrics and health are answered.
pub const ADMIN_ADDR: Setting = Setting {
    key: "DUBBER_ADMIN_ADDR",
    default: "0.0.0.0:9103",
    allowed: "IP:PORT",
    help: "Listen address of /metrics, /livez and /readyz",
};
/// Who dubs.
pub const STS_PROVIDER: Setting = Setting {
    key: "WORKER_STS_PROVIDER",
    default: "",
    allowed: "gemini-live, mock",
    help: "Who dubs; unset takes gemini-live where a key or a Vertex project is set, else the mock, with a warning",
};
/// What the mock answers.
pub const MOCK_MODE: Setting = Setting {
    key: "DUBBER_MOCK_MODE",
    default: "passthrough",
    allowed: "passthrough, tone, coded, fixtures",
    help: "What the mock answers: the original, a 440 Hz tone, a tone that tells odd numbers, or recordings",
};
/// Recordings of the mock.
pub const MOCK_FIXTURES_DIR: Setting = Setting {
    key: "DUBBER_MOCK_FIXTURES_DIR",
    default: "",
    allowed: "a directory with at least one .wav file",
    help: "Recordings for the fixtures mode, taken in a circle by name: WAV, signed 16 bit, mono or stereo",
};
/// Delay of the mock.
pub const MOCK_DELAY: Setting = Setting {
    key: "DUBBER_MOCK_DELAY",
    default: "200ms",
    allowed: "0ms..1m",
    help: "From a complete fragment to the mock's answer",
};
/// Jitter of the mock.
pub const MOCK_JITTER: Setting = Setting {
    key: "DUBBER_MOCK_JITTER",
    default: "0ms",
    allowed: "0ms..1m",
    help: "Added to the delay, evenly spread from nothing to this",
};
/// Loss of the mock.
pub const MOCK_LOSS: Setting = Setting {
    key: "DUBBER_MOCK_LOSS",
    default: "0",
    allowed: "0..1",
    help: "Share of fragments that the mock never answers",
};
/// Reordering of the mock.
pub const MOCK_REORDER: Setting = Setting {
    key: "DUBBER_MOCK_REORDER",
    default: "0",
    allowed: "0..1",
    help: "Share of answers that come after the answer to the next fragment",
};
/// Seed of the mock.
pub const MOCK_SEED: Setting = Setting {
    key: "DUBBER_MOCK_SEED",
    default: "1",
    allowed: "0..18446744073709551615",
    help: "Fixes jitter, loss and reordering by fragment number",
};
/// When an answer is slow.
pub const SOFT_BUDGET: Setting = Setting {
    key: "DUBBER_SOFT_BUDGET",
    default: "8s",
    allowed: "10ms..1m, at most DUBBER_HARD_BUDGET",
    help: "An answer that takes longer is counted and said",
};
/// When an answer has failed.
pub const HARD_BUDGET: Setting = Setting {
    key: "DUBBER_HARD_BUDGET",
    default: "12s",
    allowed: "10ms..2m",
    help: "An answer that takes longer has failed, and holds up nothing behind it",
};
/// Speech at the provider at once.
pub const IN_FLIGHT_MAX: Setting = Setting {
    key: "DUBBER_IN_FLIGHT_MAX",
    default: "10s",
    allowed: "250ms..2m",
    help: "Unanswered source speech of one session of the mock at most; more is refused as overloaded (Gemini: WORKER_GEMINI_BREAKER_IN_FLIGHT)",
};
/// Sessions at once.
pub const MAX_SESSIONS: Setting = Setting {
    key: "DUBBER_MAX_SESSIONS",
    default: "100",
    allowed: "0..100000, 0 = no limit",
    help: "Dub sessions at once at most; more are refused",
};
/// Time for a drain.
pub const DRAIN_LIMIT: Setting = Setting {
    key: "DUBBER_DRAIN_LIMIT",
    default: "5s",
    allowed: "0s..1m",
    help: "What is under way at SIGTERM is answered for so long",
};

/// Every setting of the service and of the mock.
pub const SETTINGS: &[Setting] = &[
    GRPC_ADDR,
    ADMIN_ADDR,
    STS_PROVIDER,
    MOCK_MODE,
    MOCK_FIXTURES_DIR,
    MOCK_DELAY,
    MOCK_JITTER,
    MOCK_LOSS,
    MOCK_REORDER,
    MOCK_SEED,
    SOFT_BUDGET,
    HARD_BUDGET,
    IN_FLIGHT_MAX,
    MAX_SESSIONS,
    DRAIN_LIMIT,
];

/// What the program says about itself.
pub const PROGRAM: Program = Program {
    name: "dubber",
    about: "Dubs the speech of live streams: speech in, dubbed speech out, over gRPC",
    settings: &[SETTINGS, ENDPOINT_SETTINGS, SESSION_SETTINGS, TELEMETRY_SETTINGS],
    commands: &[(crate::check::COMMAND, crate::check::ABOUT)],
};

/// The providers of this version.
const PROVIDERS: &[&str] = &[live::NAME, mock::NAME];

/// Who dubs, with all that it needs.
#[derive(Clone, Debug)]
pub enum ProviderConfig {
    /// The deterministic mock.
    Mock(mock::Config),
    /// Gemini Live.
    GeminiLive(Box<GeminiConfig>),
}

/// Gemini Live, with all that it needs.
#[derive(Clone, Debug)]
pub struct GeminiConfig {
    /// Where it is, and who calls.
    pub target: Target,
    /// How sessions go.
    pub sessions: SessionSettings,
}

impl ProviderConfig {
    /// Name on the wire and in logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Mock(_) => mock::NAME,
            Self::GeminiLive(_) => live::NAME,
        }
    }
}

/// Everything that was set, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where DubService listens.
    pub grpc_addr: SocketAddr,
    /// Where metrics and health are answered.
    pub admin_addr: SocketAddr,
    /// Who dubs.
    pub provider: ProviderConfig,
    /// Budgets of a session.
    pub limits: Limits,
    /// Sessions at once; 0 means that there is no limit.
    pub sessions_max: usize,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// What someone should know about these settings; each is one warning at start.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads everything.
    pub fn read(env: &Env) -> Result<Self, ConfigErrors> {
        const MINUTE: Duration = Duration::from_secs(60);
        const SHORTEST: Duration = Duration::from_millis(10);
        let mut reader = Reader::new(env);
        let mut warnings = Vec::new();
        let hard_budget = reader.duration(&HARD_BUDGET, SHORTEST..=2 * MINUTE);
        let soft_budget = reader.duration(&SOFT_BUDGET, SHORTEST..=MINUTE);
        // A hard budget below the default soft one is enough to say; it then bounds both.
        let soft_said = reader
            .optional_text(&SOFT_BUDGET)
            .is_some_and(|said| said != SOFT_BUDGET.default);
        if soft_budget > hard_budget && soft_said {
            let problem = format!(
                "is more than {} ({} ms)",
                HARD_BUDGET.key,
                hard_budget.as_millis()
            );
            reader.reject(&SOFT_BUDGET, format!("{}ms", soft_budget.as_millis()), problem);
        }
        let in_flight = reader.duration(&IN_FLIGHT_MAX, Duration::from_millis(250)..=2 * MINUTE);
        let limits = Limits {
            soft_budget: soft_budget.min(hard_budget),
            hard_budget,
            in_flight: MediaTime::from_duration(in_flight),
            drain: reader.duration(&DRAIN_LIMIT, Duration::ZERO..=MINUTE),
        };
        let config = Self {
            grpc_addr: reader.address(&GRPC_ADDR),
            admin_addr: reader.address(&ADMIN_ADDR),
            provider: read_provider(
                &mut reader,
                env,
                (limits.soft_budget, limits.hard_budget),
                &mut warnings,
            ),
            limits,
            sessions_max: reader.number(&MAX_SESSIONS, 0..=100_000),
            telemetry: TelemetryConfig::read(&mut reader),
            warnings,
        };
        reader.finish()?;
        Ok(config)
    }
}

/// Who dubs by these settings.
fn choose_provider(reader: &mut Reader<'_>, warnings: &mut Vec<String>) -> &'static str {
    let has_key =
        reader.secret(&GEMINI_API_KEY).is_some() || reader.optional_text(&GEMINI_VERTEX_PROJECT).is_some();
    match reader.optional_text(&STS_PROVIDER) {
        Some(said) => match PROVIDERS.iter().find(|name| **name == said) {
            Some(name) => name,
            None => {
                let problem = format!(
                    "is no provider of this version, which has: {}",
                    PROVIDERS.join(", ")
                );
                reader.reject(&STS_PROVIDER, said, problem);
                mock::NAME
            }
        },
        None if has_key => live::NAME,
        None => {
            warnings.push(format!(
                "neither {} nor {} nor {} is set: NOTHING IS TRANSLATED, the mock answers; set a key, or {}=mock to say \
                 that this is meant",
                STS_PROVIDER.key, GEMINI_API_KEY.key, GEMINI_VERTEX_PROJECT.key, STS_PROVIDER.key
            ));
            mock::NAME
        }
    }
}

fn read_provider(
    reader: &mut Reader<'_>,
    env: &Env,
    budgets: (Duration, Duration),
    warnings: &mut Vec<String>,
) -> ProviderConfig {
    let live = choose_provider(reader, warnings) == live::NAME;
    // Settings of the provider that is not chosen are checked as well, but nobody needs their warnings.
    let mut unused = Vec::new();
    let told = if live { &mut *warnings } else { &mut unused };
    let sessions = SessionSettings::read(reader, budgets, told);
    let target = live.then(|| endpoint::read(reader, env, warnings)).flatten();
    let mock = read_mock(reader);
    match target {
        Some(target) => ProviderConfig::GeminiLive(Box::new(GeminiConfig { target, sessions })),
        // Without a target something was refused, and nobody gets to see this.
        None => ProviderConfig::Mock(mock),
    }
}

fn read_mock(reader: &mut Reader<'_>) -> mock::Config {
    let minute = Duration::ZERO..=Duration::from_secs(60);
    let schedule = Schedule {
        delay: reader.duration(&MOCK_DELAY, minute.clone()),
        jitter: reader.duration(&MOCK_JITTER, minute),
        loss: reader.number(&MOCK_LOSS, 0.0..=1.0),
        reorder: reader.number(&MOCK_REORDER, 0.0..=1.0),
        seed: reader.number(&MOCK_SEED, 0..=u64::MAX),
    };
    mock::Config {
        mode: read_mode(reader),
        schedule,
    }
}

fn read_mode(reader: &mut Reader<'_>) -> mock::Mode {
    match reader.word::<ModeWord>(&MOCK_MODE) {
        ModeWord::Passthrough => mock::Mode::Passthrough,
        ModeWord::Tone => mock::Mode::Tone,
        ModeWord::Coded => mock::Mode::Coded,
        ModeWord::Fixtures => {
            let Some(directory) = reader.optional_text(&MOCK_FIXTURES_DIR) else {
                let problem = format!(
                    "is needed by {}=fixtures; name a directory with recordings",
                    MOCK_MODE.key
                );
                reader.reject(&MOCK_FIXTURES_DIR, "", problem);
                return mock::Mode::Passthrough;
            };
            match Fixtures::load(Path::new(&directory)) {
                Ok(fixtures) => mock::Mode::Fixtures(fixtures),
                Err(error) => {
                    reader.reject(&MOCK_FIXTURES_DIR, &directory, error);
                    mock::Mode::Passthrough
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum ModeWord {
    Passthrough,
    Tone,
    Coded,
    Fixtures,
}

#[derive(Debug)]
struct UnknownMode;

impl fmt::Display for UnknownMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is no mode of the mock")
    }
}

impl FromStr for ModeWord {
    type Err = UnknownMode;
    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "passthrough" => Ok(Self::Passthrough),
            "tone" => Ok(Self::Tone),
            "coded" => Ok(Self::Coded),
            "fixtures" => Ok(Self::Fixtures),
            _ => Err(UnknownMode),
        }
    }
}

#[cfg(test)]
mod tests;
