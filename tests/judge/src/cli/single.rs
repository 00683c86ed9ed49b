//! Judges that need one recording alone.

use super::{Out, plain};
use anyhow::Result;
use clap::Subcommand;
use media_judge::noise::RATE;
use media_judge::packets::GapReport;
use media_judge::{Audio, Pictures, clicks, loudness, stalls, tones};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Single {
    /// Continuity of time stamps.
    Gaps {
        /// Recording.
        recording: PathBuf,
    },
    /// Clicks; those of a source are left out when it is given.
    Clicks {
        /// Recording.
        recording: PathBuf,
        /// Source.
        #[arg(long)]
        source: Option<PathBuf>,
        /// Recording's presentation time minus the source's.
        #[arg(long, default_value_t = 0.0, allow_hyphen_values = true)]
        shift_ms: f64,
    },
    /// From when to when a tone is the sound.
    Tones {
        /// Recording.
        recording: PathBuf,
        /// Frequencies; those of the coded mode when left out.
        #[arg(long)]
        frequency: Vec<f64>,
    },
    /// Loudness by EBU R 128 and RMS by the second.
    Loudness {
        /// Recording.
        recording: PathBuf,
    },
    /// How much two recordings sound alike, and by how much one is later.
    Likeness {
        /// First recording.
        first: PathBuf,
        /// Second recording.
        second: PathBuf,
    },
    /// Silences and standing pictures.
    Stalls {
        /// Recording.
        recording: PathBuf,
        /// Shortest that is listed.
        #[arg(long, default_value_t = 200.0)]
        min_ms: f64,
    },
}

pub fn run(judge: Single, out: &Out) -> Result<bool> {
    match judge {
        Single::Gaps { recording } => out.result(&GapReport::of_file(&recording)?, plain)?,
        Single::Clicks {
            recording,
            source,
            shift_ms,
        } => {
            let heard = Audio::decode(&recording)?;
            let found = match source {
                Some(source) => clicks::new_clicks(&Audio::decode(&source)?, &heard, shift_ms),
                None => clicks::clicks(&heard),
            };
            out.result(&found, plain)?;
            return Ok(found.is_empty());
        }
        Single::Tones { recording, frequency } => {
            let audio = Audio::decode(&recording)?;
            let wanted = if frequency.is_empty() {
                tones::coded_frequencies()
            } else {
                frequency
            };
            let mut found: Vec<tones::ToneRange> = wanted
                .iter()
                .flat_map(|frequency| tones::tone_ranges(&audio, *frequency))
                .collect();
            found.sort_by(|a, b| a.start_ms.total_cmp(&b.start_ms));
            out.result(&found, |found| {
                found
                    .iter()
                    .map(|t| {
                        format!(
                            "{:10.1} .. {:10.1} ms  {:6.0} Hz  {:.3}\n",
                            t.start_ms, t.end_ms, t.frequency_hz, t.amplitude
                        )
                    })
                    .collect()
            })?;
        }
        Single::Loudness { recording } => {
            out.result(&loudness::loudness(&Audio::decode(&recording)?)?, plain)?
        }
        Single::Likeness { first, second } => {
            let found = loudness::likeness(
                &Audio::decode_at(&first, Some(RATE))?,
                &Audio::decode_at(&second, Some(RATE))?,
            );
            out.result(&found, plain)?;
            return Ok(found.is_some());
        }
        Single::Stalls { recording, min_ms } => {
            let silences = stalls::silences(&Audio::decode(&recording)?, min_ms);
            let freezes = stalls::freezes(&Pictures::decode(&recording)?, min_ms);
            out.result(
                &serde_json::json!({ "silences": silences, "freezes": freezes }),
                plain,
            )?;
        }
    }
    Ok(true)
}
