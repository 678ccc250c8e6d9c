//! Scalars for TensorBoard.
//!
//! The records are those of `tensorboard-rs`; its own file writer is not used, because it works on a thread that
//! panics when the disk is full.

use std::fs::{self, File};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use protobuf::Message;
use tensorboard_proto::event::Event as Proto;
use tensorboard_rs::record_writer::RecordWriter;
use tensorboard_rs::summary::scalar;
use thorndike_core::{EnvSteps, Error, Result};

use super::NamedFile;

pub(super) struct TensorBoard {
    out: NamedFile,
}

impl TensorBoard {
    /// A new log in the folder `dir`.
    pub(super) fn create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let name = format!("events.out.tfevents.{:010}.thorndike", now_s() as u64);
        let path = dir.join(name);
        let file = File::create(&path).map_err(Error::io(&path))?;
        let mut this = Self {
            out: NamedFile::new(path, file),
        };
        let mut first = Proto::new();
        first.set_file_version("brain.Event:2".into());
        this.append(first)?;
        Ok(this)
    }

    pub(super) fn write(&mut self, step: EnvSteps, name: &str, value: f64) -> Result<()> {
        let mut event = Proto::new();
        event.set_step(step as i64);
        event.set_summary(scalar(name, value as f32));
        self.append(event)
    }

    fn append(&mut self, mut event: Proto) -> Result<()> {
        event.set_wall_time(now_s());
        let bytes = event
            .write_to_bytes()
            .map_err(|e| Error::Backend(Box::new(e)))?;
        self.out.write(|file| RecordWriter::new(file).write(&bytes))
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }
}

fn now_s() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |time| time.as_secs_f64())
}
