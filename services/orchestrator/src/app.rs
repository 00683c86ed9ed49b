//! The order of construction and, mirrored, of drain.
use crate::config::{Config, STATE_DIR, WorkerMode};
use crate::edge_client::{EdgeClient, EdgeLink};
use crate::hooks::{self, Hooks};
use crate::mediamtx_client::MediaMtxClient;
use crate::metrics::Metrics;
use crate::operator::{CHANGES_MAX, Operator};
use crate::registry::Registry;
use crate::state_dir::{Keeper, KeeperTask};
use crate::stream_task::Shared;
use dub_proto::orchestrator::v1::orchestrator_service_server::OrchestratorServiceServer;
use dub_proto::{ERROR_DETAILS_DESCRIPTOR_SET, FILE_DESCRIPTOR_SET};
use media_types::StreamId;
use service_kit::exit::{ExitWith, code};
use service_kit::{
    Admin, Clock, GrpcServer, Identity, LogStream, OnEnd, Readiness, Signals, Tasks, exit, net, telemetry,
};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use stream_lifecycle::Memory;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tonic::service::Routes;

/// Addresses as they were bound.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Hooks.
    pub http: SocketAddr,
    /// Operators.
    pub grpc: SocketAddr,
    /// Metrics and health.
    pub admin: SocketAddr,
}

/// Builds and runs the service with this process's telemetry and signals.
pub async fn run_to_the_end(config: Config) -> ExitCode {
    let identity = Identity {
        service: "orchestrator",
        instance_id: uuid::Uuid::now_v7().to_string(),
        ..Identity::default()
    };
    let telemetry = match telemetry::init(&config.telemetry, &identity, LogStream::Stdout) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            // Without a log, stderr is the only place left, and a closed one is nobody's concern.
            let _ = writeln!(std::io::stderr(), "orchestrator: {error}");
            return ExitCode::from(exit::code::CONFIG);
        }
    };
    let built = async { Ok((Signals::install()?, App::build(config).await?)) }.await;
    let code = match built {
        Ok((signals, app)) => app.run(signals).await,
        Err::<_, anyhow::Error>(error) => {
            tracing::error!(error = format!("{error:#}"), "start failed");
            ExitCode::from(exit::code_of(&error))
        }
    };
    telemetry.shutdown().await;
    code
}

/// The service: every port is bound, nothing is answered yet.
pub struct App {
    config: Config,
    http: TcpListener,
    grpc: GrpcServer,
    admin: Admin,
    addresses: Addresses,
    readiness: Readiness,
    shared: Arc<Shared>,
    keeping: Option<KeeperTask>,
    kept: BTreeMap<StreamId, Memory>,
}

impl App {
    /// Binds every port. Peers are not needed yet: each is found when it answers.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        let mut registry = service_kit::Metrics::default();
        let metrics = Metrics::register(&mut registry);
        let readiness = Readiness::new();
        let http = net::bind(("ORCH_HTTP_ADDR", config.http_addr)).await?;
        let grpc = GrpcServer::bind(("ORCH_GRPC_ADDR", config.grpc_addr)).await?;
        let admin = Admin::bind(
            ("ORCH_ADMIN_ADDR", config.admin_addr),
            registry,
            readiness.clone(),
        )
        .await?;
        let addresses = Addresses {
            http: http.local_addr()?,
            grpc: grpc.local_addr()?,
            admin: admin.local_addr()?,
        };
        let (keeper, keeping, kept) = open_state(&config, &metrics)?;
        let shared = Arc::new(Shared {
            policy: config.policy.clone(),
            settings: config.stream_settings.clone(),
            worker_mode: config.worker_mode,
            edge: EdgeClient::new(&config.edge_url)?,
            mediamtx: MediaMtxClient::new(&config.mediamtx_api_url)?,
            metrics,
            clock: Clock::new(),
            keeper,
            changes: broadcast::channel(CHANGES_MAX).0,
        });
        Ok(Self {
            config,
            http,
            grpc,
            admin,
            addresses,
            readiness,
            shared,
            keeping,
            kept,
        })
    }

    /// Addresses as they were bound.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until a signal; workers run on when it ends.
    pub async fn run(self, signals: Signals) -> ExitCode {
        let Self {
            config,
            http,
            grpc,
            admin,
            addresses,
            readiness,
            shared,
            keeping,
            kept,
        } = self;
        tracing::info!(http = %addresses.http, grpc = %addresses.grpc, admin = %addresses.admin, "listening");
        let mut tasks = Tasks::new();
        let token = tasks.token();
        let (registry, registry_task) = Registry::new(
            config.path_pattern.clone(),
            config.workers_max,
            Arc::clone(&shared),
            kept,
        );
        if let Some(keeping) = keeping {
            tasks.spawn("state", OnEnd::Log, keeping.run(token.clone()));
        }
        admin.spawn_into(&mut tasks);
        tasks.spawn("registry", OnEnd::StopService, registry_task.run(token.clone()));
        if config.worker_mode == WorkerMode::Process {
            let link = EdgeLink::new(
                shared.edge.clone(),
                registry.clone(),
                shared.clock,
                config.reconcile_interval,
            );
            tasks.spawn("edge link", OnEnd::StopService, link.run(token.clone()));
        }
        let paths = shared.mediamtx.clone().watch(
            registry.clone(),
            shared.clock,
            config.reconcile_interval,
            token.clone(),
        );
        tasks.spawn("path listing", OnEnd::StopService, paths);
        let operator = Operator {
            registry: registry.clone(),
            settings: shared.settings.clone(),
            changes: shared.changes.clone(),
            keeper: shared.keeper.clone(),
        };
        let routes = Routes::new(OrchestratorServiceServer::new(operator));
        let descriptors = [FILE_DESCRIPTOR_SET, ERROR_DETAILS_DESCRIPTOR_SET];
        let stop = token.clone();
        tasks.spawn("grpc", OnEnd::StopService, async move {
            // Watches have no last word of their own; they end with the server's.
            grpc.with_grace(Duration::ZERO)
                .serve(routes, &descriptors, stop)
                .await
        });
        let hooks = Hooks {
            registry,
            path_pattern: config.path_pattern,
            metrics: shared.metrics.clone(),
        };
        tasks.spawn("hooks", OnEnd::StopService, async move {
            let served = axum::serve(http, hooks::routes(hooks));
            Ok(served.with_graceful_shutdown(token.cancelled_owned()).await?)
        });
        readiness.set(true, "serving");
        tasks.run_until_shutdown(signals, config.drain).await
    }
}

/// What a process before this one knew, and who writes down what this one knows; nobody where no folder is set.
fn open_state(
    config: &Config,
    metrics: &Metrics,
) -> anyhow::Result<(Keeper, Option<KeeperTask>, BTreeMap<StreamId, Memory>)> {
    let key = STATE_DIR.key;
    let Some(path) = config.state_dir.clone() else {
        tracing::info!("no state is kept: {key} is not set");
        return Ok((Keeper::default(), None, BTreeMap::new()));
    };
    let shown = path.display().to_string();
    let (keeper, task, kept) = Keeper::open(path, metrics.clone()).map_err(|error| {
        let text = format!(
            "{key}={shown:?}: cannot be read: {error}; give its user the rights, or delete what it holds"
        );
        anyhow::Error::new(ExitWith(code::CONFIG)).context(text)
    })?;
    tracing::info!(path = shown, streams = kept.len(), "state is kept");
    Ok((keeper, Some(task), kept))
}
