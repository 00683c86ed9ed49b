//! `gemini-twin`: serves the twin, lists its faults, and reads its voice back.

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use gemini_twin::journal::Journal;
use gemini_twin::replay::Replay;
use gemini_twin::scenario::Scenario;
use gemini_twin::serve::{Server, Service};
use gemini_twin::tones::{ANSWER, SOURCE};
use gemini_twin::twin::Twin;
use gemini_twin::{faults, listen, mark, tls};
use serde_json::json;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Gemini Live as its clients see it from the wire, and all of its known misbehaviour, by name.
///
/// It hears phrases in the sound that it is sent and answers them in a voice of tones that says which phrase it
/// answers. Nothing is translated. Point a client's base URL at it; any key is taken.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Cli {
    #[command(flatten)]
    serve: Serve,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args)]
struct Serve {
    /// Address to serve on, such as 127.0.0.1:50060; port 0 takes a free one. The line `listening on ADDR` says when it
    /// is ready
    #[arg(long, value_name = "ADDR", required = true)]
    listen: Option<SocketAddr>,
    /// Serve wss with a certificate that is made now; its authority is written to DIR/ca.pem (SSL_CERT_FILE for Python,
    /// NODE_EXTRA_CA_CERTS for Node)
    #[arg(long, value_name = "DIR")]
    tls: Option<PathBuf>,
    /// What happens when (TOML); without it, the service as it is known, without a fault
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Seed of everything that is drawn; overrides the scenario's
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Play a recorded exchange (JSON lines) instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "seed"])]
    replay: Option<PathBuf>,
    /// Write what happens to FILE (JSON lines; no sound, no key)
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Lists every fault by name: number, class, models, what the service does
    Faults {
        /// As JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Reads phrase numbers back from a recording of dubbed sound
    Listen {
        /// WAV of any rate
        file: PathBuf,
        /// Read the marks of the source instead of the twin's voice
        #[arg(long)]
        source: bool,
    },
    /// Puts numbered marks on the phrases of clean speech, for tests
    Mark {
        /// WAV with speech
        speech: PathBuf,
        /// WAV to write, of one channel
        out: PathBuf,
        /// Number of the first phrase
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1023))]
        first: u16,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Faults { json }) => list(json),
        Some(Command::Listen { file, source }) => hear(&file, source),
        Some(Command::Mark { speech, out, first }) => mark_file(&speech, &out, first),
        None => serve(&cli.serve),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to be told if standard error is gone.
            let _ = writeln!(std::io::stderr(), "gemini-twin: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whoever read our output has read enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn list(as_json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if !as_json {
        writeln!(
            out,
            "{:>2}  {:<28}{:<13}{:<11}what the service does",
            "#", "name", "class", "models"
        )?;
    }
    for fault in faults::all() {
        if as_json {
            let class = fault.class.to_string();
            let models = fault.models.to_string();
            let line = json!({"number": fault.number, "name": fault.name, "class": class, "models": models, "what": fault.what});
            writeln!(out, "{line}")?;
        } else {
            let (class, models) = (fault.class, fault.models);
            writeln!(
                out,
                "{:>2}  {:<28}{class:<13}{models:<11}{}",
                fault.number, fault.name, fault.what
            )?;
        }
    }
    Ok(())
}

fn hear(file: &Path, source: bool) -> anyhow::Result<()> {
    let (sound, rate) = listen::read(file)?;
    let band = if source { SOURCE } else { ANSWER };
    let phrases = listen::phrases(&listen::cells(&sound, rate, band));
    let mut out = std::io::stdout().lock();
    for phrase in &phrases {
        writeln!(out, "{}", serde_json::to_string(phrase)?)?;
    }
    writeln!(out, "{}", json!({"summary": listen::summary(&phrases)}))?;
    Ok(())
}

fn mark_file(speech: &Path, file: &Path, first: u16) -> anyhow::Result<()> {
    let (mut sound, rate) = listen::read(speech)?;
    let marked = mark::mark_all(&mut sound, rate, first);
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer =
        hound::WavWriter::create(file, spec).with_context(|| format!("cannot write {}", file.display()))?;
    for sample in &sound {
        writer.write_sample((sample * f32::from(i16::MAX)) as i16)?;
    }
    writer.finalize()?;
    let mut out = std::io::stdout().lock();
    for (number, (start, end)) in marked {
        let (start_s, end_s) = (start as f64 / f64::from(rate), end as f64 / f64::from(rate));
        writeln!(
            out,
            "{}",
            json!({"number": number, "start_s": start_s, "end_s": end_s})
        )?;
    }
    Ok(())
}

fn text(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn service(serve: &Serve) -> anyhow::Result<Service> {
    if let Some(file) = &serve.replay {
        let replay =
            Replay::parse(&text(file)?).with_context(|| format!("{} is no recording", file.display()))?;
        return Ok(Service::Replay(replay));
    }
    let mut scenario = match &serve.scenario {
        Some(file) => {
            Scenario::parse(&text(file)?).with_context(|| format!("{} is no scenario", file.display()))?
        }
        None => Scenario::default(),
    };
    if let Some(seed) = serve.seed {
        scenario.seed = seed;
    }
    Ok(Service::Twin(Box::new(Twin::new(scenario))))
}

#[tokio::main]
async fn serve(serve: &Serve) -> anyhow::Result<()> {
    let Some(wanted) = serve.listen else {
        anyhow::bail!("--listen is missing")
    };
    let service = service(serve)?;
    let journal = match &serve.journal {
        Some(file) => Journal::create(file).with_context(|| format!("cannot write {}", file.display()))?,
        None => Journal::default(),
    };
    let tls = serve
        .tls
        .as_deref()
        .map(|folder| tls::acceptor(folder, wanted))
        .transpose()?;
    let (acceptor, _) = tls.unzip();
    let server = Server::bind(wanted, acceptor).with_context(|| format!("cannot listen on {wanted}"))?;
    let mut terminated = signal(SignalKind::terminate())?;
    {
        let mut out = std::io::stdout().lock();
        writeln!(out, "listening on {}", server.address()?)?;
        out.flush()?;
    }
    tokio::select! {
        () = server.run(service, journal) => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    Ok(())
}
