//! Sockets around the twin: one task owns it, one task per connection moves bytes.

use crate::connection::Out;
use crate::journal::Journal;
use crate::replay::Replay;
use crate::socket::{self, Socket};
use crate::twin::opening::Request;
use crate::twin::{Opening, Twin};
use crate::ws::Incoming;
use serde_json::json;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;

/// Events that wait for the twin; sockets wait when it is full.
const EVENTS: usize = 256;
/// Orders that wait for a socket; one that takes no more is given up.
const ORDERS: usize = 4_096;
/// What the kernel keeps of unread bytes: little, so that a twin that reads slowly is felt.
const RECEIVE_BYTES: u32 = 64 << 10;

/// What is served.
#[derive(Debug)]
pub enum Service {
    /// The twin.
    Twin(Box<Twin>),
    /// A recording.
    Replay(Replay),
}

/// What sockets tell.
#[derive(Debug)]
pub enum Event {
    /// A request, and where its orders go if it is upgraded.
    Request {
        /// The request.
        request: Request,
        /// Orders for the socket.
        orders: mpsc::Sender<Out>,
        /// What becomes of it.
        answer: oneshot::Sender<Opening>,
    },
    /// Something came over a socket.
    Incoming(u64, Incoming),
    /// A socket is gone.
    Gone(u64),
}

impl Service {
    fn handle(&mut self, now: Duration, number: u64, incoming: Incoming) {
        match (self, incoming) {
            (Self::Twin(twin), Incoming::Message(frame)) => twin.handle_message(now, number, &frame),
            (Self::Twin(twin), Incoming::Ping(payload)) => twin.handle_ping(now, number, payload),
            (Self::Twin(twin), Incoming::Close(bye)) => twin.handle_close(now, number, bye),
            (Self::Replay(replay), Incoming::Message(_)) => replay.handle_message(now, number),
            (Self::Replay(replay), Incoming::Ping(payload)) => replay.handle_ping(number, payload),
            (Self::Replay(replay), Incoming::Close(bye)) => replay.handle_close(number, bye),
            (Self::Twin(_) | Self::Replay(_), Incoming::Pong) => {}
        }
    }

    fn request(&mut self, now: Duration, request: &Request) -> Opening {
        match self {
            Self::Twin(twin) => twin.handle_request(now, request),
            Self::Replay(replay) => replay.handle_request(request),
        }
    }

    fn gone(&mut self, now: Duration, number: u64) {
        match self {
            Self::Twin(twin) => twin.handle_gone(now, number),
            Self::Replay(replay) => replay.handle_gone(number),
        }
    }

    fn timeout(&mut self, now: Duration) {
        match self {
            Self::Twin(twin) => twin.handle_timeout(now),
            Self::Replay(replay) => replay.handle_timeout(now),
        }
    }

    fn due(&self) -> Option<Duration> {
        match self {
            Self::Twin(twin) => twin.poll_timeout(),
            Self::Replay(replay) => replay.poll_timeout(),
        }
    }

    fn output(&mut self) -> Option<(u64, Out)> {
        match self {
            Self::Twin(twin) => twin.poll_output(),
            Self::Replay(replay) => replay.poll_output(),
        }
    }
}

/// The task that owns the service.
struct Task {
    service: Service,
    journal: Journal,
    started: Instant,
    orders: HashMap<u64, mpsc::Sender<Out>>,
}

impl Task {
    async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        loop {
            let due = self.service.due().map(|due| self.started + due);
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.take(event),
                    None => return,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            let now = self.started.elapsed();
            self.service.timeout(now);
            while let Some((number, out)) = self.service.output() {
                self.order(now, number, out);
            }
        }
    }

    fn take(&mut self, event: Event) {
        let now = self.started.elapsed();
        match event {
            Event::Request {
                request,
                orders,
                answer,
            } => {
                let opening = self.service.request(now, &request);
                match &opening {
                    Opening::Upgrade(number) => {
                        self.orders.insert(*number, orders);
                        self.journal
                            .write(now, *number, json!({"opened": request.path()}));
                    }
                    Opening::Answer(answer) => {
                        self.journal.write(
                            now,
                            0,
                            json!({"answered": answer.status, "path": request.path()}),
                        );
                    }
                }
                // A client that left in the meantime is told by its socket.
                let _ = answer.send(opening);
            }
            Event::Incoming(number, incoming) => self.service.handle(now, number, incoming),
            Event::Gone(number) => {
                self.journal.write(now, number, json!({"gone": true}));
                self.orders.remove(&number);
                self.service.gone(now, number);
            }
        }
    }

    fn order(&mut self, now: Duration, number: u64, out: Out) {
        match &out {
            Out::Note(note) => return self.journal.write(now, number, note.clone()),
            Out::Close(bye) => {
                self.journal
                    .write(now, number, json!({"closed": bye.code, "reason": bye.reason}));
            }
            Out::Reset => self.journal.write(now, number, json!({"reset": true})),
            Out::Frame { .. } | Out::Pong(_) | Out::Freeze | Out::ReadSlowly(_) => {}
        }
        let taken = self
            .orders
            .get(&number)
            .is_some_and(|orders| orders.try_send(out).is_ok());
        if !taken {
            // Dropping the sender ends the socket.
            self.orders.remove(&number);
        }
    }
}

/// A service that is bound to its address.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Server {
    /// Binds the address.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub fn bind(address: SocketAddr, tls: Option<TlsAcceptor>) -> std::io::Result<Self> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.set_recv_buffer_size(RECEIVE_BYTES)?;
        socket.bind(address)?;
        Ok(Self {
            listener: socket.listen(128)?,
            tls,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The kernel does not know.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is dropped.
    pub async fn run(self, service: Service, journal: Journal) {
        let (events_tx, events_rx) = mpsc::channel(EVENTS);
        let mut tasks = JoinSet::new();
        let task = Task {
            service,
            journal,
            started: Instant::now(),
            orders: HashMap::new(),
        };
        tasks.spawn(task.run(events_rx));
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    // An accept fails when the peer has left already, or for want of descriptors: the next may do.
                    let Ok((stream, _)) = accepted else {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        continue;
                    };
                    let nodelay = stream.set_nodelay(true);
                    let (tls, events_tx) = (self.tls.clone(), events_tx.clone());
                    tasks.spawn(async move {
                        match (nodelay, tls) {
                            (Err(_), _) => {}
                            (Ok(()), None) => converse(stream, events_tx).await,
                            (Ok(()), Some(tls)) => if let Ok(stream) = tls.accept(stream).await {
                                converse(stream, events_tx).await;
                            },
                        }
                    });
                }
                Some(_) = tasks.join_next() => {}
            }
        }
    }
}

/// One connection from its request to its end.
async fn converse<S: Socket>(mut stream: S, events_tx: mpsc::Sender<Event>) {
    let Some((request, rest)) = socket::request(&mut stream).await else {
        return;
    };
    let accept = socket::accept_key(&request);
    let (orders_tx, orders_rx) = mpsc::channel(ORDERS);
    let (answer_tx, answer_rx) = oneshot::channel();
    let event = Event::Request {
        request,
        orders: orders_tx,
        answer: answer_tx,
    };
    if events_tx.send(event).await.is_err() {
        return;
    }
    let number = match (answer_rx.await, accept) {
        (Ok(Opening::Upgrade(number)), Some(accept)) => {
            if socket::upgrade(&mut stream, &accept).await.is_err() {
                let _ = events_tx.send(Event::Gone(number)).await;
                return;
            }
            number
        }
        (Ok(Opening::Upgrade(number)), None) => {
            let _ = events_tx.send(Event::Gone(number)).await;
            return;
        }
        (Ok(Opening::Answer(answer)), _) => {
            let _ = socket::answer(&mut stream, &answer).await;
            return;
        }
        (Err(_), _) => return,
    };
    if let Err(bye) = socket::talk(&mut stream, rest, number, &events_tx, orders_rx).await {
        let _ = socket::close(&mut stream, &bye).await;
    }
    // The twin is told whenever a socket ends; if it has ended itself, nobody needs to know.
    let _ = events_tx.send(Event::Gone(number)).await;
}
