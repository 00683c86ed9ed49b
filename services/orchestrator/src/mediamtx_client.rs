//! MediaMTX's Control API: who publishes.
//!
//! Releases differ in their fields, so everything but the name is optional. While the API does not answer, nobody
//! hears anything from here: silence is no testimony.
use crate::registry::{Input, Registry};
use serde::Deserialize;
use service_kit::Clock;
use std::time::Duration;
use stream_lifecycle::Source;
use tokio_util::sync::CancellationToken;

/// Longest wait for one answer; a blocked path manager blocks the listing.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1500);
/// Paths asked for at a time.
const ITEMS_PER_PAGE: usize = 500;
/// Pages in one listing; more than two hundred thousand paths are no listing but a fault.
const PAGES_MAX: usize = 400;
/// Attempts to learn the tracks of a path that has just become ready, and the wait between them.
const TRACKS_ATTEMPTS: u32 = 3;
const TRACKS_PAUSE: Duration = Duration::from_millis(120);

/// A path that has a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivePath {
    /// Its name.
    pub name: String,
    /// Its source.
    pub source: Source,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    page_count: Option<usize>,
    #[serde(default)]
    items: Option<Vec<PathItem>>,
}

#[derive(Deserialize)]
struct PathItem {
    name: String,
    ready: Option<bool>,
    available: Option<bool>,
    source: Option<SourceItem>,
    tracks: Option<Vec<String>>,
    tracks2: Option<Vec<TrackItem>>,
}

#[derive(Deserialize)]
struct SourceItem {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    id: String,
}

#[derive(Deserialize)]
struct TrackItem {
    #[serde(default)]
    codec: String,
}

#[derive(Deserialize)]
struct ConnectionItem {
    query: Option<String>,
}

impl PathItem {
    fn into_live(self) -> Option<LivePath> {
        if !self.available.or(self.ready).unwrap_or(false) {
            return None;
        }
        let described = self
            .tracks2
            .map(|tracks| tracks.into_iter().map(|track| track.codec).collect());
        let source = self.source.unwrap_or(SourceItem {
            kind: String::new(),
            id: String::new(),
        });
        Some(LivePath {
            name: self.name,
            source: Source {
                source_id: source.id,
                source_type: source.kind,
                tracks: self.tracks.or(described).unwrap_or_default(),
            },
        })
    }
}

/// Asks the Control API; cheap to clone.
#[derive(Clone, Debug)]
pub struct MediaMtxClient {
    http: reqwest::Client,
    base_url: String,
}

impl MediaMtxClient {
    /// Connects with the first question.
    pub fn new(base_url: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(ANSWER_TIMEOUT)
            .connect_timeout(ANSWER_TIMEOUT)
            // MediaMTX is a part of the house; a proxy in the environment leads outside it.
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            base_url: base_url.to_owned(),
        })
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, reqwest::Error> {
        self.http
            .get(format!("{}{path}", self.base_url))
            .send()
            .await?
            .error_for_status()?
            .json()
            .await
    }

    /// Every path that has a source.
    pub async fn live_paths(&self) -> Result<Vec<LivePath>, reqwest::Error> {
        let mut live = Vec::new();
        for number in 0..PAGES_MAX {
            let page: Page = self
                .get(&format!(
                    "/v3/paths/list?itemsPerPage={ITEMS_PER_PAGE}&page={number}"
                ))
                .await?;
            let items = page.items.unwrap_or_default();
            let is_last = items.is_empty()
                || page
                    .page_count
                    .is_some_and(|count| count <= number.saturating_add(1));
            live.extend(items.into_iter().filter_map(PathItem::into_live));
            if is_last {
                break;
            }
        }
        Ok(live)
    }

    /// The source with its tracks as the API shows them; as it is when the API shows another one or none in time.
    pub async fn describe(&self, path: &str, mut source: Source) -> Source {
        for attempt in 0..TRACKS_ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(TRACKS_PAUSE).await;
            }
            match self.get::<PathItem>(&format!("/v3/paths/get/{path}")).await {
                Ok(item) => {
                    let live = item
                        .into_live()
                        .filter(|live| live.source.source_id == source.source_id);
                    if let Some(live) = live.filter(|live| !live.source.tracks.is_empty()) {
                        source.tracks = live.source.tracks;
                        return source;
                    }
                }
                // A slow API must not hold up the start.
                Err(error) if error.is_timeout() || error.is_connect() => break,
                Err(_) => {}
            }
        }
        source
    }

    /// Query of a publisher's URL; for a publisher whose hook was missed.
    pub async fn query_of(&self, source: &Source) -> Option<String> {
        let family = match source.source_type.as_str() {
            "rtmpConn" => "rtmpconns",
            "rtmpsConn" => "rtmpsconns",
            "rtspSession" => "rtspsessions",
            "rtspsSession" => "rtspssessions",
            "srtConn" => "srtconns",
            "webRTCSession" => "webrtcsessions",
            _ => return None,
        };
        let known = source
            .source_id
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !known {
            return None;
        }
        let path = format!("/v3/{family}/get/{}", source.source_id);
        self.get::<ConnectionItem>(&path).await.ok()?.query
    }

    /// Lists the paths for the registry until the token is cancelled.
    pub async fn watch(
        self,
        registry: Registry,
        clock: Clock,
        interval: Duration,
        token: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut answers = None;
        loop {
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            let asked_at = media_types::Tick::from_nanos(clock.now());
            let listing = tokio::select! {
                () = token.cancelled() => return Ok(()),
                listing = self.live_paths() => listing,
            };
            let answered = listing.is_ok();
            match listing {
                Ok(paths) => {
                    if answers != Some(true) {
                        tracing::info!(paths = paths.len(), "control api answers");
                    }
                    registry.send(Input::Paths { asked_at, paths }).await;
                }
                Err(error) if answers != Some(false) => {
                    tracing::warn!(
                        error = format!("{:#}", anyhow::Error::new(error)),
                        "control api does not answer; streams stay as they are"
                    );
                }
                Err(_) => {}
            }
            answers = Some(answered);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn live(json: &str) -> Option<LivePath> {
        serde_json::from_str::<PathItem>(json).unwrap().into_live()
    }

    #[test]
    fn items_of_old_and_new_releases_are_understood() {
        let old = live(
            r#"{"name":"live/a/in","ready":true,"source":{"type":"rtmpConn","id":"x"},"tracks":["H264"]}"#,
        );
        let new = live(
            r#"{"name":"live/a/in","confName":"c","available":true,"online":true,"source":{"type":"rtmpConn","id":"x"},
               "tracks2":[{"codec":"H264","codecProps":{"width":1}}],"readers":[]}"#,
        );
        assert_eq!(old, new);
        assert_eq!(old.unwrap().source.tracks, ["H264"]);
    }

    #[test]
    fn a_path_without_a_source_is_not_live() {
        assert_eq!(live(r#"{"name":"live/a/in"}"#), None);
        assert_eq!(
            live(r#"{"name":"live/a/in","ready":true,"available":false}"#),
            None
        );
        assert_eq!(
            live(r#"{"name":"live/a/in","ready":true,"source":null}"#)
                .unwrap()
                .source,
            Source::default()
        );
    }
}
