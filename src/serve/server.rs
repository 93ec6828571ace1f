//! A server on 127.0.0.1 that nobody can fill.
//!
//! One thread moves all bytes, of sockets that never block; the answers are made by a few others. So a client
//! that says nothing, speaks slowly or does not listen costs a descriptor and some bytes, and no thread. It
//! has a deadline; and when there is no room for another, the one that has kept the server waiting longest
//! leaves. How much room there is, the system may know better: when it refuses a connection, for it has no
//! descriptor or no memory left, there is room for fewer than there are.
//!
//! asking (its bytes come) -> thinking (a thread answers) -> telling (its answer goes) -> leaving

use super::http::{MOST, Request, Response};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Connections at a time.
const MOST_OPEN: usize = 1024;
/// Bytes of answers that wait to be taken, altogether.
const MOST_HELD: usize = 256 << 20;
/// Descriptors left to those who answer, who read files, where the system has no more.
const SPARE: usize = 16;
/// For so long it is believed that there is no more room than there was.
const MEMORY: Duration = Duration::from_secs(10);
/// Threads that answer.
const ANSWERING: usize = 4;
/// To ask, and again to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Until a client that has its answer closes the connection; what it still sends is thrown away, for it would
/// see a broken connection otherwise, and no answer.
const FAREWELL: Duration = Duration::from_millis(200);
/// Between two rounds when something moved in the last, and when nothing did.
const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_millis(10);

/// A server that listens and has not begun to answer.
pub struct Server {
    listener: TcpListener,
    port: u16,
}

impl Server {
    /// Listens on this port of 127.0.0.1; on any free one for 0.
    ///
    /// # Errors
    /// The port is taken or not allowed.
    pub fn bind(port: u16) -> Result<Self> {
        let refused = |e: io::Error| {
            Error::input(format!("port {port} of this machine cannot be opened: {e}"))
                .remedy("name another with --port, or 0 for any free one")
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let port = listener.local_addr().map_err(refused)?.port();
        Ok(Server { listener, port })
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Answers requests until `stop` says so.
    ///
    /// # Errors
    /// The system refuses the threads.
    pub fn run(&self, answer: impl Fn(&Request) -> Response + Sync, stop: impl Fn() -> bool) -> Result<()> {
        let ((ask, asked), (tell, told)) = (channel(), channel());
        let asked = Mutex::new(asked);
        std::thread::scope(|threads| {
            for _ in 0..ANSWERING {
                let (tell, asked, answer) = (tell.clone(), &asked, &answer);
                std::thread::Builder::new()
                    .name("answers".into())
                    .spawn_scoped(threads, move || answer_all(asked, &tell, answer))
                    .map_err(|e| Error::failure(format!("no thread can be started to answer: {e}")))?;
            }
            let mut open =
                Conversations { port: self.port, ask, refused: None, next: 0, all: BTreeMap::new() };
            while !stop() {
                let came = open.accept(&self.listener);
                let moved = told.try_iter().map(|(number, bytes)| open.tell(number, bytes)).count();
                let went_on = open.go_on();
                std::thread::sleep(if came + moved + went_on > 0 { SOON } else { LATER });
            }
            // Questions that wait are not answered any more.
            open.all.clear();
            while asked.try_lock().is_ok_and(|asked| asked.try_recv().is_ok()) {}
            Ok(())
        })
    }
}

/// Answers what is asked until nobody can ask any more.
fn answer_all(
    asked: &Mutex<Receiver<(u64, Request)>>,
    tell: &Sender<(u64, Vec<u8>)>,
    answer: &impl Fn(&Request) -> Response,
) {
    loop {
        let Ok(Ok((number, request))) = asked.lock().map(|asked| asked.recv()) else { return };
        let response = catch_unwind(AssertUnwindSafe(|| answer(&request)))
            .unwrap_or_else(|_| Response::error(500, "this cannot be answered, by a mistake of the program"));
        if tell.send((number, response.bytes(request.method == "HEAD"))).is_err() {
            return;
        }
    }
}

enum Stage {
    Asking(Vec<u8>),
    Thinking,
    Telling { answer: Vec<u8>, sent: usize },
    Leaving { read: usize },
}

struct Conversation {
    stream: TcpStream,
    stage: Stage,
    /// Of this stage.
    until: Instant,
}

/// What became of a conversation in a round.
enum Round {
    Waits,
    Moved,
    Asks(Request),
    Over,
}

impl Conversation {
    fn enter(&mut self, stage: Stage, patience: Duration) {
        self.stage = stage;
        self.until = Instant::now() + patience;
    }

    fn say(&mut self, response: &Response) {
        let answer = response.bytes(false);
        self.enter(Stage::Telling { answer, sent: 0 }, PATIENCE);
    }

    /// Moves what can be moved without waiting.
    fn go_on(&mut self, port: u16) -> io::Result<Round> {
        let late = Instant::now() > self.until;
        match &mut self.stage {
            Stage::Thinking => Ok(Round::Waits),
            Stage::Asking(bytes) => {
                let mut block = [0; 1 << 14];
                let read = match self.stream.read(&mut block) {
                    Ok(n) => n,
                    Err(e) if e.kind() == ErrorKind::WouldBlock && late => {
                        self.say(&Response::error(408, "the request did not come in time"));
                        return Ok(Round::Moved);
                    }
                    Err(e) => return waits(e),
                };
                bytes.extend_from_slice(&block[..read]);
                match Request::read(bytes, port) {
                    Ok(Some(request)) => {
                        self.stage = Stage::Thinking;
                        return Ok(Round::Asks(request));
                    }
                    Ok(None) if read == 0 => self.say(&Response::error(400, "the request ends early")),
                    Ok(None) => {}
                    Err(refusal) => self.say(&refusal),
                }
                Ok(Round::Moved)
            }
            Stage::Telling { answer, sent } => {
                match self.stream.write(&answer[*sent..]) {
                    Ok(n) => *sent += n,
                    Err(e) if e.kind() == ErrorKind::WouldBlock && late => return Ok(Round::Over),
                    Err(e) => return waits(e),
                }
                if *sent == answer.len() {
                    self.stream.shutdown(Shutdown::Write)?;
                    self.enter(Stage::Leaving { read: 0 }, FAREWELL);
                }
                Ok(Round::Moved)
            }
            Stage::Leaving { read } => {
                match self.stream.read(&mut [0; 1 << 14]) {
                    Ok(n) if n > 0 && *read <= MOST && !late => *read += n,
                    Err(e) if !late => return waits(e),
                    _ => return Ok(Round::Over),
                }
                Ok(Round::Moved)
            }
        }
    }
}

/// A socket that has nothing now may have something later; any other error ends the conversation.
fn waits(e: io::Error) -> io::Result<Round> {
    if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) { Ok(Round::Waits) } else { Err(e) }
}

/// All that are open, by number: the first has been open longest.
struct Conversations {
    port: u16,
    ask: Sender<(u64, Request)>,
    /// When the system last refused a connection, and how many there may be since.
    refused: Option<(Instant, usize)>,
    next: u64,
    all: BTreeMap<u64, Conversation>,
}

impl Conversations {
    /// Takes those who wait at the door; how many they were.
    fn accept(&mut self, listener: &TcpListener) -> usize {
        for came in 0..MOST_OPEN {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                // The other side may have left again.
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {
                    continue;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return came,
                Err(_) => {
                    let room = self.all.len().saturating_sub(SPARE).max(1);
                    self.refused = Some((Instant::now(), room));
                    self.make_room(room);
                    return came;
                }
            };
            if stream.set_nonblocking(true).is_ok() {
                let known = self.refused.filter(|(when, _)| when.elapsed() < MEMORY);
                self.make_room(known.map_or(MOST_OPEN, |(_, room)| room) - 1);
                let (stage, until) = (Stage::Asking(Vec::new()), Instant::now() + PATIENCE);
                self.all.insert(self.next, Conversation { stream, stage, until });
                self.next += 1;
            }
        }
        MOST_OPEN
    }

    /// Sends away who has waited for longest, until `left` are left or all others wait for this server.
    fn make_room(&mut self, left: usize) {
        while self.all.len() > left {
            let idle = self.all.iter().find(|(_, c)| !matches!(c.stage, Stage::Thinking));
            let Some(number) = idle.map(|(number, _)| *number).or_else(|| self.all.keys().next().copied())
            else {
                return;
            };
            self.all.remove(&number);
        }
    }

    /// Gives an answer to who asked, if he is there still.
    fn tell(&mut self, number: u64, answer: Vec<u8>) {
        let held =
            |c: &Conversation| if let Stage::Telling { answer, .. } = &c.stage { answer.len() } else { 0 };
        while self.all.values().map(held).sum::<usize>() + answer.len() > MOST_HELD {
            let Some(number) = self.all.iter().find(|(_, c)| held(c) > 0).map(|(number, _)| *number) else {
                break;
            };
            self.all.remove(&number);
        }
        if let Some(conversation) = self.all.get_mut(&number) {
            conversation.enter(Stage::Telling { answer, sent: 0 }, PATIENCE);
        }
    }

    /// A round; how many moved.
    fn go_on(&mut self) -> usize {
        let mut moved = 0;
        self.all.retain(|number, conversation| {
            let round = conversation.go_on(self.port).unwrap_or(Round::Over);
            moved += usize::from(!matches!(round, Round::Waits));
            match round {
                Round::Asks(request) => self.ask.send((*number, request)).is_ok(),
                round => !matches!(round, Round::Over),
            }
        });
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    /// What `talk` makes of a server that echoes.
    fn served<T>(talk: impl FnOnce(&dyn Fn() -> TcpStream) -> T) -> T {
        let (server, done) = (Server::bind(0).unwrap(), AtomicBool::new(false));
        let echo = |r: &Request| match r.path.as_str() {
            "/large" => Response::png(vec![1; 8 << 20]),
            "/mistake" => panic!("a planted mistake"),
            _ => Response::html(format!("{} {} {}", r.method, r.path, r.body.len())),
        };
        std::thread::scope(|threads| {
            threads.spawn(|| server.run(echo, || done.load(SeqCst)).unwrap());
            let result = catch_unwind(AssertUnwindSafe(|| {
                talk(&|| TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap())
            }));
            done.store(true, SeqCst);
            result.unwrap()
        })
    }

    /// The status and the body that come for these bytes.
    fn ask(mut stream: TcpStream, request: &str) -> (u16, String) {
        let port = stream.peer_addr().unwrap().port();
        stream.write_all(request.replace("HERE", &format!("127.0.0.1:{port}")).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_string())
    }

    const GET: &str = "GET /a HTTP/1.1\r\nHost: HERE\r\n\r\n";

    #[test]
    fn requests_are_answered_and_others_told_why_not() {
        served(|connect| {
            assert_eq!(ask(connect(), GET), (200, "GET /a 0".into()));
            assert_eq!(ask(connect(), &GET.replace("GET", "HEAD")), (200, String::new()));
            assert_eq!(ask(connect(), "hello\r\n\r\n").0, 400);
            assert_eq!(ask(connect(), &GET.replace("/a", "/mistake")).0, 500);
            // Ends before it is whole.
            let cut = connect();
            (&cut).write_all(b"GET / HTTP/1.1\r\n").unwrap();
            cut.shutdown(Shutdown::Write).unwrap();
            assert_eq!(ask(cut.try_clone().unwrap(), "").0, 400);
            // Never goes on.
            let silent = connect();
            assert_eq!(ask(silent, "GET / HTTP/1.1\r\n").0, 408);
        });
    }

    #[test]
    fn the_silent_the_slow_and_the_deaf_keep_nobody_out() {
        served(|connect| {
            let request =
                GET.replace("HERE", &format!("127.0.0.1:{}", connect().peer_addr().unwrap().port()));
            let silent: Vec<_> = (0..200).map(|_| connect()).collect();
            let slow: Vec<_> = (0..50).map(|_| connect()).collect();
            let deaf: Vec<_> = (0..40).map(|_| connect()).collect();
            for stream in &deaf {
                (&*stream).write_all(request.replace("/a", "/large").as_bytes()).unwrap();
            }
            for byte in request.as_bytes()[..20].iter() {
                for stream in &slow {
                    (&*stream).write_all(&[*byte]).unwrap();
                }
                assert_eq!(ask(connect(), &request).0, 200);
            }
            drop((silent, slow, deaf));
        });
    }

    #[test]
    fn only_loopback_listens() {
        let server = Server::bind(0).unwrap();
        assert!(server.listener.local_addr().unwrap().ip().is_loopback());
        let taken = Server::bind(server.port).map(|_| ()).unwrap_err();
        assert!(taken.exit_code() == 2 && taken.to_string().contains("--port"));
    }
}
