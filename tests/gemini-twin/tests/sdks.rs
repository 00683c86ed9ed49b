//! Google's own SDKs hold sessions with the twin and notice nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gemini_twin::tones::ANSWER;
use gemini_twin::{listen, mark};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PYTHON_SDK: &str = "google-genai==3.4.0";
const JS_SDK: &str = "@google/genai@2.32.0";

/// Ten phrases in two halves of eight seconds: noise with pauses, marked.
fn programme() -> Vec<u8> {
    let mut sound = vec![0.0_f32; 16_000 * 16];
    let mut state = 3_u32;
    for number in 0..10_u16 {
        let start = usize::from(number % 5) * 22_400 + usize::from(number / 5) * 128_000 + 4_800;
        for sample in &mut sound[start..start + 16_000] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample = (f64::from(state) / f64::from(u32::MAX) - 0.5) as f32 * 0.1;
        }
        mark::mark(&mut sound, 16_000, (start, start + 16_000), 101 + number);
    }
    sound
        .iter()
        .flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes())
        .collect()
}

/// Ends the twin with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A twin with its authority in `folder`, and its port.
fn twin(folder: &Path) -> (Running, String) {
    let scenario = folder.join("scenario.toml");
    let text = "[life]\ngo_away_after = \"10s\"\nclose_after = \"30s\"\nhandle_every = \"1s\"\n[voice]\njitter = \"100ms\"\n";
    std::fs::write(&scenario, text).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gemini-twin"))
        .args(["--listen", "127.0.0.1:0", "--tls"])
        .arg(folder)
        .arg("--scenario")
        .arg(&scenario)
        .arg("--journal")
        .arg(folder.join("journal.jsonl"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let port = line.trim().rsplit(':').next().unwrap().to_owned();
    (Running(child), port)
}

/// Folder that keeps the SDKs from one run to the next.
fn cache() -> PathBuf {
    let folder = |key: &str| std::env::var_os(key).map(PathBuf::from);
    let root = folder("DUB_CACHE_DIR")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("dub")))
        .or_else(|| Some(folder("HOME")?.join(".cache/dub")))
        .expect("DUB_CACHE_DIR or HOME says where the SDKs are kept");
    root.join("google-sdks")
}

fn run(command: &mut Command, remedy: &str) {
    let shown = format!("{command:?}");
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{shown}: {error}\nwhat to do: {remedy}"));
    assert!(
        output.status.success(),
        "{shown}: {}\n{}{}\nwhat to do: {remedy}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Installs into a folder whose name says the version, so that an interrupted or another installation is never used.
fn installed(name: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let folder = cache().join(name);
    let done = folder.join("installed");
    if !done.exists() {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        install(&folder);
        std::fs::write(&done, "").unwrap();
    }
    folder
}

fn python() -> PathBuf {
    let folder = installed("python-genai-3.4.0", |folder| {
        run(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(folder.join("venv")),
            "install python3 and python3-venv",
        );
        run(
            Command::new(folder.join("venv/bin/pip")).args(["install", "--quiet", PYTHON_SDK]),
            "let pip reach its package index",
        );
    });
    folder.join("venv/bin/python")
}

fn javascript() -> PathBuf {
    installed("js-genai-2.32.0", |folder| {
        std::fs::write(folder.join("package.json"), "{\"private\": true}").unwrap();
        run(
            Command::new("npm")
                .args(["install", "--silent", "--no-audit", "--no-fund", JS_SDK])
                .current_dir(folder),
            "install Node.js 20 or newer with npm, and let npm reach its registry",
        );
    })
}

/// What a session saw, and the sound that it got.
fn judge(name: &str, child: Child, sound: &Path) {
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {errors}");
    assert!(
        !errors.contains("Traceback") && !errors.contains("Error"),
        "{name}: {errors}"
    );
    let seen: Value = serde_json::from_slice(&output.stdout).expect(name);
    assert_eq!(
        seen["sessions"], 2,
        "{name}: the second one resumed the first: {seen}"
    );
    assert_eq!(
        seen["go_away"],
        serde_json::json!(["20s", "20s"]),
        "{name}: {seen}"
    );
    assert!(seen["usage"].as_u64().unwrap() > 0, "{name}: {seen}");
    for number in 101..=110 {
        assert!(
            seen["input"]
                .as_str()
                .unwrap()
                .contains(&format!("Phrase {number} ")),
            "{name}: {seen}"
        );
        assert!(
            seen["output"]
                .as_str()
                .unwrap()
                .contains(&format!("Frase {number} ")),
            "{name}: {seen}"
        );
    }
    let turns = if name.contains("dialogue") { 2 } else { 0 };
    assert_eq!(seen["turn_complete"], turns, "{name}: {seen}");
    assert_eq!(seen["generation_complete"], turns, "{name}: {seen}");
    let bytes = std::fs::read(sound).unwrap();
    let samples: Vec<f32> = bytes
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32_768.0)
        .collect();
    let heard = listen::summary(&listen::phrases(&listen::cells(&samples, 24_000, ANSWER)));
    assert_eq!(
        heard.whole,
        (101..=110).collect::<Vec<u16>>(),
        "{name}: {heard:?}"
    );
    assert!(
        heard.doubled.is_empty() && heard.out_of_order.is_empty(),
        "{name}: {heard:?}"
    );
}

#[test]
fn googles_own_sdks_hold_translate_and_dialogue_sessions_over_goaway_and_resumption() {
    let (python, javascript) = (python(), javascript());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("programme.pcm"), programme()).unwrap();
    let (_twin, port) = twin(folder);
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdks");
    let mut sessions = Vec::new();
    for family in ["translate", "dialogue"] {
        for language in ["python", "js"] {
            let name = format!("{language} {family}");
            let sound = folder.join(format!("{language}-{family}.pcm"));
            let mut command = if language == "python" {
                let mut command = Command::new(&python);
                command
                    .arg("-W")
                    .arg("error::RuntimeWarning")
                    .arg(scripts.join("session.py"));
                command
            } else {
                let mut command = Command::new("node");
                command.arg(scripts.join("session.mjs"));
                command
            };
            let child = command
                .args([family, &port])
                .arg(folder.join("programme.pcm"))
                .arg(&sound)
                .env("SSL_CERT_FILE", folder.join("ca.pem"))
                .env("NODE_EXTRA_CA_CERTS", folder.join("ca.pem"))
                .env("SDK_DIR", &javascript)
                .env("NO_PROXY", "localhost")
                .env("no_proxy", "localhost")
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            sessions.push((name, child, sound));
        }
    }
    for (name, child, sound) in sessions {
        judge(&name, child, &sound);
    }
    let journal = std::fs::read_to_string(folder.join("journal.jsonl")).unwrap();
    assert_eq!(journal.matches("\"opened\"").count(), 8, "{journal}");
    assert!(!journal.contains("SDK_TEST_KEY"), "the key is nowhere");
    for line in journal.lines().filter(|line| line.contains("\"closed\"")) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(
            matches!(line["closed"].as_u64(), Some(1000 | 1005)),
            "every close was the client's: {line}"
        );
    }
}
