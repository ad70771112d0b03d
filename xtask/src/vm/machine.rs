//! A guest that is a machine: Debian's own kernel under qemu, over a copy-on-write view of this
//! machine's root, with what a container shares or lacks: a kernel, control groups of version 2 with
//! their controllers, a disk that loses what was not synced when the power goes.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::guest::{FRESH, Guest};
use crate::{
    paths, setup, shell,
    vmtest::{
        self,
        guest::{MARK, add_modules, archive},
        kernels::{self, Kernel, MODULES, SYSTEM_MODULES},
        machine::{EMULATION, MACHINE},
    },
};

/// What Debian's stable users run.
const KERNEL: &str = "6.1";
const KERNEL_WORDS: &str = "console=ttyS0 panic=-1 loglevel=4 mitigations=off no_timer_check \
                            tsc=reliable psi=1 net.ifnames=0 rdinit=/init";
const MEMORY_MB: &str = "2048";
const DISK_BYTES: u64 = 8 << 30;
/// A kernel that runs has said something by then: where /dev/kvm is there and boots no stock
/// kernel, it never does.
const KERNEL_WITHIN: Duration = Duration::from_secs(20);
/// Emulated on a busy machine.
const UP_WITHIN: Duration = Duration::from_secs(420);
const DOWN_WITHIN: Duration = Duration::from_secs(120);

/// Its first process until the root is there. qemu gives it 10.0.2.15, and this machine's loopback
/// as 10.0.2.2.
const INIT: &str = r#"#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "$module"; done </modules
echo "@MARK@ kernel"
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose host /lower
mount -t ext4 /dev/vda /disk
mkdir -p /disk/upper /disk/work
mount -t overlay -o lowerdir=/lower,upperdir=/disk/upper,workdir=/disk/work overlay /root
# Else systemd empties this machine's own, file by file, in the copy.
mount -t tmpfs tmpfs /root/tmp
mount -t tmpfs tmpfs /root/var/tmp
mount -t tmpfs tmpfs /root/mnt
mkdir /root/mnt/packages
mount -t 9p -o trans=virtio,version=9p2000.L,ro packages /root/mnt/packages
ip link set lo up
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2
cd /root
host=@HOST@
if [ ! -e /disk/made ]; then
@FRESH@
	echo 10.0.2.2 skep.localhost >>etc/hosts
	mkdir -p -m 700 root/.ssh
	cp /key.pub root/.ssh/authorized_keys
	mkdir -p etc/systemd/system/multi-user.target.wants
	ln -sf /lib/systemd/system/ssh.service etc/systemd/system/multi-user.target.wants/
	touch /disk/made
fi
umount /proc /sys
mount -o move /dev /root/dev
cd /
exec switch_root /root /lib/systemd/systemd
"#;

pub(crate) struct Machine {
    /// Kernel, disk, key and console.
    dir: PathBuf,
    kernel: Kernel,
    /// That it was seen to come up with.
    acceleration: Option<&'static str>,
    ssh_port: u16,
    /// Of the guest, which this machine shows as its own.
    shown_port: Option<u16>,
    packages: PathBuf,
    running: Option<Running>,
}

struct Running {
    qemu: Child,
    /// A connection that the others go through.
    ssh: Option<Child>,
}

impl Machine {
    /// Makes its disk; it is not booted yet.
    pub(crate) fn make(
        host: &str,
        packages: &Path,
        shown_port: Option<u16>,
    ) -> anyhow::Result<Self> {
        vmtest::tools()?;
        for (program, package) in [("mkfs.ext4", "e2fsprogs"), ("ssh", "openssh-client")] {
            if shell::which(program).is_none() {
                setup::package(package)?;
            }
        }
        let kernel = kernels::newest(KERNEL, &vmtest::cache_dir()?)?;
        let dir = paths::target().join("vm/full");
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
        }
        for folder in ["bin", "dev", "disk", "lower", "modules.d", "proc", "root", "sys"] {
            fs::create_dir_all(dir.join("initrd.d").join(folder))
                .context("making its first root")?;
        }
        let mut keygen = Command::new("ssh-keygen");
        shell::quiet(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.join("key")))?;
        let disk = dir.join("disk");
        let made = fs::File::create(&disk).and_then(|it| it.set_len(DISK_BYTES));
        made.with_context(|| format!("making {}", disk.display()))?;
        shell::quiet(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk))?;
        first_root(&dir, &kernel, host)?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        Ok(Self {
            dir,
            kernel,
            acceleration: None,
            ssh_port: free.context("looking for a free port")?.port(),
            shown_port,
            packages: packages.to_owned(),
            running: None,
        })
    }

    fn console(&self) -> String {
        let bytes = fs::read(self.dir.join("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn start(&self, acceleration: &str) -> anyhow::Result<Running> {
        let console = fs::File::create(self.dir.join("console")).context("making its console")?;
        let shown = self.shown_port.map(|it| format!(",hostfwd=tcp:127.0.0.1:{it}-:{it}"));
        let share = |id: &str, path: &Path| {
            format!(
                "local,id={id},path={},security_model=none,readonly=on,multidevs=remap",
                path.display()
            )
        };
        let qemu = shell::tied("qemu-system-x86_64")
            .args(["-accel", acceleration])
            .args(MACHINE)
            .args(["-m", MEMORY_MB, "-kernel"])
            .arg(&self.kernel.image)
            .arg("-initrd")
            .arg(self.dir.join("initrd"))
            .args(["-append", KERNEL_WORDS, "-drive"])
            .arg(format!("file={},format=raw,if=virtio", self.dir.join("disk").display()))
            .args(["-fsdev", &share("host", Path::new("/"))])
            .args(["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"])
            .args(["-fsdev", &share("packages", &self.packages)])
            .args(["-device", "virtio-9p-pci,fsdev=packages,mount_tag=packages"])
            .arg("-nic")
            .arg(format!(
                "user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{}-:22{}",
                self.ssh_port,
                shown.unwrap_or_default()
            ))
            .stdin(Stdio::null())
            .stdout(console)
            .spawn()
            .context("cannot run qemu-system-x86_64")?;
        Ok(Running { qemu, ssh: None })
    }

    /// Whether the kernel ran at all.
    #[expect(clippy::disallowed_methods, reason = "a deadline for a guest of our own")]
    fn says_something(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if self.console().contains(MARK) {
                return true;
            }
            thread::sleep(Duration::from_millis(200));
        }
        false
    }

    /// Holds a connection open, so that not every command has to shake hands.
    #[expect(clippy::disallowed_methods, reason = "a deadline for a guest of our own")]
    fn connect(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + UP_WITHIN;
        loop {
            let mut ssh = self.ssh(&["-M", "-N", "-o", "ConnectTimeout=10"]);
            let mut ssh = ssh.stdin(Stdio::null()).stderr(Stdio::null()).spawn().context("ssh")?;
            while ssh.try_wait()?.is_none() {
                if shell::succeeds(&mut self.ssh(&["-O", "check"])) {
                    if let Some(running) = &mut self.running {
                        running.ssh = Some(ssh);
                    }
                    return Ok(());
                }
                thread::sleep(Duration::from_millis(200));
            }
            if Instant::now() > deadline {
                bail!("sshd does not answer within {}", shell::human(UP_WITHIN));
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    fn ssh(&self, options: &[&str]) -> Command {
        let mut command = shell::tied("ssh");
        command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-i"]);
        command.arg(self.dir.join("key"));
        command.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        command.arg("-S").arg(self.dir.join("ssh")).args(["-p", &self.ssh_port.to_string()]);
        command.args(options).arg("root@127.0.0.1");
        command
    }

    #[expect(clippy::disallowed_methods, reason = "a deadline for a guest of our own")]
    fn end(&mut self, within: Duration) -> anyhow::Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let deadline = Instant::now() + within;
        while running.qemu.try_wait()?.is_none() {
            if Instant::now() > deadline {
                running.qemu.kill().context("killing the guest")?;
            }
            thread::sleep(Duration::from_millis(50));
        }
        if let Some(mut ssh) = running.ssh {
            // It may have noticed by itself.
            drop(ssh.kill());
            ssh.wait().context("waiting for ssh")?;
        }
        drop(fs::remove_file(self.dir.join("ssh")));
        Ok(())
    }
}

impl Guest for Machine {
    fn boot(&mut self) -> anyhow::Result<()> {
        let all: &[&'static str] = match self.acceleration {
            Some(EMULATION) => &[EMULATION],
            Some(_) => &["kvm"],
            None if Path::new("/dev/kvm").exists() => &["kvm", EMULATION],
            None => &[EMULATION],
        };
        for acceleration in all {
            self.running = Some(self.start(acceleration)?);
            let within = if *acceleration == EMULATION { UP_WITHIN } else { KERNEL_WITHIN };
            if self.says_something(within) {
                eprintln!("booted {} by {acceleration}", self.kernel.package);
                self.acceleration = Some(acceleration);
                self.connect().with_context(|| self.console())?;
                return self.wait_until_up(UP_WITHIN);
            }
            self.end(Duration::ZERO)?;
        }
        bail!("the kernel says nothing: {}", self.console())
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.end(Duration::ZERO)
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        // The connection may go before the answer comes.
        drop(self.run(&["systemctl", "poweroff"]));
        self.end(DOWN_WITHIN)
    }

    fn command(&self, words: &[&str]) -> anyhow::Result<Command> {
        anyhow::ensure!(self.running.is_some(), "the guest is not booted");
        let quoted = |it: &&str| format!("'{}'", it.replace('\'', r"'\''"));
        let line: Vec<String> = words.iter().map(quoted).collect();
        let mut ssh = self.ssh(&[]);
        ssh.arg(line.join(" "));
        Ok(ssh)
    }

    fn copy(&self, file: &Path) -> anyhow::Result<()> {
        let name = file.file_name().context("a file has a name")?.to_string_lossy();
        // Read where it is: a copy would be emulated.
        self.run(&["ln", "-sf", &format!("/mnt/packages/{name}"), "/root/"]).map(drop)
    }

    fn shell_command(&self) -> String {
        format!("ssh -i {} -p {} root@localhost", self.dir.join("key").display(), self.ssh_port)
    }
}

/// After a failed test, nothing stays behind.
impl Drop for Machine {
    fn drop(&mut self) {
        let ended = self.end(Duration::ZERO);
        let removed = fs::remove_file(self.dir.join("disk")).context("removing its disk");
        if let Err(error) = ended.and(removed) {
            eprintln!("the guest is left behind: {error:#}");
        }
    }
}

fn first_root(dir: &Path, kernel: &Kernel, host: &str) -> anyhow::Result<()> {
    let root = dir.join("initrd.d");
    let busybox = shell::which("busybox").context("busybox is not installed")?;
    fs::copy(&busybox, root.join("bin/busybox")).context("copying busybox")?;
    fs::copy(dir.join("key.pub"), root.join("key.pub")).context("copying the key")?;
    let modules = [kernel.modules(MODULES), kernel.modules(SYSTEM_MODULES)].concat();
    add_modules(&modules, &root)?;
    let init = INIT.replace("@MARK@", MARK).replace("@HOST@", host).replace("@FRESH@", FRESH);
    fs::write(root.join("init"), init).context("writing /init")?;
    shell::quiet(Command::new("chmod").arg("755").arg(root.join("init")))?;
    archive(&root, &dir.join("initrd")).map(drop)
}
