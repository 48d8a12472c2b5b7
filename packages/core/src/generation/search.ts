// The bookkeeping of greedy and beam search for one input: which hypotheses go on, which are finished, when it is over.
// Plain numbers only; the tensors are in generate.ts. K beams.

/** A beam's continuation by one token. */
export interface BeamStep {
  /** Number of the beam it continues, 0 to K - 1. */
  readonly beam: number;
  readonly token: number;
  /** Sum of the log-probabilities of all generated tokens, in nats, a float32. */
  readonly score: number;
}

/** A generated sequence that is complete. */
export interface Hypothesis {
  /** Generated tokens, the end of sequence left out. */
  readonly ids: readonly number[];
  /** Sum of log-probabilities over the penalty of the length, which counts the end of sequence. */
  readonly score: number;
  /** Whether it ended by itself; false where it was cut at the largest length. */
  readonly finished: boolean;
}

/** When a hypothesis is complete, and what its length is worth. */
export interface SearchRules {
  readonly maxNewTokens: number;
  /** Ids that end a sequence. */
  readonly ends: ReadonlySet<number>;
  /** Whether generated tokens end for another reason, such as a stop string. */
  readonly stops: (ids: readonly number[]) => boolean;
  /** What the score of a sequence of so many generated tokens is divided by. */
  readonly penalty: (length: number) => number;
}

export interface Search {
  /**
   * Takes the step's candidates, best first, and gives those that are to go on: none where the search is over, else K
   * (beam numbers of the next step are their places in the list).
   */
  advance(candidates: readonly BeamStep[]): readonly BeamStep[];
  /** What each beam that goes on has generated so far, in the beams' order. */
  running(): readonly (readonly number[])[];
  /** The best hypothesis, once the search is over. */
  best(): Hypothesis;
}

/** Greedy search: the likeliest token until one ends the sequence. */
export class GreedySearch implements Search {
  readonly #rules: SearchRules;
  readonly #ids: number[] = [];
  #best: Hypothesis | undefined;

  constructor(rules: SearchRules) {
    this.#rules = rules;
  }

  advance(candidates: readonly BeamStep[]): readonly BeamStep[] {
    const [candidate] = candidates as [BeamStep];
    this.#ids.push(candidate.token);
    const { ended, hypothesis } = judge(this.#ids, candidate.score, this.#rules);
    if (!ended && this.#ids.length < this.#rules.maxNewTokens) return [candidate];
    this.#best = hypothesis;
    return [];
  }

  running(): readonly (readonly number[])[] {
    return [this.#ids];
  }

  best(): Hypothesis {
    return this.#best!;
  }
}

/**
 * Beam search as Transformers' `_beam_search` does it with `early_stopping` false. Every step brings the best (1 +
 * number of end ids) * K continuations of all beams. Those among the first K that are complete become hypotheses, of
 * which the K best are held; the first K that are not complete go on. It is over at the largest length, or when K
 * hypotheses are held and the best beam's score, divided by the penalty of its length so far, is no better than the
 * worst of them.
 */
export class BeamSearch implements Search {
  readonly #rules: SearchRules;
  readonly #beams: number;
  #running: readonly (readonly number[])[];
  /** At most K, best first. */
  #held: readonly Hypothesis[] = [];
  #length = 0;

  constructor(beams: number, rules: SearchRules) {
    this.#rules = rules;
    this.#beams = beams;
    this.#running = [[]];
  }

  advance(candidates: readonly BeamStep[]): readonly BeamStep[] {
    this.#length++;
    const full = this.#length === this.#rules.maxNewTokens;
    const goOn: { candidate: BeamStep; ids: readonly number[] }[] = [];
    const completed: Hypothesis[] = [];
    for (const [rank, candidate] of candidates.entries()) {
      const ids = [...this.#running[candidate.beam]!, candidate.token];
      const { ended, hypothesis } = judge(ids, candidate.score, this.#rules);
      if (!ended && !full) goOn.push({ candidate, ids });
      else if (rank < this.#beams) completed.push(hypothesis);
      if (goOn.length === this.#beams) break;
    }
    // A stable sort: of equal scores the earlier one stays.
    this.#held = [...this.#held, ...completed].sort((a, b) => b.score - a.score).slice(0, this.#beams);
    const leader = goOn[0];
    if (!leader || this.#cannotImprove(leader.candidate)) return [];
    // Stop strings may leave fewer than K; copies too unlikely to be chosen again keep the number.
    while (goOn.length < this.#beams) goOn.push({ ...leader, candidate: { ...leader.candidate, score: impossible } });
    this.#running = goOn.map(({ ids }) => ids);
    return goOn.map(({ candidate }) => candidate);
  }

  running(): readonly (readonly number[])[] {
    return this.#running;
  }

  best(): Hypothesis {
    return this.#held[0]!;
  }

  #cannotImprove(leader: BeamStep): boolean {
    const worst = this.#held[this.#beams - 1];
    return worst !== undefined && penalized(leader.score, this.#length, this.#rules) <= worst.score;
  }
}

/** Transformers' score of a beam that must not be chosen. */
const impossible = -1e9;

/** The sequence as a hypothesis, and whether it ended by itself. */
function judge(ids: readonly number[], score: number, rules: SearchRules): { ended: boolean; hypothesis: Hypothesis } {
  const atEnd = rules.ends.has(ids.at(-1)!);
  const ended = atEnd || rules.stops(ids);
  return {
    ended,
    hypothesis: { ids: atEnd ? ids.slice(0, -1) : ids, score: penalized(score, ids.length, rules), finished: ended },
  };
}

/** Division in float32, as in Transformers, so that near ties fall the same way. */
function penalized(score: number, length: number, rules: SearchRules): number {
  return Math.fround(score / Math.fround(rules.penalty(length)));
}
