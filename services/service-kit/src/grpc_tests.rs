#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
//! The gRPC server over real sockets: health, reflection, the end of open streams.

use std::convert::Infallible;
use std::time::Instant;

use prost_types::{FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic::server::NamedService;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus as Wire;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::*;

/// A service whose only method opens a stream that never ends.
#[derive(Clone)]
struct Endless;

impl NamedService for Endless {
    const NAME: &'static str = "test.v1.Endless";
}

impl tower::Service<axum::http::Request<tonic::body::Body>> for Endless {
    type Response = Response;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: axum::http::Request<tonic::body::Body>) -> Self::Future {
        let body = Body::from_stream(tokio_stream::pending::<Result<Bytes, Infallible>>());
        let answer = Response::builder()
            .header("content-type", "application/grpc")
            .body(body);
        std::future::ready(Ok(answer.unwrap()))
    }
}

/// Describes the mounted service and one that is not mounted.
fn descriptors() -> &'static [u8] {
    let service = |name: &str| ServiceDescriptorProto {
        name: Some(name.to_owned()),
        method: vec![MethodDescriptorProto {
            name: Some("Watch".to_owned()),
            input_type: Some(".test.v1.Empty".to_owned()),
            output_type: Some(".test.v1.Empty".to_owned()),
            ..Default::default()
        }],
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("test.proto".to_owned()),
        package: Some("test.v1".to_owned()),
        message_type: vec![prost_types::DescriptorProto {
            name: Some("Empty".to_owned()),
            ..Default::default()
        }],
        service: vec![service("Endless"), service("Elsewhere")],
        ..Default::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec().leak()
}

struct Running {
    address: SocketAddr,
    token: CancellationToken,
    server: JoinHandle<anyhow::Result<()>>,
    channel: Channel,
}

async fn run(grace: Duration) -> Running {
    let bound = GrpcServer::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap()
        .with_grace(grace);
    let address = bound.local_addr().unwrap();
    let token = CancellationToken::new();
    let mut routes = RoutesBuilder::default();
    routes.add_service(Endless);
    let server = tokio::spawn(bound.serve(routes, Box::leak(Box::new([descriptors()])), token.clone()));
    let channel = Channel::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    Running {
        address,
        token,
        server,
        channel,
    }
}

async fn health_of(channel: &Channel, service: &str) -> Result<Wire, Code> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel.clone()).check(request).await;
    answer
        .map(|answer| answer.into_inner().status())
        .map_err(|status| status.code())
}

async fn call(channel: &Channel, path: &'static str) -> Result<tonic::Streaming<()>, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = axum::http::uri::PathAndQuery::from_static(path);
    client
        .server_streaming(tonic::Request::new(()), path, codec)
        .await
        .map(tonic::Response::into_inner)
}

#[tokio::test]
async fn health_knows_the_server_and_the_mounted_services_and_no_other() {
    let running = run(GRACE).await;
    assert_eq!(health_of(&running.channel, "").await, Ok(Wire::Serving));
    assert_eq!(
        health_of(&running.channel, "test.v1.Endless").await,
        Ok(Wire::Serving)
    );
    assert_eq!(
        health_of(&running.channel, "test.v1.Elsewhere").await,
        Err(Code::NotFound)
    );
}

#[tokio::test]
async fn reflection_lists_the_mounted_services_health_and_itself() {
    let running = run(GRACE).await;
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(running.channel.clone());
    let mut answers = client
        .server_reflection_info(tokio_stream::once(list))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let mut names: Vec<String> = listed.service.into_iter().map(|service| service.name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "test.v1.Endless"
        ]
    );

    let mut old =
        tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient::new(running.channel);
    assert!(old.server_reflection_info(tokio_stream::empty()).await.is_ok());
}

#[tokio::test]
async fn a_service_that_is_not_mounted_is_named_in_the_refusal() {
    let running = run(GRACE).await;
    let status = call(&running.channel, "/test.v1.Elsewhere/Watch")
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("test.v1.Elsewhere"), "{status}");
}

#[tokio::test]
async fn an_open_stream_ends_at_drain_with_unavailable_and_the_server_with_it() {
    let running = run(Duration::from_millis(200)).await;
    let mut stream = call(&running.channel, "/test.v1.Endless/Watch").await.unwrap();
    let watch = HealthCheckRequest {
        service: String::new(),
    };
    let mut health = HealthClient::new(running.channel.clone())
        .watch(watch)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(health.next().await.unwrap().unwrap().status(), Wire::Serving);

    let began = Instant::now();
    running.token.cancel();

    assert_eq!(health.next().await.unwrap().unwrap().status(), Wire::NotServing);
    let status = stream.message().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, DRAINING));
    assert!(
        began.elapsed() >= Duration::from_millis(200),
        "a handler has its time to end by itself"
    );
    drop((stream, health));
    tokio::time::timeout(Duration::from_secs(2), running.server)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(
        TcpListener::bind(running.address).await.is_ok(),
        "the port is free again"
    );
}
