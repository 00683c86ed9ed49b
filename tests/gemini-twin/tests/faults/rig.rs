//! A client in virtual time: it opens, sets up, talks, and writes down what comes.

use gemini_twin::connection::Out;
use gemini_twin::mark;
use gemini_twin::scenario::Scenario;
use gemini_twin::twin::opening::Request;
use gemini_twin::twin::{Opening, Twin};
use gemini_twin::wire::Bye;
use serde_json::{Value, json};
use std::sync::OnceLock;
use std::time::Duration;

pub const TRANSLATE: &str = "models/gemini-3.5-live-translate-preview";
pub const DIALOGUE: &str = "models/gemini-3.8-live";

/// One thing that a socket was told to do.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Seconds since the start.
    pub at_s: f64,
    pub connection: u64,
    pub out: Out,
}

impl Seen {
    /// The message, if it is one.
    pub fn json(&self) -> Value {
        match &self.out {
            Out::Frame { text, .. } => serde_json::from_str(text).unwrap_or(Value::Null),
            _ => Value::Null,
        }
    }
}

pub struct Rig {
    twin: Twin,
    pub now: Duration,
    pub seen: Vec<Seen>,
    spoken: usize,
}

/// Phrases 1 to 30 of one second, with pauses of 0.4 s, as the wire has them: 42 s.
fn programme() -> &'static [i16] {
    static PROGRAMME: OnceLock<Vec<i16>> = OnceLock::new();
    PROGRAMME.get_or_init(|| {
        let mut sound = vec![0.0_f32; 22_400 * 30];
        for number in 0..30_u16 {
            let start = usize::from(number) * 22_400;
            mark::mark(&mut sound, 16_000, (start, start + 16_000), number + 1);
        }
        sound.iter().map(|sample| (sample * 32_767.0) as i16).collect()
    })
}

pub fn setup(model: &str) -> Value {
    let mut setup = json!({
        "model": model, "generationConfig": {"responseModalities": ["AUDIO"]},
        "inputAudioTranscription": {}, "outputAudioTranscription": {},
    });
    if model == TRANSLATE {
        setup["generationConfig"]["translationConfig"] = json!({"targetLanguageCode": "es"});
    } else {
        setup["realtimeInputConfig"] =
            json!({"automaticActivityDetection": {"disabled": true}, "activityHandling": "NO_INTERRUPTION"});
    }
    setup
}

impl Rig {
    /// A twin with a scenario, and nobody connected.
    pub fn new(scenario: &str) -> Self {
        let twin = Twin::new(Scenario::parse(scenario).unwrap());
        Self {
            twin,
            now: Duration::ZERO,
            seen: Vec::new(),
            spoken: 0,
        }
    }

    /// A fault with its own lines of scenario, and a session that stands.
    pub fn with(fault: &str, lines: &str, model: &str) -> Self {
        let mut rig = Self::new(&format!("[[fault]]\nname = \"{fault}\"\n{lines}\n"));
        let number = rig.open().unwrap();
        rig.set_up(number, setup(model));
        rig
    }

    fn collect(&mut self) {
        while let Some((connection, out)) = self.twin.poll_output() {
            self.seen.push(Seen {
                at_s: self.now.as_secs_f64(),
                connection,
                out,
            });
        }
    }

    /// Opens a connection; the HTTP status if it is refused.
    pub fn open(&mut self) -> Result<u64, u16> {
        self.open_at("/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent")
    }

    /// The same at another path, with a bearer beside the key.
    pub fn open_at(&mut self, target: &str) -> Result<u64, u16> {
        let headers = [("x-goog-api-key", "k"), ("authorization", "Bearer k")];
        let headers = headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        let request = Request {
            method: "GET".to_owned(),
            target: target.to_owned(),
            headers,
        };
        let opening = self.twin.handle_request(self.now, &request);
        self.collect();
        match opening {
            Opening::Upgrade(number) => Ok(number),
            Opening::Answer(answer) => Err(answer.status),
        }
    }

    pub fn send(&mut self, number: u64, message: &Value) {
        self.twin
            .handle_message(self.now, number, message.to_string().as_bytes());
        self.collect();
    }

    /// Sends a setup and waits half a second.
    pub fn set_up(&mut self, number: u64, setup: Value) {
        self.send(number, &json!({"setup": setup}));
        self.pass(0.5);
    }

    pub fn ping(&mut self, number: u64) {
        self.twin.handle_ping(self.now, number, b"p".to_vec());
        self.collect();
    }

    pub fn client_closes(&mut self, number: u64) {
        self.twin.handle_close(self.now, number, Bye::new(1000, ""));
        self.collect();
    }

    /// Time passes, in the twin's own steps.
    pub fn pass(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while let Some(due) = self.twin.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.twin.handle_timeout(self.now);
            self.collect();
        }
        self.now = end;
        self.twin.handle_timeout(end);
        self.collect();
    }

    /// Sends sound: the programme goes on, or silence.
    fn sound(&mut self, number: u64, samples: usize, speech: bool) {
        use base64::Engine as _;
        let mut sent = 0;
        while sent < samples {
            let count = (samples - sent).min(1_600);
            let chunk: Vec<u8> = (0..count)
                .map(|index| {
                    if speech {
                        programme()[(self.spoken + index) % programme().len()]
                    } else {
                        0
                    }
                })
                .flat_map(i16::to_le_bytes)
                .collect();
            self.spoken += if speech { count } else { 0 };
            sent += count;
            let data = base64::engine::general_purpose::STANDARD.encode(chunk);
            self.send(
                number,
                &json!({"realtimeInput": {"audio": {"data": data, "mimeType": "audio/pcm;rate=16000"}}}),
            );
            self.pass(count as f64 / 16_000.0);
        }
    }

    pub fn talk(&mut self, number: u64, seconds: f64) {
        self.sound(number, (seconds * 10.0).round() as usize * 1_600, true);
    }

    /// The same, to the sample.
    pub fn talk_exactly(&mut self, number: u64, seconds: f64) {
        self.sound(number, (seconds * 16_000.0).round() as usize, true);
    }

    /// The last of the programme will be sent again.
    pub fn rewind(&mut self, seconds: f64) {
        self.spoken -= (seconds * 16_000.0).round() as usize;
    }

    pub fn be_silent(&mut self, number: u64, seconds: f64) {
        self.sound(number, (seconds * 10.0).round() as usize * 1_600, false);
    }

    /// One manual window with speech, and time for its answer.
    pub fn turn(&mut self, number: u64) {
        self.send(number, &json!({"realtimeInput": {"activityStart": {}}}));
        self.talk(number, 4.2);
        self.send(number, &json!({"realtimeInput": {"activityEnd": {}}}));
        self.pass(7.0);
    }

    /// A new connection with a handle.
    pub fn resume(&mut self, handle: &str, model: &str) -> u64 {
        let number = self.open().unwrap();
        let mut setup = setup(model);
        setup["sessionResumption"] = json!({"handle": handle});
        self.set_up(number, setup);
        number
    }

    /// The newest handle that was given.
    pub fn handle(&self) -> Option<String> {
        self.messages("sessionResumptionUpdate")
            .iter()
            .rev()
            .find_map(|(_, update)| Some(update["newHandle"].as_str()?.to_owned()))
    }

    /// Messages with this member, and when they came.
    pub fn messages(&self, member: &str) -> Vec<(f64, Value)> {
        let found = self.seen.iter().map(|seen| (seen.at_s, seen.json()));
        found
            .filter(|(_, json)| !json[member].is_null())
            .map(|(at, json)| (at, json[member].clone()))
            .collect()
    }

    /// Fields of `serverContent` with this name, and when they came.
    pub fn contents(&self, field: &str) -> Vec<(f64, Value)> {
        let found = self.messages("serverContent").into_iter();
        found
            .filter(|(_, it)| !it[field].is_null())
            .map(|(at, it)| (at, it[field].clone()))
            .collect()
    }

    /// Sound that came from this second on, full scale being 1.
    pub fn audio(&self, from_s: f64) -> Vec<f32> {
        self.sound_of(|seen| seen.at_s >= from_s)
    }

    /// Sound that came on one connection until then.
    pub fn audio_of(&self, connection: u64, to_s: f64) -> Vec<f32> {
        self.sound_of(|seen| seen.connection == connection && seen.at_s < to_s)
    }

    fn sound_of(&self, wanted: impl Fn(&Seen) -> bool) -> Vec<f32> {
        use base64::Engine as _;
        let mut bytes = Vec::new();
        for message in self.seen.iter().filter(|seen| wanted(seen)).map(Seen::json) {
            for part in message["serverContent"]["modelTurn"]["parts"]
                .as_array()
                .into_iter()
                .flatten()
            {
                if let Some(data) = part["inlineData"]["data"].as_str() {
                    let data = data.replace('-', "+").replace('_', "/");
                    bytes.extend(base64::engine::general_purpose::STANDARD.decode(data).unwrap());
                }
            }
        }
        let pairs = bytes.as_chunks::<2>().0.iter();
        pairs
            .map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32_768.0)
            .collect()
    }

    /// Numbers of phrases that are heard in the sound from this second on.
    pub fn phrases(&self, from_s: f64) -> Vec<u16> {
        let cells = gemini_twin::listen::cells(&self.audio(from_s), 24_000, gemini_twin::tones::ANSWER);
        gemini_twin::listen::phrases(&cells)
            .iter()
            .map(|phrase| phrase.number)
            .collect()
    }

    /// Closes: when, on which connection, code and reason.
    pub fn closes(&self) -> Vec<(f64, u64, u16, String)> {
        let close = |seen: &Seen| match &seen.out {
            Out::Close(bye) => Some((seen.at_s, seen.connection, bye.code, bye.reason.clone())),
            _ => None,
        };
        self.seen.iter().filter_map(close).collect()
    }

    /// When the socket was reset.
    pub fn resets(&self) -> Vec<f64> {
        self.seen
            .iter()
            .filter(|seen| seen.out == Out::Reset)
            .map(|seen| seen.at_s)
            .collect()
    }

    /// Anything but notes that was sent after this second.
    pub fn sent_after(&self, at_s: f64) -> usize {
        self.seen
            .iter()
            .filter(|seen| seen.at_s > at_s && !matches!(seen.out, Out::Note(_)))
            .count()
    }
}

/// Seconds as told, give or take a hundredth.
pub fn near(got: f64, wanted: f64) {
    assert!((got - wanted).abs() < 0.02, "{got} s, wanted {wanted} s");
}
