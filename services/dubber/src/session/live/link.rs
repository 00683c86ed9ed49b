//! The connections of one session: each is one task that dials, then reads and writes at the same time.
//!
//! What a connection says comes back through one queue; what it is told goes through one of its own. Closing needs no
//! answer. Dropping [`Links`] ends every task.
use crate::gemini::dial::{Target, Wire, dial_or_tell};
use crate::gemini::record::{Record, Sender};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use gemini_live::{ClientMessage, Decoder, Ending, Frame, ServerMessage, encode};
use gemini_session::ConnectionId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Orders that wait for a socket. The session itself sends no more than 30 messages ahead of the socket; setup, marks
/// of windows, pings and the close come on top. Full means that a connection takes nothing: it is given up.
const ORDERS: usize = 64;
/// What connections said and the session has not heard. A server speaks a few times a second, and the session takes
/// all of it in each turn of its loop. Full means that the reader waits and TCP holds the server back; nothing is lost.
const TOLD: usize = 64;
/// How long the other side may take to answer a close, and a session to see its connections off.
const CLOSE_MAX: Duration = Duration::from_secs(1);
/// Code of a close without one.
const NO_CODE: u16 = 1005;

/// What a connection says of itself.
#[derive(Debug)]
pub struct Told {
    /// Which.
    pub connection: ConnectionId,
    /// What.
    pub what: What,
}

/// What can be said of a connection.
#[derive(Debug)]
pub enum What {
    /// The WebSocket is open.
    Opened,
    /// The socket took one message.
    Written,
    /// A message came.
    Said {
        /// The message.
        message: Box<ServerMessage>,
        /// Paths in it that this connection had not met before and nobody understands.
        unknown: Vec<String>,
    },
    /// A frame came that holds no message: a ping, a pong, or nonsense.
    Frame {
        /// Why it is nonsense, if it is; without its words.
        problem: Option<String>,
    },
    /// It is gone, or never came to be.
    Ended(Ending),
}

#[derive(Debug)]
enum Order {
    Message(Box<ClientMessage>),
    Ping,
    Close,
}

/// All connections of a session.
#[derive(Debug)]
pub struct Links {
    target: Target,
    orders: BTreeMap<ConnectionId, mpsc::Sender<Order>>,
    tell: mpsc::Sender<Told>,
    told: mpsc::Receiver<Told>,
    /// Connections that took nothing any more.
    stuck: VecDeque<ConnectionId>,
    tasks: JoinSet<()>,
    record: Option<Arc<Record>>,
}

impl Links {
    /// No connection yet.
    pub fn new(target: Target) -> Self {
        let (tell, told) = mpsc::channel(TOLD);
        Self {
            target,
            orders: BTreeMap::new(),
            tell,
            told,
            stuck: VecDeque::new(),
            tasks: JoinSet::new(),
            record: None,
        }
    }

    /// Keeps a record of every connection from now on.
    pub fn recorded(mut self, record: Arc<Record>) -> Self {
        self.record = Some(record);
        self
    }

    /// Where connections go.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Opens a connection.
    pub fn open(&mut self, connection: ConnectionId) {
        // Tasks that are done leave the set.
        while self.tasks.try_join_next().is_some() {}
        let (orders_tx, orders) = mpsc::channel(ORDERS);
        self.orders.insert(connection, orders_tx);
        let link = Link {
            connection,
            tell: self.tell.clone(),
            record: self.record.clone(),
        };
        self.tasks.spawn(link.run(self.target.clone(), orders));
    }

    /// Sends a message.
    pub fn send(&mut self, connection: ConnectionId, message: Box<ClientMessage>) {
        self.order(connection, Order::Message(message));
    }

    /// Sends a ping.
    pub fn ping(&mut self, connection: ConnectionId) {
        self.order(connection, Order::Ping);
    }

    /// Closes a connection, or gives it up while it opens.
    pub fn close(&mut self, connection: ConnectionId) {
        self.order(connection, Order::Close);
        self.orders.remove(&connection);
    }

    fn order(&mut self, connection: ConnectionId, order: Order) {
        let Some(orders) = self.orders.get(&connection) else {
            return;
        };
        // A connection that has ended says so itself.
        if let Err(mpsc::error::TrySendError::Full(_)) = orders.try_send(order) {
            self.orders.remove(&connection);
            self.stuck.push_back(connection);
        }
    }

    /// The next thing that a connection says. Safe to drop.
    pub async fn next(&mut self) -> Told {
        if let Some(told) = self.next_stuck() {
            return told;
        }
        match self.told.recv().await {
            Some(told) => told,
            // Not met: a sender lives in here.
            None => std::future::pending().await,
        }
    }

    /// What was said already.
    pub fn try_next(&mut self) -> Option<Told> {
        self.next_stuck().or_else(|| self.told.try_recv().ok())
    }

    fn next_stuck(&mut self) -> Option<Told> {
        self.stuck.pop_front().map(|connection| Told {
            connection,
            what: What::Ended(Ending::Dropped),
        })
    }

    /// Sees off what is still open.
    pub async fn finish(mut self) {
        self.orders.clear();
        // Whoever waits for a place in the queue need not wait any more.
        drop(self.told);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // What does not end in time is ended by dropping it.
        let _ = timeout(CLOSE_MAX, all).await;
    }
}

/// One connection.
struct Link {
    connection: ConnectionId,
    tell: mpsc::Sender<Told>,
    record: Option<Arc<Record>>,
}

/// How writing came to its end.
enum Wrote {
    /// A close was asked for and sent.
    Closed,
    /// The socket takes nothing any more.
    Broken,
}

impl Link {
    async fn run(self, target: Target, mut orders: mpsc::Receiver<Order>) {
        let dialed = tokio::select! {
            dialed = dial_or_tell(&target) => dialed,
            // Before it is open, the only order is to give it up.
            _ = orders.recv() => return,
        };
        match dialed {
            Ok(wire) => {
                if self.tell(What::Opened).await {
                    self.talk(wire, orders).await;
                }
            }
            Err(failure) => self.end(failure.ending, Some(&failure.cause)).await,
        }
    }

    async fn end(&self, ending: Ending, cause: Option<&str>) {
        if let Some(record) = &self.record {
            record.end(self.connection, &ending, cause);
        }
        self.tell(What::Ended(ending)).await;
    }

    fn keep(&self, sender: Sender, frame: &Frame) {
        if let Some(record) = &self.record {
            record.frame(self.connection, sender, frame);
        }
    }

    /// Whether somebody listens.
    async fn tell(&self, what: What) -> bool {
        let connection = self.connection;
        self.tell.send(Told { connection, what }).await.is_ok()
    }

    async fn talk(&self, wire: Wire, orders: mpsc::Receiver<Order>) {
        let (sink, mut stream) = wire.split();
        // Both at once: a socket that takes nothing must not keep us from hearing why.
        let ending = {
            let reading = self.read(&mut stream);
            tokio::pin!(reading);
            tokio::select! {
                ending = &mut reading => ending,
                wrote = self.write(sink, orders) => match wrote {
                    Wrote::Closed => None,
                    // The reader knows better why, if it comes to know it.
                    Wrote::Broken => timeout(CLOSE_MAX, &mut reading).await.unwrap_or(Some(Ending::Dropped)),
                },
            }
        };
        if let Some(ending) = ending {
            self.end(ending, None).await;
        }
        // Reading on answers the other side's close, and takes its answer to ours.
        let rest = async { while let Some(Ok(_)) = stream.next().await {} };
        let _ = timeout(CLOSE_MAX, rest).await;
    }

    /// Reads until the end, and says how it ended; nothing when nobody listens any more.
    async fn read(&self, stream: &mut SplitStream<Wire>) -> Option<Ending> {
        let mut decoder = Decoder::default();
        loop {
            let frame = match stream.next().await {
                Some(Ok(Message::Text(text))) => Frame::Text(text.as_str().to_owned()),
                Some(Ok(Message::Binary(bytes))) => Frame::Binary(bytes),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                    if !self.tell(What::Frame { problem: None }).await {
                        return None;
                    }
                    continue;
                }
                Some(Ok(Message::Close(close))) => return Some(closed(close)),
                // What broke it is the same for the session; the words may be anybody's.
                Some(Err(_)) | None => return Some(Ending::Dropped),
            };
            self.keep(Sender::Server, &frame);
            let what = match decoder.decode(&frame) {
                Ok(decoded) => What::Said {
                    message: Box::new(decoded.message),
                    unknown: decoded.unknown,
                },
                Err(error) => What::Frame {
                    problem: Some(error.to_string()),
                },
            };
            if !self.tell(what).await {
                return None;
            }
        }
    }

    async fn write(&self, mut sink: SplitSink<Wire, Message>, mut orders: mpsc::Receiver<Order>) -> Wrote {
        // Without somebody who gives orders there is nobody to talk for.
        while let Some(order) = orders.recv().await {
            let (message, counts) = match order {
                Order::Message(message) => {
                    let Ok(frame) = encode(&message) else {
                        return Wrote::Broken;
                    };
                    self.keep(Sender::Client, &frame);
                    match frame {
                        Frame::Text(text) => (Message::text(text), true),
                        Frame::Binary(bytes) => (Message::binary(bytes), true),
                    }
                }
                Order::Ping => (Message::Ping(Bytes::new()), false),
                Order::Close => break,
            };
            if sink.send(message).await.is_err() {
                return Wrote::Broken;
            }
            if counts && !self.tell(What::Written).await {
                break;
            }
        }
        if let Some(record) = &self.record {
            record.leave(self.connection);
        }
        let bye = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        match sink.send(Message::Close(Some(bye))).await {
            Ok(()) => Wrote::Closed,
            // It is closed already, or broken: nobody waits for it.
            Err(_) => Wrote::Closed,
        }
    }
}

fn closed(close: Option<CloseFrame>) -> Ending {
    match close {
        Some(close) => Ending::Closed {
            code: close.code.into(),
            reason: close.reason.as_str().to_owned(),
        },
        None => Ending::Closed {
            code: NO_CODE,
            reason: String::new(),
        },
    }
}
