//! The object's maps, read whole.

use std::{collections::HashMap, io, path::PathBuf};

use aya::{
    Pod,
    maps::{Array, HashMap as BpfHashMap, Map, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues},
};

use super::{by_unit::Counters, family::CollectError, raw};

/// The object in the kernel.
#[derive(Debug)]
pub(super) struct Maps {
    pub(super) kernel: aya::Ebpf,
    pub(super) n_cpus: usize,
    /// What the running kernel calls its reasons to throw a packet away.
    pub(super) drop_reasons: Vec<(u32, String)>,
    /// Where sysfs is.
    pub(super) sys: PathBuf,
}

impl Maps {
    pub(super) fn new(kernel: aya::Ebpf) -> io::Result<Self> {
        let n_cpus = aya::util::nr_cpus().map_err(|(_file, error)| error)?;
        Ok(Self { kernel, n_cpus, drop_reasons: Vec::new(), sys: "/sys".into() })
    }

    /// Adds every entry of a hash map to `readings`; per-CPU ones are summed up.
    pub(super) fn counters<K: Pod + Default + Eq + std::hash::Hash, C: Counters + Pod>(
        &self,
        name: &'static str,
        readings: &mut HashMap<K, C>,
    ) -> Result<(), CollectError> {
        let (data, n_values) = match self.kernel.map(name) {
            Some(Map::PerCpuHashMap(data) | Map::PerCpuLruHashMap(data)) => (data, self.n_cpus),
            Some(Map::HashMap(data) | Map::LruHashMap(data)) => (data, 1),
            _ => return Ok(()),
        };
        raw::for_each_entry(data, n_values, |key: K, values: &[C]| {
            let reading = readings.entry(key).or_default();
            values.iter().for_each(|it| reading.plus(it));
        })
        .map_err(|error| CollectError::Batch(name, error))
    }

    /// The entries of a hash map whose entries are never removed, in order.
    pub(super) fn sorted<K: Pod + Default + Ord + std::hash::Hash, C: Counters + Pod>(
        &self,
        name: &'static str,
    ) -> Result<Vec<(K, C)>, CollectError> {
        let mut readings = HashMap::new();
        self.counters(name, &mut readings)?;
        let mut sorted: Vec<(K, C)> = readings.into_iter().collect();
        sorted.sort_unstable_by_key(|(key, _)| *key);
        Ok(sorted)
    }

    /// The entries of a per-CPU array, each summed up over the CPUs.
    pub(super) fn summed<C: Counters + Pod>(
        &self,
        name: &'static str,
    ) -> Result<Vec<C>, CollectError> {
        let values = self.per_cpu_array::<C>(name)?;
        let sum = |values: &[C]| {
            let mut sum = C::default();
            values.iter().for_each(|it| sum.plus(it));
            sum
        };
        Ok(values.chunks(self.n_cpus.max(1)).map(sum).collect())
    }

    /// Every value of a per-CPU array, in the order of the entries, one value a CPU.
    pub(super) fn per_cpu_array<V: Pod + Default>(
        &self,
        name: &'static str,
    ) -> Result<Vec<V>, CollectError> {
        let Some(map @ Map::PerCpuArray(data)) = self.kernel.map(name) else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        let read = raw::for_each_entry(data, self.n_cpus, |_: u32, values: &[V]| {
            all.extend_from_slice(values);
        });
        if read.is_ok() {
            return Ok(all);
        }
        // Before Linux 5.13: one call an entry.
        let one_by_one = || {
            let array: PerCpuArray<_, V> = map.try_into()?;
            let values = (0..array.len()).map(|slot| array.get(&slot, 0));
            values.collect::<Result<Vec<_>, MapError>>()
        };
        let entries = one_by_one().map_err(|error| CollectError::Map(name, error))?;
        Ok(entries.iter().flat_map(|it| it.to_vec()).collect())
    }

    /// One value of an array.
    pub(super) fn array_value<V: Pod>(&self, name: &'static str, idx: u32) -> Option<V> {
        let array: Array<_, V> = self.kernel.map(name)?.try_into().ok()?;
        array.get(&idx, 0).ok()
    }

    /// Puts an entry of zeroes into a hash map.
    pub(super) fn insert_zero<K: Pod, V: Pod + Default>(
        &mut self,
        name: &'static str,
        key: K,
    ) -> Result<(), CollectError> {
        let n_cpus = self.n_cpus;
        let Some(map) = self.kernel.map_mut(name) else { return Ok(()) };
        let inserted = match map {
            Map::PerCpuHashMap(_) | Map::PerCpuLruHashMap(_) => {
                let zeroes = PerCpuValues::try_from(vec![V::default(); n_cpus]);
                PerCpuHashMap::<_, K, V>::try_from(map)
                    .and_then(|mut map| map.insert(key, zeroes.map_err(MapError::IoError)?, 0))
            }
            _ => BpfHashMap::<_, K, V>::try_from(map)
                .and_then(|mut map| map.insert(key, V::default(), 0)),
        };
        inserted.map_err(|error| CollectError::Map(name, error))
    }

    /// Removes an entry of a hash map, if it is there.
    pub(super) fn remove<K: Pod>(
        &mut self,
        name: &'static str,
        key: &K,
    ) -> Result<(), CollectError> {
        let Some(map) = self.kernel.map_mut(name) else { return Ok(()) };
        let (Map::PerCpuHashMap(data)
        | Map::PerCpuLruHashMap(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)) = map
        else {
            return Ok(());
        };
        match raw::delete(data, key) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(CollectError::Batch(name, error))
            }
            _ => Ok(()),
        }
    }
}
