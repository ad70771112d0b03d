//! Work on all cores at once, where nobody else needs them: the start.

use std::{
    num::NonZero,
    sync::{Mutex, PoisonError},
    thread,
};

/// More would wait for memory rather than compute.
const THREADS_MAX: usize = 8;

/// Does every task once, several at a time, begun in their order.
pub(crate) fn for_each<T>(tasks: impl ExactSizeIterator<Item = T> + Send, work: impl Fn(T) + Sync) {
    let n_cores = thread::available_parallelism().map_or(1, NonZero::get);
    let n_threads = n_cores.min(THREADS_MAX).min(tasks.len());
    let tasks = Mutex::new(tasks);
    let next = || tasks.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work_off = || {
        while let Some(task) = next() {
            work(task);
        }
    };
    thread::scope(|scope| {
        for _ in 1..n_threads {
            scope.spawn(work_off);
        }
        work_off();
    });
}

/// As [`for_each`]; what comes of each, in the order of the inputs.
pub(crate) fn map<'i, I: Sync, O: Send>(
    inputs: &'i [I],
    work: impl Fn(&'i I) -> O + Sync,
) -> Vec<O> {
    let mut outputs: Vec<Option<O>> = inputs.iter().map(|_| None).collect();
    for_each(inputs.iter().zip(&mut outputs), |(input, output)| *output = Some(work(input)));
    outputs.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_is_worked_on_once_and_answers_keep_their_order() {
        for n in [0, 1, 2, 1_000] {
            let inputs: Vec<usize> = (0..n).collect();
            assert_eq!(map(&inputs, |it| it * 2), (0..n).map(|it| it * 2).collect::<Vec<_>>());
        }
    }
}
