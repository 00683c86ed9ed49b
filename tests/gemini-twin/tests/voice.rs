//! The code survives what happens to sound on its way: other rates, AAC, speech and music over and under it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gemini_twin::code::Cell;
use gemini_twin::ear::Ear;
use gemini_twin::listen::{cells, phrases, read, summary};
use gemini_twin::mark;
use gemini_twin::tones::{ANSWER, SOURCE};
use gemini_twin::voice::{Line, Spoken, Timbre};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs ffmpeg; it is what a programme's sound goes through outside of this test too.
fn ffmpeg(arguments: &[&str]) {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(arguments)
        .output();
    let output = output.unwrap_or_else(|error| panic!("ffmpeg: {error}; install it"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

/// Real recorded speech and music where this machine has them, else noise with the loudness of speech.
fn first(folder: &str, ending: &str, at_least: u64) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    files.retain(|file| {
        file.to_string_lossy().ends_with(ending) && file.metadata().is_ok_and(|data| data.len() >= at_least)
    });
    files.sort();
    files
}

/// A minute of speech with pauses, 48 kHz.
fn speech(folder: &Path) -> String {
    let out = path(folder, "speech.wav");
    let files = first("/usr/share/asterisk/sounds/en_US_f_Allison", ".g722", 24_000);
    if files.is_empty() {
        let noise = "anoisesrc=d=60:c=pink:r=48000:a=0.3:seed=4,volume='if(lt(mod(t,3),2.3),1,0)':eval=frame";
        ffmpeg(&["-f", "lavfi", "-i", noise, &out]);
        return out;
    }
    let list: String = files
        .iter()
        .take(30)
        .map(|file| format!("file '{}'\n", file.display()))
        .collect();
    let wavs = path(folder, "list.txt");
    std::fs::write(&wavs, list).unwrap();
    ffmpeg(&[
        "-f", "concat", "-safe", "0", "-i", &wavs, "-t", "60", "-ar", "48000", "-ac", "1", &out,
    ]);
    out
}

/// A minute of music, 48 kHz.
fn music(folder: &Path) -> String {
    let out = path(folder, "music.wav");
    match first("/usr/share/asterisk/moh", ".wav", 1_000_000).first() {
        Some(file) => ffmpeg(&[
            "-i",
            file.to_str().unwrap(),
            "-t",
            "60",
            "-ar",
            "48000",
            "-ac",
            "1",
            &out,
        ]),
        None => ffmpeg(&[
            "-f",
            "lavfi",
            "-i",
            "anoisesrc=d=60:c=brown:r=48000:a=0.5:seed=8",
            &out,
        ]),
    }
    out
}

fn write(file: &str, samples: &[f32], rate: u32) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(file, spec).unwrap();
    for sample in samples {
        writer
            .write_sample((sample.clamp(-1.0, 1.0) * 32_767.0) as i16)
            .unwrap();
    }
    writer.finalize().unwrap();
}

/// Marked speech over music at -12 dB, as a programme arrives at a provider: AAC at 128 kbit/s, then 16 kHz.
fn programme(folder: &Path) -> (Vec<u16>, String) {
    let (mut sound, rate) = read(Path::new(&speech(folder))).unwrap();
    let marked = mark::mark_all(&mut sound, rate, 201);
    write(&path(folder, "marked.wav"), &sound, rate);
    let (marked_file, music, aac) = (
        path(folder, "marked.wav"),
        music(folder),
        path(folder, "programme.m4a"),
    );
    let mix = "[1]volume=-12dB[m];[0][m]amix=normalize=0:duration=first";
    ffmpeg(&[
        "-i",
        &marked_file,
        "-i",
        &music,
        "-filter_complex",
        mix,
        "-ac",
        "2",
        "-c:a",
        "aac",
        "-b:a",
        "128k",
        &aac,
    ]);
    (marked.into_iter().map(|(number, _)| number).collect(), aac)
}

#[test]
fn marks_of_source_phrases_survive_music_aac_and_16_khz() {
    let folder = tempfile::tempdir().unwrap();
    let (numbers, aac) = programme(folder.path());
    assert!(numbers.len() >= 8, "{numbers:?}");
    let wire = path(folder.path(), "wire.wav");
    ffmpeg(&["-i", &aac, "-ac", "1", "-ar", "16000", &wire]);
    let (sound, rate) = read(Path::new(&wire)).unwrap();
    let heard = summary(&phrases(&cells(&sound, rate, SOURCE)));
    assert_eq!(heard.whole, numbers, "{heard:?}");
    let pieces = Ear::new(SOURCE, rate)
        .hear(&sound)
        .into_iter()
        .filter(|it| it.piece.is_some());
    assert_eq!(pieces.count(), 0, "nothing is taken for a cell that was cut");
    assert!(
        heard.partial.is_empty() && heard.doubled.is_empty() && heard.out_of_order.is_empty(),
        "{heard:?}"
    );
}

#[test]
fn the_twins_voice_survives_48_khz_a_bed_at_minus_15_db_and_aac() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut line = Line::default();
    let (mut start, mut numbers) = (12_000, Vec::new());
    for number in 301..=325_u16 {
        numbers.push(number);
        let parts = (number % 6) as u8 + 2;
        for part in 0..parts {
            // Parts of 0.22 to 0.5 s.
            let samples = 5_280 + u64::from(number % 5) * 1_680;
            line.put(Spoken {
                cell: Cell { number, part, parts },
                piece: None,
                start,
                samples,
                timbre: Timbre::Low,
            });
            start += samples;
        }
        start += u64::from(number % 3) * 6_000;
    }
    let samples: Vec<f32> = line
        .render(0, start + 24_000)
        .iter()
        .map(|it| f32::from(*it) / 32_768.0)
        .collect();
    write(&path(folder, "voice.wav"), &samples, 24_000);
    let (_, bed) = programme(folder);
    let (voice, dub, wav) = (
        path(folder, "voice.wav"),
        path(folder, "dub.m4a"),
        path(folder, "dub.wav"),
    );
    let mix = "[0]aresample=48000[v];[1]volume=-15dB[b];[v][b]amix=normalize=0:duration=first";
    ffmpeg(&[
        "-i",
        &voice,
        "-i",
        &bed,
        "-filter_complex",
        mix,
        "-ac",
        "2",
        "-c:a",
        "aac",
        "-b:a",
        "128k",
        &dub,
    ]);
    ffmpeg(&["-i", &dub, &wav]);
    let (sound, rate) = read(Path::new(&wav)).unwrap();
    assert_eq!(rate, 48_000);
    let heard = summary(&phrases(&cells(&sound, rate, ANSWER)));
    assert_eq!(heard.whole, numbers, "{heard:?}");
    assert!(
        heard.partial.is_empty() && heard.doubled.is_empty() && heard.out_of_order.is_empty(),
        "{heard:?}"
    );
    // The bed's own marks do not speak for the twin: where the voice is silent, nothing is heard.
    let (bed_alone, rate) = {
        ffmpeg(&["-i", &bed, "-ac", "1", "-ar", "48000", &wav]);
        read(Path::new(&wav)).unwrap()
    };
    assert_eq!(
        cells(&bed_alone, rate, ANSWER),
        Vec::new(),
        "nobody answers in the programme itself"
    );
}
