//! The run's timeline: what has arrived, what is held, what airs. No input or output of its own, and no clock: the
//! event loop hands it frames, speech and the time, and takes what is due.
mod arrival;
mod mixing;
mod phrases;

pub use phrases::{Deciding, PhraseDecided};

use crate::link::frames::VideoConfig;
use audio_dsp::{Levels, Mixer, gain_from_db};
use audio_timeline::{AirPlan, AudioAnchor, Chunker, Ledger, Outcome, PcmStore, RunClock, SourceMap};
use bytes::Bytes;
use dub_placement::{self as placement, Placement};
use media_types::{AirState, FragmentSeq, MediaRange, MediaTime, Reason, StreamSettings, Tick};
use speech_activity::PhraseEvent;
use std::{collections::VecDeque, time::Duration};

/// Room in the store behind the hold: a source that runs ahead of its own time by more than this is refused.
const AHEAD_MAX: MediaTime = MediaTime::from_millis(10_000);

/// An access unit on the run's timeline.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Presentation time.
    pub pts: MediaTime,
    /// Decoding time.
    pub dts: MediaTime,
    /// Decoding can start here.
    pub key: bool,
    /// Length-prefixed NAL units.
    pub data: Bytes,
    /// Decoder configuration that holds from here on, where it changed.
    pub config: Option<VideoConfig>,
}

/// What the arrival of audio means for the dub.
#[derive(Clone, Debug)]
pub enum DubStep {
    /// A fragment begins.
    Open(FragmentSeq, MediaTime),
    /// Audio of the open fragment, with the probability of speech in it once that is known.
    Audio(MediaTime, Bytes, Option<f32>),
    /// The open fragment is complete.
    Close(FragmentSeq, MediaRange),
}

/// What is due.
#[derive(Debug, Default)]
pub struct Due {
    /// Mixed sound: its first instant, and interleaved samples.
    pub sound: Option<(MediaTime, Vec<i16>)>,
    /// Video in decoding order.
    pub video: Vec<Unit>,
    /// Fragments that begin to air now.
    pub begun: Vec<FragmentSeq>,
    /// Phrases that begin to air now.
    pub phrases: Vec<PhraseDecided>,
    /// Fragments that have aired.
    pub outcomes: Vec<Outcome>,
}

/// Counters that the view carries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Audio that came after its time, in frames.
    pub late_audio_frames: u64,
    /// Silence aired because there was no audio, in frames.
    pub missing_audio_frames: u64,
    /// Access units dropped because too much was held.
    pub dropped_video_units: u64,
    /// Dubs that could not be placed.
    pub refused_speech: u64,
}

/// The air of one run.
#[derive(Debug)]
pub struct Air {
    settings: StreamSettings,
    fragment_length: MediaTime,
    clock: Option<RunClock>,
    map: Option<SourceMap>,
    anchor: AudioAnchor,
    original: PcmStore,
    audio_head: MediaTime,
    audio_deviation: MediaTime,
    video: VecDeque<Unit>,
    video_bytes: usize,
    video_head: MediaTime,
    /// As last told; every connection tells it anew.
    known_config: Option<VideoConfig>,
    /// To be attached to the next access unit.
    video_config: Option<VideoConfig>,
    skip_to_key: bool,
    expects_audio: bool,
    chunker: Chunker,
    ledger: Ledger,
    plan: AirPlan,
    placement: Placement,
    deciding: Deciding,
    /// Phrases that placement has not been told of: nobody has asked for them yet.
    untold: VecDeque<PhraseEvent>,
    /// Placement is told of phrases.
    tells_phrases: bool,
    /// Why nothing at all is answered just now.
    unanswered: Option<Reason>,
    /// Dub sessions of this run.
    sessions: u64,
    /// Exact answers to a fragment whose original had begun to air.
    late_exact: u64,
    mixer: Mixer,
    mixed_until: Option<MediaTime>,
    last_seq: FragmentSeq,
    /// Counters.
    pub counts: Counts,
}

impl Air {
    /// An air with nothing on it; `backlog_max` is how far behind its own phrase a dub may start.
    pub fn new(settings: StreamSettings, first: FragmentSeq, backlog_max: Duration) -> Self {
        let fragment_length = MediaTime::from_duration(settings.fragment_duration);
        let reach = MediaTime::from_duration(settings.hold) + AHEAD_MAX;
        let levels = Levels {
            bed: gain_from_db(settings.bg_gain_db),
            dub: gain_from_db(settings.dub_gain_db),
            duck: gain_from_db(settings.duck_gain_db),
            bed_mode: settings.bed_mode,
        };
        Self {
            fragment_length,
            clock: None,
            map: None,
            anchor: AudioAnchor::default(),
            original: PcmStore::new(reach),
            audio_head: MediaTime::ZERO,
            audio_deviation: MediaTime::ZERO,
            video: VecDeque::new(),
            video_bytes: 0,
            video_head: MediaTime::from_frames(i64::MIN),
            known_config: None,
            video_config: None,
            skip_to_key: false,
            expects_audio: false,
            chunker: Chunker::new(first, fragment_length),
            ledger: Ledger::default(),
            plan: AirPlan::new(settings.initial_air_state),
            placement: Placement::new(placement::Config {
                reach,
                hold: MediaTime::from_duration(settings.hold),
                backlog_max: MediaTime::from_duration(backlog_max),
            }),
            deciding: Deciding::default(),
            untold: VecDeque::new(),
            tells_phrases: false,
            unanswered: None,
            sessions: 0,
            late_exact: 0,
            mixer: Mixer::new(levels),
            mixed_until: None,
            last_seq: FragmentSeq(first.0.saturating_sub(1)),
            settings,
            counts: Counts::default(),
        }
    }

    /// A fragment did not go out, or not all of it.
    pub fn tear(&mut self, seq: FragmentSeq, reason: Reason) {
        self.ledger.tear(seq, reason);
    }

    /// No dub is to be expected for a fragment.
    pub fn blame(&mut self, seq: FragmentSeq, reason: Reason) {
        self.ledger.blame(seq, reason);
    }

    /// The dubber has settled a fragment.
    pub fn settled(&mut self, seq: FragmentSeq, round_trip: Duration) {
        self.ledger.settled(seq, round_trip);
    }

    /// The operator throws the switch: in force from the next block on, which is returned.
    pub fn switch(&mut self, state: AirState) -> MediaTime {
        let at = self.mixed_until.unwrap_or(MediaTime::ZERO);
        self.plan.switch(at, state);
        at
    }

    /// Whether all that was held has aired.
    pub fn is_drained(&self, now: Tick) -> bool {
        let Some(clock) = &self.clock else { return true };
        self.video.is_empty() && self.audio_head <= clock.playhead(now)
    }

    /// What leaves the hold now.
    pub fn playhead(&self, now: Tick) -> Option<MediaTime> {
        self.clock.map(|clock| clock.playhead(now))
    }

    /// Source time stamp at instant 0 of the run.
    pub fn source_origin(&self) -> Option<MediaTime> {
        self.map.map(SourceMap::source_origin)
    }

    /// Where the switch stands.
    pub fn air_state(&self) -> AirState {
        self.plan.switched_to()
    }

    /// Newest fragment.
    pub fn last_seq(&self) -> FragmentSeq {
        self.last_seq
    }

    /// Video and audio held behind the playhead.
    pub fn held(&self, now: Tick) -> (Duration, Duration) {
        let playhead = self.playhead(now).unwrap_or_default();
        let video = self
            .video
            .back()
            .map_or(MediaTime::ZERO, |unit| unit.dts - playhead);
        (video.to_duration(), (self.audio_head - playhead).to_duration())
    }

    /// How far audio lies from its own time stamps against the video, which lies on them exactly.
    pub fn av_sync_delta_ms(&self) -> f64 {
        self.audio_deviation.millis_f64()
    }

    /// Source speech sent and not answered: its length and the count of its fragments.
    pub fn in_flight(&self) -> (Duration, u32) {
        self.ledger.in_flight()
    }
}

#[cfg(test)]
mod tests;
