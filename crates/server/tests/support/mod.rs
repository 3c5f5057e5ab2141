//! A real server in this process, and a small HTTP client.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses its part of this")]

pub mod checkpoint;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use server::{Error, Server, Settings, State};
use tokio::sync::oneshot;

/// Counts `turns` in a loop; casts `text` to a number and fails; names itself in the decision.
pub fn rules(version: &str) -> String {
    format!(
        r#"global java.util.Map out; global java.util.List fired;
        rule "turns" when $m : java.util.Map(this["turns"] != null) then
            int turns = ((Number) $m.get("turns")).intValue();
            long sum = 0;
            for (int i = 0; i < turns; i++) {{
                sum = (sum * 31 + i) % 1000003; sum = (sum * 31 + i) % 1000003;
                sum = (sum * 31 + i) % 1000003; sum = (sum * 31 + i) % 1000003;
                sum = (sum * 31 + i) % 1000003; sum = (sum * 31 + i) % 1000003;
                sum = (sum * 31 + i) % 1000003; sum = (sum * 31 + i) % 1000003;
            }}
            out.put("aml_decision", "{version}");
            fired.add("turns");
        end
        rule "cast" when $m : java.util.Map(this["text"] != null) then
            Integer number = (Integer) $m.get("text");
            fired.add("cast");
        end"#
    )
}

/// A case that takes no time.
pub const QUICK: &str = r#"{"facts":{"turns":1}}"#;

/// A case that takes long; how long, [`slow`] finds out.
pub fn turns(turns: u64) -> String {
    format!(r#"{{"facts":{{"turns":{turns}}}}}"#)
}

/// A folder of the test's own.
pub fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a folder");
    path
}

/// Settings for a rule file in a folder of the test's own, at any port.
pub fn settings(name: &str) -> Settings {
    let file = folder(name).join("case.drl");
    std::fs::write(&file, rules("FIRST")).expect("a rule file");
    Settings { rules: Some(file), listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Settings::default() }
}

/// A state. An earlier server of this process on the same data folder may take a moment to let go of it.
pub fn state(settings: &Settings) -> State {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match State::new(settings) {
            Ok(state) => return state,
            Err(error) => assert!(Instant::now() < end, "{error:?}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub struct Running {
    pub address: SocketAddr,
    pub state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Running {
    pub fn start(settings: &Settings) -> Self {
        let running = Self::start_with(settings, State::new(settings).expect("a state"));
        running.wait_until_ready();
        running
    }

    pub fn start_with(settings: &Settings, state: State) -> Self {
        let server = Server::bind(settings, state).expect("an address");
        let (address, state) = (server.address(), server.state());
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            let _ = stopped.await;
        };
        let thread = std::thread::spawn(move || server.run(stopped));
        Self { address, state, stop: Some(stop), thread: Some(thread) }
    }

    pub fn wait_until_ready(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.get("/health").status != 200 {
            assert!(Instant::now() < end, "the server does not get ready");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn tell_to_stop(&mut self) {
        self.stop.take().expect("told once").send(()).expect("the server runs");
    }

    pub fn wait_until_stopped(&mut self) -> Result<(), Error> {
        self.thread.take().expect("waited once").join().expect("no panic")
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.connect().ask("GET", path, &[], "")
    }

    pub fn score(&self, body: &str) -> Answer {
        self.post("/v1/drools/score", body)
    }

    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.connect().ask("POST", path, &[], body)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// Asserts a refusal in the documented form.
    pub fn refuses(&self, status: u16, code: &str) -> serde_json::Value {
        assert_eq!(self.status, status, "{self:?}");
        let error = self.json()["error"].clone();
        assert_eq!(error["code"], code, "{self:?}");
        assert_eq!(error["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
        error
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        stream.set_nodelay(true).expect("an option");
        Self { stream: BufReader::new(stream) }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the server reads");
    }

    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let text = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        self.send(text.as_bytes());
        self.answer().expect("an answer")
    }

    pub fn answer(&mut self) -> std::io::Result<Answer> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.get(9..12).and_then(|text| text.parse().ok()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let mut headers = Vec::new();
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: String::new() };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = String::from_utf8(self.chunks()?).expect("UTF-8");
            return Ok(answer);
        }
        let length = answer.header("content-length").map_or(0, |text| text.parse().expect("a number"));
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        answer.body = String::from_utf8(body).expect("UTF-8");
        Ok(answer)
    }
}

impl Client {
    /// A body that comes in chunks.
    fn chunks(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim_end(), 16).expect("a length");
            let mut chunk = vec![0; length + 2];
            self.stream.read_exact(&mut chunk)?;
            if length == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..length]);
        }
    }

    /// One line of whatever comes.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line");
        line
    }
}

/// The body of a case that takes about this long here.
pub fn slow(running: &Running, wanted: Duration) -> String {
    let mut count = 2_000;
    loop {
        let start = Instant::now();
        let answer = running.score(&turns(count));
        assert_eq!(answer.status, 200, "{answer:?}");
        if start.elapsed() * 2 > wanted {
            return turns(count * 2);
        }
        count *= 2;
    }
}
