// The front end of Grafana's Prometheus data source, against a running server: what it asks for
// when a dashboard is opened, a variable is filled in, a filter is typed.
//
// SKEP_URL      a server that asks for no login
// SKEP_UPDATE   writes expected.json anew instead of comparing with it
require("./dom.cjs");

const assert = require("node:assert/strict");
const { readFileSync, writeFileSync } = require("node:fs");
const { after, test } = require("node:test");
const runtime = require("@grafana/runtime");
const { dateTime } = require("@grafana/data");
const { from } = require("rxjs");

const base = process.env.SKEP_URL;
const update = process.env.SKEP_UPDATE;
// By method and step: what is asked for, and what Grafana makes of the answer.
const expected = update ? {} : JSON.parse(readFileSync("expected.json", "utf8"));
if (update) after(() => writeFileSync("expected.json", `${JSON.stringify(expected, null, 1)}\n`));

// Requests since the last look: method, path and parameters without times, status.
let asked = [];

function note(method, url, body, status) {
  const params = new URLSearchParams([...url.searchParams, ...new URLSearchParams(body ?? "")]);
  const shown = [...params].filter(([name]) => !["start", "end", "time"].includes(name));
  const query = shown.map(([name, value]) => `${name}=${value}`).join("&");
  asked.push(`${method} ${url.pathname}${query ? `?${query}` : ""} ${status}`);
}

async function request(options) {
  // Grafana's server passes on what is below "resources".
  const path = options.url.replace(/^.*\/api\/datasources\/uid\/[^/]+\/resources/, "");
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(options.params ?? {})) {
    if (value !== undefined) url.searchParams.append(name, value);
  }
  const method = options.method ?? "GET";
  const data = options.data;
  const body =
    method === "GET" || !data
      ? undefined
      : typeof data === "string"
        ? data
        : new URLSearchParams(data).toString();
  const headers = body ? { "content-type": "application/x-www-form-urlencoded" } : {};
  const response = await fetch(url, { method, body, headers });
  const text = await response.text();
  note(method, url, body, response.status);
  const answer = { data: text ? JSON.parse(text) : undefined, status: response.status };
  if (!response.ok) throw { ...answer, statusText: response.statusText, config: options };
  return { ...answer, ok: true, headers: response.headers, config: options };
}

runtime.setBackendSrv({
  fetch: (options) => from(request(options)),
  get: async () => ({}),
  post: async () => ({}),
  datasourceRequest: async () => ({}),
});
const templates = {
  replace: (text) => text,
  getVariables: () => [],
  containsTemplate: () => false,
  getAdhocFilters: () => [],
  updateTimeRange() {},
};
runtime.setTemplateSrv(templates);
runtime.setDataSourceSrv({
  get: async () => ({}),
  getInstanceSettings: () => undefined,
  getList: () => [],
});
const { PrometheusDatasource } = require("@grafana/prometheus");

function datasource(httpMethod) {
  const settings = {
    id: 1,
    uid: "u",
    type: "prometheus",
    name: "p",
    url: base,
    access: "proxy",
    jsonData: { httpMethod, prometheusType: "Prometheus" },
    meta: {},
    readOnly: false,
  };
  return new PrometheusDatasource(settings, templates);
}

const hour = 3_600_000;
const now = Date.now();
const timeRange = {
  from: dateTime(now - hour),
  to: dateTime(now),
  raw: { from: "now-1h", to: "now" },
};
const queries = [{ refId: "A", expr: "node_load1" }];
const find = (text) => (ds) => ds.metricFindQuery(text, { range: timeRange });

// Two requests of the start are not waited for by whoever starts it.
async function untilAsked(...paths) {
  while (!paths.every((path) => asked.some((it) => it.includes(path)))) {
    await new Promise((done) => setTimeout(done, 20));
  }
}

const steps = {
  start: async (ds) => {
    await ds.init();
    await ds.languageProvider.start(timeRange);
    await untilAsked("/query_exemplars", "/rules");
  },
  metadata: (ds) => ds.languageProvider.queryMetricsMetadata(),
  "label keys": (ds) => ds.languageProvider.queryLabelKeys(timeRange, '{job="node"}', 100),
  "label values": (ds) => ds.languageProvider.queryLabelValues(timeRange, "instance", "node_load1"),
  "label_values(of)": find('label_values(node_uname_info{job="node"}, nodename)'),
  "label_values(label)": find("label_values(job)"),
  "label_names()": find("label_names()"),
  "metrics(…)": find("metrics(node_load.*)"),
  "query_result(…)": find("query_result(node_load1)"),
  series: find('node_load1{job="node"}'),
  "filter keys": (ds) => ds.getTagKeys({ filters: [], timeRange, queries }),
  "filter values": (ds) => ds.getTagValues({ key: "job", filters: [], timeRange, queries }),
};

for (const method of ["POST", "GET"]) {
  test(`the data source works by ${method}`, { timeout: 60_000 }, async (t) => {
    const ds = datasource(method);
    for (const [name, step] of Object.entries(steps)) {
      await t.test(name, async () => {
        asked = [];
        const answer = await step(ds);
        // Several at once come in any order; times of samples are never the same.
        const text = JSON.stringify({ asked: asked.sort(), answer: answer ?? null });
        const found = JSON.parse(text.replace(/\b1\d{12}\b/g, "TIME"));
        if (update) {
          expected[method] = { ...expected[method], [name]: found };
        } else {
          assert.deepEqual(found, expected[method][name]);
        }
      });
    }
  });
}
