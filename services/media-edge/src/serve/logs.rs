//! Log lines of children go to the output of `serve` as they are. A reader of that output who stands still must not
//! stall a worker, so lines past the queue are dropped, and counted in one line of ours.

use anyhow::Context as _;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// Lines under way: a burst of every worker at once, about 200 kB. Full means that nobody reads the output.
const LINES_MAX: usize = 1_024;

/// Where workers hand in their lines.
#[derive(Clone)]
pub struct LogSink {
    lines_tx: mpsc::Sender<String>,
    dropped: Arc<AtomicU64>,
}

impl LogSink {
    /// Hands in one line, never waiting.
    pub fn try_line(&self, line: String) {
        if !line.is_empty() && self.lines_tx.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes the lines of all children.
pub struct LogTask<W> {
    lines_rx: mpsc::Receiver<String>,
    dropped: Arc<AtomicU64>,
    output: W,
}

/// The two ends.
pub fn channel<W: Write + Send + 'static>(output: W) -> (LogSink, LogTask<W>) {
    let (lines_tx, lines_rx) = mpsc::channel(LINES_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    (
        LogSink {
            lines_tx,
            dropped: Arc::clone(&dropped),
        },
        LogTask {
            lines_rx,
            dropped,
            output,
        },
    )
}

impl<W: Write + Send + 'static> LogTask<W> {
    /// Runs until every sink is gone and every line written, on a thread that may stand still with its reader.
    pub async fn run(self) -> anyhow::Result<()> {
        tokio::task::spawn_blocking(move || self.write_lines())
            .await
            .context("the writer of log lines panicked")?
    }

    fn write_lines(mut self) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        while self.lines_rx.blocking_recv_many(&mut lines, LINES_MAX) > 0 {
            // One write for a whole batch of whole lines: our own log lines cannot land inside one of them.
            let mut text = String::new();
            for line in lines.drain(..) {
                text.push_str(&line);
                text.push('\n');
            }
            self.output.write_all(text.as_bytes())?;
            self.output.flush()?;
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                tracing::warn!(
                    lines = dropped,
                    "log lines of workers dropped, the output is not read fast enough"
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Read;

    #[tokio::test]
    async fn lines_pass_as_they_are() {
        let (mut reader, output) = std::io::pipe().unwrap();
        let (sink, task) = channel(output);
        for line in ["{\"a\":1}", "", "plain"] {
            sink.try_line(line.to_owned());
        }
        drop(sink);
        task.run().await.unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "{\"a\":1}\nplain\n");
    }

    #[test]
    fn a_full_queue_never_waits() {
        let (sink, task) = channel(std::io::sink());
        for _ in 0..LINES_MAX + 3 {
            sink.try_line("x".to_owned());
        }
        assert_eq!(task.dropped.load(Ordering::Relaxed), 3);
    }
}
