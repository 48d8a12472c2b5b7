// What several models say to the same prompts, side by side (Table 1, appendix A.3.8).
import type { Section, SideBySide } from '@promot/core/report';
import { type Contender, contenders } from './contenders.js';
import type { OutputsExperiment } from './experiment.js';
import type { ExperimentFolder } from './folder.js';
import { readSamplesOf } from './numbers.js';
import { outputParts, type Planner } from './plan.js';

/** Prompts shown of each task: the first ones, not the best ones. */
const shown = 3;

interface OutputsNumbers extends SideBySide {
  readonly target: string;
}

/** The first outputs of each part. Errors: a UserError for files that are missing or damaged. */
export function outputsNumbers(
  experiment: OutputsExperiment,
  planner: Planner,
  folder: ExperimentFolder,
): OutputsNumbers[] {
  const names = experiment.contenders.map((name): string => {
    const { label }: Contender = contenders[name];
    return label;
  });
  return experiment.parts.map((part) => {
    const { tasks, evaluations } = outputParts(experiment, part, planner);
    const items = tasks.flatMap(({ task }) => {
      const samples = evaluations.map((evaluation) => readSamplesOf(folder, evaluation, task));
      return samples[0]!.slice(0, shown).map(({ input, references }, i) => ({
        task,
        input,
        reference: references[0]!,
        outputs: samples.map((list) => list[i]!.trimmed),
      }));
    });
    return { target: planner.place(part.target)!.task, names, items };
  });
}

export function outputsSections(numbers: readonly OutputsNumbers[]): Section[] {
  return numbers.map(({ target, ...sideBySide }) => ({
    heading: `Fine-tuned on ${target}, asked other things (1-shot, the first ${shown} prompts of each task)`,
    sideBySide,
  }));
}
