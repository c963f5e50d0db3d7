//! The JSON API and its guards, driven without a network on a made-up atlas with hostile token texts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use glossator_atlas::Atlas;
use glossator_atlas::testing::{explain_synthetic, write_synthetic};
use glossator_serve::{Library, router};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

const UNITS: u64 = 30;
const EXPLAINED: u64 = 8;

/// A server over two hook points; the directory lives as long as it.
struct Server {
    router: Router,
    _directory: TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Server {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        write_synthetic(directory.path(), 2, UNITS as u32).unwrap();
        explain_synthetic(directory.path(), EXPLAINED as u32).unwrap();
        let library = Library::new(Atlas::open(directory.path()).unwrap());
        Self { router: router(Arc::new(library)), _directory: directory }
    }

    fn request(&self, request: Request<Body>) -> Answer {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
            Answer { status: parts.status, headers: parts.headers, body }
        })
    }

    fn get(&self, path: &str) -> Answer {
        self.request(request(path, "localhost:7170"))
    }

    fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// The indices that a list shows.
    fn indices(&self, path: &str) -> Vec<u64> {
        let list = self.json(path);
        list["units"].as_array().unwrap().iter().map(|unit| unit["index"].as_u64().unwrap()).collect()
    }
}

fn request(path: &str, host: &str) -> Request<Body> {
    Request::builder().uri(path).header(header::HOST, host).body(Body::empty()).unwrap()
}

#[test]
fn the_summary_counts_units_and_explanations() {
    let atlas = Server::new().json("/api/atlas");
    let hooks = atlas["hooks"].as_array().unwrap();
    assert_eq!(hooks.len(), 2);
    assert_eq!(hooks[1]["hook"], "blocks.1.mlp.hook_post");
    assert_eq!(hooks[0]["units"].as_u64(), Some(UNITS));
    assert_eq!(hooks[0]["explained"], serde_json::json!({ "lookup": EXPLAINED, "n2g": EXPLAINED - 1 }));
    let explainers = atlas["explainers"].as_array().unwrap();
    let counts: Vec<_> =
        explainers.iter().map(|one| (one["name"].as_str().unwrap(), one["units"].as_u64())).collect();
    assert_eq!(counts, [("lookup", Some(2 * EXPLAINED)), ("n2g", Some(2 * (EXPLAINED - 1)))]);
    // Unit 5's n2g score is undefined, and counted nowhere.
    assert_eq!(explainers[1]["scored"].as_u64(), Some(2 * (EXPLAINED - 2)));
    assert_eq!(atlas["headline"], serde_json::json!({ "metric": "correlation", "sample": "top_and_random" }));
}

#[test]
fn features_name_the_neurons_they_are_made_of() {
    let server = Server::new();
    let feature = server.json("/api/units/blocks.1.mlp.hook_post/2");
    let neurons = &feature["neurons"];
    for kind in ["correlated", "aligned"] {
        assert_eq!(neurons[kind].as_array().unwrap().len(), 10);
        assert_eq!(neurons[kind][1]["hook"], "blocks.0.mlp.hook_post");
        assert_eq!(neurons[kind][1]["index"], 3);
        // Unit 3 of the first layer has an explanation.
        assert!(neurons[kind][1]["text"].is_string());
    }
    assert!((neurons["correlated"][1]["value"].as_f64().unwrap() - 0.75).abs() < 1e-6);
    assert!((neurons["aligned"][1]["value"].as_f64().unwrap() + 0.65).abs() < 1e-6);
    let neuron = server.json("/api/units/blocks.0.mlp.hook_post/2");
    assert_eq!(neuron["neurons"], serde_json::json!({ "correlated": [], "aligned": [] }));
}

#[test]
fn lists_filter_sort_and_page() {
    let server = Server::new();
    assert_eq!(server.json("/api/units")["total"].as_u64(), Some(2 * UNITS));
    let hook = "hook=blocks.1.mlp.hook_post";
    assert_eq!(server.indices(&format!("/api/units?{hook}&limit=3&offset=2")), [2, 3, 4]);
    assert_eq!(
        server.indices(&format!("/api/units?{hook}&order=descending&limit=2")),
        [UNITS - 1, UNITS - 2]
    );

    for sort in ["density", "max"] {
        let list = server.json(&format!("/api/units?sort={sort}&order=descending&limit=1000"));
        let values: Vec<f64> =
            list["units"].as_array().unwrap().iter().map(|unit| unit[sort].as_f64().unwrap()).collect();
        assert!(values.is_sorted_by(|a, b| a >= b), "{sort}");
    }

    let list =
        server.json(&format!("/api/units?{hook}&sort=score&explainer=n2g&order=descending&explained=true"));
    assert_eq!(list["total"].as_u64(), Some(EXPLAINED));
    let score = |unit: &Value| {
        let explanations = unit["explanations"].as_array().unwrap();
        let found = explanations.iter().find(|one| one["explainer"] == "n2g");
        found.and_then(|one| one["score"]["value"].as_f64())
    };
    let scores: Vec<Option<f64>> = list["units"].as_array().unwrap().iter().map(score).collect();
    let defined: Vec<f64> = scores.iter().copied().map_while(|value| value).collect();
    assert!(defined.is_sorted_by(|a, b| a >= b));
    assert_eq!(defined.len(), EXPLAINED as usize - 2, "undefined scores come last: {scores:?}");
}

#[test]
fn search_finds_names_tokens_and_explanations() {
    let server = Server::new();
    assert_eq!(server.indices("/api/units?search=blocks.1.mlp.hook_post:7"), [7]);
    assert_eq!(server.indices("/api/units?search=pattern%206"), [6, 6]);
    // Token 3, `ing`, is the strongest token of unit 3 and among the strongest of others.
    assert!(server.indices("/api/units?search=ing&limit=1000").contains(&3));
    assert_eq!(server.json("/api/units?search=nowhereatall")["total"].as_u64(), Some(0));
    for hostile in
        ["%22", "zebra%22%20OR%20%22cat", "NEAR(a%20b)", "'%20OR%201=1%20--", "*", "%00", "%3Cscript%3E"]
    {
        server.json(&format!("/api/units?search={hostile}"));
    }
}

#[test]
fn a_unit_comes_with_all_its_evidence() {
    let server = Server::new();
    let unit = server.json("/api/units/blocks.0.mlp.hook_post/4");
    assert_eq!((unit["hook"].as_str(), unit["index"].as_u64()), (Some("blocks.0.mlp.hook_post"), Some(4)));
    assert_eq!(unit["explanations"].as_array().unwrap().len(), 2);
    let score = &unit["explanations"][1]["scores"][0];
    assert!(
        score["low"].as_f64() < score["value"].as_f64() && score["value"].as_f64() < score["high"].as_f64()
    );

    let top = unit["top"].as_array().unwrap();
    assert_eq!((top.len(), unit["random"].as_array().unwrap().len()), (20, 20));
    let splits: Vec<&str> = top.iter().take(4).map(|one| one["split"].as_str().unwrap()).collect();
    assert_eq!(splits, ["train", "calibration", "valid", "test"]);
    for excerpt in top {
        let length = excerpt["tokens"].as_array().unwrap().len();
        assert_eq!(excerpt["activations"].as_array().unwrap().len(), length);
        let simulated = excerpt["simulations"].as_array().unwrap();
        assert_eq!(simulated.len(), if excerpt["split"] == "test" { 2 } else { 0 });
        assert!(simulated.iter().all(|one| one["scorer"] == "prediction"));
        assert!(simulated.iter().all(|one| one["activations"].as_array().unwrap().len() == length));
    }
    let share: f64 =
        unit["intervals"].as_array().unwrap().iter().map(|one| one["share"].as_f64().unwrap()).sum();
    assert!((share - 1.0).abs() < 1e-9);
    // Hostile text travels as JSON strings, unchanged.
    assert_eq!(unit["token_means"]["top"][0]["token"], "<script>alert(1)</script>");
    assert!(!unit["logit_weights"]["promoted"].as_array().unwrap().is_empty());
    assert_eq!(unit["similar"].as_array().unwrap().len(), 10);
    assert_eq!((unit["previous"]["index"].as_u64(), unit["next"]["index"].as_u64()), (Some(3), Some(5)));
}

#[test]
fn the_ends_of_the_atlas_have_one_neighbour() {
    let server = Server::new();
    assert_eq!(server.json("/api/units/blocks.0.mlp.hook_post/0")["previous"], Value::Null);
    let last = server.json(&format!("/api/units/blocks.1.mlp.hook_post/{}", UNITS - 1));
    assert_eq!(last["next"], Value::Null);
    // The last unit of one hook point leads to the first of the next.
    let between = server.json(&format!("/api/units/blocks.0.mlp.hook_post/{}", UNITS - 1));
    assert_eq!(between["next"], serde_json::json!({ "hook": "blocks.1.mlp.hook_post", "index": 0 }));
}

#[test]
fn random_units_are_of_the_kind_asked_for() {
    let server = Server::new();
    for _ in 0..20 {
        let unit = server.json("/api/random?hook=blocks.1.mlp.hook_post&explained_by=n2g");
        assert_eq!(unit["hook"], "blocks.1.mlp.hook_post");
        let index = unit["index"].as_u64().unwrap();
        assert!(index < EXPLAINED && index != 3, "unit 3 has no n2g explanation");
    }
    assert_eq!(server.get("/api/random?hook=blocks.9.mlp.hook_post").status, StatusCode::NOT_FOUND);
}

#[test]
fn what_is_not_there_is_said() {
    let server = Server::new();
    for path in [
        "/api/units/blocks.0.mlp.hook_post/30",
        "/api/units/blocks.7.mlp.hook_post/0",
        "/api/units/x/y",
        "/api/x",
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(!answer.json()["error"].as_str().unwrap().is_empty());
    }
    for path in ["/api/units?sort=colour", "/api/units?limit=-1", "/api/units?hook=nowhere"] {
        let answer = server.get(path);
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(!answer.json()["error"].as_str().unwrap().is_empty());
    }
    assert_eq!(server.get("/../../etc/passwd").status, StatusCode::NOT_FOUND);
    let post = Request::builder().method(Method::POST).uri("/api/atlas").header(header::HOST, "localhost");
    assert_eq!(server.request(post.body(Body::empty()).unwrap()).status, StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn every_answer_is_guarded() {
    let server = Server::new();
    for path in ["/", "/api/atlas", "/api/units/x/y", "/nowhere"] {
        let answer = server.get(path);
        let value =
            |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
        let policy = value("content-security-policy");
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(value("x-content-type-options"), "nosniff", "{path}");
        assert!(value("server-timing").starts_with("total;dur="), "{path}");
        assert_eq!(value("access-control-allow-origin"), "", "{path}");
    }
}

#[test]
fn foreign_host_names_are_refused() {
    let server = Server::new();
    for host in ["localhost", "127.0.0.1:7170", "[::1]:9"] {
        assert_eq!(server.request(request("/api/atlas", host)).status, StatusCode::OK, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example:7170", "10.0.0.1"] {
        let answer = server.request(request("/api/atlas", host));
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
    }
    let nameless = Request::builder().uri("/api/atlas").body(Body::empty()).unwrap();
    assert_eq!(server.request(nameless).status, StatusCode::MISDIRECTED_REQUEST);
}

#[test]
fn the_page_is_served_with_its_checksum_or_its_absence_is_said() {
    let server = Server::new();
    let index = server.get("/");
    if index.status == StatusCode::NOT_FOUND {
        assert!(String::from_utf8_lossy(&index.body).contains("make page"));
        return;
    }
    let html = String::from_utf8(index.body).unwrap();
    let script = html.split("src=\"./").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let asset = server.get(&format!("/{script}"));
    assert_eq!(asset.status, StatusCode::OK);
    assert_eq!(asset.headers[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
    assert!(asset.headers[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    let again = Request::builder()
        .uri(format!("/{script}"))
        .header(header::HOST, "localhost")
        .header(header::IF_NONE_MATCH, asset.headers[header::ETAG].clone());
    let again = server.request(again.body(Body::empty()).unwrap());
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(index.headers[header::CACHE_CONTROL], "no-cache");
}
