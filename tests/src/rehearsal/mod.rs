//! A drill without processes, sockets and clock: the same programme, the same twin, the dubber's session and the worker's
//! placement, in virtual time. Ten minutes take seconds, and the same seed gives the same run to the last sample, so what
//! a drill on whole stacks shows once in an hour is found, looked into and kept here.

mod drill;
pub mod source;
pub mod wire;

pub use drill::{Drill, Options, list, outcomes, run, soak_problems};

use crate::twin::accounts::{Accounts, Missed};
use crate::twin::air::{Air, Heard, hand_out, out_of_order};
use crate::twin::case::Family;
use crate::twin::journal::TwinJournal;
use crate::twin::{Programme, Spoken};
use anyhow::{Context, Result, anyhow};
use dub_placement::{Config, Figures, Placement, Speech, Verdict};
use dubber::config::session::SessionSettings;
use dubber::pcm;
use dubber::session::live::voice::{Piece, Voice};
use gemini_session::{Event, Input, Output, Session};
use gemini_twin::ear::HeardCell;
use gemini_twin::listen::Listener;
use gemini_twin::scenario::Scenario;
use gemini_twin::tones::ANSWER;
use gemini_twin::twin::Twin;
use media_types::{CHANNELS, MediaRange, MediaTime, SAMPLE_RATE_HZ, StreamSettings, Tick};
use service_kit::{Env, Reader};
use source::{Known, What};
use std::collections::BTreeMap;
use std::time::Duration;
use wire::Wires;

/// Virtual time goes on by this.
const STEP: Duration = Duration::from_millis(5);
/// Length of a block of the worker's air, and how much further it decides: one fade.
const BLOCK: MediaTime = MediaTime::from_millis(20);
const FADE: MediaTime = MediaTime::from_millis(10);
/// From the publisher to the worker.
const INGEST: Duration = Duration::from_millis(60);
/// Between two words of the worker about its playhead.
const VIEW: Duration = Duration::from_millis(250);
/// Silence behind which a voice is over.
const VOICE_PAUSE: Duration = Duration::from_millis(400);
/// How far ahead of the air speech is kept, besides the hold; and how far behind its phrase a dub may start.
const AHEAD: MediaTime = MediaTime::from_millis(10_000);
const BACKLOG: MediaTime = MediaTime::from_millis(4_000);
/// What is said so shortly before the end of the programme is not judged, nor what comes in its first moments.
const LAST_S: f64 = 4.0;
const FIRST_S: f64 = 4.0;

/// What is rehearsed.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// How the model is spoken to.
    pub family: Family,
    /// What the twin does (TOML).
    pub scenario: String,
    /// Settings of the dubber besides the usual ones.
    pub settings: Vec<(String, String)>,
    /// Length of the programme in seconds.
    pub seconds: f64,
    /// Of the twin's draws and of the network's.
    pub seed: u64,
    /// Looks closely between these seconds: at what the model says, and at how placement stands.
    pub watched: Option<(f64, f64)>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// What a listener heard.
    pub air: Air,
    /// What the twin did.
    pub journal: TwinJournal,
    /// What the session told, and when, in seconds.
    pub events: Vec<(f64, Event)>,
    /// What placement counted.
    pub figures: Figures,
    /// What became of the phrases that were not heard dubbed as a whole.
    pub accounts: Accounts,
    /// What was decided of phrases: when, which part, and what.
    pub decisions: Vec<(f64, MediaRange, Verdict)>,
    /// What the model said, when, over which connection.
    pub said: Vec<(f64, u64, HeardCell)>,
    /// How placement stood, where it was looked at.
    pub sketches: Vec<(f64, String)>,
}

struct World<'k> {
    known: std::iter::Peekable<std::slice::Iter<'k, source::Fact>>,
    session: Session,
    wires: Wires,
    voice: Voice,
    voice_pause: Option<Duration>,
    placement: Placement,
    ear: Listener,
    ears: Option<BTreeMap<u64, Listener>>,
    watched: (f64, f64),
    sketches: Vec<(f64, String)>,
    heard: Vec<HeardCell>,
    /// Blocks in which the original was down.
    down: Vec<bool>,
    mixed_until: MediaTime,
    audio_head: MediaTime,
    events: Vec<(f64, Event)>,
    decisions: Vec<(f64, MediaRange, Verdict)>,
    said: Vec<(f64, u64, HeardCell)>,
    /// When speech was left out and counted, and when a phrase fell back, once for each.
    left_out: Counted,
    fell_back: Counted,
}

/// A counter that is watched.
#[derive(Debug, Default)]
struct Counted {
    total: u64,
    rises_s: Vec<f64>,
}

impl Counted {
    fn note(&mut self, now: Duration, total: u64) {
        let by = usize::try_from(total.saturating_sub(self.total)).unwrap_or(0);
        self.rises_s.extend(std::iter::repeat_n(now.as_secs_f64(), by));
        self.total = total;
    }
}

impl Rehearsal {
    /// Runs it to its end.
    pub fn run(&self, programme: &Programme, known: &Known) -> Result<Outcome> {
        let mut scenario = Scenario::parse(&self.scenario).map_err(|error| anyhow!("{error}"))?;
        scenario.seed = self.seed;
        let hold = MediaTime::from_millis(1_000 * i64::from(self.family.hold_s()));
        let mut world = World {
            known: known.facts.iter().peekable(),
            session: self.session()?,
            wires: Wires::new(Twin::new(scenario), self.seed),
            voice: Voice::default(),
            voice_pause: None,
            placement: Placement::new(Config {
                reach: hold + AHEAD,
                hold,
                backlog_max: BACKLOG,
            }),
            ear: Listener::new(SAMPLE_RATE_HZ, ANSWER),
            ears: self.watched.map(|_| BTreeMap::new()),
            watched: self.watched.unwrap_or((0.0, 0.0)),
            sketches: Vec::new(),
            heard: Vec::new(),
            down: Vec::new(),
            mixed_until: MediaTime::ZERO,
            audio_head: MediaTime::ZERO,
            events: Vec::new(),
            decisions: Vec::new(),
            said: Vec::new(),
            left_out: Counted::default(),
            fell_back: Counted::default(),
        };
        let mut now = Duration::ZERO;
        let end = Duration::from_secs_f64(self.seconds) + hold.to_duration() + INGEST;
        let mut view_at = Duration::ZERO;
        world.obey(now)?;
        while now < end {
            let media = media(now.saturating_sub(INGEST));
            if media.to_duration().as_secs_f64() < self.seconds {
                world.source(now, media);
            }
            for said in world.wires.step(now) {
                world.tell(now, said);
            }
            if world.session.poll_timeout().is_some_and(|due| due <= tick(now)) {
                world.session.handle_timeout(tick(now));
            }
            world.obey(now)?;
            if view_at <= now {
                view_at += VIEW;
                let position = media - hold;
                world.tell(now, Input::PlayheadMoved { position });
            }
            if world.voice_pause.is_some_and(|due| due <= now) {
                world.voice_paused(now)?;
            }
            world.mix(now, media - hold);
            world.count(now);
            now += STEP;
        }
        Ok(world.finish(programme, self.seconds, INGEST + hold.to_duration()))
    }

    fn session(&self) -> Result<Session> {
        let model = ("WORKER_GEMINI_MODEL", self.family.model());
        let pairs = self
            .settings
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        let env = Env::from_pairs(pairs.chain([model]));
        let (mut reader, mut warnings) = (Reader::new(&env), Vec::new());
        let budgets = (Duration::from_secs(8), Duration::from_secs(12));
        let settings = SessionSettings::read(&mut reader, budgets, &mut warnings);
        reader.finish().map_err(|errors| anyhow!("{errors}"))?;
        let stream = StreamSettings {
            hold: Duration::from_secs(self.family.hold_s().into()),
            ..StreamSettings::default()
        };
        let resource = format!("models/{}", self.family.model());
        let plan = settings
            .of_stream(&stream, resource, self.seed)
            .map_err(|refusal| anyhow!("{refusal}"))?;
        Session::new(Tick::default(), plan.config).map_err(|errors| anyhow!("{errors:?}"))
    }
}

fn tick(now: Duration) -> Tick {
    Tick::from_nanos(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

fn media(now: Duration) -> MediaTime {
    MediaTime::from_duration(now)
}

impl World<'_> {
    fn tell(&mut self, now: Duration, input: Input) {
        self.session.handle_input(tick(now), input);
    }

    fn source(&mut self, now: Duration, until: MediaTime) {
        while let Some(fact) = self.known.next_if(|fact| fact.at <= until) {
            self.audio_head = fact.at;
            match fact.what.clone() {
                What::Phrase(speech_activity::PhraseEvent::Began(onset)) => {
                    self.placement.phrase_began(onset)
                }
                What::Phrase(speech_activity::PhraseEvent::Ended(range)) => {
                    self.placement.phrase_ended(range)
                }
                What::Sound(start, pcm, speech) => self.tell(
                    now,
                    Input::AudioArrived {
                        start,
                        pcm,
                        speech_probability: Some(speech),
                    },
                ),
                What::Begins(fragment, start) => self.tell(now, Input::FragmentStarted { fragment, start }),
                What::Ends(fragment, end) => self.tell(now, Input::FragmentEnded { fragment, end }),
            }
        }
    }

    fn obey(&mut self, now: Duration) -> Result<()> {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Open { connection } => self.wires.open(now, connection),
                Output::Send { connection, message } => self.wires.send(connection, &message),
                Output::Ping { connection } => self.wires.ping(connection),
                Output::Close { connection } => self.wires.close(connection),
                Output::Speak(speech) => {
                    self.voice_pause = Some(now + VOICE_PAUSE);
                    for piece in self.voice.take(speech)? {
                        self.place(now, &piece);
                    }
                }
                Output::Supersede(it) => {
                    self.end_voice(now)?;
                    let (from, asked) = (it.from.min(self.audio_head), it.asked.min(self.audio_head));
                    self.placement.supersede(it.connection.0, from, asked);
                }
                Output::Report(event) => self.events.push((now.as_secs_f64(), event)),
                Output::Write(_) | Output::Settle(_) => {}
            }
        }
        Ok(())
    }

    fn voice_paused(&mut self, now: Duration) -> Result<()> {
        if self.session.is_unsure() {
            self.voice_pause = Some(now + VOICE_PAUSE);
            return Ok(());
        }
        self.end_voice(now)
    }

    fn end_voice(&mut self, now: Duration) -> Result<()> {
        self.voice_pause = None;
        if let Some(piece) = self.voice.finish()? {
            self.place(now, &piece);
        }
        Ok(())
    }

    fn place(&mut self, now: Duration, piece: &Piece) {
        let samples: Vec<i16> = pcm::decode(&piece.pcm).collect();
        if let Some(ears) = &mut self.ears {
            let ear = ears
                .entry(piece.connection.0)
                .or_insert_with(|| Listener::new(SAMPLE_RATE_HZ, ANSWER));
            let cells = ear.hear(&mono(&samples));
            let said = |cell| (now.as_secs_f64(), piece.connection.0, cell);
            self.said.extend(cells.into_iter().map(said));
        }
        if self.audio_head < piece.earliest {
            return;
        }
        self.placement.speech(&Speech {
            earliest: piece.earliest,
            latest: piece.latest.min(self.audio_head),
            exact: false,
            fragment: None,
            connection: piece.connection.0,
            at: Some(piece.at),
            turn: piece.turn,
            pcm: samples,
        });
    }

    fn mix(&mut self, now: Duration, playhead: MediaTime) {
        while self.mixed_until + BLOCK <= playhead {
            let range = MediaRange::new(self.mixed_until, self.mixed_until + BLOCK);
            let decided = self.placement.decide(range.end + FADE);
            if (self.watched.0..self.watched.1).contains(&now.as_secs_f64()) {
                let sketch = self.placement.sketch().to_string();
                let plan = |sketch: &str| -> Vec<String> {
                    let lines = sketch.lines().filter(|line| {
                        ["run ", "phrase ", "line "]
                            .iter()
                            .any(|word| line.trim_start().starts_with(word))
                    });
                    lines
                        .map(|line| line.split(" length").next().unwrap_or(line).to_owned())
                        .collect()
                };
                if self
                    .sketches
                    .last()
                    .is_none_or(|(_, last)| plan(last) != plan(&sketch))
                {
                    self.sketches.push((now.as_secs_f64(), sketch));
                }
            }
            for decision in decided {
                self.decisions
                    .push((now.as_secs_f64(), decision.part, decision.verdict));
            }
            let mut dub = vec![0; BLOCK.frames() as usize * CHANNELS];
            self.placement.read(range.start, &mut dub);
            self.down.push(self.placement.ranges().touches(range));
            self.placement.commit(range.end);
            self.heard.extend(self.ear.hear(&mono(&dub)));
            self.mixed_until = range.end;
        }
    }

    fn count(&mut self, now: Duration) {
        let figures = self.placement.figures();
        let left_out =
            figures.speech_late_total + figures.speech_dropped_total + figures.speech_replaced_total;
        self.left_out.note(now, left_out);
        self.fell_back.note(
            now,
            figures.phrases_fell_back_total + figures.dubs_broken_off_total,
        );
    }

    /// The programme airs so much later than it comes.
    fn finish(mut self, programme: &Programme, seconds: f64, airs_after: Duration) -> Outcome {
        self.heard.extend(self.ear.end());
        let original = |spoken: &Spoken| {
            let block = |at_s: f64| (at_s.max(0.0) * 1_000.0 / BLOCK.millis() as f64) as usize;
            let blocks = block(spoken.start_s)..block(spoken.end_s).max(block(spoken.start_s) + 1);
            let up = blocks
                .clone()
                .filter(|at| !self.down.get(*at).copied().unwrap_or(false));
            up.count() as f64 / blocks.len() as f64
        };
        let mut heard: Vec<Heard> = programme
            .phrases
            .iter()
            .map(|spoken| Heard::new(*spoken, original(spoken)))
            .collect();
        let foreign = hand_out(&self.heard, &mut heard, 0.0);
        heard.retain(|it| FIRST_S <= it.spoken.start_s && it.spoken.end_s <= seconds - LAST_S);
        let air = Air {
            out_of_order: out_of_order(&heard),
            heard,
            foreign,
            judged_s: seconds - FIRST_S - LAST_S,
            ..Air::default()
        };
        let airs_s = |programme_s: f64| programme_s + airs_after.as_secs_f64();
        let missed: Vec<Missed> = air
            .not_dubbed(&self.wires.journal.omitted())
            .map(|it| Missed::of(it, airs_s))
            .collect();
        Outcome {
            accounts: Accounts::of(&missed, self.left_out.rises_s, &self.fell_back.rises_s),
            air,
            journal: self.wires.journal,
            events: self.events,
            figures: self.placement.figures(),
            decisions: self.decisions,
            said: self.said,
            sketches: self.sketches,
        }
    }
}

fn mono(samples: &[i16]) -> Vec<f32> {
    samples
        .chunks_exact(CHANNELS)
        .map(|frame| f32::from(frame[0]) / 32_768.0)
        .collect()
}

/// The programme of a rehearsal and what is known of it.
pub fn prepare(seconds: f64, hole: Option<(u32, u32)>) -> Result<(Programme, Known)> {
    let programme = Programme::get(crate::twin::programme::Shape {
        seconds: seconds as u32 + 10,
        hole,
    })?;
    let known = Known::of(&programme, seconds).context("listening to the programme")?;
    Ok((programme, known))
}
