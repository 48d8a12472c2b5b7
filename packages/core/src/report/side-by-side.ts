// Outputs of several models on the prompts that they share, for a report.
import type { Spoken } from '../artifacts/samples-file.js';
import type { SideBySide } from './report.js';

/** A model or run and what it said, by task. */
export interface Speaker {
  readonly name: string;
  readonly tasks: ReadonlyMap<string, readonly Spoken[]>;
}

/**
 * For each task, `shown` prompts that the first speaker and others have got alike, word for word; those on which the
 * outputs differ first. Tasks with the same speakers stand together.
 */
export function sideBySides(speakers: readonly Speaker[], shown: number): SideBySide[] {
  const groups = new Map<string, { names: readonly string[]; items: SideBySide['items'][number][] }>();
  for (const task of new Set(speakers.flatMap(({ tasks }) => [...tasks.keys()]))) {
    const having = speakers.flatMap(({ name, tasks }) => {
      const said = tasks.get(task);
      return said ? [{ name, said, byInput: new Map(said.map((one) => [one.input, one])) }] : [];
    });
    const first = having[0]!;
    const sharing = having.filter(({ byInput }) => first.said.some(({ input }) => byInput.has(input)));
    // A single folder shows its own outputs, the wrong ones first.
    if (sharing.length < 2 && having.length > 1) continue;
    const items = first.said
      .filter(({ input }) => sharing.every(({ byInput }) => byInput.has(input)))
      .map(({ input, reference }) => ({
        task,
        input,
        reference,
        outputs: sharing.map((one) => one.byInput.get(input)!.output),
        right: rightOf(sharing.map((one) => one.byInput.get(input)!.score)),
      }));
    const differs = ({ outputs, right }: (typeof items)[number]) =>
      outputs.length === 1 ? right?.[0] === false : outputs.some((output) => output !== outputs[0]);
    const names = sharing.map(({ name }) => name);
    const key = JSON.stringify(names);
    const group = groups.get(key) ?? { names, items: [] };
    group.items.push(...[...items.filter(differs), ...items.filter((item) => !differs(item))].slice(0, shown));
    groups.set(key, group);
  }
  return [...groups.values()].filter(({ items }) => items.length > 0);
}

/** Whether outputs are right, where their scores say no more than that. */
function rightOf(scores: readonly number[]): readonly boolean[] | undefined {
  return scores.every((score) => score === 0 || score === 100) ? scores.map((score) => score === 100) : undefined;
}
