//! A programme of coded phrases, a worker that sends it as it would come, and what came back.
use super::support::{Dub, Service};
use dub_proto::convert::time_to_wire;
use dub_proto::dub::v1::dub_request::Payload;
use dub_proto::dub::v1::dub_response::Payload as Answer;
use dub_proto::dub::v1::{
    Audio, Close, DubRequest, Event, EventKind, FragmentEnd, FragmentStart, ListSessionsRequest, Open,
    PcmFormat, Playhead, Session, Settlement, Speech, Supersede, Text,
};
use dub_proto::media::v1::StreamSettings;
use gemini_twin::journal::Journal;
use gemini_twin::listen::{self, Summary};
use gemini_twin::mark;
use gemini_twin::scenario::Scenario;
use gemini_twin::serve::{self, Server};
use gemini_twin::tones::ANSWER;
use media_types::MediaTime;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

const RATE: u32 = 48_000;
/// Frames of a message: 20 ms.
const STEP: usize = 960;
/// Frames of a fragment: 2 s.
const FRAGMENT: usize = 96_000;

/// The twin on a port of its own; it ends with the test.
pub struct Twin {
    pub url: String,
    running: JoinHandle<()>,
}

impl Twin {
    pub fn start(scenario: &str) -> Self {
        let twin = gemini_twin::twin::Twin::new(Scenario::parse(scenario).unwrap());
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), None).unwrap();
        let url = format!("http://{}", server.address().unwrap());
        let service = serve::Service::Twin(Box::new(twin));
        Self {
            url,
            running: tokio::spawn(server.run(service, Journal::default())),
        }
    }

    /// The dubber with this twin in Google's place.
    pub async fn dubber(&self, settings: &[(&str, &str)]) -> Service {
        let fixed = [
            ("WORKER_STS_PROVIDER", "gemini-live"),
            ("WORKER_GEMINI_BASE_URL", self.url.as_str()),
            ("WORKER_GEMINI_API_KEY", KEY),
        ];
        let all: Vec<(&str, &str)> = fixed.into_iter().chain(settings.iter().copied()).collect();
        Service::start(&all).await
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A key that stands out wherever it should not be.
pub const KEY: &str = "AIza-not-to-be-seen-anywhere";

/// Coded phrases with pauses between them.
pub struct Programme {
    sound: Vec<f32>,
    pub phrases: Vec<(u16, (usize, usize))>,
}

impl Programme {
    pub fn of(phrases: usize, pause_ms: usize) -> Self {
        let mut sound = vec![0.0_f32; 24_000];
        let mut state = 7_u32;
        for n in 0..phrases {
            let length = 58_000 + n * 7_919 % 40_000;
            sound.extend((0..length).map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (f64::from(state) / f64::from(u32::MAX) - 0.5) as f32 * 0.2
            }));
            sound.extend(vec![0.0; pause_ms * 48]);
        }
        let phrases = mark::mark_all(&mut sound, RATE, 101);
        Self { sound, phrases }
    }

    pub fn numbers(&self) -> Vec<u16> {
        self.phrases.iter().map(|(number, _)| *number).collect()
    }

    fn is_speech(&self, at: usize) -> bool {
        self.phrases
            .iter()
            .any(|(_, (start, end))| (*start..*end).contains(&at))
    }

    /// Sends everything at the pace at which it would come, and `silence` behind it.
    async fn speak(&self, requests: &mpsc::Sender<DubRequest>, hold: Duration, silence: Duration) {
        let began = Instant::now();
        let frames = self.sound.len() + (silence.as_millis() as usize) * 48;
        let at = |frames: usize| Some(time_to_wire(MediaTime::from_frames(frames as i64)));
        for start in (0..frames).step_by(STEP) {
            let due = began + Duration::from_secs_f64((start + STEP) as f64 / f64::from(RATE));
            sleep_until(due).await;
            let seq = (start / FRAGMENT) as u64;
            if start.is_multiple_of(FRAGMENT) {
                if let Some(fragment_seq) = seq.checked_sub(1) {
                    let end = at(start);
                    say(requests, Payload::FragmentEnd(FragmentEnd { fragment_seq, end })).await;
                }
                let fragment_seq = seq;
                let start = at(start);
                let trace = None;
                say(
                    requests,
                    Payload::FragmentStart(FragmentStart {
                        fragment_seq,
                        start,
                        trace,
                    }),
                )
                .await;
            }
            let samples = (start..start + STEP).map(|n| self.sound.get(n).copied().unwrap_or(0.0));
            let pcm: Vec<u8> = samples
                .flat_map(|sample| [(sample * 32_767.0) as i16; 2])
                .flat_map(i16::to_le_bytes)
                .collect();
            let spoken = self.is_speech(start + STEP / 2);
            say(
                requests,
                Payload::Audio(Audio {
                    start: at(start),
                    pcm: pcm.into(),
                    speech_probability: Some(if spoken { 0.95 } else { 0.03 }),
                }),
            )
            .await;
            if start.is_multiple_of(STEP * 12) {
                let held = (hold.as_secs_f64() * f64::from(RATE)) as i64;
                let position = Some(time_to_wire(MediaTime::from_frames(start as i64 - held)));
                say(requests, Payload::Playhead(Playhead { position })).await;
            }
        }
        let last = frames.div_ceil(STEP) * STEP;
        let fragment_seq = ((last - 1) / FRAGMENT) as u64;
        let end = at(last);
        say(requests, Payload::FragmentEnd(FragmentEnd { fragment_seq, end })).await;
        let reason = "stopped".to_owned();
        say(requests, Payload::Close(Close { reason })).await;
    }
}

async fn say(requests: &mpsc::Sender<DubRequest>, payload: Payload) {
    let payload = Some(payload);
    // A stream that ended says so in its answer.
    let _ = requests.send(DubRequest { payload }).await;
}

/// Everything that came back, in its order.
#[derive(Debug, Default)]
pub struct Heard {
    pub speech: Vec<Speech>,
    pub texts: Vec<Text>,
    pub settlements: Vec<Settlement>,
    pub supersedes: Vec<Supersede>,
    pub events: Vec<Event>,
    pub end: Option<Status>,
}

impl Heard {
    /// Takes everything until the stream ends.
    pub async fn collect(dub: &mut Dub) -> Self {
        let mut heard = Self::default();
        loop {
            match dub.next().await {
                Ok(Some(answer)) => heard.take(answer),
                Ok(None) => return heard,
                Err(status) => {
                    heard.end = Some(status);
                    return heard;
                }
            }
        }
    }

    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Opened(_) => panic!("Opened comes once"),
            Answer::Speech(speech) => self.speech.push(speech),
            Answer::Text(text) => self.texts.push(text),
            Answer::Settlement(settlement) => self.settlements.push(settlement),
            Answer::Event(event) => self.events.push(event),
            Answer::Supersede(supersede) => self.supersedes.push(supersede),
        }
    }

    /// What a listener hears when all connections are played one after the other, each piece at its place.
    pub fn phrases(&self) -> Summary {
        heard_in(&self.lines().into_values().flatten().collect::<Vec<_>>())
    }

    /// The sound of each connection.
    fn lines(&self) -> BTreeMap<u64, Vec<f32>> {
        let mut lines: BTreeMap<u64, Vec<f32>> = BTreeMap::new();
        for speech in &self.speech {
            let at = usize::try_from(speech.at.as_ref().unwrap().ticks).unwrap();
            let line = lines.entry(speech.connection).or_default();
            assert!(
                at >= line.len(),
                "piece {} overlaps the one before",
                speech.speech_id
            );
            line.resize(at, 0.0);
            line.extend(speech.pcm.chunks_exact(4).map(|frame| {
                assert_eq!(frame[..2], frame[2..], "both sides are the same");
                f32::from(i16::from_le_bytes([frame[0], frame[1]])) / 32_768.0
            }));
        }
        lines
    }

    /// Phrases that are heard whole on one connection or another, in their order.
    pub fn whole_on_any(&self) -> Vec<u16> {
        let whole = self.lines().into_values().flat_map(|line| heard_in(&line).whole);
        whole.collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub fn events(&self, kind: EventKind) -> Vec<&Event> {
        self.events.iter().filter(|event| event.kind() == kind).collect()
    }
}

fn heard_in(sound: &[f32]) -> Summary {
    listen::summary(&listen::phrases(&listen::cells(sound, RATE, ANSWER)))
}

/// The newest session of a programme, as an operator sees it.
pub async fn session(service: &Service, stream_id: &str) -> Session {
    let stream_id = stream_id.to_owned();
    let request = ListSessionsRequest {
        stream_id,
        ..ListSessionsRequest::default()
    };
    let listed = service.client().await.list_sessions(request).await.unwrap();
    listed.into_inner().sessions.remove(0)
}

/// The opening of a session with this hold.
pub fn open(hold: Duration, target_lang: &str) -> Payload {
    Payload::Open(Open {
        stream_id: "derby".to_owned(),
        run_id: "run-1".to_owned(),
        epoch: 1,
        settings: Some(StreamSettings {
            target_lang: target_lang.to_owned(),
            hold: Some(dub_proto::convert::duration_to_wire(hold)),
            ..dub_proto::convert::settings_to_wire(&media_types::StreamSettings::default())
        }),
        pcm: Some(PcmFormat {
            sample_rate_hz: RATE,
            channels: 2,
        }),
        trace: None,
    })
}

/// A whole session: the programme in real time, and what came back.
pub async fn dubbed(service: &Service, programme: &Programme, hold: Duration) -> Heard {
    let mut dub = service.stream().await;
    dub.say(open(hold, "es")).await;
    let opened = dub.opened().await;
    assert_eq!(opened.provider, "gemini-live");
    assert_eq!(opened.answering(), dub_proto::dub::v1::Answering::Speech);
    heard_of(&mut dub, programme, hold).await
}

/// The same for a session that is open.
pub async fn heard_of(dub: &mut Dub, programme: &Programme, hold: Duration) -> Heard {
    let requests = dub.requests.take().expect("a session that is open");
    let speaking = programme.speak(&requests, hold, Duration::from_secs(4));
    let (heard, ()) = tokio::join!(Heard::collect(dub), speaking);
    heard
}
