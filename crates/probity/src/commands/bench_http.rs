//! The client of the benchmarks: HTTP/1.1 over one connection that stays open, and every byte of an answer at the time
//! at which it comes. It speaks no TLS: what is measured is the server, on this machine or in this network.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::exit::UsageError;

/// A head that is longer is none.
const LONGEST_HEAD: usize = 1 << 16;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Host and port, for the connection and the `Host` header.
    pub(super) host: String,
    /// What every path begins with; empty, or a slash first and none at the end.
    pub(super) base: String,
}

impl Address {
    /// Of a URL such as `http://127.0.0.1:8000` or `http://host/v1`.
    pub(super) fn read(url: &str) -> Result<Self, UsageError> {
        let rest = url.strip_prefix("http://").ok_or_else(|| {
            UsageError(format!("{url}: the URL must begin with http://; benchmarks speak no TLS, go around the proxy"))
        })?;
        let (host, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if host.is_empty() || host.contains(['@', ' ', '?', '#']) {
            return Err(UsageError(format!("{url}: the URL names no host")));
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = if has_port { host.to_owned() } else { format!("{host}:80") };
        Ok(Self { host, base: base.trim_end_matches('/').to_owned() })
    }

    /// A request as the bytes that are sent. `headers` are whole lines, each with its line break.
    pub(super) fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
        let Self { host, base } = self;
        let length = body.len();
        let head = format!(
            "{method} {base}{path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    }
}

/// One connection, opened when it is needed and again when it broke.
pub(super) struct Connection {
    host: String,
    stream: Option<TcpStream>,
    /// What came and was not looked at yet.
    buffer: Vec<u8>,
    /// How much of the buffer was looked at.
    read: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Nobody listens.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// The connection ended in the middle.
    #[error("connection broken")]
    Broken(#[from] io::Error),
    /// What came is not HTTP/1.
    #[error("not HTTP")]
    NotHttp,
}

impl Connection {
    pub(super) fn new(address: &Address) -> Self {
        Self { host: address.host.clone(), stream: None, buffer: Vec::with_capacity(1 << 16), read: 0 }
    }

    /// Sends a request, hands on the answer's body piece by piece as it arrives, and returns the status.
    ///
    /// # Errors
    /// When there is no whole answer; the next request then goes over a new connection.
    pub(super) async fn ask(&mut self, request: &[u8], mut arrived: impl FnMut(&[u8])) -> Result<u16, Failure> {
        // Taken out, so that a connection is not used again after a failure, nor after a caller that stopped waiting.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&self.host).await.map_err(Failure::Connect)?;
                let _ = stream.set_nodelay(true);
                stream
            }
        };
        self.buffer.clear();
        self.read = 0;
        stream.write_all(request).await?;
        let head = self.head(&mut stream).await?;
        match head.framing {
            Framing::Length(length) => self.pass(&mut stream, length, &mut arrived).await?,
            Framing::Chunked => self.chunks(&mut stream, &mut arrived).await?,
            Framing::UntilClosed => loop {
                arrived(&self.buffer[self.read..]);
                self.read = self.buffer.len();
                match self.fill(&mut stream).await {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                    Err(error) => return Err(error.into()),
                }
            },
        }
        if !head.closes {
            self.stream = Some(stream);
        }
        Ok(head.status)
    }

    /// More of the answer, behind what has not been looked at.
    async fn fill(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        self.buffer.drain(..self.read);
        self.read = 0;
        match stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn head(&mut self, stream: &mut TcpStream) -> Result<Head, Failure> {
        loop {
            let text = &self.buffer[self.read..];
            if let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = Head::read(&text[..end]).ok_or(Failure::NotHttp)?;
                self.read += end + 4;
                // Interim answers say nothing yet.
                if head.status >= 200 {
                    return Ok(head);
                }
            } else if text.len() > LONGEST_HEAD {
                return Err(Failure::NotHttp);
            } else {
                self.fill(stream).await?;
            }
        }
    }

    /// Hands on so many bytes.
    async fn pass(
        &mut self,
        stream: &mut TcpStream,
        mut length: usize,
        arrived: &mut impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        while length > 0 {
            if self.read == self.buffer.len() {
                self.fill(stream).await?;
            }
            let end = self.buffer.len().min(self.read.saturating_add(length));
            arrived(&self.buffer[self.read..end]);
            length -= end - self.read;
            self.read = end;
        }
        Ok(())
    }

    async fn chunks(&mut self, stream: &mut TcpStream, arrived: &mut impl FnMut(&[u8])) -> Result<(), Failure> {
        loop {
            let line = self.line(stream).await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| Failure::NotHttp)?;
            if size == 0 {
                break;
            }
            self.pass(stream, size, arrived).await?;
            if !self.line(stream).await?.is_empty() {
                return Err(Failure::NotHttp);
            }
        }
        while !self.line(stream).await?.is_empty() {}
        Ok(())
    }

    /// The next line of what frames the body.
    async fn line(&mut self, stream: &mut TcpStream) -> Result<String, Failure> {
        loop {
            let text = &self.buffer[self.read..];
            if let Some(end) = text.windows(2).position(|window| window == b"\r\n") {
                let line = std::str::from_utf8(&text[..end]).map_err(|_| Failure::NotHttp)?.to_owned();
                self.read += end + 2;
                return Ok(line);
            }
            if text.len() > LONGEST_HEAD {
                return Err(Failure::NotHttp);
            }
            self.fill(stream).await?;
        }
    }
}

/// What an answer's head says of its body.
struct Head {
    status: u16,
    framing: Framing,
    closes: bool,
}

enum Framing {
    Length(usize),
    Chunked,
    UntilClosed,
}

impl Head {
    fn read(head: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(head).ok()?;
        let version = text.get(..9).filter(|version| ["HTTP/1.1 ", "HTTP/1.0 "].contains(version))?;
        let status = text.get(9..12)?.parse().ok()?;
        let field = |name: &str| {
            let mut fields = text.lines().skip(1).filter_map(|line| line.split_once(':'));
            fields.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.trim()))
        };
        let chunked = field("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().ends_with("chunked"));
        let framing = match field("content-length") {
            _ if chunked => Framing::Chunked,
            _ if matches!(status, 100..200 | 204 | 304) => Framing::Length(0),
            Some(length) => Framing::Length(length.parse().ok()?),
            None => Framing::UntilClosed,
        };
        let connection = field("connection").unwrap_or_default();
        let closes = connection.eq_ignore_ascii_case("close")
            || matches!(framing, Framing::UntilClosed)
            || version == "HTTP/1.0 " && !connection.eq_ignore_ascii_case("keep-alive");
        Some(Self { status, framing, closes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// What a client makes of pieces that a server sends, each by itself, before it closes.
    async fn answered(pieces: &'static [&'static str]) -> (Result<u16, Failure>, String, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = Address::read(&format!("http://{}", listener.local_addr().expect("an address")));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a caller");
            let mut seen = [0; 1024];
            let _ = stream.read(&mut seen).await.expect("a request");
            let _ = stream.set_nodelay(true);
            for piece in pieces {
                stream.write_all(piece.as_bytes()).await.expect("a listener");
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        });
        let address = address.expect("a URL");
        let mut connection = Connection::new(&address);
        let mut body = Vec::new();
        let request = address.request("GET", "/", "", b"");
        let status = connection.ask(&request, |piece| body.extend_from_slice(piece)).await;
        server.await.expect("the server ends");
        (status, String::from_utf8(body).expect("text"), connection.stream.is_some())
    }

    #[tokio::test]
    async fn bodies_are_whole_however_they_are_framed_and_cut() {
        let plain = answered(&["HTTP/1.1 200 OK\r\nContent-Le", "ngth: 5\r\n\r", "\nab", "cde"]).await;
        assert!(matches!(plain, (Ok(200), text, true) if text == "abcde"));
        let chunks: &[&str] = &[
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r",
            "\nabc\r\n2;x=y\r\nde\r",
            "\n0\r\nA: b\r\n\r\n",
        ];
        assert!(matches!(answered(chunks).await, (Ok(200), text, true) if text == "abcde"));
        let closed = answered(&["HTTP/1.0 503 Busy\r\n\r\nab", "cde"]).await;
        assert!(matches!(closed, (Ok(503), text, false) if text == "abcde"));
        let interim = answered(&["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"]).await;
        assert!(matches!(interim, (Ok(204), text, true) if text.is_empty()));
    }

    #[tokio::test]
    async fn what_is_no_whole_answer_is_a_failure() {
        assert!(matches!(
            answered(&["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"]).await.0,
            Err(Failure::Broken(_))
        ));
        assert!(matches!(answered(&["SSH-2.0-OpenSSH\r\n\r\n"]).await.0, Err(Failure::NotHttp)));
        let chunks: &[&str] = &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"];
        assert!(matches!(answered(chunks).await.0, Err(Failure::NotHttp)));
    }

    #[test]
    fn a_url_names_host_port_and_base() {
        let read = |url: &str| Address::read(url).map(|address| (address.host, address.base)).ok();
        let pair = |host: &str, base: &str| Some((host.to_owned(), base.to_owned()));
        assert_eq!(read("http://127.0.0.1:8000/"), pair("127.0.0.1:8000", ""));
        assert_eq!(read("http://host/v1/"), pair("host:80", "/v1"));
        assert_eq!(read("http://[::1]"), pair("[::1]:80", ""));
        for bad in ["https://host", "host:8000", "http://", "http:///v1", "http://user@host"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
