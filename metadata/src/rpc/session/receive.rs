//! What an agent says: commands and what concerns its stream go into the sequencer's queue in order, questions are answered
//! beside it.

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::HELLO_TIME_MAX;
use super::work::{Answered, End, Pending, Session};
use crate::command::{Command, Submission};
use crate::error::Error;
use crate::handle::Metadata;
use crate::queue::{Asked, weight};
use crate::rpc::message::{Question, Reply, Up};
use crate::sequencer::reads::Read;

impl Session {
    /// `bytes`: of its frame.
    pub(super) async fn receive(&mut self, up: Up, bytes: usize) -> Result<(), End> {
        let subscriber = self.subscriber;
        match up {
            Up::Submit {
                sequence,
                seen,
                command,
            } => {
                if sequence <= self.asked_last {
                    // Each frame would have an outcome of megabytes said again.
                    return Err("a command that was asked on this link before".into());
                }
                self.asked_last = sequence;
                let bytes = bytes.max(weight(&command));
                let (reply, answer) = oneshot::channel();
                let submission = Submission {
                    session: self.id,
                    sequence,
                    seen,
                    command,
                };
                self.asked_bytes += bytes;
                self.commands.push_back(Pending {
                    sequence,
                    bytes,
                    answer,
                });
                self.put(Asked::Command(submission, reply.into())).await?;
            }
            Up::Ask { id, question } => {
                let bytes = bytes.max(question.weight());
                self.asked_bytes += bytes;
                self.ask(id, question, bytes).await?;
            }
            Up::Unwatch(partitions) => {
                let read = Read::Unwatch {
                    subscriber,
                    partitions,
                };
                self.put(Asked::Read(read, None)).await?;
            }
            Up::Withdraw => {
                self.put(Asked::Read(Read::Withdraw { subscriber }, None))
                    .await?
            }
            // That it was heard is what it wants.
            Up::Ping => {}
            Up::Goodbye => {
                let (reply, closed) = oneshot::channel();
                let submission = Submission::own(Command::CloseSession(self.id));
                let left = async {
                    let put = self
                        .metadata
                        .put(Asked::Command(submission, reply.into()))
                        .await;
                    drop((put, closed.await));
                };
                // Otherwise it is closed when its time is over.
                let _ = timeout(HELLO_TIME_MAX, left).await;
                return Err("the agent leaves".into());
            }
            Up::Hello(_) | Up::Stranger(_) | Up::Who(_) => return Err("a second greeting".into()),
        }
        Ok(())
    }

    /// Into the queue, behind everything before; later, if there is no room.
    async fn put(&mut self, asked: Asked) -> Result<(), End> {
        let metadata = self.metadata.clone();
        let mut putting = Box::pin(async move { metadata.put(asked).await });
        match futures::poll!(&mut putting) {
            std::task::Poll::Ready(put) => put.map_err(|error| error.to_string()),
            std::task::Poll::Pending => {
                self.putting = Some(putting);
                Ok(())
            }
        }
    }

    async fn ask(&mut self, id: u64, question: Question, bytes: usize) -> Result<(), End> {
        if let Question::Watch(partitions) = question {
            // Into the queue before what the agent says next, so that no answer overtakes the view.
            let (reply, found) = oneshot::channel();
            let read = Read::Watch {
                subscriber: self.subscriber,
                partitions,
                reply,
            };
            self.questions.spawn(async move {
                let found = found.await.unwrap_or(Err(Error::Closing));
                let reply = found.map(Reply::Watched);
                Answered { id, bytes, reply }
            });
            return self.put(Asked::Read(read, None)).await;
        }
        let metadata = self.metadata.clone();
        self.questions.spawn(async move {
            let reply = answer(&metadata, question).await;
            Answered { id, bytes, reply }
        });
        Ok(())
    }
}

async fn answer(metadata: &Metadata, question: Question) -> Result<Reply, Error> {
    Ok(match question {
        Question::Bounds(partitions) => Reply::Bounds(metadata.bounds(partitions).await?),
        Question::Watch(_) => Reply::Watched(Vec::new()),
        Question::Locate {
            partition,
            offset,
            raw_bytes_max,
        } => Reply::Located(metadata.locate(partition, offset, raw_bytes_max).await?),
        Question::Timestamp(partition, timestamp) => {
            Reply::Extent(metadata.locate_timestamp(partition, timestamp).await?)
        }
        Question::MaxTimestamp(partition) => {
            Reply::Extent(metadata.locate_max_timestamp(partition).await?)
        }
    })
}
