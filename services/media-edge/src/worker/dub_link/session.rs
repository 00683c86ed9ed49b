//! The task that keeps a session with the dubber open.
use super::{Limits, MESSAGE, answers};
use crate::worker::event::{DubEvent, Sender, WorkerEvent};
use dub_proto::dub::v1::{
    self as wire, DubRequest, DubResponse, dub_request::Payload, dub_response,
    dub_service_client::DubServiceClient,
};
use media_types::FragmentSeq;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

/// First wait before the dubber is tried again; it doubles.
const RETRY_FIRST: Duration = Duration::from_millis(200);
/// Longest wait before the dubber is tried again.
const RETRY_MAX: Duration = Duration::from_secs(2);
/// A dubber that does not answer `Open` within this is as good as gone.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest message from the dubber: 10 s of speech, twice.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Keeps a session open.
pub struct Session {
    /// Address of the dubber.
    pub url: String,
    /// First message of every session.
    pub open: wire::Open,
    /// Bounds the request queue.
    pub limits: Limits,
    /// Where the answers go.
    pub events: Sender,
    /// No session is wanted any more once the one that is open has ended.
    pub last: CancellationToken,
}

impl Session {
    /// Runs until it is cancelled.
    pub async fn run(self, token: CancellationToken) {
        let mut retry = RETRY_FIRST;
        loop {
            let ended = tokio::select! {
                () = token.cancelled() => return,
                ended = self.session(&mut retry) => ended,
            };
            let message = match ended {
                Ok(()) => "session ended".to_owned(),
                Err(error) => error,
            };
            self.tell(DubEvent::Disconnected { message }).await;
            tokio::select! {
                () = token.cancelled() => return,
                () = self.last.cancelled() => return,
                () = tokio::time::sleep(retry) => {}
            }
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    async fn tell(&self, event: DubEvent) {
        let mut event = WorkerEvent::Dub(event);
        // The loop takes events without waiting for anybody, so a full queue is empty in a moment.
        while let Err(std::sync::mpsc::TrySendError::Full(back)) = self.events.try_send(event) {
            event = back;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn session(&self, retry: &mut Duration) -> Result<(), String> {
        let channel = Endpoint::from_shared(self.url.clone())
            .map_err(|error| format!("MEDIA_EDGE_DUBBER_URL: {error}"))?
            .connect_timeout(OPEN_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .connect()
            .await
            .map_err(|error| format!("dubber is not there: {error}"))?;
        let queue = usize::try_from(self.limits.buffered.as_millis() / MESSAGE.as_millis())
            .unwrap_or(150)
            .max(8);
        let (requests, receiver) = mpsc::channel(queue);
        let open = DubRequest {
            payload: Some(Payload::Open(self.open.clone())),
        };
        requests.try_send(open).map_err(|error| error.to_string())?;
        let events = self.events.clone();
        let outgoing = ReceiverStream::new(receiver).map(move |request| {
            if let Some(Payload::FragmentStart(start)) = &request.payload {
                // For the trace alone: a full queue does without.
                events
                    .try_send(WorkerEvent::Dub(DubEvent::Sent {
                        seq: FragmentSeq(start.fragment_seq),
                    }))
                    .ok();
            }
            request
        });
        let mut client = DubServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let opened = async {
            let mut answers = client
                .dub(outgoing)
                .await
                .map_err(|status| status.to_string())?
                .into_inner();
            match answers.next().await {
                Some(Ok(DubResponse {
                    payload: Some(dub_response::Payload::Opened(opened)),
                })) => Ok((opened, answers)),
                Some(Ok(_)) => Err("dubber answered Open with something else".to_owned()),
                Some(Err(status)) => Err(status.to_string()),
                None => Err("dubber closed the session at once".to_owned()),
            }
        };
        let (opened, mut answers) = tokio::time::timeout(OPEN_TIMEOUT, opened)
            .await
            .map_err(|_| "dubber does not answer Open".to_owned())??;
        *retry = RETRY_FIRST;
        self.tell(DubEvent::Connected {
            deciding: answers::deciding_of(opened.answering()),
            session_id: answers::text(&opened.session_id),
            provider: answers::text(&opened.provider),
            requests,
        })
        .await;
        while let Some(answer) = answers.next().await {
            let answer = answer.map_err(|status| status.to_string())?;
            match answer.payload.map(answers::from_wire) {
                Some(Ok(Some(event))) => self.tell(event).await,
                Some(Ok(None)) | None => {}
                Some(Err(error)) => tracing::warn!(%error, "answer of the dubber is refused"),
            }
        }
        Ok(())
    }
}
