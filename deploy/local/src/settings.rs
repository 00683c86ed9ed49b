//! Settings of the local deployment itself; every other setting passes through to the parts.

use std::path::PathBuf;
use std::time::Duration;

use crate::ports::OFFSET_MAX;
use service_kit::settings::{Env, Reader, Setting};

/// Added to every port of the stack.
pub const PORT_OFFSET: Setting = Setting {
    key: "STACK_PORT_OFFSET",
    default: "0",
    allowed: "0..14900",
    help: "added to every port of the local stack, so that several run side by side",
};
/// Folder of state and logs.
pub const DIR: Setting = Setting {
    key: "STACK_DIR",
    default: "",
    allowed: "a path",
    help: "state and logs of the local stack; unset means .run/stack-<offset>",
};
/// Whether a dead part comes back.
pub const RESTART: Setting = Setting {
    key: "STACK_RESTART",
    default: "1",
    allowed: "0|1",
    help: "0 leaves a dead part of the local stack dead, 1 restarts it as a container engine would",
};
/// Folder of our binaries.
pub const BIN_DIR: Setting = Setting {
    key: "STACK_BIN_DIR",
    default: "",
    allowed: "a path",
    help: "folder of the service binaries; unset means the build folder that local-stack lies in",
};
/// Cache of real parts.
pub const CACHE_DIR: Setting = Setting {
    key: "DUB_CACHE_DIR",
    default: "",
    allowed: "a path",
    help: "cache of MediaMTX, grpcurl and Jaeger; unset means $XDG_CACHE_HOME/dub or ~/.cache/dub",
};
/// A MediaMTX binary to use as it is.
pub const MEDIAMTX_BIN: Setting = Setting {
    key: "MEDIAMTX_BIN",
    default: "",
    allowed: "a path",
    help: "MediaMTX binary of the local stack; unset means PATH, the cache, its release or its Go module",
};
/// A grpcurl binary to use as it is.
pub const GRPCURL_BIN: Setting = Setting {
    key: "GRPCURL_BIN",
    default: "",
    allowed: "a path",
    help: "grpcurl binary of tests and demo; unset means PATH, the cache, its release or its Go module",
};
/// A Jaeger binary to use as it is.
pub const JAEGER_BIN: Setting = Setting {
    key: "JAEGER_BIN",
    default: "",
    allowed: "a path",
    help: "Jaeger (version 2) binary of the local stack; unset means the cache; without one the stack runs untraced",
};
/// Whether what a publisher sends is recorded.
pub const RECORD_IN: Setting = Setting {
    key: "RECORD_IN",
    default: "false",
    allowed: "true|false",
    help: "whether MediaMTX records what publishers send, in fMP4 kept for a day and served by its playback port",
};
/// Whether the dubbed output is recorded.
pub const RECORD_OUT: Setting = Setting {
    key: "RECORD_OUT",
    default: "false",
    allowed: "true|false",
    help: "whether MediaMTX records the dubbed output, likewise",
};
/// Whether the Gemini twin stands in Google's place.
pub const TWIN: Setting = Setting {
    key: "TWIN",
    default: "0",
    allowed: "0|1",
    help: "1 starts the Gemini twin on port 50060 and lets the dubber dub there, whatever else is said of the provider",
};
/// What the twin does when.
pub const TWIN_SCENARIO: Setting = Setting {
    key: "TWIN_SCENARIO",
    default: "",
    allowed: "a path",
    help: "what the twin does when (TOML); unset means the service as it is known, without a fault",
};
/// What the twin draws from.
pub const TWIN_SEED: Setting = Setting {
    key: "TWIN_SEED",
    default: "",
    allowed: "0..18446744073709551615",
    help: "seed of everything that the twin draws; unset means that of the scenario",
};
/// Where the twin listens.
pub const TWIN_ADDR: Setting = Setting {
    key: "TWIN_ADDR",
    default: "127.0.0.1:50060",
    allowed: "IP:PORT",
    help: "where the twin listens; STACK_PORT_OFFSET is added to the default",
};
/// How long the demo is on air.
pub const DEMO_SECONDS: Setting = Setting {
    key: "DEMO_SECONDS",
    default: "",
    allowed: "10..3600",
    help: "seconds that the demo stays on air; unset means until Ctrl-C",
};

/// All settings of this program.
pub const STACK_SETTINGS: &[Setting] = &[
    PORT_OFFSET,
    DIR,
    RESTART,
    BIN_DIR,
    CACHE_DIR,
    MEDIAMTX_BIN,
    GRPCURL_BIN,
    JAEGER_BIN,
    RECORD_IN,
    RECORD_OUT,
    TWIN,
    TWIN_SCENARIO,
    TWIN_SEED,
    TWIN_ADDR,
    DEMO_SECONDS,
];

/// How the Gemini twin is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Twin {
    /// Its scenario; `None` means the service as it is known.
    pub scenario: Option<PathBuf>,
    /// Seed of what it draws; `None` means that of the scenario.
    pub seed: Option<u64>,
}

/// The settings as read.
#[derive(Debug, Clone)]
pub struct StackSettings {
    /// Added to every port.
    pub offset: u16,
    /// State and logs; `None` means the default folder of the offset.
    pub dir: Option<PathBuf>,
    /// Whether a dead part comes back.
    pub restart: bool,
    /// Where our binaries lie, when said.
    pub bin_dir: Option<PathBuf>,
    /// The twin, when it is asked for.
    pub twin: Option<Twin>,
    /// How long the demo is on air, when said.
    pub demo: Option<Duration>,
}

impl StackSettings {
    /// Reads all of them; every wrong value is reported at once.
    pub fn read(env: &Env) -> Result<Self, service_kit::ConfigErrors> {
        let mut reader = Reader::new(env);
        let offset = reader.number::<u16>(&PORT_OFFSET, 0..=OFFSET_MAX);
        let dir = reader.optional_text(&DIR).map(PathBuf::from);
        let restart = reader.number::<u8>(&RESTART, 0..=1) == 1;
        let bin_dir = reader.optional_text(&BIN_DIR).map(PathBuf::from);
        let demo = match reader
            .optional_text(&DEMO_SECONDS)
            .map(|text| text.parse::<u64>())
        {
            None => None,
            Some(Ok(seconds @ 10..=3600)) => Some(Duration::from_secs(seconds)),
            Some(Ok(other)) => {
                reader.reject(&DEMO_SECONDS, other.to_string(), "out of range");
                None
            }
            Some(Err(_)) => {
                let value = env.get(DEMO_SECONDS.key).unwrap_or_default().to_owned();
                reader.reject(&DEMO_SECONDS, &value, "not a whole number");
                None
            }
        };
        let twin = read_twin(&mut reader, env);
        // The wiring hands them on to MediaMTX, which would refuse another word in its own way.
        for record in [&RECORD_IN, &RECORD_OUT] {
            reader.flag(record);
        }
        reader.finish()?;
        Ok(Self {
            offset,
            dir,
            restart,
            bin_dir,
            twin,
            demo,
        })
    }
}

fn read_twin(reader: &mut Reader<'_>, env: &Env) -> Option<Twin> {
    let wanted = reader.number::<u8>(&TWIN, 0..=1) == 1;
    reader.address(&TWIN_ADDR);
    let scenario = reader.optional_text(&TWIN_SCENARIO).map(PathBuf::from);
    if let Some(file) = scenario.as_ref().filter(|file| !file.is_file()) {
        reader.reject(&TWIN_SCENARIO, file.display(), "no such file");
    }
    let seed = reader.optional_text(&TWIN_SEED).map(|text| text.parse::<u64>());
    let seed = match seed {
        None => None,
        Some(Ok(seed)) => Some(seed),
        Some(Err(_)) => {
            let value = env.get(TWIN_SEED.key).unwrap_or_default().to_owned();
            reader.reject(&TWIN_SEED, &value, "not a whole number");
            None
        }
    };
    wanted.then_some(Twin { scenario, seed })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn without_any_setting_the_stack_stands_on_the_plain_ports_and_restarts() {
        let read = StackSettings::read(&Env::default()).unwrap();
        assert_eq!((read.offset, read.restart, read.demo), (0, true, None));
    }

    #[test]
    fn every_wrong_value_is_named_at_once() {
        let env = Env::from_pairs([
            ("STACK_PORT_OFFSET", "70000"),
            ("STACK_RESTART", "maybe"),
            ("DEMO_SECONDS", "soon"),
            ("RECORD_OUT", "yes"),
            ("TWIN", "yes"),
            ("TWIN_SCENARIO", "/nowhere/at-all.toml"),
            ("TWIN_SEED", "one"),
        ]);
        let said = StackSettings::read(&env).unwrap_err().to_string();
        for key in [
            "STACK_PORT_OFFSET",
            "STACK_RESTART",
            "DEMO_SECONDS",
            "RECORD_OUT",
            "TWIN=",
            "TWIN_SCENARIO",
            "TWIN_SEED",
        ] {
            assert!(said.contains(key), "{key}: {said}");
        }
    }
}
