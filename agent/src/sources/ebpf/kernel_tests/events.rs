//! Kernel events as log entries.

use super::*;

fn field<'a>(record: &'a LogRecord, name: &str) -> &'a str {
    let found = record.entry.metadata.iter().find(|(key, _)| key == name);
    found.map_or_else(|| panic!("no {name} in {record:?}"), |(_, value)| value)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_short_lived_processes_are_two_thousand_log_entries() {
    let Some(_turn) = turn("events of short-lived processes").await else { return };
    let mut kernel = Kernel::start();
    let group = TestGroup::new();
    let script = "i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i+1)); done; echo done; read _";
    let mut child = group.run(script);
    assert_eq!(child.hear(), "done\n");
    let mut pids = [("exec", Vec::new()), ("exit", Vec::new())];
    let all = async {
        while pids.iter().any(|(_, pids)| pids.len() < 1000) {
            let record = kernel.events_rx.recv().await.expect("the reader runs");
            if record.stream.get("unit") == group.unit && field(&record, "comm") == "true" {
                let of = pids.iter_mut().find(|(name, _)| record.stream.get("event") == *name);
                of.expect("started or ended").1.push(field(&record, "pid").to_owned());
            }
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, all).await;
    let [(_, mut started), (_, mut ended)] = pids;
    in_time.unwrap_or_else(|_| panic!("{} started, {} ended", started.len(), ended.len()));
    started.sort_unstable();
    ended.sort_unstable();
    assert_eq!(started, ended);
    started.dedup();
    assert_eq!(started.len(), 1000, "each of them once");
    child.tell();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_tells_what_the_process_used() {
    let Some(_turn) = turn("what processes used").await else { return };
    let mut kernel = Kernel::start();
    let group = TestGroup::new();
    let script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo done; read _";
    let mut child = group.run(script);
    assert_eq!(child.hear(), "done\n");
    let pid = child.child.id().to_string();
    let used = child.schedstat().0;
    child.tell();
    let end = kernel.event("exit", &group.unit, ("pid", &pid)).await;
    let seconds = |name| field(&end, name).parse::<f64>().unwrap();
    assert_near("CPU", seconds("cpu_user_seconds") + seconds("cpu_system_seconds"), used);
    assert!(seconds("duration_seconds") >= used / 2.0);
    let rss: u64 = field(&end, "rss_max_bytes").parse().unwrap();
    // As `wait4` has it: before its exec the child was as large as this process.
    assert!((100 << 10..1 << 30).contains(&rss), "a shell of {rss} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_told_with_who_killed_it() {
    let Some(_turn) = turn("fatal signals").await else { return };
    let mut kernel = Kernel::start();
    let group = TestGroup::new();
    let mut child =
        group.run("read _; sleep 1000 & kill -9 $!; wait $!; /bin/sh -c 'kill -11 $$'; read _");
    child.tell();
    let killed = kernel.event("signal", &group.unit, ("signal_name", "SIGKILL")).await;
    assert_eq!(killed.stream.get("level"), "warning");
    assert_eq!(field(&killed, "sender_pid"), child.child.id().to_string());
    assert_eq!(field(&killed, "sender_comm"), "sh");
    let fault = kernel.event("signal", &group.unit, ("signal_name", "SIGSEGV")).await;
    assert_eq!(fault.stream.get("level"), "error");
    assert_eq!(field(&fault, "sender_pid"), field(&fault, "pid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_told_when_they_are_made_or_refused() {
    let Some(_turn) = turn("connections").await else { return };
    let mut kernel = Kernel::start();
    let listener = tokio::net::TcpListener::bind("127.77.7.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = address.port().to_string();
    tokio::net::TcpStream::connect(address).await.unwrap();
    let made = kernel.event("tcp_connect", "/", ("port", &port)).await;
    assert_eq!(made.stream.get("level"), "info");
    assert_eq!(field(&made, "address"), "127.77.7.1");
    assert_eq!(field(&made, "pid"), std::process::id().to_string());
    drop(listener);
    tokio::net::TcpStream::connect(address).await.unwrap_err();
    let refused = kernel.event("tcp_connect", "/", ("port", &port)).await;
    assert_eq!(refused.stream.get("level"), "warning");
    assert_eq!(field(&refused, "error"), "Connection refused (os error 111)");
}
