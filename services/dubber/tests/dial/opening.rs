//! A session of the service with a provider that cannot be reached.
use crate::support::Service;
use tonic::Code;

#[tokio::test]
async fn a_session_whose_provider_cannot_be_reached_is_refused_with_setting_and_remedy() {
    let service = Service::start(&[
        ("WORKER_STS_PROVIDER", "gemini-live"),
        ("WORKER_GEMINI_API_KEY", "any-key"),
        ("WORKER_GEMINI_BASE_URL", "http://127.0.0.1:1"),
    ])
    .await;
    let mut dub = service.open("derby").await;
    let refused = dub.next().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    for word in ["WORKER_GEMINI_BASE_URL", "127.0.0.1:1", "refused", "firewall"] {
        assert!(refused.message().contains(word), "{refused}");
    }
}
