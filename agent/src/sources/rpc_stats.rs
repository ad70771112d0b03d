//! Lines of `/proc/net/rpc/nfs` and `/proc/net/rpc/nfsd`: a name and numbers.

use skep_proto::MetricKind::Counter;

use super::{Context, SourceError, number};
use crate::exposition::{Exposition, as_f64};

/// One of the two files.
#[derive(Debug)]
pub(super) struct RpcStats {
    file: &'static str,
    text: String,
}

/// The numbers of a line; those that the kernel does not have are 0, as node_exporter tells them.
#[derive(Debug)]
pub(super) struct Line(Vec<f64>);

impl RpcStats {
    /// `file` is what errors say, `name` the file's below `net/rpc`. None where nothing of this host
    /// is or was an NFS client or server.
    pub(super) fn read(
        context: &Context,
        file: &'static str,
        what: &'static str,
    ) -> Result<Self, SourceError> {
        let name = file.strip_prefix("/proc/").unwrap_or(file);
        let text = context.roots.read_proc(name).map_err(|error| match error {
            SourceError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                SourceError::NoData { what }
            }
            error => error,
        })?;
        Ok(Self { file, text })
    }

    /// Of a line that is not there every number is 0.
    pub(super) fn line(&self, name: &str) -> Result<Line, SourceError> {
        let numbers = self.text.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(' '));
        let numbers = numbers.unwrap_or_default().split_ascii_whitespace();
        numbers.map(|it| number(self.file, "a count", Some(it))).collect::<Result<_, _>>().map(Line)
    }

    /// A family's points of one version of the protocol. The line tells first how many numbers
    /// follow; a method without a name is not told.
    pub(super) fn requests(
        &self,
        out: &mut Exposition,
        (family, help): (&'static str, &'static str),
        (line, proto): (&str, &str),
        methods: &[&str],
    ) -> Result<(), SourceError> {
        let Line(numbers) = self.line(line)?;
        let (n_told, counts) = numbers.split_first().map_or((0.0, &[][..]), |(n, it)| (*n, it));
        let n_counts = as_f64(u64::try_from(counts.len()).unwrap_or(u64::MAX));
        if (n_told - n_counts).abs() > 0.5 {
            return Err(SourceError::Missing { file: self.file, what: "a procedure's count" });
        }
        let family = out.family(family, help, Counter);
        let counts = counts.iter().copied().chain(std::iter::repeat(0.0));
        for (method, count) in methods.iter().zip(counts).filter(|(it, _)| !it.is_empty()) {
            family.point([("proto", proto), ("method", method)], count);
        }
        Ok(())
    }
}

impl Line {
    pub(super) fn get(&self, idx: usize) -> f64 {
        self.0.get(idx).copied().unwrap_or_default()
    }
}
