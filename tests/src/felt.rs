//! What a reader of a stream felt, from the arrivals of its packets.
use anyhow::Result;
use media_judge::{
    Arrival, Recorder,
    arrivals::{Kind, Silence, longest_silence},
    units,
};
use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Between two beats of [`Pulse`].
const BEAT: Duration = Duration::from_millis(10);

/// The wall clock as arrivals carry it: milliseconds since 1970.
pub fn wall_ms() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64() * 1000.0)
}

/// The longest time without sound that began at `from_ms` or later.
pub fn longest_gap_of_sound(arrivals: &[Arrival], from_ms: f64) -> Silence {
    gap(arrivals, Kind::Audio, from_ms)
}

/// The longest time without a picture that began at `from_ms` or later.
pub fn longest_gap_of_picture(arrivals: &[Arrival], from_ms: f64) -> Silence {
    gap(arrivals, Kind::Video, from_ms)
}

fn gap(arrivals: &[Arrival], kind: Kind, from_ms: f64) -> Silence {
    let later: Vec<Arrival> = arrivals
        .iter()
        .copied()
        .filter(|arrival| arrival.at_ms >= from_ms)
        .collect();
    longest_silence(&later, Some(kind))
}

/// The pictures of one clip, by which they are known again wherever they show up.
pub struct Pictures(HashSet<u64>);

impl Pictures {
    /// Those of `clip`.
    pub fn of(clip: &Path) -> Result<Self> {
        Ok(Self(units::read(clip)?.iter().map(|unit| unit.hash).collect()))
    }

    /// Whether this packet is one of them.
    pub fn hold(&self, arrival: &Arrival) -> bool {
        arrival.kind == Kind::Video && self.0.contains(&arrival.hash)
    }

    /// Waits until a reader gets one of them.
    pub fn wait_for(&self, reader: &Recorder, at_most: Duration) -> Result<Arrival> {
        reader.wait_for(at_most, |arrival| self.hold(arrival))
    }

    /// How many of them a reader got.
    pub fn count_in(&self, arrivals: &[Arrival]) -> usize {
        arrivals.iter().filter(|arrival| self.hold(arrival)).count()
    }
}

/// Beats beside a test, and notes how late each beat came: a machine that has no time for this has none for a stream
/// either. It excuses nothing; it tells a stall of the machine from one of the air.
pub struct Pulse {
    is_over: Arc<AtomicBool>,
    late: Arc<Mutex<Vec<Silence>>>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    /// Begins to beat.
    pub fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let late = Arc::new(Mutex::new(Vec::new()));
        let (over, notes) = (Arc::clone(&is_over), Arc::clone(&late));
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let (from_ms, begun) = (wall_ms(), Instant::now());
                std::thread::sleep(BEAT);
                let ms = (begun.elapsed() - BEAT).as_secs_f64() * 1000.0;
                notes
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Silence { from_ms, ms });
            }
        });
        Self {
            is_over,
            late,
            thread: Some(thread),
        }
    }

    /// The longest stall so far.
    pub fn longest(&self) -> Silence {
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        late.iter()
            .copied()
            .max_by(|a, b| a.ms.total_cmp(&b.ms))
            .unwrap_or_default()
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
