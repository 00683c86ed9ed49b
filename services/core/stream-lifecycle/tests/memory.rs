//! What of a stream survives the death of the process that ran its machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use media_types::{FragmentSeq, RunId, Tick};
use stream_lifecycle::{
    Action, Memory, Policy, RememberedRun, RunningWorker, Source, State, StreamLifecycle, WorkerPhase,
};

fn at(millis: u64) -> Tick {
    Tick::from_nanos((1_000_000 + millis) * 1_000_000)
}

fn run(name: &str) -> RunId {
    RunId::new(name).unwrap()
}

fn source(id: &str) -> Source {
    Source {
        source_id: id.to_owned(),
        ..Source::default()
    }
}

fn memory(last: u64, halted: bool) -> Memory {
    Memory {
        source_id: "a".to_owned(),
        run: Some(RememberedRun {
            id: run("r1"),
            epoch: 2,
            last_fragment_seq: FragmentSeq(last),
        }),
        halted,
    }
}

/// A machine after the death of its process; media-edge, which died too, has no worker.
fn recalled(memory: Memory) -> StreamLifecycle {
    let mut stream = StreamLifecycle::recall(Policy::default(), memory);
    stream.handle_edge_back(at(0), at(0), None);
    stream
}

/// Run, epoch and first number of each start.
fn starts(stream: &mut StreamLifecycle) -> Vec<(String, u32, u64)> {
    let told = |action| match action {
        Action::StartWorker {
            run,
            epoch,
            first_fragment_seq,
            ..
        } => (run.to_string(), epoch, first_fragment_seq.0),
        other @ (Action::StopWorker { .. } | Action::UpdateSource { .. }) => panic!("{other:?}"),
    };
    std::iter::from_fn(|| stream.poll_output()).map(told).collect()
}

fn found_by_listings(stream: &mut StreamLifecycle, seen: Option<Source>) {
    for millis in [10, 20] {
        stream.handle_observed(at(millis), at(millis), seen.clone(), run("r2"));
    }
}

#[test]
fn a_memory_tells_run_epoch_and_stop_and_is_never_behind_the_numbers() {
    let mut stream = StreamLifecycle::new(Policy::default());
    stream.handle_edge_back(at(0), at(0), None);
    assert_eq!(stream.memory(), None);
    stream.handle_publisher_appeared(at(1), source("a"), run("r1"));
    stream.handle_worker_started(at(2), &run("r1"), 1);
    let mut kept = Vec::new();
    for seq in 0..=250 {
        stream.handle_worker_report(at(3), &run("r1"), 1, WorkerPhase::Running, FragmentSeq(seq));
        let run = stream.memory().and_then(|memory| memory.run).unwrap();
        assert!(FragmentSeq(seq) <= run.last_fragment_seq, "{run:?} at {seq}");
        kept.push(run);
    }
    kept.dedup();
    assert_eq!(kept.len(), 4, "it changes once in a hundred numbers: {kept:?}");
    assert_eq!((kept[3].id.clone(), kept[3].epoch), (run("r1"), 1));
    stream.handle_operator_stop(at(4));
    assert!(stream.memory().is_some_and(|memory| memory.halted));
}

#[test]
fn the_same_publisher_goes_on_in_its_run_with_the_next_epoch_and_higher_numbers() {
    let mut stream = recalled(memory(300, false));
    assert_eq!((starts(&mut stream), stream.state()), (vec![], State::Starting));
    found_by_listings(&mut stream, Some(source("a")));
    assert_eq!(starts(&mut stream), [("r1".to_owned(), 3, 1300)]);
}

#[test]
fn another_publisher_gets_a_run_of_its_own() {
    let mut stream = recalled(memory(300, true));
    stream.handle_publisher_appeared(at(10), source("b"), run("r2"));
    assert_eq!(starts(&mut stream), [("r2".to_owned(), 1, 0)]);
}

#[test]
fn a_run_whose_publisher_is_gone_is_forgotten_at_once() {
    let mut stream = recalled(memory(300, false));
    found_by_listings(&mut stream, None);
    assert_eq!((stream.memory(), stream.grace_until()), (None, None));
    assert!(stream.is_forgettable() && stream.poll_timeout().is_none());
}

#[test]
fn a_worker_that_lived_on_is_adopted() {
    let worker = RunningWorker {
        run: run("r1"),
        epoch: 2,
        phase: WorkerPhase::Running,
        last_fragment_seq: FragmentSeq(310),
        source: source("a"),
    };
    let mut stream = StreamLifecycle::recall(Policy::default(), memory(300, false));
    stream.handle_edge_back(at(5), at(5), Some(worker));
    found_by_listings(&mut stream, Some(source("a")));
    assert_eq!((starts(&mut stream), stream.state()), (vec![], State::Running));
    // A publisher that takes over is a takeover as ever: the run is no longer a mere memory.
    stream.handle_publisher_appeared(at(30), source("b"), run("r3"));
    assert_eq!(stream.run(), Some((&run("r1"), 2)));
}

#[test]
fn an_operators_stop_holds_while_its_publisher_stays_and_ends_with_a_start_or_the_next() {
    let halted = Memory {
        run: None,
        ..memory(0, true)
    };
    let stay = || {
        let mut stream = recalled(halted.clone());
        assert!(!stream.is_forgettable());
        found_by_listings(&mut stream, Some(source("a")));
        assert_eq!(starts(&mut stream), []);
        assert_eq!(stream.memory(), Some(halted.clone()));
        stream
    };
    let mut stream = stay();
    stream.handle_operator_start(at(30), run("r3"));
    assert_eq!(starts(&mut stream), [("r3".to_owned(), 1, 0)]);

    let mut stream = stay();
    stream.handle_publisher_gone(at(30), "a");
    assert_eq!(stream.memory(), None);
    stream.handle_publisher_appeared(at(40), source("b"), run("r4"));
    assert_eq!(starts(&mut stream), [("r4".to_owned(), 1, 0)]);
}

#[test]
fn a_worker_that_was_being_stopped_is_stopped_still() {
    let mut stream = StreamLifecycle::recall(Policy::default(), memory(300, true));
    let worker = RunningWorker {
        run: run("r1"),
        epoch: 2,
        phase: WorkerPhase::Running,
        last_fragment_seq: FragmentSeq(310),
        source: source("a"),
    };
    stream.handle_edge_back(at(5), at(5), Some(worker));
    let stop = Action::StopWorker {
        run: run("r1"),
        drain: true,
    };
    assert_eq!(stream.poll_output(), Some(stop));
}
