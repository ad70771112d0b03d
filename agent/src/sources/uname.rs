//! Kernel and host name, from the `uname` system call.

use std::{borrow::Cow, ffi::CStr};

use rustix::system::uname;
use skep_proto::MetricKind;

use super::{Context, SourceError};
use crate::exposition::Exposition;

pub(super) fn collect(_context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    fn text(field: &CStr) -> Cow<'_, str> {
        field.to_string_lossy()
    }
    let names = uname();
    out.family(
        "node_uname_info",
        "Always 1; the labels are what uname(2) tells of the kernel and the host.",
        MetricKind::Gauge,
    )
    .point(
        [
            ("sysname", &text(names.sysname())),
            ("release", &text(names.release())),
            ("version", &text(names.version())),
            ("machine", &text(names.machine())),
            ("nodename", &text(names.nodename())),
            ("domainname", &text(names.domainname())),
        ],
        1.0,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::sources::tests::Host;

    #[test]
    fn this_kernel_names_itself() {
        let text = Host::default().text(super::collect);
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let node = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert!(text.contains(r#"node_uname_info{sysname="Linux",release=""#), "{text}");
        assert!(text.contains(&format!("release={:?}", release.trim())), "{text}");
        assert!(text.contains(&format!("nodename={:?}", node.trim())), "{text}");
    }
}
