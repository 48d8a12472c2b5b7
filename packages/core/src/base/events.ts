// What happens in long work, as it happens: one union of events for training, evaluation, downloads and experiments.

/** Where an event or a line of metrics.jsonl belongs. */
export interface Place {
  readonly stage: string;
  /** In runs of several tasks, the one whose prompt this stage trains. */
  readonly task?: string;
  readonly step: number;
}

/** A line of metrics.jsonl for a training step. */
export interface MetricsLine extends Place {
  readonly loss: number;
  readonly learningRate: number;
  readonly gradientNorm: number;
  readonly tokensPerSecond: number;
  /** Seconds of training in this stage so far, and estimated to its end. */
  readonly elapsed: number;
  readonly remaining: number;
  /** Resident memory of the process, bytes. */
  readonly memory: number;
}

/** One task of the keep list at one moment. */
export interface KeepScore {
  readonly task: string;
  readonly metric: string;
  /** 0 to 100. */
  readonly score: number;
  /** Of `score`: 95 %, by bootstrap over the examples. */
  readonly interval: { readonly low: number; readonly high: number };
  /** Percent of the outputs that have the form of a target: its labels or its language. */
  readonly formShare?: number;
  /** Mean negative log-likelihood of the references, nats per token. */
  readonly nll: number;
  readonly nllInterval: { readonly low: number; readonly high: number };
}

/** All that an observer may hear of. */
export type WorkEvent =
  /** Of training. */
  | {
      readonly type: 'start';
      /** The settings. */
      readonly config: object;
      /** What the settings follow and what was chosen, in a line. */
      readonly chosen: string;
      readonly trainExamples: number;
      readonly validationExamples: number;
    }
  | ({ readonly type: 'stage'; readonly steps: number; readonly trainedParameters: number } & Place)
  | ({ readonly type: 'step'; readonly steps: number } & MetricsLine)
  | ({
      readonly type: 'evaluation';
      readonly metric: string;
      readonly score: number;
      readonly evalLoss: number;
    } & Place)
  | ({ readonly type: 'keep'; readonly keep: readonly KeepScore[]; readonly keepAverage: number } & Place)
  /** `lost`: points of the keep list's average, against step 0; only with a keep list. */
  | ({ readonly type: 'best'; readonly score: number; readonly lost?: number } & Place)
  /** What a person should know although the work goes on. */
  | { readonly type: 'note'; readonly text: string }
  /** Answers of a task: `of` names it where there are several. In training it has a place. */
  | ({
      readonly type: 'evaluating';
      readonly of?: string;
      readonly done: number;
      readonly total: number;
    } & Partial<Place>)
  /** Answers of a task that were there already, in a folder. */
  | {
      readonly type: 'reused';
      readonly of: string;
      readonly there: number;
      readonly total: number;
      readonly folder: string;
    }
  /** Bytes of a file; `total` is undefined where the server does not say it. */
  | { readonly type: 'download'; readonly file: string; readonly received: number; readonly total: number | undefined }
  /** Any other work, in parts. */
  | {
      readonly type: 'progress';
      readonly what: string;
      readonly done: number;
      readonly total: number;
      /** How it goes, in a few words. */
      readonly details?: string;
    }
  /** Another part of the work begins, or has come to something. */
  | { readonly type: 'phase'; readonly text: string }
  /** Of an experiment: a job begins, and what follows is about it; it is done. */
  | { readonly type: 'job'; readonly name: string; readonly number: number; readonly of: number }
  | {
      readonly type: 'job-done';
      readonly name: string;
      readonly seconds: number;
      /** What is left, estimated. */
      readonly left: { readonly jobs: number; readonly seconds: number };
    };

/** Hears what happens. It must return soon: the work waits for it. */
export type Observer = (event: WorkEvent) => void;
