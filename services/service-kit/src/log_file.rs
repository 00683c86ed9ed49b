//! Log files that stay bounded: by bytes a file, by number of files and by age. tracing-appender rotates by time
//! only, so the size bound lives here.
//!
//! * The file in use is `SERVICE[.RUN].INSTANCE.log`; full ones are `….0001.log`, `….0002.log`, and so on.
//! * Number and age count over all files of the service in the directory, so that restarts cannot pile up files. A
//!   file in use is locked by its process and is never removed by another one.
//! * The caller learns of every rotation, to make it visible as a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::telemetry::Identity;

/// How often old files are looked for when no rotation does it anyway.
const SWEEP_PERIOD: Duration = Duration::from_secs(3600);

/// The bounds of the log files of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes of one file. A line is never split, so one line longer than this makes one longer file.
    pub(crate) bytes_max: u64,
    /// Files of the service that are kept, the one in use included.
    pub(crate) files_max: usize,
    /// Age after which a file goes.
    pub(crate) age_max: Duration,
}

/// What a rotation or a sweep did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rotated {
    /// Where the full file is now; `None` for a sweep alone.
    pub(crate) kept_as: Option<PathBuf>,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// Files removed by number or age.
    pub(crate) removed: Vec<PathBuf>,
}

/// The file in use.
#[derive(Debug)]
pub(crate) struct LogFile {
    directory: PathBuf,
    service: String,
    stem: String,
    bounds: Bounds,
    file: File,
    bytes: u64,
    opened: Instant,
    swept: Instant,
    next_number: u32,
}

impl LogFile {
    /// Opens the file of `id` in `directory`, which must exist, and removes what is beyond the bounds.
    pub(crate) fn open(directory: &Path, id: &Identity, bounds: Bounds) -> io::Result<Self> {
        let service = file_word(id.service);
        let mut stem = service.clone();
        for part in id.run_id.iter().chain([&id.instance_id]) {
            stem.push('.');
            stem.push_str(&file_word(part));
        }
        let (file, bytes) = open_locked(&directory.join(format!("{stem}.log")))?;
        let next_number = 1 + highest_number(directory, &stem);
        let now = Instant::now();
        let mut opened = Self {
            directory: directory.to_owned(),
            service,
            stem,
            bounds,
            file,
            bytes,
            opened: now,
            swept: now,
            next_number,
        };
        opened.sweep();
        Ok(opened)
    }

    /// The path of the file in use.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(format!("{}.log", self.stem))
    }

    /// Makes room for a line of `length` bytes; tells what it had to do.
    pub(crate) fn make_room(&mut self, length: usize) -> io::Result<Option<Rotated>> {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let is_full = self.bytes > 0 && self.bytes.saturating_add(length) > self.bounds.bytes_max;
        let is_old = self.bytes > 0 && self.opened.elapsed() > self.bounds.age_max;
        if is_full || is_old {
            return self.rotate().map(Some);
        }
        if self.swept.elapsed() > SWEEP_PERIOD {
            let removed = self.sweep();
            return Ok((!removed.is_empty()).then_some(Rotated {
                kept_as: None,
                bytes: 0,
                removed,
            }));
        }
        Ok(None)
    }

    /// Appends a whole line.
    pub(crate) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(line)?;
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<Rotated> {
        let kept_as = self
            .directory
            .join(format!("{}.{:04}.log", self.stem, self.next_number));
        std::fs::rename(self.path(), &kept_as)?;
        let bytes = self.bytes;
        self.next_number = self.next_number.saturating_add(1);
        // The old file loses its lock here and counts as any other one from now on.
        (self.file, self.bytes) = open_locked(&self.path())?;
        self.opened = Instant::now();
        let removed = self.sweep();
        Ok(Rotated {
            kept_as: Some(kept_as),
            bytes,
            removed,
        })
    }

    /// Removes the files beyond number or age, oldest first, and skips those in use.
    fn sweep(&mut self) -> Vec<PathBuf> {
        self.swept = Instant::now();
        let mut files = files_of(&self.directory, &self.service);
        files.sort();
        let mut surplus = files.len().saturating_sub(self.bounds.files_max);
        let mut removed = Vec::new();
        for (modified, path) in files {
            let age = SystemTime::now().duration_since(modified).unwrap_or_default();
            if surplus == 0 && age <= self.bounds.age_max {
                continue;
            }
            if path != self.path() && is_free(&path) && std::fs::remove_file(&path).is_ok() {
                removed.push(path);
                surplus = surplus.saturating_sub(1);
            }
        }
        removed
    }
}

/// Opens for appending and locks. A lock that another process holds is not waited for: two processes with the same
/// identity share the file rather than lose their logs.
fn open_locked(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let _ = file.try_lock();
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

fn is_free(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// The log files of `service`, with the time of their last line.
fn files_of(directory: &Path, service: &str) -> Vec<(SystemTime, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let is_ours = name.strip_prefix(service)?.starts_with('.') && name.ends_with(".log");
            is_ours.then_some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect()
}

fn highest_number(directory: &Path, stem: &str) -> u32 {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_prefix(stem)?
                .strip_prefix('.')?
                .strip_suffix(".log")?
                .parse()
                .ok()
        })
        .max()
        .unwrap_or(0)
}

/// A name's part without separators: dots separate the parts.
fn file_word(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
                c
            } else {
                '-'
            }
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LINE: &[u8] = b"0123456789012345678\n";
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    fn identity(instance: &str) -> Identity {
        Identity {
            service: "media-edge",
            instance_id: instance.to_owned(),
            stream_id: None,
            run_id: Some("run/1".to_owned()),
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn write_lines(log: &mut LogFile, count: usize) -> Vec<Rotated> {
        (0..count)
            .filter_map(|_| {
                let rotated = log.make_room(LINE.len()).unwrap();
                log.append(LINE).unwrap();
                rotated
            })
            .collect()
    }

    #[test]
    fn the_file_is_named_with_service_run_and_instance() {
        let directory = tempfile::tempdir().unwrap();
        let bounds = Bounds {
            bytes_max: 100,
            files_max: 3,
            age_max: WEEK,
        };
        let log = LogFile::open(directory.path(), &identity("edge:2"), bounds).unwrap();
        assert_eq!(log.path().file_name().unwrap(), "media-edge.run-1.edge-2.log");
    }

    #[test]
    fn a_full_file_is_kept_under_a_number_and_only_the_newest_stay() {
        let directory = tempfile::tempdir().unwrap();
        let bounds = Bounds {
            bytes_max: 40,
            files_max: 3,
            age_max: WEEK,
        };
        let mut log = LogFile::open(directory.path(), &identity("e1"), bounds).unwrap();

        let rotations = write_lines(&mut log, 9);

        assert_eq!(rotations.len(), 4);
        assert!(rotations.iter().all(|r| r.bytes == 40));
        assert_eq!(rotations[3].removed.len(), 1);
        let kept = names(directory.path());
        assert_eq!(
            kept,
            [
                "media-edge.run-1.e1.0003.log",
                "media-edge.run-1.e1.0004.log",
                "media-edge.run-1.e1.log"
            ]
        );
        assert!(
            kept.iter()
                .all(|name| directory.path().join(name).metadata().unwrap().len() <= 40)
        );
    }

    #[test]
    fn a_restart_goes_on_in_the_same_file_and_with_the_next_number() {
        let directory = tempfile::tempdir().unwrap();
        let bounds = Bounds {
            bytes_max: 40,
            files_max: 9,
            age_max: WEEK,
        };
        drop(write_lines(
            &mut LogFile::open(directory.path(), &identity("e1"), bounds).unwrap(),
            3,
        ));

        let mut again = LogFile::open(directory.path(), &identity("e1"), bounds).unwrap();
        write_lines(&mut again, 2);

        assert_eq!(
            names(directory.path()),
            [
                "media-edge.run-1.e1.0001.log",
                "media-edge.run-1.e1.0002.log",
                "media-edge.run-1.e1.log"
            ]
        );
    }

    #[test]
    fn files_of_ended_processes_count_and_those_in_use_or_of_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        let bounds = Bounds {
            bytes_max: 40,
            files_max: 1,
            age_max: WEEK,
        };
        std::fs::write(
            directory.path().join("media-edge-worker.e1.log"),
            b"another service",
        )
        .unwrap();
        std::fs::write(directory.path().join("media-edge.ended.log"), b"ended").unwrap();
        let running = LogFile::open(directory.path(), &identity("running"), bounds).unwrap();

        let own = LogFile::open(directory.path(), &identity("own"), bounds).unwrap();

        let kept = names(directory.path());
        assert!(running.path().exists() && own.path().exists());
        assert!(!kept.contains(&"media-edge.ended.log".to_owned()), "{kept:?}");
        assert!(kept.contains(&"media-edge-worker.e1.log".to_owned()), "{kept:?}");
    }

    #[test]
    fn an_old_file_goes_whatever_the_number() {
        let directory = tempfile::tempdir().unwrap();
        let old = directory.path().join("media-edge.old.log");
        std::fs::write(&old, b"old").unwrap();
        let past = SystemTime::now() - Duration::from_secs(7200);
        File::options()
            .append(true)
            .open(&old)
            .unwrap()
            .set_modified(past)
            .unwrap();
        let bounds = Bounds {
            bytes_max: 40,
            files_max: 100,
            age_max: Duration::from_secs(3600),
        };

        let _log = LogFile::open(directory.path(), &identity("e1"), bounds).unwrap();

        assert!(!old.exists());
    }

    #[test]
    fn a_line_longer_than_a_file_is_written_whole() {
        let directory = tempfile::tempdir().unwrap();
        let bounds = Bounds {
            bytes_max: 10,
            files_max: 3,
            age_max: WEEK,
        };
        let mut log = LogFile::open(directory.path(), &identity("e1"), bounds).unwrap();
        assert_eq!(write_lines(&mut log, 1), vec![]);
        assert_eq!(std::fs::read(log.path()).unwrap(), LINE);
    }
}
