//! Puts the two tracks of an RTSP source on one clock by when they arrive. Pure: time is an argument.
//!
//! RTSP gives each track its own clock; what relates them is the server's announcement of wall-clock time. MediaMTX
//! makes that up from arrivals and presentation times, and so announces a video with B-frames up to 167 ms too early,
//! in steps while its estimate settles. A publisher sends both tracks in the order of *decoding* times, so the same
//! arrivals relate the tracks rightly when DTS is taken in place of PTS: a track's line is its earliest arrival minus
//! decoding time, and a time stamp plus its track's line is an instant on our clock. The sum is the server's relation
//! plus max(PTS - DTS), measured by us and before the first frame leaves.
use super::reorder::Reorder;
use super::sps;
use crate::link::frames::{AccessUnit, Frame};
use std::collections::VecDeque;

/// A track is measured this long before its first frame leaves; the frames wait meanwhile.
const SETTLE_NS: i64 = 1_200_000_000;
/// After that the lines are compared over windows of this length.
const WINDOW_NS: i64 = 5_000_000_000;
/// A difference that lasts two windows is corrected from here on; less is the grain of 33 ms and 20 ms packets.
const STEP_NS_MIN: i64 = 30_000_000;
/// Pictures between the wire and here: one, unless some are dropped on the way.
const ON_THE_WAY_MAX: usize = 64;

/// One track's relation of its clock to ours: its earliest arrival minus the time stamp.
#[derive(Debug, Default)]
struct Line {
    since_ns: Option<i64>,
    earliest_ns: Option<i64>,
    settled_ns: Option<i64>,
}

impl Line {
    fn note(&mut self, time_ns: i64, arrived_ns: i64) {
        let lead = arrived_ns - time_ns;
        self.earliest_ns = Some(self.earliest_ns.map_or(lead, |earliest| earliest.min(lead)));
    }

    fn is_due(&mut self, now_ns: i64) -> bool {
        self.settled_ns.is_none() && now_ns - *self.since_ns.get_or_insert(now_ns) >= SETTLE_NS
    }

    /// Fixes the line; `time_ns`, which is here now, stands in where nothing was measured.
    fn settle(&mut self, time_ns: i64, now_ns: i64) {
        self.settled_ns = Some(self.earliest_ns.take().unwrap_or(now_ns - time_ns));
    }
}

/// Shifts the frames of both tracks to our clock and gives the access units their decoding times.
#[derive(Debug, Default)]
pub(super) struct Aligner {
    audio: Line,
    video: Line,
    held: VecDeque<Frame>,
    /// Presentation time and arrival of pictures.
    on_the_way: VecDeque<(i64, i64)>,
    /// The same of the access units that wait.
    seen: Vec<(i64, i64)>,
    told_depth: Option<usize>,
    reorder: Option<Reorder>,
    last_dts_ns: Option<i64>,
    window_end_ns: Option<i64>,
    drift_ns: Option<i64>,
    step_ns: Option<i64>,
}

impl Aligner {
    /// A packet of audio arrived that was due at `time_ns`.
    pub fn audio_arrived(&mut self, time_ns: i64, now_ns: i64) {
        self.audio.note(time_ns, now_ns);
    }

    /// The first packet of a picture arrived.
    pub fn video_arrived(&mut self, pts_ns: i64, now_ns: i64) {
        if self.on_the_way.len() == ON_THE_WAY_MAX {
            self.on_the_way.pop_front();
        }
        self.on_the_way.push_back((pts_ns, now_ns));
    }

    /// Lines of video and audio, once both are settled.
    pub fn lines_ns(&self) -> Option<(i64, i64)> {
        self.video.settled_ns.zip(self.audio.settled_ns)
    }

    /// Takes a frame and gives those that may leave, in order, on our clock.
    ///
    /// - Nothing of a track leaves before the track is measured.
    /// - A correction later on moves the video alone, at a key frame, marked as a discontinuity.
    pub fn push(&mut self, mut frame: Frame, now_ns: i64, mut leave: impl FnMut(Frame)) {
        match &mut frame {
            Frame::Video(unit) => self.time_video(unit, now_ns),
            Frame::Audio { pts_ns, .. } => {
                if self.audio.is_due(now_ns) {
                    self.audio.settle(*pts_ns, now_ns);
                }
            }
            Frame::VideoConfig(config) => {
                let told = sps::from_codec_data(&config.codec_data).and_then(|sps| sps.reorder_frames);
                self.told_depth = told.and_then(|depth| usize::try_from(depth).ok());
            }
            Frame::Connected(_) | Frame::Notice(_) | Frame::Ended(_) => {}
        }
        self.watch_drift(now_ns);
        for frame in std::mem::take(&mut self.held).into_iter().chain([frame]) {
            match self.place(frame) {
                Ok(frame) => leave(frame),
                Err(frame) => self.held.push_back(frame),
            }
        }
    }

    /// Sets the decoding time, still on the track's clock: at once, or for all that wait when the track is measured.
    fn time_video(&mut self, unit: &mut AccessUnit, now_ns: i64) {
        let arrived_ns = self.take_arrival(unit.pts_ns).unwrap_or(now_ns);
        if let Some(reorder) = &mut self.reorder {
            unit.dts_ns = reorder.dts_ns(unit.pts_ns);
            self.video.note(unit.dts_ns, arrived_ns);
            return;
        }
        self.seen.push((unit.pts_ns, arrived_ns));
        if !self.video.is_due(now_ns) {
            return;
        }
        let seen = std::mem::take(&mut self.seen);
        let pts: Vec<i64> = seen.iter().map(|(pts, _)| *pts).collect();
        let reorder = self.reorder.insert(Reorder::new(&pts, self.told_depth));
        let (newest_pts_ns, held) = (unit.pts_ns, &mut self.held);
        let waiting = held.iter_mut().filter_map(|frame| {
            if let Frame::Video(unit) = frame {
                Some(unit)
            } else {
                None
            }
        });
        for (unit, (pts_ns, arrived_ns)) in waiting.chain([unit]).zip(seen) {
            unit.dts_ns = reorder.dts_ns(pts_ns);
            self.video.note(unit.dts_ns, arrived_ns);
        }
        self.video.settle(newest_pts_ns, now_ns);
    }

    fn take_arrival(&mut self, pts_ns: i64) -> Option<i64> {
        let at = self.on_the_way.iter().position(|(pts, _)| *pts == pts_ns)?;
        self.on_the_way.remove(at).map(|(_, arrived)| arrived)
    }

    fn place(&mut self, frame: Frame) -> Result<Frame, Frame> {
        match frame {
            Frame::Audio {
                pts_ns,
                discontinuity,
                pcm,
            } => match self.audio.settled_ns {
                Some(line) => Ok(Frame::Audio {
                    pts_ns: pts_ns + line,
                    discontinuity,
                    pcm,
                }),
                None => Err(Frame::Audio {
                    pts_ns,
                    discontinuity,
                    pcm,
                }),
            },
            Frame::Video(unit) => match self.video.settled_ns {
                Some(line) => Ok(Frame::Video(self.place_video(unit, line))),
                None => Err(Frame::Video(unit)),
            },
            // The decoder configuration stays in front of its access units.
            Frame::VideoConfig(config) if self.video.settled_ns.is_none() => Err(Frame::VideoConfig(config)),
            Frame::Connected(_) | Frame::VideoConfig(_) | Frame::Notice(_) | Frame::Ended(_) => Ok(frame),
        }
    }

    fn place_video(&mut self, mut unit: AccessUnit, line: i64) -> AccessUnit {
        let step = if unit.key { self.step_ns.take() } else { None };
        let line = line + step.unwrap_or(0);
        self.video.settled_ns = Some(line);
        unit.discontinuity |= step.is_some();
        unit.pts_ns += line;
        let rising = self.last_dts_ns.map_or(i64::MIN, |last| last + 1);
        unit.dts_ns = (unit.dts_ns + line).max(rising).min(unit.pts_ns);
        self.last_dts_ns = Some(unit.dts_ns);
        unit
    }

    /// Clocks of one publisher drift together; only the difference of both lines is looked at.
    fn watch_drift(&mut self, now_ns: i64) {
        let Some((video, audio)) = self.lines_ns() else {
            return;
        };
        if now_ns < *self.window_end_ns.get_or_insert(now_ns + WINDOW_NS) {
            return;
        }
        self.window_end_ns = Some(now_ns + WINDOW_NS);
        let (Some(video_now), Some(audio_now)) =
            (self.video.earliest_ns.take(), self.audio.earliest_ns.take())
        else {
            self.drift_ns = None;
            return;
        };
        let drift = (video_now - video) - (audio_now - audio);
        let before = self.drift_ns.replace(drift).unwrap_or(0);
        if drift.abs() >= STEP_NS_MIN && before.abs() >= STEP_NS_MIN && drift.signum() == before.signum() {
            self.step_ns = Some(if drift.abs() < before.abs() { drift } else { before });
            self.drift_ns = None;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const MS: i64 = 1_000_000;
    const PICTURE: i64 = 33 * MS;

    fn video(pts_ns: i64, key: bool) -> Frame {
        Frame::Video(AccessUnit {
            pts_ns,
            dts_ns: pts_ns,
            key,
            discontinuity: false,
            data: Bytes::new(),
        })
    }

    fn audio(pts_ns: i64) -> Frame {
        Frame::Audio {
            pts_ns,
            discontinuity: false,
            pcm: Bytes::new(),
        }
    }

    /// A publisher that sends both tracks in decoding order, pictures with a pyramid of three B-frames, each track on
    /// a clock of its own; `late` more for all pictures from the n-th on.
    fn publish(pictures: i64, late: impl Fn(i64) -> i64) -> Vec<Frame> {
        let mut events: Vec<(i64, bool, i64, i64)> = Vec::new();
        for n in 0..pictures {
            let shown = match n % 4 {
                _ if n == 0 => 0,
                1 => n + 3,
                2 => n,
                3 => n - 2,
                _ => n - 1,
            };
            events.push(((n - 2) * PICTURE + late(n), true, shown * PICTURE, n));
        }
        for n in 0..pictures * 33 / 20 {
            events.push((n * 20 * MS, false, n * 20 * MS, n));
        }
        events.sort();
        let mut aligner = Aligner::default();
        let mut left = Vec::new();
        for (at, is_video, pts, n) in events {
            let now = at + 5_000 * MS;
            if is_video {
                aligner.video_arrived(pts + 700 * MS, now);
                aligner.push(video(pts + 700 * MS, n % 20 == 0), now, |frame| left.push(frame));
            } else {
                aligner.audio_arrived(pts + 90_000 * MS, now);
                aligner.push(audio(pts + 90_000 * MS), now, |frame| left.push(frame));
            }
        }
        left
    }

    fn units(frames: &[Frame]) -> Vec<&AccessUnit> {
        frames
            .iter()
            .filter_map(|frame| {
                if let Frame::Video(unit) = frame {
                    Some(unit)
                } else {
                    None
                }
            })
            .collect()
    }

    #[test]
    fn tracks_of_different_clocks_come_out_as_they_were_published() {
        let left = publish(200, |_| 0);
        let first_audio = left.iter().find_map(|frame| {
            if let Frame::Audio { pts_ns, .. } = frame {
                Some(*pts_ns)
            } else {
                None
            }
        });
        let units = units(&left);
        assert_eq!(first_audio.unwrap(), 5_000 * MS);
        assert_eq!(units[0].pts_ns, 5_000 * MS);
        assert_eq!(units[0].dts_ns, 5_000 * MS - 2 * PICTURE);
        assert!(units.windows(2).all(|pair| pair[0].dts_ns < pair[1].dts_ns));
        assert!(
            units
                .iter()
                .all(|unit| unit.dts_ns <= unit.pts_ns && !unit.discontinuity)
        );
        assert_eq!(
            units.iter().map(|unit| unit.pts_ns - unit.dts_ns).max().unwrap(),
            5 * PICTURE
        );
    }

    #[test]
    fn nothing_leaves_before_it_is_measured_and_nothing_is_lost() {
        assert!(publish(20, |_| 0).is_empty());
        let left = publish(200, |_| 0);
        assert_eq!(units(&left).len(), 200);
    }

    #[test]
    fn a_lasting_shift_is_corrected_once_at_a_key_frame() {
        let left = publish(1_200, |n| if n > 300 { 60 * MS } else { 0 });
        let steps: Vec<_> = units(&left)
            .into_iter()
            .filter(|unit| unit.discontinuity)
            .collect();
        assert_eq!(steps.len(), 1);
        assert!(steps[0].key);
        let last = units(&left)[1_196].pts_ns;
        assert!(
            (last - (5_000 * MS + 1_196 * PICTURE + 60 * MS)).abs() < 4 * PICTURE,
            "{last}"
        );
    }
}
