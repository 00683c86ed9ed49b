//! Every port of the stack: one table, from which the environment of the parts, the check for free ports and the
//! addresses for tests are all made.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use service_kit::settings::Env;

use crate::part::Name;

/// How a port is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A listening stream socket.
    Tcp,
    /// A datagram socket.
    Udp,
}

/// One port of one part.
#[derive(Debug, Clone, Copy)]
pub struct Listener {
    /// Part that listens.
    pub part: Name,
    /// Setting that holds the address.
    pub key: &'static str,
    /// Port without offset.
    pub port: u16,
    /// How it is used.
    pub transport: Transport,
}

const fn tcp(part: Name, key: &'static str, port: u16) -> Listener {
    Listener {
        part,
        key,
        port,
        transport: Transport::Tcp,
    }
}

const fn udp(part: Name, key: &'static str, port: u16) -> Listener {
    Listener {
        part,
        key,
        port,
        transport: Transport::Udp,
    }
}

/// All of them. The last two digits of the ports differ within a transport, so that offsets in steps of 100 never
/// meet.
pub const LISTENERS: &[Listener] = &[
    tcp(Name::MediaMtx, "MTX_RTMPADDRESS", 1935),
    tcp(Name::MediaMtx, "MTX_RTSPADDRESS", 8554),
    udp(Name::MediaMtx, "MTX_SRTADDRESS", 8890),
    tcp(Name::MediaMtx, "MTX_HLSADDRESS", 8888),
    tcp(Name::MediaMtx, "MTX_WEBRTCADDRESS", 8889),
    udp(Name::MediaMtx, "MTX_WEBRTCLOCALUDPADDRESS", 8189),
    tcp(Name::MediaMtx, "MTX_APIADDRESS", 9997),
    tcp(Name::MediaMtx, "MTX_METRICSADDRESS", 9998),
    tcp(Name::MediaMtx, "MTX_PLAYBACKADDRESS", 9996),
    tcp(Name::Orchestrator, "ORCH_HTTP_ADDR", 8080),
    tcp(Name::Orchestrator, "ORCH_GRPC_ADDR", 50051),
    tcp(Name::Orchestrator, "ORCH_ADMIN_ADDR", 9101),
    tcp(Name::MediaEdge, "MEDIA_EDGE_GRPC_ADDR", 50052),
    tcp(Name::MediaEdge, "MEDIA_EDGE_ADMIN_ADDR", 9102),
    tcp(Name::Dubber, "DUBBER_GRPC_ADDR", 50053),
    tcp(Name::Dubber, "DUBBER_ADMIN_ADDR", 9103),
    tcp(Name::Twin, "TWIN_ADDR", 50060),
    tcp(Name::Jaeger, "JAEGER_QUERY_ADDR", 16686),
    tcp(Name::Jaeger, "JAEGER_QUERY_GRPC_ADDR", 16685),
    tcp(Name::Jaeger, "JAEGER_OTLP_GRPC_ADDR", 4317),
];

impl Listener {
    /// Where it listens: as the environment says, else on the loopback interface at the default port plus `offset`.
    #[must_use]
    pub fn address(&self, env: &Env, offset: u16) -> SocketAddr {
        let default = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.port.saturating_add(offset));
        env.get(self.key).and_then(parse_address).unwrap_or(default)
    }
}

/// `host:port` with an address as host; an empty host means every interface, as MediaMTX writes it.
fn parse_address(text: &str) -> Option<SocketAddr> {
    if let Some(port) = text.strip_prefix(':') {
        return Some(SocketAddr::new(
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port.parse().ok()?,
        ));
    }
    text.parse().ok()
}

/// An address that a client on this machine can use.
#[must_use]
pub fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        return SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
    }
    address
}

/// The ports of one stack, as a client on this machine uses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// What was added to the defaults.
    pub offset: u16,
    /// RTMP of MediaMTX.
    pub rtmp: u16,
    /// RTSP of MediaMTX, over TCP.
    pub rtsp: u16,
    /// SRT of MediaMTX, UDP.
    pub srt: u16,
    /// HLS of MediaMTX.
    pub hls: u16,
    /// WHIP and WHEP of MediaMTX.
    pub webrtc: u16,
    /// Control API of MediaMTX.
    pub mediamtx_api: u16,
    /// Metrics of MediaMTX.
    pub mediamtx_metrics: u16,
    /// Playback of MediaMTX.
    pub playback: u16,
    /// Hooks and JSON API of the orchestrator.
    pub orchestrator_http: u16,
    /// gRPC of the orchestrator.
    pub orchestrator_grpc: u16,
    /// Metrics and health of the orchestrator.
    pub orchestrator_admin: u16,
    /// gRPC of media-edge.
    pub media_edge_grpc: u16,
    /// Metrics and health of media-edge.
    pub media_edge_admin: u16,
    /// gRPC of the dubber.
    pub dubber_grpc: u16,
    /// Metrics and health of the dubber.
    pub dubber_admin: u16,
    /// The Gemini twin.
    pub twin: u16,
    /// UI and query API of Jaeger.
    pub jaeger: u16,
    /// OTLP over gRPC of Jaeger.
    pub otlp: u16,
}

impl Ports {
    /// The ports that a stack with this environment and offset has.
    #[must_use]
    pub fn of(env: &Env, offset: u16) -> Self {
        let port = |key: &str| {
            LISTENERS
                .iter()
                .find(|listener| listener.key == key)
                .map_or(0, |listener| listener.address(env, offset).port())
        };
        Self {
            offset,
            rtmp: port("MTX_RTMPADDRESS"),
            rtsp: port("MTX_RTSPADDRESS"),
            srt: port("MTX_SRTADDRESS"),
            hls: port("MTX_HLSADDRESS"),
            webrtc: port("MTX_WEBRTCADDRESS"),
            mediamtx_api: port("MTX_APIADDRESS"),
            mediamtx_metrics: port("MTX_METRICSADDRESS"),
            playback: port("MTX_PLAYBACKADDRESS"),
            orchestrator_http: port("ORCH_HTTP_ADDR"),
            orchestrator_grpc: port("ORCH_GRPC_ADDR"),
            orchestrator_admin: port("ORCH_ADMIN_ADDR"),
            media_edge_grpc: port("MEDIA_EDGE_GRPC_ADDR"),
            media_edge_admin: port("MEDIA_EDGE_ADMIN_ADDR"),
            dubber_grpc: port("DUBBER_GRPC_ADDR"),
            dubber_admin: port("DUBBER_ADMIN_ADDR"),
            twin: port("TWIN_ADDR"),
            jaeger: port("JAEGER_QUERY_ADDR"),
            otlp: port("JAEGER_OTLP_GRPC_ADDR"),
        }
    }

    /// RTMP URL of a path such as `live/demo/in`.
    #[must_use]
    pub fn rtmp_url(&self, path: &str) -> String {
        format!("rtmp://127.0.0.1:{}/{path}", self.rtmp)
    }

    /// RTSP URL of a path.
    #[must_use]
    pub fn rtsp_url(&self, path: &str) -> String {
        format!("rtsp://127.0.0.1:{}/{path}", self.rtsp)
    }

    /// SRT URL under which a path is published.
    #[must_use]
    pub fn srt_publish_url(&self, path: &str) -> String {
        format!(
            "srt://127.0.0.1:{}?streamid=publish:{path}&pkt_size=1316",
            self.srt
        )
    }

    /// Page on which a browser plays a path.
    #[must_use]
    pub fn hls_page(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}/", self.hls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_offset_is_added_to_every_port() {
        let ports = Ports::of(&Env::default(), 300);
        assert_eq!(
            (ports.rtmp, ports.hls, ports.dubber_grpc, ports.otlp),
            (2235, 9188, 50353, 4617)
        );
    }

    #[test]
    fn stacks_a_multiple_of_100_apart_share_no_port() {
        for transport in [Transport::Tcp, Transport::Udp] {
            let ports: Vec<u16> = LISTENERS
                .iter()
                .filter(|l| l.transport == transport)
                .map(|l| l.port % 100)
                .collect();
            let distinct: BTreeSet<u16> = ports.iter().copied().collect();
            assert_eq!(ports.len(), distinct.len(), "{ports:?}");
        }
    }

    #[test]
    fn an_address_from_the_environment_wins_over_the_offset() {
        let env = Env::from_pairs([("ORCH_HTTP_ADDR", "0.0.0.0:7000"), ("MTX_RTMPADDRESS", ":1936")]);
        let ports = Ports::of(&env, 100);
        assert_eq!(
            (ports.orchestrator_http, ports.rtmp, ports.rtsp),
            (7000, 1936, 8654)
        );
    }
}
