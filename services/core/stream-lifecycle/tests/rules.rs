//! What one stream promises, a promise a test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use media_types::{FragmentSeq, RunId, Tick};
use std::time::Duration;
use stream_lifecycle::{
    Action, Policy, RunningWorker, Source, StartFailure, State, StreamLifecycle, WorkerPhase,
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
        source_type: "rtmpConn".to_owned(),
        tracks: vec!["H264".to_owned()],
    }
}

fn actions(stream: &mut StreamLifecycle) -> Vec<Action> {
    std::iter::from_fn(|| stream.poll_output()).collect()
}

fn start(run_name: &str, epoch: u32, first: u64, source_id: &str) -> Action {
    Action::StartWorker {
        run: run(run_name),
        epoch,
        first_fragment_seq: FragmentSeq(first),
        source: source(source_id),
    }
}

fn stop(run_name: &str, drain: bool) -> Action {
    Action::StopWorker {
        run: run(run_name),
        drain,
    }
}

fn worker(run_name: &str, epoch: u32, last: u64, source_id: &str) -> RunningWorker {
    RunningWorker {
        run: run(run_name),
        epoch,
        phase: WorkerPhase::Running,
        last_fragment_seq: FragmentSeq(last),
        source: source(source_id),
    }
}

/// A stream whose edge is there.
fn idle() -> StreamLifecycle {
    let mut stream = StreamLifecycle::new(Policy::default());
    stream.handle_edge_back(at(0), at(0), None);
    stream
}

/// A stream with publisher `a` and a running worker: run `r1`, epoch 1.
fn running() -> StreamLifecycle {
    let mut stream = idle();
    stream.handle_publisher_appeared(at(10), source("a"), run("r1"));
    assert_eq!(actions(&mut stream), [start("r1", 1, 0, "a")]);
    stream.handle_worker_started(at(20), &run("r1"), 1);
    stream.handle_worker_report(at(30), &run("r1"), 1, WorkerPhase::Running, FragmentSeq(0));
    assert_eq!(stream.state(), State::Running);
    stream
}

#[test]
fn a_doubled_ready_hook_starts_nothing_new() {
    let mut stream = running();
    for millis in 40..60 {
        stream.handle_publisher_appeared(at(millis), source("a"), run("r2"));
    }
    assert_eq!(actions(&mut stream), []);
    assert_eq!(stream.run(), Some((&run("r1"), 1)));
}

#[test]
fn a_not_ready_hook_while_idle_is_nothing() {
    let mut stream = idle();
    stream.handle_publisher_gone(at(1), "a");
    assert_eq!(actions(&mut stream), []);
    assert_eq!(stream.state(), State::Idle);
    assert!(!stream.is_active());
}

#[test]
fn a_not_ready_hook_that_overtakes_its_ready_hook_wins() {
    let mut stream = idle();
    stream.handle_publisher_gone(at(1), "a");
    stream.handle_publisher_appeared(at(2), source("a"), run("r1"));
    assert_eq!(actions(&mut stream), []);
}

#[test]
fn a_publisher_that_comes_back_within_the_grace_keeps_run_and_worker() {
    let mut stream = running();
    stream.handle_publisher_gone(at(1000), "a");
    assert_eq!(stream.grace_until(), Some(at(31_000)));
    stream.handle_publisher_appeared(at(30_999), source("b"), run("r2"));
    let told = Action::UpdateSource {
        run: run("r1"),
        source: source("b"),
    };
    assert_eq!(actions(&mut stream), [told]);
    assert_eq!((stream.grace_until(), stream.poll_timeout()), (None, None));
}

#[test]
fn after_the_grace_the_worker_drains_and_the_run_ends_with_it() {
    let mut stream = running();
    stream.handle_publisher_gone(at(1000), "a");
    stream.handle_timeout(at(30_999));
    assert_eq!(actions(&mut stream), []);
    assert_eq!(stream.poll_timeout(), Some(at(31_000)));
    stream.handle_timeout(at(31_000));
    assert_eq!(actions(&mut stream), [stop("r1", true)]);
    assert_eq!(stream.state(), State::Stopping);
    stream.handle_worker_exited(at(32_000), &run("r1"), 1, Some(0));
    assert_eq!(stream.state(), State::Stopped);
    assert!(!stream.is_active());
    let forget_at = stream.poll_timeout().unwrap();
    stream.handle_timeout(forget_at);
    assert_eq!((stream.state(), stream.poll_timeout()), (State::Idle, None));
}

#[test]
fn an_override_in_either_order_of_its_hooks_keeps_the_worker() {
    for gone_first in [true, false] {
        let mut stream = running();
        if gone_first {
            stream.handle_publisher_gone(at(100), "a");
        }
        stream.handle_publisher_appeared(at(100), source("b"), run("r2"));
        if !gone_first {
            stream.handle_publisher_gone(at(100), "a");
        }
        assert_eq!(
            actions(&mut stream),
            [Action::UpdateSource {
                run: run("r1"),
                source: source("b")
            }]
        );
        assert_eq!(stream.grace_until(), None);
    }
}

#[test]
fn a_stop_that_nobody_answers_is_said_again_and_at_last_without_mercy() {
    let mut stream = running();
    stream.handle_operator_stop(at(1000));
    assert_eq!(actions(&mut stream), [stop("r1", true)]);
    stream.handle_timeout(at(3000));
    assert_eq!(actions(&mut stream), [stop("r1", true)]);
    stream.handle_worker_report(at(3100), &run("r1"), 1, WorkerPhase::Draining, FragmentSeq(4));
    stream.handle_timeout(at(5000));
    assert_eq!(actions(&mut stream), []);
    assert_eq!(stream.poll_timeout(), Some(at(76_000)));
    stream.handle_timeout(at(76_000));
    assert_eq!(actions(&mut stream), [stop("r1", false)]);
}

#[test]
fn a_dead_worker_is_restarted_at_once_in_the_same_run_with_numbers_that_rise() {
    let mut stream = running();
    stream.handle_worker_report(at(5000), &run("r1"), 1, WorkerPhase::Running, FragmentSeq(17));
    stream.handle_worker_exited(at(6000), &run("r1"), 1, None);
    assert_eq!(actions(&mut stream), [start("r1", 2, 1017, "a")]);
    // Killed again before it told anything.
    stream.handle_worker_exited(at(6100), &run("r1"), 2, None);
    assert_eq!(stream.poll_timeout(), Some(at(6600)));
    stream.handle_timeout(at(6600));
    assert_eq!(actions(&mut stream), [start("r1", 3, 2017, "a")]);
    assert_eq!(stream.restarts_total(), 2);
}

fn fail_until_degraded(stream: &mut StreamLifecycle) -> usize {
    for starts in 0..20 {
        if stream.is_degraded() {
            return starts;
        }
        let (current, epoch) = stream.run().map(|(run, epoch)| (run.clone(), epoch)).unwrap();
        stream.handle_worker_exited(at(100), &current, epoch, Some(1));
        if let Some(due) = stream.poll_timeout() {
            stream.handle_timeout(due);
        }
    }
    panic!("never degraded");
}

#[test]
fn a_worker_that_fails_more_than_six_times_leaves_the_stream_degraded_until_someone_acts() {
    let mut stream = running();
    assert_eq!(fail_until_degraded(&mut stream), 7);
    assert_eq!(actions(&mut stream).len(), 6);
    assert_eq!((stream.state(), stream.poll_timeout()), (State::Stopped, None));
    stream.handle_operator_start(at(90_000), run("r2"));
    assert_eq!(actions(&mut stream), [start("r1", 8, 7000, "a")]);

    let mut stream = running();
    fail_until_degraded(&mut stream);
    actions(&mut stream);
    stream.handle_publisher_appeared(at(90_000), source("b"), run("r2"));
    assert_eq!(actions(&mut stream), [start("r1", 8, 7000, "b")]);
}

#[test]
fn a_start_that_can_never_succeed_is_not_tried_again() {
    let mut stream = idle();
    stream.handle_publisher_appeared(at(10), source("a"), run("r1"));
    actions(&mut stream);
    stream.handle_worker_start_failed(at(20), &run("r1"), 1, StartFailure::Final);
    assert!(stream.is_degraded());
    assert_eq!(stream.poll_timeout(), None);
}

#[test]
fn a_missed_ready_hook_heals_with_the_next_listing() {
    let mut stream = idle();
    stream.handle_observed(at(1000), at(990), Some(source("a")), run("r1"));
    assert_eq!(actions(&mut stream), [start("r1", 1, 0, "a")]);
}

#[test]
fn a_missed_not_ready_hook_heals_with_the_second_listing() {
    let mut stream = running();
    stream.handle_observed(at(1000), at(990), None, run("r2"));
    assert_eq!(stream.grace_until(), None);
    stream.handle_observed(at(2000), at(1990), None, run("r2"));
    assert_eq!(stream.grace_until(), Some(at(32_000)));
}

#[test]
fn a_listing_asked_for_before_a_hook_does_not_contradict_it() {
    let mut stream = idle();
    stream.handle_publisher_appeared(at(1000), source("a"), run("r1"));
    for _ in 0..5 {
        stream.handle_observed(at(1001), at(999), None, run("r2"));
    }
    assert!(stream.source().is_some());
    stream.handle_publisher_gone(at(1500), "a");
    stream.handle_observed(at(1600), at(1400), Some(source("a")), run("r2"));
    // One listing taken after it may still have crossed the hook on its way.
    stream.handle_observed(at(1700), at(1600), Some(source("a")), run("r2"));
    assert!(stream.source().is_none());
}

#[test]
fn tracks_that_are_known_only_later_reach_the_worker_once() {
    let mut stream = idle();
    let bare = Source {
        tracks: vec![],
        ..source("a")
    };
    stream.handle_publisher_appeared(at(10), bare, run("r1"));
    actions(&mut stream);
    stream.handle_worker_started(at(20), &run("r1"), 1);
    for millis in [1000, 2000] {
        stream.handle_observed(at(millis), at(millis), Some(source("a")), run("r2"));
    }
    assert_eq!(
        actions(&mut stream),
        [Action::UpdateSource {
            run: run("r1"),
            source: source("a")
        }]
    );
}

#[test]
fn a_source_update_that_failed_is_said_again_after_the_next_listing() {
    let mut stream = running();
    stream.handle_publisher_appeared(at(100), source("b"), run("r2"));
    assert_eq!(actions(&mut stream).len(), 1);
    stream.handle_source_update_failed(at(110));
    assert_eq!(actions(&mut stream), []);
    stream.handle_edge_back(at(1000), at(990), Some(worker("r1", 1, 3, "a")));
    assert_eq!(
        actions(&mut stream),
        [Action::UpdateSource {
            run: run("r1"),
            source: source("b")
        }]
    );
}

#[test]
fn a_new_orchestrator_adopts_the_running_worker_instead_of_starting_a_second() {
    let mut stream = StreamLifecycle::new(Policy::default());
    stream.handle_observed(at(1), at(0), Some(source("a")), run("r9"));
    assert_eq!(actions(&mut stream), []);
    stream.handle_edge_back(at(5), at(1), Some(worker("r1", 3, 4711, "a")));
    assert_eq!(actions(&mut stream), []);
    assert_eq!(
        (stream.state(), stream.run()),
        (State::Running, Some((&run("r1"), 3)))
    );
    stream.handle_worker_exited(at(10), &run("r1"), 3, Some(1));
    stream.handle_timeout(at(10));
    assert_eq!(actions(&mut stream), [start("r1", 4, 5711, "a")]);
}

#[test]
fn an_adopted_worker_runs_on_while_nobody_says_whether_its_publisher_is_there() {
    let mut stream = StreamLifecycle::new(Policy::default());
    stream.handle_edge_back(at(5), at(1), Some(worker("r1", 1, 9, "a")));
    assert_eq!(stream.poll_timeout(), None);
    stream.handle_timeout(at(900_000));
    assert_eq!(actions(&mut stream), []);
    stream.handle_publisher_gone(at(900_001), "a");
    assert!(stream.grace_until().is_some());
}

#[test]
fn an_edge_that_dies_with_its_workers_costs_no_restart_of_the_budget() {
    let mut stream = running();
    for round in 0..20_u32 {
        let now = 1000 + u64::from(round) * 1000;
        stream.handle_edge_lost(at(now));
        stream.handle_timeout(at(now + 100));
        assert_eq!(actions(&mut stream), []);
        stream.handle_edge_back(at(now + 500), at(now + 400), None);
        stream.handle_timeout(at(now + 500));
        assert_eq!(actions(&mut stream).len(), 1, "round {round}");
        stream.handle_worker_started(at(now + 600), &run("r1"), round + 2);
    }
    assert!(!stream.is_degraded());
}

#[test]
fn a_start_without_an_answer_is_settled_by_a_listing() {
    for happened in [true, false] {
        let mut stream = idle();
        stream.handle_publisher_appeared(at(10), source("a"), run("r1"));
        actions(&mut stream);
        stream.handle_worker_start_failed(at(5000), &run("r1"), 1, StartFailure::Unanswered);
        stream.handle_timeout(at(5500));
        assert_eq!(actions(&mut stream), []);
        stream.handle_edge_back(at(6000), at(5900), happened.then(|| worker("r1", 1, 2, "a")));
        stream.handle_timeout(at(6000));
        let expected = if happened {
            vec![]
        } else {
            vec![start("r1", 2, 1000, "a")]
        };
        assert_eq!(actions(&mut stream), expected);
    }
}

#[test]
fn a_listing_that_still_shows_a_dead_worker_does_not_bring_it_back() {
    let mut stream = running();
    stream.handle_worker_exited(at(1000), &run("r1"), 1, None);
    stream.handle_edge_back(at(1001), at(999), Some(worker("r1", 1, 2, "a")));
    stream.handle_timeout(at(1001));
    assert_eq!(actions(&mut stream), [start("r1", 2, 1000, "a")]);
}

#[test]
fn a_publisher_that_comes_while_the_last_run_drains_gets_a_run_of_its_own_afterwards() {
    let mut stream = running();
    stream.handle_publisher_gone(at(1000), "a");
    stream.handle_timeout(at(31_000));
    stream.handle_publisher_appeared(at(32_000), source("b"), run("r2"));
    assert_eq!(actions(&mut stream), [stop("r1", true)]);
    stream.handle_worker_exited(at(33_000), &run("r1"), 1, Some(0));
    assert_eq!(actions(&mut stream), [start("r2", 1, 0, "b")]);
}

#[test]
fn a_stop_by_the_operator_holds_until_the_next_publisher_or_start() {
    let mut stream = running();
    stream.handle_operator_stop(at(1000));
    stream.handle_worker_exited(at(2000), &run("r1"), 1, Some(0));
    actions(&mut stream);
    stream.handle_publisher_appeared(at(3000), source("a"), run("r2"));
    stream.handle_observed(at(4000), at(4000), Some(source("a")), run("r2"));
    assert_eq!((actions(&mut stream).len(), stream.state()), (0, State::Stopped));
    let mut other = stream.clone();
    stream.handle_operator_start(at(5000), run("r3"));
    assert_eq!(actions(&mut stream), [start("r3", 1, 0, "a")]);
    other.handle_publisher_appeared(at(5000), source("b"), run("r4"));
    assert_eq!(actions(&mut other), [start("r4", 1, 0, "b")]);
}

#[test]
fn a_worker_that_dies_in_the_grace_comes_back_only_with_its_publisher() {
    let mut stream = running();
    stream.handle_publisher_gone(at(1000), "a");
    stream.handle_worker_exited(at(2000), &run("r1"), 1, Some(1));
    stream.handle_timeout(at(3000));
    assert_eq!(actions(&mut stream), []);
    stream.handle_publisher_appeared(at(4000), source("b"), run("r2"));
    assert_eq!(actions(&mut stream), [start("r1", 2, 1000, "b")]);
}

#[test]
fn without_a_grace_the_worker_stops_at_once() {
    let mut stream = StreamLifecycle::new(Policy {
        grace: Duration::ZERO,
        ..Policy::default()
    });
    stream.handle_edge_back(at(0), at(0), None);
    stream.handle_publisher_appeared(at(10), source("a"), run("r1"));
    stream.handle_publisher_gone(at(15), "a");
    assert_eq!(actions(&mut stream), [start("r1", 1, 0, "a")]);
    stream.handle_worker_started(at(20), &run("r1"), 1);
    assert_eq!(actions(&mut stream), [stop("r1", true)]);
}
