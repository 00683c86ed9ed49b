//! Puts the service together and takes it apart; the only file that knows the order of both.
use crate::config::{ADMIN_ADDR, Config, GRPC_ADDR};
use crate::directory::Directory;
use crate::grpc::{Service, Shared};
use crate::metrics::Metrics;
use crate::session::task::Surroundings;
use dub_proto::dub::v1::dub_service_server::DubServiceServer;
use service_kit::exit::code_of;
use service_kit::{Admin, GrpcServer, Identity, LogStream, OnEnd, Readiness, Signals, Tasks, telemetry};
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

/// What the end of the last session and of the server may take beyond the drain of a session.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);
/// From the end of the last session to the end of its connection: time for the last words to leave. A peer that
/// keeps its connection open beyond that does not keep the process.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// The service with its ports bound, open to nobody yet.
pub struct App {
    grpc: GrpcServer,
    admin: Admin,
    readiness: Readiness,
    shared: Arc<Shared>,
    tasks: Tasks,
    drain: Duration,
}

impl App {
    /// Binds every port.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        let drain = config.limits.drain + DRAIN_MARGIN;
        // Sessions end their streams themselves; the server steps in behind them, and before the tasks are aborted.
        let grace = config.limits.drain + DRAIN_MARGIN / 2;
        let grpc = GrpcServer::bind((&GRPC_ADDR, config.grpc_addr))
            .await?
            .with_grace(grace);
        let mut registry = service_kit::Metrics::default();
        let metrics = Metrics::register(&mut registry);
        let readiness = Readiness::new();
        let admin = Admin::bind((&ADMIN_ADDR, config.admin_addr), registry, readiness.clone()).await?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let tasks = Tasks::new();
        let shared = Arc::new(Shared {
            surroundings: Surroundings {
                limits: config.limits,
                token: tasks.token(),
                metrics,
            },
            directory: Directory::default(),
            tracker: TaskTracker::new(),
            places: (config.sessions_max > 0).then(|| Arc::new(Semaphore::new(config.sessions_max))),
            provider: config.provider,
        });
        let app = Self {
            grpc,
            admin,
            readiness,
            shared,
            tasks,
            drain,
        };
        let provider = app.shared.provider.name();
        tracing::info!(grpc_addr = %app.grpc_addr()?, admin_addr = %app.admin_addr()?, provider, "ports bound");
        Ok(app)
    }

    /// Where DubService listens.
    pub fn grpc_addr(&self) -> std::io::Result<SocketAddr> {
        self.grpc.local_addr()
    }

    /// Where metrics and health are answered.
    pub fn admin_addr(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Serves until a signal, then drains: readiness off, sessions told and answered, streams ended, listener closed.
    pub async fn run(self, signals: Signals) -> ExitCode {
        let Self {
            grpc,
            admin,
            readiness,
            shared,
            mut tasks,
            drain,
        } = self;
        admin.spawn_into(&mut tasks);
        let token = tasks.token();
        let tracker = shared.tracker.clone();
        let sessions_over = async move {
            token.cancelled().await;
            tracker.close();
            tracker.wait().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        let routes = Routes::new(DubServiceServer::new(Service(shared)));
        let token = tasks.token();
        let serve = async move {
            let descriptors = [
                dub_proto::FILE_DESCRIPTOR_SET,
                dub_proto::ERROR_DETAILS_DESCRIPTOR_SET,
            ];
            tokio::select! {
                served = grpc.serve(routes, &descriptors, token) => served,
                () = sessions_over => Ok(()),
            }
        };
        tasks.spawn("grpc", OnEnd::StopService, serve);
        readiness.set(true, "ready");
        tasks.run_until_shutdown(signals, drain).await
    }
}

/// Telemetry, service, drain, last lines and spans: everything that the program does once its settings are right.
pub async fn run_to_the_end(config: Config) -> ExitCode {
    let instance_id = uuid::Uuid::now_v7().to_string();
    let identity = Identity {
        service: "dubber",
        instance_id,
        ..Identity::default()
    };
    let telemetry = match telemetry::init(&config.telemetry, &identity, LogStream::Stdout) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            // There is no log to say it in; a closed stderr leaves nothing to do.
            let _ = writeln!(std::io::stderr(), "dubber: {error}");
            return ExitCode::from(service_kit::exit::code::FAILED);
        }
    };
    let exit = match serve(config).await {
        Ok(exit) => exit,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "start failed");
            ExitCode::from(code_of(&error))
        }
    };
    telemetry.shutdown().await;
    exit
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let signals = Signals::install()?;
    Ok(App::build(config).await?.run(signals).await)
}
