// The charts of a host or a unit, which share one range, one mark and one cursor.
import "./charts-view.css";
import type { Span } from "../chart/selection";
import type { TimeRange } from "../ui/range";
import type { ChartSpec } from "./charts";
import { MetricChart } from "./metric-chart";
import type { ResourceId } from "./resources";

interface Props {
  specs: ChartSpec[];
  /** Whose: a host, or one of its units. */
  of: { host: string; unit?: string };
  range: TimeRange;
  marked: Span | undefined;
  /** What to do with a span on them: `Find cause`. */
  action: string;
  take: (span: Span, resource: ResourceId | undefined) => void;
}

export function ChartsView({ specs, of, ...shared }: Props) {
  return (
    <div class="charts">
      {specs.map((spec) => (
        <MetricChart key={spec.id} spec={spec} {...of} {...shared} />
      ))}
    </div>
  );
}
