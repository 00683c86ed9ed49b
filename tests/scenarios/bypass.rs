//! The picture passes untouched and the sound stays on it, whatever the hold.
use dub_tests::{Live, flash_beep};
use media_judge::{
    av::{AvReport, BEEP_HZ},
    source::ClipSpec,
    units::UnitReport,
};
use std::time::Duration;

async fn relay(name: &str, rate: u32, hold: &str, hold_s: u64) {
    let mut spec = ClipSpec {
        seconds: 25,
        ..ClipSpec::default()
    };
    spec.audio.as_mut().unwrap().rate = rate;
    let clip = flash_beep(&spec, "flv").unwrap();
    let live = Live::start(
        name,
        &[("WORKER_STS_MODE", "passthrough"), ("WORKER_BUFFER_TARGET", hold)],
    )
    .await
    .unwrap();
    let mut publisher = live.publish(&clip, &live.input("a")).unwrap();
    let recorder = live
        .record(&live.output("a"), "out", Duration::from_secs(hold_s + 15))
        .unwrap();
    recorder
        .wait_for_picture(Duration::from_secs(hold_s + 15))
        .unwrap();
    publisher.wait(Duration::from_secs(60)).unwrap();
    tokio::time::sleep(Duration::from_secs(hold_s)).await;
    let recording = recorder.stop().unwrap();
    let path = recording.path.unwrap();

    let units = UnitReport::of_files(&clip, &path).unwrap();
    assert!(units.identical(2.0), "{units:#?}");
    let comparison = AvReport::of_file(&path, BEEP_HZ)
        .unwrap()
        .against(&AvReport::of_file(&clip, BEEP_HZ).unwrap());
    eprintln!("{comparison:#?}");
    assert!(
        comparison.median_ms.abs() <= 5.0 && comparison.worst_ms.abs() <= 20.0,
        "{comparison:#?}"
    );
    live.stack.stop().await;
}

#[tokio::test]
async fn every_access_unit_of_48_khz_input_arrives_untouched_and_in_sync_at_a_hold_of_2_s() {
    relay("bypass-48k-2s", 48_000, "2s", 2).await;
}

#[tokio::test]
async fn every_access_unit_of_44_khz_input_arrives_untouched_and_in_sync_at_a_hold_of_10_s() {
    relay("bypass-44k-10s", 44_100, "10s", 10).await;
}
