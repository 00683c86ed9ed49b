//! One trace a fragment: below the worker's span, with the provider's call below ours, and no words in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod support;

use dub_proto::dub::v1::dub_request::Payload;
use dub_proto::media::v1::TraceContext;
use opentelemetry::global;
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use support::{FRAMES, Service, open, pcm};

const FRAGMENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const RUN: &str = "00-11111111111111111111111111111111-2222222222222222-01";

fn context(traceparent: &str) -> Option<TraceContext> {
    Some(TraceContext {
        traceparent: traceparent.to_owned(),
        tracestate: String::new(),
    })
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    span.attributes
        .iter()
        .find(|pair| pair.key.as_str() == key)
        .map(|pair| pair.value.to_string())
}

#[tokio::test]
async fn a_fragment_is_one_consumer_span_with_one_client_span_in_the_trace_of_its_worker() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    global::set_tracer_provider(provider);
    let settings = [("DUBBER_MOCK_LOSS", "0"), ("DUBBER_MOCK_DELAY", "50ms")];
    let service = Service::start(&settings).await;
    let mut dub = service.stream().await;
    let Payload::Open(mut opening) = open("derby") else {
        unreachable!()
    };
    opening.trace = context(RUN);
    dub.say(Payload::Open(opening)).await;
    let session_id = dub.opened().await.session_id;
    dub.fragment_of(42, &pcm(42, FRAMES), context(FRAGMENT)).await;
    dub.result().await;
    dub.fragment_of(43, &[], None).await;
    dub.result().await;
    dub.close().await;
    dub.end().await.unwrap();

    let spans = exporter.get_finished_spans().unwrap();
    let of = |name: &str, seq: &str| {
        let found = spans
            .iter()
            .find(|s| s.name == name && attribute(s, "dub.fragment.seq").as_deref() == Some(seq));
        found
            .unwrap_or_else(|| panic!("no span {name} of {seq} in {spans:?}"))
            .clone()
    };
    let consumer = of("process dub.fragment", "42");
    assert_eq!(consumer.span_kind, SpanKind::Consumer);
    assert_eq!(
        consumer.span_context.trace_id().to_string(),
        "0af7651916cd43dd8448eb211c80319c"
    );
    assert_eq!(consumer.parent_span_id.to_string(), "b7ad6b7169203331");
    let link = consumer
        .links
        .iter()
        .next()
        .expect("a link to the start of the run");
    assert_eq!(link.span_context.trace_id().to_string(), "1".repeat(32));
    let client = of("generate_content mock", "42");
    assert_eq!(
        (client.span_kind.clone(), client.parent_span_id),
        (SpanKind::Client, consumer.span_context.span_id())
    );
    assert!(consumer.start_time <= client.start_time && client.end_time <= consumer.end_time);
    assert!(
        client
            .end_time
            .duration_since(client.start_time)
            .unwrap()
            .as_millis()
            >= 50
    );
    for span in [&consumer, &client] {
        assert_eq!(attribute(span, "dub.stream.id").as_deref(), Some("derby"));
        assert_eq!(attribute(span, "dub.run.id").as_deref(), Some("run-1"));
        assert_eq!(attribute(span, "dub.session.id"), Some(session_id.clone()));
        assert_eq!(span.status, Status::Unset);
    }
    let failed = of("process dub.fragment", "43");
    assert!(matches!(failed.status, Status::Error { .. }), "{failed:?}");
    assert_eq!(attribute(&failed, "error.type").as_deref(), Some("invalid_input"));
    assert_eq!(spans.len(), 3, "per fragment, never per frame: {spans:?}");
}
