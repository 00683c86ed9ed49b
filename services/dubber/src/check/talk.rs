//! One session with the service: speech at the pace of a speaker, and all that comes back until it is complete.
use crate::gemini::dial::Target;
use crate::gemini::record::Record;
use crate::session::live::link::{Links, Told, What};
use gemini_live::{Fault, INPUT_RATE_HZ};
use gemini_session::{Cause, Config, Event, Input, Output, Session, Side, Speech, State, Text, Usage};
use media_types::{FragmentSeq, MediaTime, Tick};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Length of one piece of speech.
const PIECE: Duration = Duration::from_millis(100);
const PIECE_SAMPLES: usize = INPUT_RATE_HZ as usize / 10;
/// Pieces of a fragment.
const FRAGMENT_PIECES: usize = 20;
/// What connecting and answering may take beyond the speech; the watchdogs of the session are stricter.
const EXTRA: Duration = Duration::from_secs(40);
/// Sound above this is no silence, in steps of 16 bit.
const LOUD: u16 = 200;

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Until setup was confirmed.
    pub ready_after: Option<Duration>,
    /// Words of the speaker.
    pub heard: String,
    /// Words of the dub.
    pub said: String,
    /// From the first sound of the speech to the first of the dub.
    pub lag: Option<Duration>,
    /// From the first sound of the dub to its last, by its own clock.
    pub answer: Duration,
    /// Speech that was sent.
    pub sent: Duration,
    /// Tokens and seconds.
    pub usage: Usage,
    /// Cost in billionths of a dollar.
    pub nano_usd: u128,
    /// What the messages held that this version does not know.
    pub unknown: BTreeSet<String>,
    /// Why it ended before its time.
    pub trouble: Option<Trouble>,
}

/// A failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// As the session sees it; nothing where the time was over.
    pub cause: Option<Cause>,
    /// In the words of whoever ended it.
    pub words: Option<String>,
}

/// Talks until the answer is complete, or something fails. The first failure ends it: a check that tries again hides
/// what it is there to show.
pub async fn talk(
    target: Target,
    config: Config,
    speech: &[i16],
    record: Arc<Record>,
) -> Result<Outcome, String> {
    let session = Session::new(Tick::from_nanos(0), config).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        errors.join("; ")
    })?;
    let mut talk = Talk {
        session,
        links: Links::new(target).recorded(Arc::clone(&record)),
        began: Instant::now(),
        record,
        pieces: speech.chunks(PIECE_SAMPLES).enumerate(),
        next_piece: None,
        first_loud: speech.iter().position(|sample| sample.unsigned_abs() > LOUD),
        spoke: None,
        dub: None,
        outcome: Outcome {
            sent: Duration::from_secs_f64(speech.len() as f64 / f64::from(INPUT_RATE_HZ)),
            ..Outcome::default()
        },
    };
    talk.run().await;
    let Talk {
        session,
        links,
        mut outcome,
        ..
    } = talk;
    links.finish().await;
    outcome.usage = session.usage().clone();
    outcome.nano_usd = session.nano_usd();
    Ok(outcome)
}

struct Talk<'s> {
    session: Session,
    links: Links,
    began: Instant,
    record: Arc<Record>,
    pieces: std::iter::Enumerate<std::slice::Chunks<'s, i16>>,
    /// When the next piece is due; nothing before the service listens and when all is said.
    next_piece: Option<Instant>,
    first_loud: Option<usize>,
    /// When the first sound of the speech was sent.
    spoke: Option<Instant>,
    /// First and last sound of the dub on its own clock.
    dub: Option<(MediaTime, MediaTime)>,
    outcome: Outcome,
}

impl Talk<'_> {
    async fn run(&mut self) {
        let late = self.began + self.outcome.sent + EXTRA;
        loop {
            while let Some(output) = self.session.poll_output() {
                self.obey(output);
            }
            if self.outcome.trouble.is_some() || self.session.view().state == State::Closed {
                return;
            }
            let beat = self
                .session
                .poll_timeout()
                .map(|tick| self.began + tick.since(Tick::from_nanos(0)));
            let due = [beat, self.next_piece]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(late)
                .min(late);
            tokio::select! {
                told = self.links.next() => self.take(told),
                () = sleep_until(due) => {}
            }
            let now = Instant::now();
            if now >= late {
                self.fail(None);
                return;
            }
            if self.next_piece.is_some_and(|due| due <= now) {
                self.speak();
            }
            self.session.handle_timeout(self.tick());
        }
    }

    fn tick(&self) -> Tick {
        Tick::from_nanos(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn tell(&mut self, input: Input) {
        self.session.handle_input(self.tick(), input);
    }

    fn take(&mut self, told: Told) {
        let Told { connection, what } = told;
        let input = match what {
            What::Opened => Input::ConnectionOpened { connection },
            What::Written => Input::MessageWritten { connection },
            What::Said { message, unknown } => {
                self.outcome.unknown.extend(unknown);
                Input::MessageReceived { connection, message }
            }
            What::Frame { problem } => {
                self.outcome.unknown.extend(problem);
                Input::FrameReceived { connection }
            }
            What::Ended(ending) => Input::ConnectionEnded { connection, ending },
        };
        self.tell(input);
    }

    /// The next piece of speech, and the end behind the last one.
    fn speak(&mut self) {
        let at = |piece: usize| MediaTime::from_duration(PIECE * u32::try_from(piece).unwrap_or(u32::MAX));
        let fragment = |piece: usize| FragmentSeq((piece / FRAGMENT_PIECES) as u64);
        let Some((piece, pcm)) = self.pieces.next() else {
            return;
        };
        if piece % FRAGMENT_PIECES == 0 {
            self.tell(Input::FragmentStarted {
                fragment: fragment(piece),
                start: at(piece),
            });
        }
        if self.spoke.is_none()
            && self
                .first_loud
                .is_some_and(|first| first < (piece + 1) * PIECE_SAMPLES)
        {
            self.spoke = Some(Instant::now());
        }
        // The last piece is made whole with silence.
        let mut pcm = pcm.to_vec();
        pcm.resize(PIECE_SAMPLES, 0);
        self.tell(Input::AudioArrived {
            start: at(piece),
            pcm,
            speech_probability: None,
        });
        let is_last = self.pieces.len() == 0;
        if is_last || (piece + 1) % FRAGMENT_PIECES == 0 {
            self.tell(Input::FragmentEnded {
                fragment: fragment(piece),
                end: at(piece + 1),
            });
        }
        if is_last {
            self.tell(Input::SourceEnded);
        }
        self.next_piece = self.next_piece.filter(|_| !is_last).map(|due| due + PIECE);
    }

    fn obey(&mut self, output: Output) {
        match output {
            Output::Open { connection } => self.links.open(connection),
            Output::Send { connection, message } => self.links.send(connection, message),
            Output::Ping { connection } => self.links.ping(connection),
            Output::Close { connection } => self.links.close(connection),
            Output::Speak(speech) => self.hear(&speech),
            Output::Write(Text { side, text, .. }) => match side {
                Side::Source => self.outcome.heard.push_str(&text),
                Side::Target => self.outcome.said.push_str(&text),
            },
            Output::Report(event) => self.note(&event),
            Output::Settle(_) | Output::Supersede(_) => {}
        }
    }

    fn hear(&mut self, speech: &Speech) {
        let loud = |sample: &i16| sample.unsigned_abs() > LOUD;
        let (Some(first), Some(last)) = (
            speech.pcm.iter().position(loud),
            speech.pcm.iter().rposition(loud),
        ) else {
            return;
        };
        let place = |sample: usize| {
            let seconds = sample as f64 / f64::from(speech.rate_hz);
            speech.at + MediaTime::from_duration(Duration::from_secs_f64(seconds))
        };
        let since = self.dub.map_or_else(|| place(first), |(since, _)| since);
        self.dub = Some((since, place(last)));
        self.outcome.answer = (place(last) - since).to_duration();
        if self.outcome.lag.is_none() {
            self.outcome.lag = self.spoke.map(|spoke| spoke.elapsed());
        }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Ready { after, .. } if self.outcome.ready_after.is_none() => {
                self.outcome.ready_after = Some(*after);
                self.next_piece = Some(Instant::now());
            }
            Event::Failed { cause, .. } => self.fail(Some(*cause)),
            Event::Halted { fault } => self.fail(Some(Cause::Ended(*fault))),
            Event::Ready { .. }
            | Event::Warned { .. }
            | Event::Rotated { .. }
            | Event::Drained { .. }
            | Event::Replayed { .. }
            | Event::Dropped { .. }
            | Event::Breaker { .. }
            | Event::Simplified { .. }
            | Event::Slow { .. }
            | Event::TurnEnded { .. } => {}
        }
    }

    fn fail(&mut self, cause: Option<Cause>) {
        if self.outcome.trouble.is_none() {
            let words = self
                .record
                .last_end()
                .filter(|_| matches!(cause, Some(Cause::Ended(_))));
            self.outcome.trouble = Some(Trouble { cause, words });
        }
    }
}

impl Trouble {
    /// The fault of a connection, where that is what it was.
    pub fn fault(&self) -> Option<Fault> {
        match self.cause {
            Some(Cause::Ended(fault)) => Some(fault),
            Some(Cause::Silent(_) | Cause::Slow | Cause::InFlight) | None => None,
        }
    }
}
