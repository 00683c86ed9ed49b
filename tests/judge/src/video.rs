//! Decoded pictures, small and grey, with their presentation times.

use crate::ffmpeg;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// Width of a decoded picture in cells.
pub const COLUMNS: usize = 64;
/// Height of a decoded picture in cells.
pub const ROWS: usize = 36;

/// Part of the width and height, from the upper left corner, that the makers keep black and flash white.
pub const PATCH_SHARE: (usize, usize) = (8, 6);
/// Mean luma of the patch from which a picture counts as lit.
const LIT: f64 = 128.0;

/// All pictures of one recording.
#[derive(Debug, Clone, Default)]
pub struct Pictures {
    /// Presentation time of each picture, in the order of presentation.
    pub pts_ms: Vec<f64>,
    /// One byte for each of `COLUMNS * ROWS` cells of each picture.
    pub luma: Vec<u8>,
}

impl Pictures {
    /// Decodes the first video track. Time stamps are kept as they are in the container; nothing is dropped or doubled.
    pub fn decode(path: &Path) -> Result<Self> {
        let filter = format!("scale={COLUMNS}:{ROWS}:flags=area,format=gray,showinfo");
        let mut command = ffmpeg::command("info");
        command.arg("-copyts").arg("-i").arg(path);
        command.args([
            "-map",
            "0:v:0",
            "-vf",
            &filter,
            "-fps_mode",
            "passthrough",
            "-f",
            "rawvideo",
            "pipe:1",
        ]);
        let output = ffmpeg::finish(&mut command)
            .with_context(|| format!("no picture could be decoded from {}", path.display()))?;
        let log = String::from_utf8_lossy(&output.stderr);
        let mut base = (1.0, 1000.0);
        let mut pts_ms = Vec::new();
        for line in log.lines().filter(|line| line.contains("_showinfo_")) {
            if let Some(text) = ffmpeg::field(line, "config in time_base: ") {
                base = ratio(text).unwrap_or(base);
            } else if let Some(pts) = ffmpeg::field(line, " pts:").filter(|_| line.contains(" n:")) {
                let pts: f64 = pts
                    .parse()
                    .with_context(|| format!("a picture without a time stamp: {line}"))?;
                pts_ms.push(pts * 1000.0 * base.0 / base.1);
            }
        }
        if pts_ms.is_empty() || output.stdout.len() != pts_ms.len() * COLUMNS * ROWS {
            bail!(
                "{}: {} time stamps for {} bytes of pictures",
                path.display(),
                pts_ms.len(),
                output.stdout.len()
            );
        }
        Ok(Self {
            pts_ms,
            luma: output.stdout,
        })
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.pts_ms.len()
    }

    /// Whether there is no picture.
    pub fn is_empty(&self) -> bool {
        self.pts_ms.is_empty()
    }

    /// Leaves out the last pictures: a recording that is cut off lacks some of them.
    pub fn without_last(mut self, count: usize) -> Self {
        self.pts_ms.truncate(self.len().saturating_sub(count));
        self.luma.truncate(self.len() * COLUMNS * ROWS);
        self
    }

    /// The cells of one picture.
    pub fn cells(&self, index: usize) -> &[u8] {
        &self.luma[index * COLUMNS * ROWS..(index + 1) * COLUMNS * ROWS]
    }

    /// Mean luma of the corner patch, its border left out.
    pub fn patch(&self, index: usize) -> f64 {
        let cells = self.cells(index);
        let (columns, rows) = (COLUMNS / PATCH_SHARE.0, ROWS / PATCH_SHARE.1);
        let mut sum = 0.0;
        for row in 1..rows - 1 {
            sum += cells[row * COLUMNS + 1..row * COLUMNS + columns - 1]
                .iter()
                .map(|cell| f64::from(*cell))
                .sum::<f64>();
        }
        sum / ((rows - 2) * (columns - 2)) as f64
    }

    /// Presentation time of the first picture of every flash of the corner patch.
    pub fn flashes(&self) -> Vec<f64> {
        let lit: Vec<bool> = (0..self.len()).map(|index| self.patch(index) >= LIT).collect();
        (1..self.len())
            .filter(|index| lit[*index] && !lit[index - 1])
            .map(|index| self.pts_ms[index])
            .collect()
    }
}

fn ratio(text: &str) -> Option<(f64, f64)> {
    let (up, down) = text.trim_end_matches(',').split_once('/')?;
    Some((up.parse().ok()?, down.parse().ok()?))
}
