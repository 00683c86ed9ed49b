//! The one event loop of a worker. It routes: what is decided is decided in [`super::air`] and in the pure crates.
mod dubbing;
mod view;

use super::{
    air::Air,
    dub_link::{self, DubLink, Limits, Session},
    event::{Sender, WorkerEvent},
    hearing::Hearing,
    ingest_child::IngestChild,
    publish::Publisher,
    reports::{Reports, read_orders},
    traces::FragmentTraces,
};
use crate::{
    config::WorkerConfig,
    ingest::IngestOrder,
    link::{
        frames::Frame,
        lines::{FragmentReport, Order, Report, Source, Start, State, StopMode, View},
    },
};
use anyhow::Result;
use dub_proto::{convert::settings_to_wire, dub::v1::Open, media::v1 as media};
use media_types::{AirState, FragmentSeq, StsMode, Tick};
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
    traces: FragmentTraces,
    reports: Reports,
    token: CancellationToken,
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
        if start.settings.sts_mode == StsMode::Enabled {
            let session = Session {
                url: config.dubber_url.clone(),
                open: opening(&start),
                limits,
                events: events.clone(),
            };
            runtime.spawn(session.run(token.clone()));
        }
        spawn_signals(runtime, events.clone());
        read_orders(events.clone())?;
        let expects_video = start.source.tracks.iter().any(|track| track == "H264");
        let output = config.output(&start.stream_id);
        let _inside = service_kit::telemetry::trace::extract(&trace).attach();
        tracing::info!(
            epoch = start.epoch,
            mode = start.settings.sts_mode.as_str(),
            hold_ms = start.settings.hold.as_millis(),
            target_lang = start.settings.target_lang,
            "worker started"
        );
        Ok(Self {
            air: Air::new(start.settings.clone(), start.first_fragment_seq),
            publisher: Publisher::new(output, config.aac_bitrate, expects_video, &events)?,
            ingest: IngestChild::new(events.clone()),
            hearing: Hearing::new()?,
            dub: DubLink::new(limits),
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

    fn on_frame(&mut self, now: Tick, frame: Frame) {
        match frame {
            Frame::Connected(connected) => {
                tracing::info!(
                    protocol = connected.protocol,
                    video = connected.has_video,
                    audio = connected.has_audio,
                    "source connected"
                );
                // Tracks show up one by one: a picture that MediaMTX announced comes with the next key frame.
                self.publisher
                    .expect_video(connected.has_video || self.announced_video());
                self.air.expect_audio(connected.has_audio);
                self.view.input_protocol = connected.protocol;
                self.set_state(now, State::Running, "source connected");
            }
            Frame::VideoConfig(config) => {
                self.publisher.announce_video(&config);
                self.air.video_config(config);
            }
            Frame::Video(unit) => {
                self.brought_media = true;
                self.air.video(now, unit);
            }
            Frame::Audio { pts_ns, pcm, .. } => {
                self.brought_media = true;
                let steps = self.air.audio(now, pts_ns, &pcm);
                self.offer(now, steps);
            }
            Frame::Notice(notice) => {
                if notice.error {
                    self.view.bus_errors_total += 1;
                } else {
                    self.view.bus_warnings_total += 1;
                }
                self.view.detail = format!("{}: {}", notice.element, notice.message);
            }
            Frame::Ended(ended) => {
                tracing::info!(reason = ?ended.reason, message = ended.message, "ingest ends");
                self.view.detail = ended.message;
            }
        }
    }

    fn on_ingest_exited(&mut self, now: Tick, generation: u32, exit_code: Option<i32>) {
        let brought_media = std::mem::take(&mut self.brought_media);
        if !self.ingest.exited(now, generation, brought_media) {
            return;
        }
        tracing::info!(generation, exit_code, brought_media, "ingest exited");
        if brought_media {
            self.offer_last(now);
        }
        if self.view.state == State::Running {
            let detail = self.view.detail.clone();
            self.set_state(now, State::SourceLost, &detail);
        }
    }

    fn on_order(&mut self, now: Tick, order: Order) {
        match order {
            Order::Start(_) => tracing::warn!("a second start is ignored"),
            Order::UpdateSource(source) => {
                let before = self.config.choose_protocol(&self.source);
                let after = self.config.choose_protocol(&source);
                tracing::info!(source_id = source.source_id, tracks = ?source.tracks, "source changed");
                self.source = source;
                if before != after {
                    self.ingest.stop(true);
                }
                // Who tells of a source has seen it: a wait for the next attempt has lost its reason.
                self.ingest.hurry();
            }
            Order::SetAir { id, state, author } => match state {
                AirState::Dub | AirState::VoiceOver | AirState::Original | AirState::Mute => {
                    let in_force_from = self.air.switch(state);
                    tracing::info!(
                        state = state.as_str(),
                        author,
                        from_ms = in_force_from.millis(),
                        "air switched"
                    );
                    self.reports.send(&Report::AirSet { id, in_force_from });
                    self.send_view(now);
                }
                AirState::Bed | AirState::Outage => {
                    let message = format!("{state} cannot be chosen: there is no bed without separation");
                    self.reports.send(&Report::AirRefused { id, message });
                }
            },
            Order::Stop { mode: StopMode::Now } => self.end_now("stopped"),
            Order::Stop {
                mode: StopMode::Drain,
            } => {
                if matches!(self.ending, Ending::No) {
                    self.ingest.stop(false);
                    self.offer_last(now);
                    self.ending = Ending::Draining;
                    self.set_state(now, State::Draining, "what is held plays out");
                }
            }
        }
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

    fn start_ingest(&mut self, now: Tick) {
        let protocol = self.config.choose_protocol(&self.source);
        let order = IngestOrder {
            protocol,
            url: self.config.input(&self.start.stream_id, protocol),
            no_data_timeout_ms: u64::try_from(self.config.ingest_no_data.as_millis()).unwrap_or(u64::MAX),
            expects_video: self.announced_video(),
        };
        self.brought_media = false;
        match self.ingest.start(&order) {
            Ok(()) => {
                self.view.ingest_starts_total += 1;
                self.air.source_connected(now);
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "ingest does not start");
                self.ingest.failed_to_start(now);
            }
        }
    }

    fn release(&mut self, now: Tick) {
        let due = self.air.release(now);
        for seq in due.begun {
            self.traces.on_air(now, seq);
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

    fn advance_ending(&mut self, now: Tick) {
        match self.ending {
            Ending::Draining if self.air.is_drained(now) => {
                self.dub.close();
                self.publisher.finish_sound();
                self.ending = Ending::Encoder(now);
            }
            Ending::Encoder(since) if now.since(since) >= ENCODER_FLUSH => {
                self.ending = if self.publisher.finish(now) {
                    Ending::Output(now)
                } else {
                    Ending::Done(i32::from(code::DONE))
                };
                self.view.detail = "played out".to_owned();
            }
            Ending::Output(since) if now.since(since) >= OUTPUT_FLUSH => {
                self.ending = Ending::Done(i32::from(code::DONE));
            }
            Ending::No | Ending::Draining | Ending::Encoder(_) | Ending::Output(_) | Ending::Done(_) => {}
        }
    }
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
