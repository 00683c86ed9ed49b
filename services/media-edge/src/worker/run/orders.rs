//! Orders of the parent, and the way to the end of a run.
use super::{ENCODER_FLUSH, Ending, OUTPUT_FLUSH, Worker};
use crate::link::lines::{Order, Report, State, StopMode};
use media_types::{AirState, Tick};
use service_kit::exit::code;

impl Worker {
    pub(super) fn on_order(&mut self, now: Tick, order: Order) {
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

    pub(super) fn advance_ending(&mut self, now: Tick) {
        match self.ending {
            Ending::Draining if self.air.is_drained(now) => {
                self.last_session.cancel();
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
