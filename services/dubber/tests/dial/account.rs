//! Vertex AI with a service account.
use crate::account_key;
use crate::place::{self, Scripted, Twin, read};
use dubber::gemini::dial::{dial, dial_or_tell};
use gemini_live::Ending;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// The key file of an account whose tokens come from there.
fn account(token_uri: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("account.json");
    let json = json!({
        "type": "service_account", "client_email": "dub@project.iam.gserviceaccount.com",
        "private_key": account_key::key(), "token_uri": token_uri,
    });
    std::fs::write(&file, json.to_string()).unwrap();
    let path = file.display().to_string();
    (folder, path)
}

fn vertex<'s>(base: &'s str, file: &'s str) -> [(&'s str, &'s str); 3] {
    [
        ("WORKER_GEMINI_BASE_URL", base),
        ("WORKER_GEMINI_VERTEX_PROJECT", "my-project"),
        ("WORKER_GEMINI_VERTEX_CREDENTIALS_FILE", file),
    ]
}

/// An answer of HTTP with a body.
fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn vertex_is_called_with_a_token_of_the_service_account_by_tls_and_plain() {
    for tls in [false, true] {
        let twin = Twin::start(tls, "");
        let scheme = if tls { "https" } else { "http" };
        let base = format!("{scheme}://localhost:{}", twin.address.port());
        let (_folder, file) = account(&format!("{base}/token"));
        let authority = twin.authority();
        let trust = tls.then_some(("SSL_CERT_FILE", authority.as_str()));
        let target = read(vertex(&base, &file).into_iter().chain(trust)).unwrap();
        assert!(
            target
                .endpoint()
                .model("m")
                .starts_with("projects/my-project/locations/us-central1/")
        );
        place::set_up(&mut dial(&target).await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_anew_when_it_is_refused() {
    let (tokens, calls) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let server = Scripted::start(move |request| {
        if request.starts_with("POST /token ") {
            let number = tokens.fetch_add(1, Ordering::Relaxed) + 1;
            let granted = json!({"access_token": format!("secret-{number}"), "expires_in": 3600});
            return answer("200 OK", &granted.to_string());
        }
        // The first token is withdrawn before the second call.
        match calls.fetch_add(1, Ordering::Relaxed) {
            1 => answer("401 Unauthorized", "secret-1 is over"),
            _ => answer("503 Busy", ""),
        }
    })
    .await;
    let (_folder, file) = account(&format!("{}/token", server.base()));
    let base = server.base();
    let target = read(vertex(&base, &file)).unwrap();
    for _ in 0..2 {
        let failure = dial_or_tell(&target).await.err().unwrap();
        assert!(
            !format!("{failure:?}{target:?}").contains("secret-"),
            "{failure:?}"
        );
    }
    let bearer = |head: &String| {
        let rest = head.split("authorization: Bearer ").nth(1)?;
        rest.split("\r\n").next().map(str::to_owned)
    };
    let seen: Vec<Option<String>> = server.heads().iter().map(bearer).collect();
    let token = |number: u8| Some(format!("secret-{number}"));
    assert_eq!(seen, [None, token(1), token(1), None, token(2)]);
}

#[tokio::test]
async fn a_token_that_is_about_to_end_is_not_used_again() {
    let server = Scripted::start(|request| {
        let granted = json!({"access_token": "secret", "expires_in": 0}).to_string();
        let is_token = request.starts_with("POST /token ");
        answer(
            if is_token { "200 OK" } else { "503 Busy" },
            if is_token { &granted } else { "" },
        )
    })
    .await;
    let (_folder, file) = account(&format!("{}/token", server.base()));
    let base = server.base();
    let target = read(vertex(&base, &file)).unwrap();
    for _ in 0..2 {
        assert!(dial(&target).await.is_err());
    }
    let heads = server.heads();
    let methods: Vec<&str> = heads.iter().filter_map(|head| head.split(' ').next()).collect();
    assert_eq!(methods, ["POST", "GET", "POST", "GET"]);
}

#[tokio::test]
async fn an_account_that_gets_no_token_is_told_like_a_refused_key() {
    let body = "{\"error\": \"invalid_grant\", \"error_description\": \"Invalid JWT Signature.\"}";
    let server = Scripted::start(move |_| answer("400 Bad Request", body)).await;
    let (_folder, file) = account(&format!("{}/token", server.base()));
    let base = server.base();
    let failure = dial_or_tell(&read(vertex(&base, &file)).unwrap())
        .await
        .err()
        .unwrap();
    assert!(
        matches!(failure.ending, Ending::Refused { status: 401, .. }),
        "{failure:?}"
    );
    assert!(failure.cause.contains("Invalid JWT Signature."), "{failure:?}");
}
