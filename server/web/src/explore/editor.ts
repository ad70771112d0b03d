// The query editor: CodeMirror in a shadow root, whose styles need no inline style element and so
// keep to the server's policy.
import {
  acceptCompletion,
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
  startCompletion,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { lintKeymap, setDiagnostics } from "@codemirror/lint";
import { EditorState, Prec, type Extension } from "@codemirror/state";
import { EditorView, keymap, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import type { Language } from "./language";
import { logql } from "./logql-mode";
import { promql } from "./promql-mode";

export interface EditorSettings {
  parent: HTMLElement;
  language: Language;
  text: string;
  label: string;
  placeholder: string;
  testId: string;
  onChange: (text: string) => void;
  onRun: (text: string) => void;
}

export interface Editor {
  setText: (text: string) => void;
  /** Marks where the server found a fault; undefined takes the mark away. */
  setFault: (fault: { at: number; message: string } | undefined) => void;
  /** With the cursor or selection there. */
  focus: (selection: [from: number, to: number]) => void;
  destroy: () => void;
}

const MODES: Record<Language, () => Extension> = { promql, logql };

export function openEditor(settings: EditorSettings): Editor {
  const root = settings.parent.shadowRoot ?? settings.parent.attachShadow({ mode: "open" });
  const run = (view: EditorView) => {
    settings.onRun(view.state.doc.toString());
    return true;
  };
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: settings.text,
      extensions: [
        Prec.highest(
          keymap.of([
            { key: "Shift-Enter", run },
            { key: "Mod-Enter", run },
            { key: "Tab", run: acceptCompletion },
            { key: "Ctrl-Space", run: startCompletion },
          ]),
        ),
        keymap.of([
          ...closeBracketsKeymap,
          ...completionKeymap,
          ...defaultKeymap,
          ...historyKeymap,
          ...lintKeymap,
        ]),
        history(),
        bracketMatching(),
        closeBrackets(),
        autocompletion({ icons: false }),
        placeholder(settings.placeholder),
        syntaxHighlighting(COLOURS),
        LOOK,
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({
          "aria-label": settings.label,
          "data-testid": settings.testId,
          spellcheck: "false",
          autocapitalize: "none",
        }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) settings.onChange(update.state.doc.toString());
        }),
        MODES[settings.language](),
      ],
    }),
  });
  return {
    setText: (text) => {
      if (text === view.state.doc.toString()) return;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
    },
    setFault: (fault) => {
      const length = view.state.doc.length;
      const from = Math.min(fault?.at ?? 0, length);
      const to = Math.min(from + 1, length);
      const all = fault ? [{ from, to, severity: "error" as const, message: fault.message }] : [];
      view.dispatch(setDiagnostics(view.state, all));
    },
    focus: ([anchor, head]) => {
      view.dispatch({ selection: { anchor, head } });
      view.focus();
    },
    destroy: () => view.destroy(),
  };
}

const COLOURS = HighlightStyle.define([
  { tag: tags.comment, color: "var(--muted)", fontStyle: "italic" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--good)" },
  { tag: tags.number, color: "var(--chart-2)" },
  { tag: [tags.keyword, tags.modifier], color: "var(--chart-4)" },
  { tag: [tags.function(tags.variableName), tags.operatorKeyword], color: "var(--accent)" },
  { tag: tags.labelName, color: "var(--chart-6)" },
  { tag: tags.operator, color: "var(--muted)" },
  { tag: tags.invalid, color: "var(--bad)" },
]);

const LOOK = EditorView.theme({
  "&": {
    border: "1px solid var(--line-strong)",
    borderRadius: "var(--radius-s)",
    background: "var(--raised)",
    color: "var(--ink)",
    fontSize: "var(--text-s)",
  },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "1px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.5", maxHeight: "16rem" },
  ".cm-content": { padding: "0.6rem 0.2rem", caretColor: "var(--ink)" },
  ".cm-placeholder": { color: "var(--muted)" },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { background: "var(--accent-soft)" },
  ".cm-nonmatchingBracket, &.cm-focused .cm-nonmatchingBracket": { background: "var(--bad-soft)" },
  ".cm-tooltip": {
    border: "1px solid var(--line-strong)",
    borderRadius: "var(--radius-s)",
    background: "var(--surface)",
    color: "var(--ink)",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", maxHeight: "16rem" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "0.2rem 0.5rem" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": {
    background: "var(--accent-soft)",
    color: "var(--ink)",
  },
  ".cm-completionDetail": { color: "var(--muted)", marginLeft: "1rem" },
  ".cm-completionMatchedText": { color: "var(--accent)", textDecoration: "none" },
  ".cm-completionInfo": { maxWidth: "min(24rem, 70vw)", padding: "0.3rem 0.6rem" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--bad)" },
});
