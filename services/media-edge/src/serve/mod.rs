//! `serve`: answers gRPC and supervises one `worker` process per stream.
//!
//! [`control`] checks and answers, [`supervisor`] owns all workers, one [`worker_task`] owns each child with its pipes
//! and its [`ladder`]; what they know travels as a [`snapshot`] and leaves as a [`view`]. Nothing here touches media:
//! a stream goes on when this process is gone only until its worker is killed with it.
//!
//! Drain: readiness off → every worker is told to stop now, its held tail discarded → SIGTERM → SIGKILL, all within
//! `MEDIA_EDGE_DRAIN_TIMEOUT` → watchers hear the exits and then `DRAINING`.

pub mod control;
pub mod elements;
pub mod ladder;
pub mod lines;
pub mod logs;
pub mod process;
pub mod snapshot;
pub mod supervisor;
#[cfg(test)]
mod tests;
pub mod view;
pub mod worker_task;

use crate::children::own_program;
use crate::config::{ADMIN_ADDR, GRPC_ADDR, SETTINGS, ServeConfig};
use crate::metrics::Metrics;
use anyhow::Context as _;
use control::Control;
use dub_proto::edge::v1::edge_service_server::EdgeServiceServer;
use ladder::Limits;
use process::Program;
use service_kit::admin::{Admin, Readiness};
use service_kit::exit::code;
use service_kit::grpc::GrpcServer;
use service_kit::settings::Env;
use service_kit::tasks::{OnEnd, Signals, Tasks};
use service_kit::telemetry::{self, Identity, LogStream, TELEMETRY_SETTINGS};
use service_kit::{Metrics as Registry, cli};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

/// How long an ended worker is shown: an orchestrator that was away for a restart still learns of the exit.
const LINGER: Duration = Duration::from_secs(60);
/// A runtime whose output nobody reads is left after this time.
const RUNTIME_END: Duration = Duration::from_millis(500);

/// What a test replaces.
#[derive(Clone, Debug)]
pub struct Deps {
    /// What is started for a worker.
    pub program: Program,
    /// Of the stop ladder.
    pub limits: Limits,
    /// How long an ended worker is shown.
    pub linger: Duration,
}

impl Deps {
    /// This executable as `worker`, with the settings as this process has them, flags and file included.
    ///
    /// # Errors
    /// When the system does not tell which executable this is.
    pub fn of_this_process(config: &ServeConfig, env: &Env) -> anyhow::Result<Self> {
        let is_ours = |key: &str| {
            SETTINGS
                .iter()
                .chain(TELEMETRY_SETTINGS)
                .any(|setting| setting.key == key)
        };
        let program = Program {
            name: "media-edge",
            path: own_program().context("the path of this executable is not known")?,
            args: vec!["worker".into()],
            environment: env
                .pairs()
                .filter(|(key, _)| is_ours(key))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        };
        Ok(Self {
            program,
            limits: Limits::within(config.drain_timeout),
            linger: LINGER,
        })
    }
}

/// The service, its ports bound and nothing answered yet.
pub struct App {
    config: ServeConfig,
    grpc: GrpcServer,
    admin: Admin,
    readiness: Readiness,
    supervisor: supervisor::Task,
    handle: supervisor::Handle,
    logs: logs::LogTask<std::io::Stdout>,
}

impl App {
    /// Binds the ports.
    ///
    /// # Errors
    /// When a port cannot be bound.
    pub async fn build(config: ServeConfig, deps: Deps) -> anyhow::Result<Self> {
        let grpc = GrpcServer::bind((&GRPC_ADDR, config.grpc_addr)).await?;
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let readiness = Readiness::new();
        let admin = Admin::bind((&ADMIN_ADDR, config.admin_addr), registry, readiness.clone()).await?;
        let (sink, logs) = logs::channel(std::io::stdout());
        let (supervisor, handle) = supervisor::Task::new(supervisor::Parts {
            program: deps.program,
            workers_max: config.workers_max,
            ready_timeout: config.ready_timeout,
            limits: deps.limits,
            linger: deps.linger,
            logs: sink,
            metrics,
        });
        Ok(Self {
            config,
            grpc,
            admin,
            readiness,
            supervisor,
            handle,
            logs,
        })
    }

    /// Where gRPC is answered.
    ///
    /// # Errors
    /// When the system does not tell it.
    pub fn grpc_addr(&self) -> std::io::Result<SocketAddr> {
        self.grpc.local_addr()
    }

    /// Where metrics and health are answered.
    ///
    /// # Errors
    /// When the system does not tell it.
    pub fn admin_addr(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Answers until told to stop, then drains.
    pub async fn run(self, signals: Signals) -> ExitCode {
        let drain_timeout = self.config.drain_timeout;
        let mut tasks = Tasks::new();
        let token = tasks.token();
        self.admin.spawn_into(&mut tasks);
        tasks.spawn("child logs", OnEnd::Log, self.logs.run());
        tasks.spawn(
            "supervisor",
            OnEnd::StopService,
            self.supervisor.run(token.clone()),
        );
        let watchers = TaskTracker::new();
        let control = Control::new(self.handle, watchers.clone());
        let routes = Routes::new(EdgeServiceServer::new(control));
        let draining = token.clone();
        tasks.spawn("watchers", OnEnd::Log, async move {
            draining.cancelled().await;
            watchers.close();
            watchers.wait().await;
            Ok(())
        });
        // Watchers end by themselves when the supervisor has ended; until then they hear the exits.
        let grpc = self.grpc.with_grace(drain_timeout * 3 / 4);
        tasks.spawn("grpc", OnEnd::StopService, async move {
            let sets = [
                dub_proto::FILE_DESCRIPTOR_SET,
                dub_proto::ERROR_DETAILS_DESCRIPTOR_SET,
            ];
            grpc.serve(routes, &sets, token).await
        });
        self.readiness.set(true, "ready");
        tasks.run_until_shutdown(signals, drain_timeout).await
    }
}

/// The whole life of `media-edge serve`.
pub fn run(env: &Env) -> ExitCode {
    let config = match ServeConfig::read(env) {
        Ok(config) => config,
        Err(errors) => return cli::report_config_errors(&errors),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            return cannot_start(&anyhow::Error::new(error).context("the runtime cannot be started"));
        }
    };
    let exit = runtime.block_on(live(config, env));
    runtime.shutdown_timeout(RUNTIME_END);
    exit.unwrap_or_else(|error| cannot_start(&error))
}

async fn live(config: ServeConfig, env: &Env) -> anyhow::Result<ExitCode> {
    let identity = Identity {
        service: "media-edge",
        instance_id: uuid::Uuid::now_v7().to_string(),
        stream_id: None,
        run_id: None,
    };
    let telemetry = telemetry::init(&config.telemetry, &identity, LogStream::Stdout)?;
    let exit = async {
        elements::check(&own_program()?).await?;
        let deps = Deps::of_this_process(&config, env)?;
        let app = App::build(config, deps).await?;
        tracing::info!(grpc = %app.grpc_addr()?, admin = %app.admin_addr()?, "listening");
        Ok(app.run(Signals::install()?).await)
    }
    .await;
    if let Err(error) = &exit {
        tracing::error!(error = format!("{error:#}"), "cannot start");
    }
    telemetry.shutdown().await;
    exit
}

/// On standard error as well, where a person looks who has started this by hand with logs turned off.
fn cannot_start(error: &anyhow::Error) -> ExitCode {
    use std::io::Write as _;
    // Nothing is left to do when stderr is closed.
    let _ = writeln!(std::io::stderr(), "media-edge: {error:#}");
    ExitCode::from(match service_kit::exit::code_of(error) {
        code::DONE => code::FAILED,
        other => other,
    })
}
