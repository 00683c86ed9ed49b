//! Returned sound as atoms: speech between two silences, with what is known of its source.
use crate::Speech;
use media_types::{CHANNELS, MediaTime};
use std::collections::VecDeque;

/// The grid that levels are taken on.
pub(crate) const STEP_FRAMES: usize = 480;
pub(crate) const STEP: MediaTime = MediaTime::from_frames(480);
pub(crate) const STEP_SAMPLES: usize = STEP_FRAMES * CHANNELS;
/// Level from which sound is heard, in steps of 16 bit, RMS; a provider's silence is zeros or nearly so.
const LOUD: f64 = 50.0;
/// Silence that ends an atom.
const PAUSE: MediaTime = MediaTime::from_millis(80);
/// Length of an atom after which the next dip of a word ends it: no sentence goes on for so long without a breath.
const ATOM_MAX: MediaTime = MediaTime::from_millis(20_000);
/// Sound that waits at most; more than any provider that can be placed sends ahead.
const WAITING_MAX: MediaTime = MediaTime::from_millis(60_000);
/// Two pieces lie side by side if what is between them is less; rounding of resampled pieces.
const TOUCH: MediaTime = MediaTime::from_millis(5);
/// By how much a network delays a piece at most, before it must be the provider that stopped.
const JITTER: MediaTime = MediaTime::from_millis(1_000);
/// In the middle of a word it is the network all the same, up to when nobody would wait for the rest any more.
const HELD_UP_MAX: MediaTime = MediaTime::from_millis(6_000);
/// Silence behind which a provider has said all that it had to say.
const CAUGHT_UP: MediaTime = MediaTime::from_millis(900);
/// Connections whose sound is followed at once.
const VOICES: usize = 4;

/// Speech between silences.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Atom {
    pub(crate) connection: u64,
    pub(crate) turn: Option<u64>,
    /// When its sound began, told in source that the provider had heard by then.
    pub(crate) start: MediaTime,
    /// Silence before it, as the provider spoke.
    pub(crate) gap: MediaTime,
    /// Earliest source that its beginning and its end can answer.
    pub(crate) earliest: (MediaTime, MediaTime),
    /// Latest source that its beginning and its end can answer.
    pub(crate) latest: (MediaTime, MediaTime),
    /// When it began to come, on the air's clock.
    pub(crate) heard_at: MediaTime,
    /// By how much its connection had been told more of the source by then than it had had time to speak of.
    pub(crate) leapt: MediaTime,
    /// More of it may come.
    pub(crate) open: bool,
    pub(crate) pcm: Vec<i16>,
    /// Level of each step.
    pub(crate) levels: Vec<u16>,
    /// Steps of it that are placed already.
    pub(crate) placed: usize,
}

impl Atom {
    pub(crate) fn length(&self) -> MediaTime {
        MediaTime::from_frames(i64::try_from(self.levels.len() * STEP_FRAMES).unwrap_or(0))
    }

    /// Steps that are not placed yet.
    pub(crate) fn rest(&self) -> usize {
        self.levels.len().saturating_sub(self.placed)
    }

    /// Samples of some steps.
    pub(crate) fn steps(&self, from: usize, until: usize) -> &[i16] {
        let (from, until) = (from * STEP_SAMPLES, (until * STEP_SAMPLES).min(self.pcm.len()));
        self.pcm.get(from..until).unwrap_or_default()
    }

    /// Cuts it in two at a step.
    pub(crate) fn split(&mut self, at: usize) -> Self {
        let at = at.clamp(self.placed, self.levels.len());
        let second = Self {
            start: self.start + steps(at),
            gap: MediaTime::ZERO,
            earliest: (self.earliest.0, self.earliest.1),
            latest: (self.latest.1, self.latest.1),
            pcm: self.pcm.split_off(at * STEP_SAMPLES),
            levels: self.levels.split_off(at),
            placed: 0,
            ..self.clone_without_sound()
        };
        self.open = false;
        second
    }

    /// What was cut begins without a click: its step there rises from silence.
    pub(crate) fn fade_in(&mut self, step: usize) {
        let frames = STEP_FRAMES as i32;
        let rest = self.pcm.chunks_mut(CHANNELS).skip(step * STEP_FRAMES);
        for (frame, pair) in (0..frames).zip(rest) {
            for sample in pair {
                *sample = (i32::from(*sample) * frame / frames) as i16;
            }
        }
    }

    fn clone_without_sound(&self) -> Self {
        Self {
            pcm: Vec::new(),
            levels: Vec::new(),
            ..*self
        }
    }

    fn push(&mut self, step: &Step) {
        self.pcm.extend_from_slice(&step.pcm);
        self.levels.push(step.level);
    }
}

/// So many steps as time.
pub(crate) fn steps(count: usize) -> MediaTime {
    MediaTime::from_frames(i64::try_from(count * STEP_FRAMES).unwrap_or(0))
}

#[derive(Clone, Debug)]
struct Step {
    pcm: Vec<i16>,
    level: u16,
}

impl Step {
    fn new(pcm: &[i16]) -> Self {
        let sum: f64 = pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        let level = (sum / pcm.len().max(1) as f64).sqrt();
        let mut pcm = pcm.to_vec();
        pcm.resize(STEP_SAMPLES, 0);
        Self {
            pcm,
            level: level as u16,
        }
    }

    fn is_loud(&self) -> bool {
        LOUD <= f64::from(self.level)
    }
}

/// The sound of one connection, as it comes.
#[derive(Clone, Debug)]
struct Voice {
    connection: u64,
    /// Where the next sample lies in the sound of the connection.
    head: MediaTime,
    /// Less than a step, waiting for the rest of it.
    rest: Vec<i16>,
    /// Silence since the last loud step.
    quiet: Vec<Step>,
    quiet_for: Option<MediaTime>,
    turn: Option<u64>,
    /// How far the provider had heard the source, less its place in its own sound: newest first.
    offsets: VecDeque<MediaTime>,
    latest: MediaTime,
    /// What the first piece told that came with the newest source.
    first: MediaTime,
    /// The offset that it began with, or had when it last had nothing left to say.
    began_with: Option<MediaTime>,
}

impl Voice {
    fn new(speech: &Speech, at: MediaTime) -> Self {
        Self {
            connection: speech.connection,
            head: at,
            rest: Vec::new(),
            quiet: Vec::new(),
            quiet_for: None,
            turn: speech.turn,
            offsets: VecDeque::new(),
            latest: MediaTime::from_frames(i64::MIN),
            first: MediaTime::ZERO,
            began_with: None,
        }
    }

    /// Where its sound lies on the source's clock. A piece that a network held up tells too late a time, so the
    /// earliest of late counts; a source that stands still tells none.
    fn follow(&mut self, latest: MediaTime, end: MediaTime) {
        if self.latest < latest || self.offsets.is_empty() {
            self.latest = latest;
            self.first = latest - end;
            self.offsets.push_front(self.first);
            self.offsets.truncate(12);
        } else if let Some(newest) = self.offsets.front_mut() {
            let gained = (self.first - (latest - end)).max(MediaTime::ZERO);
            // A burst of held-up pieces: the last of them was held up least. More than a network holds up is said ahead.
            if gained < JITTER {
                *newest = (*newest).min(latest - end);
            }
        }
    }

    /// For how long its sound stood still before a piece: nothing came, not even silence. What was told before tells
    /// nothing of the time behind it.
    fn resume(&mut self, latest: MediaTime, end: MediaTime, in_word: bool) -> Option<MediaTime> {
        let stood = latest - end - *self.offsets.front()?;
        let most = if in_word { HELD_UP_MAX } else { JITTER };
        if stood <= most {
            return None;
        }
        self.offsets.clear();
        Some(stood)
    }

    fn offset(&self) -> MediaTime {
        let newest = self.offsets.front().copied().unwrap_or_default();
        let least = self.offsets.iter().copied().min().unwrap_or_default();
        least.max(newest - JITTER)
    }
}

/// All atoms of one line of answers, in source order.
#[derive(Debug, Default)]
pub(crate) struct Atoms {
    pub(crate) list: VecDeque<Atom>,
    voices: VecDeque<Voice>,
    /// When the newest sound came, on the air's clock.
    pub(crate) heard_at: MediaTime,
    /// Waiting atoms that no room was left for.
    pub(crate) overrun: u64,
    /// When a connection that answers anew would begin to answer, by the first source that its sound can answer, if it were
    /// sent that at the pace of speech. It is sent it faster: while it thinks, more comes than a speaker says in that time.
    pub(crate) due: Option<(u64, MediaTime)>,
}

impl Atoms {
    /// Takes a piece. Tells whether its connection is new.
    pub(crate) fn hear(&mut self, speech: &Speech, at: MediaTime, now: MediaTime) -> bool {
        let known = self
            .voices
            .iter()
            .position(|voice| voice.connection == speech.connection);
        let is_new = known.is_none();
        let mut voice = known
            .and_then(|index| self.voices.remove(index))
            .unwrap_or_else(|| Voice::new(speech, at));
        if is_new || voice.head + TOUCH < at || at + TOUCH < voice.head || voice.turn != speech.turn {
            let pause = (at - voice.head).max(MediaTime::ZERO);
            self.pause(&mut voice, pause);
            voice.head = at;
            voice.turn = speech.turn;
        }
        let frames = i64::try_from(speech.pcm.len() / CHANNELS).unwrap_or(0);
        let (end, in_word) = (
            voice.head + MediaTime::from_frames(frames),
            self.open_atom(voice.connection).is_some(),
        );
        if let Some(pause) = voice.resume(speech.latest, end, in_word) {
            self.pause(&mut voice, pause);
        }
        let rest = i64::try_from(voice.rest.len() / CHANNELS).unwrap_or(0);
        let first = voice.head - MediaTime::from_frames(rest);
        voice.head = voice.head + MediaTime::from_frames(frames);
        voice.follow(speech.latest, voice.head);
        let mut pcm = std::mem::take(&mut voice.rest);
        pcm.extend_from_slice(&speech.pcm);
        let mut place = first;
        let mut chunks = pcm.chunks_exact(STEP_SAMPLES);
        for chunk in &mut chunks {
            self.step(&mut voice, speech, Step::new(chunk), place, now);
            place = place + STEP;
        }
        voice.rest = chunks.remainder().to_vec();
        self.voices.push_back(voice);
        if VOICES < self.voices.len() {
            self.voices.pop_front();
        }
        self.bound();
        is_new
    }

    /// A silence that was not handed over, or the beginning of another turn: whatever is open ends.
    fn pause(&mut self, voice: &mut Voice, length: MediaTime) {
        if !voice.rest.is_empty() {
            let step = Step::new(&std::mem::take(&mut voice.rest));
            if let Some(atom) = self.open_atom(voice.connection).filter(|_| step.is_loud()) {
                for quiet in voice.quiet.drain(..) {
                    atom.push(&quiet);
                }
                atom.push(&step);
            }
        }
        self.close(voice);
        voice.quiet_for = voice.quiet_for.map(|quiet| quiet + length);
    }

    fn close(&mut self, voice: &mut Voice) {
        if let Some(atom) = self.open_atom(voice.connection) {
            atom.open = false;
        }
        voice.quiet.clear();
    }

    fn open_atom(&mut self, connection: u64) -> Option<&mut Atom> {
        self.list
            .iter_mut()
            .rev()
            .find(|atom| atom.open && atom.connection == connection)
    }

    fn step(&mut self, voice: &mut Voice, speech: &Speech, step: Step, at: MediaTime, now: MediaTime) {
        if !step.is_loud() {
            let quiet = voice.quiet_for.map(|quiet| quiet + STEP);
            voice.quiet_for = quiet;
            if quiet.is_some_and(|quiet| PAUSE <= quiet) {
                self.close(voice);
            } else if quiet.is_some() {
                voice.quiet.push(step);
            }
            return;
        }
        self.heard_at = now;
        let gap = voice.quiet_for.unwrap_or(PAUSE).max(MediaTime::ZERO);
        voice.quiet_for = Some(MediaTime::ZERO);
        let quiet = std::mem::take(&mut voice.quiet);
        if let Some(atom) = self.open_atom(voice.connection) {
            for step in &quiet {
                atom.push(step);
            }
            atom.push(&step);
            atom.earliest.1 = atom.earliest.1.max(speech.earliest);
            atom.latest.1 = atom.latest.1.max(speech.latest);
            if ATOM_MAX < atom.length() && !quiet.is_empty() {
                atom.open = false;
            }
            return;
        }
        for atom in self.list.iter_mut() {
            // Whoever speaks now, the one before has had his say.
            atom.open = false;
        }
        let offset = voice.offset();
        if CAUGHT_UP < gap {
            voice.began_with = Some(offset);
        }
        let usual = self
            .due
            .filter(|(connection, _)| *connection == voice.connection)
            .map_or(offset, |(_, due)| (due - at).min(offset));
        let leapt = offset - *voice.began_with.get_or_insert(usual);
        let mut atom = Atom {
            leapt: leapt.max(MediaTime::ZERO),
            connection: voice.connection,
            turn: speech.turn,
            start: at + offset,
            gap,
            earliest: (speech.earliest, speech.earliest),
            latest: (speech.latest, speech.latest),
            heard_at: now,
            open: true,
            pcm: Vec::new(),
            levels: Vec::new(),
            placed: 0,
        };
        atom.push(&step);
        self.list.push_back(atom);
    }

    /// Silence that is known to follow the newest sound.
    pub(crate) fn quiet_for(&self) -> Option<MediaTime> {
        self.voices.back().and_then(|voice| voice.quiet_for)
    }

    /// No more than the bound waits: the oldest goes.
    fn bound(&mut self) {
        let mut waiting: usize = self.list.iter().map(|atom| atom.levels.len()).sum();
        let most = usize::try_from(WAITING_MAX.frames()).unwrap_or(0) / STEP_FRAMES;
        while most < waiting && 1 < self.list.len() {
            if let Some(atom) = self.list.pop_front() {
                waiting -= atom.levels.len();
                self.overrun += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: i64) -> MediaTime {
        MediaTime::from_millis(millis)
    }

    /// Milliseconds of speech and of silence in turn.
    fn sound(spans: &[usize]) -> Vec<i16> {
        let mut pcm = Vec::new();
        for (index, span) in spans.iter().enumerate() {
            let value = if index % 2 == 0 { 1_000 } else { 0 };
            pcm.extend(std::iter::repeat_n(value, span * 48 * CHANNELS));
        }
        pcm
    }

    fn piece(connection: u64, at: i64, latest: i64, pcm: Vec<i16>) -> Speech {
        Speech {
            earliest: MediaTime::ZERO,
            latest: ms(latest),
            exact: false,
            fragment: None,
            connection,
            at: Some(ms(at)),
            turn: None,
            pcm,
        }
    }

    fn hear(atoms: &mut Atoms, speech: &Speech) {
        atoms.hear(speech, speech.at.unwrap_or_default(), MediaTime::ZERO);
    }

    fn told(atoms: &Atoms) -> Vec<(i64, i64, bool)> {
        let list = atoms.list.iter();
        list.map(|atom| (atom.start.millis(), atom.length().millis(), atom.open))
            .collect()
    }

    #[test]
    fn silence_inside_a_piece_parts_it_and_a_dip_does_not() {
        let mut atoms = Atoms::default();
        hear(&mut atoms, &piece(1, 0, 1_000, sound(&[300, 50, 200, 100, 350])));
        assert_eq!(told(&atoms), [(0, 550, false), (650, 350, true)]);
        assert_eq!(atoms.list[1].gap, ms(100));
    }

    #[test]
    fn pieces_that_abut_are_one_atom_and_a_place_further_on_is_a_silence() {
        let mut atoms = Atoms::default();
        hear(&mut atoms, &piece(1, 0, 5_245, sound(&[245])));
        hear(&mut atoms, &piece(1, 245, 5_500, sound(&[255])));
        hear(&mut atoms, &piece(1, 900, 6_150, sound(&[250])));
        assert_eq!(told(&atoms), [(5_000, 500, false), (5_900, 250, true)]);
        assert_eq!(atoms.list[1].gap, ms(400));
    }

    #[test]
    fn a_piece_that_the_network_held_up_is_placed_where_it_was_said() {
        let mut atoms = Atoms::default();
        hear(&mut atoms, &piece(1, 0, 1_250, sound(&[250])));
        hear(&mut atoms, &piece(1, 500, 2_150, sound(&[250])));
        assert_eq!(told(&atoms), [(1_000, 250, false), (1_500, 250, true)]);
    }

    #[test]
    fn a_provider_that_sends_nothing_while_nobody_speaks_is_not_taken_for_early_behind_it() {
        let mut atoms = Atoms::default();
        hear(&mut atoms, &piece(1, 0, 1_250, sound(&[150, 100])));
        // Its own sound goes on where it ended, forty seconds later.
        hear(&mut atoms, &piece(1, 250, 41_500, sound(&[250])));
        assert_eq!(told(&atoms), [(1_000, 150, false), (41_250, 250, true)]);
        assert_eq!((atoms.list[1].gap, atoms.list[1].leapt), (ms(40_100), ms(0)));
    }

    #[test]
    fn a_word_that_the_network_holds_up_is_one_word() {
        let mut atoms = Atoms::default();
        hear(&mut atoms, &piece(1, 0, 1_250, sound(&[250])));
        for quarter in 1..5 {
            hear(&mut atoms, &piece(1, 250 * quarter, 4_900, sound(&[250])));
        }
        assert_eq!(told(&atoms), [(1_000, 1_250, true)]);
    }

    #[test]
    fn sound_that_comes_ahead_of_its_time_moves_no_clock() {
        let mut atoms = Atoms::default();
        hear(&mut atoms, &piece(1, 0, 5_250, sound(&[250])));
        for quarter in 4..20 {
            hear(&mut atoms, &piece(1, 250 * quarter, 6_250, sound(&[250])));
        }
        hear(&mut atoms, &piece(1, 5_500, 10_750, sound(&[250])));
        let starts: Vec<_> = atoms.list.iter().map(|atom| atom.start.millis()).collect();
        assert_eq!(starts[..2], [5_000, 6_000]);
        assert!((9_500..=10_500).contains(&starts[2]), "{starts:?}");
    }

    #[test]
    fn another_connection_has_another_clock() {
        let mut atoms = Atoms::default();
        hear(&mut atoms, &piece(1, 90_000, 10_250, sound(&[250])));
        hear(&mut atoms, &piece(2, 0, 11_250, sound(&[250])));
        assert_eq!(told(&atoms), [(10_000, 250, false), (11_000, 250, true)]);
    }

    #[test]
    fn a_minute_of_speech_waits_at_most() {
        let mut atoms = Atoms::default();
        for second in 0..200 {
            let speech = piece(1, 1_000 * second, 1_000 * second, sound(&[800, 200]));
            hear(&mut atoms, &speech);
        }
        assert_eq!(atoms.list.len(), 75);
        assert_eq!(atoms.overrun, 125);
    }
}
