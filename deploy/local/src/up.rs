//! `make up`: the stack in the foreground, until Ctrl-C or SIGTERM.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use service_kit::exit;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::settings::StackSettings;
use crate::stack::{Builder, Offset};
use crate::{Ports, Stack};

/// The two signals that ask for an end.
#[derive(Debug)]
pub struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// From now on they no longer end the process by themselves.
    pub fn listen() -> Result<Self> {
        let interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        let terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        Ok(Self { interrupt, terminate })
    }

    /// Waits for either.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A stack as the settings say, for a person at a terminal.
#[must_use]
pub fn builder(settings: &StackSettings) -> Builder {
    let builder = Stack::builder()
        .offset(Offset::Fixed(settings.offset))
        .restart(settings.restart)
        .jaeger(true)
        .dotenv(true)
        .fresh(false);
    let builder = match &settings.dir {
        Some(dir) => builder.dir(dir),
        None => builder,
    };
    match &settings.twin {
        Some(twin) => builder.twin(twin.clone()),
        None => builder,
    }
}

/// Runs the stack until a signal.
pub async fn run(settings: StackSettings) -> Result<u8> {
    let mut interrupts = Interrupts::listen()?;
    // Dropping the future of the start kills whatever has been started.
    let stack = tokio::select! {
        started = builder(&settings).echo(true).start() => started?,
        () = interrupts.next() => return Ok(exit::code::DONE),
    };
    say(&addresses(&stack));
    writeln!(std::io::stdout(), "ready")?;
    std::io::stdout().flush()?;
    interrupts.next().await;
    say("stopping");
    tokio::select! {
        () = stack.stop() => {}
        // A second signal: dropping the stack kills it.
        () = interrupts.next() => {}
    }
    Ok(exit::code::DONE)
}

/// A line on stderr.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn addresses(stack: &Stack) -> String {
    let ports: Ports = stack.ports();
    let jaeger = if stack.is_traced() {
        format!("\n  Jaeger        http://127.0.0.1:{}", ports.jaeger)
    } else {
        String::new()
    };
    let twin = if stack.has_twin() {
        let journal = stack.twin_journal();
        format!(
            "\n  Gemini twin   http://127.0.0.1:{}, what it does {}",
            ports.twin,
            journal.display()
        )
    } else {
        String::new()
    };
    format!(
        "publish to     {}\n  or           {}\n  or           {}\n  or           http://127.0.0.1:{}/live/<streamId>/in/whip\n\
         watch          {}   {}\n\
         gRPC           orchestrator 127.0.0.1:{}, media-edge 127.0.0.1:{}, dubber 127.0.0.1:{}{jaeger}{twin}\n\
         state and logs {}",
        ports.rtmp_url("live/<streamId>/in"),
        ports.rtsp_url("live/<streamId>/in"),
        ports.srt_publish_url("live/<streamId>/in"),
        ports.webrtc,
        ports.hls_page("live/<streamId>/out"),
        ports.rtmp_url("live/<streamId>/out"),
        ports.orchestrator_grpc,
        ports.media_edge_grpc,
        ports.dubber_grpc,
        stack.dir().display(),
    )
}
