//! The skeleton of a program: settings, telemetry, admin endpoints, gRPC server, tasks, exit code.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use prometheus_client::registry::Registry;
use service_kit::{
    Admin, ConfigErrors, Env, GrpcServer, Identity, Invocation, LogStream, OnEnd, Program, Reader, Readiness,
    Setting, Signals, Tasks, TelemetryConfig, admin, cli, exit, telemetry,
};
use tonic::service::RoutesBuilder;

const GRPC_ADDR: Setting = Setting {
    key: "SKELETON_GRPC_ADDR",
    default: "127.0.0.1:0",
    allowed: "IP:PORT",
    help: "gRPC listener",
};
const ADMIN_ADDR: Setting = Setting {
    key: "SKELETON_ADMIN_ADDR",
    default: "127.0.0.1:0",
    allowed: "IP:PORT",
    help: "Admin listener",
};
const DRAIN: Setting = Setting {
    key: "SKELETON_DRAIN_MAX",
    default: "10s",
    allowed: "1s..5m",
    help: "Longest time of a drain",
};

const PROGRAM: Program = Program {
    name: "skeleton",
    about: "Serves nothing, properly",
    settings: &[&[GRPC_ADDR, ADMIN_ADDR, DRAIN], telemetry::TELEMETRY_SETTINGS],
    commands: &[],
};

struct Config {
    grpc_addr: SocketAddr,
    admin_addr: SocketAddr,
    drain_max: Duration,
    telemetry: TelemetryConfig,
}

impl Config {
    fn from_env(env: &Env) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(env);
        let config = Self {
            grpc_addr: reader.address(&GRPC_ADDR),
            admin_addr: reader.address(&ADMIN_ADDR),
            drain_max: reader.duration(&DRAIN, Duration::from_secs(1)..=Duration::from_secs(300)),
            telemetry: TelemetryConfig::read(&mut reader),
        };
        reader.finish()?;
        Ok(config)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let (env, check_only) = match cli::parse(&PROGRAM, std::env::args()) {
        Invocation::Run { env, .. } => (env, false),
        Invocation::CheckConfig { env, .. } => (env, true),
        Invocation::Healthcheck { env } => return admin::healthcheck(&env, &ADMIN_ADDR),
        Invocation::Done(exit) => return exit,
    };
    let config = match Config::from_env(&env) {
        Ok(_) if check_only => return cli::print_config(&PROGRAM, &env),
        Ok(config) => config,
        Err(errors) => return cli::report_config_errors(&errors),
    };
    let id = Identity {
        service: PROGRAM.name,
        instance_id: format!("{}-{}", PROGRAM.name, std::process::id()),
        ..Identity::default()
    };
    let telemetry = match telemetry::init(&config.telemetry, &id, LogStream::Stdout) {
        Ok(telemetry) => telemetry,
        Err(error) => return exit::report(&error.into()),
    };
    let exit = match run(&config).await {
        Ok(exit) => exit,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "start failed");
            ExitCode::from(exit::code_of(&error))
        }
    };
    telemetry.shutdown().await;
    exit
}

async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let signals = Signals::install()?;
    let readiness = Readiness::new();
    let mut tasks = Tasks::new();
    let admin = Admin::bind(
        (&ADMIN_ADDR, config.admin_addr),
        Registry::default(),
        readiness.clone(),
    )
    .await?;
    let grpc = GrpcServer::bind((&GRPC_ADDR, config.grpc_addr)).await?;
    tracing::info!(grpc = %grpc.local_addr()?, admin = %admin.local_addr()?, "listening");
    admin.spawn_into(&mut tasks);
    let token = tasks.token();
    tasks.spawn("grpc", OnEnd::StopService, async move {
        grpc.serve(RoutesBuilder::default(), &[], token).await
    });
    readiness.set(true, "ready");
    Ok(tasks.run_until_shutdown(signals, config.drain_max).await)
}
