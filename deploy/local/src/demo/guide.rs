//! What a first listener is told: where to watch, what to try.

use service_kit::settings::Env;

use super::STREAM;
use super::live::Length;
use crate::Stack;
use crate::tools::{self, Tool};

/// The text.
pub fn text(stack: &Stack, length: Length) -> String {
    let ports = stack.ports();
    let output = format!("live/{STREAM}/out");
    let grpcurl = match tools::find(Tool::Grpcurl, &Env::from_process()) {
        Some(found) => format!("try ({} is grpcurl)", found.path.display()),
        None => "try, with grpcurl (`make tools` gets one)".to_owned(),
    };
    let jaeger = if stack.is_traced() {
        format!(
            "where each millisecond of a fragment went\n  Jaeger    http://127.0.0.1:{0}  (built from its module its page is a \
             placeholder; the API works: http://127.0.0.1:{0}/api/traces?service=media-edge&limit=1)\n",
            ports.jaeger
        )
    } else {
        "traces are off: there is no Jaeger at hand (`make tools` gets one)\n".to_owned()
    };
    let until = match length.on_air {
        Some(length) => format!("for {} s, or until Ctrl-C", length.as_secs()),
        None => "until Ctrl-C".to_owned(),
    };
    format!(
        "\nON AIR {until}\n\
         watch\n  browser   {hls}\n  ffplay    ffplay -fflags nobuffer {rtsp}\n            ffplay {rtmp}\n\
         {grpcurl}\n  grpcurl -plaintext 127.0.0.1:{edge} list\n  \
         grpcurl -plaintext 127.0.0.1:{dubber} dub.v1.DubService/ListSessions\n  \
         grpcurl -plaintext -d '{{\"stream_id\":\"{STREAM}\"}}' 127.0.0.1:{edge} edge.v1.EdgeService/GetWorker\n  \
         grpcurl -plaintext -d '{{\"stream_id\":\"{STREAM}\",\"state\":\"AIR_STATE_ORIGINAL\"}}' 127.0.0.1:{edge} \
         edge.v1.EdgeService/SetAir   (back: AIR_STATE_DUB)\n\
         {jaeger}",
        hls = ports.hls_page(&output),
        rtsp = ports.rtsp_url(&output),
        rtmp = ports.rtmp_url(&output),
        edge = ports.media_edge_grpc,
        dubber = ports.dubber_grpc,
    )
}
