//! Runs `ingest` as its worker would and tells what it hands over.
//!
//! `ingest_probe URL SECONDS [FOLDER]`: prints every frame that is no media and a summary; with a folder it keeps
//! `video.h264` (Annex B), `video.csv` and `audio.csv` (PTS and DTS in ns, bytes, flags) and `audio.s16`.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::expect_used)]
use media_edge::ingest::{IngestOrder, Protocol, run_from_stdin};
use media_edge::link::frames::{AccessUnit, Frame, read_frame};
use std::fs::File;
use std::io::{BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "child") {
        let code = run_from_stdin();
        return ExitCode::from(u8::try_from(code).unwrap_or(70));
    }
    let [url, seconds, folder @ ..] = args.as_slice() else {
        eprintln!("usage: ingest_probe URL SECONDS [FOLDER]");
        return ExitCode::from(64);
    };
    let protocol = match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("rtsp") => Protocol::Rtsp,
        Some("srt") => Protocol::Srt,
        Some(_) | None => Protocol::Rtmp,
    };
    let seconds = Duration::from_secs_f64(seconds.parse().expect("seconds"));
    probe(
        &IngestOrder::new(protocol, url),
        seconds,
        folder.first().map(Path::new),
    );
    ExitCode::SUCCESS
}

fn probe(order: &IngestOrder, seconds: Duration, folder: Option<&Path>) {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let born = Instant::now();
    let mut child = Command::new(std::env::current_exe().expect("own path"))
        .arg("child")
        .stdin(Stdio::piped())
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .expect("child starts");
    let mut stdin = child.stdin.take().expect("piped");
    writeln!(stdin, "{}", serde_json::to_string(order).expect("an order")).expect("order is written");
    let mut keep = folder.map(Keep::new);
    let mut reader = BufReader::new(ours);
    let (mut video, mut audio, mut pcm_bytes) = (0_u64, 0_u64, 0_usize);
    let mut first = None;
    while let Ok(Some(frame)) = read_frame(&mut reader) {
        let since = born.elapsed();
        match &frame {
            Frame::Video(unit) => {
                if video == 0 {
                    println!(
                        "{since:?} first video {} {} key {}",
                        unit.pts_ns, unit.dts_ns, unit.key
                    );
                }
                video += 1;
            }
            Frame::Audio {
                pts_ns,
                pcm,
                discontinuity,
            } => {
                if audio == 0 || *discontinuity {
                    println!("{since:?} audio at {pts_ns} discontinuity {discontinuity}");
                }
                (audio, pcm_bytes) = (audio + 1, pcm_bytes + pcm.len());
            }
            Frame::VideoConfig(config) => println!("{since:?} {}x{}", config.width, config.height),
            Frame::Connected(_) | Frame::Notice(_) | Frame::Ended(_) => println!("{since:?} {frame:?}"),
        }
        if let Some(keep) = &mut keep {
            keep.frame(&frame);
        }
        let start = *first.get_or_insert(since);
        if since - start > seconds {
            break;
        }
    }
    println!(
        "{video} access units, {audio} audio frames, {:.3} s of PCM",
        pcm_bytes as f64 / 192_000.0
    );
    let asked = Instant::now();
    drop(stdin);
    drop(reader);
    let status = child.wait().expect("child ends");
    println!(
        "child ended {:?} after {:?}: {status}",
        born.elapsed(),
        asked.elapsed()
    );
}

struct Keep {
    h264: File,
    video: File,
    s16: File,
    audio: File,
}

impl Keep {
    fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let file = |name: &str| File::create(folder.join(name)).expect("a file");
        Self {
            h264: file("video.h264"),
            video: file("video.csv"),
            s16: file("audio.s16"),
            audio: file("audio.csv"),
        }
    }

    fn frame(&mut self, frame: &Frame) {
        match frame {
            Frame::Video(unit) => self.unit(unit),
            Frame::Audio {
                pts_ns,
                pcm,
                discontinuity,
            } => {
                self.s16.write_all(pcm).expect("written");
                writeln!(self.audio, "{pts_ns},{},{}", pcm.len(), u8::from(*discontinuity)).expect("written");
            }
            Frame::VideoConfig(config) => self.parameters(&config.codec_data),
            Frame::Connected(_) | Frame::Notice(_) | Frame::Ended(_) => {}
        }
    }

    fn nal(&mut self, nal: &[u8]) {
        self.h264.write_all(&[0, 0, 0, 1]).expect("written");
        self.h264.write_all(nal).expect("written");
    }

    fn unit(&mut self, unit: &AccessUnit) {
        let mut rest = &unit.data[..];
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            self.nal(&tail[..length]);
            rest = &tail[length..];
        }
        let flags = (u8::from(unit.key), u8::from(unit.discontinuity));
        writeln!(
            self.video,
            "{},{},{},{},{}",
            unit.pts_ns,
            unit.dts_ns,
            unit.data.len(),
            flags.0,
            flags.1
        )
        .expect("written");
    }

    /// Parameter sets of an `AVCDecoderConfigurationRecord`.
    fn parameters(&mut self, record: &[u8]) {
        let mut at = 5;
        for mask in [0x1f, 0xff] {
            let sets = record.get(at).map_or(0, |count| count & mask);
            at += 1;
            for _ in 0..sets {
                let length = usize::from(u16::from_be_bytes([record[at], record[at + 1]]));
                self.nal(&record[at + 2..at + 2 + length]);
                at += 2 + length;
            }
        }
    }
}
