//! A programme's sound as the dubber and the worker's placement come to know it, worked out once for any number of runs.

use crate::twin::Programme;
use crate::twin::programme::decoded;
use anyhow::{Result, anyhow};
use dubber::pcm;
use dubber::session::live::source::Source;
use media_types::{CHANNELS, FragmentSeq, MediaTime, SAMPLE_RATE_HZ};
use speech_activity::{Block, Detector, PhraseEvent, Rules, Segmenter};
use std::collections::VecDeque;

/// Frames of a packet of AAC: so much comes at a time.
const PACKET: usize = 1024;
/// Length of a fragment.
const FRAGMENT: MediaTime = MediaTime::from_millis(2_000);

/// What becomes known.
#[derive(Clone, Debug)]
pub enum What {
    /// The worker heard something of a phrase.
    Phrase(PhraseEvent),
    /// The dubber got sound: mono, 16 kHz, with the probability of speech in it.
    Sound(MediaTime, Vec<i16>, f32),
    /// A fragment begins.
    Begins(FragmentSeq, MediaTime),
    /// A fragment is complete.
    Ends(FragmentSeq, MediaTime),
}

/// When something becomes known, in media time of the newest sound.
#[derive(Clone, Debug)]
pub struct Fact {
    /// When.
    pub at: MediaTime,
    /// What.
    pub what: What,
}

/// All of a programme.
#[derive(Clone, Debug)]
pub struct Known {
    /// In order.
    pub facts: Vec<Fact>,
}

struct Maker {
    detector: Detector,
    segmenter: Segmenter,
    source: Source,
    blocks: VecDeque<Block>,
    phrases: Vec<PhraseEvent>,
    /// Sound whose probability is not known yet.
    waiting: VecDeque<i16>,
    waits_from: MediaTime,
    head: MediaTime,
    fragment: u64,
    facts: Vec<Fact>,
}

impl Known {
    /// Listens to a programme's first seconds.
    pub fn of(programme: &Programme, seconds: f64) -> Result<Self> {
        let mut maker = Maker {
            detector: Detector::new()?,
            segmenter: Segmenter::new(Rules::default()),
            source: Source::new()?,
            blocks: VecDeque::new(),
            phrases: Vec::new(),
            waiting: VecDeque::new(),
            waits_from: MediaTime::ZERO,
            head: MediaTime::ZERO,
            fragment: 0,
            facts: Vec::new(),
        };
        let mut result = Ok(());
        let most = (seconds * f64::from(SAMPLE_RATE_HZ)) as i64;
        decoded(&programme.clip, SAMPLE_RATE_HZ, |_, sound| {
            for packet in sound.chunks(PACKET) {
                if result.is_ok() && maker.head.frames() < most {
                    result = maker.hear(packet);
                }
            }
        })?;
        result?;
        Ok(Self { facts: maker.facts })
    }
}

impl Maker {
    fn know(&mut self, what: What) {
        let at = self.head;
        self.facts.push(Fact { at, what });
    }

    fn hear(&mut self, packet: &[f32]) -> Result<()> {
        let start = self.head;
        let stereo: Vec<i16> = packet
            .iter()
            .flat_map(|sample| [(sample * 32_767.0) as i16; CHANNELS])
            .collect();
        self.waiting.extend(&stereo);
        let (blocks, segmenter, phrases) = (&mut self.blocks, &mut self.segmenter, &mut self.phrases);
        self.detector.push(start, &stereo, &mut |block| {
            blocks.push_back(block);
            segmenter.push(block, &mut |event| phrases.push(event));
        });
        self.head = start + MediaTime::from_frames(packet.len() as i64);
        for event in std::mem::take(&mut self.phrases) {
            self.know(What::Phrase(event));
        }
        while let Some(block) = self.blocks.pop_front() {
            self.judged(block)?;
        }
        Ok(())
    }

    /// Sound of a block leaves for the dubber.
    fn judged(&mut self, block: Block) -> Result<()> {
        let begins = block.range.start.frames() / FRAGMENT.frames() + 1;
        if self.fragment < begins as u64 {
            if 0 < self.fragment {
                self.know(What::Ends(FragmentSeq(self.fragment), block.range.start));
            }
            self.fragment = begins as u64;
            self.know(What::Begins(FragmentSeq(self.fragment), block.range.start));
        }
        let samples = (block.range.end - self.waits_from).frames() as usize * CHANNELS;
        let piece = pcm::encode(self.waiting.drain(..samples.min(self.waiting.len())));
        let start = std::mem::replace(&mut self.waits_from, block.range.end);
        let sound = self
            .source
            .push(start, &piece)
            .map_err(|error| anyhow!("{error}"))?;
        for one in sound {
            self.know(What::Sound(one.start, one.pcm, block.speech));
        }
        Ok(())
    }
}
