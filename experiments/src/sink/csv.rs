//! `progress.csv`: `step,name,value` in long form, so that new names need no new columns.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use thorndike_core::{EnvSteps, Error, Result};

use super::NamedFile;

pub(super) struct Csv {
    out: NamedFile,
}

impl Csv {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(Error::io(path))?;
        let mut out = NamedFile::new(path.to_owned(), file);
        out.write(|file| writeln!(file, "step,name,value"))?;
        Ok(Self { out })
    }

    pub(super) fn write(&mut self, step: EnvSteps, name: &str, value: f64) -> Result<()> {
        self.out
            .write(|file| writeln!(file, "{step},{name},{value}"))
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }
}
