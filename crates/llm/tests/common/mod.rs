//! A server of our own on 127.0.0.1 that answers from a script and counts what it is asked.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared by several tests, which stop where they cannot go on"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
    pub(crate) bytes: Vec<u8>,
}

/// What the server does.
pub(crate) enum Reply {
    /// A status with a body.
    Status(u16, Value),
    /// The same with a header.
    Header(u16, &'static str, String, Value),
    /// Bytes as they are; then the connection is closed.
    Raw(Vec<u8>),
    /// Closes the connection at once.
    Hangup,
    /// Says nothing for so long, then closes.
    Silence(Duration),
    /// A good answer, a byte at a time with so long between them.
    Drip(Duration, Value),
}

/// The server, until the process ends.
pub(crate) struct Server {
    pub(crate) base: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Server {
    /// `script` sees each call, and how many came before it.
    pub(crate) fn new(script: impl Fn(&Call, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (script, kept) = (Arc::new(script), Arc::clone(&calls));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, calls) = (Arc::clone(&script), Arc::clone(&kept));
                std::thread::spawn(move || serve(&stream.unwrap(), &calls, script.as_ref()));
            }
        });
        Self { base, calls }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, calls: &Mutex<Vec<Call>>, script: &(impl Fn(&Call, usize) -> Reply + ?Sized)) {
    let mut reader = BufReader::new(stream);
    while let Some(call) = read(&mut reader) {
        let before = {
            let mut calls = calls.lock().unwrap();
            calls.push(call.clone());
            calls.len() - 1
        };
        // A client that was killed does not read its answer.
        if reply(stream, script(&call, before)).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Call> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        let mut pairs = lines.iter().filter_map(|line| line.split_once(": "));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).ok()?;
    Some(Call {
        path: lines[0].split(' ').nth(1)?.to_owned(),
        authorization: header("authorization"),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
        bytes,
    })
}

/// Whether the connection stays open.
fn reply(mut stream: &TcpStream, reply: Reply) -> Result<(), ()> {
    let mut send = |status: u16, header: String, body: &[u8], drip: Option<Duration>| {
        let head = format!("HTTP/1.1 {status} X\r\n{header}Content-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).map_err(|_| ())?;
        match drip {
            None => stream.write_all(body).map_err(|_| ()),
            Some(pause) => body.iter().try_for_each(|byte| {
                std::thread::sleep(pause);
                stream.write_all(&[*byte]).map_err(|_| ())
            }),
        }
    };
    match reply {
        Reply::Status(status, body) => send(status, String::new(), body.to_string().as_bytes(), None),
        Reply::Header(status, name, value, body) => {
            send(status, format!("{name}: {value}\r\n"), body.to_string().as_bytes(), None)
        }
        Reply::Drip(pause, body) => send(200, String::new(), body.to_string().as_bytes(), Some(pause)),
        Reply::Raw(bytes) => {
            let _ = stream.write_all(&bytes);
            close(stream)
        }
        Reply::Hangup => close(stream),
        Reply::Silence(time) => {
            std::thread::sleep(time);
            close(stream)
        }
    }
}

fn close(stream: &TcpStream) -> Result<(), ()> {
    let _ = stream.shutdown(std::net::Shutdown::Both);
    Err(())
}

/// A chat's good answer.
pub(crate) fn chat(text: &str) -> Value {
    json!({
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 5 },
    })
}

/// The last message of a chat.
pub(crate) fn last(call: &Call) -> String {
    let messages = call.body["messages"].as_array().unwrap();
    messages.last().unwrap()["content"].as_str().unwrap().to_owned()
}
