//! Settings of media-edge. `serve` and each child read the same environment, so that a worker can be started by hand
//! exactly as `serve` starts it.

mod source;

pub use source::{InputProtocol, Protocol, unsupported_video};

use crate::link::lines::Source;
use media_types::StreamId;
use service_kit::settings::{ConfigErrors, Env, Reader, Setting};
use service_kit::telemetry::TelemetryConfig;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What stands in a URL setting where the stream id goes.
const STREAM_ID_PLACE: &str = "{stream_id}";
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const READY_TIMEOUT: RangeInclusive<Duration> = SECOND..=Duration::from_secs(300);
const BUFFERED_AUDIO: RangeInclusive<Duration> = Duration::from_millis(250)..=MINUTE;

macro_rules! settings {
    ($($name:ident $key:literal $default:literal $allowed:literal $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $name: Setting = Setting { key: $key, default: $default, allowed: $allowed, help: $help };
        )*
        /// Every setting of media-edge's own; those of logs and traces come from service-kit.
        pub const SETTINGS: &[Setting] = &[$($name,)*];
    };
}

settings! {
    GRPC_ADDR "MEDIA_EDGE_GRPC_ADDR" "0.0.0.0:50052" "IP:PORT"
        "Where media-edge answers gRPC.";
    ADMIN_ADDR "MEDIA_EDGE_ADMIN_ADDR" "0.0.0.0:9102" "IP:PORT"
        "Where media-edge answers /metrics, /livez and /readyz.";
    DUBBER_URL "MEDIA_EDGE_DUBBER_URL" "http://dubber:50053" "http://HOST:PORT"
        "Where workers reach the dubber.";
    MAX_WORKERS "MEDIA_EDGE_MAX_WORKERS" "0" "0..10000"
        "Most workers at a time; 0 sets no limit.";
    DRAIN_TIMEOUT "MEDIA_EDGE_DRAIN_TIMEOUT" "8s" "1s..1m"
        "Within this time of SIGTERM all workers are gone; what they hold is discarded.";
    INGEST_NO_DATA "MEDIA_EDGE_INGEST_NO_DATA" "10s" "1s..1m"
        "A source that sends nothing for this long is pulled anew.";
    MEDIAMTX_HOST "WORKER_MEDIAMTX_HOST" "mediamtx" "a host name or an IP address"
        "Host of MediaMTX.";
    MEDIAMTX_RTSP_PORT "WORKER_MEDIAMTX_RTSP_PORT" "8554" "1..65535"
        "RTSP port of MediaMTX.";
    MEDIAMTX_RTMP_PORT "WORKER_MEDIAMTX_RTMP_PORT" "1935" "1..65535"
        "RTMP port of MediaMTX.";
    MEDIAMTX_SRT_PORT "WORKER_MEDIAMTX_SRT_PORT" "8890" "1..65535"
        "SRT port of MediaMTX.";
    INPUT_PROTOCOL "WORKER_INPUT_PROTOCOL" "auto" "auto|rtmp|rtsp|srt"
        "How a worker pulls its source; auto decides by the tracks.";
    INPUT_URL "WORKER_INPUT_URL" "" "rtmp://, rtsp:// or srt:// URL, {stream_id} in it is replaced"
        "URL of the source; unset derives it from the MediaMTX settings. Its scheme wins over the protocol setting.";
    OUTPUT_URL "WORKER_OUTPUT_URL" "" "rtmp:// URL, {stream_id} in it is replaced"
        "URL of the dubbed output; unset derives it from the MediaMTX settings.";
    WORKER_READY_TIMEOUT "WORKER_READY_TIMEOUT" "15s" "1s..5m"
        "A worker whose source is not connected within this time of its start is stopped with exit code 75.";
    MAX_BUFFERED_AUDIO "WORKER_BACKPRESSURE_MAX_BUFFERED_AUDIO" "3s" "250ms..1m"
        "Past this much audio that waits for the dubber the feed stalls and the fallback airs.";
    BACKPRESSURE_MODE "WORKER_BACKPRESSURE_MODE" "stall" "stall"
        "What happens past the limit; this version stalls the feed.";
    MAX_INFLIGHT "WORKER_MAX_INFLIGHT" "5" "1..16"
        "Most unanswered source speech, in fragments.";
    DUB_BACKLOG_MAX "WORKER_DUB_BACKLOG_MAX" "4s" "0s..30s"
        "How far behind its own phrase a dub may start; phrases that would start later are dropped whole, unless they end in time.";
    VIDEO_MODE "WORKER_VIDEO_MODE" "copy" "copy"
        "Video is passed through untouched.";
    PCM_FORMAT "WORKER_AUDIO_PCM_FORMAT" "s16le" "s16le"
        "Sample format between the services.";
    PCM_SAMPLE_RATE_HZ "WORKER_AUDIO_PCM_SAMPLE_RATE_HZ" "48000" "48000"
        "Sample rate between the services.";
    PCM_CHANNELS "WORKER_AUDIO_PCM_CHANNELS" "2" "2"
        "Channels between the services.";
    EXECUTION_PROFILE "EXECUTION_PROFILE" "cpu" "cpu"
        "What media is worked on with; this version has the CPU alone.";
    AAC_BITRATE "WORKER_AAC_BITRATE" "128000" "32000..320000"
        "Bit rate of the dubbed audio, in bit/s.";
}

/// Settings of `serve`.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Where gRPC is answered.
    pub grpc_addr: SocketAddr,
    /// Where metrics and health are answered.
    pub admin_addr: SocketAddr,
    /// Most workers at a time; nothing sets no limit.
    pub workers_max: Option<usize>,
    /// From the stop to the end of the last worker.
    pub drain_timeout: Duration,
    /// From a worker's start to its connected source.
    pub ready_timeout: Duration,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

impl ServeConfig {
    /// Reads and checks everything, the settings of the children included, so that a wrong one stops the service
    /// and not each worker.
    ///
    /// # Errors
    /// Every value that was refused.
    pub fn read(env: &Env) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(env);
        let worker = WorkerConfig::read_with(&mut reader);
        let workers_max: usize = reader.number(&MAX_WORKERS, 0..=10_000);
        let config = Self {
            grpc_addr: reader.address(&GRPC_ADDR),
            admin_addr: reader.address(&ADMIN_ADDR),
            workers_max: (workers_max > 0).then_some(workers_max),
            drain_timeout: reader.duration(&DRAIN_TIMEOUT, SECOND..=MINUTE),
            ready_timeout: worker.ready_timeout,
            telemetry: worker.telemetry,
        };
        reader.finish().map(|()| config)
    }
}

/// Settings of `worker` and of its `ingest`.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Host of MediaMTX.
    pub mediamtx_host: String,
    /// RTSP port of MediaMTX.
    pub rtsp_port: u16,
    /// RTMP port of MediaMTX.
    pub rtmp_port: u16,
    /// SRT port of MediaMTX.
    pub srt_port: u16,
    /// How the source is pulled when no URL says so.
    pub input_protocol: InputProtocol,
    /// URL of the source, with a place for the stream id.
    pub input_url: Option<String>,
    /// URL of the output, with a place for the stream id.
    pub output_url: Option<String>,
    /// Where the dubber is.
    pub dubber_url: String,
    /// From the start to the connected source.
    pub ready_timeout: Duration,
    /// Audio that may wait for the dubber.
    pub buffered_audio_max: Duration,
    /// Unanswered source speech, in fragments.
    pub in_flight_fragments_max: u32,
    /// How far behind its own phrase a dub may start.
    pub dub_backlog_max: Duration,
    /// Bit rate of the dubbed audio, in bit/s.
    pub aac_bitrate: u32,
    /// A source silent for this long is pulled anew.
    pub ingest_no_data: Duration,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

impl WorkerConfig {
    /// Reads and checks everything that a worker and its ingest use.
    ///
    /// # Errors
    /// Every value that was refused.
    pub fn read(env: &Env) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(env);
        let config = Self::read_with(&mut reader);
        reader.finish().map(|()| config)
    }

    fn read_with(reader: &mut Reader<'_>) -> Self {
        for fixed in [
            &VIDEO_MODE,
            &PCM_FORMAT,
            &PCM_SAMPLE_RATE_HZ,
            &PCM_CHANNELS,
            &BACKPRESSURE_MODE,
            &EXECUTION_PROFILE,
        ] {
            reader.fixed(fixed);
        }
        Self {
            mediamtx_host: read_host(reader),
            rtsp_port: reader.number(&MEDIAMTX_RTSP_PORT, 1..=u16::MAX),
            rtmp_port: reader.number(&MEDIAMTX_RTMP_PORT, 1..=u16::MAX),
            srt_port: reader.number(&MEDIAMTX_SRT_PORT, 1..=u16::MAX),
            input_protocol: reader.word(&INPUT_PROTOCOL),
            input_url: read_template(reader, &INPUT_URL, Protocol::SCHEMES),
            output_url: read_template(reader, &OUTPUT_URL, &["rtmp"]),
            dubber_url: reader.url(&DUBBER_URL, &["http"]),
            ready_timeout: reader.duration(&WORKER_READY_TIMEOUT, READY_TIMEOUT),
            buffered_audio_max: reader.duration(&MAX_BUFFERED_AUDIO, BUFFERED_AUDIO),
            in_flight_fragments_max: reader.number(&MAX_INFLIGHT, 1..=16),
            dub_backlog_max: reader.duration(&DUB_BACKLOG_MAX, Duration::ZERO..=Duration::from_secs(30)),
            aac_bitrate: reader.number(&AAC_BITRATE, 32_000..=320_000),
            ingest_no_data: reader.duration(&INGEST_NO_DATA, SECOND..=MINUTE),
            telemetry: TelemetryConfig::read(reader),
        }
    }

    /// How to pull a source: an explicit URL decides, then an explicit protocol, then what the source is.
    pub fn choose_protocol(&self, source: &Source) -> Protocol {
        if let Some(protocol) = self.input_url.as_deref().and_then(Protocol::of_url) {
            return protocol;
        }
        match self.input_protocol {
            InputProtocol::Auto => Protocol::for_source(source),
            InputProtocol::Explicit(protocol) => protocol,
        }
    }

    /// URL of the source of a stream.
    pub fn input(&self, stream_id: &StreamId, protocol: Protocol) -> String {
        if let Some(template) = &self.input_url {
            return template.replace(STREAM_ID_PLACE, stream_id.as_str());
        }
        let host = self.host();
        match protocol {
            Protocol::Rtmp => format!("rtmp://{host}:{}/live/{stream_id}/in", self.rtmp_port),
            Protocol::Rtsp => format!("rtsp://{host}:{}/live/{stream_id}/in", self.rtsp_port),
            Protocol::Srt => format!("srt://{host}:{}?streamid=read:live/{stream_id}/in", self.srt_port),
        }
    }

    /// URL of the dubbed output of a stream.
    pub fn output(&self, stream_id: &StreamId) -> String {
        match &self.output_url {
            Some(template) => template.replace(STREAM_ID_PLACE, stream_id.as_str()),
            None => format!("rtmp://{}:{}/live/{stream_id}/out", self.host(), self.rtmp_port),
        }
    }

    /// The host as a URL spells it: an IPv6 address stands in brackets.
    fn host(&self) -> String {
        if self.mediamtx_host.contains(':') && !self.mediamtx_host.starts_with('[') {
            format!("[{}]", self.mediamtx_host)
        } else {
            self.mediamtx_host.clone()
        }
    }
}

fn read_host(reader: &mut Reader<'_>) -> String {
    let host = reader.text(&MEDIAMTX_HOST);
    if host.contains(|c: char| !(c.is_ascii_alphanumeric() || "-._:[]".contains(c))) {
        reader.reject(
            &MEDIAMTX_HOST,
            &host,
            "is no host: write it without scheme, port and path",
        );
    }
    host
}

/// A URL that may hold the place of the stream id.
fn read_template(reader: &mut Reader<'_>, setting: &Setting, schemes: &[&str]) -> Option<String> {
    let url = Some(reader.url(setting, schemes)).filter(|url| !url.is_empty())?;
    if url.replace(STREAM_ID_PLACE, "").contains(['{', '}']) {
        reader.reject(setting, &url, "has a place in braces other than {stream_id}");
    }
    Some(url)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn worker(pairs: &[(&str, &str)]) -> WorkerConfig {
        WorkerConfig::read(&Env::from_pairs(pairs.iter().copied())).unwrap()
    }

    fn of_tracks(names: &[&str]) -> Source {
        Source {
            tracks: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Source::default()
        }
    }

    #[test]
    fn an_empty_environment_gives_the_defaults() {
        let serve = ServeConfig::read(&Env::default()).unwrap();
        assert_eq!(serve.grpc_addr, "0.0.0.0:50052".parse().unwrap());
        assert_eq!(serve.admin_addr, "0.0.0.0:9102".parse().unwrap());
        assert_eq!(serve.workers_max, None);
        assert_eq!(
            (serve.ready_timeout, serve.drain_timeout),
            (Duration::from_secs(15), Duration::from_secs(8))
        );
        let worker = worker(&[]);
        assert_eq!(worker.dubber_url, "http://dubber:50053");
        assert_eq!(
            (worker.buffered_audio_max, worker.in_flight_fragments_max),
            (Duration::from_secs(3), 5)
        );
        assert_eq!(worker.dub_backlog_max, Duration::from_secs(4));
        assert_eq!(
            (worker.aac_bitrate, worker.ingest_no_data),
            (128_000, Duration::from_secs(10))
        );
    }

    #[test]
    fn no_key_is_declared_twice_and_none_is_without_meaning() {
        let keys: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.key).collect();
        assert_eq!(keys.len(), SETTINGS.len());
        assert!(
            SETTINGS
                .iter()
                .all(|setting| !setting.help.is_empty() && !setting.allowed.is_empty())
        );
    }

    #[test]
    fn every_wrong_value_is_named_at_once() {
        let wrong = [
            ("MEDIA_EDGE_GRPC_ADDR", "here"),
            ("MEDIA_EDGE_MAX_WORKERS", "-1"),
            ("MEDIA_EDGE_DUBBER_URL", "ftp://dubber"),
            ("WORKER_MEDIAMTX_HOST", "rtmp://mediamtx"),
            ("WORKER_INPUT_PROTOCOL", "webrtc"),
            ("WORKER_INPUT_URL", "http://a/b"),
            ("WORKER_OUTPUT_URL", "rtmp://a/{run_id}"),
            ("WORKER_READY_TIMEOUT", "500ms"),
            ("WORKER_MAX_INFLIGHT", "17"),
            ("WORKER_DUB_BACKLOG_MAX", "31s"),
            ("WORKER_VIDEO_MODE", "encode"),
            ("WORKER_AUDIO_PCM_FORMAT", "f32"),
            ("WORKER_AUDIO_PCM_SAMPLE_RATE_HZ", "44100"),
            ("WORKER_AUDIO_PCM_CHANNELS", "1"),
            ("WORKER_BACKPRESSURE_MODE", "drop"),
            ("EXECUTION_PROFILE", "cuda"),
        ];
        let errors = ServeConfig::read(&Env::from_pairs(wrong)).unwrap_err();
        let named: BTreeSet<_> = errors.errors().iter().map(|error| error.key.as_str()).collect();
        assert_eq!(named, wrong.iter().map(|(key, _)| *key).collect());
    }

    #[test]
    fn urls_are_derived_from_the_media_server() {
        let id = StreamId::new("derby").unwrap();
        let config = worker(&[
            ("WORKER_MEDIAMTX_HOST", "host"),
            ("WORKER_MEDIAMTX_SRT_PORT", "9000"),
        ]);
        assert_eq!(
            config.input(&id, Protocol::Rtmp),
            "rtmp://host:1935/live/derby/in"
        );
        assert_eq!(
            config.input(&id, Protocol::Rtsp),
            "rtsp://host:8554/live/derby/in"
        );
        assert_eq!(
            config.input(&id, Protocol::Srt),
            "srt://host:9000?streamid=read:live/derby/in"
        );
        assert_eq!(config.output(&id), "rtmp://host:1935/live/derby/out");
        assert_eq!(
            worker(&[("WORKER_MEDIAMTX_HOST", "::1")]).output(&id),
            "rtmp://[::1]:1935/live/derby/out"
        );
    }

    #[test]
    fn an_explicit_url_wins_by_its_scheme() {
        let id = StreamId::new("derby").unwrap();
        let config = worker(&[
            ("WORKER_INPUT_URL", "srt://cam:1?streamid={stream_id}"),
            ("WORKER_INPUT_PROTOCOL", "rtsp"),
            ("WORKER_OUTPUT_URL", "rtmp://other/app/{stream_id}"),
        ]);
        assert_eq!(config.choose_protocol(&of_tracks(&["H264"])), Protocol::Srt);
        assert_eq!(config.input(&id, Protocol::Srt), "srt://cam:1?streamid=derby");
        assert_eq!(config.output(&id), "rtmp://other/app/derby");
    }

    #[test]
    fn an_explicit_protocol_wins_over_the_tracks() {
        let config = worker(&[("WORKER_INPUT_PROTOCOL", "srt")]);
        assert_eq!(
            config.choose_protocol(&of_tracks(&["H264", "MPEG-4 Audio"])),
            Protocol::Srt
        );
        assert_eq!(
            worker(&[]).choose_protocol(&of_tracks(&["H264", "Opus"])),
            Protocol::Rtsp
        );
    }
}
