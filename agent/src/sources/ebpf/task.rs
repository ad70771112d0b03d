//! Fields of `task_struct` and what hangs off it, which programs of all families read.

use super::{family::Family, loader::offset};

pub(super) const FAMILY: Family = Family {
    offsets: &[
        offset("TASK_PID", "task_struct", &["pid"]),
        offset("TASK_TGID", "task_struct", &["tgid"]),
        offset("TASK_REAL_PARENT", "task_struct", &["real_parent"]),
        offset("TASK_MM", "task_struct", &["mm"]),
        offset("TASK_CGROUPS", "task_struct", &["cgroups"]),
        offset("CSS_SET_DFL_CGRP", "css_set", &["dfl_cgrp"]),
        offset("CGROUP_KN", "cgroup", &["kn"]),
        offset("KERNFS_NODE_ID", "kernfs_node", &["id"]),
    ],
    ..Family::EMPTY
};
