//! Tells a jump of the source's clock from a gap, a stall or a burst. Pure: time is an argument.

/// Further back than this is a jump; less is jitter of a sloppy muxer, or reordering where the time is no DTS.
const BACK_NS_MAX: i64 = 1_000_000_000;
/// Further ahead of real time than this is a jump.
const AHEAD_NS_MAX: i64 = 3_000_000_000;

/// Which track a time stamp belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Track {
    /// Access units, by DTS.
    Video,
    /// PCM, by PTS.
    Audio,
}

/// Watches the time stamps of both tracks.
///
/// - A track that steps back has a new clock.
/// - A step forward is a jump only if the programme as a whole ran ahead of real time: after a stall the clock
///   continues where real time is, a burst catches up, and one track that was silent meets the other one's clock.
#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    video: Option<i64>,
    audio: Option<i64>,
    newest: Option<(i64, i64)>,
}

impl ClockWatch {
    /// Takes the time stamp of a buffer that arrives at `now_ns`; true when the clock jumped.
    pub fn jumped(&mut self, track: Track, time_ns: i64, now_ns: i64) -> bool {
        let last = match track {
            Track::Video => self.video.replace(time_ns),
            Track::Audio => self.audio.replace(time_ns),
        };
        let back = last.is_some_and(|last| time_ns < last - BACK_NS_MAX);
        let ahead = self
            .newest
            .is_some_and(|(newest, at)| time_ns - newest > now_ns - at + AHEAD_NS_MAX);
        if self.newest.is_none_or(|(newest, _)| time_ns > newest) {
            self.newest = Some((time_ns, now_ns));
        }
        back || ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_step_back_and_a_leap_ahead_are_jumps() {
        let mut watch = ClockWatch::default();
        assert!(!watch.jumped(Track::Video, 100 * SECOND, 0));
        assert!(!watch.jumped(Track::Audio, 100 * SECOND, 0));
        assert!(watch.jumped(Track::Video, 20 * SECOND, SECOND / 30));
        let mut watch = ClockWatch::default();
        assert!(!watch.jumped(Track::Audio, 0, 0));
        assert!(watch.jumped(Track::Audio, 3600 * SECOND, SECOND / 50));
    }

    #[test]
    fn a_stall_and_the_burst_after_it_are_none() {
        let mut watch = ClockWatch::default();
        assert!(!watch.jumped(Track::Video, 0, 0));
        assert!(
            !watch.jumped(Track::Video, 8 * SECOND, 8 * SECOND),
            "time went on while nothing came"
        );
        assert!(
            !watch.jumped(Track::Video, 9 * SECOND, 16 * SECOND),
            "everything is 7 s late"
        );
        assert!(
            !watch.jumped(Track::Video, 11 * SECOND, 16 * SECOND + 1),
            "and catches up"
        );
    }

    #[test]
    fn a_track_that_was_silent_joins_the_clock_of_the_other() {
        let mut watch = ClockWatch::default();
        assert!(!watch.jumped(Track::Audio, 0, 0));
        for second in 0..60 {
            assert!(!watch.jumped(Track::Video, second * SECOND, second * SECOND));
        }
        assert!(!watch.jumped(Track::Audio, 60 * SECOND, 60 * SECOND));
    }

    #[test]
    fn millisecond_rounding_is_no_step_back() {
        let mut watch = ClockWatch::default();
        assert!(!watch.jumped(Track::Audio, 21_333_333, 0));
        assert!(!watch.jumped(Track::Audio, 21_000_000, 0));
    }
}
