//! Judges of a recording against its source, and the verdict of all.

use super::{Out, plain};
use anyhow::Result;
use clap::{Args, Subcommand};
use media_judge::av::{AvReport, BEEP_HZ};
use media_judge::holes::HoleReport;
use media_judge::noise::Reference;
use media_judge::spoil::{self, Spoil};
use media_judge::units::UnitReport;
use media_judge::verdict::{self, VerdictOptions};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Judge {
    /// All judges: source against recording, as a table.
    Verdict {
        /// What was published.
        source: PathBuf,
        /// What was recorded.
        recording: PathBuf,
        /// Frequency of the beeps (1000 in flash-beep, 9000 in programme).
        #[arg(long, default_value_t = BEEP_HZ)]
        beep: f64,
        /// Seed, when the sound is coded noise.
        #[arg(long)]
        noise_seed: Option<u64>,
        /// The sound is dubbed: the source's own need not be heard.
        #[arg(long)]
        dubbed: bool,
    },
    /// A/V offset of each flash and its beep.
    Av {
        /// Recording.
        recording: PathBuf,
        /// Source whose own median is taken away.
        #[arg(long)]
        source: Option<PathBuf>,
        /// Frequency of the beeps.
        #[arg(long, default_value_t = BEEP_HZ)]
        beep: f64,
    },
    /// Access units of a recording against its source.
    Units {
        /// What was published.
        source: PathBuf,
        /// What was recorded.
        recording: PathBuf,
    },
    /// Missing and doubled sound in a recording of coded noise.
    Holes {
        /// Recording.
        recording: PathBuf,
        /// Seed of the noise.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Length of the clip in seconds.
        #[arg(long, default_value_t = 120)]
        seconds: u32,
    },
    /// Writes a spoiled copy of an FLV file, to see a judge fail.
    Spoil {
        /// FLV file.
        source: PathBuf,
        /// FLV file to write.
        out: PathBuf,
        #[command(flatten)]
        way: Way,
    },
}

/// How a recording is spoiled; an honest copy when nothing is said.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct Way {
    /// Moves the sound by this many milliseconds.
    #[arg(long, allow_hyphen_values = true)]
    shift_audio: Option<i32>,
    /// Leaves out this access unit.
    #[arg(long)]
    drop_frame: Option<usize>,
    /// Doubles this access unit.
    #[arg(long)]
    double_frame: Option<usize>,
    /// Cuts samples out: FIRST:COUNT.
    #[arg(long, value_parser = first_and_count)]
    cut_samples: Option<(usize, usize)>,
    /// Doubles samples: FIRST:COUNT.
    #[arg(long, value_parser = first_and_count)]
    double_samples: Option<(usize, usize)>,
    /// Sets this sample to full scale.
    #[arg(long)]
    click: Option<usize>,
}

impl Way {
    fn spoil(&self) -> Spoil {
        self.shift_audio
            .map(|ms| Spoil::ShiftAudio { ms })
            .or(self.drop_frame.map(|index| Spoil::DropFrame { index }))
            .or(self.double_frame.map(|index| Spoil::DoubleFrame { index }))
            .or(self
                .cut_samples
                .map(|(at, count)| Spoil::CutSamples { at, count }))
            .or(self
                .double_samples
                .map(|(at, count)| Spoil::DoubleSamples { at, count }))
            .or(self.click.map(|at| Spoil::Click { at }))
            .unwrap_or(Spoil::Nothing)
    }
}

fn first_and_count(text: &str) -> Result<(usize, usize), String> {
    text.split_once(':')
        .and_then(|(first, count)| Some((first.parse().ok()?, count.parse().ok()?)))
        .ok_or_else(|| format!("{text} is not FIRST:COUNT, such as 480000:64"))
}

pub fn run(judge: Judge, out: &Out) -> Result<bool> {
    match judge {
        Judge::Verdict {
            source,
            recording,
            beep,
            noise_seed,
            dubbed,
        } => {
            let options = VerdictOptions {
                beep_hz: beep,
                noise_seed,
                passes_sound: !dubbed,
                ..VerdictOptions::default()
            };
            let verdict = verdict::verdict(&source, &recording, &options)?;
            out.result(&verdict, |verdict| verdict.table())?;
            Ok(verdict.passed())
        }
        Judge::Av {
            recording,
            source,
            beep,
        } => {
            let own = source
                .map(|source| AvReport::of_file(&source, beep))
                .transpose()?
                .unwrap_or_default();
            let compared = AvReport::of_file(&recording, beep)?.against(&own);
            out.result(&compared, |av| {
                let counts = format!("{} heard, {} unheard", av.heard, av.unheard);
                format!(
                    "A/V median {:+.2} ms, worst {:+.2} ms, {counts}",
                    av.median_ms, av.worst_ms
                )
            })?;
            Ok(compared.heard > 0)
        }
        Judge::Units { source, recording } => {
            let report = UnitReport::of_files(&source, &recording)?;
            out.result(&report, plain)?;
            Ok(report.identical(2.0))
        }
        Judge::Holes {
            recording,
            seed,
            seconds,
        } => {
            let report = HoleReport::of_file(&recording, &Reference::new(seed, seconds))?;
            out.result(&report, plain)?;
            Ok(report.whole())
        }
        Judge::Spoil {
            source,
            out: path,
            way,
        } => {
            spoil::spoil(&source, &path, way.spoil())?;
            Ok(true)
        }
    }
}
