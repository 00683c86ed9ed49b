//! Streams from hook to worker, with everything that goes wrong on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods
)]
mod support;

use dub_proto::edge::v1::StopMode;
use dub_proto::orchestrator::v1::{
    GetStreamRequest, StartStreamRequest, StopStreamRequest, StreamState, WatchStreamsRequest,
};
use dub_proto::status::ErrorCode;
use std::time::{Duration, Instant};
use support::edge::FakeEdge;
use support::mediamtx::FakeMediaMtx;
use support::{Service, eventually};
use tonic::Code;

const IN: &str = "live/derby/in";
const LIVE: [&str; 2] = ["H264", "MPEG-4 Audio"];

struct House {
    edge: FakeEdge,
    mediamtx: FakeMediaMtx,
    service: Service,
}

impl House {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let (edge, mediamtx) = (FakeEdge::start().await, FakeMediaMtx::start().await);
        let service = Service::start(&edge, &mediamtx, settings).await;
        Self {
            edge,
            mediamtx,
            service,
        }
    }

    /// With publisher `a` and its worker.
    async fn live(settings: &[(&str, &str)]) -> Self {
        let house = Self::new(settings).await;
        house.mediamtx.publish(IN, "a", &LIVE);
        assert_eq!(house.service.hook("ready", IN, "a", "").await, 202);
        house.until(StreamState::Running).await;
        house
    }

    async fn until(&self, state: StreamState) -> Duration {
        eventually(state.as_str_name(), || async {
            self.service.stream().await.state == i32::from(state)
        })
        .await
    }

    fn starts(&self) -> Vec<(String, u32, u64)> {
        let state = self.edge.state();
        state
            .starts
            .iter()
            .map(|start| (start.run_id.clone(), start.epoch, start.first_fragment_seq))
            .collect()
    }

    fn has_worker(&self) -> bool {
        !self.edge.state().workers.is_empty()
    }
}

#[tokio::test]
async fn a_publisher_that_leaves_for_good_ends_the_run_after_the_grace_by_a_drain() {
    let house = House::live(&[]).await;
    house.mediamtx.unpublish(IN);
    let left_at = Instant::now();
    house.service.hook("not-ready", IN, "a", "").await;
    eventually("grace", || async {
        house.service.stream().await.grace_until.is_some()
    })
    .await;
    house.until(StreamState::Stopped).await;
    assert!(
        Duration::from_secs(1) <= left_at.elapsed(),
        "{:?}",
        left_at.elapsed()
    );
    let state = house.edge.state();
    assert_eq!(state.stops.len(), 1);
    assert_eq!(state.stops[0].mode, i32::from(StopMode::Drain));
    assert_eq!(state.stops[0].run_id, state.starts[0].run_id);
}

#[tokio::test]
async fn a_publisher_that_returns_within_the_grace_keeps_run_and_worker() {
    let house = House::live(&[]).await;
    house.mediamtx.unpublish(IN);
    house.service.hook("not-ready", IN, "a", "").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    house.mediamtx.publish(IN, "b", &["H265", "Opus"]);
    house.service.hook("ready", IN, "b", "").await;
    eventually("the worker is told", || async {
        !house.edge.state().updates.is_empty()
    })
    .await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!((house.starts().len(), house.edge.state().stops.len()), (1, 0));
    let state = house.edge.state();
    let source = state.updates[0].source.as_ref().unwrap();
    assert_eq!(
        (source.source_id.as_str(), source.tracks[0].codec.as_str()),
        ("b", "H265")
    );
    assert_eq!(state.updates.len(), 1);
}

#[tokio::test]
async fn a_missed_hook_heals_within_three_seconds_at_the_default_pace() {
    let house = House::new(&[("ORCH_RECONCILE_INTERVAL", "1s"), ("ORCH_GRACE_PERIOD", "0s")]).await;
    house.mediamtx.set_query("a", "lang=fr");
    house.mediamtx.publish(IN, "a", &LIVE);
    let healed = eventually("a worker", || async { house.has_worker() }).await;
    assert!(healed < Duration::from_secs(3), "{healed:?}");
    assert_eq!(
        house.edge.state().starts[0]
            .settings
            .as_ref()
            .unwrap()
            .target_lang,
        "fr"
    );
    house.mediamtx.unpublish(IN);
    let healed = eventually("no worker", || async { !house.has_worker() }).await;
    assert!(healed < Duration::from_secs(3), "{healed:?}");
}

#[tokio::test]
async fn a_listing_that_is_faster_than_the_hook_does_not_lose_the_settings_in_the_query() {
    let (edge, mediamtx) = (FakeEdge::start().await, FakeMediaMtx::start().await);
    mediamtx.publish(IN, "a", &LIVE);
    let service = Service::start(&edge, &mediamtx, &[("ORCH_RECONCILE_INTERVAL", "2s")]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    service.hook("ready", IN, "a", "lang=fr").await;
    eventually("a worker", || async { !edge.state().workers.is_empty() }).await;
    assert_eq!(
        edge.state().starts[0].settings.as_ref().unwrap().target_lang,
        "fr"
    );
}

#[tokio::test]
async fn a_killed_worker_is_replaced_by_one_of_the_same_run_with_higher_epoch_and_numbers() {
    let house = House::live(&[]).await;
    house.edge.tell_fragment("derby", 41);
    tokio::time::sleep(Duration::from_millis(50)).await;
    house.edge.kill_worker("derby", -1);
    eventually("a second worker", || async { house.starts().len() == 2 }).await;
    let starts = house.starts();
    assert_eq!(starts[0].0, starts[1].0);
    assert_eq!((starts[1].1, starts[1].2), (2, 1041));
    let metrics = house.service.metrics().await;
    assert!(
        metrics.contains("orchestrator_worker_restarts_total 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("orchestrator_worker_failures_total 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_worker_that_keeps_failing_leaves_its_stream_degraded_and_others_untouched() {
    let house = House::live(&[("ORCH_WORKER_RESTARTS_MAX", "1")]).await;
    house.mediamtx.publish("live/other/in", "o", &LIVE);
    house.service.hook("ready", "live/other/in", "o", "").await;
    eventually("two workers", || async { house.edge.state().workers.len() == 2 }).await;
    house.edge.kill_worker("derby", 1);
    eventually("a second", || async { house.edge.state().workers.len() == 2 }).await;
    house.edge.kill_worker("derby", 1);
    eventually("degraded", || async { house.service.streams().await[0].degraded }).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(house.edge.state().workers.len(), 1);
    assert!(
        house
            .service
            .metrics()
            .await
            .contains("orchestrator_degraded_streams 1")
    );

    let request = StartStreamRequest {
        stream_id: "derby".to_owned(),
        settings: None,
    };
    house.service.client().await.start_stream(request).await.unwrap();
    eventually("it runs again", || async {
        house.edge.state().workers.len() == 2
    })
    .await;
    assert!(!house.service.streams().await[0].degraded);
}

#[tokio::test]
async fn a_source_that_can_never_be_dubbed_is_not_tried_again() {
    let house = House::new(&[]).await;
    house.edge.state().refusal = Some(ErrorCode::VideoCodecUnsupported);
    house.mediamtx.publish(IN, "a", &["VP8"]);
    house.service.hook("ready", IN, "a", "").await;
    eventually("degraded", || async { house.service.stream().await.degraded }).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(house.starts().len(), 1);
}

#[tokio::test]
async fn a_restart_of_the_orchestrator_adopts_the_worker_and_leaves_the_air_alone() {
    let House {
        edge,
        mediamtx,
        service,
    } = House::live(&[]).await;
    let watch = service
        .client()
        .await
        .watch_streams(WatchStreamsRequest::default())
        .await
        .unwrap();
    let started = Instant::now();
    service.stop().await;
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    drop(watch);
    assert_eq!(edge.state().stops.len(), 0);

    let service = Service::start(&edge, &mediamtx, &[]).await;
    let house = House {
        edge,
        mediamtx,
        service,
    };
    house.until(StreamState::Running).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!((house.starts().len(), house.edge.state().stops.len()), (1, 0));
    let stream = house.service.stream().await;
    assert_eq!(
        (stream.run_id, stream.epoch, stream.source_id),
        (house.starts()[0].0.clone(), 1, "a".to_owned())
    );
}

#[tokio::test]
async fn a_worker_whose_publisher_left_while_nobody_looked_ends_after_the_grace() {
    let House {
        edge,
        mediamtx,
        service,
    } = House::live(&[]).await;
    service.stop().await;
    mediamtx.unpublish(IN);
    let _service = Service::start(&edge, &mediamtx, &[]).await;
    eventually("no worker", || async { edge.state().workers.is_empty() }).await;
}

#[tokio::test]
async fn while_the_control_api_is_silent_nothing_is_concluded_and_afterwards_the_grace_applies() {
    let house = House::live(&[]).await;
    house.mediamtx.set_silent(true);
    house.mediamtx.unpublish(IN);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(house.service.stream().await.publishing);
    assert!(house.has_worker());
    house.mediamtx.set_silent(false);
    eventually("grace", || async {
        house.service.stream().await.grace_until.is_some()
    })
    .await;
    house.mediamtx.publish(IN, "b", &LIVE);
    house.service.hook("ready", IN, "b", "").await;
    eventually("the worker is told", || async {
        !house.edge.state().updates.is_empty()
    })
    .await;
    assert_eq!(house.starts().len(), 1);
}

#[tokio::test]
async fn when_media_edge_dies_with_its_workers_each_stream_gets_one_again() {
    let house = House::live(&[("ORCH_WORKER_RESTARTS_MAX", "0")]).await;
    house.edge.die();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(house.service.stream().await.want_worker);
    house.edge.come_back().await;
    eventually("a worker", || async { house.has_worker() }).await;
    house.until(StreamState::Running).await;
    let starts = house.starts();
    assert_eq!((starts.len(), &starts[0].0, starts[1].1), (2, &starts[1].0, 2));
    assert!(!house.service.stream().await.degraded);
}

#[tokio::test]
async fn an_operator_lists_watches_stops_and_starts_streams() {
    let house = House::live(&[]).await;
    let mut client = house.service.client().await;
    let request = WatchStreamsRequest {
        stream_id: "derby".to_owned(),
    };
    let mut watch = client.watch_streams(request).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap().stream.unwrap();
    assert_eq!(first.state(), StreamState::Running);
    let first_run = first.run_id;

    let request = StopStreamRequest {
        stream_id: "derby".to_owned(),
    };
    let stream = client
        .stop_stream(request)
        .await
        .unwrap()
        .into_inner()
        .stream
        .unwrap();
    assert!(!stream.want_worker);
    loop {
        let stream = watch.message().await.unwrap().unwrap().stream.unwrap();
        if stream.state() == StreamState::Stopped {
            break;
        }
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!house.has_worker());

    let settings = dub_proto::media::v1::StreamSettings {
        target_lang: "de".to_owned(),
        ..Default::default()
    };
    let request = StartStreamRequest {
        stream_id: "derby".to_owned(),
        settings: Some(settings),
    };
    client.start_stream(request).await.unwrap();
    eventually("a worker", || async { house.has_worker() }).await;
    let request = GetStreamRequest {
        stream_id: "derby".to_owned(),
    };
    let stream = client
        .get_stream(request)
        .await
        .unwrap()
        .into_inner()
        .stream
        .unwrap();
    assert_ne!(stream.run_id, first_run);
    assert_eq!(stream.settings.unwrap().target_lang, "de");
    assert_eq!(
        house.edge.state().starts[1]
            .settings
            .as_ref()
            .unwrap()
            .target_lang,
        "de"
    );
}

#[tokio::test]
async fn an_operator_who_asks_for_what_is_not_there_hears_why() {
    let house = House::new(&[]).await;
    let mut client = house.service.client().await;
    let unknown = "nobody".to_owned();
    let status = client
        .get_stream(GetStreamRequest {
            stream_id: unknown.clone(),
        })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let status = client
        .stop_stream(StopStreamRequest { stream_id: unknown })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let status = client
        .get_stream(GetStreamRequest {
            stream_id: "../x".to_owned(),
        })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let hold = Some(dub_proto::convert::duration_to_wire(Duration::from_secs(61)));
    let settings = dub_proto::media::v1::StreamSettings {
        hold,
        ..Default::default()
    };
    let request = StartStreamRequest {
        stream_id: "derby".to_owned(),
        settings: Some(settings),
    };
    let status = client.start_stream(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("hold"), "{}", status.message());
}

#[tokio::test]
async fn in_external_mode_media_edge_is_never_called() {
    let house = House::live(&[("ORCH_WORKER_MODE", "external"), ("ORCH_GRACE_PERIOD", "0s")]).await;
    house.mediamtx.unpublish(IN);
    house.service.hook("not-ready", IN, "a", "").await;
    house.until(StreamState::Stopped).await;
    assert_eq!((house.starts().len(), house.edge.state().stops.len()), (0, 0));
    let metrics = house.service.metrics().await;
    assert!(metrics.contains("orchestrator_worker_stops_total 1"), "{metrics}");
    assert!(metrics.contains("orchestrator_active_workers 0"), "{metrics}");
}
