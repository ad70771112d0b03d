//! Programs that look at the whole host.
//!
//! Other tests and programs use disks and networks meanwhile: what is counted exactly is told
//! apart by an address of its own.

use std::net::{SocketAddr, UdpSocket};

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
};

use super::*;

impl Kernel {
    /// Reads series by their text up to the value; 0 where there is none.
    fn series(&mut self, series: &[&str]) -> Vec<f64> {
        let text = self.collect();
        let value = |series: &&str| {
            let prefix = format!("{series} ");
            let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
            value.map_or(0.0, |it| it.parse().unwrap())
        };
        series.iter().map(value).collect()
    }

    /// The sum of all series that start so.
    fn sum(&mut self, prefix: &str) -> f64 {
        let text = self.collect();
        let lines = text.lines().filter(|line| line.starts_with(prefix));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

/// A disk that reads go to.
struct Disk {
    /// As `/sys/block` has it.
    name: String,
    /// Of the disk in a guest, which has no file system on it; else of a file that lies on it.
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Disk {
    fn find() -> Self {
        let names = fs::read_dir("/sys/block").unwrap().flatten();
        let mut names = names.map(|it| it.file_name().to_string_lossy().into_owned());
        let is_virtual = |name: &str| name.starts_with("loop") || name.starts_with("zram");
        let name = names.find(|name| !is_virtual(name)).expect("a disk");
        let dir = tempfile::tempdir_in(".").unwrap();
        let path = if is_other_kernel() {
            Path::new("/dev").join(&name)
        } else {
            let file = dir.path().join("file");
            dd(&format!("if=/dev/zero of={} bs=4096 count=64 conv=fsync", file.display()));
            file
        };
        Self { name, path, _dir: dir }
    }

    /// Past the page cache, one after the other.
    fn read_directly(&self, n_blocks: u32) {
        dd(&format!(
            "if={} of=/dev/null bs=4096 count={n_blocks} iflag=direct",
            self.path.display()
        ));
    }
}

fn dd(words: &str) {
    let status = Command::new("dd").args(words.split(' ')).stderr(Stdio::null()).status();
    assert!(status.unwrap().success(), "dd {words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_a_disk_are_timed_in_its_queue_and_until_their_end() {
    let Some(_turn) = turn("disks").await else { return };
    let mut kernel = Kernel::start();
    let disk = Disk::find();
    let labels = format!("device=\"{}\",operation=\"read\"", disk.name);
    let series = [
        format!("ebpf_disk_io_seconds_count{{{labels}}}"),
        format!("ebpf_disk_io_seconds_sum{{{labels}}}"),
        format!("ebpf_disk_queue_seconds_count{{{labels}}}"),
        format!("ebpf_disk_queue_seconds_sum{{{labels}}}"),
    ];
    let series: Vec<&str> = series.iter().map(String::as_str).collect();
    let before = kernel.series(&series);
    let started = Instant::now();
    disk.read_directly(50);
    let after = kernel.series(&series);
    let grown: Vec<f64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    assert!(grown[0] >= 50.0 && grown[2] >= 50.0, "{grown:?}");
    // Ours came one after the other; what others read meanwhile may have run beside it and beside
    // each other.
    let seconds_max = started.elapsed().as_secs_f64() * (1.0 + grown[0] - 50.0);
    assert!(0.0 < grown[1] && grown[1] < seconds_max, "{grown:?} in {seconds_max} s");
    assert!(0.0 < grown[3] && grown[3] < grown[1], "{grown:?}");
}

/// Runs of a vector of soft interrupts since the start, by the kernel's own count.
fn softirqs(vector: &str) -> f64 {
    let text = fs::read_to_string("/proc/softirqs").unwrap();
    let line = text.lines().find_map(|it| it.trim_start().strip_prefix(vector)).unwrap();
    line.split_whitespace().filter_map(|it| it.parse::<f64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn soft_interrupts_are_counted_as_the_kernel_does_and_timed() {
    let Some(_turn) = turn("soft interrupts").await else { return };
    let mut kernel = Kernel::start();
    let series =
        ["ebpf_softirqs_total{vector=\"NET_RX\"}", "ebpf_softirq_seconds_total{vector=\"NET_RX\"}"];
    let outer = softirqs("NET_RX:");
    let before = kernel.series(&series);
    let inner = softirqs("NET_RX:");
    let socket = UdpSocket::bind("127.77.4.1:0").unwrap();
    for _ in 0..200 {
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
    }
    let inner = softirqs("NET_RX:") - inner;
    let after = kernel.series(&series);
    let outer = softirqs("NET_RX:") - outer;
    let n = after[0] - before[0];
    // One that was under way on a CPU when it was read may be on either side.
    let n_cpus = as_f64(std::thread::available_parallelism().unwrap().get().try_into().unwrap());
    assert!(inner - n_cpus <= n && n <= outer + n_cpus, "{inner} <= {n} <= {outer}");
    assert!(inner >= 100.0, "{inner}");
    let seconds = after[1] - before[1];
    assert!(0.0 < seconds && seconds < 1e-2 * n, "{seconds} s in {n} runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn hard_interrupts_of_the_disk_are_counted_under_its_name() {
    let Some(_turn) = turn("hard interrupts").await else { return };
    let mut kernel = Kernel::start();
    let before = kernel.sum("ebpf_hardirqs_total{");
    Disk::find().read_directly(50);
    let after = kernel.sum("ebpf_hardirqs_total{");
    assert!(after > before, "{before} to {after}");
    assert!(kernel.sum("ebpf_hardirq_seconds_total{") > 0.0);
    assert!(kernel.collect().contains("ebpf_hardirqs_total{action=\"virtio"), "a virtual disk");
}

/// Both ends of a connection within one network of its own.
async fn connection(host: u8) -> (TcpStream, TcpStream) {
    let address = |port: u16, last: u8| SocketAddr::from(([127, 77, host, last], port));
    let server = tokio::net::TcpListener::bind(address(0, 1)).await.unwrap();
    let client = TcpSocket::new_v4().unwrap();
    client.bind(address(0, 2)).unwrap();
    let client = client.connect(server.local_addr().unwrap()).await.unwrap();
    (client, server.accept().await.unwrap().0)
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_and_round_trips_are_counted_by_the_peers_network() {
    let Some(_turn) = turn("TCP resets").await else { return };
    let mut kernel = Kernel::start();
    for _ in 0..10 {
        let (mut client, server) = connection(1).await;
        client.write_all(b"unread").await.unwrap();
        server.readable().await.unwrap();
        // What has arrived and was not read is lost, which the peer must know.
        drop(server);
        client.readable().await.unwrap();
    }
    let network = "{network=\"127.77.1.0/24\"}";
    let series = [
        format!("ebpf_tcp_resets_sent_total{network}"),
        format!("ebpf_tcp_resets_received_total{network}"),
        format!("ebpf_tcp_network_rtt_seconds_count{network}"),
        format!("ebpf_tcp_network_rtt_seconds_sum{network}"),
    ];
    let series: Vec<&str> = series.iter().map(String::as_str).collect();
    let values = kernel.series(&series);
    assert_eq!(values[..3], [10.0, 10.0, 20.0], "{values:?}");
    let mean = values[3] / values[2];
    assert!(1e-6 < mean && mean < 1.0, "a mean round trip of {mean} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_sent_again_are_counted_by_the_peers_network() {
    let Some(_turn) = turn("TCP retransmits").await else { return };
    let mut kernel = Kernel::start();
    let full = TcpSocket::new_v4().unwrap();
    full.bind(SocketAddr::from(([127, 77, 2, 1], 0))).unwrap();
    let full = full.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    // Nobody accepts: the third and later ones get no answer and ask again after a second.
    let waiting: Vec<_> = (0..5).map(|_| tokio::spawn(TcpStream::connect(address))).collect();
    let series = ["ebpf_tcp_retransmits_total{network=\"127.77.2.0/24\"}"];
    wait_until("some SYN was sent again", || kernel.series(&series)[0] >= 2.0).await;
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_to_a_closed_port_are_dropped_for_that_reason() {
    let Some(_turn) = turn("dropped packets").await else { return };
    let mut kernel = Kernel::start();
    let series = ["ebpf_packet_drops_total{reason=\"no_socket\"}"];
    let before = kernel.series(&series)[0];
    let closed = UdpSocket::bind("127.77.5.1:0").unwrap().local_addr().unwrap();
    let socket = UdpSocket::bind("127.77.5.2:0").unwrap();
    for _ in 0..20 {
        // Every other one reports that the one before was refused.
        drop(socket.send_to(b"x", closed));
    }
    wait_until("they were dropped", || kernel.series(&series)[0] >= before + 20.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_is_counted_by_answer_and_timed() {
    let Some(_turn) = turn("DNS").await else { return };
    let mut kernel = Kernel::start();
    let Ok(server) = UdpSocket::bind("127.77.6.1:53") else {
        panic!("port 53 of 127.77.6.1 is taken");
    };
    let client = UdpSocket::bind("127.77.6.2:0").unwrap();
    let mut buffer = [0; 64];
    for id in 0..20_u16 {
        let mut message = [0; 12];
        message[..2].copy_from_slice(&id.to_be_bytes());
        client.send_to(&message, server.local_addr().unwrap()).unwrap();
        let (n, from) = server.recv_from(&mut buffer).unwrap();
        // Ten good ones, five for unknown names, five that never come.
        let code = match id {
            0..10 => 0,
            10..15 => 3,
            _ => continue,
        };
        (buffer[2], buffer[3]) = (0x80, code);
        server.send_to(&buffer[..n], from).unwrap();
        client.recv_from(&mut buffer).unwrap();
    }
    let values = kernel.series(&[
        "ebpf_dns_questions_total{scope=\"loopback\"}",
        "ebpf_dns_answers_total{code=\"noerror\",scope=\"loopback\"}",
        "ebpf_dns_answers_total{code=\"nxdomain\",scope=\"loopback\"}",
        "ebpf_dns_seconds_count{scope=\"loopback\"}",
    ]);
    assert_eq!(values, [20.0, 10.0, 5.0, 15.0]);
    let seconds = kernel.series(&["ebpf_dns_seconds_sum{scope=\"loopback\"}"])[0];
    assert!(0.0 < seconds && seconds < 15.0, "{seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_in_reclaim_is_measured_where_a_group_is_at_its_limit() {
    let Some(_turn) = turn("reclaim").await else { return };
    let mut kernel = Kernel::start();
    let mut group = TestGroup::new();
    group.limit_memory(6 << 20);
    // More pages than the group may have: each new one needs an old one to go. They are new ones
    // in a file that is written, and those of a guest's disk, which nobody has read before.
    let (disk, dir) = (Disk::find(), tempfile::tempdir_in(".").unwrap());
    let (from, to) = if is_other_kernel() {
        (disk.path, PathBuf::from("/dev/null"))
    } else {
        (PathBuf::from("/dev/zero"), dir.path().join("written"))
    };
    let (from, to) = (from.display(), to.display());
    let script = format!("dd if={from} of={to} bs=64k count=250 2>&-; echo done");
    assert_eq!(group.run(&script).hear(), "done\n");
    let values = kernel.series(&[
        "ebpf_direct_reclaim_seconds_count{scope=\"cgroup\"}",
        "ebpf_direct_reclaim_seconds_sum{scope=\"cgroup\"}",
    ]);
    assert!(values[0] > 1.0 && values[1] > 0.0, "{values:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_into_the_page_cache_and_goes_is_counted() {
    let Some(_turn) = turn("the page cache").await else { return };
    let mut kernel = Kernel::start();
    let disk = Disk::find();
    let series = ["ebpf_page_cache_insertions_total", "ebpf_page_cache_removals_total"];
    let read = format!("if={} of=/dev/null bs=4096 count=64", disk.path.display());
    let forget = format!("if={} of=/dev/null iflag=nocache count=0", disk.path.display());
    // At least one of each: a folio holds up to 2 MiB, and other programs use the cache, too.
    dd(&read);
    let before = kernel.series(&series);
    dd(&forget);
    let forgotten = kernel.series(&series);
    assert!(forgotten[1] > before[1], "{before:?} {forgotten:?}");
    dd(&read);
    let after = kernel.series(&series);
    assert!(after[0] > forgotten[0], "{forgotten:?} {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_a_peer_are_counted_with_their_headers() {
    let Some(_turn) = turn("peers").await else { return };
    let object = Object::load_for(OBJECT, &cgroup2(), |globals| {
        let counts = globals.iter_mut().find(|(name, _)| *name == "PEERS_ON_LOOPBACK").unwrap();
        counts.1 = 1;
    });
    let (events_tx, events_rx) = mpsc::channel(QUEUE);
    let (running, statuses) =
        Running::start(object.unwrap(), &settings(), events_tx, start_programs).unwrap();
    let mut kernel = Kernel { ebpf: Ebpf { statuses, running: Some(running) }, events_rx };
    let server = UdpSocket::bind("127.77.3.1:0").unwrap();
    let client = UdpSocket::bind("127.77.3.2:0").unwrap();
    for _ in 0..10 {
        client.send_to(&[0; 100], server.local_addr().unwrap()).unwrap();
        server.recv_from(&mut [0; 100]).unwrap();
    }
    let values = kernel.series(&[
        "ebpf_peer_transmit_bytes_total{peer=\"127.77.3.1\"}",
        "ebpf_peer_receive_bytes_total{peer=\"127.77.3.2\"}",
        "ebpf_peer_receive_bytes_total{peer=\"127.77.3.1\"}",
    ]);
    // 20 bytes of IPv4, 8 of UDP.
    assert_eq!(values, [1280.0, 1280.0, 0.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_programs_are_counted_and_timed_after_each_collection() {
    let Some(_turn) = turn("statistics of programs").await else { return };
    let mut kernel = Kernel::start();
    let series = [
        "ebpf_program_runs_total{program=\"sched\"}",
        "ebpf_program_run_seconds_total{program=\"sched\"}",
        "ebpf_program_measured_seconds_total",
    ];
    assert_eq!(kernel.series(&series), [0.0, 0.0, 0.0], "nothing was counted yet");
    ping_pong(200);
    let values = kernel.series(&series);
    assert!(values[0] >= 200.0, "{values:?}");
    let seconds_a_run = values[1] / values[0];
    assert!(1e-9 < seconds_a_run && seconds_a_run < 1e-4, "{values:?}");
    assert!(0.0 < values[2] && values[2] < DEADLINE.as_secs_f64(), "{values:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_of_the_whole_host_outlast_those_of_units() {
    let Some(_turn) = turn("run-queue wait of the host").await else { return };
    let mut kernel = Kernel::start();
    let count = |kernel: &mut Kernel| kernel.series(&["ebpf_run_queue_wait_seconds_count"])[0];
    let before = count(&mut kernel);
    ping_pong(200);
    let after = count(&mut kernel);
    assert!(after >= before + 200.0, "{before} to {after} turns");
}
