//! A session whose provider hears the source as it comes, and answers as it goes.
//!
//! * One task owns one [`gemini_session::Session`], which decides everything, and the connections, which decide
//!   nothing. Facts go in, orders come out; time is told.
//! * It never waits for the worker: what the worker has not taken waits in the outbox, because a session that waits
//!   would take its own delay for a silent provider.
//! * It answers every fragment exactly once, with a settlement; speech is not tied to fragments.
//! * It ends when the worker is done and all is answered, when the worker is gone or breaks the protocol, or when a
//!   drain is over. A provider that is gone for good ends nothing: the programme goes on.
pub(crate) mod link;
mod obey;
mod report;
mod shown;
pub mod source;
mod taking;
pub mod voice;

use super::entry::{self, Entered};
use super::input::{Input, Opening};
use super::intake::Intake;
use super::task::{End, Ends, STUCK_MAX, Surroundings, at};
use super::trace::FragmentTrace;
use super::{Identity, reply};
use crate::config::GeminiConfig;
use crate::config::session::Plan;
use crate::directory::{Directory, View};
use crate::gemini::dial::Target;
use crate::metrics::Queue;
use dub_proto::dub::v1 as wire;
use dub_proto::status::ErrorCode;
use gemini_session::{Session, State};
use link::{Links, Told};
use media_types::{FragmentSeq, Tick};
use opentelemetry::trace::SpanContext;
use report::Reports;
use shown::Shown;
use source::Source;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;
use tonic::Status;
use voice::Voice;

/// Name on the wire, in logs and in settings.
pub const NAME: &str = "gemini-live";

/// What waits for the worker. Speech comes four to ten times a second, so this is far more than a worker leaves lying in
/// [`STUCK_MAX`]; full means that it is gone, as if it had taken nothing for so long.
const OUTBOX: usize = 2048;
/// The end of a sound is handed over when no more of it came for so long; the filter's rest is nearly silent.
const VOICE_PAUSE: Duration = Duration::from_millis(400);
/// The same for the source: shorter than what the session takes for a stalled source.
const SOURCE_PAUSE: Duration = Duration::from_millis(200);

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Speech is taken.
    Streaming,
    /// The peer is done; what is under way is answered.
    Closing,
    /// The process drains; what is under way is answered until then.
    Draining(Instant),
}

/// What the loop waits for.
enum Happened {
    Received(Input),
    Told(Told),
    /// It is dealt with.
    Done,
    Due,
    VoicePaused,
    SourcePaused,
    DrainBegan,
    DrainLimitReached,
    PeerVanished,
}

/// The task.
pub struct Live {
    who: Identity,
    around: Surroundings,
    view: View,
    ends: Ends,
    run: SpanContext,
    plan: Plan,
    machine: Session,
    links: Links,
    origin: Instant,
    intake: Intake,
    /// The open fragment goes to the provider, and is no repeat.
    collecting: bool,
    source: Source,
    source_pause: Option<Instant>,
    /// Probability of speech in the newest sound of the source.
    speech_probability: Option<f32>,
    voice: Voice,
    voice_pause: Option<Instant>,
    /// Traces of fragments that have no settlement.
    book: BTreeMap<FragmentSeq, FragmentTrace>,
    /// Fragments that came when no more speech was taken.
    refused: Vec<FragmentSeq>,
    outbox: VecDeque<wire::DubResponse>,
    /// Since when the worker takes nothing.
    stuck_since: Option<Instant>,
    phase: Phase,
    mailbox_open: bool,
    reports: Reports,
    shown: Shown,
}

/// All that a session needs, checked: from here on it cannot be refused any more.
#[derive(Debug)]
pub struct Ready {
    plan: Plan,
    target: Target,
    origin: Instant,
    machine: Session,
    source: Source,
}

impl Ready {
    /// What the stream asks for, against what the model can do.
    pub fn new(opening: &Opening, config: &GeminiConfig) -> Result<Self, Status> {
        let internal = |problem: String| ErrorCode::Internal.status(problem, None);
        let resource = config.target.endpoint().model(config.sessions.model());
        let (_, seed) = uuid::Uuid::new_v4().as_u64_pair();
        let plan = config
            .sessions
            .of_stream(&opening.settings, resource, seed)
            .map_err(|refusal| ErrorCode::InvalidField.status(refusal.to_string(), Some(refusal.field)))?;
        let machine = Session::new(Tick::default(), plan.config.clone())
            .map_err(|errors| internal(format!("{errors:?}")))?;
        Ok(Self {
            machine,
            source: Source::new().map_err(|error| internal(error.to_string()))?,
            target: config.target.clone(),
            origin: Instant::now(),
            plan,
        })
    }

    /// Where its connections go.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// The session, which is seen from now on.
    pub fn enter(self, opening: &Opening, ends: Ends, around: Surroundings, directory: &Directory) -> Live {
        let Self {
            plan,
            target,
            origin,
            machine,
            source,
        } = self;
        let Entered { who, view, run } = entry::enter(opening, NAME, directory);
        Live {
            links: Links::new(target),
            shown: Shown::new(&plan, &around.metrics),
            reports: Reports::default(),
            intake: Intake::default(),
            collecting: false,
            source,
            source_pause: None,
            speech_probability: None,
            voice: Voice::default(),
            voice_pause: None,
            book: BTreeMap::new(),
            refused: Vec::new(),
            outbox: VecDeque::new(),
            stuck_since: None,
            phase: Phase::Streaming,
            mailbox_open: true,
            who,
            around,
            view,
            ends,
            run,
            plan,
            machine,
            origin,
        }
    }
}

impl Live {
    /// Serves the session to its end.
    pub async fn run(mut self) -> End {
        entry::begun(&self.who, &self.around, NAME);
        let end = match self.serve().await {
            Ok(end) | Err(end) => end,
        };
        self.show();
        entry::leave(&self.who, &self.around, &self.ends.responses, &end).await;
        // The worker need not wait for our connections to be seen off.
        let Self { links, ends, .. } = self;
        drop(ends);
        links.finish().await;
        end
    }

    async fn serve(&mut self) -> Result<End, End> {
        for warning in &self.plan.warnings {
            tracing::warn!(session_id = self.who.session_id, stream_id = %self.who.stream_id, "{warning}");
        }
        let opened = reply::opened(&self.who.session_id, NAME, wire::Answering::Speech);
        self.say(opened);
        self.obey();
        loop {
            self.flush()?;
            if self.phase != Phase::Streaming && self.machine.view().state == State::Closed {
                self.conclude();
                self.flush()?;
                if self.outbox.is_empty() {
                    return Ok(self.end());
                }
            }
            let happened = self.next().await;
            let happened = if let Happened::Told(told) = happened {
                self.hear(told);
                Happened::Done
            } else {
                happened
            };
            // What connections have said already is older than whatever else comes now: without it the session would
            // take its own delay for theirs.
            while let Some(told) = self.links.try_next() {
                self.hear(told);
            }
            match happened {
                Happened::Received(input) => self.receive(input)?,
                Happened::Due => {
                    let now = self.now();
                    self.machine.handle_timeout(now);
                    self.obey();
                }
                Happened::VoicePaused => self.end_voice_unless_unsure(),
                Happened::SourcePaused => self.end_source(),
                Happened::Told(_) | Happened::Done => {}
                Happened::DrainBegan => self.begin_drain(),
                Happened::DrainLimitReached => {
                    self.conclude();
                    // What the worker has not taken by now is not waited for.
                    let _ = self.flush();
                    return Ok(End::Drained);
                }
                Happened::PeerVanished => return Err(End::PeerGone),
            }
            self.show_if_due();
        }
    }

    const fn end(&self) -> End {
        match self.phase {
            Phase::Streaming | Phase::Closing => End::Closed,
            Phase::Draining(_) => End::Drained,
        }
    }

    fn now(&self) -> Tick {
        Tick::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Waits for whatever comes first. Every branch is safe to drop.
    async fn next(&mut self) -> Happened {
        let draining = match self.phase {
            Phase::Streaming | Phase::Closing => None,
            Phase::Draining(by) => Some(by),
        };
        let due = self
            .machine
            .poll_timeout()
            .map(|due| self.origin + Duration::from_nanos(due.nanos()));
        let stuck = self.stuck_since.map(|since| since + STUCK_MAX);
        let Ends { mailbox, responses } = &mut self.ends;
        tokio::select! {
            () = responses.closed() => Happened::PeerVanished,
            told = self.links.next() => Happened::Told(told),
            input = mailbox.recv(), if self.mailbox_open => {
                if input.is_some() {
                    self.around.metrics.popped(Queue::Mailbox);
                }
                // The reader says how the stream ended before it goes; without a word it was cut off.
                Happened::Received(input.unwrap_or(Input::PeerLost))
            }
            room = responses.reserve(), if !self.outbox.is_empty() => {
                if let (Ok(room), Some(first)) = (room, self.outbox.pop_front()) {
                    room.send(Ok(first));
                    self.around.metrics.pushed(Queue::Responses);
                    self.stuck_since = None;
                }
                Happened::Done
            }
            () = at(due) => Happened::Due,
            () = at(self.voice_pause) => Happened::VoicePaused,
            () = at(self.source_pause) => Happened::SourcePaused,
            () = self.around.token.cancelled(), if draining.is_none() => Happened::DrainBegan,
            () = at(draining) => Happened::DrainLimitReached,
            () = at(stuck) => Happened::PeerVanished,
        }
    }

    fn say(&mut self, response: wire::DubResponse) {
        self.outbox.push_back(response);
    }

    /// Hands over what the worker takes at once.
    fn flush(&mut self) -> Result<(), End> {
        while let Some(first) = self.outbox.pop_front() {
            match self.ends.responses.try_send(Ok(first)) {
                Ok(()) => {
                    self.around.metrics.pushed(Queue::Responses);
                    self.stuck_since = None;
                }
                Err(TrySendError::Full(back)) => {
                    self.outbox.extend(back.ok());
                    self.outbox.rotate_right(1);
                    self.stuck_since.get_or_insert_with(Instant::now);
                    break;
                }
                Err(TrySendError::Closed(_)) => return Err(End::PeerGone),
            }
        }
        if self.outbox.len() > OUTBOX {
            return Err(End::PeerGone);
        }
        Ok(())
    }
}
