#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "a test owns the task that it joins")]
use super::*;
use crate::provider::{Answer, Fragment, ProviderError, Samples};
use crate::session::input::Audio;
use bytes::Bytes;
use dub_proto::dub::v1::dub_response::Payload;
use media_types::{ErrorClass, RunId, StreamId, StreamSettings};
use service_kit::trace::TraceContext;
use tokio::task::JoinHandle;

const FRAMES: i64 = 4800;

/// A provider whose answers the test gives by hand.
struct Scripted {
    offered: mpsc::Sender<Fragment>,
    outputs: mpsc::Receiver<Output>,
}

impl Provider for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }
    fn offer(&mut self, fragment: Fragment) {
        self.offered.try_send(fragment).unwrap();
    }
    async fn next(&mut self) -> Output {
        match self.outputs.recv().await {
            Some(output) => output,
            None => std::future::pending().await,
        }
    }
}

struct Stage {
    mailbox: mpsc::Sender<Input>,
    responses: mpsc::Receiver<Result<wire::DubResponse, Status>>,
    offered: mpsc::Receiver<Fragment>,
    outputs: mpsc::Sender<Output>,
    token: CancellationToken,
    running: JoinHandle<End>,
}

/// Time stands still but for waiting, so these limits cost nothing.
const LIMITS: Limits = Limits {
    soft_budget: Duration::from_secs(8),
    hard_budget: Duration::from_secs(12),
    in_flight: MediaTime::from_millis(10_000),
    drain: Duration::from_secs(5),
};

async fn stage() -> Stage {
    let (mailbox, mailbox_rx) = mpsc::channel(8);
    let (responses_tx, responses) = mpsc::channel(64);
    let (offered_tx, offered) = mpsc::channel(64);
    let (outputs, outputs_rx) = mpsc::channel(64);
    let token = CancellationToken::new();
    let opening = Opening {
        stream_id: StreamId::new("derby").unwrap(),
        run_id: RunId::new("run-1").unwrap(),
        epoch: 1,
        settings: StreamSettings::default(),
        trace: TraceContext::default(),
    };
    let around = Surroundings {
        limits: LIMITS,
        token: token.clone(),
        metrics: Metrics::register(&mut service_kit::Metrics::default()),
    };
    let ends = Ends {
        mailbox: mailbox_rx,
        responses: responses_tx,
    };
    let provider = Scripted {
        offered: offered_tx,
        outputs: outputs_rx,
    };
    let task = Task::new(&opening, provider, ends, around, &Directory::default());
    let mut stage = Stage {
        mailbox,
        responses,
        offered,
        outputs,
        token,
        running: tokio::spawn(task.run()),
    };
    assert!(matches!(stage.said().await, Payload::Opened(_)));
    stage
}

impl Stage {
    async fn fragment(&mut self, seq: u64) -> Fragment {
        self.hear(seq).await;
        self.offered.recv().await.unwrap()
    }

    async fn hear(&self, seq: u64) {
        let start = MediaTime::from_frames(seq as i64 * FRAMES);
        let end = start + MediaTime::from_frames(FRAMES);
        let seq = FragmentSeq(seq);
        let pcm = Bytes::from(vec![1; FRAMES as usize * 4]);
        let audio = Audio {
            start,
            pcm,
            speech_probability: None,
        };
        self.tell(Input::FragmentStarted {
            seq,
            start,
            trace: TraceContext::default(),
        })
        .await;
        self.tell(Input::AudioReceived(audio)).await;
        self.tell(Input::FragmentEnded { seq, end }).await;
    }

    async fn tell(&self, input: Input) {
        self.mailbox.send(input).await.unwrap();
    }

    async fn answer(&self, seq: u64) {
        self.answer_with(seq, Answer::contract(vec![1; FRAMES as usize * 4].into()))
            .await;
    }

    async fn answer_with(&self, seq: u64, answer: Answer) {
        self.outputs
            .send(Output::Answered {
                seq: FragmentSeq(seq),
                answer,
            })
            .await
            .unwrap();
    }

    async fn fail(&self, seq: u64, class: ErrorClass, retryable: bool) {
        let error = ProviderError {
            class,
            stage: "provider",
            retryable,
            message: "no".to_owned(),
        };
        self.outputs
            .send(Output::Failed {
                seq: FragmentSeq(seq),
                error,
            })
            .await
            .unwrap();
    }

    async fn said(&mut self) -> Payload {
        self.responses.recv().await.unwrap().unwrap().payload.unwrap()
    }

    /// The next settlement, and how many pieces of speech came before it.
    async fn settlement(&mut self) -> (wire::Settlement, usize) {
        let mut speeches = 0;
        loop {
            match self.said().await {
                Payload::Settlement(settlement) => return (settlement, speeches),
                Payload::Speech(_) => speeches += 1,
                Payload::Opened(_) | Payload::Text(_) | Payload::Supersede(_) | Payload::Event(_) => {}
            }
        }
    }

    async fn failed(&mut self) -> (u64, wire::ErrorClass, String) {
        let (settlement, speeches) = self.settlement().await;
        assert_eq!(speeches, 0);
        let error = settlement.error.unwrap();
        (settlement.fragment_seq, error.error_class(), error.stage)
    }

    async fn delivered(&mut self) -> u64 {
        let (settlement, speeches) = self.settlement().await;
        assert_eq!((settlement.error, speeches), (None, 1));
        settlement.fragment_seq
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_heard_fails_as_invalid_input() {
    let mut stage = stage().await;
    stage.fragment(1).await;
    let samples = Samples::F32(vec![f32::NAN; FRAMES as usize * 2]);
    stage
        .answer_with(
            1,
            Answer {
                samples,
                sample_rate_hz: 48_000,
                channels: 2,
            },
        )
        .await;
    assert_eq!(
        stage.failed().await,
        (1, wire::ErrorClass::InvalidInput, "repair".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_another_rate_is_repaired() {
    let mut stage = stage().await;
    stage.fragment(1).await;
    let samples = Samples::F32(vec![0.1; FRAMES as usize / 2]);
    stage
        .answer_with(
            1,
            Answer {
                samples,
                sample_rate_hz: 24_000,
                channels: 1,
            },
        )
        .await;
    let (settlement, speeches) = stage.settlement().await;
    assert_eq!((settlement.repaired, settlement.error, speeches), (true, None, 1));
}

#[tokio::test(start_paused = true)]
async fn a_retry_keeps_its_number_and_is_answered_once() {
    let mut stage = stage().await;
    let first = stage.fragment(1).await;
    stage.fragment(2).await;
    stage.answer(2).await;
    stage.fail(1, ErrorClass::RateLimit, true).await;
    assert_eq!(stage.offered.recv().await.unwrap(), first);
    stage.answer(1).await;
    stage.answer(1).await;
    assert_eq!((stage.delivered().await, stage.delivered().await), (1, 2));
    stage.fragment(3).await;
    stage.fail(3, ErrorClass::Auth, false).await;
    assert_eq!(
        stage.failed().await,
        (3, wire::ErrorClass::Auth, "provider".to_owned())
    );
    stage.fragment(4).await;
    stage.fail(4, ErrorClass::Closed, true).await;
    stage.offered.recv().await.unwrap();
    stage.fail(4, ErrorClass::Closed, true).await;
    assert_eq!(stage.failed().await.0, 4, "a second failure is the last");
}

#[tokio::test(start_paused = true)]
async fn an_answer_past_the_hard_budget_is_dropped_and_holds_up_nobody() {
    let mut stage = stage().await;
    stage.fragment(1).await;
    stage.fragment(2).await;
    stage.answer(2).await;
    let began = Instant::now();
    assert_eq!(
        stage.failed().await,
        (1, wire::ErrorClass::Timeout, "provider".to_owned())
    );
    assert!(
        began.elapsed().abs_diff(LIMITS.hard_budget) < Duration::from_millis(5),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(stage.delivered().await, 2);
    stage.answer(1).await;
    stage.fragment(3).await;
    stage.answer(3).await;
    assert_eq!(stage.delivered().await, 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_could_hear_any_more_holds_up_nobody() {
    let mut stage = stage().await;
    for seq in 1..=3 {
        stage.fragment(seq).await;
    }
    stage.answer(2).await;
    let began = Instant::now();
    stage
        .tell(Input::PlayheadMoved(MediaTime::from_frames(FRAMES)))
        .await;
    assert_eq!(stage.failed().await.0, 1);
    assert_eq!(stage.delivered().await, 2);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn what_the_worker_gives_up_is_settled_at_once() {
    let mut stage = stage().await;
    for seq in 1..=3 {
        stage.fragment(seq).await;
    }
    stage.tell(Input::Abandoned(FragmentSeq(2))).await;
    assert_eq!(stage.failed().await.0, 1);
    assert_eq!(stage.failed().await.0, 2);
    stage.answer(3).await;
    assert_eq!(stage.delivered().await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_drain_refuses_new_speech_and_ends_at_its_limit() {
    let mut stage = stage().await;
    stage.fragment(1).await;
    stage.fragment(2).await;
    let began = Instant::now();
    stage.token.cancel();
    let Payload::Event(event) = stage.said().await else {
        panic!("no event")
    };
    assert_eq!(event.kind(), wire::EventKind::Draining);
    stage.hear(3).await;
    stage.answer(1).await;
    assert_eq!(stage.delivered().await, 1);
    assert_eq!(
        stage.failed().await,
        (2, wire::ErrorClass::Closed, "provider".to_owned())
    );
    assert!(
        began.elapsed().abs_diff(LIMITS.drain) < Duration::from_millis(5),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        stage.failed().await,
        (3, wire::ErrorClass::Closed, "receive".to_owned())
    );
    let status = stage.responses.recv().await.unwrap().unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(matches!(stage.running.await.unwrap(), End::Drained));
    assert!(
        stage.offered.try_recv().is_err(),
        "nothing new went to the provider"
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_gone_ends_the_session_at_once() {
    let stage = stage().await;
    stage.hear(1).await;
    drop(stage.responses);
    assert!(matches!(stage.running.await.unwrap(), End::PeerGone));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_any_more_ends_the_session() {
    let mut stage = stage().await;
    for seq in 1..=33 {
        stage.fragment(seq).await;
        stage.answer(seq).await;
    }
    let Stage {
        running,
        responses,
        mailbox,
        ..
    } = stage;
    assert!(matches!(running.await.unwrap(), End::PeerGone));
    drop((responses, mailbox));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_does_not_hold_up_a_drain() {
    let mut stage = stage().await;
    for seq in 1..=33 {
        stage.fragment(seq).await;
        stage.answer(seq).await;
    }
    let began = Instant::now();
    stage.token.cancel();
    assert!(matches!(stage.running.await.unwrap(), End::PeerGone));
    assert!(began.elapsed() < LIMITS.drain + Duration::from_secs(1));
    drop(stage.responses);
}
