//! Settings, read and checked once at the start.
use crate::path_pattern::PathPattern;
use media_types::StreamSettings;
use service_kit::telemetry::TELEMETRY_SETTINGS;
use service_kit::{ConfigErrors, Env, Program, Reader, Setting, TelemetryConfig};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use stream_lifecycle::Policy;

/// Shorthand for a line of the table.
const fn setting(
    key: &'static str,
    default: &'static str,
    allowed: &'static str,
    help: &'static str,
) -> Setting {
    Setting {
        key,
        default,
        allowed,
        help,
    }
}

const HTTP_ADDR: Setting = setting(
    "ORCH_HTTP_ADDR",
    "0.0.0.0:8080",
    "IP:PORT",
    "Address on which MediaMTX's hooks are taken",
);
const GRPC_ADDR: Setting = setting(
    "ORCH_GRPC_ADDR",
    "0.0.0.0:50051",
    "IP:PORT",
    "Address of the operator's gRPC service",
);
/// Address of `/metrics`, `/livez` and `/readyz`.
pub const ADMIN_ADDR: Setting = setting(
    "ORCH_ADMIN_ADDR",
    "0.0.0.0:9101",
    "IP:PORT",
    "Address of /metrics, /livez and /readyz",
);
const EDGE_URL: Setting = setting(
    "ORCH_EDGE_URL",
    "http://media-edge:50052",
    "http://HOST[:PORT]",
    "media-edge's gRPC service",
);
const MEDIAMTX_API_URL: Setting = setting(
    "ORCH_MEDIAMTX_API_URL",
    "http://mediamtx:9997",
    "http://HOST[:PORT]",
    "MediaMTX's Control API",
);
/// From a path to a stream.
pub const STREAM_ID_FROM_PATH_REGEX: Setting = setting(
    "ORCH_STREAM_ID_FROM_PATH_REGEX",
    "^live/([^/]+)/(in|out)$",
    "a regular expression whose first group is the stream id",
    "How a stream id is found in a path; a second group that says `out` marks the dubbed side",
);
const GRACE_PERIOD: Setting = setting(
    "ORCH_GRACE_PERIOD",
    "30s",
    "0s..5m",
    "How long a run waits for its publisher to come back",
);
const WORKER_MODE: Setting = setting(
    "ORCH_WORKER_MODE",
    "process",
    "process|external",
    "Who runs workers: media-edge on our order, or somebody else who follows our log",
);
const MAX_WORKERS: Setting = setting(
    "ORCH_MAX_WORKERS",
    "0",
    "0..100000",
    "Most workers at a time; 0 for no limit",
);
const RESTARTS_MAX: Setting = setting(
    "ORCH_WORKER_RESTARTS_MAX",
    "6",
    "0..1000",
    "Restarts of a worker within the window; one more makes the stream degraded",
);
const RESTART_WINDOW: Setting = setting(
    "ORCH_WORKER_RESTART_WINDOW",
    "10m",
    "1s..24h",
    "Window over which restarts are counted",
);
const RECONCILE_INTERVAL: Setting = setting(
    "ORCH_RECONCILE_INTERVAL",
    "1s",
    "100ms..2s",
    "How often MediaMTX's paths and media-edge's workers are listed",
);
/// Where state is kept.
pub const STATE_DIR: Setting = setting(
    "ORCH_STATE_DIR",
    "",
    "a writable directory",
    "Folder of what outlives a crash: runs and operators' stops; empty for none",
);
const DRAIN_TIMEOUT: Setting = setting(
    "ORCH_DRAIN_TIMEOUT",
    "5s",
    "100ms..60s",
    "Longest time for open calls to end at a stop",
);

const SOURCE_LANG: Setting = setting(
    "WORKER_SOURCE_LANG",
    "",
    "a BCP-47 tag",
    "Language of the source; empty lets the provider detect it",
);
const TARGET_LANG: Setting = setting(
    "WORKER_TARGET_LANG",
    "es",
    "a BCP-47 tag",
    "Language of the dub; query `lang`",
);
const TTS_VOICE: Setting = setting(
    "WORKER_TTS_VOICE",
    "default",
    "1 to 128 bytes",
    "Voice of the dub, a provider's own name; query `voice`",
);
const STS_MODE: Setting = setting(
    "WORKER_STS_MODE",
    "enabled",
    "enabled|passthrough|disabled",
    "Whether speech is dubbed, only accounted for, or left alone; query `mode`",
);
const BUFFER_TARGET: Setting = setting(
    "WORKER_BUFFER_TARGET",
    "10s",
    "0s..60s, more than 0s while dubbing is enabled",
    "What a worker holds back so that the dub lands on the lips; query `hold`",
);
const FRAGMENT_TARGET_DUR: Setting = setting(
    "WORKER_FRAGMENT_TARGET_DUR",
    "2s",
    "250ms..10s",
    "Length of one fragment; query `fragment`",
);
const FALLBACK: Setting = setting(
    "WORKER_FALLBACK",
    "pass-through",
    "pass-through|ducked-original|silence",
    "What airs where no dub is due in time; query `fallback`",
);
const BED_MODE: Setting = setting(
    "WORKER_BED_MODE",
    "ducked",
    "ducked|none",
    "What the original does under a dub; query `bed`",
);
const BG_GAIN_DB: Setting = setting(
    "WORKER_BG_GAIN_DB",
    "0",
    "-60..12",
    "Gain of the programme sound, in dB",
);
const DUB_GAIN_DB: Setting = setting("WORKER_DUB_GAIN_DB", "0", "-60..12", "Gain of the dub, in dB");
const DUCK_GAIN_DB: Setting = setting(
    "WORKER_DUCK_GAIN_DB",
    "-15",
    "-60..12",
    "Gain of the original under a dub, in dB",
);
const AIR_STATE: Setting = setting(
    "WORKER_AIR_STATE",
    "dub",
    "dub|voice-over|original|mute",
    "Air state at the start of a run; query `air`",
);

/// Every setting of this program, those of logs and traces aside.
pub const SETTINGS: &[Setting] = &[
    HTTP_ADDR,
    GRPC_ADDR,
    ADMIN_ADDR,
    EDGE_URL,
    MEDIAMTX_API_URL,
    STREAM_ID_FROM_PATH_REGEX,
    GRACE_PERIOD,
    WORKER_MODE,
    MAX_WORKERS,
    RESTARTS_MAX,
    RESTART_WINDOW,
    RECONCILE_INTERVAL,
    STATE_DIR,
    DRAIN_TIMEOUT,
    SOURCE_LANG,
    TARGET_LANG,
    TTS_VOICE,
    STS_MODE,
    BUFFER_TARGET,
    FRAGMENT_TARGET_DUR,
    FALLBACK,
    BED_MODE,
    BG_GAIN_DB,
    DUB_GAIN_DB,
    DUCK_GAIN_DB,
    AIR_STATE,
];

/// What the command line shows.
pub const PROGRAM: Program = Program {
    name: "orchestrator",
    about: "Takes MediaMTX's hooks and has one worker run for each live stream",
    settings: &[SETTINGS, TELEMETRY_SETTINGS],
    commands: &[],
};

/// Who runs workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerMode {
    /// media-edge, on our order.
    Process,
    /// Somebody else, who follows our log.
    External,
}

impl FromStr for WorkerMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "process" => Ok(Self::Process),
            "external" => Ok(Self::External),
            _ => Err("is no worker mode"),
        }
    }
}

/// Checked settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where hooks are taken.
    pub http_addr: SocketAddr,
    /// Where operators call.
    pub grpc_addr: SocketAddr,
    /// Where the process is watched.
    pub admin_addr: SocketAddr,
    /// media-edge.
    pub edge_url: String,
    /// MediaMTX's Control API.
    pub mediamtx_api_url: String,
    /// From a path to a stream.
    pub path_pattern: PathPattern,
    /// Numbers of the lifecycle.
    pub policy: Policy,
    /// Who runs workers.
    pub worker_mode: WorkerMode,
    /// Most workers at a time, if there is a limit.
    pub workers_max: Option<usize>,
    /// How often peers are listed.
    pub reconcile_interval: Duration,
    /// Folder of what outlives this process, if it is to be kept.
    pub state_dir: Option<PathBuf>,
    /// Longest drain.
    pub drain: Duration,
    /// Settings of a stream that says nothing else.
    pub stream_settings: StreamSettings,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

impl Config {
    /// Reads and checks everything; names everything that is wrong.
    pub fn from_env(env: &Env) -> Result<Self, ConfigErrors> {
        let mut errors = Reader::new(env);
        let reader = &mut errors;
        let (zero, second, minute) = (Duration::ZERO, Duration::from_secs(1), Duration::from_secs(60));
        let config = Self {
            http_addr: reader.address(&HTTP_ADDR),
            grpc_addr: reader.address(&GRPC_ADDR),
            admin_addr: reader.address(&ADMIN_ADDR),
            edge_url: reader.url(&EDGE_URL, &["http"]),
            mediamtx_api_url: reader.url(&MEDIAMTX_API_URL, &["http"]),
            // A wrong pattern ends the start below.
            path_pattern: reader.parsed(&STREAM_ID_FROM_PATH_REGEX).unwrap_or_default(),
            policy: Policy {
                grace: reader.duration(&GRACE_PERIOD, zero..=minute * 5),
                restarts_max: reader.number(&RESTARTS_MAX, 0..=1000),
                restart_window: reader.duration(&RESTART_WINDOW, second..=minute * 60 * 24),
                ..Policy::default()
            },
            worker_mode: reader.word(&WORKER_MODE),
            workers_max: Some(reader.number(&MAX_WORKERS, 0..=100_000)).filter(|max| *max > 0),
            reconcile_interval: reader.duration(&RECONCILE_INTERVAL, second / 10..=second * 2),
            state_dir: reader.directory(&STATE_DIR),
            drain: reader.duration(&DRAIN_TIMEOUT, second / 10..=minute),
            stream_settings: stream_settings(reader),
            telemetry: TelemetryConfig::read(reader),
        };
        errors.finish()?;
        Ok(config)
    }
}

fn stream_settings(reader: &mut Reader<'_>) -> StreamSettings {
    let (zero, minute) = (Duration::ZERO, Duration::from_secs(60));
    let gains_db = -60.0..=12.0;
    let settings = StreamSettings {
        source_lang: reader.text(&SOURCE_LANG),
        target_lang: reader.text(&TARGET_LANG),
        tts_voice: reader.text(&TTS_VOICE),
        sts_mode: reader.word(&STS_MODE),
        hold: reader.duration(&BUFFER_TARGET, zero..=minute),
        fragment_duration: reader.duration(
            &FRAGMENT_TARGET_DUR,
            Duration::from_millis(250)..=Duration::from_secs(10),
        ),
        fallback: reader.word(&FALLBACK),
        bed_mode: reader.word(&BED_MODE),
        bg_gain_db: reader.number(&BG_GAIN_DB, gains_db.clone()),
        dub_gain_db: reader.number(&DUB_GAIN_DB, gains_db.clone()),
        duck_gain_db: reader.number(&DUCK_GAIN_DB, gains_db),
        initial_air_state: reader.word(&AIR_STATE),
    };
    for error in settings.validate().err().unwrap_or_default() {
        let named = match error.field {
            "source_lang" => &SOURCE_LANG,
            "target_lang" => &TARGET_LANG,
            "tts_voice" => &TTS_VOICE,
            "hold" => &BUFFER_TARGET,
            "fragment_duration" => &FRAGMENT_TARGET_DUR,
            "bg_gain_db" => &BG_GAIN_DB,
            "dub_gain_db" => &DUB_GAIN_DB,
            "duck_gain_db" => &DUCK_GAIN_DB,
            _ => &AIR_STATE,
        };
        // As it was written, not as it was understood.
        let said = reader.text(named);
        reader.reject(named, said, format!("is not {}", error.allowed));
    }
    settings
}
