//! Threads that clients work on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread::{Builder, JoinHandle};

use crossbeam::channel::{Receiver, Sender, unbounded};
use thorndike_core::{Error, Result};

use crate::{Order, Report};

/// Does the work of some clients, on a thread of its own: what lives on their side.
///
/// *Design.* One worker serves many clients, so that a thousand of them need no more networks than there are threads.
/// What a client keeps from round to round, such as the replay memory of an agent, goes through [`save`](Self::save);
/// whatever else it does follows from the order and the seeds.
pub trait Worker: Send {
    /// Is called once, on the thread that it works on.
    fn begin(&mut self) {}

    /// Learns as `order` says.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the client came to no numbers: it is left out of the round. Others end the run.
    fn work(&mut self, order: &Order) -> Result<Report>;

    /// Writes what its clients keep into the folder `dir`, which is there.
    ///
    /// # Errors
    /// If it cannot be written.
    fn save(&self, dir: &Path) -> Result<()> {
        let _ = dir;
        Ok(())
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// If it cannot be read.
    fn load(&mut self, dir: &Path) -> Result<()> {
        let _ = dir;
        Ok(())
    }
}

/// To a worker.
enum Request {
    Work(Order),
    Save(PathBuf),
    Load(PathBuf),
}

/// From a worker.
pub(crate) enum Answer {
    /// A client has come to the end of its work.
    Report(Report),
    /// A client came to no numbers.
    Diverged {
        /// Which.
        client: u32,
        /// How.
        what: String,
    },
}

/// Workers on their threads. Client `k` belongs to worker `k` modulo their number.
pub(crate) struct Crew {
    requests: Vec<Sender<Request>>,
    answers: Receiver<Result<Option<Answer>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    pub(crate) fn new(workers: Vec<Box<dyn Worker>>) -> Result<Self> {
        let (answer, answers) = unbounded();
        let mut crew = Self {
            requests: Vec::new(),
            answers,
            threads: Vec::new(),
        };
        for (number, mut worker) in workers.into_iter().enumerate() {
            let (request, requests) = unbounded();
            let answer = answer.clone();
            let thread = Builder::new().name(format!("clients-{number}"));
            let work = move || {
                worker.begin();
                for request in requests {
                    let done = catch_unwind(AssertUnwindSafe(|| serve(&mut *worker, &request)));
                    // Every request is answered: the server counts.
                    let done =
                        done.unwrap_or_else(|_| Err(Error::Backend("a client panicked".into())));
                    if answer.send(done).is_err() {
                        break; // the run has ended
                    }
                }
            };
            let spawned = thread.spawn(work);
            crew.threads
                .push(spawned.map_err(|e| Error::Backend(Box::new(e)))?);
            crew.requests.push(request);
        }
        Ok(crew)
    }

    /// Has all `orders` done; what came of them, in the order in which it came.
    pub(crate) fn work(&self, orders: Vec<Order>) -> Result<Vec<Answer>> {
        let asked = orders.len();
        for order in orders {
            let worker = order.client as usize % self.requests.len();
            self.ask(worker, Request::Work(order))?;
        }
        let answers = self.wait(asked)?;
        Ok(answers.into_iter().flatten().collect())
    }

    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        self.ask_all(|| Request::Save(dir.to_owned()))
    }

    pub(crate) fn load(&self, dir: &Path) -> Result<()> {
        self.ask_all(|| Request::Load(dir.to_owned()))
    }

    fn ask_all(&self, request: impl Fn() -> Request) -> Result<()> {
        for worker in 0..self.requests.len() {
            self.ask(worker, request())?;
        }
        self.wait(self.requests.len()).map(|_| ())
    }

    fn ask(&self, worker: usize, request: Request) -> Result<()> {
        let asked = self.requests[worker].send(request);
        asked.map_err(|_| Error::Backend("the thread of a client has ended".into()))
    }

    /// All answers that are to come, so that none is left for the next question; or the first error among them.
    fn wait(&self, answers: usize) -> Result<Vec<Option<Answer>>> {
        let mut all = Vec::with_capacity(answers);
        for _ in 0..answers {
            let answer = self.answers.recv();
            all.push(
                answer.map_err(|_| Error::Backend("all threads of clients have ended".into()))?,
            );
        }
        all.into_iter().collect()
    }
}

fn serve(worker: &mut dyn Worker, request: &Request) -> Result<Option<Answer>> {
    match request {
        Request::Work(order) => match worker.work(order) {
            Ok(report) => Ok(Some(Answer::Report(report))),
            Err(Error::Diverged { what, .. }) => Ok(Some(Answer::Diverged {
                client: order.client,
                what,
            })),
            Err(error) => Err(error),
        },
        Request::Save(dir) => worker.save(dir).map(|()| None),
        Request::Load(dir) => worker.load(dir).map(|()| None),
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.requests.clear();
        for thread in self.threads.drain(..) {
            // It has said before why, if it panicked.
            let _ = thread.join();
        }
    }
}
