//! The run's timeline: what has arrived, what is held, what airs. No input or output of its own, and no clock: the
//! event loop hands it frames, speech and the time, and takes what is due.
use crate::link::frames::{AccessUnit, VideoConfig};
use audio_dsp::{Levels, MixSpan, Mixer, gain_from_db, slew};
use audio_timeline::{
    AirPlan, Aired, AudioAnchor, Author, Chunker, Ledger, Outcome, PcmStore, RunClock, SourceMap, Step,
};
use bytes::Bytes;
use dub_placement::{self as placement, Placed, Placement, Speech};
use media_types::{
    AirState, CHANNELS, Fallback, FragmentSeq, MediaRange, MediaTime, Reason, StreamSettings, StsMode, Tick,
};
use std::{collections::VecDeque, time::Duration};

/// How long the air waits for audio that should be there, before it airs silence in its place: more than the jitter
/// of a healthy publisher, less than anybody would call a stall.
const PATIENCE: MediaTime = MediaTime::from_millis(400);
/// Room in the store behind the hold: a source that runs ahead of its own time by more than this is refused.
const AHEAD_MAX: MediaTime = MediaTime::from_millis(10_000);
/// Video held at most; above it whole groups of pictures are dropped. A minute of 30 Mbit/s.
const VIDEO_BYTES_MAX: usize = 256 << 20;
/// Least distance between the last access unit of one source connection and the first of the next.
const CONNECTION_GAP: MediaTime = MediaTime::from_millis(40);
/// A decoding time this little behind the last one was made up on the way: MediaMTX sends none on, readers guess them
/// from the presentation times, and FLV rounds them to milliseconds.
const DTS_STRAY_MAX: MediaTime = MediaTime::from_millis(20);
/// Arrivals this much ahead of the clock, before anything has aired, mean that the first one was late.
const EARLY_MAX: MediaTime = MediaTime::from_millis(100);

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
    /// Dubs that came after their original had begun to air.
    pub late_speech: u64,
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
    mixer: Mixer,
    mixed_until: Option<MediaTime>,
    last_seq: FragmentSeq,
    /// Counters.
    pub counts: Counts,
}

impl Air {
    /// An air with nothing on it.
    pub fn new(settings: StreamSettings, first: FragmentSeq) -> Self {
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
                backlog_max: MediaTime::from_millis(4_000),
            }),
            mixer: Mixer::new(levels),
            mixed_until: None,
            last_seq: FragmentSeq(first.0.saturating_sub(1)),
            settings,
            counts: Counts::default(),
        }
    }

    /// A new connection to the source: its clock has nothing to do with the last one's.
    pub fn source_connected(&mut self, now: Tick) {
        self.map = None;
        self.anchor.reset();
        self.skip_to_key = true;
        if let Some(clock) = &mut self.clock {
            clock.forget_window(now);
        }
    }

    /// Whether audio is to be waited for.
    pub fn expect_audio(&mut self, expected: bool) {
        self.expects_audio = expected;
    }

    /// The source is gone. The open fragment is closed where it stands.
    pub fn source_lost(&mut self) -> Vec<DubStep> {
        self.expects_audio = false;
        let steps = self.chunker.close();
        self.follow(Tick::default(), steps, &[], MediaTime::ZERO)
    }

    fn place_in_run(&mut self, now: Tick, source_ns: i64) -> MediaTime {
        if let Some(map) = self.map {
            return map.to_run(source_ns);
        }
        let at = match &self.clock {
            None => MediaTime::ZERO,
            Some(clock) => clock
                .arrival(now)
                .max(self.audio_head)
                .max(self.video_head + CONNECTION_GAP),
        };
        let map = SourceMap::anchor(source_ns, at);
        self.map = Some(map);
        let run = map.to_run(source_ns);
        if self.clock.is_none() {
            self.clock = Some(RunClock::start(now, run, self.settings.hold));
        }
        run
    }

    fn arrived(&mut self, now: Tick, at: MediaTime) {
        let untouched = self.mixed_until.is_none();
        let hold = self.settings.hold;
        if let Some(clock) = &mut self.clock {
            if untouched && clock.arrival(now) + EARLY_MAX < at {
                *clock = RunClock::start(now, at, hold);
            }
            clock.arrived(now, at);
        }
    }

    /// Decoder configuration of the video that follows.
    pub fn video_config(&mut self, config: VideoConfig) {
        if self.known_config.as_ref() != Some(&config) {
            self.known_config = Some(config.clone());
            self.video_config = Some(config);
        }
    }

    /// An access unit has arrived.
    pub fn video(&mut self, now: Tick, unit: AccessUnit) {
        if self.skip_to_key && !unit.key {
            return;
        }
        let mut dts = self.place_in_run(now, unit.dts_ns);
        let pts = self.place_in_run(now, unit.pts_ns);
        if dts <= self.video_head && self.video_head - dts <= DTS_STRAY_MAX {
            dts = self.video_head + MediaTime::from_frames(1);
        }
        if dts <= self.video_head {
            // A clock that runs backward within one connection; ingest ends such a connection soon.
            self.counts.dropped_video_units += 1;
            return;
        }
        if self.video_bytes + unit.data.len() > VIDEO_BYTES_MAX {
            self.skip_to_key = true;
            self.counts.dropped_video_units += 1;
            return;
        }
        self.arrived(now, dts);
        self.skip_to_key = false;
        self.video_head = dts;
        self.video_bytes += unit.data.len();
        self.video.push_back(Unit {
            pts,
            dts,
            key: unit.key,
            data: unit.data,
            config: self.video_config.take(),
        });
    }

    /// Audio has arrived: interleaved S16LE stereo at 48 kHz.
    pub fn audio(&mut self, now: Tick, pts_ns: i64, pcm: &[u8]) -> Vec<DubStep> {
        let samples: Vec<i16> = pcm
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        let frames = i64::try_from(samples.len() / CHANNELS).unwrap_or(0);
        if frames == 0 {
            return Vec::new();
        }
        let stamp = self.place_in_run(now, pts_ns);
        self.arrived(now, stamp);
        let placed = self.anchor.place(stamp, frames);
        self.audio_deviation = placed.start - stamp;
        let samples = match usize::try_from(placed.frames) {
            Ok(wanted) if placed.frames != frames => slew(&samples, wanted),
            Ok(_) | Err(_) => samples,
        };
        // What overlaps the end of an earlier connection has been heard once already.
        let skip = (self.audio_head - placed.start).frames().max(0);
        let skip = usize::try_from(skip)
            .unwrap_or(usize::MAX)
            .saturating_mul(CHANNELS)
            .min(samples.len());
        let fresh = samples.get(skip..).unwrap_or_default();
        let start = placed.start.max(self.audio_head);
        let taken = self.original.write(start, fresh);
        let offered = i64::try_from(fresh.len() / CHANNELS).unwrap_or(0);
        self.counts.late_audio_frames += u64::try_from(offered - taken.length().frames()).unwrap_or(0);
        if taken.is_empty() {
            return Vec::new();
        }
        self.audio_head = taken.end;
        if self.settings.sts_mode == StsMode::Disabled {
            return Vec::new();
        }
        let cut = usize::try_from((taken.start - start).frames()).unwrap_or(0) * CHANNELS;
        let steps = self.chunker.push(taken);
        self.follow(now, steps, fresh.get(cut..).unwrap_or_default(), taken.start)
    }

    fn follow(
        &mut self,
        now: Tick,
        steps: impl IntoIterator<Item = Step>,
        samples: &[i16],
        start: MediaTime,
    ) -> Vec<DubStep> {
        let bypass = self.settings.sts_mode != StsMode::Enabled;
        let mut out = Vec::new();
        for step in steps {
            match step {
                Step::Open { seq, start } => {
                    self.last_seq = seq;
                    self.ledger.open(now, seq, start, self.fragment_length);
                    if bypass {
                        self.ledger.blame(seq, Reason::Bypass);
                    }
                    out.push(DubStep::Open(seq, start));
                }
                Step::Audio { range } => {
                    let offset =
                        |at: MediaTime| usize::try_from((at - start).frames()).unwrap_or(0) * CHANNELS;
                    let part = samples
                        .get(offset(range.start)..offset(range.end))
                        .unwrap_or_default();
                    let bytes: Vec<u8> = part.iter().flat_map(|sample| sample.to_le_bytes()).collect();
                    out.push(DubStep::Audio(range.start, bytes.into(), None));
                }
                Step::Close { seq, range } => {
                    self.ledger.close(seq, range);
                    out.push(DubStep::Close(seq, range));
                }
            }
        }
        out
    }

    /// No dub is to be expected for a fragment.
    pub fn blame(&mut self, seq: FragmentSeq, reason: Reason) {
        self.ledger.blame(seq, reason);
    }

    /// The dubber has settled a fragment.
    pub fn settled(&mut self, seq: FragmentSeq, round_trip: Duration) {
        self.ledger.settled(seq, round_trip);
    }

    /// Dubbed speech has come back.
    pub fn speech(&mut self, speech: &Speech) -> Placed {
        if speech.fragment.is_some_and(|seq| !self.ledger.may_air(seq)) {
            self.counts.late_speech += 1;
            return Placed::Late;
        }
        let placed = self.placement.speech(speech);
        match placed {
            Placed::At(_) | Placed::Taken => {}
            Placed::Late => self.counts.late_speech += 1,
            Placed::Unplaceable | Placed::OutOfReach => self.counts.refused_speech += 1,
        }
        placed
    }

    /// The operator throws the switch: in force from the next block on, which is returned.
    pub fn switch(&mut self, state: AirState) -> MediaTime {
        let at = self.mixed_until.unwrap_or(MediaTime::ZERO);
        self.plan.switch(at, state);
        at
    }

    fn sound_until(&self, playhead: MediaTime) -> MediaTime {
        if self.audio_head >= playhead {
            playhead
        } else if self.expects_audio {
            self.audio_head.max(playhead - PATIENCE)
        } else {
            playhead
        }
    }

    /// Takes what is due now.
    pub fn release(&mut self, now: Tick) -> Due {
        let mut due = Due::default();
        let Some(playhead) = self.clock.map(|clock| clock.playhead(now)) else {
            return due;
        };
        if playhead < MediaTime::ZERO {
            return due;
        }
        let from = self.mixed_until.unwrap_or(MediaTime::ZERO);
        let until = self.sound_until(playhead);
        if from < until {
            due.sound = Some((from, self.mix(now, MediaRange::new(from, until), &mut due)));
        }
        while self.video.front().is_some_and(|unit| unit.dts <= playhead) {
            if let Some(unit) = self.video.pop_front() {
                self.video_bytes -= unit.data.len();
                due.video.push(unit);
            }
        }
        due
    }

    fn mix(&mut self, now: Tick, range: MediaRange, due: &mut Due) -> Vec<i16> {
        let fallback = match self.settings.sts_mode {
            StsMode::Enabled => self.settings.fallback,
            StsMode::Passthrough | StsMode::Disabled => Fallback::PassThrough,
        };
        let placement = &self.placement;
        for decision in self
            .ledger
            .begin(range.end, |own| placement.ranges().touches(own))
        {
            if let Some(reason) = decision.fell_back {
                self.plan.fall_back(decision.range, fallback, reason);
            }
            due.begun.push(decision.seq);
        }
        let spans = self.plan.spans(range, self.placement.ranges());
        let samples = usize::try_from(range.length().frames()).unwrap_or(0) * CHANNELS;
        let mut original = vec![0; samples];
        let mut dub = vec![0; samples];
        let mut out = vec![0; samples];
        self.original.read(range.start, &mut original);
        self.placement.read(range.start, &mut dub);
        let heard: i64 = self
            .original
            .present()
            .within(range)
            .map(|part| part.length().frames())
            .sum();
        self.counts.missing_audio_frames += u64::try_from(range.length().frames() - heard).unwrap_or(0);
        let mix_spans: Vec<MixSpan> = spans
            .iter()
            .map(|span| MixSpan {
                range: span.range,
                state: span.state,
                dub: span.dub,
            })
            .collect();
        self.mixer.mix(&mix_spans, &original, &dub, &mut out);
        for span in &spans {
            match span.author {
                Author::Dub => self.ledger.aired(span.range, Aired::Dub),
                Author::Operator => self.ledger.aired(span.range, Aired::Operator),
                Author::Fallback | Author::Rule => {}
            }
        }
        due.outcomes.extend(self.ledger.finish(now, range.end, fallback));
        self.mixed_until = Some(range.end);
        // The mixer looks back over one fade when it reads the edges of a dub.
        let keep = range.end - audio_dsp::FADE;
        self.original.discard_before(range.end);
        self.placement.commit(range.end);
        self.plan.forget_before(keep);
        out
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
