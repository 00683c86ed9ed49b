//! The one event loop of a worker. It routes: what is decided is decided in [`super::air`] and in the pure crates.
mod dubbing;
mod orders;
mod source;
mod view;

use super::{
    air::Air,
    dub_link::{self, DubLink, Faults, Limits, Session},
    event::{Sender, WorkerEvent},
    hearing::Hearing,
    ingest_child::IngestChild,
    publish::Publisher,
    reports::{Reports, read_orders},
    traces::FragmentTraces,
};
use crate::{
    config::WorkerConfig,
    link::lines::{FragmentReport, Report, Source, Start, State, View},
};
use anyhow::Result;
use dub_proto::{convert::settings_to_wire, dub::v1::Open, media::v1 as media};
use media_types::{FragmentSeq, StsMode, Tick};
use service_kit::{clock::Clock, exit::code, telemetry::trace::TraceContext};
use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Pace of release. Shorter costs a third more CPU for nothing that is heard; longer is felt at the switch.
const TICK: Duration = Duration::from_millis(40);
/// Pace of views to the parent and of the playhead to the dubber.
const VIEW: Duration = Duration::from_millis(250);
/// The encoder gives back its last sound well within this.
const ENCODER_FLUSH: Duration = Duration::from_millis(200);
/// The output takes its last tags within this, or never.
const OUTPUT_FLUSH: Duration = Duration::from_secs(2);

enum Ending {
    No,
    /// What is held plays out.
    Draining,
    /// The encoder gives back its last sound.
    Encoder(Tick),
    /// The output sends its last tags.
    Output(Tick),
    Done(i32),
}

/// A worker.
pub struct Worker {
    config: WorkerConfig,
    start: Start,
    source: Source,
    clock: Clock,
    air: Air,
    publisher: Publisher,
    ingest: IngestChild,
    hearing: Hearing,
    dub: DubLink,
    faults: Faults,
    traces: FragmentTraces,
    reports: Reports,
    token: CancellationToken,
    /// No dub session is opened any more.
    last_session: CancellationToken,
    view: View,
    brought_media: bool,
    offered: BTreeMap<FragmentSeq, Tick>,
    next_view: Tick,
    ending: Ending,
}

impl Worker {
    /// Starts what a run needs.
    pub fn new(
        config: WorkerConfig,
        start: Start,
        events: Sender,
        runtime: &tokio::runtime::Runtime,
    ) -> Result<Self> {
        let clock = Clock::new();
        let trace = TraceContext {
            traceparent: start.traceparent.clone(),
            tracestate: start.tracestate.clone(),
        };
        let limits = Limits {
            buffered: config.buffered_audio_max,
            in_flight: start.settings.fragment_duration * config.in_flight_fragments_max,
        };
        let token = CancellationToken::new();
        let last_session = token.child_token();
        if start.settings.sts_mode == StsMode::Enabled {
            let (url, open, events) = (config.dubber_url.clone(), opening(&start), events.clone());
            let session = Session {
                url,
                open,
                limits,
                events,
                last: last_session.clone(),
            };
            runtime.spawn(session.run(token.clone()));
        }
        spawn_signals(runtime, events.clone());
        read_orders(events.clone())?;
        let expects_video = start.source.tracks.iter().any(|track| track == "H264");
        let output = config.output(&start.stream_id);
        announce(&start, &trace);
        Ok(Self {
            air: Air::new(
                start.settings.clone(),
                start.first_fragment_seq,
                config.dub_backlog_max,
            ),
            publisher: Publisher::new(output, config.aac_bitrate, expects_video, &events)?,
            ingest: IngestChild::new(events.clone()),
            hearing: Hearing::new()?,
            dub: DubLink::new(limits),
            faults: Faults::default(),
            traces: FragmentTraces::new(
                clock,
                &trace,
                start.stream_id.as_str(),
                start.run_id.as_str(),
                start.epoch,
            ),
            reports: Reports::start()?,
            source: start.source.clone(),
            view: View {
                air_state: Some(start.settings.initial_air_state),
                ..View::default()
            },
            brought_media: false,
            offered: BTreeMap::new(),
            next_view: Tick::default(),
            ending: Ending::No,
            config,
            start,
            clock,
            token,
            last_session,
        })
    }

    fn now(&self) -> Tick {
        Tick::from_nanos(self.clock.now())
    }

    /// Runs to the end; returns the exit code.
    pub fn run(mut self, events: &Receiver<WorkerEvent>) -> i32 {
        let mut next_tick = self.now();
        loop {
            let now = self.now();
            if next_tick <= now {
                self.tick(now);
                next_tick = next_tick.after(TICK).max(now);
            }
            if let Ending::Done(code) = self.ending {
                return self.finish(code);
            }
            match events.try_recv() {
                Ok(event) => self.on_event(event),
                Err(TryRecvError::Empty) => {
                    self.publisher.flush(now);
                    match events.recv_timeout(next_tick.since(self.now())) {
                        Ok(event) => self.on_event(event),
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => return self.finish(i32::from(code::INTERNAL)),
                    }
                }
                Err(TryRecvError::Disconnected) => return self.finish(i32::from(code::INTERNAL)),
            }
        }
    }

    fn finish(mut self, code: i32) -> i32 {
        self.token.cancel();
        self.ingest.stop(false);
        tracing::info!(code, detail = self.view.detail, "worker ends");
        self.reports.send(&Report::Exiting {
            code,
            detail: self.view.detail.clone(),
        });
        self.reports.finish();
        code
    }

    fn on_event(&mut self, event: WorkerEvent) {
        let now = self.now();
        match event {
            WorkerEvent::Source { generation, frame } => {
                if generation == self.ingest.generation() {
                    self.on_frame(now, frame);
                }
            }
            WorkerEvent::IngestExited { generation, code } => self.on_ingest_exited(now, generation, code),
            WorkerEvent::Order(order) => self.on_order(now, order),
            WorkerEvent::ParentGone => self.end_now("parent is gone"),
            WorkerEvent::Terminate => self.end_now("terminated"),
            WorkerEvent::Dub(event) => self.on_dub(now, event),
            WorkerEvent::EncoderConfig(config) => self.publisher.encoder_config(config),
            WorkerEvent::EncoderFailed { message } => self.encoder_failed(&message),
            WorkerEvent::Encoded(frame) => self.publisher.encoded(frame),
            WorkerEvent::OutputWarned => self.view.bus_warnings_total += 1,
            WorkerEvent::OutputFailed { generation, message } => {
                self.view.bus_errors_total += 1;
                if self.publisher.failed(now, generation, &message) {
                    self.view.detail = format!("output lost: {message}");
                }
            }
            WorkerEvent::OutputFinished => {
                if matches!(self.ending, Ending::Output(_)) {
                    self.ending = Ending::Done(i32::from(code::DONE));
                }
            }
        }
    }

    fn announced_video(&self) -> bool {
        self.source.tracks.iter().any(|track| track == "H264")
    }

    /// There is no output without an encoder, and no healing it from inside: the orchestrator starts a new worker.
    fn encoder_failed(&mut self, message: &str) {
        tracing::error!(error = message, "encoder failed");
        self.view.bus_errors_total += 1;
        self.view.detail = format!("encoder failed: {message}");
        self.ending = Ending::Done(i32::from(code::INTERNAL));
    }

    fn end_now(&mut self, detail: &str) {
        self.view.detail = detail.to_owned();
        self.ending = Ending::Done(i32::from(code::DONE));
    }

    fn set_state(&mut self, now: Tick, state: State, detail: &str) {
        if matches!(self.ending, Ending::No) || state == State::Draining {
            if self.view.state != state {
                tracing::info!(?state, detail, "state changed");
            }
            self.view.state = state;
            self.view.detail = detail.to_owned();
            self.send_view(now);
        }
    }

    fn tick(&mut self, now: Tick) {
        if self.ingest.is_due(now) && matches!(self.ending, Ending::No) {
            self.start_ingest(now);
        }
        match self.ending {
            Ending::No | Ending::Draining => self.release(now),
            // The encoder has been told that nothing follows.
            Ending::Encoder(_) | Ending::Output(_) | Ending::Done(_) => self.publisher.flush(now),
        }
        self.advance_ending(now);
        if self.next_view <= now {
            self.next_view = now.after(VIEW);
            self.send_view(now);
            if let Some(playhead) = self.air.playhead(now) {
                self.dub.playhead(playhead);
            }
        }
    }

    fn release(&mut self, now: Tick) {
        let due = self.air.release(now);
        for seq in due.begun {
            self.traces.on_air(now, seq);
        }
        for decided in &due.phrases {
            self.on_phrase(now, decided);
        }
        if let Some((start, samples)) = due.sound
            && let Err(error) = self.publisher.sound(start, &samples)
        {
            self.encoder_failed(&format!("{error:#}"));
        }
        for unit in due.video {
            self.publisher.video(unit);
        }
        let mixed = self.now();
        for outcome in due.outcomes {
            self.offered.remove(&outcome.seq);
            self.traces
                .mixed(mixed, outcome.seq, outcome.fate, outcome.reason);
            self.report_fragment(FragmentReport {
                seq: outcome.seq,
                range: outcome.range,
                fate: Some(outcome.fate),
                reason: outcome.reason,
                end_to_end_ms: Some(outcome.end_to_end.as_secs_f64() * 1e3),
                round_trip_ms: outcome.round_trip.map(|length| length.as_secs_f64() * 1e3),
            });
        }
        self.publisher.flush(now);
        self.traces.published(self.now());
    }
}

fn announce(start: &Start, trace: &TraceContext) {
    let _inside = service_kit::telemetry::trace::extract(trace).attach();
    tracing::info!(
        epoch = start.epoch,
        mode = start.settings.sts_mode.as_str(),
        hold_ms = start.settings.hold.as_millis(),
        target_lang = start.settings.target_lang,
        "worker started"
    );
}

/// First message of every dub session of the run.
fn opening(start: &Start) -> Open {
    Open {
        stream_id: start.stream_id.to_string(),
        run_id: start.run_id.to_string(),
        epoch: start.epoch,
        settings: Some(settings_to_wire(&start.settings)),
        pcm: Some(dub_link::pcm_format()),
        trace: Some(media::TraceContext {
            traceparent: start.traceparent.clone(),
            tracestate: start.tracestate.clone(),
        }),
    }
}

fn spawn_signals(runtime: &tokio::runtime::Runtime, events: Sender) {
    runtime.spawn(async move {
        let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        else {
            return;
        };
        while terminate.recv().await.is_some() {
            events.try_send(WorkerEvent::Terminate).ok();
        }
    });
}
