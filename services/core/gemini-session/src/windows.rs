//! Turns that the client marks: source cut at its pauses, never longer than the hold allows.
use crate::config::Dialogue;
use crate::feed::{Feed, SHARED};
use crate::types::ConnectionId;
use media_types::{MediaRange, MediaTime, Tick};
use std::collections::VecDeque;
use std::time::Duration;

/// The last part of the longest window, in which the quietest spot ends it.
const LAST_PART: Duration = Duration::from_secs(1);

/// The shortest pause that closes a window, when there is hardly any room left to wait for a longer one.
const PAUSE_LEAST: Duration = Duration::from_millis(100);

/// One turn of ours.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) id: u64,
    pub(crate) start: MediaTime,
    /// Where the window before it ended: nothing before this is answered by it, though it is heard again.
    pub(crate) border: MediaTime,
    /// Absent while the speaker goes on.
    pub(crate) end: Option<MediaTime>,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) started: bool,
    pub(crate) cursor: MediaTime,
    /// When its end mark was sent.
    pub(crate) ended_at: Option<Tick>,
    /// Whether anything of an answer came.
    pub(crate) answered: bool,
    /// Whether sound of an answer came: words without any are none.
    pub(crate) voiced: bool,
}

/// Turns that are not answered.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    dialogue: Dialogue,
    queue: VecDeque<Window>,
    next_id: u64,
    last_end: MediaTime,
    /// Earliest beginning of the next one.
    next_from: MediaTime,
}

impl Windows {
    pub(crate) fn new(dialogue: Dialogue) -> Self {
        Self {
            dialogue,
            queue: VecDeque::new(),
            next_id: 0,
            last_end: MediaTime::from_frames(i64::MIN),
            next_from: MediaTime::from_frames(i64::MIN),
        }
    }

    /// Looks at the newest block of the feed.
    pub(crate) fn push(&mut self, feed: &Feed, block: MediaRange, speech: bool) {
        let pause = feed.pause().to_duration();
        let dialogue = &self.dialogue;
        let Some(open) = self.queue.back().filter(|last| last.end.is_none()) else {
            if speech {
                let pre_roll = block.start - MediaTime::from_duration(dialogue.pre_roll);
                let start = pre_roll.max(self.next_from).max(feed.start());
                self.open(start.min(block.start));
            }
            return;
        };
        let length = (block.end - open.start).to_duration();
        let paused =
            pause >= dialogue.pause_long || enough(dialogue, length).is_some_and(|least| pause >= least);
        let block_length = block.length().to_duration();
        let full = length + block_length > dialogue.window_max;
        let quiet = length + LAST_PART >= dialogue.window_max && feed.is_quiet_spot();
        if paused || full || quiet {
            self.part(feed);
        }
    }

    /// Ends the open window where the source has come to, and the speaker may go on.
    pub(crate) fn part(&mut self, feed: &Feed) {
        self.close(feed.end());
        self.next_from = feed.take_over();
        if feed.pause() < SHARED {
            // What is heard twice may be answered by either.
            self.last_end = self.next_from;
        }
    }

    fn open(&mut self, start: MediaTime) {
        self.queue.push_back(Window {
            id: self.next_id,
            start,
            border: start.max(self.last_end),
            end: None,
            connection: None,
            started: false,
            cursor: start,
            ended_at: None,
            answered: false,
            voiced: false,
        });
        self.next_id += 1;
    }

    /// Ends the open window, if there is one: what follows is another moment.
    pub(crate) fn close(&mut self, at: MediaTime) {
        if let Some(open) = self.queue.back_mut().filter(|last| last.end.is_none()) {
            let end = at.max(open.cursor);
            open.end = Some(end);
            self.last_end = end;
            self.next_from = end;
        }
    }

    /// The window that a connection is in the middle of sending.
    pub(crate) fn half_sent(&mut self, connection: ConnectionId) -> Option<&mut Window> {
        self.queue
            .iter_mut()
            .find(|window| window.connection == Some(connection) && window.ended_at.is_none())
    }

    /// Gives the next window to a connection. Returns whether there was one.
    pub(crate) fn assign(&mut self, connection: ConnectionId) -> bool {
        let free = self.queue.iter_mut().find(|window| window.connection.is_none());
        if let Some(window) = free {
            window.connection = Some(connection);
            return true;
        }
        false
    }

    /// The oldest window whose answer a connection owes.
    pub(crate) fn owed(&mut self, connection: ConnectionId) -> Option<&mut Window> {
        self.queue
            .iter_mut()
            .find(|window| window.connection == Some(connection) && window.started)
    }

    /// Whether a connection has any window.
    pub(crate) fn has(&self, connection: ConnectionId) -> bool {
        self.queue
            .iter()
            .any(|window| window.connection == Some(connection))
    }

    /// The oldest window of a connection is answered. One that is not sent to its end cannot be.
    pub(crate) fn finish(&mut self, connection: ConnectionId) -> Option<Window> {
        let index = self
            .queue
            .iter()
            .position(|window| window.connection == Some(connection))?;
        self.queue.get(index)?.ended_at?;
        self.queue.remove(index)
    }

    /// All windows of connections that are gone are to be sent again. Returns where the first of them begins.
    pub(crate) fn release(&mut self, gone: impl Fn(ConnectionId) -> bool) -> Option<MediaTime> {
        let mut first = None;
        for window in &mut self.queue {
            if window.connection.is_some_and(&gone) {
                first = first.or(Some(window.start));
                window.connection = None;
                window.started = false;
                window.cursor = window.start;
                window.ended_at = None;
                window.answered = false;
                window.voiced = false;
            }
        }
        first
    }

    /// Takes out windows that nobody sends and that begin before an instant; an open one begins there from now on.
    pub(crate) fn drop_before(&mut self, at: MediaTime) -> Vec<MediaRange> {
        let mut dropped = Vec::new();
        self.queue.retain_mut(|window| {
            if window.connection.is_some() || at <= window.start {
                return true;
            }
            let end = window.end.unwrap_or(at);
            dropped.push(MediaRange::new(window.start, end.min(at)));
            window.start = at;
            window.border = window.border.max(at);
            window.cursor = at;
            window.end.is_none_or(|end| at < end)
        });
        dropped
    }

    /// Source before this is answered, or was nothing to answer.
    pub(crate) fn done_to(&self, feed_end: MediaTime) -> MediaTime {
        self.queue.front().map_or(feed_end, |first| first.start)
    }

    /// Source before this was sent, or was nothing to send.
    pub(crate) fn sent_to(&self, feed_end: MediaTime) -> MediaTime {
        self.queue
            .iter()
            .find(|window| window.ended_at.is_none())
            .map_or(feed_end, |window| window.cursor)
    }

    /// Where the next window to send begins.
    pub(crate) fn next_start(&self) -> Option<MediaTime> {
        self.queue
            .iter()
            .find(|window| window.connection.is_none())
            .map(|window| window.start)
    }

    /// Source in windows that are not answered.
    pub(crate) fn in_flight(&self, feed: &Feed) -> MediaTime {
        self.queue.iter().fold(MediaTime::ZERO, |sum, window| {
            let end = window.end.unwrap_or(feed.end());
            sum + feed.speech_in(MediaRange::new(window.start, end))
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// The pause that closes a window of this length. The less room is left, the shorter it may be: a breath is a better
/// border than none.
fn enough(dialogue: &Dialogue, length: Duration) -> Option<Duration> {
    let waited = length.checked_sub(dialogue.window_min)?;
    let room = dialogue
        .window_max
        .saturating_sub(dialogue.window_min + LAST_PART);
    let share = waited.as_secs_f64() / room.as_secs_f64().max(0.001);
    let span = dialogue.pause_short.saturating_sub(PAUSE_LEAST);
    Some(dialogue.pause_short.saturating_sub(span.mul_f64(share.min(1.0))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const fn ms(millis: i64) -> MediaTime {
        MediaTime::from_millis(millis)
    }

    /// Windows of a source that speaks where `speaks` says so.
    fn cut(seconds: i64, hold: u64, speaks: impl Fn(i64) -> bool) -> Vec<(i64, i64)> {
        let mut feed = Feed::new(ms(30_000), 0.5, 200.0);
        let mut windows = Windows::new(Dialogue::new("interpret", Duration::from_secs(hold)));
        for at in (0..seconds * 1000).step_by(20) {
            let probability = if speaks(at) { 0.9 } else { 0.1 };
            // A level that falls and rises every 400 ms, as syllables do.
            let sample = i16::try_from(1000 + 500 * (at / 20 % 20 - 10).abs()).unwrap();
            let speech = feed.push(ms(at), vec![sample; 320], Some(probability));
            windows.push(&feed, MediaRange::new(ms(at), ms(at + 20)), speech);
        }
        windows.close(feed.end());
        let range = |window: &Window| (window.start.millis(), window.end.unwrap().millis());
        windows.queue.iter().map(range).collect()
    }

    #[test]
    fn a_window_opens_half_a_second_early_and_closes_at_the_first_pause_after_three_seconds() {
        let cuts = cut(12, 20, |at| {
            (1000..2500).contains(&at) || (2700..5000).contains(&at) || (5400..6000).contains(&at)
        });
        assert_eq!(cuts, [(500, 5220), (5060, 6800)]);
    }

    #[test]
    fn the_longer_a_window_is_the_shorter_a_pause_closes_it() {
        let cuts = cut(7, 20, |at| {
            !(3500..3700).contains(&at) && !(5600..5800).contains(&at) && !(6100..6200).contains(&at)
        });
        assert_eq!(cuts, [(0, 5780), (5620, 7000)]);
    }

    #[test]
    fn speech_without_a_pause_is_cut_within_what_the_hold_allows_and_nothing_of_it_is_left_out() {
        for (hold, longest) in [(8, 3000), (10, 5000), (13, 8000), (30, 8000)] {
            let cuts = cut(60, hold, |_| true);
            assert_eq!((cuts[0].0, cuts.last().unwrap().1), (0, 60_000));
            for pair in cuts.windows(2) {
                assert_eq!(pair[0].1 - SHARED.millis(), pair[1].0);
                let length = pair[0].1 - pair[0].0;
                assert!(
                    length <= longest && length + 1020 >= longest,
                    "{length} at hold {hold}"
                );
            }
        }
    }

    #[test]
    fn windows_of_a_connection_that_is_gone_are_sent_again_from_their_start() {
        let mut feed = Feed::new(ms(30_000), 0.5, 200.0);
        let mut windows = Windows::new(Dialogue::new("interpret", Duration::from_secs(10)));
        for at in (0..12_000).step_by(20) {
            let speech = feed.push(ms(at), vec![900; 320], Some(0.9));
            windows.push(&feed, MediaRange::new(ms(at), ms(at + 20)), speech);
        }
        let old = ConnectionId(1);
        assert!(windows.assign(old));
        assert!(windows.finish(old).is_none(), "not sent to its end");
        let first = windows.half_sent(old).unwrap();
        (first.started, first.cursor, first.ended_at) = (true, first.end.unwrap(), Some(Tick::default()));
        assert!(windows.assign(old));
        assert_eq!(windows.release(|connection| connection == old), Some(ms(0)));
        assert!(windows.assign(ConnectionId(2)));
        let again = windows.half_sent(ConnectionId(2)).unwrap();
        assert_eq!((again.id, again.cursor, again.started), (0, ms(0), false));
    }
}
