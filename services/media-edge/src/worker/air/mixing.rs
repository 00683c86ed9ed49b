//! What is due: the air plan is read, and the mix leaves.
use super::{Air, Due};
use audio_dsp::{FADE, MixSpan};
use audio_timeline::{Aired, Author};
use media_types::{CHANNELS, Fallback, MediaRange, MediaTime, StsMode, Tick};

/// How long the air waits for audio that should be there, before it airs silence in its place: more than the jitter
/// of a healthy publisher, less than anybody would call a stall.
const PATIENCE: MediaTime = MediaTime::from_millis(400);

impl Air {
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
        // The mixer sees the end of a dub one fade before it comes, so what follows must be decided by then.
        let seen = MediaRange::new(range.start, range.end + FADE);
        self.begin(seen.end, fallback, due);
        let spans = self.plan.spans(seen, self.placement.ranges());
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
            let Some(aired) = span.range.intersection(range) else {
                continue;
            };
            match span.author {
                Author::Dub => self.ledger.aired(aired, Aired::Dub),
                Author::Operator => self.ledger.aired(aired, Aired::Operator),
                Author::Fallback | Author::Rule => {}
            }
        }
        due.outcomes.extend(self.ledger.finish(now, range.end, fallback));
        self.mixed_until = Some(range.end);
        self.original.discard_before(range.end);
        self.placement.commit(range.end);
        self.plan.forget_before(range.end);
        out
    }
}
