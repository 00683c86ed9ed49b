//! Tokens of a service account: asked for with a signed statement, kept until shortly before they end.
use super::dial::Failure;
use super::route::{Exchanged, Place, Route};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gemini_live::{Credential, Ending, Secret};
use http::{Request, Response, Uri, header};
use http_body_util::Full;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::json;
use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// What a token may be used for; Google's own libraries ask for the same.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Where Google gives tokens out, for files that do not say.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// Life of the signed statement; Google takes no longer one.
const STATEMENT_LIFE: Duration = Duration::from_secs(3_600);
/// A token is renewed so long before its end, so that no connection begins with one that is about to end.
const RENEWED_BEFORE: Duration = Duration::from_secs(300);
/// From the question for a token to its answer.
const TOKEN_WAIT: Duration = Duration::from_secs(8);

/// Why a file is no key of a service account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// It cannot be read.
    #[error("cannot be read: {0}; name a file that the user of this process may read")]
    Unreadable(std::io::Error),
    /// It is something else.
    #[error(
        "is no JSON key file of a service account ({0}); create one in the Google Cloud console under IAM, Service \
         Accounts, Keys"
    )]
    NoAccount(String),
    /// Its key is broken.
    #[error("holds a private_key that is no RSA key in PKCS#8 ({0}); create a new key of the account")]
    NoKey(String),
    /// Its address of tokens is broken.
    #[error("holds a token_uri that is no http or https address; create a new key of the account")]
    NoTokenUri,
}

/// The file as Google writes it, as far as it is used.
#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key: String,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

/// Where tokens of one account come from, and the one that is in use.
pub struct Tokens {
    email: String,
    key: RsaKeyPair,
    key_id: Option<String>,
    uri: Uri,
    place: Place,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    token: Secret,
    until: Instant,
}

/// An answer that holds a token.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<u64>,
}

/// An answer that holds none.
#[derive(Deserialize)]
struct Denied {
    error: String,
    error_description: Option<String>,
}

impl Tokens {
    /// Reads the key file of a service account.
    pub fn from_file(path: &Path) -> Result<Self, AccountError> {
        Self::from_json(&std::fs::read(path).map_err(AccountError::Unreadable)?)
    }

    fn from_json(json: &[u8]) -> Result<Self, AccountError> {
        // A parser's words may hold a piece of the key: only the place of the mistake is told.
        let file: KeyFile = serde_json::from_slice(json).map_err(|error| {
            AccountError::NoAccount(format!("no such JSON from line {} on", error.line()))
        })?;
        if file.kind != "service_account" {
            return Err(AccountError::NoAccount(format!("its type is {:?}", file.kind)));
        }
        if file.client_email.is_empty() {
            return Err(AccountError::NoAccount("it has no client_email".to_owned()));
        }
        let der = PrivatePkcs8KeyDer::from_pem_slice(file.private_key.as_bytes())
            .map_err(|_| AccountError::NoKey("no PEM of a PRIVATE KEY".to_owned()))?;
        let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
            .map_err(|error| AccountError::NoKey(error.to_string()))?;
        let uri: Uri = file
            .token_uri
            .as_deref()
            .unwrap_or(TOKEN_URI)
            .parse()
            .map_err(|_| AccountError::NoTokenUri)?;
        let place = Place::of(&uri).ok_or(AccountError::NoTokenUri)?;
        Ok(Self {
            email: file.client_email,
            key,
            key_id: file.private_key_id,
            uri,
            place,
            kept: Mutex::new(None),
        })
    }

    /// A token, and whether it was kept from before. Whoever comes while one is asked for waits for that one.
    pub async fn get(&self, route: &Route) -> Result<(Credential, bool), Failure> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| Instant::now() < kept.until) {
            return Ok((Credential::AccessToken(kept.token.clone()), true));
        }
        let granted = timeout(TOKEN_WAIT, self.ask(route)).await.unwrap_or_else(|_| {
            let (place, seconds) = (self.place.authority(), TOKEN_WAIT.as_secs());
            Err(Failure::unreachable(format!(
                "{place} gave no token within {seconds} s"
            )))
        })?;
        let life = Duration::from_secs(granted.expires_in.unwrap_or_default());
        let token = Secret::new(granted.access_token);
        *kept = Some(Kept {
            token: token.clone(),
            until: Instant::now() + life.saturating_sub(RENEWED_BEFORE.min(life / 2)),
        });
        Ok((Credential::AccessToken(token), false))
    }

    /// Keeps this token no longer.
    pub async fn forget(&self, credential: &Credential) {
        let mut kept = self.kept.lock().await;
        let is_it = |kept: &Kept| *credential == Credential::AccessToken(kept.token.clone());
        if kept.as_ref().is_some_and(is_it) {
            *kept = None;
        }
    }

    /// A text without the token that is in use. Without waiting: where one is asked for now, none is in use.
    pub fn redact(&self, text: &str) -> String {
        match self.kept.try_lock() {
            Ok(kept) => match kept.as_ref() {
                Some(kept) => kept.token.redact(text),
                None => text.to_owned(),
            },
            Err(_) => text.to_owned(),
        }
    }

    async fn ask(&self, route: &Route) -> Result<Granted, Failure> {
        let statement = Secret::new(self.statement()?);
        let body = format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={}",
            statement.expose()
        );
        let path = self
            .uri
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str);
        let request = Request::post(path)
            .header(
                header::HOST,
                self.uri.authority().map_or("", http::uri::Authority::as_str),
            )
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(Full::from(body))
            .map_err(|error| {
                Failure::unreachable(format!("the question for a token cannot be written: {error}"))
            })?;
        let response = match route.exchange(&self.place, request).await {
            Ok(Exchanged::Answered(response)) => response,
            Ok(Exchanged::Switched(..)) => return Err(self.nonsense()),
            Err(broken) => {
                let mut failure = Failure::from(broken);
                failure.cause = format!("no token of the service account: {}", failure.cause);
                return Err(failure);
            }
        };
        if !response.status().is_success() {
            return Err(self.denied(&response, &statement));
        }
        serde_json::from_slice(response.body()).map_err(|_| self.nonsense())
    }

    fn nonsense(&self) -> Failure {
        Failure::unreachable(format!("{} gives no tokens out", self.place.authority()))
    }

    fn denied(&self, response: &Response<Vec<u8>>, statement: &Secret) -> Failure {
        let mut failure = Failure::refused(response, |text| statement.redact(text));
        failure.cause = format!(
            "no token of the service account {}: {}",
            self.email, failure.cause
        );
        if let Ok(Denied {
            error,
            error_description,
        }) = serde_json::from_slice(response.body())
        {
            let words = format!(", {error}: {}", error_description.unwrap_or_default());
            failure.cause.push_str(&statement.redact(&words));
        }
        // The way of OAuth to say "not you" is 400; here it must not look like a request that was written wrongly.
        if let Ending::Refused {
            status: status @ 400..=407,
            ..
        } = &mut failure.ending
        {
            *status = 401;
        }
        failure
    }

    /// The statement that buys a token: a JWT, signed with RS256.
    fn statement(&self) -> Result<String, Failure> {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let mut head = json!({"alg": "RS256", "typ": "JWT"});
        if let Some(key_id) = &self.key_id {
            head["kid"] = json!(key_id);
        }
        let claims = json!({
            "iss": self.email, "scope": SCOPE, "aud": self.uri.to_string(),
            "iat": since, "exp": since + STATEMENT_LIFE.as_secs(),
        });
        let mut text = URL_SAFE_NO_PAD.encode(head.to_string());
        text.push('.');
        text.push_str(&URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .map_err(|_| Failure::unreachable("the question for a token cannot be signed".to_owned()))?;
        text.push('.');
        text.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(text)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.email)
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
#[path = "../../tests/dial/account_key.rs"]
mod account_key;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::account_key::key;

    fn file(changes: serde_json::Value) -> Vec<u8> {
        let mut file = json!({
            "type": "service_account", "client_email": "dub@project.iam.gserviceaccount.com", "private_key": key(),
            "private_key_id": "k1",
        });
        for (name, value) in changes.as_object().unwrap() {
            file[name] = value.clone();
        }
        file.to_string().into_bytes()
    }

    #[test]
    fn a_statement_is_signed_by_the_key_of_the_account_and_names_whom_it_is_for() {
        let tokens = Tokens::from_json(&file(json!({}))).unwrap();
        let statement = tokens.statement().unwrap();
        let (text, signature) = statement.rsplit_once('.').unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, tokens.key.public());
        public
            .verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
            .unwrap();
        let part = |text: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
        };
        let (head, claims) = text.split_once('.').unwrap();
        assert_eq!(part(head), json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
        let claims = part(claims);
        assert_eq!(claims["iss"], "dub@project.iam.gserviceaccount.com");
        assert_eq!(claims["aud"], TOKEN_URI);
        assert_eq!(
            claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
            3_600
        );
    }

    #[test]
    fn a_file_that_is_none_of_a_service_account_is_refused_with_what_it_is_and_without_its_secrets() {
        let refused = [
            (b"{\"private_key\": SECRET".to_vec(), "from line 1 on"),
            (file(json!({"type": "authorized_user"})), "authorized_user"),
            (file(json!({"client_email": ""})), "client_email"),
            (file(json!({"private_key": "SECRET"})), "no PEM"),
            (
                file(json!({"private_key": key().replace("MII", "MIJ")})),
                "private_key",
            ),
            (file(json!({"token_uri": "nowhere"})), "token_uri"),
        ];
        for (json, word) in refused {
            let error = Tokens::from_json(&json).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains("SECRET"), "{error}");
        }
        assert!(!format!("{:?}", Tokens::from_json(&file(json!({}))).unwrap()).contains("MII"));
    }
}
