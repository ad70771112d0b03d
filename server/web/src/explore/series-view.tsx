// Series as a chart or a table, with the server's notes and the ways out of the page.
import type { Answer, Range } from "../api/prometheus";
import { Chart } from "../chart/chart";
import { counted } from "../ui/format";
import { Menu } from "../ui/menu";
import { save, seriesCsv, seriesJson } from "./export";
import { Table } from "./table";

export const VIEWS = ["chart", "stacked", "table", "explain"] as const;
export type View = (typeof VIEWS)[number];

interface Props {
  answer: Answer;
  view: View;
  range: Range;
  took_ms: number;
  zoom: (from_ms: number, to_ms: number) => void;
  empty: string;
}

export function SeriesView({ answer, view, range, took_ms, zoom, empty }: Props) {
  const { series, warnings, type } = answer;
  const isChart = type === "matrix" && view !== "table";
  return (
    <>
      {warnings.map((warning) => (
        <p key={warning} class="result-note warning">
          {warning}
        </p>
      ))}
      {series.length === 0 && <p class="message">{empty}</p>}
      {series.length > 0 && isChart && (
        <Chart
          series={series}
          range={range}
          isStacked={view === "stacked"}
          onSelect={({ from, to }) => zoom(from * 1000, to * 1000)}
        />
      )}
      {series.length > 0 && !isChart && <Table series={series} />}
      <div class="result-foot">
        <p class="result-note">
          {series.length} series in {Math.round(took_ms)} ms
          {type === "matrix" && `, ${counted(range.step, "second")} a step`}
        </p>
        {series.length > 0 && (
          <Menu
            label="Export"
            choices={[
              ["CSV", () => save("series.csv", "text/csv", seriesCsv(series))],
              ["JSON", () => save("series.json", "application/json", seriesJson(series))],
            ]}
          />
        )}
      </div>
    </>
  );
}
