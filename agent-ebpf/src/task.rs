//! Fields of `task_struct` and what hangs off it, read at offsets that the agent sets.

use aya_ebpf::helpers::bpf_probe_read_kernel;

/// Declares offset globals; the family of the same name in `agent/src/sources/ebpf/` lists where each comes from.
macro_rules! offsets {
    ($($name:ident),* $(,)?) => { $(
        #[unsafe(no_mangle)]
        pub static $name: aya_ebpf::Global<u32> = aya_ebpf::Global::new(skep_abi::ABSENT);
    )* };
}
pub(crate) use offsets;

offsets! {
    TASK_PID,
    TASK_TGID,
    TASK_REAL_PARENT,
    TASK_MM,
    TASK_CGROUPS,
    CSS_SET_DFL_CGRP,
    CGROUP_KN,
    KERNFS_NODE_ID,
}

/// How kernel memory is read.
pub trait Memory {
    /// Reads the field at `offset` of the struct at `base`; zero where that memory cannot be read.
    ///
    /// # Safety
    /// `T` is an integer or a pointer.
    unsafe fn load<T: Copy>(base: *const u8, offset: u32) -> T;
}

/// Plain loads, as tp_btf programs may do through the pointers they are given: the verifier knows
/// the type at each constant offset. No call, so about 10 ns cheaper than [`Probe`].
pub struct Direct;

impl Memory for Direct {
    #[inline(always)]
    unsafe fn load<T: Copy>(base: *const u8, offset: u32) -> T {
        unsafe { base.add(offset as usize).cast::<T>().read_volatile() }
    }
}

/// Reads through a helper, for programs whose pointers are mere numbers to the verifier.
pub struct Probe;

impl Memory for Probe {
    #[inline(always)]
    unsafe fn load<T: Copy>(base: *const u8, offset: u32) -> T {
        let at = base.wrapping_add(offset as usize).cast::<T>();
        // An integer or a pointer of zeroes is valid.
        unsafe { bpf_probe_read_kernel(at).unwrap_or_else(|_| core::mem::zeroed()) }
    }
}

/// The id of a task's control group in the cgroup2 tree: the inode of its directory.
///
/// At a switch `bpf_get_current_cgroup_id` would say the same, but costs 30 ns more.
#[inline(always)]
pub unsafe fn group<M: Memory>(task: *const u8) -> u64 {
    let css_set: *const u8 = unsafe { M::load(task, TASK_CGROUPS.load()) };
    let cgroup: *const u8 = unsafe { M::load(css_set, CSS_SET_DFL_CGRP.load()) };
    unsafe { id_of_cgroup::<M>(cgroup) }
}

/// The id of a control group.
#[inline(always)]
pub unsafe fn id_of_cgroup<M: Memory>(cgroup: *const u8) -> u64 {
    let node: *const u8 = unsafe { M::load(cgroup, CGROUP_KN.load()) };
    unsafe { M::load(node, KERNFS_NODE_ID.load()) }
}
