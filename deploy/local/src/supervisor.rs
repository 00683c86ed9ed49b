//! The supervisor of a stack: a thread of its own with a runtime of its own. The parts are bound to that thread's
//! life, so they never depend on the runtime of a test, and a drop can wait for their end.

use std::collections::BTreeMap;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::part::{Name, Order, PartTask, Spec, Status, Statuses};
use crate::process;

/// What ends first: the workers still reach MediaMTX to say goodbye, and nobody starts new ones.
const FIRST_TO_STOP: [Name; 2] = [Name::Orchestrator, Name::MediaEdge];
/// How long the first may drain.
const FIRST_GRACE: Duration = Duration::from_millis(5500);
/// How long the rest may drain; both together stay well below the 10 s that a stop may take.
const REST_GRACE: Duration = Duration::from_secs(2);
/// Orders wait for the supervisor's loop only, which never waits for a part while it takes orders: a few are plenty,
/// and a full queue is an error of the caller.
const ORDERS_MAX: usize = 32;

/// What the supervisor is told.
#[derive(Debug)]
enum Command {
    One(Name, Order),
    /// Drain and end; answered when nothing is left.
    Stop(oneshot::Sender<()>),
}

/// The running supervisor. Dropped without [`Supervisor::stop`], it kills everything and waits for that.
#[derive(Debug)]
pub struct Supervisor {
    commands: Option<mpsc::Sender<Command>>,
    statuses: watch::Receiver<Statuses>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Starts the parts. `stack` is the mark that all their processes carry.
    pub fn spawn(stack: String, specs: Vec<Spec>, restarts: bool) -> Result<Self> {
        let (commands, inbox) = mpsc::channel(ORDERS_MAX);
        let initial: Statuses = specs
            .iter()
            .map(|spec| {
                (
                    spec.name,
                    Status {
                        restarts,
                        ..Status::default()
                    },
                )
            })
            .collect();
        let (status_tx, statuses) = watch::channel(initial);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("building the supervisor's runtime")?;
        let thread = std::thread::Builder::new()
            .name("stack-supervisor".to_owned())
            .spawn(move || {
                runtime.block_on(supervise(specs, restarts, inbox, status_tx));
                process::sweep(&format!("{stack}:"));
            })
            .context("starting the supervisor's thread")?;
        Ok(Self {
            commands: Some(commands),
            statuses,
            thread: Some(thread),
        })
    }

    /// Where the parts stand, now and later.
    #[must_use]
    pub fn statuses(&self) -> watch::Receiver<Statuses> {
        self.statuses.clone()
    }

    /// Where one part stands.
    #[must_use]
    pub fn status(&self, name: Name) -> Option<Status> {
        self.statuses.borrow().get(&name).cloned()
    }

    /// Gives an order to one part.
    pub fn order(&self, name: Name, order: Order) -> Result<()> {
        let commands = self.commands.as_ref().context("the stack is stopped")?;
        commands
            .try_send(Command::One(name, order))
            .context("the supervisor takes no more orders")
    }

    /// Drains all parts and returns when nothing is left.
    pub async fn stop(mut self) {
        if let Some(commands) = self.commands.take() {
            let (done, finished) = oneshot::channel();
            if commands.send(Command::Stop(done)).await.is_ok() {
                // An error means that the supervisor is gone already, which is what is wanted.
                let _ = finished.await;
            }
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // A closed queue is the order to kill.
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already, and there is nobody to hand it to.
            let _ = thread.join();
        }
    }
}

async fn supervise(
    specs: Vec<Spec>,
    restarts: bool,
    mut inbox: mpsc::Receiver<Command>,
    statuses: watch::Sender<Statuses>,
) {
    let mut orders = BTreeMap::new();
    let mut tasks: JoinSet<Name> = JoinSet::new();
    for spec in specs {
        let (order_tx, order_rx) = mpsc::channel(ORDERS_MAX);
        let name = spec.name;
        orders.insert(name, order_tx);
        let task = PartTask::new(spec, restarts, order_rx, statuses.clone());
        tasks.spawn(async move {
            task.run().await;
            name
        });
    }
    let done = loop {
        match inbox.recv().await {
            Some(Command::One(name, order)) => {
                if let Some(part) = orders.get(&name) {
                    // A part that takes no orders has ended.
                    let _ = part.try_send(order);
                }
            }
            Some(Command::Stop(done)) => break Some(done),
            None => break None,
        }
    };
    if done.is_some() {
        drain(&mut orders, &mut tasks).await;
    }
    // A part whose orders end kills itself.
    orders.clear();
    while tasks.join_next().await.is_some() {}
    if let Some(done) = done {
        let _ = done.send(());
    }
}

async fn drain(orders: &mut BTreeMap<Name, mpsc::Sender<Order>>, tasks: &mut JoinSet<Name>) {
    let mut open: Vec<Name> = orders
        .keys()
        .copied()
        .filter(|name| FIRST_TO_STOP.contains(name))
        .collect();
    for name in &open {
        tell(orders, *name, Order::Stop(FIRST_GRACE));
    }
    // The part's own deadline comes first; this one only bounds a part that cannot be reaped.
    let deadline = Instant::now() + FIRST_GRACE + Duration::from_millis(500);
    while !open.is_empty() {
        match timeout_at(deadline, tasks.join_next()).await {
            Ok(Some(ended)) => open.retain(|name| Some(name) != ended.as_ref().ok()),
            Ok(None) | Err(_) => break,
        }
    }
    let rest: Vec<Name> = orders
        .keys()
        .copied()
        .filter(|name| !FIRST_TO_STOP.contains(name))
        .collect();
    for name in rest {
        tell(orders, name, Order::Stop(REST_GRACE));
    }
    let deadline = Instant::now() + REST_GRACE + Duration::from_millis(500);
    while let Ok(Some(_)) = timeout_at(deadline, tasks.join_next()).await {}
}

fn tell(orders: &BTreeMap<Name, mpsc::Sender<Order>>, name: Name, order: Order) {
    if let Some(part) = orders.get(&name) {
        let _ = part.try_send(order);
    }
}
