//! `| decolorize`: ANSI escape sequences are cut out.

use std::borrow::Cow;

use skep_proto::decolorized;

use super::{Line, RunStage};

#[derive(Debug)]
pub(super) struct DecolorizeStage;

impl DecolorizeStage {
    pub(super) fn new() -> Self {
        Self
    }
}

impl RunStage for DecolorizeStage {
    fn run(&self, line: &mut Line<'_>) -> bool {
        if let Cow::Owned(plain) = decolorized(&line.text) {
            line.text = Cow::Owned(plain);
        }
        true
    }
}
