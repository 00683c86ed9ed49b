//! What arrives: it gets its place on the run's timeline, and the fragments are cut.
use super::{Air, DubStep, Unit};
use crate::link::frames::{AccessUnit, VideoConfig};
use audio_dsp::slew;
use audio_timeline::{RunClock, SourceMap, Step};
use media_types::{CHANNELS, MediaTime, Reason, StsMode, Tick};

/// Video held at most; above it whole groups of pictures are dropped. A minute of 30 Mbit/s.
const VIDEO_BYTES_MAX: usize = 256 << 20;
/// Least distance between the last access unit of one source connection and the first of the next.
const CONNECTION_GAP: MediaTime = MediaTime::from_millis(40);
/// A decoding time this little behind the last one was made up on the way: MediaMTX sends none on, readers guess them
/// from the presentation times, and FLV rounds them to milliseconds.
const DTS_STRAY_MAX: MediaTime = MediaTime::from_millis(20);
/// Arrivals this much ahead of the clock, before anything has aired, mean that the first one was late.
const EARLY_MAX: MediaTime = MediaTime::from_millis(100);

impl Air {
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
}
