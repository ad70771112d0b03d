//! A long request body as blocks of whole lines, read while it comes.

use axum::body::{Body, BodyDataStream};
use futures::StreamExt as _;
use http::{HeaderMap, header::CONTENT_ENCODING};
use skep_receive::Reason;

use crate::error::ApiError;

/// What is decoded and stored at once.
const BLOCK_BYTES: usize = 1 << 20;

pub(crate) struct Blocks {
    body: BodyDataStream,
    /// Bytes after the last block.
    rest: Vec<u8>,
    line_bytes_max: usize,
    /// The number of the next line, from 1 on.
    line: usize,
    is_over: bool,
}

/// Whole lines.
pub(crate) struct Block {
    pub(crate) text: String,
    pub(crate) first_line: usize,
}

impl Blocks {
    /// # Errors
    /// A packed body.
    pub(crate) fn new(
        headers: &HeaderMap,
        body: Body,
        line_bytes_max: usize,
    ) -> Result<Self, ApiError> {
        if let Some(encoding) = headers.get(CONTENT_ENCODING).filter(|it| *it != "identity") {
            return Err(ApiError::unsupported_media(format!(
                "imports are read as they come; send them without Content-Encoding, not {encoding:?}"
            ))
            .because(Reason::ContentEncoding));
        }
        let body = body.into_data_stream();
        Ok(Self { body, rest: Vec::new(), line_bytes_max, line: 1, is_over: false })
    }

    /// `None` after the last.
    ///
    /// # Errors
    /// A body that breaks off, a line over the limit, text that is not UTF-8.
    pub(crate) async fn next(&mut self) -> Result<Option<Block>, ApiError> {
        while !self.is_over && self.end_of_lines() < BLOCK_BYTES {
            if self.rest.len() > self.line_bytes_max + BLOCK_BYTES && self.end_of_lines() == 0 {
                return Err(ApiError::too_large(format!(
                    "line {} is longer than {} bytes; split it",
                    self.line, self.line_bytes_max
                ))
                .because(Reason::LineTooLong));
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.rest.extend_from_slice(&bytes),
                Some(Err(error)) => {
                    return Err(ApiError::bad_data(format!("the body broke off: {error}")));
                }
                None => self.is_over = true,
            }
        }
        let end = if self.is_over { self.rest.len() } else { self.end_of_lines() };
        if end == 0 {
            return Ok(None);
        }
        let after = self.rest.split_off(end);
        let block = std::mem::replace(&mut self.rest, after);
        let first_line = self.line;
        self.line += block.iter().filter(|it| **it == b'\n').count();
        let text = String::from_utf8(block).map_err(|error| {
            let fault = error.utf8_error();
            ApiError::bad_data(format!("text from line {first_line} on is not UTF-8: {fault}"))
                .because(Reason::Utf8)
        })?;
        Ok(Some(Block { text, first_line }))
    }

    fn end_of_lines(&self) -> usize {
        self.rest.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1)
    }
}
