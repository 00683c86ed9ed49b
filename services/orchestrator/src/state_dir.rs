//! What outlives this process: one small file per stream in `ORCH_STATE_DIR`, written beside everything else.
//!
//! A stream's task says what is to be kept ([`Keeper::keep`]) and never waits; one task writes ([`KeeperTask`]). Each
//! write is a temporary file, synced, renamed. A disk that fails costs one error line, a count, and another try every
//! few seconds: streams go on. Files that somebody deletes are written again while their stream lives.

use crate::metrics::Metrics;
use media_types::{FragmentSeq, RunId, StreamId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stream_lifecycle::{Memory, RememberedRun};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Form of the files. One of another form is set aside, not guessed at.
const VERSION: u32 = 1;
const SUFFIX: &str = ".json";
const UNFINISHED: &str = ".json.tmp";
const SET_ASIDE: &str = ".json.corrupt";
/// Between two looks at what could not be written, and at files that somebody deleted.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Longest wait of an operator's answer for the disk.
const SETTLE_MAX: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StreamFile {
    version: u32,
    stream_id: StreamId,
    source_id: String,
    stopped_by_operator: bool,
    run: Option<RunEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RunEntry {
    run_id: RunId,
    epoch: u32,
    last_fragment_seq: FragmentSeq,
}

fn encode(id: &StreamId, memory: &Memory) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&StreamFile {
        version: VERSION,
        stream_id: id.clone(),
        source_id: memory.source_id.clone(),
        stopped_by_operator: memory.halted,
        run: memory.run.as_ref().map(|run| RunEntry {
            run_id: run.id.clone(),
            epoch: run.epoch,
            last_fragment_seq: run.last_fragment_seq,
        }),
    })
}

/// Nothing where the bytes are no such file, or that of another stream.
fn decode(id: &StreamId, bytes: &[u8]) -> Option<Memory> {
    let file: StreamFile = serde_json::from_slice(bytes).ok()?;
    (file.version == VERSION && file.stream_id == *id).then(|| Memory {
        source_id: file.source_id,
        halted: file.stopped_by_operator,
        run: file.run.map(|run| RememberedRun {
            id: run.run_id,
            epoch: run.epoch,
            last_fragment_seq: run.last_fragment_seq,
        }),
    })
}

/// The folder and what is to stand in it.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    kept: BTreeMap<StreamId, Memory>,
}

impl Folder {
    /// Reads and tidies the folder: unfinished files go, files that make no sense are set aside, others are left alone.
    fn open(path: PathBuf) -> io::Result<Self> {
        let mut kept = BTreeMap::new();
        let mut corrupt = Vec::new();
        for entry in fs::read_dir(&path)? {
            let file = entry?.path();
            let Some(name) = file.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if name.ends_with(UNFINISHED) {
                remove(&file)?;
            } else if let Some(id) = name.strip_suffix(SUFFIX) {
                let id = StreamId::new(id).ok();
                let bytes = fs::read(&file).unwrap_or_default();
                match id.and_then(|id| decode(&id, &bytes).map(|memory| (id, memory))) {
                    Some((id, memory)) => drop(kept.insert(id, memory)),
                    None => corrupt.push(file),
                }
            }
        }
        for file in &corrupt {
            fs::rename(file, file.with_extension(SET_ASIDE.trim_start_matches('.')))?;
        }
        if !corrupt.is_empty() {
            tracing::warn!(files = ?corrupt, "state of these streams cannot be read and is set aside as *{SET_ASIDE}");
        }
        Ok(Self { path, kept })
    }

    fn file(&self, id: &StreamId, suffix: &str) -> PathBuf {
        self.path.join(format!("{id}{suffix}"))
    }

    /// Writes what has changed and what has vanished; what could not be written is given back with the first reason.
    fn write(&mut self, mut changed: Pending) -> Result<(), (Pending, io::Error)> {
        for (id, memory) in &self.kept {
            if !changed.contains_key(id) && !self.file(id, SUFFIX).exists() {
                changed.insert(id.clone(), Some(memory.clone()));
            }
        }
        let mut failed = Pending::new();
        let mut reason = None;
        for (id, memory) in changed {
            match self.write_one(&id, memory.as_ref()) {
                Ok(()) => {
                    match memory {
                        Some(memory) => self.kept.insert(id, memory),
                        None => self.kept.remove(&id),
                    };
                }
                Err(error) => {
                    reason.get_or_insert(error);
                    failed.insert(id, memory);
                }
            }
        }
        reason.map_or(Ok(()), |reason| Err((failed, reason)))
    }

    fn write_one(&self, id: &StreamId, memory: Option<&Memory>) -> io::Result<()> {
        let file = self.file(id, SUFFIX);
        let Some(memory) = memory else {
            return remove(&file);
        };
        fs::create_dir_all(&self.path)?;
        let unfinished = self.file(id, UNFINISHED);
        let mut writing = File::create(&unfinished)?;
        writing.write_all(&encode(id, memory)?)?;
        writing.sync_all()?;
        fs::rename(&unfinished, &file)?;
        // The new name is on the disk when its folder is.
        File::open(&self.path)?.sync_all()
    }
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What is to be written: a memory, or nothing where a file is to go.
type Pending = BTreeMap<StreamId, Option<Memory>>;

#[derive(Debug, Default)]
struct Waiting {
    changes: Pending,
    /// Changes so far.
    asked: u64,
}

#[derive(Debug)]
struct Desk {
    waiting: Mutex<Waiting>,
    changed: Notify,
    /// Changes that were written, or tried.
    done: watch::Sender<u64>,
}

impl Desk {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes what is to be kept; cheap to clone. The default one keeps nothing.
#[derive(Clone, Debug, Default)]
pub struct Keeper(Option<Arc<Desk>>);

impl Keeper {
    /// Reads the folder: who writes into it, and what it held.
    ///
    /// # Errors
    /// When the folder cannot be read or tidied.
    pub fn open(
        path: PathBuf,
        metrics: Metrics,
    ) -> io::Result<(Self, KeeperTask, BTreeMap<StreamId, Memory>)> {
        let folder = Folder::open(path)?;
        let found = folder.kept.clone();
        let desk = Arc::new(Desk {
            waiting: Mutex::default(),
            changed: Notify::new(),
            done: watch::Sender::new(0),
        });
        let task = KeeperTask {
            desk: Arc::clone(&desk),
            folder: Some(folder),
            metrics,
            is_failing: false,
        };
        Ok((Self(Some(desk)), task, found))
    }

    /// Keeps a memory, or removes what was kept. Only the newest of a stream counts.
    pub fn keep(&self, id: &StreamId, memory: Option<Memory>) {
        let Some(desk) = &self.0 else { return };
        let mut waiting = desk.waiting();
        waiting.changes.insert(id.clone(), memory);
        waiting.asked = waiting.asked.saturating_add(1);
        drop(waiting);
        desk.changed.notify_one();
    }

    /// Waits until what was handed in so far is on the disk, or has failed, or takes too long.
    pub async fn settled(&self) {
        let Some(desk) = &self.0 else { return };
        let asked = desk.waiting().asked;
        let mut done = desk.done.subscribe();
        // A disk that takes longer is said elsewhere; the order itself is in force.
        let _ = tokio::time::timeout(SETTLE_MAX, done.wait_for(|done| asked <= *done)).await;
    }
}

/// Writes.
#[derive(Debug)]
pub struct KeeperTask {
    desk: Arc<Desk>,
    /// Away while it is being written to.
    folder: Option<Folder>,
    metrics: Metrics,
    is_failing: bool,
}

impl KeeperTask {
    /// Writes until the token is cancelled, and once more then.
    ///
    /// # Errors
    /// When a write panics.
    pub async fn run(mut self, token: CancellationToken) -> anyhow::Result<()> {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = token.cancelled() => return self.write().await,
                () = self.desk.changed.notified() => {}
                _ = looks.tick() => {}
            }
            self.write().await?;
        }
    }

    async fn write(&mut self) -> anyhow::Result<()> {
        let Some(mut folder) = self.folder.take() else {
            return Ok(());
        };
        let (changes, asked) = {
            let mut waiting = self.desk.waiting();
            (std::mem::take(&mut waiting.changes), waiting.asked)
        };
        let writing = tokio::task::spawn_blocking(move || (folder.write(changes), folder));
        let (written, folder) = writing.await?;
        let path = folder.path.display().to_string();
        self.folder = Some(folder);
        match written {
            Ok(()) if self.is_failing => {
                tracing::info!(path, "state is kept again");
                self.is_failing = false;
            }
            Ok(()) => {}
            Err((failed, error)) => {
                self.metrics.state_write_failures.inc();
                if !self.is_failing {
                    let remedy = "give ORCH_STATE_DIR room and the rights of this process's user";
                    tracing::error!(path, %error, remedy, "state cannot be kept; streams go on without");
                }
                self.is_failing = true;
                let mut waiting = self.desk.waiting();
                for (id, memory) in failed {
                    // What has changed meanwhile is newer.
                    waiting.changes.entry(id).or_insert(memory);
                }
            }
        }
        self.desk.done.send_replace(asked);
        Ok(())
    }
}
