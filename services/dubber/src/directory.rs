//! Who is dubbing, for an operator to see: the sessions that are open and those that ended lately.
//!
//! * A session writes its own view into a watch channel and never waits for a reader; a slow reader misses steps
//!   in between, never the last one.
//! * The table of views is a value too, exchanged whole when a session opens: readers hold a snapshot, no lock.
//! * A view is the message of the wire itself. Nothing decides by it, and it has neither words nor audio.
use dub_proto::convert::timestamp_to_wire;
use dub_proto::dub::v1::{Session, SessionState};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// Ended sessions that are kept: enough to look back at an evening, and little memory.
const ENDED_MAX: usize = 100;
/// How long an ended session is kept.
const ENDED_FOR: Duration = Duration::from_secs(600);

/// Views by session id. Ids are made of their time first, so the order is the order of opening.
pub type Table = BTreeMap<String, watch::Receiver<Session>>;

/// The table of sessions.
#[derive(Debug, Default)]
pub struct Directory {
    table: watch::Sender<Arc<Table>>,
}

/// A session's own view; closed when it is dropped.
#[derive(Debug)]
pub struct View(watch::Sender<Session>);

impl View {
    /// Changes the view.
    pub fn update(&self, change: impl FnOnce(&mut Session)) {
        self.0.send_modify(change);
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.0.send_modify(|session| {
            session.state = SessionState::Closed.into();
            session.closed_at = Some(timestamp_to_wire(SystemTime::now()));
            session.in_flight = Some(prost_types::Duration::default());
        });
    }
}

impl Directory {
    /// A session opened. Old ended ones make room.
    pub fn enter(&self, session: Session) -> View {
        let id = session.session_id.clone();
        let (view, receiver) = watch::channel(session);
        self.table.send_modify(|table| {
            let table = Arc::make_mut(table);
            let now = SystemTime::now();
            table.retain(|_, receiver| !is_stale(&receiver.borrow(), now));
            let ended: Vec<String> = table
                .iter()
                .filter(|(_, receiver)| is_closed(&receiver.borrow()))
                .map(|(id, _)| id.clone())
                .collect();
            for oldest in ended.iter().take((ended.len() + 1).saturating_sub(ENDED_MAX)) {
                table.remove(oldest);
            }
            table.insert(id, receiver);
        });
        View(view)
    }

    /// One session.
    pub fn get(&self, session_id: &str) -> Option<Session> {
        let table = self.snapshot();
        let session = table.get(session_id)?.borrow().clone();
        (!is_stale(&session, SystemTime::now())).then_some(session)
    }

    /// The newest sessions that are older than `before`, at most `size`; and whether there are more.
    pub fn list(&self, stream_id: &str, before: Option<&str>, size: usize) -> (Vec<Session>, bool) {
        let now = SystemTime::now();
        let table = self.snapshot();
        let mut found: Vec<Session> = table
            .iter()
            .rev()
            .filter(|(id, _)| before.is_none_or(|before| id.as_str() < before))
            .map(|(_, receiver)| receiver.borrow().clone())
            .filter(|session| is_of(session, stream_id) && !is_stale(session, now))
            .take(size.saturating_add(1))
            .collect();
        let more = found.len() > size;
        found.truncate(size);
        (found, more)
    }

    /// The table now, and each time that a session opens.
    pub fn follow(&self) -> watch::Receiver<Arc<Table>> {
        self.table.subscribe()
    }

    fn snapshot(&self) -> Arc<Table> {
        Arc::clone(&self.table.borrow())
    }
}

/// Whether a session is over.
pub fn is_closed(session: &Session) -> bool {
    session.state() == SessionState::Closed
}

/// Whether a session belongs to a programme; the empty id means every programme.
pub fn is_of(session: &Session, stream_id: &str) -> bool {
    stream_id.is_empty() || session.stream_id == stream_id
}

fn is_stale(session: &Session, now: SystemTime) -> bool {
    let closed_at = session
        .closed_at
        .and_then(|closed_at| SystemTime::try_from(closed_at).ok());
    closed_at.is_some_and(|closed_at| now.duration_since(closed_at).is_ok_and(|ago| ago > ENDED_FOR))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn session(id: usize, stream_id: &str) -> Session {
        Session {
            session_id: format!("{id:04}"),
            stream_id: stream_id.to_owned(),
            state: SessionState::Streaming.into(),
            ..Session::default()
        }
    }

    fn ids(sessions: &[Session]) -> Vec<&str> {
        sessions
            .iter()
            .map(|session| session.session_id.as_str())
            .collect()
    }

    #[test]
    fn pages_go_from_the_newest_to_the_oldest_and_miss_none() {
        let directory = Directory::default();
        let views: Vec<View> = (0..5)
            .map(|n| directory.enter(session(n, if n == 2 { "b" } else { "a" })))
            .collect();
        let (first, more) = directory.list("", None, 3);
        assert_eq!((ids(&first), more), (vec!["0004", "0003", "0002"], true));
        let (second, more) = directory.list("", Some("0002"), 3);
        assert_eq!((ids(&second), more), (vec!["0001", "0000"], false));
        assert_eq!(ids(&directory.list("b", None, 10).0), ["0002"]);
        drop(views);
    }

    #[test]
    fn an_ended_session_stays_to_be_seen_but_not_for_ever() {
        let directory = Directory::default();
        let open = directory.enter(session(0, "a"));
        for n in 1..=ENDED_MAX + 50 {
            drop(directory.enter(session(n, "a")));
        }
        let (all, more) = directory.list("", None, 1000);
        assert_eq!((all.len(), more), (ENDED_MAX + 1, false));
        assert!(
            all.iter()
                .rev()
                .skip(1)
                .all(|session| is_closed(session) && session.closed_at.is_some())
        );
        assert_eq!(
            directory.get("0000").map(|session| is_closed(&session)),
            Some(false)
        );
        assert_eq!(directory.get("0001"), None);
        open.update(|session| session.fragments_received_total = 3);
        assert_eq!(directory.get("0000").unwrap().fragments_received_total, 3);

        let mut old = session(9, "a");
        old.closed_at = Some(timestamp_to_wire(SystemTime::now() - ENDED_FOR));
        assert!(is_stale(&old, SystemTime::now() + Duration::from_secs(1)));
    }
}
