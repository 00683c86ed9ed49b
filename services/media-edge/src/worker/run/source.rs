//! The source: what its ingest child says, and its starts.
use super::{State, Worker};
use crate::{ingest::IngestOrder, link::frames::Frame};
use media_types::Tick;

impl Worker {
    pub(super) fn on_frame(&mut self, now: Tick, frame: Frame) {
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
                tracing::info!(reason = ?ended.reason, cause = ended.message, "ingest ends");
                self.view.detail = ended.message;
            }
        }
    }

    pub(super) fn on_ingest_exited(&mut self, now: Tick, generation: u32, exit_code: Option<i32>) {
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

    pub(super) fn start_ingest(&mut self, now: Tick) {
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
}
