// The fields of the lines of a query, and how often each value of one comes.
import { getJson } from "../api/client";
import { detectedFields, type Field } from "../api/loki-labels";
import { answer, last, type Range } from "../api/prometheus";
import { counting, logQueryOf, selectorOf, withParser } from "./logql-text";

export interface FieldList {
  labels: Field[];
  fields: Field[];
}

export interface ValueCount {
  value: string;
  count: number;
}

const VALUES_MAX = 12;

export async function fieldsOf(query: string, range: Range, abort: AbortSignal): Promise<FieldList> {
  const lines = logQueryOf(query) ?? query;
  const { start, end } = range;
  const [labels, fields] = await Promise.all([
    detectedLabels(selectorOf(query) ?? query, range, abort),
    detectedFields(lines, { start, end }),
  ]);
  const names = new Set(labels.map((it) => it.name));
  return { labels, fields: fields.filter((it) => !names.has(it.name)) };
}

async function detectedLabels(query: string, { start, end }: Range, abort: AbortSignal): Promise<Field[]> {
  const json = (await getJson("/loki/api/v1/detected_labels", { query, start, end }, abort)) as {
    detectedLabels?: { label: string; cardinality: number }[] | null;
  };
  return (json.detectedLabels ?? []).map(({ label, cardinality }) => {
    return { name: label, type: "label", cardinality, parsers: [] };
  });
}

/** The values that come most often. */
export async function countsOf(
  query: string,
  field: Field,
  { start, end }: Range,
  abort: AbortSignal,
): Promise<ValueCount[]> {
  const lines = withParser(logQueryOf(query) ?? query, field.parsers[0]);
  const counts = `sum by (${field.name}) (${counting(lines, `${end - start}s`)})`;
  const params = { query: `topk(${VALUES_MAX}, ${counts})`, time: end };
  const { series } = answer(await getJson("/loki/api/v1/query", params, abort));
  return series
    .map((it) => ({ value: it.labels[field.name] ?? "", count: last(it) }))
    .sort((a, b) => b.count - a.count);
}
