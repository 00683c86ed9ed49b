//! A session as operators see it: its view, and its part of the numbers.
use super::Live;
use crate::config::session::Plan;
use crate::metrics::Metrics;
use crate::metrics::live::{Figures, Seat};
use crate::session::reply;
use dub_proto::convert::duration_to_wire;
use dub_proto::dub::v1 as wire;
use gemini_live::TokenModality;
use gemini_session::{Cause, Direction, PriceTable, Session, State, Usage, View};
use media_types::MediaTime;
use opentelemetry::KeyValue;
use std::time::Duration;
use tokio::time::Instant;

/// How often a view is brought up to date when nothing happens.
const EVERY: Duration = Duration::from_millis(250);
/// How often the worker is told what was used.
const USAGE_EVERY: Duration = Duration::from_secs(60);
const NANO: f64 = 1e-9;

/// What was shown last.
#[derive(Debug)]
pub(super) struct Shown {
    seat: Seat,
    prices: PriceTable,
    touched: bool,
    at: Instant,
    usage_at: Instant,
    counted: Option<View>,
    usage: Usage,
    told: Usage,
    traced: Usage,
    /// Source that came.
    source: MediaTime,
}

impl Shown {
    pub(super) fn new(plan: &Plan, metrics: &Metrics) -> Self {
        let now = Instant::now();
        Self {
            seat: metrics.live.seat(),
            prices: plan.config.prices,
            touched: true,
            at: now,
            usage_at: now,
            counted: None,
            usage: Usage::default(),
            told: Usage::default(),
            traced: Usage::default(),
            source: MediaTime::ZERO,
        }
    }

    /// Something happened that is to be seen at once.
    pub(super) const fn touch(&mut self) {
        self.touched = true;
    }

    pub(super) fn source_heard(&mut self, length: MediaTime) {
        self.source = self.source + length;
    }

    /// What was used since the last call, in the words of the conventions.
    pub(super) fn used_since_last(&mut self, machine: &Session) -> Vec<KeyValue> {
        let (now, before) = (machine.usage().clone(), std::mem::take(&mut self.traced));
        let mut figures = Vec::new();
        for (direction, all, sound) in [
            (
                Direction::Input,
                "gen_ai.usage.input_tokens",
                "gen_ai.usage.audio.input_tokens",
            ),
            (
                Direction::Output,
                "gen_ai.usage.output_tokens",
                "gen_ai.usage.audio.output_tokens",
            ),
        ] {
            let since = |modality: Option<TokenModality>| {
                let of = |usage: &Usage| {
                    usage
                        .all_tokens()
                        .filter(|(way, kind, _)| {
                            *way == direction && modality.is_none_or(|wanted| wanted == *kind)
                        })
                        .map(|(_, _, count)| count)
                        .sum::<u64>()
                };
                i64::try_from(of(&now).saturating_sub(of(&before))).unwrap_or(i64::MAX)
            };
            figures.push(KeyValue::new(all, since(None)));
            figures.push(KeyValue::new(sound, since(Some(TokenModality::Audio))));
        }
        let cost = now
            .nano_usd(&self.prices)
            .saturating_sub(before.nano_usd(&self.prices));
        let sound = |of: fn(&Usage) -> Duration| of(&now).saturating_sub(of(&before)).as_secs_f64();
        figures.extend([
            KeyValue::new("dub.audio_sent_seconds", sound(Usage::sent)),
            KeyValue::new("dub.audio_received_seconds", sound(Usage::received)),
            KeyValue::new("dub.cost_usd", cost as f64 * NANO),
            KeyValue::new("dub.cost_usd_per_hour", self.cost_usd_per_hour(&now)),
        ]);
        self.traced = now;
        figures
    }

    /// Counts what is new.
    fn count(&mut self, metrics: &Metrics, view: &View, usage: &Usage) {
        let live = &metrics.live;
        let before = self.counted.as_ref();
        let since = |of: fn(&View) -> u64| of(view).saturating_sub(before.map_or(0, of));
        live.connected(since(|view| view.connections_total));
        live.rotated(since(|view| view.rotations_total));
        live.replayed(since(|view| view.replays_total));
        live.dropped(
            view.dropped
                .saturating_sub(before.map_or(Duration::ZERO, |view| view.dropped)),
        );
        for (direction, modality, count) in usage.all_tokens() {
            let new = count.saturating_sub(self.usage.tokens(direction, modality));
            live.tokens(way(direction), kind(modality), new);
        }
        live.sound(
            usage.sent().saturating_sub(self.usage.sent()),
            usage.received().saturating_sub(self.usage.received()),
        );
        let cost = usage
            .nano_usd(&self.prices)
            .saturating_sub(self.usage.nano_usd(&self.prices));
        live.cost(cost as f64 * NANO);
        self.seat.show(Figures {
            breaker: view.breaker,
            in_flight: view.in_flight,
            backlog: view.backlog,
            latency_p95: view.latency_p95,
            connections: view.connections,
            cost_usd: self.cost_usd(usage),
            dubbed: self.source.to_duration(),
        });
        self.counted = Some(view.clone());
        self.usage = usage.clone();
    }

    fn cost_usd(&self, usage: &Usage) -> f64 {
        usage.nano_usd(&self.prices) as f64 * NANO
    }

    /// Of an hour of source.
    fn cost_usd_per_hour(&self, usage: &Usage) -> f64 {
        let hours = self.source.to_duration().as_secs_f64() / 3600.0;
        if hours > 0.0 {
            self.cost_usd(usage) / hours
        } else {
            0.0
        }
    }

    fn usage_to_wire(&self, usage: &Usage) -> wire::Usage {
        wire::Usage {
            tokens: usage
                .all_tokens()
                .map(|(direction, modality, count)| wire::Tokens {
                    direction: way(direction).to_owned(),
                    modality: kind(modality).to_owned(),
                    count,
                })
                .collect(),
            audio_sent: Some(duration_to_wire(usage.sent())),
            audio_received: Some(duration_to_wire(usage.received())),
            cost_usd: self.cost_usd(usage),
            cost_usd_per_hour: self.cost_usd_per_hour(usage),
        }
    }
}

impl Live {
    pub(super) fn show_if_due(&mut self) {
        if self.shown.touched || self.shown.at.elapsed() >= EVERY {
            self.show();
        }
        if self.shown.usage_at.elapsed() >= USAGE_EVERY {
            self.tell_usage();
        }
    }

    /// Brings view and numbers up to date.
    pub(super) fn show(&mut self) {
        self.shown.touched = false;
        self.shown.at = Instant::now();
        let (view, usage) = (self.machine.view(), self.machine.usage());
        self.shown.count(&self.around.metrics, &view, usage);
        let cause = view.halted.map(Cause::Ended).or(self.reports.incident());
        let link = wire::ProviderLink {
            state: word(view.state).to_owned(),
            connections: u32::try_from(view.connections).unwrap_or(u32::MAX),
            connections_total: view.connections_total,
            rotations_total: view.rotations_total,
            replays_total: view.replays_total,
            failures_total: view.failures_total,
            backlog: Some(duration_to_wire(view.backlog)),
            dropped: Some(duration_to_wire(view.dropped)),
            latency_p95: view.latency_p95.map(duration_to_wire),
            halted: view.halted.map_or("", |fault| fault.as_str()).to_owned(),
            remedy: cause.map_or("", |cause| self.remedy(cause)).to_owned(),
            model: self.plan.model.clone(),
        };
        let usage = self.shown.usage_to_wire(usage);
        self.view.update(|session| {
            session.in_flight = Some(duration_to_wire(view.in_flight));
            session.breaker = reply::breaker_to_wire(view.breaker).into();
            session.link = Some(link);
            session.usage = Some(usage);
        });
    }

    /// Tells the worker what was used, if it is more than before.
    pub(super) fn tell_usage(&mut self) {
        self.shown.usage_at = Instant::now();
        let usage = self.machine.usage().clone();
        if usage == self.shown.told {
            return;
        }
        let told = self.shown.usage_to_wire(&usage);
        let sum = |wanted: &str| {
            let of_way = told.tokens.iter().filter(|tokens| tokens.direction == wanted);
            of_way.map(|tokens| tokens.count).sum::<u64>()
        };
        let said = format!(
            "{} tokens in, {} out; {:.1} s sent, {:.1} s received; {:.4} USD, {:.2} USD an hour",
            sum("input"),
            sum("output"),
            usage.sent().as_secs_f64(),
            usage.received().as_secs_f64(),
            told.cost_usd,
            told.cost_usd_per_hour
        );
        self.shown.told = usage;
        self.say_event(wire::EventKind::Usage, said, None);
    }
}

const fn word(state: State) -> &'static str {
    match state {
        State::Connecting => "connecting",
        State::Waiting => "waiting",
        State::Streaming => "streaming",
        State::Rotating => "rotating",
        State::Draining => "draining",
        State::Closed => "closed",
        State::Halted => "halted",
    }
}

const fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Input => "input",
        Direction::Output => "output",
    }
}

const fn kind(modality: TokenModality) -> &'static str {
    match modality {
        TokenModality::Text => "text",
        TokenModality::Audio => "audio",
        TokenModality::Image => "image",
        TokenModality::Video => "video",
        TokenModality::Other => "other",
    }
}
