//! Settings that lead nowhere are refused with name, value and remedy, all at once.
use crate::place::read;

const KEY: (&str, &str) = ("WORKER_GEMINI_API_KEY", "any-key");

#[test]
fn a_provider_without_a_key_is_told_where_to_get_one() {
    let error = read([]).unwrap_err();
    for word in [
        "WORKER_GEMINI_API_KEY=\"\"",
        "aistudio.google.com",
        "WORKER_GEMINI_VERTEX_PROJECT",
    ] {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn wrong_addresses_versions_and_names_are_refused_together() {
    let error = read([
        KEY,
        ("WORKER_GEMINI_BASE_URL", "ftp://host"),
        ("HTTPS_PROXY", "ftp://proxy"),
    ])
    .unwrap_err();
    assert!(error.contains("WORKER_GEMINI_BASE_URL=\"ftp://host\""), "{error}");
    for (name, value) in [
        ("WORKER_GEMINI_BASE_URL", "http://host:99999"),
        ("WORKER_GEMINI_BASE_URL", "http://host/?key=any"),
        ("WORKER_GEMINI_API_VERSION", "beta"),
        ("HTTPS_PROXY", "socks5://host:1"),
    ] {
        let error = read([KEY, (name, value)]).unwrap_err();
        assert!(error.contains(name), "{name}={value}: {error}");
    }
    for (name, value) in [
        ("WORKER_GEMINI_VERTEX_PROJECT", "my project"),
        ("WORKER_GEMINI_REGION", "us/central"),
    ] {
        let error = read([("WORKER_GEMINI_VERTEX_PROJECT", "p"), (name, value)]).unwrap_err();
        assert!(error.contains(&format!("{name}={value:?}")), "{error}");
        assert!(
            error.contains("WORKER_GEMINI_VERTEX_CREDENTIALS_FILE=\"\""),
            "{error}"
        );
    }
}

#[test]
fn a_key_that_can_be_none_is_refused_without_being_shown() {
    let error = read([("WORKER_GEMINI_API_KEY", "two words")]).unwrap_err();
    assert!(
        error.contains("WORKER_GEMINI_API_KEY") && !error.contains("two words"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_no_service_account_is_named_by_the_setting_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adc.json");
    std::fs::write(
        &file,
        "{\"type\": \"authorized_user\", \"refresh_token\": \"secret\"}",
    )
    .unwrap();
    let file = file.display().to_string();
    let project = ("WORKER_GEMINI_VERTEX_PROJECT", "my-project");
    for name in [
        "WORKER_GEMINI_VERTEX_CREDENTIALS_FILE",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ] {
        let error = read([project, (name, &file)]).unwrap_err();
        for word in [name, &file, "authorized_user", "Service Accounts"] {
            assert!(error.contains(word), "{error}");
        }
        assert!(!error.contains("secret"), "{error}");
        let error = read([project, (name, "/nowhere.json")]).unwrap_err();
        assert!(
            error.contains(name) && error.contains("cannot be read"),
            "{error}"
        );
    }
}

#[test]
fn a_system_that_trusts_nobody_is_told_so_where_tls_is_needed() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let trust = ("SSL_CERT_FILE", empty.path().to_str().unwrap());
    let error = read([KEY, trust]).unwrap_err();
    assert!(
        error.contains("ca-certificates") && error.contains("SSL_CERT_FILE"),
        "{error}"
    );
    assert!(read([KEY, trust, ("WORKER_GEMINI_BASE_URL", "http://127.0.0.1:50060")]).is_ok());
}
