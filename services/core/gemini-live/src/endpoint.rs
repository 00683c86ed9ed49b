//! Where the service is, what a model is called there, and how a caller shows who he is.
use crate::secret::Secret;
use std::fmt;

const DEVELOPER_HOST: &str = "wss://generativelanguage.googleapis.com";

/// Where the service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    base: String,
    surface: Surface,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Surface {
    Developer { version: String },
    Vertex { project: String, location: String },
}

/// A setting that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No address of a server.
    #[error("base URL is no http, https, ws or wss address of a host, without user, query and fragment")]
    BaseUrl,
    /// No version.
    #[error("API version {0:?} is no word such as v1beta")]
    Version(String),
    /// No project or location.
    #[error("{field} {value:?} is no name of letters, digits, `-`, `.` and `:`")]
    Name {
        /// `project` or `location`.
        field: &'static str,
        /// What was said.
        value: String,
    },
}

impl Endpoint {
    /// The Developer API, at Google's or at another base URL.
    pub fn developer(base_url: Option<&str>, version: &str) -> Result<Self, EndpointError> {
        let version_ok = version.len() <= 16
            && version.starts_with('v')
            && version
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !version_ok {
            return Err(EndpointError::Version(version.to_owned()));
        }
        Ok(Self {
            base: base(base_url.unwrap_or(DEVELOPER_HOST))?,
            surface: Surface::Developer {
                version: version.to_owned(),
            },
        })
    }

    /// Vertex, at Google's or at another base URL. `location` is a region, `us`, `eu` or `global`.
    pub fn vertex(base_url: Option<&str>, project: &str, location: &str) -> Result<Self, EndpointError> {
        for (field, value) in [("project", project), ("location", location)] {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
            if value.is_empty() || value.len() > 128 || !value.chars().all(plain) {
                return Err(EndpointError::Name {
                    field,
                    value: value.to_owned(),
                });
            }
        }
        let host = match location {
            "global" => "wss://aiplatform.googleapis.com".to_owned(),
            "us" | "eu" => format!("wss://aiplatform.{location}.rep.googleapis.com"),
            _ => format!("wss://{location}-aiplatform.googleapis.com"),
        };
        Ok(Self {
            base: base(base_url.unwrap_or(&host))?,
            surface: Surface::Vertex {
                project: project.to_owned(),
                location: location.to_owned(),
            },
        })
    }

    /// Address to open. It never holds a key.
    pub fn url(&self) -> String {
        let base = &self.base;
        match &self.surface {
            Surface::Developer { version } => {
                format!(
                    "{base}/ws/google.ai.generativelanguage.{version}.GenerativeService.BidiGenerateContent"
                )
            }
            Surface::Vertex { .. } => {
                format!("{base}/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent")
            }
        }
    }

    /// What a model is called here.
    pub fn model(&self, id: &str) -> String {
        let id = id.strip_prefix("models/").unwrap_or(id);
        if id.contains('/') {
            return id.to_owned();
        }
        match &self.surface {
            Surface::Developer { .. } => format!("models/{id}"),
            Surface::Vertex { project, location } => {
                format!("projects/{project}/locations/{location}/publishers/google/models/{id}")
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

/// An address of the kind `wss://host[:port][/path]`.
fn base(url: &str) -> Result<String, EndpointError> {
    let (scheme, rest) = url.trim().split_once("://").ok_or(EndpointError::BaseUrl)?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        _ => return Err(EndpointError::BaseUrl),
    };
    let rest = rest.trim_end_matches('/');
    let host = rest.split('/').next().unwrap_or_default();
    let odd = |c: char| c.is_whitespace() || c.is_control() || "@?#\\".contains(c);
    if host.is_empty() || host.starts_with(':') || rest.contains(odd) {
        return Err(EndpointError::BaseUrl);
    }
    Ok(format!("{scheme}://{rest}"))
}

/// How a caller shows who he is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A key of the Developer API.
    ApiKey(Secret),
    /// An OAuth access token.
    AccessToken(Secret),
}

impl Credential {
    /// The one header that carries it. A key in the URL would stand in every proxy's log.
    pub fn header(&self) -> (&'static str, Secret) {
        match self {
            Self::ApiKey(key) => ("x-goog-api-key", key.clone()),
            Self::AccessToken(token) => ("authorization", Secret::new(format!("Bearer {}", token.expose()))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_those_that_the_sdks_dial() {
        let developer = Endpoint::developer(None, "v1beta").unwrap();
        assert_eq!(
            developer.url(),
            "wss://generativelanguage.googleapis.com/ws/google.ai.generativelanguage.v1beta.GenerativeService.\
             BidiGenerateContent"
        );
        assert_eq!(developer.model("gemini-3.8-live"), "models/gemini-3.8-live");
        assert_eq!(
            developer.model("models/gemini-3.8-live"),
            "models/gemini-3.8-live"
        );
        let hosts = [
            ("us-central1", "wss://us-central1-aiplatform.googleapis.com/ws/"),
            ("global", "wss://aiplatform.googleapis.com/ws/"),
            ("eu", "wss://aiplatform.eu.rep.googleapis.com/ws/"),
        ];
        for (location, host) in hosts {
            let vertex = Endpoint::vertex(None, "my-project", location).unwrap();
            assert!(vertex.url().starts_with(host), "{vertex}");
        }
        let vertex = Endpoint::vertex(None, "my-project", "us-central1").unwrap();
        assert_eq!(
            vertex.model("gemini-live-2.5-flash-native-audio"),
            "projects/my-project/locations/us-central1/publishers/google/models/gemini-live-2.5-flash-native-audio"
        );
    }

    #[test]
    fn another_server_is_reached_by_any_of_four_schemes() {
        for (given, wanted) in [
            ("http://127.0.0.1:50060", "ws://127.0.0.1:50060/ws/"),
            ("HTTPS://twin.local/", "wss://twin.local/ws/"),
            ("ws://twin:1/a/b//", "ws://twin:1/a/b/ws/"),
            ("wss://[::1]:443", "wss://[::1]:443/ws/"),
        ] {
            let endpoint = Endpoint::developer(Some(given), "v1beta").unwrap();
            assert!(endpoint.url().starts_with(wanted), "{given}: {endpoint}");
        }
    }

    #[test]
    fn a_base_url_that_leads_nowhere_or_holds_a_key_is_refused() {
        for bad in [
            "",
            "generativelanguage.googleapis.com",
            "ftp://host",
            "wss://",
            "wss://:443",
            "wss://user:word@host",
            "wss://host/?key=K",
            "wss://host#x",
            "wss://ho st",
        ] {
            assert_eq!(
                Endpoint::developer(Some(bad), "v1beta"),
                Err(EndpointError::BaseUrl),
                "{bad}"
            );
        }
        assert!(Endpoint::developer(None, "1beta").is_err());
        assert!(Endpoint::developer(None, "v1/../x").is_err());
        assert!(Endpoint::vertex(None, "a/b", "us").is_err());
        assert!(Endpoint::vertex(None, "a", "").is_err());
    }

    #[test]
    fn a_key_travels_in_its_header_only_and_is_never_printed() {
        let key = Credential::ApiKey(Secret::new("AIzaSecret"));
        let (name, value) = key.header();
        assert_eq!((name, value.expose()), ("x-goog-api-key", "AIzaSecret"));
        let token = Credential::AccessToken(Secret::new("ya29.Secret"));
        let (name, value) = token.header();
        assert_eq!((name, value.expose()), ("authorization", "Bearer ya29.Secret"));
        assert!(!format!("{key:?}{token:?}{:?}", token.header()).contains("Secret\""));
        assert_eq!(format!("{key:?}"), "ApiKey([redacted])");
    }
}
