//! The table, and the bars as words in it.

use super::cell::Row;
use super::config::Config;
use super::variant::Variant;
use std::fmt::Write as _;

/// Bypass may cost this many times what ffmpeg costs.
const CPU_RATIO_MAX: f64 = 1.7;
/// Of 100 access units 95 leave within the hold and this.
const LATENCY_P95_MS_MAX: f64 = 350.0;

/// Everything as text.
pub fn render(config: &Config, rows: &[Row]) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(
        text,
        "\n720p30 H.264 at 2.5 Mbit/s (B-frames), speech over music in AAC 128 kbit/s, pre-encoded; RTMP in, RTMP out, one MediaMTX; {} s a row; {}\n\
         CPU: seconds of all its processes for a second of one stream (ours: serve, workers, ingests). Memory: MiB a stream.\n\
         Latency: from a reader of the input to a reader of the output, ms, same access unit; ours less the hold of {}.\n",
        config.measured.as_secs(),
        machine(),
        config.hold_text(),
    );
    let _ = writeln!(
        text,
        "{:>7}  {:<26} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7}  bars",
        "streams", "who", "CPU s/s", "xffmpeg", "RSS", "PSS", "p50", "p95"
    );
    for row in rows {
        let _ = writeln!(text, "{}", line(row, rows));
    }
    let _ = writeln!(
        text,
        "\nbars: bypass costs at most {CPU_RATIO_MAX} x ffmpeg; latency p95 at most the hold + {LATENCY_P95_MS_MAX} ms"
    );
    text
}

fn line(row: &Row, rows: &[Row]) -> String {
    let who = if row.is_dubber {
        "  its dubber".to_owned()
    } else {
        row.variant.to_string()
    };
    let ratio = ratio(row, rows);
    let ratio_text = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
    let latency = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"));
    let measured = row.latency.as_ref();
    let words = [bars(row, ratio), row.note.clone()];
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !word.is_empty())
        .collect();
    format!(
        "{:>7}  {who:<26} {:>8.4} {ratio_text:>7} {:>7.1} {:>7.1} {:>7} {:>7}  {}",
        row.streams,
        row.cpu,
        row.rss_mib,
        row.pss_mib,
        latency(measured.map(|latency| latency.p50_ms)),
        latency(measured.map(|latency| latency.p95_ms)),
        words.join("; "),
    )
    .trim_end()
    .to_owned()
}

/// CPU against ffmpeg's at the same number of streams.
fn ratio(row: &Row, rows: &[Row]) -> Option<f64> {
    let yardstick = rows
        .iter()
        .find(|other| other.streams == row.streams && other.variant == Variant::Ffmpeg)?;
    (yardstick.cpu > 0.0).then(|| row.cpu / yardstick.cpu)
}

fn bars(row: &Row, ratio: Option<f64>) -> String {
    if !row.variant.is_ours() || row.is_dubber {
        return String::new();
    }
    let word = |held: bool| if held { "pass" } else { "FAIL" };
    let mut words = Vec::new();
    if let Some(ratio) = ratio.filter(|_| row.variant == Variant::Bypass) {
        words.push(format!("CPU {}", word(ratio <= CPU_RATIO_MAX)));
    }
    if let Some(latency) = &row.latency {
        words.push(format!("latency {}", word(latency.p95_ms <= LATENCY_P95_MS_MAX)));
    }
    words.join(", ")
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, name)| name);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    format!(
        "{cores} cores of {}, load {load}",
        model.unwrap_or("an unknown kind")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_judge::arrivals::Latency;

    fn row(variant: Variant, cpu: f64, p95_ms: f64) -> Row {
        let latency = Some(Latency {
            p95_ms,
            ..Latency::default()
        });
        Row {
            streams: 4,
            variant,
            is_dubber: false,
            cpu,
            rss_mib: 1.0,
            pss_mib: 1.0,
            latency,
            note: String::new(),
        }
    }

    #[test]
    fn a_figure_past_its_bar_says_so() {
        let rows = [
            row(Variant::Ffmpeg, 0.01, 20.0),
            row(Variant::Bypass, 0.0171, 351.0),
            row(Variant::MockDub, 0.03, 349.0),
        ];
        assert_eq!(bars(&rows[1], ratio(&rows[1], &rows)), "CPU FAIL, latency FAIL");
        assert_eq!(bars(&rows[2], ratio(&rows[2], &rows)), "latency pass");
        assert_eq!(bars(&rows[0], ratio(&rows[0], &rows)), "");
        assert_eq!(
            bars(&row(Variant::Bypass, 0.0169, 350.0), Some(1.69)),
            "CPU pass, latency pass"
        );
    }
}
