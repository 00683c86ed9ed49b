//! A Control API that shows what a test says.
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Shown {
    paths: BTreeMap<String, Value>,
    queries: BTreeMap<String, String>,
    is_silent: bool,
}

#[derive(Clone)]
pub struct FakeMediaMtx {
    shown: Arc<Mutex<Shown>>,
    address: SocketAddr,
}

type Answer = Result<Json<Value>, StatusCode>;

impl FakeMediaMtx {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            shown: Arc::default(),
            address: listener.local_addr().unwrap(),
        };
        let router = Router::new()
            .route("/v3/paths/list", get(list))
            .route("/v3/paths/get/{*name}", get(path))
            .route("/v3/rtmpconns/get/{id}", get(connection))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn publish(&self, name: &str, source_id: &str, tracks: &[&str]) {
        let item = json!({
            "name": name, "available": true, "source": {"type": "rtmpConn", "id": source_id}, "tracks": tracks,
        });
        self.shown.lock().unwrap().paths.insert(name.to_owned(), item);
    }

    pub fn unpublish(&self, name: &str) {
        self.shown.lock().unwrap().paths.remove(name);
    }

    pub fn set_query(&self, source_id: &str, query: &str) {
        self.shown
            .lock()
            .unwrap()
            .queries
            .insert(source_id.to_owned(), query.to_owned());
    }

    pub fn set_silent(&self, is_silent: bool) {
        self.shown.lock().unwrap().is_silent = is_silent;
    }

    fn answer(&self, find: impl FnOnce(&Shown) -> Option<Value>) -> Answer {
        let shown = self.shown.lock().unwrap();
        if shown.is_silent {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        find(&shown).map(Json).ok_or(StatusCode::NOT_FOUND)
    }
}

/// One item a page, so that a client has to turn pages.
async fn list(State(fake): State<FakeMediaMtx>, RawQuery(query): RawQuery) -> Answer {
    let query = query.unwrap_or_default();
    let page: usize = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("page="))
        .map_or(0, |page| page.parse().unwrap());
    fake.answer(|shown| {
        let items: Vec<&Value> = shown.paths.values().skip(page).take(1).collect();
        Some(json!({"itemCount": shown.paths.len(), "pageCount": shown.paths.len(), "items": items}))
    })
}

async fn path(State(fake): State<FakeMediaMtx>, Path(name): Path<String>) -> Answer {
    fake.answer(|shown| shown.paths.get(&name).cloned())
}

async fn connection(State(fake): State<FakeMediaMtx>, Path(id): Path<String>) -> Answer {
    fake.answer(|shown| {
        shown
            .queries
            .get(&id)
            .map(|query| json!({"id": id, "query": query}))
    })
}
