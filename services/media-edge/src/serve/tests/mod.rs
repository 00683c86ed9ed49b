//! `serve` against real child processes: a shell script that speaks the lines of a worker, and misbehaves on demand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod grpc;
mod stopping;
mod supervision;

use super::ladder::Limits;
use super::logs;
use super::process::Program;
use super::snapshot::Snapshot;
use super::snapshot::tests::fragment;
use super::supervisor::{self, Handle, Watch};
use crate::link::lines::{Report, Start, State, View};
use crate::metrics::Metrics;
use media_types::{Fate, Reason};
use prometheus_client::registry::Registry;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest wait for something that must happen; the machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(20);

/// A worker as `serve` sees one. Each line of its standard input goes to its log, so that a test can read it.
const CHILD: &str = r#"
hear() { read -r line && printf 'heard %s\n' "$line" >&2; }
hear
case "$MODE" in
    fail) printf '%s\n' "$LAST_WORD"; exit 75 ;;
    frozen) while :; do sleep 0.05; done ;;
    deaf) trap '' TERM ;;
    flood) n=0; while [ $n -lt 2000 ]; do n=$((n+1)); printf '%s%s%s\n' "$FLOOD_HEAD" "$n" "$FLOOD_TAIL"; done ;;
esac
printf 'no report\n%s\n' "$STARTING"
[ "$MODE" = unready ] || printf '%s\n%s\n%s\n' "$RUNNING" "$CUT" "$AIRED"
while hear; do
    case "$MODE" in deaf|orderless) continue ;; esac
    id=${line#*\"id\":}; id=${id%%,*}
    case "$line" in
        *'"set-air"'*'"mute"'*) ;;
        *'"set-air"'*'"voice-over"'*) printf '{"report":"air-refused","id":%s,"message":"no voice to put over"}\n' "$id" ;;
        *'"set-air"'*) printf '{"report":"air-set","id":%s,"in_force_from":4800}\n' "$id" ;;
        *'"stop"'*'"drain"'*) [ "$MODE" = endless ] || exit 0 ;;
        *'"stop"'*'"now"'*) exit 0 ;;
    esac
done
[ "$MODE" = deaf ] && while :; do sleep 0.05; done
"#;

fn json(report: &Report) -> String {
    serde_json::to_string(report).unwrap()
}

fn view(state: State, detail: &str) -> View {
    View {
        state,
        detail: detail.to_owned(),
        input_protocol: "rtmp".to_owned(),
        ..View::default()
    }
}

/// The script in one of its modes.
fn program(mode: &str) -> Program {
    let (flood_head, flood_tail) = {
        // Long enough that 2000 of them fill every buffer on the way to a watcher.
        let long = view(State::Running, &"x".repeat(4_000));
        let line = json(&Report::View(Box::new(View {
            audio_queue_ms: 4_242,
            ..long
        })));
        let (head, tail) = line.split_once("4242").unwrap();
        (head.to_owned(), tail.to_owned())
    };
    let exiting = Report::Exiting {
        code: 75,
        detail: "output cannot be reached".to_owned(),
    };
    let environment = [
        ("MODE", mode.to_owned()),
        (
            "STARTING",
            json(&Report::View(Box::new(view(State::Starting, "no such path")))),
        ),
        ("RUNNING", json(&Report::View(Box::new(view(State::Running, ""))))),
        ("CUT", json(&Report::Fragment(fragment(1_001, None, None)))),
        (
            "AIRED",
            json(&Report::Fragment(fragment(
                1_001,
                Some(Fate::Fallback),
                Some(Reason::Overload),
            ))),
        ),
        ("LAST_WORD", json(&exiting)),
        ("FLOOD_HEAD", flood_head),
        ("FLOOD_TAIL", flood_tail),
    ];
    Program {
        name: "sh",
        path: "/bin/sh".into(),
        args: vec!["-c".into(), CHILD.into()],
        environment: environment
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    }
}

/// Short rungs, with room for a busy machine.
const LIMITS: Limits = Limits {
    drain_margin: Duration::from_millis(600),
    now: Duration::from_millis(600),
    terminate: Duration::from_millis(600),
};

/// What children log.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A supervisor at work.
struct Bench {
    handle: Handle,
    token: CancellationToken,
    /// The supervisor, and the writer of log lines.
    tasks: JoinSet<anyhow::Result<()>>,
    registry: Registry,
    output: Output,
}

impl Bench {
    fn new(mode: &str) -> Self {
        Self::with(mode, |_| {})
    }

    fn with(mode: &str, change: impl FnOnce(&mut supervisor::Parts)) -> Self {
        let mut registry = Registry::default();
        let output = Output::default();
        let (sink, log_task) = logs::channel(output.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(log_task.run());
        let mut parts = supervisor::Parts {
            program: program(mode),
            workers_max: None,
            ready_timeout: PATIENCE,
            limits: LIMITS,
            linger: PATIENCE,
            logs: sink,
            metrics: Metrics::register(&mut registry),
        };
        change(&mut parts);
        let (task, handle) = supervisor::Task::new(parts);
        let token = CancellationToken::new();
        tasks.spawn(task.run(token.clone()));
        Self {
            handle,
            token,
            tasks,
            registry,
            output,
        }
    }

    async fn start(&self, start: Start) -> Arc<Snapshot> {
        self.handle.start(start).await.unwrap()
    }

    /// The worker of `stream` once it is as wanted.
    async fn wait(&self, stream: &str, what: &str, is_so: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let wait = async {
            loop {
                let Watch { now, mut changes_rx } = self.handle.watch().await.unwrap();
                let mut next = now
                    .into_iter()
                    .find(|worker| worker.start.stream_id.as_str() == stream);
                loop {
                    match next.filter(|worker| worker.start.stream_id.as_str() == stream) {
                        Some(worker) if is_so(&worker) => return worker,
                        Some(_) | None => {}
                    }
                    match changes_rx.recv().await {
                        Ok(change) => next = Some(change),
                        Err(_) => break,
                    }
                }
            }
        };
        timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("{stream} never became {what}"))
    }

    async fn ready(&self, stream: &str) -> Arc<Snapshot> {
        self.wait(stream, "ready", |worker| {
            worker.is_ready() && !worker.fragments_total.is_empty()
        })
        .await
    }

    async fn ended(&self, stream: &str) -> (i32, String) {
        let worker = self.wait(stream, "ended", |worker| !worker.is_live()).await;
        let exit = worker.exit.clone().unwrap();
        (exit.code, exit.detail)
    }

    /// Waits until a child has logged a line that holds `text`.
    async fn logged(&self, text: &str) -> String {
        let wait = async {
            loop {
                let all = String::from_utf8(self.output.0.lock().unwrap().clone()).unwrap();
                if let Some(line) = all.lines().find(|line| line.contains(text)) {
                    return line.to_owned();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("no child logged {text}"))
    }

    fn metric(&self, name: &str) -> Option<String> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(line.to_owned())
    }
}

/// Whether a process is there and is no zombie.
fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with('Z'))
    })
}
