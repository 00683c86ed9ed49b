//! Dialling Gemini Live over real sockets: plain, TLS, by a proxy, with a key and with a service account.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod place;

use dubber::gemini::dial::dial;
use gemini_live::Ending;
use place::{Twin, target};

#[tokio::test]
async fn a_plain_address_is_upgraded_by_http_and_by_ws() {
    let twin = Twin::plain().await;
    for scheme in ["http", "ws"] {
        let base = format!("{scheme}://{}", twin.address);
        let mut wire = dial(&target(&[("WORKER_GEMINI_BASE_URL", &base)])).await.unwrap();
        place::set_up(&mut wire).await;
    }
}

#[tokio::test]
async fn tls_trusts_the_authority_that_ssl_cert_file_names_and_nobody_else() {
    let twin = Twin::tls().await;
    let authority = twin.authority();
    for scheme in ["https", "wss"] {
        let base = format!("{scheme}://localhost:{}", twin.address.port());
        let trusting = target(&[("WORKER_GEMINI_BASE_URL", &base), ("SSL_CERT_FILE", &authority)]);
        place::set_up(&mut dial(&trusting).await.unwrap()).await;
        let doubting = target(&[("WORKER_GEMINI_BASE_URL", &base)]);
        assert_eq!(dial(&doubting).await.err(), Some(Ending::Unreachable));
    }
}
