//! Settings of the way to Gemini Live: which surface, who calls, and where.
use crate::gemini::auth::Tokens;
use crate::gemini::dial::{Identity, Target};
use crate::gemini::proxy::Proxies;
use crate::gemini::route::{Place, Route};
use crate::gemini::tls;
use gemini_live::{Credential, Endpoint, EndpointError, Secret};
use secrecy::ExposeSecret as _;
use service_kit::{Env, Reader, Setting};
use std::path::Path;
use std::sync::Arc;

/// Key of the Developer API.
pub const GEMINI_API_KEY: Setting = Setting {
    key: "WORKER_GEMINI_API_KEY",
    default: "",
    allowed: "secret; or WORKER_GEMINI_API_KEY_FILE names its file",
    help: "Key of the Gemini API; gemini-live needs it unless WORKER_GEMINI_VERTEX_PROJECT is set",
};
/// Another server than Google's.
pub const GEMINI_BASE_URL: Setting = Setting {
    key: "WORKER_GEMINI_BASE_URL",
    default: "",
    allowed: "http, https, ws or wss URL of a host, without user and query",
    help: "Server to call; unset calls Google's own",
};
/// Version of the Developer API.
pub const GEMINI_API_VERSION: Setting = Setting {
    key: "WORKER_GEMINI_API_VERSION",
    default: "v1beta",
    allowed: "v1beta, v1alpha, v1 or a later one",
    help: "Version of the Gemini API; Vertex has one only",
};
/// Project that is billed by Vertex.
pub const GEMINI_VERTEX_PROJECT: Setting = Setting {
    key: "WORKER_GEMINI_VERTEX_PROJECT",
    default: "",
    allowed: "id of a Google Cloud project",
    help: "Calls Gemini by Vertex AI in this project, with a service account; a key is not used then",
};
/// Where Vertex works.
pub const GEMINI_REGION: Setting = Setting {
    key: "WORKER_GEMINI_REGION",
    default: "us-central1",
    allowed: "a region such as us-central1 or europe-west4, us, eu or global",
    help: "Location of Vertex AI; the Gemini API has none",
};
/// Who calls Vertex.
pub const GEMINI_VERTEX_CREDENTIALS_FILE: Setting = Setting {
    key: "WORKER_GEMINI_VERTEX_CREDENTIALS_FILE",
    default: "",
    allowed: "a JSON key file of a service account",
    help: "Account that calls Vertex AI; unset takes GOOGLE_APPLICATION_CREDENTIALS",
};
/// Who calls Google's services, by the name that its own libraries read.
pub const GOOGLE_APPLICATION_CREDENTIALS: Setting = Setting {
    key: "GOOGLE_APPLICATION_CREDENTIALS",
    default: "",
    allowed: "a JSON key file of a service account",
    help: "Account that calls Vertex AI where WORKER_GEMINI_VERTEX_CREDENTIALS_FILE is unset",
};

/// Every setting of the way to Gemini Live.
pub const ENDPOINT_SETTINGS: &[Setting] = &[
    GEMINI_API_KEY,
    GEMINI_BASE_URL,
    GEMINI_API_VERSION,
    GEMINI_VERTEX_PROJECT,
    GEMINI_REGION,
    GEMINI_VERTEX_CREDENTIALS_FILE,
    GOOGLE_APPLICATION_CREDENTIALS,
];

/// Reads the way to Gemini Live for a provider that needs it. `None` where something was refused; the reader then
/// knows what. `env` tells proxies and trust, which are the system's settings and none of ours.
pub fn read(reader: &mut Reader<'_>, env: &Env, warnings: &mut Vec<String>) -> Option<Target> {
    let base_url = reader.optional_text(&GEMINI_BASE_URL);
    let project = reader.optional_text(&GEMINI_VERTEX_PROJECT);
    let key = reader.secret(&GEMINI_API_KEY);
    let region = reader.text(&GEMINI_REGION);
    let version = reader.text(&GEMINI_API_VERSION);
    let (endpoint, identity) = match &project {
        Some(project) => {
            if key.is_some() {
                warnings.push(format!(
                    "{} is not used: {} is set, so Vertex AI is called with its service account; unset one of them",
                    GEMINI_API_KEY.key, GEMINI_VERTEX_PROJECT.key
                ));
            }
            (
                Endpoint::vertex(base_url.as_deref(), project, &region),
                account(reader),
            )
        }
        None => {
            let key = key.map(|key| Secret::new(key.expose_secret()));
            (
                Endpoint::developer(base_url.as_deref(), &version),
                fixed(reader, key),
            )
        }
    };
    let base_url = base_url.unwrap_or_default();
    let endpoint = match endpoint {
        Ok(endpoint) => Some(endpoint),
        Err(error) => {
            let (setting, value) = match &error {
                EndpointError::BaseUrl => (&GEMINI_BASE_URL, base_url.clone()),
                EndpointError::Version(version) => (&GEMINI_API_VERSION, version.clone()),
                EndpointError::Name {
                    field: "project",
                    value,
                } => (&GEMINI_VERTEX_PROJECT, value.clone()),
                EndpointError::Name { value, .. } => (&GEMINI_REGION, value.clone()),
            };
            reader.reject(setting, value, error);
            None
        }
    };
    let place = endpoint.as_ref().and_then(|endpoint| {
        let place = endpoint.url().parse().ok().and_then(|uri| Place::of(&uri));
        if place.is_none() {
            reader.reject(
                &GEMINI_BASE_URL,
                &base_url,
                "is no address: host or port are wrong",
            );
        }
        place
    });
    let route = route(reader, env, &base_url, &place?)?;
    Some(Target::new(endpoint?, identity?, Arc::new(route)))
}

fn fixed(reader: &mut Reader<'_>, key: Option<Secret>) -> Option<Identity> {
    let Some(key) = key else {
        let problem = format!(
            "is needed by the provider gemini-live; get a key at https://aistudio.google.com/apikey and set {} or {}_FILE \
             to it, or set {} to call Vertex AI with a service account",
            GEMINI_API_KEY.key, GEMINI_API_KEY.key, GEMINI_VERTEX_PROJECT.key
        );
        reader.reject(&GEMINI_API_KEY, "", problem);
        return None;
    };
    if !key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem = "holds a character that no key has; copy the key alone, without spaces and line ends";
        reader.reject(&GEMINI_API_KEY, key.expose(), problem);
        return None;
    }
    Some(Identity::Fixed(Credential::ApiKey(key)))
}

fn account(reader: &mut Reader<'_>) -> Option<Identity> {
    let own = reader.optional_text(&GEMINI_VERTEX_CREDENTIALS_FILE);
    let (setting, file) = match (own, reader.optional_text(&GOOGLE_APPLICATION_CREDENTIALS)) {
        (Some(file), _) => (&GEMINI_VERTEX_CREDENTIALS_FILE, file),
        (None, Some(file)) => (&GOOGLE_APPLICATION_CREDENTIALS, file),
        (None, None) => {
            let problem = format!(
                "is needed by {}; create a key of a service account with the role Vertex AI User and name its JSON file",
                GEMINI_VERTEX_PROJECT.key
            );
            reader.reject(&GEMINI_VERTEX_CREDENTIALS_FILE, "", problem);
            return None;
        }
    };
    match Tokens::from_file(Path::new(&file)) {
        Ok(tokens) => Some(Identity::Account(Arc::new(tokens))),
        Err(error) => {
            reader.reject(setting, file, error);
            None
        }
    }
}

fn route(reader: &mut Reader<'_>, env: &Env, base_url: &str, place: &Place) -> Option<Route> {
    let proxies = Proxies::from_env(env);
    let proxy = proxies.to(place.secure, &place.authority());
    if let Err(error) = &proxy {
        reader.reject(&GEMINI_BASE_URL, base_url, format!("cannot be called: {error}"));
    }
    let tls = match tls::system(env) {
        Ok(tls) => Some(tls),
        Err(error) if place.secure => {
            let problem = format!("cannot be called by TLS: {error}");
            reader.reject(&GEMINI_BASE_URL, base_url, problem);
            return None;
        }
        // Nobody may ever ask for TLS here; whoever does is told then.
        Err(_) => None,
    };
    proxy.ok().map(|_| Route { proxies, tls })
}
