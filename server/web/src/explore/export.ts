// Answers as files: CSV and JSON of series, text, CSV and JSON of lines.
import type { Line } from "../api/loki";
import { nsOf } from "../api/loki";
import type { Series } from "../api/prometheus";
import { plain } from "../ui/rich-text";

/** As RFC 4180 quotes. */
function cell(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function table(rows: string[][]): string {
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function namesOf(all: Record<string, string>[]): string[] {
  return [...new Set(all.flatMap(Object.keys))].sort();
}

function number(value: number): string {
  return String(value).replace("Infinity", "Inf");
}

/** A row for each sample: time, a column for each label, value. */
export function seriesCsv(series: Series[]): string {
  const names = namesOf(series.map((it) => it.labels));
  const rows = series.flatMap(({ labels, times, values }) => {
    const texts = names.map((name) => labels[name] ?? "");
    return times.map((time, i) => {
      return [new Date(time * 1000).toISOString(), ...texts, number(values[i] ?? NaN)];
    });
  });
  return table([["time", ...names, "value"], ...rows]);
}

/** Prometheus' own shape. */
export function seriesJson(series: Series[]): string {
  const rows = series.map(({ labels, times, values }) => {
    return { metric: labels, values: times.map((time, i) => [time, number(values[i] ?? NaN)]) };
  });
  return `${JSON.stringify(rows, undefined, 1)}\n`;
}

/** RFC 3339 with nanoseconds. */
export function exactTime(line: Line): string {
  const ns = nsOf(line);
  const second = new Date(Number(ns / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  return `${second}.${String(ns % 1_000_000_000n).padStart(9, "0")}Z`;
}

export function linesText(lines: Line[]): string {
  return lines.map((line) => `${exactTime(line)} ${plain(line.text)}\n`).join("");
}

export function linesCsv(lines: Line[]): string {
  const all = lines.map((line) => ({ ...line.metadata, ...line.labels }));
  const names = namesOf(all);
  const rows = lines.map((line, i) => {
    return [exactTime(line), ...names.map((name) => all[i]?.[name] ?? ""), line.text];
  });
  return table([["time", ...names, "line"], ...rows]);
}

export function linesJson(lines: Line[]): string {
  const rows = lines.map((line) => {
    const { labels, metadata, text } = line;
    return JSON.stringify({ time: exactTime(line), line: text, labels, metadata });
  });
  return `[\n${rows.join(",\n")}\n]\n`;
}

export function save(name: string, type: string, text: string) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
