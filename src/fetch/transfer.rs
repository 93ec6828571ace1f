//! One request over HTTP, made in a thread of its own, whose answer arrives in pieces through a channel.
//!
//! Finding a host's address, shaking hands, waiting for the head, reading the body: any of these may wait
//! for ever. Whoever wants the answer waits at the channel instead, and there alone: for Ctrl-C, and for as
//! long as its patience lasts without a piece. When it has had enough it shuts the connection, which wakes
//! the thread; where there is none yet, as when a name is looked up, the thread is left behind.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::config::Config;
use ureq::http::{Request, response};

use crate::error::Error;
use crate::interrupt;

/// Ctrl-C is heard within this time.
const TICK: Duration = Duration::from_millis(50);
/// Of the body, in bytes.
const BLOCK: usize = 1 << 16;
/// Blocks that wait to be taken, at most: the network does not run ahead of the disk.
const WAITING: usize = 16;

/// Where to get something, and how.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub url: String,
    pub config: Config,
    /// A connection on which nothing comes for so long is broken.
    pub patience: Duration,
}

/// Why an answer, or a file, did not come to its end.
pub(super) enum Stop {
    /// The user wants to stop.
    Interrupted,
    /// The connection broke, so that another try may go on; why.
    Broken(String),
    /// Another try would end the same way; why.
    Refused(String),
    /// Something else than the server is at fault.
    Other(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Other(error)
    }
}

impl From<ureq::Error> for Stop {
    fn from(error: ureq::Error) -> Self {
        use ureq::Error as E;
        match error {
            E::RequireHttpsOnly(to) => {
                Stop::Refused(format!("it leads on to {to}, which is not encrypted, as https is"))
            }
            E::BadUri(_) | E::Http(_) | E::TooManyRedirects | E::RedirectFailed | E::InvalidProxyUrl => {
                Stop::Refused(error.to_string())
            }
            _ => Stop::Broken(error.to_string()),
        }
    }
}

/// A piece of an answer.
enum Piece {
    /// The head, and the length of the body where it is told.
    Head(Box<response::Parts>, Option<u64>),
    Block(Vec<u8>),
    /// The body is whole.
    End,
}

/// An answer that is on its way, until it is dropped.
pub(super) struct Transfer {
    agent: Agent,
    pieces: Receiver<Result<Piece, Stop>>,
    patience: Duration,
}

impl Link {
    /// An address that is encrypted leads on to none that is not.
    pub fn to(url: String) -> Self {
        const PATIENCE: Duration = Duration::from_secs(30);
        let plain = url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http:"));
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(!plain)
            // Which the addresses of one host share, so that a dead one leaves time for the next.
            .timeout_connect(Some(PATIENCE))
            .user_agent(concat!("gradus/", env!("CARGO_PKG_VERSION")))
            .build();
        Link { url, config, patience: PATIENCE }
    }

    /// Asks for it, with these headers.
    pub fn get(&self, headers: &[(&str, String)]) -> Result<Transfer, Stop> {
        let mut request = Request::get(&self.url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(()).map_err(|e| Stop::Refused(e.to_string()))?;
        let agent = Agent::new_with_config(self.config.clone());
        let (sender, pieces) = sync_channel(WAITING);
        let transfer = Transfer { agent: agent.clone(), pieces, patience: self.patience };
        let work = move || {
            // Nobody takes the last piece where nobody waits any more.
            let _ = sender.send(send_all(&agent, request, &sender).map(|()| Piece::End));
        };
        match thread::Builder::new().name("transfer".into()).spawn(work) {
            Ok(_) => Ok(transfer),
            Err(e) => Err(Error::failure(format!("no thread can be begun: {e}")).into()),
        }
    }
}

/// Sends the head and all blocks of the answer.
fn send_all(agent: &Agent, request: Request<()>, to: &SyncSender<Result<Piece, Stop>>) -> Result<(), Stop> {
    let gone = |_| Stop::Interrupted;
    let (head, body) = agent.run(request)?.into_parts();
    let length = body.content_length();
    to.send(Ok(Piece::Head(Box::new(head), length))).map_err(gone)?;
    let mut body = body.into_reader();
    loop {
        let mut block = vec![0; BLOCK];
        match body.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(n) => block.truncate(n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Stop::Broken(e.to_string())),
        }
        to.send(Ok(Piece::Block(block))).map_err(gone)?;
    }
}

impl Transfer {
    /// The head, and the length of the body where it is told.
    pub fn head(&self) -> Result<(response::Parts, Option<u64>), Stop> {
        match self.piece()? {
            Piece::Head(head, length) => Ok((*head, length)),
            _ => Err(Stop::Broken("the answer has no head".into())),
        }
    }

    /// The next block of the body, after the head; none when it is whole.
    pub fn block(&self) -> Result<Option<Vec<u8>>, Stop> {
        match self.piece()? {
            Piece::Block(block) => Ok(Some(block)),
            _ => Ok(None),
        }
    }

    /// The one place where a transfer is waited for.
    fn piece(&self) -> Result<Piece, Stop> {
        let since = Instant::now();
        loop {
            if interrupt::requested() {
                return Err(Stop::Interrupted);
            }
            match self.pieces.recv_timeout(TICK.min(self.patience)) {
                Ok(piece) => return piece,
                Err(RecvTimeoutError::Timeout) if since.elapsed() < self.patience => {}
                Err(RecvTimeoutError::Timeout) => {
                    let waited = self.patience.as_secs_f64();
                    return Err(Stop::Broken(format!("nothing has come for {waited} s")));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Stop::Broken("the transfer ended without a word".into()));
                }
            }
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.agent.clone().shutdown();
    }
}
