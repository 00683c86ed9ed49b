//! One stack with the twin, one programme, one reader of `/out`: run to its end, with what operators saw meanwhile.

use super::air::Air;
use super::figures::{Series, gauges, rss_mb};
use super::journal::TwinJournal;
use super::programme::Programme;
use crate::{Live, felt::wall_ms};
use anyhow::{Context, Result};
use dub_proto::dub::v1::{BreakerState, ListSessionsRequest, Session};
use dub_proto::edge::v1::Worker;
use local_stack::Stack;
use local_stack::settings::Twin;
use media_judge::publish::{PublishOptions, Publisher};
use media_judge::units::{self, UnitReport};
use media_judge::{Recorder, Recording};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// Between two looks at what operators see.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Every so many looks the pages of metrics are read and memory is weighed.
const WEIGH_EVERY: usize = 4;
/// The stream of each case.
pub const STREAM: &str = "a";
/// Nothing may hold a case up for longer than its programme, the hold and this.
const PATIENCE: Duration = Duration::from_secs(40);

/// How a model is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Without turns.
    Translate,
    /// With turns.
    Dialogue,
}

impl Family {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Translate => "translate",
            Self::Dialogue => "dialogue",
        }
    }

    /// Name of the model that stands for it.
    pub fn model(self) -> &'static str {
        match self {
            Self::Translate => "gemini-3.5-live-translate-preview",
            Self::Dialogue => "gemini-3.8-live",
        }
    }

    /// What the worker holds back under it.
    pub fn hold_s(self) -> u32 {
        match self {
            Self::Translate => 10,
            Self::Dialogue => 20,
        }
    }
}

/// What is run.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name; names its folder too.
    pub name: String,
    /// How the model is spoken to.
    pub family: Family,
    /// What is published.
    pub programme: Arc<Programme>,
    /// How much of it.
    pub seconds: f64,
    /// What the twin does (TOML).
    pub scenario: String,
    /// Settings besides the usual ones.
    pub settings: Vec<(String, String)>,
}

/// What an operator saw at a moment.
#[derive(Clone, Debug)]
pub struct Look {
    /// Wall clock in milliseconds.
    pub at_ms: f64,
    /// State of the breaker.
    pub breaker: BreakerState,
    /// Where the connections stood, in one word.
    pub state: String,
    /// Why the provider was not tried any more, and what to do.
    pub halted: Option<(String, String)>,
    /// Seconds of source speech in flight.
    pub in_flight_s: f64,
}

/// What operators saw while a case ran.
#[derive(Debug, Default)]
pub struct Seen {
    /// Looks at which anything was different from the one before.
    pub looks: Vec<Look>,
    /// Sessions by id, each as seen last.
    pub sessions: BTreeMap<String, Session>,
    /// The worker as seen last.
    pub worker: Option<Worker>,
    /// Largest in flight.
    pub in_flight_max_s: f64,
    /// Memory by program, in MB.
    pub memory: BTreeMap<&'static str, Series>,
    /// Gauges and counters by name.
    pub gauges: BTreeMap<String, Series>,
    /// Wall clock at the first look, in milliseconds.
    pub begun_ms: f64,
    /// How often each program was another process than before.
    pub changes: BTreeMap<&'static str, usize>,
    pids: BTreeMap<&'static str, u32>,
}

/// Names of series that are read beside a case.
const GAUGES: &[&str] = &[
    "worker_speech_",
    "worker_events_",
    "worker_dub_",
    "worker_phrases_",
    "worker_provider_",
    "worker_fallback_",
    "dubber_",
];

impl Seen {
    /// Takes the sessions of the stream, the newest first.
    fn take_sessions(&mut self, sessions: Vec<Session>) {
        if let Some(newest) = sessions.first() {
            self.take_newest(newest);
        }
        for session in sessions {
            self.sessions.insert(session.session_id.clone(), session);
        }
    }

    fn take_newest(&mut self, session: &Session) {
        let link = session.link.clone().unwrap_or_default();
        let in_flight_s = seconds(session.in_flight.as_ref());
        self.in_flight_max_s = self.in_flight_max_s.max(in_flight_s);
        let look = Look {
            at_ms: wall_ms(),
            breaker: session.breaker(),
            state: link.state.clone(),
            halted: (!link.halted.is_empty()).then(|| (link.halted.clone(), link.remedy.clone())),
            in_flight_s,
        };
        let is_news = self.looks.last().is_none_or(|last| {
            last.breaker != look.breaker || last.state != look.state || last.halted != look.halted
        });
        if is_news {
            self.looks.push(look);
        }
    }

    /// What processes weigh.
    fn weigh(&mut self, at_s: f64, live: &Live) {
        let pids = self
            .worker
            .as_ref()
            .map_or((0, 0), |worker| (worker.pid, worker.ingest_pid));
        let dubber = live.stack.pid("dubber").unwrap_or_default();
        for (name, pid) in [("worker", pids.0), ("ingest", pids.1), ("dubber", dubber)] {
            let Some(mb) = rss_mb(pid) else { continue };
            if self.pids.insert(name, pid).is_some_and(|before| before != pid) {
                *self.changes.entry(name).or_default() += 1;
            }
            self.memory.entry(name).or_default().push(at_s, mb);
        }
    }

    /// What gauges and counters say.
    fn read(&mut self, at_s: f64, live: &Live) {
        for (name, value) in gauges(live, GAUGES) {
            self.gauges.entry(name).or_default().push(at_s, value);
        }
    }

    /// The looks, and the last value of each figure, for whoever looks into a failure.
    pub fn render(&self) -> String {
        let looks = self.looks.iter().map(|look| format!("{look:?}\n"));
        let figures = self
            .gauges
            .iter()
            .map(|(name, series)| format!("{name} {}\n", series.last().unwrap_or_default()));
        let sessions = self.sessions.values().map(|session| format!("{session:#?}\n"));
        looks.chain(figures).chain(sessions).collect()
    }

    /// The last value of a gauge or counter.
    pub fn gauge(&self, name: &str) -> Option<f64> {
        self.gauges.get(name)?.last()
    }

    /// Sum over all sessions of what their links say.
    pub fn links(&self, of: impl Fn(&dub_proto::dub::v1::ProviderLink) -> u64) -> u64 {
        self.sessions
            .values()
            .filter_map(|session| session.link.as_ref())
            .map(of)
            .sum()
    }

    /// When the breaker was first seen open at or after a moment.
    pub fn breaker_open_ms(&self, from_ms: f64) -> Option<f64> {
        let is_open = |look: &&Look| look.at_ms >= from_ms && look.breaker == BreakerState::Open;
        self.looks.iter().find(is_open).map(|look| look.at_ms)
    }

    /// When the session was first seen halted, why, and what to do.
    pub fn halted(&self) -> Option<(f64, &str, &str)> {
        self.looks.iter().find_map(|look| {
            let (why, remedy) = look.halted.as_ref()?;
            Some((look.at_ms, why.as_str(), remedy.as_str()))
        })
    }
}

/// The pictures of a case against its programme's.
pub fn pictures(ran: &Ran) -> Result<UnitReport> {
    let path = ran.recording.path.as_deref().context("nothing was recorded")?;
    Ok(units::compare(&ran.case.programme.units, &units::read(path)?))
}

/// A duration in seconds.
pub fn seconds(length: Option<&prost_types::Duration>) -> f64 {
    length.map_or(0.0, |length| {
        length.seconds as f64 + f64::from(length.nanos) / 1e9
    })
}

/// A case that was run.
#[derive(Debug)]
pub struct Ran {
    /// The case.
    pub case: Case,
    /// Folder with logs, recording and journal.
    pub dir: PathBuf,
    /// What operators saw.
    pub seen: Seen,
    /// What the twin did.
    pub journal: TwinJournal,
    /// What was recorded.
    pub recording: Recording,
    /// Errors in the services' logs.
    pub errors: Vec<String>,
}

impl Ran {
    /// What was heard; takes seconds of CPU for a minute of sound.
    pub fn air(&self) -> Result<Air> {
        let air = Air::of(&self.case.programme, &self.recording, self.case.seconds)?;
        fs::write(self.dir.join("heard.txt"), air.render())?;
        fs::write(self.dir.join("seen.txt"), self.seen.render())?;
        Ok(air)
    }

    /// Wall clock at which the beginning of the programme came to the twin.
    pub fn begins_ms(&self) -> Result<f64> {
        self.journal
            .programme_begins_ms(&self.case.programme)
            .context("the twin has not heard a phrase of the programme")
    }
}

impl Case {
    /// Settings of its stack.
    fn all_settings(&self) -> Vec<(String, String)> {
        let hold = format!("{}s", self.family.hold_s());
        let usual = [
            ("WORKER_GEMINI_MODEL", self.family.model()),
            ("WORKER_BUFFER_TARGET", hold.as_str()),
            ("WORKER_TARGET_LANG", "es"),
            // What is held plays out anyhow; a stream that is over need not be waited for.
            ("ORCH_GRACE_PERIOD", "1s"),
        ];
        let usual = usual.map(|(key, value)| (key.to_owned(), value.to_owned()));
        usual.into_iter().chain(self.settings.clone()).collect()
    }

    /// The stack of this case, started.
    pub async fn start(&self) -> Result<Live> {
        let name = format!("drills/{}", self.name);
        let dir = Live::folder(&name)?;
        let scenario = dir.join("twin.toml");
        fs::write(&scenario, &self.scenario)?;
        let twin = Twin {
            scenario: Some(scenario),
            seed: None,
        };
        let settings = self.all_settings();
        let builder = Stack::builder().twin(twin);
        let builder = settings
            .into_iter()
            .fold(builder, |builder, (key, value)| builder.env(key, value));
        Live::start_in(dir, builder).await
    }

    /// Runs it to its end on its stack.
    pub async fn run_on(self, live: Live) -> Result<Ran> {
        let publisher = Publisher::start(
            &self.programme.clip,
            &live.input(STREAM),
            &PublishOptions {
                seconds: Some(self.seconds),
                log: Some(live.dir.join("publisher.log")),
                ..PublishOptions::default()
            },
        )?;
        let hold = SECOND * self.family.hold_s();
        let recorder = live.record(&live.output(STREAM), "out", hold + PATIENCE)?;
        let seen = self.watch(&live, publisher, &recorder, hold).await?;
        let recording = tokio::task::spawn_blocking(move || recorder.stop()).await??;
        let (dir, journal) = (live.dir.clone(), live.stack.twin_journal());
        let errors = live.errors_of_services();
        live.stack.stop().await;
        Ok(Ran {
            journal: TwinJournal::read(&journal)?,
            case: self,
            dir,
            seen,
            recording,
            errors,
        })
    }

    /// Looks at what operators see until the stream is over.
    async fn watch(
        &self,
        live: &Live,
        mut publisher: Publisher,
        recorder: &Recorder,
        hold: Duration,
    ) -> Result<Seen> {
        let begun = std::time::Instant::now();
        let limit = Duration::from_secs_f64(self.seconds) + hold + PATIENCE;
        let mut seen = Seen {
            begun_ms: wall_ms(),
            ..Seen::default()
        };
        let mut dubber = live.dubber()?;
        let mut looks = 0;
        let mut is_sent = false;
        while begun.elapsed() < limit {
            let request = ListSessionsRequest {
                stream_id: STREAM.to_owned(),
                ..ListSessionsRequest::default()
            };
            if let Ok(answer) = dubber.list_sessions(request).await {
                seen.take_sessions(answer.into_inner().sessions);
            }
            if looks % WEIGH_EVERY == 0 {
                if let Ok(worker) = live.worker(STREAM).await {
                    seen.worker = Some(worker);
                }
                let at_s = begun.elapsed().as_secs_f64();
                // What is held airs yet, and is counted; processes end meanwhile.
                seen.read(at_s, live);
                // Behind the publisher's end the ingest is started again and again, until its grace is over.
                is_sent = is_sent || publisher.ended()?.is_some();
                if !is_sent {
                    seen.weigh(at_s, live);
                }
            }
            looks += 1;
            is_sent = is_sent || publisher.ended()?.is_some();
            if is_sent && !recorder.is_running() {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(seen)
    }
}
