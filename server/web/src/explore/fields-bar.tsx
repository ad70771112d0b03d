// The fields of the lines beside them: a field opens to its values with their counts, and a value
// goes into the query.
import { useState } from "preact/hooks";
import "./fields-bar.css";
import type { Field } from "../api/loki-labels";
import type { Range } from "../api/prometheus";
import { value as number } from "../ui/format";
import { Busy } from "./busy";
import { countsOf, fieldsOf } from "./fields";
import { useQuery } from "./use-query";

interface Props {
  query: string;
  grid: Range;
  filter: (field: Field, value: string, isWanted: boolean) => void;
}

export function FieldsBar({ query, grid, filter }: Props) {
  const key = JSON.stringify([query, grid]);
  const { asked } = useQuery(key, (abort) => fieldsOf(query, grid, abort));
  const groups = asked.answer ? [asked.answer.labels, asked.answer.fields] : [];
  return (
    <aside class="fields-bar" aria-label="Fields">
      {asked.state === "failed" && <p class="error small">{asked.message}</p>}
      {asked.state === "busy" && !asked.answer && <Busy what="Looking for fields" />}
      {groups.map((fields, i) => (
        <section key={i} aria-label={i === 0 ? "Labels" : "Fields of lines"}>
          <h3 class="small">{i === 0 ? "Labels" : "Fields"}</h3>
          {fields.length === 0 && <p class="small muted">none</p>}
          <ul>
            {fields.map((field) => (
              <FieldRow key={field.name} field={field} query={query} grid={grid} filter={filter} />
            ))}
          </ul>
        </section>
      ))}
    </aside>
  );
}

function FieldRow({ field, ...rest }: Props & { field: Field }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <li>
      <button type="button" class="field" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <span class="mono small ellipsis" title={field.name}>
          {field.name}
        </span>
        <span class="muted small">{field.type === "label" ? "" : field.type}</span>
        <span class="muted small num">{field.cardinality}</span>
      </button>
      {isOpen && <Values field={field} {...rest} />}
    </li>
  );
}

function Values({ field, query, grid, filter }: Props & { field: Field }) {
  const key = JSON.stringify([query, grid, field.name]);
  const { asked } = useQuery(key, (abort) => countsOf(query, field, grid, abort));
  if (asked.state === "failed") return <p class="error small">{asked.message}</p>;
  if (!asked.answer) return <Busy what="Counting" />;
  const most = asked.answer[0]?.count ?? 1;
  return (
    <ul class="values">
      {asked.answer.length === 0 && <li class="small muted">no line has it</li>}
      {asked.answer.map(({ value, count }) => (
        <li key={value} class="value small">
          <span class="mono ellipsis" title={value}>
            {value === "" ? "(none)" : value}
          </span>
          <span class="num muted">{number(count)}</span>
          <button
            type="button"
            aria-label={`Only lines where ${field.name} is ${value}`}
            onClick={() => filter(field, value, true)}
          >
            +
          </button>
          <button
            type="button"
            aria-label={`No lines where ${field.name} is ${value}`}
            onClick={() => filter(field, value, false)}
          >
            −
          </button>
          <span class="bar" style={{ width: `${(100 * count) / most}%` }} />
        </li>
      ))}
    </ul>
  );
}
