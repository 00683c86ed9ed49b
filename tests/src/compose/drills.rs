//! The drills by name.

use super::{
    Bench, grpc, kills, observability, programme, recording, secrets, sizes, stop, trace, twin, undone,
    volumes,
};
use anyhow::Result;
use std::str::FromStr;

/// One drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drill {
    /// The stack and its sample programme.
    Up,
    /// A programme from this machine.
    Programme,
    /// A fragment's trace.
    Trace,
    /// Operators' calls.
    Grpcurl,
    /// Killed processes and a cut link.
    Kills,
    /// What containers may do.
    Hardening,
    /// Where a key is found.
    Secrets,
    /// The end and the next start.
    Stop,
    /// Deleted volumes.
    Volumes,
    /// Sizes of images.
    Sizes,
    /// The small image.
    Slim,
    /// Recordings.
    Recording,
    /// Prometheus.
    Observability,
    /// The Gemini twin in Google's place.
    Twin,
}

impl Drill {
    /// All of them, in the order in which they are run.
    pub const ALL: [Self; 14] = [
        Self::Up,
        Self::Sizes,
        Self::Programme,
        Self::Trace,
        Self::Grpcurl,
        Self::Kills,
        Self::Hardening,
        Self::Secrets,
        Self::Recording,
        Self::Observability,
        Self::Slim,
        Self::Twin,
        Self::Stop,
        Self::Volumes,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Programme => "programme",
            Self::Trace => "trace",
            Self::Grpcurl => "grpcurl",
            Self::Kills => "kills",
            Self::Hardening => "hardening",
            Self::Secrets => "secrets",
            Self::Stop => "stop",
            Self::Volumes => "volumes",
            Self::Sizes => "sizes",
            Self::Slim => "slim",
            Self::Recording => "recording",
            Self::Observability => "observability",
            Self::Twin => "twin",
        }
    }

    /// What it shows.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Up => "the stack and its sample programme come up healthy",
            Self::Programme => "a programme of this machine is dubbed and judged",
            Self::Trace => "a fragment's trace is read from Jaeger",
            Self::Grpcurl => "an operator's calls work from this machine",
            Self::Kills => "each process is killed, one link is cut; what the air feels of it",
            Self::Hardening => "no container may do more than it must, and the check notices when one may",
            Self::Secrets => "a key is read by the dubber and found nowhere",
            Self::Stop => "everything drains in time, and the next start finds its volumes",
            Self::Volumes => "each volume may be deleted",
            Self::Sizes => "sizes of the images",
            Self::Slim => "the small image dubs as the large one does",
            Self::Recording => "recordings are written and listed",
            Self::Observability => "Prometheus has its targets and its rules",
            Self::Twin => "with the file of the Gemini twin laid over, phrases are dubbed as by Gemini Live",
        }
    }

    /// Whether it reads or kills what is not ours.
    pub const fn needs_root(self) -> bool {
        match self {
            Self::Kills | Self::Hardening | Self::Secrets | Self::Recording | Self::Stop | Self::Twin => true,
            Self::Up
            | Self::Programme
            | Self::Trace
            | Self::Grpcurl
            | Self::Volumes
            | Self::Sizes
            | Self::Slim
            | Self::Observability => false,
        }
    }

    /// Runs it.
    pub(super) async fn run(self, bench: &mut Bench) -> Result<()> {
        match self {
            Self::Up => programme::up(bench).await,
            Self::Programme => programme::programme(bench).await,
            Self::Slim => programme::slim(bench).await,
            Self::Trace => trace::run(bench).await,
            Self::Grpcurl => grpc::run(bench).await,
            Self::Kills => kills::run(bench).await,
            Self::Hardening => undone::run(bench),
            Self::Secrets => secrets::run(bench),
            Self::Stop => stop::run(bench).await,
            Self::Volumes => volumes::run(bench).await,
            Self::Sizes => sizes::run(bench),
            Self::Recording => recording::run(bench).await,
            Self::Observability => observability::run(bench).await,
            Self::Twin => twin::run(bench).await,
        }
    }
}

impl FromStr for Drill {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|drill| drill.name() == word)
            .ok_or_else(|| {
                let names: Vec<&str> = Self::ALL.into_iter().map(Self::name).collect();
                format!("no drill {word:?}; drills are {}", names.join(", "))
            })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_drill_is_found_by_its_name() {
        for drill in Drill::ALL {
            assert_eq!(drill.name().parse(), Ok(drill));
        }
        let refused = "kill".parse::<Drill>().unwrap_err();
        assert!(refused.contains("kills"), "{refused}");
    }
}
