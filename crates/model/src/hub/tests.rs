//! Against a hub of our own on 127.0.0.1.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

use super::{Hub, Repository};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A hub with one repository, `org/tiny`.
#[derive(Default)]
struct Mock {
    files: HashMap<String, Vec<u8>>,
    /// A token without which nothing may be read.
    token: Option<String>,
    /// Names every file by this instead of its checksum.
    etag: Option<String>,
    /// Closes the connection after this many bytes of a download, once.
    cut_once: Mutex<Option<usize>>,
    requests: Mutex<Vec<String>>,
}

impl Mock {
    fn with(files: &[(&str, &[u8])]) -> Self {
        Self {
            files: files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect(),
            ..Self::default()
        }
    }

    /// Serves until the process ends; returns the address.
    fn serve(self) -> (String, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let mock = Arc::new(self);
        let served = Arc::clone(&mock);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                served.answer(&stream.unwrap());
            }
        });
        (address, mock)
    }

    fn answer(&self, stream: &TcpStream) {
        let mut lines =
            BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
        let Some(request) = lines.next() else { return };
        let headers: HashMap<String, String> = lines
            .filter_map(|line| line.split_once(": ").map(|(k, v)| (k.to_lowercase(), v.to_owned())))
            .collect();
        let range = headers.get("range").cloned();
        self.requests.lock().unwrap().push(format!("{request} {}", range.clone().unwrap_or_default()));
        if self.token.is_some() && headers.get("authorization") != self.token.as_ref() {
            return send(stream, "401 Unauthorized", "", b"");
        }
        let path = request.split(' ').nth(1).unwrap();
        let head = request.starts_with("HEAD");
        if path == "/api/models/org/tiny/revision/main" {
            let mut names: Vec<String> =
                self.files.keys().map(|name| format!("{{\"rfilename\":\"{name}\"}}")).collect();
            names.sort();
            let body = format!("{{\"sha\":\"{COMMIT}\",\"siblings\":[{}]}}", names.join(","));
            return send(stream, "200 OK", "", body.as_bytes());
        }
        let file = path.strip_prefix(&format!("/org/tiny/resolve/{COMMIT}/"));
        match file.and_then(|file| self.files.get(file)) {
            Some(bytes) => self.send_file(stream, head, range, bytes),
            None => send(stream, "404 Not Found", "", b""),
        }
    }

    fn send_file(&self, mut stream: &TcpStream, head: bool, range: Option<String>, bytes: &[u8]) {
        let etag = self.etag.clone().unwrap_or_else(|| sha256(bytes));
        let start: usize = range.map_or(0, |range| range["bytes=".len()..range.len() - 1].parse().unwrap());
        let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
        let headers = format!("X-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {}\r\n", bytes.len());
        let body = &bytes[start..];
        if head {
            return send_length(stream, status, &headers, bytes.len());
        }
        match self.cut_once.lock().unwrap().take() {
            Some(length) if length < body.len() => {
                send_length(stream, status, &headers, body.len());
                stream.write_all(&body[..length]).unwrap();
            }
            _ => send(stream, status, &headers, body),
        }
    }
}

fn send_length(mut stream: &TcpStream, status: &str, headers: &str, length: usize) {
    let mut head = String::new();
    write!(head, "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n")
        .unwrap();
    stream.write_all(head.as_bytes()).unwrap();
}

fn send(mut stream: &TcpStream, status: &str, headers: &str, body: &[u8]) {
    send_length(stream, status, headers, body.len());
    stream.write_all(body).unwrap();
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn model_files() -> Mock {
    Mock::with(&[
        ("config.json", b"{}"),
        ("tokenizer.json", b"{\"t\":1}"),
        ("model.safetensors", &vec![7; 100_000]),
        ("pytorch_model.bin", b"never"),
        ("README.md", b"never"),
    ])
}

fn tiny() -> Repository {
    Repository::parse("org/tiny").unwrap()
}

fn hub(address: &str, cache: &Path) -> Hub {
    Hub::new(address, None, cache.to_owned(), false)
}

#[test]
fn a_fresh_download_takes_what_is_needed_and_the_second_needs_no_network() {
    let (address, mock) = model_files().serve();
    let cache = tempfile::tempdir().unwrap();
    let mut last = 0;
    let path = hub(&address, cache.path()).fetch(&tiny(), &mut |p| last = last.max(p.done)).unwrap();
    assert_eq!(path, cache.path().join("models--org--tiny/snapshots").join(COMMIT));
    assert_eq!(std::fs::read(path.join("model.safetensors")).unwrap(), vec![7; 100_000]);
    assert_eq!(last, 100_000);
    assert!(!path.join("pytorch_model.bin").exists() && !path.join("README.md").exists());
    let reference = cache.path().join("models--org--tiny/refs/main");
    assert_eq!(std::fs::read_to_string(reference).unwrap(), COMMIT);

    let before = mock.requests.lock().unwrap().len();
    let offline = Hub::new("http://127.0.0.1:9", None, cache.path().to_owned(), true);
    assert_eq!(offline.fetch(&tiny(), &mut |_| {}).unwrap(), path);
    assert_eq!(hub(&address, cache.path()).fetch(&tiny(), &mut |_| {}).unwrap(), path);
    assert_eq!(mock.requests.lock().unwrap().len(), before);
}

#[test]
fn a_cut_download_is_resumed_where_it_ended() {
    let mock = model_files();
    *mock.cut_once.lock().unwrap() = Some(40_000);
    let (address, mock) = mock.serve();
    let cache = tempfile::tempdir().unwrap();
    let path = hub(&address, cache.path()).fetch(&tiny(), &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(path.join("model.safetensors")).unwrap(), vec![7; 100_000]);
    let requests = mock.requests.lock().unwrap();
    assert!(requests.iter().any(|request| request.contains("bytes=40000-")), "{requests:?}");
}

#[test]
fn contents_with_a_wrong_checksum_are_refused_and_not_kept() {
    let mock = Mock { etag: Some("0".repeat(64)), ..model_files() };
    let (address, _) = mock.serve();
    let cache = tempfile::tempdir().unwrap();
    let error = hub(&address, cache.path()).fetch(&tiny(), &mut |_| {}).unwrap_err();
    assert!(error.contains("checksum"), "{error}");
    let blobs = std::fs::read_dir(cache.path().join("models--org--tiny/blobs")).unwrap();
    assert_eq!(blobs.count(), 0);
}

#[test]
fn offline_without_a_cache_says_so() {
    let cache = tempfile::tempdir().unwrap();
    let offline = Hub::new("http://127.0.0.1:9", None, cache.path().to_owned(), true);
    let error = offline.fetch(&tiny(), &mut |_| {}).unwrap_err();
    assert!(error.contains("HF_HUB_OFFLINE"), "{error}");
}

#[test]
fn a_gated_repository_asks_for_a_token_and_opens_with_it() {
    let mock = Mock { token: Some("Bearer secret".into()), ..model_files() };
    let (address, _) = mock.serve();
    let cache = tempfile::tempdir().unwrap();
    let error = hub(&address, cache.path()).fetch(&tiny(), &mut |_| {}).unwrap_err();
    assert!(error.contains("HF_TOKEN"), "{error}");
    let allowed = Hub::new(&address, Some("secret\n"), cache.path().to_owned(), false);
    assert!(allowed.fetch(&tiny(), &mut |_| {}).is_ok());
}

#[test]
fn what_does_not_exist_is_said_not_to_exist() {
    let (address, _) = model_files().serve();
    let cache = tempfile::tempdir().unwrap();
    let missing = Repository::parse("org/other@v2").unwrap();
    let error = hub(&address, cache.path()).fetch(&missing, &mut |_| {}).unwrap_err();
    assert!(error.contains("not found") && error.contains("v2"), "{error}");
}

#[test]
fn one_gguf_file_is_taken_and_several_must_be_chosen_from() {
    let cache = tempfile::tempdir().unwrap();
    let (address, _) = Mock::with(&[("a.Q8_0.gguf", b"GGUF"), ("README.md", b"")]).serve();
    let path = hub(&address, cache.path()).fetch(&tiny(), &mut |_| {}).unwrap();
    assert!(path.ends_with("a.Q8_0.gguf"));

    let cache = tempfile::tempdir().unwrap();
    let (address, _) = Mock::with(&[("a.gguf", b"GGUF"), ("b.gguf", b"GGUF2")]).serve();
    let error = hub(&address, cache.path()).fetch(&tiny(), &mut |_| {}).unwrap_err();
    assert!(error.contains("hf:org/tiny/"), "{error}");
    let chosen = Repository::parse("org/tiny/b.gguf").unwrap();
    let path = hub(&address, cache.path()).fetch(&chosen, &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"GGUF2");
}

#[test]
fn pickles_are_not_downloaded() {
    let (address, _) = Mock::with(&[("config.json", b"{}"), ("pytorch_model.bin", b"x")]).serve();
    let cache = tempfile::tempdir().unwrap();
    let error = hub(&address, cache.path()).fetch(&tiny(), &mut |_| {}).unwrap_err();
    assert!(error.contains("pickles"), "{error}");
}

#[test]
fn names_that_leave_the_cache_are_refused() {
    for name in ["../../etc", "org/..", "org/na me", "", "/", "org/x@../../y", "org/x@", "org//x"] {
        assert!(Repository::parse(name).is_err(), "{name}");
    }
    assert!(Repository::parse("gpt2").is_ok());
    assert!(Repository::parse("org/x@refs/pr/3").is_ok());
}
