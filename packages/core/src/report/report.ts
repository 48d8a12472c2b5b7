// What a report is, as data: text, tables, figures, outputs side by side. html.ts, markdown.ts and figure.ts draw it;
// whoever ran something fills it in.

export interface Report {
  readonly title: string;
  /** What a reader should take away, in a sentence or two: shown large. */
  readonly headline?: string;
  /** Paragraphs of plain text. */
  readonly summary: readonly string[];
  readonly sections: readonly Section[];
  /** Settings, seeds, versions, costs: a name and a value each, at the end. */
  readonly facts: readonly (readonly [name: string, value: string])[];
}

export interface Section {
  readonly heading: string;
  /** Paragraphs of plain text. */
  readonly text?: readonly string[];
  readonly table?: Table;
  readonly figure?: Figure;
  readonly sideBySide?: SideBySide;
}

/** Rows are models or methods, columns tasks or measures. */
export interface Table {
  /** The first is the heading of the rows' names. */
  readonly columns: readonly string[];
  readonly rows: readonly { readonly name: string; readonly cells: readonly Cell[] }[];
  /** Columns in which less is better (a loss, a share of wrong forms): there a fall is coloured as good. */
  readonly lowerIsBetter?: readonly string[];
  /** Under the table: what an interval is, what is marked. */
  readonly note?: string;
}

export interface Cell {
  /** Absent: not measured. */
  readonly value?: number;
  /** Digits after the point; default 1. */
  readonly digits?: number;
  /** Ends of a confidence interval. */
  readonly interval?: readonly [low: number, high: number];
  /** Standard deviation over seeds. */
  readonly spread?: number;
  /** Difference to the pretrained model. */
  readonly difference?: number;
  /** The paper's number, as printed there. */
  readonly paper?: number;
  /** In place of a number. */
  readonly text?: string;
}

export interface Figure {
  /** File name of the SVG beside the Markdown, without its ending: letters, digits and hyphens. */
  readonly name: string;
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly kind: 'lines' | 'scatter' | 'bars';
  /** One colour each. For bars, x is a label. */
  readonly series: readonly { readonly name: string; readonly points: readonly FigurePoint[] }[];
  /** The axes show at least so much, so that a single example is no cliff. */
  readonly atLeast?: { readonly x?: number; readonly y?: number };
  /** Points that no other point beats on both axes, joined by a line (the Pareto front). */
  readonly front?: readonly FigurePoint[];
}

export interface FigurePoint {
  readonly x: number | string;
  readonly y: number;
  /** Ends of an interval of y: a band (lines) or a whisker. */
  readonly interval?: readonly [low: number, high: number];
  readonly label?: string;
}

/** What several models say to the same prompts. */
export interface SideBySide {
  readonly names: readonly string[];
  readonly items: readonly {
    readonly task: string;
    readonly input: string;
    readonly reference: string;
    /** In the names' order. */
    readonly outputs: readonly string[];
    /** Whether each output is right, where that is known. A wrong one is marked where the first model's is right. */
    readonly right?: readonly boolean[];
  }[];
}
