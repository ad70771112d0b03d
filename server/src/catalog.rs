//! Where query and store meet: a snapshot of the one, in the words of the other.

use std::sync::Arc;

use skep_query::{Catalog, Snapshot};
use skep_store::Store;

#[derive(Debug)]
pub(crate) struct StoreCatalog(pub(crate) Arc<Store>);

impl Catalog for StoreCatalog {
    fn snapshot(&self) -> Snapshot {
        let snapshot = self.0.snapshot();
        Snapshot {
            series: snapshot.series(),
            samples: snapshot.samples(),
            streams: snapshot.streams(),
            logs: snapshot.logs(),
        }
    }
}
