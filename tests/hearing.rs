//! How well speech is told from everything else: real speech alone and over music, and what is no speech at all.
// What was measured goes to the test's log.
#![allow(clippy::unwrap_used, clippy::print_stderr)]
use dub_tests::{
    NOISE_SEED,
    talk::{SPEECH_DB, Talk, music},
};
use media_judge::{dsp, noise::Reference};
use media_types::{MediaRange, MediaTime};
use speech_activity::{Block, Detector, PhraseEvent, Rules, Segmenter};

/// Probability from which a block counts as speech.
const SPOKEN: f32 = 0.5;
/// Prompts of the talk: some three minutes.
const PROMPTS: usize = 45;

fn hear(mono: &[f32]) -> Vec<Block> {
    let stereo: Vec<i16> = mono
        .iter()
        .flat_map(|sample| [(sample.clamp(-1.0, 1.0) * 32_767.0) as i16; 2])
        .collect();
    let mut detector = Detector::new().unwrap();
    let mut blocks = Vec::new();
    for (number, buffer) in stereo.chunks(2 * 1024).enumerate() {
        let start = MediaTime::from_frames(number as i64 * 1024);
        detector.push(start, buffer, &mut |block| blocks.push(block));
    }
    detector.finish(&mut |block| blocks.push(block));
    blocks
}

fn phrases(blocks: &[Block]) -> Vec<MediaRange> {
    let mut ranges = Vec::new();
    let mut tell = |event| match event {
        PhraseEvent::Began(_) => {}
        PhraseEvent::Ended(range) => ranges.push(range),
    };
    let mut segmenter = Segmenter::new(Rules::default());
    blocks.iter().for_each(|block| segmenter.push(*block, &mut tell));
    segmenter.finish(&mut tell);
    ranges
}

fn share_of_speech(blocks: &[Block]) -> f64 {
    let spoken = blocks.iter().filter(|block| SPOKEN <= block.speech).count();
    spoken as f64 / blocks.len() as f64
}

struct Quality {
    recall: f64,
    precision: f64,
    onset_ms: Vec<f64>,
    missed: usize,
    invented: usize,
}

impl Quality {
    fn of(talk: &Talk, sound: &[f32], name: &str) -> Self {
        let blocks = hear(sound);
        let (mut hits, mut said, mut truly) = (0.0, 0.0, 0.0);
        for (block, spoken) in blocks.iter().zip(talk.blocks()) {
            let heard = SPOKEN <= block.speech;
            hits += f64::from(u8::from(heard && spoken));
            said += f64::from(u8::from(heard));
            truly += f64::from(u8::from(spoken));
        }
        let found: Vec<(f64, f64)> = phrases(&blocks)
            .iter()
            .map(|range| (range.start.millis_f64(), range.end.millis_f64()))
            .collect();
        let expected = talk.phrases(Rules::default().hangover.millis_f64());
        let touch = |a: &(f64, f64), b: &(f64, f64)| a.0 < b.1 && b.0 < a.1;
        let (mut onset_ms, mut missed) = (Vec::new(), 0);
        for phrase in &expected {
            // The onset counts that lies nearest to the phrase's own, among all that are in it.
            let nearest = found
                .iter()
                .filter(|other| touch(phrase, other))
                .map(|other| other.0 - phrase.0)
                .min_by(|a, b| a.abs().total_cmp(&b.abs()));
            match nearest {
                Some(late) => onset_ms.push(late),
                None => missed += 1,
            }
        }
        let new = Self {
            recall: hits / truly,
            precision: hits / said,
            missed,
            invented: found
                .iter()
                .filter(|other| !expected.iter().any(|phrase| touch(phrase, other)))
                .count(),
            onset_ms,
        };
        eprintln!(
            "{name}: recall {:.3}, precision {:.3}; {} phrases spoken, {} found; onset off by {:+.0} ms (median), {:.0} ms \
             (median of sizes), {:.0} ms (95 %); {} missed, {} invented",
            new.recall,
            new.precision,
            expected.len(),
            found.len(),
            dsp::median(&new.onset_ms),
            new.onset_error_ms(0.5),
            new.onset_error_ms(0.95),
            new.missed,
            new.invented,
        );
        new
    }

    fn onset_error_ms(&self, share: f64) -> f64 {
        let sizes: Vec<f64> = self.onset_ms.iter().map(|late| late.abs()).collect();
        dsp::percentile(&sizes, share)
    }
}

#[test]
fn speech_alone_is_heard_where_it_is() {
    let talk = Talk::new(PROMPTS).unwrap();
    let quality = Quality::of(&talk, &talk.samples, "speech alone");
    assert!(quality.recall >= 0.95 && quality.precision >= 0.95);
    assert!(quality.onset_error_ms(0.5) <= 30.0 && quality.onset_error_ms(0.95) <= 100.0);
    assert_eq!((quality.missed, quality.invented), (0, 0));
}

#[test]
fn speech_10_db_above_music_is_heard_where_it_is() {
    let talk = Talk::new(PROMPTS).unwrap();
    for (name, bed) in music(120, SPEECH_DB - 10.0).unwrap() {
        let quality = Quality::of(&talk, &talk.over(&bed), &name);
        assert!(quality.recall >= 0.9 && quality.precision >= 0.9, "{name}");
        assert!(
            quality.onset_error_ms(0.5) <= 40.0 && quality.onset_error_ms(0.95) <= 150.0,
            "{name}"
        );
        assert!(quality.missed <= 1, "{name}");
    }
}

#[test]
fn quiet_speech_is_speech() {
    let talk = Talk::new(PROMPTS).unwrap();
    let quiet: Vec<f32> = talk.samples.iter().map(|sample| sample / 20.0).collect();
    let quality = Quality::of(&talk, &quiet, "speech at -45 dBFS");
    assert!(quality.recall >= 0.9 && quality.precision >= 0.95);
}

#[test]
fn what_is_no_speech_makes_no_phrases() {
    let silence = hear(&vec![0.0; 20 * 48_000]);
    let noise = hear(&Reference::new(NOISE_SEED, 30).samples);
    for (name, blocks) in [("silence", silence), ("coded noise", noise)] {
        let share = share_of_speech(&blocks);
        eprintln!("{name}: {:.1} % taken for speech", 100.0 * share);
        assert!(share == 0.0 && phrases(&blocks).is_empty(), "{name}");
    }
    for (name, sound) in music(120, SPEECH_DB).unwrap() {
        let blocks = hear(&sound);
        let (share, phrases) = (share_of_speech(&blocks), phrases(&blocks).len());
        eprintln!(
            "{name}: {:.1} % taken for speech, {phrases} phrases in 120 s",
            100.0 * share
        );
        assert!(share <= 0.02, "{name}");
    }
}

/// CPU time of this thread.
fn cpu_seconds() -> f64 {
    let accounts = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    accounts.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

#[test]
fn hearing_costs_little() {
    let talk = Talk::new(8).unwrap();
    let seconds = talk.samples.len() as f64 / 48_000.0;
    let begun = cpu_seconds();
    hear(&talk.samples);
    let cost = (cpu_seconds() - begun) / seconds;
    eprintln!("hearing takes {:.3} % of a core for each stream", 100.0 * cost);
    assert!(cost < 0.1, "{cost}");
}
