use super::*;

fn limits() -> Limits {
    Limits {
        buffered: Duration::from_secs(3),
        in_flight: Duration::from_secs(10),
    }
}

#[test]
fn without_a_session_a_fragment_is_refused_at_once() {
    let mut link = DubLink::new(limits());
    let refused = link.begin(
        FragmentSeq(1),
        MediaTime::ZERO,
        Duration::ZERO,
        TraceContext::default(),
    );
    assert_eq!(refused, Err(Reason::BreakerOpen));
}

#[test]
fn a_full_queue_sheds_the_whole_fragment_and_counts_one_incident() {
    let mut link = DubLink::new(limits());
    let (requests, _receiver) = mpsc::channel(2);
    link.connected(requests);
    assert_eq!(
        link.begin(
            FragmentSeq(1),
            MediaTime::ZERO,
            Duration::ZERO,
            TraceContext::default()
        ),
        Ok(())
    );
    assert_eq!(link.audio(MediaTime::ZERO, Bytes::new(), None), Ok(()));
    assert_eq!(
        link.audio(MediaTime::ZERO, Bytes::new(), None),
        Err((FragmentSeq(1), Reason::Overload))
    );
    assert_eq!(link.audio(MediaTime::ZERO, Bytes::new(), None), Ok(()));
    let refused = link.begin(
        FragmentSeq(2),
        MediaTime::ZERO,
        Duration::ZERO,
        TraceContext::default(),
    );
    assert_eq!((refused, link.overloads), (Err(Reason::Overload), 1));
}

#[test]
fn too_much_unanswered_speech_is_overload() {
    let mut link = DubLink::new(limits());
    let (requests, _receiver) = mpsc::channel(100);
    link.connected(requests);
    let refused = link.begin(
        FragmentSeq(1),
        MediaTime::ZERO,
        Duration::from_secs(11),
        TraceContext::default(),
    );
    assert_eq!(refused, Err(Reason::Overload));
}

#[test]
fn what_was_under_way_when_the_session_died_is_told() {
    let mut link = DubLink::new(limits());
    let (requests, _receiver) = mpsc::channel(100);
    link.connected(requests);
    for seq in 1..=3 {
        assert_eq!(
            link.begin(
                FragmentSeq(seq),
                MediaTime::ZERO,
                Duration::ZERO,
                TraceContext::default()
            ),
            Ok(())
        );
    }
    link.settled(FragmentSeq(2));
    assert_eq!(
        link.disconnected(),
        BTreeSet::from([FragmentSeq(1), FragmentSeq(3)])
    );
    assert!(!link.is_connected());
}
