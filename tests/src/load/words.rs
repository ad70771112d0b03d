//! The words that a load's log lines are made of.

pub(super) const PATHS: [&str; 16] = [
    "/",
    "/index.html",
    "/api/v1/items",
    "/api/v1/users",
    "/static/app.js",
    "/static/app.css",
    "/login",
    "/api/v1/orders",
    "/favicon.ico",
    "/metrics",
    "/healthz",
    "/api/v1/search?q=disk",
    "/images/logo.png",
    "/robots.txt",
    "/wp-login.php",
    "/.env",
];
pub(super) const USER_AGENTS: [&str; 8] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
     Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    "curl/7.88.1",
    "Go-http-client/1.1",
    "Prometheus/2.53.0",
    "python-requests/2.32.3",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
];
pub(super) const USERS: [&str; 12] = [
    "root", "admin", "ubuntu", "test", "oracle", "git", "pi", "user", "postgres", "deploy",
    "guest", "backup",
];
pub(super) const DOMAINS: [&str; 10] = [
    "api.github.com",
    "pkg.mirror.org",
    "time.cloudflare.com",
    "telemetry.example.net",
    "cdn.jsdelivr.net",
    "assets.example.org",
    "graph.example.com",
    "mqtt.home.lan",
    "nas.home.lan",
    "clients4.google.com",
];
pub(super) const JOBS: [&str; 10] = [
    "logrotate",
    "apt-daily",
    "man-db",
    "fstrim",
    "certbot",
    "backup",
    "systemd-tmpfiles-clean",
    "e2scrub_all",
    "dpkg-db-backup",
    "nightly-report",
];
pub(super) const TASKS: [&str; 8] = [
    "send_email",
    "resize_image",
    "sync_inventory",
    "rebuild_index",
    "expire_sessions",
    "fetch_feed",
    "render_pdf",
    "rotate_keys",
];
pub(super) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
pub(super) const KERNEL_WARNINGS: [&str; 4] = [
    "EXT4-fs (sda1): warning: mounting fs with errors, running e2fsck is recommended",
    "ata1.00: failed command: READ FPDMA QUEUED",
    "nf_conntrack: nf_conntrack: table full, dropping packet",
    "Out of memory: Killed process 4242 (java) total-vm:8123456kB",
];
pub(super) const CRON_COMMANDS: [&str; 4] = [
    "cd / && run-parts --report /etc/cron.hourly",
    "/usr/local/bin/backup.sh --incremental",
    "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }",
    "/usr/bin/php /srv/app/artisan schedule:run",
];
pub(super) const SHIM_EVENTS: [&str; 4] =
    ["shim disconnected", "cleaning up dead shim", "starting signal loop", "loading plugin"];
