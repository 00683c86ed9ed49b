//! The upgrade request: which surface is asked, with which key, and what is answered instead of an upgrade.

use crate::wire::Bye;
use crate::wire::server::Surface;
use serde_json::json;

/// An HTTP request, as far as the twin reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET` or another.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in small letters, and values.
    pub headers: Vec<(String, String)>,
}

/// An answer that is no upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u16>,
    /// JSON.
    pub body: String,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asks {
    /// A live connection.
    Live {
        /// Which surface.
        surface: Surface,
        /// Version of the interface.
        version: String,
        /// The key, if there is one.
        key: Option<String>,
        /// Why it is closed as soon as it is open.
        bye: Option<Bye>,
    },
    /// Something else, answered at once.
    Else(Answer),
}

impl Answer {
    /// An error as Google's front end writes it.
    pub fn error(status: u16, retry_after: Option<u16>) -> Self {
        let (name, message) = match status {
            400 => (
                "INVALID_ARGUMENT",
                "API key not valid. Please pass a valid API key.",
            ),
            401 => (
                "UNAUTHENTICATED",
                "Request had invalid authentication credentials.",
            ),
            403 => ("PERMISSION_DENIED", "The caller does not have permission."),
            404 => ("NOT_FOUND", "Requested entity was not found."),
            429 => (
                "RESOURCE_EXHAUSTED",
                "Resource has been exhausted (e.g. check quota).",
            ),
            503 => ("UNAVAILABLE", "The service is currently unavailable."),
            _ => ("INTERNAL", "Internal error encountered."),
        };
        let body = json!({"error": {"code": status, "message": message, "status": name}});
        Self {
            status,
            retry_after,
            body: format!("{body:#}\n"),
        }
    }

    fn ok(body: &serde_json::Value) -> Self {
        Self {
            status: 200,
            retry_after: None,
            body: format!("{body:#}\n"),
        }
    }
}

impl Request {
    /// Value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// Path without its query, doubled slashes made one.
    pub fn path(&self) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        format!(
            "/{}",
            path.split('/')
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join("/")
        )
    }

    fn bearer(&self, kind: &str) -> Option<&str> {
        self.header("authorization")?
            .strip_prefix(kind)?
            .strip_prefix(' ')
    }

    /// What it asks for; `keys` are those that are taken, none meaning every key.
    pub fn asks(&self, keys: &[String]) -> Asks {
        let path = self.path();
        let developer = path
            .strip_prefix("/ws/google.ai.generativelanguage.")
            .and_then(|rest| rest.split_once(".GenerativeService."))
            .filter(|(version, _)| matches!(*version, "v1" | "v1beta" | "v1alpha"));
        let vertex = path
            .strip_prefix("/ws/google.cloud.aiplatform.")
            .and_then(|rest| rest.strip_suffix(".LlmBidiService/BidiGenerateContent"))
            .filter(|version| matches!(*version, "v1" | "v1beta1"));
        if let Some(version) = vertex {
            let key = self
                .bearer("Bearer")
                .or_else(|| self.header("x-goog-api-key"))
                .map(str::to_owned);
            return match key {
                Some(key) => self.live(Surface::Vertex, version, Some(key), keys),
                None => Asks::Else(Answer::error(401, None)),
            };
        }
        match developer {
            Some((version, "BidiGenerateContent")) => {
                let key = self
                    .header("x-goog-api-key")
                    .or_else(|| self.query("key"))
                    .map(str::to_owned);
                self.live(Surface::Developer, version, key, keys)
            }
            Some((version, "BidiGenerateContentConstrained")) => {
                let token = self
                    .query("access_token")
                    .or_else(|| self.bearer("Token"))
                    .map(str::to_owned);
                let bye = token.is_none().then(Bye::no_identity);
                let version = version.to_owned();
                Asks::Live {
                    surface: Surface::Developer,
                    version,
                    key: token,
                    bye,
                }
            }
            Some(_) | None => Asks::Else(self.rest(&path, keys)),
        }
    }

    fn live(&self, surface: Surface, version: &str, key: Option<String>, keys: &[String]) -> Asks {
        let bye = match key.as_deref() {
            None | Some("") => Some(Bye::no_identity()),
            Some(token) if surface == Surface::Developer && token.starts_with("auth_tokens/") => {
                Some(Bye::no_identity())
            }
            Some(key) if !is_taken(key, keys) => Some(Bye::key_invalid()),
            Some(_) => None,
        };
        Asks::Live {
            surface,
            version: version.to_owned(),
            key,
            bye,
        }
    }

    /// The few plain requests that clients make: a look at the models, and a token for a service account.
    fn rest(&self, path: &str, keys: &[String]) -> Answer {
        let is_models = matches!(path, "/v1/models" | "/v1beta/models" | "/v1alpha/models");
        if self.method == "GET" && is_models {
            let key = self.header("x-goog-api-key").or_else(|| self.query("key"));
            return match key {
                Some(key) if is_taken(key, keys) => {
                    Answer::ok(&json!({"models": [{"name": "models/gemini-3.5-live-translate-preview"}]}))
                }
                Some(_) => Answer::error(400, None),
                None => Answer::error(403, None),
            };
        }
        if self.method == "POST" && path == "/token" {
            return Answer::ok(
                &json!({"access_token": "twin-token", "expires_in": 3600, "token_type": "Bearer"}),
            );
        }
        Answer::error(404, None)
    }
}

fn is_taken(key: &str, keys: &[String]) -> bool {
    keys.is_empty() || keys.iter().any(|known| known == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(target: &str, headers: &[(&str, &str)]) -> Asks {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Request {
            method: "GET".to_owned(),
            target: target.to_owned(),
            headers,
        }
        .asks(&["good".to_owned()])
    }

    fn bye(asks: &Asks) -> Option<u16> {
        if let Asks::Live { bye, .. } = asks {
            bye.as_ref().map(|bye| bye.code)
        } else {
            Some(0)
        }
    }

    const LIVE: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";

    #[test]
    fn the_key_is_taken_from_header_and_query_and_the_doubled_slash_of_the_js_sdk_is_read() {
        assert_eq!(bye(&ask(LIVE, &[("x-goog-api-key", "good")])), None);
        assert_eq!(bye(&ask(&format!("/{LIVE}?key=good"), &[])), None);
    }

    #[test]
    fn a_wrong_key_upgrades_and_is_closed_then() {
        assert_eq!(bye(&ask(LIVE, &[("x-goog-api-key", "bad")])), Some(1007));
        assert_eq!(bye(&ask(LIVE, &[])), Some(1008));
        assert_eq!(
            bye(&ask(LIVE, &[("x-goog-api-key", "auth_tokens/x")])),
            Some(1008)
        );
        assert_eq!(
            bye(&ask(
                &format!("{LIVE}Constrained?access_token=auth_tokens/x"),
                &[]
            )),
            None
        );
    }

    #[test]
    fn vertex_wants_a_bearer_and_unknown_paths_are_not_found() {
        let vertex = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent";
        assert_eq!(bye(&ask(vertex, &[("authorization", "Bearer good")])), None);
        assert_eq!(ask(vertex, &[]), Asks::Else(Answer::error(401, None)));
        assert_eq!(ask("/ws/nonsense", &[]), Asks::Else(Answer::error(404, None)));
    }
}
