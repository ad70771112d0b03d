//! Snappy's block format, as remote-write and Loki push use it, with a bound on what a block may
//! unpack to.

#[derive(Debug, thiserror::Error)]
pub enum SnappyError {
    #[error("snappy block is damaged")]
    Damaged(#[source] snap::Error),
    #[error("snappy block unpacks to {size_bytes} bytes, the limit is {size_bytes_max}")]
    TooLarge { size_bytes: usize, size_bytes_max: usize },
}

pub fn compress(plain: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    compress_into(&mut block, plain);
    block
}

/// Appends the block to `out`.
pub fn compress_into(out: &mut Vec<u8>, plain: &[u8]) {
    let start = out.len();
    out.resize(start + snap::raw::max_compress_len(plain.len()), 0);
    let block = out.get_mut(start..).unwrap_or_default();
    let n_bytes = snap::raw::Encoder::new()
        .compress(plain, block)
        .expect("only blocks over 4 GiB fail, batches are bounded far below");
    out.truncate(start + n_bytes);
}

/// # Errors
/// Damaged blocks, and blocks that would unpack to more than `size_bytes_max`: told from the
/// header, before anything is allocated.
pub fn decompress(block: &[u8], size_bytes_max: usize) -> Result<Vec<u8>, SnappyError> {
    let size_bytes = snap::raw::decompress_len(block).map_err(SnappyError::Damaged)?;
    if size_bytes > size_bytes_max {
        return Err(SnappyError::TooLarge { size_bytes, size_bytes_max });
    }
    snap::raw::Decoder::new().decompress_vec(block).map_err(SnappyError::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_refused_by_its_header() {
        let block = compress(&vec![0; 1 << 20]);
        assert!(block.len() < 64 << 10);
        assert!(matches!(
            decompress(&block, 1 << 19),
            Err(SnappyError::TooLarge { size_bytes: 1_048_576, .. })
        ));
        assert_eq!(decompress(&block, 1 << 20).unwrap(), vec![0; 1 << 20]);
    }
}
