//! Things made on a thread of their own while the caller works with the ones before.

use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use crate::error::{Error, Result, within_memory};

/// How many are made before they are asked for.
const DEPTH: usize = 2;

/// Numbered things, in order. After an error there are no more.
pub struct Ahead<T> {
    receive: Option<Receiver<Result<T>>>,
    worker: Option<JoinHandle<()>>,
    failure: Option<Error>,
}

impl<T: Send + 'static> Ahead<T> {
    /// Makes `make(number)` for each number. `name` is the thread's.
    pub fn new(
        numbers: Range<usize>,
        name: &str,
        mut make: impl FnMut(usize) -> Result<T> + Send + 'static,
    ) -> Self {
        let (send, receive) = sync_channel(DEPTH);
        let worker = std::thread::Builder::new().name(name.into()).spawn(move || {
            for number in numbers {
                let made = within_memory(|| make(number));
                let failed = made.is_err();
                // Nobody receives any more where the caller has left early.
                if send.send(made).is_err() || failed {
                    return;
                }
            }
        });
        match worker {
            Ok(worker) => Ahead { receive: Some(receive), worker: Some(worker), failure: None },
            Err(e) => {
                let failure = Error::failure(format!("no thread can be started to load images: {e}"));
                Ahead { receive: None, worker: None, failure: Some(failure) }
            }
        }
    }
}

impl<T> Iterator for Ahead<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        if let Some(failure) = self.failure.take() {
            return Some(Err(failure));
        }
        match self.receive.as_ref()?.recv() {
            Ok(made) => Some(made),
            Err(_) => {
                self.receive = None;
                let panicked = self.worker.take()?.join().is_err();
                panicked.then(|| Err(Error::failure("the thread that loads images panicked")))
            }
        }
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        // Closing the channel ends the worker at its next thing.
        self.receive = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_in_order_until_one_fails() {
        let make = |n| if n == 5 { Err(Error::input("five")) } else { Ok(n * n) };
        let made: Vec<_> = Ahead::new(2..9, "test", make).map(|r| r.map_err(|e| e.to_string())).collect();
        assert_eq!(made, [Ok(4), Ok(9), Ok(16), Err("five".into())]);
    }

    #[test]
    fn a_panic_is_an_error_and_leaving_early_ends_the_thread() {
        let mut ahead = Ahead::new(0..3, "test", |n| if n == 1 { panic!("one") } else { Ok(n) });
        assert_eq!(ahead.next().unwrap().unwrap(), 0);
        assert!(ahead.next().unwrap().unwrap_err().to_string().contains("panicked"));
        assert!(ahead.next().is_none());
        let mut ahead = Ahead::new(0..usize::MAX, "test", Ok);
        assert_eq!(ahead.next().unwrap().unwrap(), 0);
    }
}
