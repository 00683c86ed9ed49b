//! The environment of the parts: what the caller said wins over this process's environment, that over `.env`, that
//! over the wiring of the stack.

use std::path::Path;

use service_kit::settings::{Env, Setting};

use crate::listeners::{LISTENERS, Ports};
use crate::settings::{RECORD_IN, RECORD_OUT};

/// Settings that point one part at another or at a folder. In `.env` they name hosts and volumes of the containers,
/// which do not exist here, so they are not taken from that file.
const PEERS: &[&str] = &[
    "ORCH_EDGE_URL",
    "ORCH_MEDIAMTX_API_URL",
    "ORCH_HOOK_BASE_URL",
    "MEDIA_EDGE_DUBBER_URL",
    "WORKER_MEDIAMTX_HOST",
    "WORKER_MEDIAMTX_RTSP_PORT",
    "WORKER_MEDIAMTX_RTMP_PORT",
    "WORKER_MEDIAMTX_SRT_PORT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "MTX_HOOK_BIN",
    "MTX_PATHDEFAULTS_RECORDPATH",
    "ORCH_STATE_DIR",
];

/// Which setting of ours turns on the recording of which path, by MediaMTX's name for it: it looks paths up by their
/// names in capitals.
const RECORDS: [(&Setting, &str); 2] = [
    (&RECORD_IN, "MTX_PATHS_~^LIVE/([^/]+)/IN$_RECORD"),
    (&RECORD_OUT, "MTX_PATHS_~^LIVE/([^/]+)/OUT$_RECORD"),
];

/// What the wiring needs to know.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Added to every port.
    pub offset: u16,
    /// The hook program.
    pub hook: &'a Path,
    /// Where parts keep what outlives them.
    pub state: &'a Path,
    /// Whether a Jaeger of ours takes traces.
    pub jaeger: bool,
    /// Whether a Gemini twin stands in Google's place.
    pub twin: bool,
}

/// The settings of a file of `KEY=VALUE` lines, as `.env.example` is written, without those that only fit the
/// container network. A file that does not exist has none.
#[must_use]
pub fn dotenv(path: &Path) -> Env {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    Env::from_pairs(text.lines().filter_map(pair).filter(|(key, _)| !is_wiring(key)))
}

fn is_wiring(key: &str) -> bool {
    PEERS.contains(&key) || LISTENERS.iter().any(|listener| listener.key == key)
}

fn pair(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let (key, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let value = value.trim();
    let bare = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .or_else(|| value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')));
    // A comment behind an unquoted value, as compose reads it.
    let unquoted = || value.split(" #").next().unwrap_or_default().trim_end();
    Some((key.trim().to_owned(), bare.unwrap_or_else(unquoted).to_owned()))
}

/// What the twin takes for a key: it takes any, and nobody may mistake this one for a real one.
const TWIN_KEY: &str = "the-twin-takes-any-key";

/// `said`, with the settings that let the dubber dub at the twin. They win over what the environment says: a `.env` that
/// names another provider, or a real key, must neither keep the dubber from the twin nor reach it.
#[must_use]
pub fn at_twin(said: &Env, offset: u16) -> Env {
    let twin = format!("http://127.0.0.1:{}", Ports::of(said, offset).twin);
    let mut wiring = vec![
        ("WORKER_STS_PROVIDER".to_owned(), "gemini-live".to_owned()),
        ("WORKER_GEMINI_BASE_URL".to_owned(), twin),
        ("WORKER_GEMINI_API_KEY".to_owned(), TWIN_KEY.to_owned()),
    ];
    // Said as empty, for a part would otherwise inherit them from the shell.
    let elsewhere = [
        "WORKER_GEMINI_API_KEY_FILE",
        "WORKER_GEMINI_VERTEX_PROJECT",
        "WORKER_GEMINI_VERTEX_CREDENTIALS_FILE",
    ];
    wiring.extend(elsewhere.map(|key| (key.to_owned(), String::new())));
    // A proxy would look for the twin on its own machine.
    for key in ["NO_PROXY", "no_proxy"] {
        let known = said.get(key).map(|known| format!("{known},")).unwrap_or_default();
        wiring.push((key.to_owned(), format!("{known}127.0.0.1")));
    }
    let said = said
        .pairs()
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    Env::from_pairs(said.chain(wiring))
}

/// The environment that every part gets: `said` over the wiring that follows from it.
#[must_use]
pub fn wired(said: Env, facts: &Facts<'_>) -> Env {
    let ports = Ports::of(&said, facts.offset);
    let mut wiring: Vec<(String, String)> = LISTENERS
        .iter()
        .map(|listener| {
            (
                listener.key.to_owned(),
                listener.address(&Env::default(), facts.offset).to_string(),
            )
        })
        .collect();
    let mut wire = |key: &str, value: String| wiring.push((key.to_owned(), value));
    let http = |port: u16| format!("http://127.0.0.1:{port}");
    wire("ORCH_EDGE_URL", http(ports.media_edge_grpc));
    wire("ORCH_MEDIAMTX_API_URL", http(ports.mediamtx_api));
    wire("ORCH_HOOK_BASE_URL", http(ports.orchestrator_http));
    wire("MEDIA_EDGE_DUBBER_URL", http(ports.dubber_grpc));
    wire("WORKER_MEDIAMTX_HOST", "127.0.0.1".to_owned());
    wire("WORKER_MEDIAMTX_RTSP_PORT", ports.rtsp.to_string());
    wire("WORKER_MEDIAMTX_RTMP_PORT", ports.rtmp.to_string());
    wire("WORKER_MEDIAMTX_SRT_PORT", ports.srt.to_string());
    // A browser on this machine is told an address that the loopback socket answers on.
    wire("MTX_WEBRTCADDITIONALHOSTS", "127.0.0.1".to_owned());
    wire("MTX_HOOK_BIN", facts.hook.display().to_string());
    wire("LOG_FORMAT", "json".to_owned());
    for (setting, key) in RECORDS {
        wire(key, said.get(setting.key).unwrap_or(setting.default).to_owned());
    }
    let recordings = facts.state.join("recordings/%path/%Y-%m-%d_%H-%M-%S-%f");
    wire("MTX_PATHDEFAULTS_RECORDPATH", recordings.display().to_string());
    wire(
        "ORCH_STATE_DIR",
        facts.state.join("orchestrator").display().to_string(),
    );
    if facts.jaeger {
        wire("OTEL_EXPORTER_OTLP_ENDPOINT", http(ports.otlp));
    }
    Env::from_pairs(wiring).overlaid_by(said)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn facts(offset: u16, jaeger: bool) -> Facts<'static> {
        Facts {
            offset,
            hook: Path::new("/bin/mtx-hook"),
            state: Path::new("/stack/state"),
            jaeger,
            twin: false,
        }
    }

    #[test]
    fn peers_follow_the_offset() {
        let env = wired(Env::default(), &facts(200, true));
        assert_eq!(env.get("ORCH_HTTP_ADDR"), Some("127.0.0.1:8280"));
        assert_eq!(env.get("ORCH_HOOK_BASE_URL"), Some("http://127.0.0.1:8280"));
        assert_eq!(env.get("WORKER_MEDIAMTX_RTMP_PORT"), Some("2135"));
        assert_eq!(
            env.get("OTEL_EXPORTER_OTLP_ENDPOINT"),
            Some("http://127.0.0.1:4517")
        );
    }

    #[test]
    fn a_real_key_never_reaches_the_twin_and_no_proxy_stands_before_it() {
        let said = Env::from_pairs([
            ("WORKER_STS_PROVIDER", "mock"),
            ("WORKER_GEMINI_API_KEY", "a real one"),
            ("WORKER_GEMINI_API_KEY_FILE", "/run/secrets/key"),
            ("NO_PROXY", "example.org"),
        ]);
        let env = at_twin(&said, 300);
        assert_eq!(env.get("WORKER_STS_PROVIDER"), Some("gemini-live"));
        assert_eq!(env.get("WORKER_GEMINI_BASE_URL"), Some("http://127.0.0.1:50360"));
        assert_eq!(env.get("WORKER_GEMINI_API_KEY"), Some(TWIN_KEY));
        assert_eq!(env.get("WORKER_GEMINI_API_KEY_FILE").unwrap_or_default(), "");
        assert_eq!(env.get("NO_PROXY"), Some("example.org,127.0.0.1"));
    }

    #[test]
    fn without_a_jaeger_nothing_is_exported() {
        assert_eq!(
            wired(Env::default(), &facts(0, false)).get("OTEL_EXPORTER_OTLP_ENDPOINT"),
            None
        );
    }

    #[test]
    fn what_the_caller_says_wins_and_its_peers_follow() {
        let said = Env::from_pairs([("ORCH_HTTP_ADDR", "0.0.0.0:7000"), ("WORKER_BUFFER_TARGET", "2s")]);
        let env = wired(said, &facts(0, false));
        assert_eq!(env.get("ORCH_HOOK_BASE_URL"), Some("http://127.0.0.1:7000"));
        assert_eq!(env.get("WORKER_BUFFER_TARGET"), Some("2s"));
    }

    #[test]
    fn what_outlives_the_parts_lies_in_the_folder_of_the_stack() {
        let env = wired(Env::default(), &facts(0, false));
        assert_eq!(env.get("ORCH_STATE_DIR"), Some("/stack/state/orchestrator"));
    }

    #[test]
    fn recording_is_off_unless_said_and_lands_in_the_folder_of_the_stack() {
        let record = |said: Env| {
            let env = wired(said, &facts(0, false));
            RECORDS.map(|(_, key)| env.get(key).unwrap_or_default().to_owned())
        };
        assert_eq!(record(Env::default()), ["false", "false"]);
        assert_eq!(
            record(Env::from_pairs([("RECORD_OUT", "true")])),
            ["false", "true"]
        );
        let env = wired(Env::default(), &facts(0, false));
        let path = env.get("MTX_PATHDEFAULTS_RECORDPATH").unwrap_or_default();
        assert!(path.starts_with("/stack/state/recordings/%path/"), "{path}");
    }

    #[test]
    fn a_dotenv_file_gives_settings_but_no_container_hosts() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".env");
        let text = "# c\nWORKER_TARGET_LANG=fr # note\nexport LOG_LEVEL=\"debug\"\nORCH_EDGE_URL=http://media-edge:50052\nX=\n";
        std::fs::write(&file, text).unwrap();
        let env = dotenv(&file);
        assert_eq!(
            (env.get("WORKER_TARGET_LANG"), env.get("LOG_LEVEL")),
            (Some("fr"), Some("debug"))
        );
        assert_eq!((env.get("ORCH_EDGE_URL"), env.get("X")), (None, None));
    }
}
