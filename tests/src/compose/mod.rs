//! The drills of the containers: the stack of `docker-compose.yml` as a user starts it, used from this machine, hurt,
//! looked over, stopped and started again, under a real engine.
//!
//! * Everything is judged from outside: pictures and sound that a reader on this machine gets, processes as this
//!   machine's kernel shows them, what the engine tells.
//! * The project has a name of its own, so that nothing of the user's is touched; it is taken down at the end.
//! * A drill that fails does not end the others; every bar stands in one table at the end.

mod air;
mod container;
mod docker;
mod drills;
mod grpc;
mod hardening;
mod kills;
mod needle;
mod observability;
mod ports;
mod procfs;
mod programme;
mod project;
mod recording;
mod secrets;
mod sizes;
mod stop;
mod trace;
mod twin;
mod undone;
mod verdicts;
mod volumes;

pub use drills::Drill;

use crate::Services;
use anyhow::{Context as _, Result, bail, ensure};
use docker::Docker;
use local_stack::Ports;
use project::{Project, Setup};
use service_kit::settings::Env;
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use verdicts::Verdicts;

/// Where recordings and logs of containers are kept.
const FOLDER: &str = "target/compose";
/// For this long an interrupted drill may put its things away.
const PUT_AWAY: Duration = Duration::from_secs(5);

/// What is run, and what is left behind.
#[derive(Clone, Debug)]
pub struct Options {
    /// The drills, in order.
    pub drills: Vec<Drill>,
    /// Leaves the stack running.
    pub keep: bool,
}

/// What every drill works with.
pub struct Bench {
    /// The stack.
    project: Project,
    /// Its services, as a program on this machine reaches them.
    services: Services,
    /// What was found.
    verdicts: Verdicts,
}

/// Runs the drills; true if every bar holds.
pub fn run(options: &Options) -> Result<bool> {
    // Three threads: one drill waits for readers, while journals ask and signals are heard.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_all()
        .build()
        .context("no runtime")?;
    let docker = Docker::default();
    require_engine(&docker, &options.drills)?;
    let project = Project::open(docker.clone(), Path::new(FOLDER))?;
    // What an earlier run may have left.
    project.down()?;
    ports::refuse_taken(&docker, &ports::of_config(&project.config()?))?;

    let (done, mut finished) = oneshot::channel();
    let drills = options.drills.clone();
    let handle = runtime.handle().clone();
    let thread = std::thread::Builder::new()
        .name("drills".to_owned())
        .spawn(move || {
            let mut bench = Bench {
                project,
                services: Services::at(Ports::of(&Env::default(), 0)),
                verdicts: Verdicts::new(Box::new(std::io::stdout())),
            };
            handle.block_on(bench.run_all(&drills));
            // Nobody listens after an interruption.
            let _ = done.send(bench.verdicts.hold());
        })?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            held = &mut finished => held.context("the drills ended without a word"),
            interrupted = interruption() => {
                interrupted?;
                docker.end();
                // The drill puts away what it has begun: publishers, readers.
                let _ = tokio::time::timeout(PUT_AWAY, &mut finished).await;
                bail!("interrupted")
            }
        }
    });
    if outcome.is_ok() {
        let _ = thread.join();
    }
    if !options.keep {
        Project::open(docker.reopened(), Path::new(FOLDER))?.down()?;
    }
    runtime.shutdown_background();
    outcome
}

async fn interruption() -> Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _signal = terminated.recv() => {}
    }
    Ok(())
}

fn require_engine(docker: &Docker, drills: &[Drill]) -> Result<()> {
    docker
        .ask(&["version", "--format", "{{.Server.Version}}"])
        .context("no engine answers; `make compose-test` starts one")?;
    docker
        .ask(&["compose", "version", "--short"])
        .context("docker has no compose plugin; `make compose-test` builds one")?;
    let need_root: Vec<&str> = drills
        .iter()
        .filter(|drill| drill.needs_root())
        .map(|drill| drill.name())
        .collect();
    ensure!(
        need_root.is_empty() || procfs::is_root(),
        "{} look at and kill processes of containers by their numbers on this machine: run them as root on the machine \
         of the engine, or choose others with --only",
        need_root.join(", ")
    );
    Ok(())
}

impl Bench {
    async fn run_all(&mut self, drills: &[Drill]) {
        for drill in drills {
            self.verdicts.begin(drill.name(), drill.about());
            if let Err(error) = drill.run(self).await {
                self.verdicts.broke(&error);
            }
            if let Err(error) = self.project.keep_logs(drill.name()) {
                self.verdicts.tell("logs", format!("not kept: {error:#}"));
            }
            if !self.verdicts.drill_holds() {
                let file = self.project.dir.join(format!("{}.log", drill.name()));
                self.verdicts
                    .tell("logs of the containers", file.display().to_string());
            }
        }
        let summary = self.verdicts.summary();
        self.verdicts.say(&summary);
    }

    /// Brings the stack to a setup and tells how long that took.
    fn up(&mut self, setup: &Setup) -> Result<Duration> {
        self.verdicts.step("bringing the stack up and waiting for health");
        let took = self.project.up(setup)?;
        self.verdicts
            .step(&format!("healthy after {:.1} s", took.as_secs_f64()));
        Ok(took)
    }
}
