//! The way to the dubber. The air offers fragments and never waits: what does not fit is shed whole and said. A task
//! keeps the session open for as long as the run lasts.
use super::event::{DubEvent, Sender, WorkerEvent};
use bytes::Bytes;
use dub_placement::Speech;
use dub_proto::{
    convert,
    dub::v1::{
        self as wire, DubRequest, DubResponse, dub_request::Payload, dub_response,
        dub_service_client::DubServiceClient,
    },
    media::v1::TraceContext,
};
use media_types::{CHANNELS, ErrorClass, FragmentSeq, MediaRange, MediaTime, Reason, SAMPLE_RATE_HZ};
use std::{collections::BTreeSet, time::Duration};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

/// Length of an audio message, that of one answer of the speech detector: what the request queue is counted in.
const MESSAGE: Duration = Duration::from_millis(20);
/// First wait before the dubber is tried again; it doubles.
const RETRY_FIRST: Duration = Duration::from_millis(200);
/// Longest wait before the dubber is tried again.
const RETRY_MAX: Duration = Duration::from_secs(2);
/// A dubber that does not answer `Open` within this is as good as gone.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest message from the dubber: 10 s of speech, twice.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Limits of what may be under way.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Audio offered and not yet sent.
    pub buffered: Duration,
    /// Source speech sent and not answered.
    pub in_flight: Duration,
}

/// The end that the air holds.
#[derive(Debug)]
pub struct DubLink {
    limits: Limits,
    requests: Option<mpsc::Sender<DubRequest>>,
    /// The fragment that is being offered now.
    open: Option<FragmentSeq>,
    /// Offered in full or in part, not settled.
    outstanding: BTreeSet<FragmentSeq>,
    overloaded: bool,
    /// Incidents of overload, not fragments.
    pub overloads: u64,
}

impl DubLink {
    /// A link without a session.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            requests: None,
            open: None,
            outstanding: BTreeSet::new(),
            overloaded: false,
            overloads: 0,
        }
    }

    /// A session is open.
    pub fn connected(&mut self, requests: mpsc::Sender<DubRequest>) {
        self.requests = Some(requests);
        self.open = None;
    }

    /// The session is gone: what was under way will not be answered. Returns it.
    pub fn disconnected(&mut self) -> BTreeSet<FragmentSeq> {
        self.requests = None;
        self.open = None;
        std::mem::take(&mut self.outstanding)
    }

    /// Whether a session is open.
    pub fn is_connected(&self) -> bool {
        self.requests.is_some()
    }

    fn try_send(&self, payload: Payload) -> Result<(), Reason> {
        let Some(requests) = &self.requests else {
            return Err(Reason::BreakerOpen);
        };
        match requests.try_send(DubRequest {
            payload: Some(payload),
        }) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Reason::Overload),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Reason::BreakerOpen),
        }
    }

    fn shed(&mut self, seq: FragmentSeq, reason: Reason) -> Reason {
        self.open = None;
        self.outstanding.remove(&seq);
        if reason == Reason::Overload && !self.overloaded {
            self.overloaded = true;
            self.overloads += 1;
            tracing::warn!(fragment = %seq, limits = ?self.limits, "dubber does not keep up, fragments air their fallback");
        }
        reason
    }

    /// Offers the next fragment; an error says why it will have no dub.
    pub fn begin(
        &mut self,
        seq: FragmentSeq,
        start: MediaTime,
        in_flight: Duration,
        trace: TraceContext,
    ) -> Result<(), Reason> {
        if self.is_connected() && in_flight > self.limits.in_flight {
            return Err(self.shed(seq, Reason::Overload));
        }
        let start = Some(convert::time_to_wire(start));
        let begin = wire::FragmentStart {
            fragment_seq: seq.0,
            start,
            trace: Some(trace),
        };
        match self.try_send(Payload::FragmentStart(begin)) {
            Ok(()) => {
                if std::mem::take(&mut self.overloaded) {
                    tracing::info!(fragment = %seq, "dubber keeps up again");
                }
                self.open = Some(seq);
                self.outstanding.insert(seq);
                Ok(())
            }
            Err(reason) => Err(self.shed(seq, reason)),
        }
    }

    /// Audio of the fragment that was begun last; an error says that it is lost, and why.
    pub fn audio(
        &mut self,
        start: MediaTime,
        pcm: Bytes,
        speech: Option<f32>,
    ) -> Result<(), (FragmentSeq, Reason)> {
        let Some(seq) = self.open else { return Ok(()) };
        let audio = wire::Audio {
            start: Some(convert::time_to_wire(start)),
            pcm,
            speech_probability: speech,
        };
        self.try_send(Payload::Audio(audio))
            .map_err(|reason| (seq, self.shed(seq, reason)))
    }

    /// The fragment that was begun last is complete.
    pub fn end(&mut self, seq: FragmentSeq, range: MediaRange) -> Result<(), (FragmentSeq, Reason)> {
        if self.open.take() != Some(seq) {
            return Ok(());
        }
        let end = wire::FragmentEnd {
            fragment_seq: seq.0,
            end: Some(convert::time_to_wire(range.end)),
        };
        self.try_send(Payload::FragmentEnd(end))
            .map_err(|reason| (seq, self.shed(seq, reason)))
    }

    /// Where the air is. Advice: a full queue does without.
    pub fn playhead(&self, at: MediaTime) {
        let playhead = wire::Playhead {
            position: Some(convert::time_to_wire(at)),
        };
        self.try_send(Payload::Playhead(playhead)).ok();
    }

    /// A fragment is settled.
    pub fn settled(&mut self, seq: FragmentSeq) {
        self.outstanding.remove(&seq);
    }

    /// The run is over.
    pub fn close(&mut self) {
        self.try_send(Payload::Close(wire::Close {
            reason: "drain".to_owned(),
        }))
        .ok();
        self.requests = None;
    }
}

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
            session_id: opened.session_id,
            requests,
        })
        .await;
        while let Some(answer) = answers.next().await {
            let answer = answer.map_err(|status| status.to_string())?;
            match answer.payload.map(from_wire) {
                Some(Ok(Some(event))) => self.tell(event).await,
                Some(Ok(None)) | None => {}
                Some(Err(error)) => tracing::warn!(%error, "answer of the dubber is refused"),
            }
        }
        Ok(())
    }
}

fn from_wire(payload: dub_response::Payload) -> Result<Option<DubEvent>, convert::ConvertError> {
    Ok(match payload {
        dub_response::Payload::Speech(speech) => {
            let pcm: Vec<i16> = speech
                .pcm
                .chunks_exact(2)
                .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                .collect();
            if !pcm.len().is_multiple_of(CHANNELS) {
                return Err(convert::ConvertError::OutOfBounds {
                    field: "speech.pcm".to_owned(),
                    value: format!("{} bytes", speech.pcm.len()),
                    allowed: "whole stereo frames".to_owned(),
                });
            }
            Some(DubEvent::Speech(Box::new(Speech {
                earliest: convert::time_from_wire(speech.earliest.as_ref(), "speech.earliest")?,
                latest: convert::time_from_wire(speech.latest.as_ref(), "speech.latest")?,
                exact: speech.exact,
                fragment: speech.fragment_seq.map(FragmentSeq),
                connection: speech.connection,
                at: speech
                    .at
                    .as_ref()
                    .map(|at| convert::time_from_wire(Some(at), "speech.at"))
                    .transpose()?,
                turn: speech.turn,
                pcm,
            })))
        }
        dub_response::Payload::Settlement(settlement) => {
            let delivered = settlement.status() == wire::SettlementStatus::Delivered;
            let error = settlement.error.unwrap_or_default();
            Some(DubEvent::Settled {
                seq: FragmentSeq(settlement.fragment_seq),
                error: (!delivered).then(|| error_class(error.error_class())),
                message: error.message,
                provider_round_trip: convert::duration_from_wire(
                    settlement.provider_round_trip.as_ref(),
                    "rtt",
                )
                .ok(),
            })
        }
        dub_response::Payload::Event(event) => {
            tracing::info!(
                kind = event.kind().as_str_name(),
                message = event.message,
                "dubber says"
            );
            None
        }
        dub_response::Payload::Opened(_)
        | dub_response::Payload::Text(_)
        | dub_response::Payload::Supersede(_) => None,
    })
}

const fn error_class(class: wire::ErrorClass) -> ErrorClass {
    match class {
        wire::ErrorClass::Timeout | wire::ErrorClass::Unspecified => ErrorClass::Timeout,
        wire::ErrorClass::RateLimit => ErrorClass::RateLimit,
        wire::ErrorClass::Auth => ErrorClass::Auth,
        wire::ErrorClass::InvalidInput => ErrorClass::InvalidInput,
        wire::ErrorClass::Overloaded => ErrorClass::Overloaded,
        wire::ErrorClass::Closed => ErrorClass::Closed,
    }
}

/// What a failed settlement is to the air.
pub const fn reason_of(class: ErrorClass) -> Reason {
    match class {
        ErrorClass::Timeout => Reason::Timeout,
        ErrorClass::RateLimit | ErrorClass::Overloaded => Reason::Overload,
        ErrorClass::InvalidInput => Reason::InvalidOutput,
        ErrorClass::Auth | ErrorClass::Closed => Reason::Error,
    }
}

/// Form of the PCM in both directions.
pub const fn pcm_format() -> wire::PcmFormat {
    wire::PcmFormat {
        sample_rate_hz: SAMPLE_RATE_HZ,
        channels: CHANNELS as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            buffered: Duration::from_secs(3),
            in_flight: Duration::from_secs(10),
        }
    }

    #[test]
    fn without_a_session_a_fragment_is_refused_at_once() {
        let mut link = DubLink::new(limits());
        let refused = link.begin(
            FragmentSeq(1),
            MediaTime::ZERO,
            Duration::ZERO,
            TraceContext::default(),
        );
        assert_eq!(refused, Err(Reason::BreakerOpen));
    }

    #[test]
    fn a_full_queue_sheds_the_whole_fragment_and_counts_one_incident() {
        let mut link = DubLink::new(limits());
        let (requests, _receiver) = mpsc::channel(2);
        link.connected(requests);
        assert_eq!(
            link.begin(
                FragmentSeq(1),
                MediaTime::ZERO,
                Duration::ZERO,
                TraceContext::default()
            ),
            Ok(())
        );
        assert_eq!(link.audio(MediaTime::ZERO, Bytes::new(), None), Ok(()));
        assert_eq!(
            link.audio(MediaTime::ZERO, Bytes::new(), None),
            Err((FragmentSeq(1), Reason::Overload))
        );
        assert_eq!(link.audio(MediaTime::ZERO, Bytes::new(), None), Ok(()));
        let refused = link.begin(
            FragmentSeq(2),
            MediaTime::ZERO,
            Duration::ZERO,
            TraceContext::default(),
        );
        assert_eq!((refused, link.overloads), (Err(Reason::Overload), 1));
    }

    #[test]
    fn too_much_unanswered_speech_is_overload() {
        let mut link = DubLink::new(limits());
        let (requests, _receiver) = mpsc::channel(100);
        link.connected(requests);
        let refused = link.begin(
            FragmentSeq(1),
            MediaTime::ZERO,
            Duration::from_secs(11),
            TraceContext::default(),
        );
        assert_eq!(refused, Err(Reason::Overload));
    }

    #[test]
    fn what_was_under_way_when_the_session_died_is_told() {
        let mut link = DubLink::new(limits());
        let (requests, _receiver) = mpsc::channel(100);
        link.connected(requests);
        for seq in 1..=3 {
            assert_eq!(
                link.begin(
                    FragmentSeq(seq),
                    MediaTime::ZERO,
                    Duration::ZERO,
                    TraceContext::default()
                ),
                Ok(())
            );
        }
        link.settled(FragmentSeq(2));
        assert_eq!(
            link.disconnected(),
            BTreeSet::from([FragmentSeq(1), FragmentSeq(3)])
        );
        assert!(!link.is_connected());
    }
}
