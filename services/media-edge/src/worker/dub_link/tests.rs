#![allow(clippy::cast_possible_wrap)]
use super::*;
use crate::worker::event::DubEvent;
use dub_proto::dub::v1::dub_response;

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

fn begin(link: &mut DubLink, seq: u64) -> Result<(), Reason> {
    link.begin(
        FragmentSeq(seq),
        MediaTime::from_millis(100 * seq as i64),
        Duration::ZERO,
        TraceContext::default(),
    )
}

/// 20 ms of sound.
fn audio(link: &mut DubLink, at_ms: i64) -> Result<(), (FragmentSeq, Reason)> {
    let pcm = Bytes::from(vec![0; 960 * 2 * CHANNELS]);
    link.audio(MediaTime::from_millis(at_ms), pcm, None)
}

fn queued(receiver: &mut mpsc::Receiver<DubRequest>) -> Vec<String> {
    let millis = |time: Option<dub_proto::media::v1::MediaTime>| time.map_or(-1, |time| time.ticks / 48);
    let mut out = Vec::new();
    while let Ok(request) = receiver.try_recv() {
        out.push(match request.payload {
            Some(Payload::FragmentStart(start)) => {
                format!("start {} {}", start.fragment_seq, millis(start.start))
            }
            Some(Payload::Audio(audio)) => format!("audio {}", millis(audio.start)),
            Some(Payload::FragmentEnd(end)) => format!("end {} {}", end.fragment_seq, millis(end.end)),
            Some(Payload::Open(_) | Payload::Playhead(_) | Payload::Control(_) | Payload::Close(_))
            | None => "else".to_owned(),
        });
    }
    out
}

#[test]
fn a_full_queue_sheds_the_whole_fragment_and_counts_one_incident() {
    let mut link = DubLink::new(limits());
    let (requests, mut receiver) = mpsc::channel(8);
    link.connected(requests);
    assert_eq!(begin(&mut link, 1), Ok(()));
    let lost: Vec<_> = (0..20)
        .filter_map(|n| audio(&mut link, 100 + 20 * n).err())
        .collect();
    assert_eq!(lost, [(FragmentSeq(1), Reason::Overload)], "told once");
    assert_eq!(begin(&mut link, 2), Err(Reason::Overload));
    for _ in 0..3 {
        receiver.try_recv().ok();
    }
    assert_eq!(
        begin(&mut link, 3),
        Err(Reason::Overload),
        "there is room for a few messages only"
    );
    assert_eq!((link.overloads, link.shed), (1, 3));
    queued(&mut receiver);
    assert_eq!(begin(&mut link, 4), Ok(()));
    assert_eq!(
        link.end(FragmentSeq(4), MediaRange::new(MediaTime::ZERO, MediaTime::ZERO)),
        Ok(())
    );
    assert_eq!((link.overloads, link.shed), (1, 3));
}

#[test]
fn what_had_gone_of_a_shed_fragment_is_ended_before_the_next_one_begins() {
    let mut link = DubLink::new(limits());
    let (requests, mut receiver) = mpsc::channel(8);
    link.connected(requests);
    assert_eq!(begin(&mut link, 1), Ok(()));
    while audio(&mut link, 100).is_ok() && link.shed == 0 {}
    let before = queued(&mut receiver);
    assert_eq!((before[0].as_str(), before.len()), ("start 1 100", 8));
    assert_eq!(begin(&mut link, 2), Ok(()));
    assert_eq!(begin(&mut link, 3), Ok(()));
    assert_eq!(queued(&mut receiver), ["end 1 120", "start 2 200", "start 3 300"]);
}

#[test]
fn while_the_breaker_is_not_closed_or_nobody_is_there_nothing_is_answered() {
    let mut link = DubLink::new(limits());
    assert_eq!(link.unanswered(), Some(Reason::BreakerOpen));
    let (requests, _receiver) = mpsc::channel(8);
    link.connected(requests);
    assert_eq!(link.unanswered(), None);
    assert!(link.breaker_is(Breaker::Open));
    assert!(!link.breaker_is(Breaker::Open), "no news");
    assert_eq!(link.unanswered(), Some(Reason::BreakerOpen));
    link.disconnected();
    assert_eq!(
        (link.breaker(), link.unanswered()),
        (Breaker::Closed, Some(Reason::BreakerOpen))
    );
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

#[test]
fn a_supersession_that_does_not_say_what_was_asked_asks_all_of_it_anew() {
    let at = |millis| dub_proto::convert::time_to_wire(MediaTime::from_millis(millis));
    for (asked, expected) in [(None, 1_000), (Some(at(4_000)), 4_000)] {
        let said = dub_response::Payload::Supersede(wire::Supersede {
            connection: 2,
            from: Some(at(1_000)),
            asked,
        });
        let Ok(Some(DubEvent::Superseded {
            connection,
            from,
            asked,
        })) = answers::from_wire(said)
        else {
            unreachable!("it is understood");
        };
        assert_eq!((connection, from.millis(), asked.millis()), (2, 1_000, expected));
    }
}
