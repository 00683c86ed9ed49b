//! The little of RTP that the alignment needs: a packet's time stamp on an unwrapped clock. Pure.

/// Where an unwrapped clock starts: far enough from zero that nothing in front of the first packet is negative.
const ORIGIN_NS: i64 = 3_600_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
/// Samples in one access unit of AAC-LC, which RTP's time stamp counts.
const AAC_FRAME_TICKS: i64 = 1024;

/// The 32-bit time stamps of one track as a clock that does not wrap.
#[derive(Clone, Copy, Debug)]
pub(super) struct RtpClock {
    rate_hz: i64,
    last: Option<u32>,
    ticks: i64,
}

impl RtpClock {
    /// A clock of `rate_hz` ticks a second.
    pub fn new(rate_hz: i32) -> Self {
        Self {
            rate_hz: i64::from(rate_hz).max(1),
            last: None,
            ticks: 0,
        }
    }

    /// Time of a packet, ns; true when its time stamp differs from the packet before it.
    pub fn time_ns(&mut self, timestamp: u32) -> (i64, bool) {
        let step = self
            .last
            .map_or(0, |last| timestamp.wrapping_sub(last).cast_signed());
        let is_new = self.last.is_none() || step != 0;
        self.last = Some(timestamp);
        self.ticks += i64::from(step);
        (ORIGIN_NS + self.to_ns(self.ticks), is_new)
    }

    /// How much later than its time stamp a packet with `frames` AAC frames was due to be sent, ns.
    ///
    /// A sender that gathers frames learns that a packet is full when the next frame comes; one that does not sends
    /// each at once.
    pub fn due_after_ns(&self, frames: usize) -> i64 {
        let gathered = if frames > 1 {
            i64::try_from(frames).unwrap_or(0)
        } else {
            0
        };
        self.to_ns(gathered * AAC_FRAME_TICKS)
    }

    fn to_ns(self, ticks: i64) -> i64 {
        let (seconds, rest) = (ticks.div_euclid(self.rate_hz), ticks.rem_euclid(self.rate_hz));
        seconds * SECOND_NS + rest * SECOND_NS / self.rate_hz
    }
}

/// Time stamp and payload of a packet.
pub(super) fn split(packet: &[u8]) -> Option<(u32, &[u8])> {
    let (first, timestamp) = (*packet.first()?, packet.get(4..8)?);
    let mut offset = 12 + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let words = packet.get(offset + 2..offset + 4)?;
        offset += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    let timestamp = u32::from_be_bytes([timestamp[0], timestamp[1], timestamp[2], timestamp[3]]);
    Some((timestamp, packet.get(offset..)?))
}

/// Number of AAC frames in a payload of `mpeg4-generic` with headers of 16 bits (AAC-hbr).
pub(super) fn aac_frames(payload: &[u8]) -> usize {
    payload
        .get(..2)
        .map_or(1, |bits| usize::from(u16::from_be_bytes([bits[0], bits[1]])) / 16)
        .max(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_over_the_wrap_and_back_for_a_picture_shown_earlier() {
        let mut clock = RtpClock::new(90_000);
        let start = u32::MAX - 2_999;
        assert_eq!(clock.time_ns(start), (ORIGIN_NS, true));
        assert_eq!(clock.time_ns(start), (ORIGIN_NS, false));
        assert_eq!(
            clock.time_ns(start.wrapping_add(9_000)),
            (ORIGIN_NS + 100_000_000, true)
        );
        assert_eq!(
            clock.time_ns(start.wrapping_add(4_500)),
            (ORIGIN_NS + 50_000_000, true)
        );
    }

    #[test]
    fn a_packet_is_split_behind_its_sources_and_extension() {
        let mut packet = vec![0x91, 96, 0, 1, 0, 0, 1, 0, 9, 9, 9, 9];
        packet.extend([1, 1, 1, 1]);
        packet.extend([0xbe, 0xde, 0, 1, 5, 5, 5, 5]);
        packet.extend([0, 32, 7]);
        assert_eq!(split(&packet), Some((256, &[0, 32, 7][..])));
        assert_eq!(aac_frames(&[0, 32, 7]), 2);
        assert_eq!(split(&packet[..10]), None);
        assert_eq!(split(&packet[..18]), None);
    }

    #[test]
    fn a_packet_of_five_frames_was_due_with_the_sixth() {
        assert_eq!(RtpClock::new(48_000).due_after_ns(5), 106_666_666);
        assert_eq!(RtpClock::new(48_000).due_after_ns(1), 0);
    }
}
