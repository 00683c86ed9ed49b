//! A publisher as broadcasters have them: when its connection ends, it connects again.
use anyhow::Result;
use media_judge::{Publisher, publish::PublishOptions};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Between the end of a connection and the next one.
const PAUSE: Duration = Duration::from_millis(300);

/// Publishes until it is dropped.
pub struct Republisher {
    is_over: Arc<AtomicBool>,
    starts: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Republisher {
    /// Publishes `first`, and after every lost connection `then`, each from its beginning.
    pub fn start(first: PathBuf, then: PathBuf, url: String) -> Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let starts = Arc::new(AtomicU32::new(0));
        let (over, count) = (Arc::clone(&is_over), Arc::clone(&starts));
        let thread = std::thread::Builder::new()
            .name("republisher".into())
            .spawn(move || {
                let mut clip = first;
                while !over.load(Ordering::Relaxed) {
                    count.fetch_add(1, Ordering::Relaxed);
                    // A publisher that cannot connect ends soon, and the next one follows.
                    if let Ok(mut publisher) = Publisher::start(&clip, &url, &PublishOptions::default()) {
                        while !over.load(Ordering::Relaxed) && matches!(publisher.ended(), Ok(None)) {
                            std::thread::sleep(Duration::from_millis(20));
                        }
                    }
                    std::thread::sleep(PAUSE);
                    clip.clone_from(&then);
                }
            })?;
        Ok(Self {
            is_over,
            starts,
            thread: Some(thread),
        })
    }

    /// How often it has started to connect.
    pub fn starts(&self) -> u32 {
        self.starts.load(Ordering::Relaxed)
    }
}

impl Drop for Republisher {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
