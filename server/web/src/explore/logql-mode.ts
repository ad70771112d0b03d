// LogQL in the editor: colours, faults and completion.
import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { LRLanguage } from "@codemirror/language";
import { linter, type Diagnostic } from "@codemirror/lint";
import type { Extension } from "@codemirror/state";
import { parser } from "@grafana/lezer-logql";
import { styleTags, tags } from "@lezer/highlight";
import { detectedFields, fieldValues, labelNames, labelValues } from "../api/loki-labels";
import {
  AGGREGATIONS,
  OPERATORS,
  RANGE_FUNCTIONS,
  RANGES,
  situationAt,
  STAGES,
  type Situation,
} from "./logql-complete";
import { faultsOf, quoted } from "./logql-text";

const language = LRLanguage.define({
  parser: parser.configure({
    props: [
      styleTags({
        LineComment: tags.comment,
        "Matcher/Identifier LabelName Labels/Identifier": tags.labelName,
        String: tags.string,
        "Number Duration Bytes": tags.number,
        "RangeOp/... VectorOp/... ConvOp/... LabelReplace Vector": tags.function(tags.variableName),
        "Json Logfmt Unpack Pattern Regexp Unwrap LabelFormat LineFormat Decolorize Drop Keep": tags.keyword,
        "By Without On Ignoring GroupLeft GroupRight Bool Offset And Or Unless Ip": tags.keyword,
        "PipeExact PipeMatch PipePattern Npa Pipe Eq Neq Re Nre Gtr Gte Lss Lte Eql": tags.operator,
        "Add Sub Mul Div Mod Pow": tags.operator,
      }),
    ],
  }),
  languageData: {
    closeBrackets: { brackets: ["(", "[", "{", '"', "`"] },
    commentTokens: { line: "#" },
  },
});

export function logql(): Extension {
  return [
    language,
    language.data.of({ autocomplete: complete }),
    linter((view) => faultsOf(view.state.doc.toString()).map(diagnostic), { delay: 750 }),
  ];
}

function diagnostic(fault: { from: number; to: number; message: string }): Diagnostic {
  return { ...fault, severity: "error" };
}

async function complete(context: CompletionContext): Promise<CompletionResult | null> {
  const text = context.state.doc.toString();
  const situation = situationAt(text, context.pos);
  const typed = text.slice(situation.from, context.pos);
  const isBare = typed === "" && !/[{,="`|([]\s*$/.test(text.slice(0, context.pos));
  if (situation.kind === "none" || (isBare && !context.explicit)) return null;
  const options = await optionsOf(situation, text.slice(context.pos));
  if (context.aborted || options.length === 0) return null;
  return { from: situation.from, options, validFor: /^[^\s"`{}()|,]*$/ };
}

async function optionsOf(situation: Situation, after: string): Promise<Completion[]> {
  switch (situation.kind) {
    case "start":
      return [
        { label: "{", detail: "stream selector", type: "text", boost: 1 },
        ...RANGE_FUNCTIONS.map((label) => ({ label, type: "function", detail: "over lines" })),
        ...AGGREGATIONS.map((label) => ({ label, type: "function", detail: "over series" })),
      ];
    case "label":
    case "grouping":
      return (await known(labelNames(situation.selector))).map((label) => ({ label, type: "property" }));
    case "value":
      return valuesAs(await known(labelValues(situation.label, situation.selector)), situation.isQuoted, after);
    case "operator":
      return OPERATORS.map((label) => ({ label, type: "operator" }));
    case "stage": {
      const stages = STAGES.map((label) => ({ label, type: "keyword", detail: "stage", boost: 1 }));
      return [...stages, ...(await fieldsOf(situation.query))];
    }
    case "field":
      return fieldsOf(situation.query);
    case "field-value": {
      const values = await known(fieldValues(situation.field, situation.query));
      return valuesAs(values, situation.isQuoted, after);
    }
    case "duration":
      return RANGES.map((label) => ({ label, type: "constant" }));
    case "none":
      return [];
  }
}

async function fieldsOf(query: string): Promise<Completion[]> {
  const [fields, labels] = await Promise.all([
    known(detectedFields(query)),
    known(labelNames(query.slice(0, query.indexOf("}") + 1))),
  ]);
  return [
    ...fields.map(({ name, type }) => ({ label: name, type: "property", detail: type })),
    ...labels.map((label) => ({ label, type: "property", detail: "label" })),
  ];
}

function valuesAs(values: string[], isQuoted: boolean, after: string): Completion[] {
  return values.map((label) => {
    const text = quoted(label);
    // The closing quote is there already where the editor has put it.
    const apply = isQuoted ? text.slice(1, after.startsWith('"') ? -1 : undefined) : text;
    return { label, apply, type: "text" };
  });
}

/** Completion goes without what the server does not tell. */
async function known<T>(asked: Promise<T[]>): Promise<T[]> {
  try {
    return await asked;
  } catch {
    return [];
  }
}
