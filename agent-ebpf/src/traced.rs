//! Programs at tracepoints, each in two: one with typed arguments, one for where those are refused.

/// Makes both functions of a program that does the same in either. In each line the tracepoint, the
/// function with typed arguments, the one at the raw tracepoint, and what they do with the context.
macro_rules! traced {
    ($($tracepoint:literal $typed:ident $raw:ident |$ctx:pat_param| $run:expr;)*) => { $(
        #[aya_ebpf::macros::btf_tracepoint(function = $tracepoint)]
        pub fn $typed($ctx: aya_ebpf::programs::BtfTracePointContext) -> i32 {
            $run;
            0
        }

        #[aya_ebpf::macros::raw_tracepoint(tracepoint = $tracepoint)]
        pub fn $raw($ctx: aya_ebpf::programs::RawTracePointContext) -> i32 {
            $run;
            0
        }
    )* };
}
pub(crate) use traced;
