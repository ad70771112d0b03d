// What Grafana's code expects of a browser while it is loaded, given to Node.js.
const { JSDOM } = require("jsdom");

const page = new JSDOM("<!doctype html><html><body></body></html>", {
  url: "http://localhost:3000/",
  pretendToBeVisual: true,
}).window;

class Idle {
  observe() {}
  unobserve() {}
  disconnect() {}
}

class IdleWorker {
  postMessage() {}
  terminate() {}
  addEventListener() {}
}

const noMatch = () => ({
  matches: false,
  addListener() {},
  removeListener() {},
  addEventListener() {},
  removeEventListener() {},
});

page.ResizeObserver = Idle;
page.IntersectionObserver = Idle;
page.Worker = IdleWorker;
page.matchMedia = noMatch;
page.document.queryCommandSupported = () => false;
page.fetch = globalThis.fetch;
page.grafanaBootData = {
  settings: {
    featureToggles: {},
    buildInfo: { version: "13.2.1", env: "test" },
    datasources: {},
    defaultDatasource: "",
    appUrl: "http://localhost:3000/",
    appSubUrl: "",
    panels: {},
    apps: {},
  },
  user: { locale: "en-US", orgId: 1, timezone: "utc" },
  navTree: [],
};

const names = `window document navigator location history localStorage sessionStorage
  HTMLElement HTMLCanvasElement HTMLIFrameElement HTMLInputElement HTMLTextAreaElement SVGElement
  Element Node Text Comment DocumentFragment ShadowRoot Range Image DOMParser DOMRect
  XMLSerializer MutationObserver ResizeObserver IntersectionObserver Worker CSSStyleDeclaration
  CSSStyleSheet StyleSheet Event CustomEvent KeyboardEvent MouseEvent FocusEvent InputEvent
  matchMedia getComputedStyle requestAnimationFrame cancelAnimationFrame`;
for (const name of names.split(/\s+/)) {
  Object.defineProperty(globalThis, name, {
    value: page[name],
    configurable: true,
    writable: true,
  });
}
for (const name of ["addEventListener", "removeEventListener", "dispatchEvent"]) {
  globalThis[name] = page[name].bind(page);
}
globalThis.self = page;
globalThis.devicePixelRatio = 1;
